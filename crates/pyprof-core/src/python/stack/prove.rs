//! The rule that decides what of a moving stack is true.
//!
//! The hot part of a stack is copied twice within one system call, each time with the thread's current frame after
//! it: `copy 0, top 0, copy 1, top 1` (before it where frames are objects). The thread runs on meanwhile, so a copy
//! can hold callers of one moment and callees of another. The first copy is the sample; [`climb`] finds its stack,
//! and the tops are asked where that cannot. A chain of frames is believed from its root on as far as every frame stands the same in
//! both copies; above that, each caller-callee pair must be one that was certain, often, before.

use super::call_site::CallSites;
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

/// The copy that each of them is from.
const COPY_OF: [usize; 4] = [0, 1, 1, 0];

/// What the rule makes of a look.
enum Found {
    /// A whole stack: the index of its chain, and how many of the frames from the root on stood still
    Whole(usize, usize),
    /// [`Prover::rest`] is what is left
    Cut,
    /// The stack has become lower than the base, or the base has moved all the same
    NoBase,
}

/// Whether a chain is proven.
pub enum Proof {
    /// Every call is
    Complete,
    /// A call is not
    Missing,
    /// The last frame of the base made its call elsewhere
    BaseMoved,
}

/// What one thread's stack is known to be, and scratch space for the next look at it.
#[derive(Debug, Default)]
pub struct Prover {
    /// One chain per try, root first, without the base
    chains: [Vec<RawFrame>; 4],
    /// The last whole stack
    last_good: Vec<RawFrame>,
    /// What is left of a stack that was cut
    rest: Vec<RawFrame>,
    roots: Roots,
    /// 3.8 to 3.10
    homes: Homes,
    /// And by how many walks
    unknown: Vec<(u64, u32)>,
    verdict: Option<Verdict>,
    changed_from: usize,
    kept: usize,
}

impl Prover {
    /// Finds the stack that this look shows, see [`Prover::last`]. Learns what is certain.
    ///
    /// `base`: so many frames of the last whole stack, from the root on, are byte for byte as they were.
    /// `sites` looks at a call site itself; it is asked seldom.
    pub fn prove(
        &mut self,
        look: &Look<'_>,
        base: usize,
        pairs: &mut Pairs,
        sites: &CallSites<'_>,
        size_of: &mut SizeOf<'_>,
    ) -> Verdict {
        let mut last_good = std::mem::take(&mut self.last_good);
        let mut known = base.min(last_good.len());
        let mut found = self.prove_above(look, &last_good, known, pairs, sites, size_of);
        if matches!(found, Found::NoBase) {
            known = 0;
            found = self.prove_above(look, &last_good, known, pairs, sites, size_of);
        }
        let verdict = match found {
            Found::Whole(index, still) => {
                self.changed_from = still;
                last_good.truncate(known);
                last_good.extend_from_slice(&self.chains[index]);
                Verdict::Whole
            }
            Found::Cut | Found::NoBase => {
                let as_before = |(new, old): &(&RawFrame, &RawFrame)| new == old && look.still(new);
                self.changed_from = self.rest.iter().zip(&last_good).take_while(as_before).count();
                if self.rest.iter().any(|frame| !frame.is_marker()) { Verdict::Cut } else { Verdict::Lost }
            }
        };
        self.last_good = last_good;
        self.kept = known;
        self.verdict = Some(verdict);
        verdict
    }

