//! Which call sites have been seen to call which functions: the proof for the part of a stack that was moving.

use rustc_hash::{FxHashMap, FxHashSet};

/// A call is proven once it was certain this often...
const MIN_SEEN: u32 = 3;
/// ...and made up at least one in this many of all certain sightings of its callee.
const MIN_SHARE: u32 = 50;
/// More calls than this are forgotten, all at once: a program that makes functions without end.
const MAX_CALLS: usize = 1 << 18;
/// What one look at the call site itself is worth.
const CONFIRMED: u32 = 1 << 30;

/// A call site and what it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// The caller's code object
    pub caller: u64,
    /// The caller's instruction, as its frame has it; [`ANYWHERE`] where the site is not known
    pub instruction: u64,
    /// The callee's code object
    pub callee: u64,
}

/// For a call of which only caller and callee are known.
pub const ANYWHERE: u64 = u64::MAX;

/// Calls that were certain, with how often.
#[derive(Debug, Default)]
pub struct Pairs {
    seen: FxHashMap<Call, u32>,
    callees: FxHashMap<u64, u32>,
    /// A certain site of each caller and callee: the latest
    sites: FxHashMap<(u64, u64), u64>,
    /// How often a call's site could have been asked
    asked: FxHashMap<Call, u32>,
    /// See [`Pairs::name_site`]
    named: FxHashMap<Call, u64>,
    /// The callees of call sites that tell them, and the sites of caller and callee
    own: FxHashMap<(u64, u64), u64>,
    told: FxHashMap<(u64, u64), u64>,
    /// Calls that are not made where the caller stands: the code itself says so
    ruled_out: FxHashSet<Call>,
    /// Whether generators are let run on at a caller's instruction
    resumes: FxHashMap<(u64, u64), bool>,
    /// The only such place of a caller for a generator; `None` where there are several
    resumptions: FxHashMap<(u64, u64), Option<u64>>,
    /// Bytes of a function's frame
    sizes: FxHashMap<u64, u64>,
}

impl Pairs {
    /// Counts one certain sighting.
    pub fn learn(&mut self, call: Call) {
        if self.seen.len() >= MAX_CALLS {
            self.clear();
        }
        let seen = self.seen.entry(call).or_default();
        *seen = seen.saturating_add(1);
        let total = self.callees.entry(call.callee).or_default();
        *total = total.saturating_add(1);
    }

    /// Running frames or the call site itself show this call.
    pub fn confirm(&mut self, call: Call) {
        let seen = self.seen.entry(call).or_default();
        *seen = seen.saturating_add(CONFIRMED);
    }

    /// Whether to look at the call site itself now. A site can be specialised later, so it is asked again, but
    /// each time after twice as many occasions.
    pub fn worth_asking(&mut self, call: Call) -> bool {
        let times = room(&mut self.asked).entry(call).or_default();
        *times = times.saturating_add(1);
        *times < 64 || times.is_power_of_two()
    }

    /// Whether the call has been certain often enough to be believed where it is not.
    #[must_use]
    pub fn proven(&self, call: Call) -> bool {
        let seen = self.seen.get(&call).copied().unwrap_or(0);
        seen >= MIN_SEEN && seen >= self.callees.get(&call.callee).copied().unwrap_or(0) / MIN_SHARE
    }

    /// Remembers where a caller stood, certain, when it called.
    pub fn learn_site(&mut self, call: Call) {
        room(&mut self.sites).insert((call.caller, call.callee), call.instruction);
    }

    /// Where the caller was last seen, certain, to call that callee.
    #[must_use]
    pub fn site(&self, caller: u64, callee: u64) -> Option<u64> {
        self.sites.get(&(caller, callee)).copied()
    }

    /// A caller that stands at `call` calls the callee at the instruction `site`: the code itself says so.
    pub fn name_site(&mut self, call: Call, site: u64) {
        if self.named.len() >= MAX_CALLS {
            self.named.clear();
            self.own.clear();
            self.told.clear();
        }
        self.named.insert(call, site);
        self.own.insert((call.caller, site), call.callee);
        self.told.insert((call.caller, call.callee), site);
    }

