//! How much of the stack of a look has certain names, and what of it has been named before.

use super::Member;
use super::look::Look;
use crate::python::code_cache::Epoch;
use crate::python::frame::RawFrame;
use crate::sampler::engine::{Place, Seen};
use crate::sampler::thread::{Named, SampledThread};

/// The stack of a look, as far as its names are certain.
#[derive(Debug)]
pub(super) struct Certain<'a> {
    /// Root first
    pub(super) stack: &'a [RawFrame],
    /// More frames were above
    pub(super) cut: bool,
    /// Where frames that are not Python's belong, if that is certain
    pub(super) places: Option<Vec<Place>>,
    /// What of it has been named before
    pub(super) base: Base,
}

/// The lower part of a stack, which is as it was in earlier looks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    /// There is none, or it is named with the rest
    None,
    /// It has this stack
    Named(Named),
    /// It is to be named as of now, for the looks to come too
    New((u64, usize), Epoch),
}

impl Base {
    /// Of the first `sure` frames of a stack, whose names alone are certain. `base`: how many have not moved, see
    /// [`Look`]; `named`: what they were named, if that still holds; `epoch`: now, if all names are certain.
    fn of(base: (u64, usize), sure: usize, named: Option<Named>, epoch: Option<Epoch>) -> Self {
        match (named, epoch) {
            // What is doubtful above can stand in the part below too, and then all of that is not certain either.
            _ if base.1 == 0 || base.1 > sure => Self::None,
            (Some(named), _) => Self::Named(named),
            (None, Some(epoch)) => Self::New(base, epoch),
            (None, None) => Self::None,
        }
    }

    /// How many frames it has.
    pub(super) fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Named(named) => named.base.1,
            Self::New(base, _) => base.1,
        }
    }
}

impl Member {
    /// Names the stack of a look at `seen`. `cut`: frames are missing above it. `None`: no frame of it is certain.
    pub(super) fn name<'a>(&mut self, look: &'a Look, seen: Seen, cut: bool) -> Option<Certain<'a>> {
        let (whole, base) = (&look.stack, look.base);
        let named = self.threads.get(&look.address).and_then(|thread| thread.named(base));
        // What cannot be read is named so; that the process is gone shows in the next look.
        let epoch = named.map(|named| named.epoch);
        let learnt = self.process.learn_codes_above(look.interpreter, whole, base.1, epoch);
        let (epoch, same) = learnt.unwrap_or((None, false));
        // Functions of a thread that has ended meanwhile can be gone, and their place another's.
        if self.process.codes.has_newest() && !self.process.reader.still_runs(look.address, look.header) {
            self.process.codes.doubt_newest();
        }
        // A function that was replaced before its name could be read: what ran above it is cut with it.
        let sure = self.process.codes.sure(whole);
        let (stack, all) = (&whole[..sure], sure == whole.len());
        if !all && stack.iter().all(RawFrame::is_marker) {
            return None;
        }
        let cut = cut || !all;
        let places = match &mut self.probe {
            Some(probe) if !cut => probe.extend(&self.process, seen, stack),
            _ => None,
        };
        // What was read of a thread that ran meanwhile is of another moment.
        let rests = || self.threads.get(&look.address).is_some_and(SampledThread::still_rests);
        let places = places.filter(|_| !seen.rests || rests());
        let base = Base::of(base, sure, named.filter(|_| same), epoch.filter(|_| all));
        Some(Certain { stack, cut, places, base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::EMPTY_STACK;
    use crate::python::code_cache::CodeCache;
    use crate::python::layout::all_tables;
    use crate::testing::FakeMemory;

    fn frame(code: u64) -> RawFrame {
        RawFrame { code, executing: true, ..RawFrame::default() }
    }

    /// How many frames of `stack` have certain names, and how many of them are the base's, if `doubtful` is the code
    /// object that is none and the first two frames have been named before (`named`), or not.
    fn parts(stack: &[RawFrame], doubtful: u64, named: bool) -> (usize, usize) {
        let mut codes = CodeCache::default();
        let epoch = codes.epoch(None, 0).unwrap();
        // Nothing is there.
        let memory = FakeMemory::default();
        codes.refresh(&memory, &all_tables()[0], None, std::iter::once(doubtful)).unwrap();
        let (base, sure) = ((7, 2), codes.sure(stack));
        let named = named.then_some(Named { base, epoch, stack: EMPTY_STACK });
        let base = Base::of(base, sure, named, Some(epoch).filter(|_| sure == stack.len()));
        (sure, stack[..sure].split_at(base.len()).0.len())
    }

    #[test]
    fn a_stack_is_cut_below_the_first_doubtful_function_wherever_that_stands() {
        let stack = [1, 2, 3, 2].map(frame);
        for named in [true, false] {
            assert_eq!(parts(&stack, 9, named), (4, 2), "nothing is doubtful");
            assert_eq!(parts(&stack, 2, named), (1, 0), "it stands in the base too");
            assert_eq!(parts(&stack, 1, named), (0, 0));
            assert_eq!(parts(&stack[..1], 9, named), (1, 0), "a base that is no part of the stack");
        }
        assert_eq!(parts(&stack, 3, true), (2, 2), "right above the base");
        assert_eq!(parts(&stack, 3, false), (2, 0), "what is cut is not kept");
        let marker = RawFrame { owner: 3, ..frame(2) };
        assert_eq!(parts(&[frame(1), marker, frame(2)], 2, true), (2, 2), "a marker has no function");
    }
}