    fn prove_above(
        &mut self,
        look: &Look<'_>,
        last_good: &[RawFrame],
        base: usize,
        pairs: &mut Pairs,
        sites: &CallSites<'_>,
        size_of: &mut SizeOf<'_>,
    ) -> Found {
        let (base, above) = last_good.split_at(base);
        let look = &Look { base, ..look.clone() };
        let objects = look.decoder.frames_are_objects();
        let Some(mut ends) = self.walk(look) else { return Found::NoBase };
        self.check_roots(look, &mut ends);
        if objects {
            self.chains.iter().for_each(|chain| self.homes.note(look, chain));
        } else {
            // A stack that stood still all through the look needs no more.
            let [one, _, three, _] = &self.chains;
            let stood = ends[0] && ends[2] && one == three && look.certain(one, three, true) == one.len();
            ends[CLIMBED] = !stood && self.climb(look, last_good, ends, pairs, size_of);
        }
        let certain: [usize; 4] = std::array::from_fn(|index| {
            if !ends[index] {
                return 0;
            }
            if objects {
                return objects::certain(look, &self.chains[index], &self.homes);
            }
            let partner = PARTNERS[index].into_iter().find(|&partner| ends[partner]);
            let across = partner.is_some_and(|partner| COPY_OF[index] != COPY_OF[partner]);
            look.certain(&self.chains[index], partner.map_or(&[], |partner| &self.chains[partner]), across)
        });
        // The second moment's chain in the second copy teaches: the first one's is used, and what is used must
        // not prove itself.
        if objects {
            for chain in &self.chains[2..] {
                objects::learn(look, chain, &self.homes, pairs);
            }
        } else {
            learn(base, &self.chains[2][..certain[2]], pairs);
        }
        for index in if objects { [0, 1, 2, 3] } else { [CLIMBED, 0, 1, 2] } {
            let proof = if !ends[index] {
                Proof::Missing
            } else if objects {
                objects::prove(look, &mut self.chains[index], certain[index], &self.homes, pairs, sites)
            } else {
                prove_calls(look, &mut self.chains[index], certain[index], pairs, sites)
            };
            match proof {
                Proof::Complete => {
                    // All but the last of the certain ones are known to have stood still.
                    let sure = if objects { 0 } else { certain[index].saturating_sub(1) };
                    let both = self.chains[index].iter().zip(above).enumerate();
                    let stood =
                        both.take_while(|(at, (new, old))| new == old && (*at < sure || look.still(new)));
                    return Found::Whole(index, base.len() + stood.count());
                }
                Proof::Missing => {}
                Proof::BaseMoved => return Found::NoBase,
            }
        }
        // What is certain of a chain, or what still stands of the last good stack: the longer of the two.
        let longest = (0..4).max_by_key(|&index| certain[index]).unwrap_or(0);
        let standing = above.iter().take_while(|frame| look.lives(frame)).count();
        let rest = if certain[longest] >= standing {
            &self.chains[longest][..certain[longest]]
        } else {
            &above[..standing]
        };
        self.rest.clear();
        self.rest.extend_from_slice(base);
        self.rest.extend_from_slice(rest);
        let settled = if objects {
            objects::settle_lines(look, &mut self.rest, pairs, sites)
        } else {
            settle_lines(look, &mut self.rest, pairs, sites)
        };
        self.rest.truncate(settled);
        Found::Cut
    }

    /// Walks all chains; which of them reached a root or the base, `None` when one ended below the base's last frame.
    fn walk(&mut self, look: &Look<'_>) -> Option<[bool; 4]> {
        self.unknown.clear();
        let objects = look.decoder.frames_are_objects();
        let mut ends = [false; 4];
        let walks = if objects { TRIES.len() } else { CLIMBED };
        for (try_index, (top, copy)) in TRIES.into_iter().enumerate().take(walks) {
            let chain = &mut self.chains[try_index];
            if try_index == 1 && !objects && look.tops[0] == look.tops[1] {
                // The next one is the same.
                chain.clear();
                continue;
            }
            match look.walk(copy, look.tops[top], chain) {
                Walk::Root => ends[try_index] = !chain.is_empty() || !look.base.is_empty(),
                Walk::Nonsense => {}
                // Only a frame that stood still tells an address worth reading next time; and the thread's own
                // word, where a top is always a frame or when it said the same twice.
                Walk::Unknown(address) => {
                    let sure = chain
                        .first()
                        .map_or(objects || look.tops[0] == look.tops[1], |frame| look.still(frame));
                    if sure {
                        match self.unknown.iter_mut().find(|(known, _)| *known == address) {
                            Some((_, walks)) => *walks += 1,
                            None => self.unknown.push((address, 1)),
                        }
                    }
                }
                Walk::InBase => return None,
            }
        }
        Some(ends)
    }