    /// Where the code says that the caller calls the callee, wherever it stands.
    #[must_use]
    pub fn told_site(&self, call: Call) -> Option<u64> {
        self.told.get(&(call.caller, call.callee)).copied()
    }

    /// The caller stands where the code says that it calls another function than the callee.
    #[must_use]
    pub fn is_another_call(&self, call: Call) -> bool {
        self.own.get(&(call.caller, call.instruction)).is_some_and(|callee| *callee != call.callee)
    }

    /// See [`Pairs::name_site`].
    #[must_use]
    pub fn named_site(&self, call: Call) -> Option<u64> {
        self.named.get(&call).copied()
    }

    /// The caller stands at the call of a function that it calls by name there: of this callee, or of another one.
    #[must_use]
    pub fn has_its_own(&self, call: Call) -> bool {
        self.own.contains_key(&(call.caller, call.instruction))
    }

    /// The caller cannot be in that call where it stands.
    pub fn rule_out(&mut self, call: Call) {
        if self.ruled_out.len() >= MAX_CALLS {
            self.ruled_out.clear();
        }
        self.ruled_out.insert(call);
    }

    /// See [`Pairs::rule_out`].
    #[must_use]
    pub fn is_ruled_out(&self, call: Call) -> bool {
        self.ruled_out.contains(&call)
    }

    /// Remembers whether the caller lets generators run on where it stands.
    pub fn learn_resumes(&mut self, call: Call, yes: bool) {
        room(&mut self.resumes).insert((call.caller, call.instruction), yes);
    }

    /// See [`Pairs::learn_resumes`].
    #[must_use]
    pub fn resumes(&self, call: Call) -> Option<bool> {
        self.resumes.get(&(call.caller, call.instruction)).copied()
    }

    /// The caller stands where it lets the callee, a generator, run on.
    pub fn learn_resumption(&mut self, call: Call) {
        let only =
            room(&mut self.resumptions).entry((call.caller, call.callee)).or_insert(Some(call.instruction));
        if *only != Some(call.instruction) {
            *only = None;
        }
    }

    /// Where the caller lets the callee run on, if that is one place.
    #[must_use]
    pub fn only_resumption(&self, call: Call) -> Option<u64> {
        self.resumptions.get(&(call.caller, call.callee)).copied().flatten()
    }

    /// Forgets everything: the addresses of code objects mean something else now.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Remembers how many bytes a frame of `code` has.
    pub fn learn_size(&mut self, code: u64, size: u64) {
        room(&mut self.sizes).insert(code, size);
    }

    /// How many bytes a frame of `code` has.
    #[must_use]
    pub fn size(&self, code: u64) -> Option<u64> {
        self.sizes.get(&code).copied()
    }
}

/// The map, emptied when it is full.
fn room<K, V>(map: &mut FxHashMap<K, V>) -> &mut FxHashMap<K, V> {
    if map.len() >= MAX_CALLS {
        map.clear();
    }
    map
}

#[cfg(test)]
mod tests {
    use super::{Call, MIN_SEEN, MIN_SHARE, Pairs};

    #[test]
    fn a_call_must_be_seen_often_and_not_be_a_rarity_of_its_callee() {
        let mut pairs = Pairs::default();
        let often = Call { caller: 1, instruction: 10, callee: 2 };
        let rare = Call { caller: 3, instruction: 30, callee: 2 };
        for _ in 0..MIN_SEEN {
            assert!(!pairs.proven(often));
            pairs.learn(often);
            pairs.learn(rare);
        }
        assert!(pairs.proven(often) && pairs.proven(rare));
        for _ in 0..MIN_SEEN * MIN_SHARE * 2 {
            pairs.learn(often);
        }
        assert!(pairs.proven(often) && !pairs.proven(rare));
        pairs.confirm(rare);
        assert!(pairs.proven(rare));
    }
}
