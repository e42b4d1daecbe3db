//! The rule that decides what of a moving stack is true.
//!
//! The hot part of a stack is copied twice within one system call, each time with the thread's current frame after
//! it: `copy 0, top 0, copy 1, top 1` (before it where frames are objects). The thread runs on meanwhile, so a copy
//! can hold callers of one moment and callees of another. The first copy is the sample; [`climb`] finds its stack,
//! and the tops are asked where that cannot. A chain of frames is believed from its root on as far as every frame stands the same in
//! both copies; above that, each caller-callee pair must be one that was certain, often, before.

use super::climb::{SizeOf, climb};
use super::look::{Look, Walk};
use super::objects::{self, Homes};
use super::pairs::{Call, Pairs};
use super::roots::Roots;
use crate::python::frame::RawFrame;

/// How much of the stack could be proven.
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Root to leaf
    Whole,
    /// From the root up to some frame; what ran above it is not known
    Cut,
    /// Not even a root
    Lost,
}

/// The order in which top and copy are walked. The first top comes first: it is nearest to the sample's own time,
/// before looking has slowed the thread.
const TRIES: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 1), (1, 0)];

/// Where frames are no objects, [`climb`]'s chain takes the place of the last one.
const CLIMBED: usize = 3;

/// For each try, those of the other moment with which it shares what is certain.
const PARTNERS: [[usize; 2]; 4] = [[2, 1], [2, CLIMBED], [CLIMBED, 0], [2, 1]];

/// What one thread's stack is known to be, and scratch space for the next look at it.
#[derive(Debug, Default)]
pub struct Prover {
    /// One chain per try, root first
    chains: [Vec<RawFrame>; 4],
    last_good: Vec<RawFrame>,
    stack: Vec<RawFrame>,
    roots: Roots,
    /// 3.8 to 3.10
    homes: Homes,
    unknown: Vec<u64>,
    verdict: Option<Verdict>,
    changed_from: usize,
}

impl Prover {
    /// The stack that this look shows, root first, entry markers included. Learns what is certain.
    ///
    /// `ask` looks at a call site itself; it is asked seldom.
    pub fn prove(
        &mut self,
        look: &Look<'_>,
        pairs: &mut Pairs,
        ask: &mut AskSite<'_>,
        size_of: &mut SizeOf<'_>,
    ) -> (Verdict, &[RawFrame]) {
        self.unknown.clear();
        let objects = look.decoder.frames_are_objects();
        let mut ends = [false; 4];
        let walks = if objects { TRIES.len() } else { CLIMBED };
        for (try_index, (top, copy)) in TRIES.into_iter().enumerate().take(walks) {
            let chain = &mut self.chains[try_index];
            match look.walk(copy, look.tops[top], chain) {
                Walk::Root => ends[try_index] = !chain.is_empty(),
                Walk::Nonsense => {}
                // Only a frame that stood still tells an address worth reading next time; and the thread's own
                // word, where a top is always a frame or when it said the same twice.
                Walk::Unknown(address) => {
                    let sure = chain
                        .first()
                        .map_or(objects || look.tops[0] == look.tops[1], |frame| look.still(frame));
                    if sure && !self.unknown.contains(&address) {
                        self.unknown.push(address);
                    }
                }
            }
        }
        self.check_roots(look, &mut ends);

        if objects {
            self.chains.iter().for_each(|chain| self.homes.note(look, chain));
        } else {
            // A stack that stood still all through the look needs no more.
            let [one, _, three, _] = &self.chains;
            let stood = ends[0] && ends[2] && one == three && look.certain(one, three) == one.len();
            ends[CLIMBED] = !stood && self.climb(look, ends, pairs, size_of);
        }
        let certain: [usize; 4] = std::array::from_fn(|index| {
            if !ends[index] {
                return 0;
            }
            if objects {
                return objects::certain(look, &self.chains[index], &self.homes);
            }
            let partner = PARTNERS[index].into_iter().find(|&partner| ends[partner]);
            look.certain(&self.chains[index], partner.map_or(&[], |partner| &self.chains[partner]))
        });
        // The second moment's chain in the second copy teaches: the first one's is used, and what is used must
        // not prove itself.
        if objects {
            for chain in &self.chains[2..] {
                objects::learn(look, chain, &self.homes, pairs);
            }
        } else {
            learn(&self.chains[2][..certain[2]], pairs);
        }
        let order = if objects { [0, 1, 2, 3] } else { [CLIMBED, 0, 1, 2] };
        let whole = order.into_iter().find(|&index| {
            ends[index]
                && if objects {
                    objects::proven(&self.chains[index], certain[index], &self.homes, pairs)
                        && objects::settle_lines(look, &mut self.chains[index], pairs, ask)
                            == self.chains[index].len()
                } else {
                    proven(&mut self.chains[index], certain[index], pairs, ask)
                }
        });
        self.stack.clear();
        let verdict = if let Some(index) = whole {
            self.stack.extend_from_slice(&self.chains[index]);
            Verdict::Whole
        } else {
            // What is certain of a chain, or what still stands of the last good stack: the longer of the two.
            let longest = (0..4).max_by_key(|&index| certain[index]).unwrap_or(0);
            let standing = self.last_good.iter().take_while(|frame| look.lives(frame)).count();
            self.stack.extend_from_slice(if certain[longest] >= standing {
                &self.chains[longest][..certain[longest]]
            } else {
                &self.last_good[..standing]
            });
            if objects {
                let settled = objects::settle_lines(look, &mut self.stack, pairs, ask);
                self.stack.truncate(settled);
            }
            if self.stack.iter().any(|frame| !frame.is_marker()) { Verdict::Cut } else { Verdict::Lost }
        };
        let as_before = |(new, old): &(&RawFrame, &RawFrame)| new == old && look.still(new);
        self.changed_from = self.stack.iter().zip(&self.last_good).take_while(as_before).count();
        if verdict == Verdict::Whole {
            self.last_good.clone_from(&self.stack);
        }
        self.verdict = Some(verdict);
        (verdict, &self.stack)
    }