    /// Fills the last chain with what the first copy shows by itself; false when it does not show a whole stack.
    fn climb(
        &mut self,
        look: &Look<'_>,
        last_good: &[RawFrame],
        ends: [bool; 4],
        pairs: &mut Pairs,
        size_of: &mut SizeOf<'_>,
    ) -> bool {
        let [one, two, three, climbed] = &mut self.chains;
        let top = ends[0].then_some(one.as_slice());
        let known = [&*one, &*two, &*three].into_iter().zip(ends).find(|(_, end)| *end);
        let guide = known.map_or(last_good, |(chain, _)| chain);
        !(look.base.is_empty() && guide.is_empty()) && climb(look, guide, top, pairs, size_of, climbed)
    }

    /// How many frames of the base the last look has taken for granted.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
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

    /// Addresses that sure frames point to and no copy held, and how many of the chains led there.
    #[must_use]
    pub fn unknown(&self) -> &[(u64, u32)] {
        &self.unknown
    }

    /// The stack of the last look, root first, entry markers included, and from which of its frames on it moved: since
    /// the look before, or during it.
    #[must_use]
    pub fn last(&self) -> (&[RawFrame], usize) {
        let whole = self.verdict == Some(Verdict::Whole);
        (if whole { &self.last_good } else { &self.rest }, self.changed_from)
    }

    /// Strikes out the chains that end in a frame without a caller that is no known root.
    fn check_roots(&mut self, look: &Look<'_>, ends: &mut [bool; 4]) {
        if let Some(root) = look.base.first() {
            return self.roots.reached(root.address);
        }
        let roots: [Option<RawFrame>; 4] =
            std::array::from_fn(|index| self.chains[index].first().copied().filter(|_| ends[index]));
        let mut known = roots.iter().flatten().filter(|root| self.roots.knows(root.address));
        if let Some(root) = known.next() {
            self.roots.reached(root.address);
        } else if let Some(index) = (0..2).find(|&index| ends[index] && roots[2..].contains(&roots[index]))
            && look.may_be_root(&self.chains[index])
        {
            self.roots.offer(self.chains[index][0].address);
        }
        for (end, root) in ends.iter_mut().zip(roots) {
            *end = root.is_some_and(|root| self.roots.knows(root.address));
        }
    }
}

fn call(caller: &RawFrame, callee: &RawFrame) -> Call {
    Call { caller: caller.code, instruction: caller.instruction, callee: callee.code }
}

/// The last frame of the base that has a name: markers are looked through.
fn caller_in(base: &[RawFrame]) -> Option<RawFrame> {
    base.iter().rev().find(|frame| !frame.is_marker()).copied()
}

/// Learns the calls of `certain` frames, and the one from `base` to them.
fn learn(base: &[RawFrame], certain: &[RawFrame], pairs: &mut Pairs) {
    let mut caller = caller_in(base);
    for callee in certain.iter().filter(|frame| !frame.is_marker()) {
        if let Some(caller) = caller {
            let call = call(&caller, callee);
            if !pairs.is_another_call(call) {
                pairs.learn(call);
            }
        }
        caller = Some(*callee);
    }
}

