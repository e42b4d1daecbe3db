//! The proof for frames that are objects (3.8 to 3.10).
//!
//! They lie scattered, so copying them takes longer than many a call. In return a frame object tells more: it
//! says whether it runs, its link to the caller is set once for each call, and it is kept for the next call of
//! the same function. So while a frame runs, the link it shows is that of the call that is going on, and after
//! its return it still shows the call that was going on when the thread's top was read, or a later one of the
//! same microseconds. Each such link must be one that running frames have shown before.

use rustc_hash::FxHashMap;

use super::call_site::CallSites;
use super::look::Look;
use super::pairs::{ANYWHERE, Call, Pairs};
use super::prove::Proof;
use crate::python::frame::RawFrame;

/// More frame objects than this are forgotten, all at once.
const MAX_HOMES: usize = 1 << 16;

/// Looks after which an object that was seen with one function only is believed to be that function's own.
const SETTLED: u32 = 8;

/// Which function each frame object belongs to.
///
/// A function keeps one object for its next call (`co_zombieframe`, `Objects/frameobject.c`); further calls of
/// it, in a recursion, take theirs from a list that all functions share. Only of an object that was never seen
/// with two functions can the link of a call be believed that was read at another moment.
#[derive(Debug, Default)]
pub struct Homes {
    by_address: FxHashMap<u64, Home>,
}

#[derive(Debug)]
struct Home {
    code: u64,
    shared: bool,
    looks: u32,
}

impl Homes {
    /// Takes note of the frames of a chain.
    pub fn note(&mut self, look: &Look<'_>, chain: &[RawFrame]) {
        if self.by_address.len() >= MAX_HOMES {
            self.by_address.clear();
        }
        for frame in chain {
            let keeps = look.keeps_code(frame);
            let home = self.by_address.entry(frame.address).or_insert(Home {
                code: frame.code,
                shared: false,
                looks: 0,
            });
            home.shared |= home.code != frame.code || !keeps;
            home.looks = home.looks.saturating_add(1);
        }
    }

    fn owns(&self, frame: &RawFrame) -> bool {
        self.by_address.get(&frame.address).is_some_and(|home| !home.shared)
    }

    /// It has been looked at often enough for a second function to show.
    fn surely_owns(&self, frame: &RawFrame) -> bool {
        self.by_address.get(&frame.address).is_some_and(|home| !home.shared && home.looks >= SETTLED)
    }
}

fn anywhere(caller: &RawFrame, callee: &RawFrame) -> Call {
    Call { caller: caller.code, instruction: ANYWHERE, callee: callee.code }
}

/// Learns from every link that a running frame shows, and with less weight from those of frames that have
/// returned: the link is that of the function's last call, and both objects are their functions' own.
pub fn learn(look: &Look<'_>, chain: &[RawFrame], homes: &Homes, pairs: &mut Pairs) {
    for pair in chain.windows(2) {
        let (caller, callee) = (&pair[0], &pair[1]);
        if !callee.executing && homes.surely_owns(caller) && homes.surely_owns(callee) {
            pairs.learn(anywhere(caller, callee));
        } else if callee.executing && homes.owns(caller) && homes.owns(callee) {
            pairs.confirm(anywhere(caller, callee));
            let call = Call { instruction: caller.instruction, ..anywhere(caller, callee) };
            if look.surrounds(caller, callee) && !pairs.has_its_own(call) {
                pairs.learn(call);
                if pairs.proven(call) {
                    pairs.learn_site(call);
                }
            }
        }
    }
}

/// How many frames from the root on are certain: those that ran in their place at both moments, and the one
/// that runs on top of them.
///
/// A shared object can have been given back and taken again in between: it must not have moved at all, and says
/// nothing of what runs on top of it.
#[must_use]
pub fn certain(look: &Look<'_>, chain: &[RawFrame], homes: &Homes) -> usize {
    let stands = |frame: &&RawFrame| {
        frame.executing && if homes.owns(frame) { look.stays(frame) } else { look.still(frame) }
    };
    let standing = chain.iter().take_while(stands).count();
    let tops =
        |caller: &RawFrame, frame: &RawFrame| frame.executing && homes.owns(caller) && homes.owns(frame);
    let top = standing > 0 && standing < chain.len() && tops(&chain[standing - 1], &chain[standing]);
    standing + usize::from(top)
}

/// Whether every link above the certain ones has been seen before, and every call is known.
pub fn prove(
    look: &Look<'_>,
    chain: &mut [RawFrame],
    certain: usize,
    homes: &Homes,
    pairs: &mut Pairs,
    sites: &CallSites<'_>,
) -> Proof {
    let seen = |pair: &[RawFrame]| {
        homes.owns(&pair[0]) && homes.owns(&pair[1]) && pairs.proven(anywhere(&pair[0], &pair[1]))
    };
    let links = certain > 0 && chain[certain - 1..].windows(2).all(seen);
    if links && settle_lines(look, chain, pairs, sites) == chain.len() {
        Proof::Complete
    } else {
        Proof::Missing
    }
}

/// Puts callers that had moved on by the time they were read back to where they make the call. The result is how many
/// frames from the root on are left of which that is known.
pub fn settle_lines(
    look: &Look<'_>,
    chain: &mut [RawFrame],
    pairs: &mut Pairs,
    sites: &CallSites<'_>,
) -> usize {
    for index in 1..chain.len() {
        let (caller, callee) = (chain[index - 1], chain[index]);
        if look.rests(caller.address) && look.surrounds(&caller, &callee) {
            continue;
        }
        let Some(site) = site(&caller, &callee, pairs, sites) else { return index };
        chain[index - 1].instruction = site;
    }
    chain.len()
}

/// Where the caller makes the call. A call by the callee's name is one, wherever else the caller may be by now. What
/// has another name (a method that an operator calls, an alias) or is run by something else (a generator) is called
/// where the caller has stood still around it, often.
fn site(caller: &RawFrame, callee: &RawFrame, pairs: &mut Pairs, sites: &CallSites<'_>) -> Option<u64> {
    let call = Call { instruction: caller.instruction, ..anywhere(caller, callee) };
    if let Some(site) = sites.named(caller, callee, call, pairs) {
        return Some(site);
    }
    let here = !pairs.has_its_own(call) && pairs.proven(call);
    if here { Some(call.instruction) } else { pairs.site(caller.code, callee.code) }
}