    /// Fills the last chain with what the first copy shows by itself; false when it does not show a whole stack.
    fn climb(
        &mut self,
        look: &Look<'_>,
        ends: [bool; 4],
        pairs: &mut Pairs,
        size_of: &mut SizeOf<'_>,
    ) -> bool {
        let [one, two, three, climbed] = &mut self.chains;
        let top: &[RawFrame] = if ends[0] { one } else { &[] };
        let known = [&*one, &*two, &*three].into_iter().zip(ends).find(|(_, end)| *end);
        let guide = known.map_or(&self.last_good, |(chain, _)| chain);
        !guide.is_empty() && climb(look, guide, top, pairs, size_of, climbed)
    }

    /// A new look begins.
    pub fn begin(&mut self) {
        self.verdict = None;
    }

    /// How the last look ended; `None` when it did not come to a stack.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Addresses that sure frames point to and no copy held.
    #[must_use]
    pub fn unknown(&self) -> &[u64] {
        &self.unknown
    }

    /// The stack of the last look, and from which of its frames on it moved: since the look before, or during it.
    #[must_use]
    pub fn last(&self) -> (&[RawFrame], usize) {
        (&self.stack, self.changed_from)
    }

    /// Strikes out the chains that end in a frame without a caller that is no known root.
    fn check_roots(&mut self, look: &Look<'_>, ends: &mut [bool; 4]) {
        let roots: [Option<RawFrame>; 4] =
            std::array::from_fn(|index| self.chains[index].first().copied().filter(|_| ends[index]));
        let mut known = roots.iter().flatten().filter(|root| self.roots.knows(root.address));
        if let Some(root) = known.next() {
            self.roots.reached(root.address);
        } else if let Some(root) = roots[..2].iter().flatten().find(|root| roots[2..].contains(&Some(**root)))
            && look.may_be_root(root)
        {
            self.roots.offer(root.address);
        }
        for (end, root) in ends.iter_mut().zip(roots) {
            *end = root.is_some_and(|root| self.roots.knows(root.address));
        }
    }
}

/// Callers and callees of a chain; markers are looked through.
fn calls(chain: &[RawFrame]) -> impl Iterator<Item = (&RawFrame, &RawFrame)> {
    let frames = || chain.iter().filter(|frame| !frame.is_marker());
    frames().zip(frames().skip(1))
}

fn call(caller: &RawFrame, callee: &RawFrame) -> Call {
    Call { caller: caller.code, instruction: caller.instruction, callee: callee.code }
}

fn learn(certain: &[RawFrame], pairs: &mut Pairs) {
    for (caller, callee) in calls(certain) {
        pairs.learn(call(caller, callee));
    }
}

/// Asks a call site: where the first frame calls the function of the second, see [`super::call_site::find`].
pub type AskSite<'a> = dyn FnMut(&RawFrame, &RawFrame) -> Option<u64> + 'a;

/// Whether every call from the first frame that is not certain on has been proven by earlier looks, or is now by
/// the call site itself. Callers that had moved on are put back to where they made the call.
fn proven(chain: &mut [RawFrame], certain: usize, pairs: &mut Pairs, ask: &mut AskSite<'_>) -> bool {
    if certain == 0 {
        return false;
    }
    let mut caller_at: Option<usize> = None;
    for index in 0..chain.len() {
        if chain[index].is_marker() {
            continue;
        }
        if let Some(caller_at) = caller_at.filter(|_| index >= certain) {
            let (caller, callee) = (chain[caller_at], chain[index]);
            let Some(site) = prove_call(&caller, &callee, pairs, ask) else { return false };
            chain[caller_at].instruction = site;
        }
        caller_at = Some(index);
    }
    true
}

fn prove_call(caller: &RawFrame, callee: &RawFrame, pairs: &mut Pairs, ask: &mut AskSite<'_>) -> Option<u64> {
    let call = call(caller, callee);
    let known = pairs.proven_site(call);
    if known.is_some() || !pairs.worth_asking(call) {
        return known;
    }
    let site = ask(caller, callee)?;
    if site == call.instruction {
        pairs.confirm(call);
    } else {
        pairs.confirm_from(call, site);
    }
    Some(site)
}