/// Whether every call from the first frame above the base that is not certain on has been proven by earlier looks, or is
/// now by the call site itself. Callers that had moved on are put back to where they made the call.
fn prove_calls(
    look: &Look<'_>,
    chain: &mut [RawFrame],
    certain: usize,
    pairs: &mut Pairs,
    sites: &CallSites<'_>,
) -> Proof {
    if certain == 0 && look.base.is_empty() || certain < chain.len() && !look.steady {
        return Proof::Missing;
    }
    let mut caller_at: Option<usize> = None;
    for index in 0..chain.len() {
        if chain[index].is_marker() {
            continue;
        }
        let callee = chain[index];
        if let Some(at) = caller_at {
            if index >= certain || !look.rests(chain[at].address) {
                let how = How { certain: index < certain, direct: at + 1 == index && !callee.is_entry };
                let Some(site) = prove_call(&chain[at], &callee, how, pairs, sites) else {
                    return Proof::Missing;
                };
                chain[at].instruction = site;
            }
        } else if let Some(caller) = caller_in(look.base).filter(|_| index >= certain) {
            let direct =
                index == 0 && !callee.is_entry && look.base.last().is_some_and(|last| !last.is_marker());
            let how = How { certain: false, direct };
            let Some(site) = prove_call(&caller, &callee, how, pairs, sites) else { return Proof::Missing };
            if site != caller.instruction {
                return Proof::BaseMoved;
            }
        }
        caller_at = Some(index);
    }
    Proof::Complete
}

/// Of a stack that was cut, puts callers back as [`prove_calls`] does. The result is how many frames from the root on
/// are left whose calls are known.
fn settle_lines(look: &Look<'_>, stack: &mut [RawFrame], pairs: &mut Pairs, sites: &CallSites<'_>) -> usize {
    let mut caller_at: Option<usize> = None;
    for index in 0..stack.len() {
        if stack[index].is_marker() {
            continue;
        }
        if let Some(at) = caller_at.filter(|at| !look.rests(stack[*at].address)) {
            let callee = stack[index];
            let how = How { certain: true, direct: at + 1 == index && !callee.is_entry };
            let Some(site) = prove_call(&stack[at], &callee, how, pairs, sites) else { return index };
            stack[at].instruction = site;
        }
        caller_at = Some(index);
    }
    stack.len()
}

/// How a call came to be in a chain.
#[derive(Clone, std::marker::Copy)]
struct How {
    /// Caller and callee were on the stack at both moments, and the caller stood at the same instruction
    certain: bool,
    /// No native code in between
    direct: bool,
}

/// Where the caller makes the call; `None` where that is not known.
///
/// A caller that stands at the same place at both moments can have been elsewhere in between: in a loop as short as
/// the look it calls one function each time the thread is asked and is back from the other each time it is copied. So
/// what the code itself says goes first.
fn prove_call(
    caller: &RawFrame,
    callee: &RawFrame,
    how: How,
    pairs: &mut Pairs,
    sites: &CallSites<'_>,
) -> Option<u64> {
    let call = call(caller, callee);
    let seen = (how.certain || pairs.proven(call)).then_some(call.instruction);
    if !how.direct {
        // What native code calls is not called here.
        return seen.filter(|_| !pairs.is_another_call(call));
    }
    if callee.is_generator() {
        return resumption(caller, call, seen, how, pairs, sites);
    }
    if let Some(site) = sites.named(caller, callee, call, pairs) {
        return Some(site);
    }
    if pairs.is_ruled_out(call) { None } else { pairs.told_site(call).or(seen) }
}

/// Where the caller lets a generator run on. Its code tells whether it stands at such a place, not which generator runs:
/// that one which was seen to, at the only place where it was.
fn resumption(
    caller: &RawFrame,
    call: Call,
    seen: Option<u64>,
    how: How,
    pairs: &mut Pairs,
    sites: &CallSites<'_>,
) -> Option<u64> {
    let known = pairs.resumes(call);
    let resumes = known.or_else(|| if pairs.worth_asking(call) { sites.resumes(caller) } else { None });
    if let (None, Some(resumes)) = (known, resumes) {
        pairs.learn_resumes(call, resumes);
    }
    match resumes {
        Some(true) => {
            if seen.is_some() {
                pairs.learn_resumption(call);
            }
            seen
        }
        Some(false) => {
            let proven = |site: &u64| how.certain || pairs.proven(Call { instruction: *site, ..call });
            pairs.only_resumption(call).filter(proven)
        }
        None => seen.filter(|_| !pairs.is_another_call(call)),
    }
}
