//! Python's frames and native ones in one stack, in their true order.
//!
//! By address, not by name: when native code enters the interpreter, the evaluation function puts an entry marker into
//! its own frame on the C stack (a `_PyCFrame` on 3.11, a frame without code from 3.12 on). The native frame in whose
//! range the marker lies is the one that runs the Python frames above it. Up to 3.10 every Python frame has an
//! evaluation function of its own, see [`objects`].

mod entries;
mod objects;
pub mod plumbing;

use std::ops::Range;

use pyprof_core::python::frame::RawFrame;
use pyprof_core::python::layout::{FrameRoot, Layout};

use crate::modules::Modules;
use crate::stack::StackCopy;
use crate::unwind::{Evaluation, Unwound};

/// One place in a merged stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Index into the Python frames given
    Python(usize),
    /// Index into [`Unwound::frames`]
    Native(usize),
}

/// Why two stacks could not be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The native stack does not reach the thread's root
    NativeCut,
    /// Python frames and entry markers do not fit each other: they are of different moments
    Entries,
    /// A marker lies in no native frame, or two lie in the same
    Unplaced,
    /// No evaluation function is known (3.8 to 3.10), or not as many of its frames as there are Python frames
    Evaluations,
}

/// A merged stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Root first. Frames of the evaluation function are left out: the Python frames stand in their place
    pub slots: Vec<Slot>,
    /// `None`: every entry marker lies in one native frame, every Python frame has its place, and the native stack
    /// reaches the thread's root. Otherwise `slots` holds the Python frames only
    pub problem: Option<Problem>,
}

impl Merged {
    /// Nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.problem.is_none()
    }
}

/// Python frames that one evaluation function runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The entry marker's address
    pub marker: u64,
    /// Which of the Python frames, root first
    pub frames: Range<usize>,
}

/// Merges the stacks of one process.
#[derive(Debug)]
pub struct Merger {
    version: (u8, u8),
    evaluation: Option<Evaluation>,
    /// 3.8 to 3.10
    objects: objects::Evaluations,
    /// Where `_PyCFrame` has its fields (3.11)
    has_cframes: bool,
}

impl Merger {
    /// For an interpreter of this layout.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        // 3.12 has a _PyCFrame too, but also markers among its frames.
        let has_cframes =
            matches!(layout.thread.frame_root, FrameRoot::CFrame(..)) && layout.version < (3, 12);
        Self {
            version: layout.version,
            evaluation: None,
            objects: objects::Evaluations::default(),
            has_cframes,
        }
    }

    /// Where in the thread state the current `_PyCFrame` is named, when merging needs it (3.11), in bytes.
    #[must_use]
    pub fn cframe_field(layout: &Layout) -> Option<u64> {
        match layout.thread.frame_root {
            FrameRoot::CFrame(pointer, _) if layout.version < (3, 12) => Some(pointer),
            _ => None,
        }
    }

    /// The shape of the evaluation function's frames, once a stack has been merged.
    #[must_use]
    pub fn evaluation(&self) -> Option<Evaluation> {
        self.evaluation
    }

    /// Addresses of the entry markers on this stack, ascending: see [`crate::Hints`].
    #[must_use]
    pub fn markers(&self, python: &[RawFrame], cframe: Option<u64>, stack: &StackCopy) -> Vec<u64> {
        let entries = self.entries(python, cframe, stack).unwrap_or_default();
        entries.iter().rev().map(|entry| entry.marker).collect()
    }

    /// `python`: root first, entry markers included, as the core's reader has them. `cframe`: the thread's current
    /// `_PyCFrame` at that moment (3.11 only, see [`Merger::cframe_field`]).
    pub fn merge(
        &mut self,
        modules: &Modules,
        python: &[RawFrame],
        cframe: Option<u64>,
        native: &Unwound,
        stack: &StackCopy,
    ) -> Merged {
        let slots = self.slots(modules, python, cframe, native, stack);
        match slots {
            Ok(slots) => Merged { slots, problem: None },
            Err(problem) => Merged {
                slots: (0..python.len())
                    .filter(|&index| !python[index].is_marker())
                    .map(Slot::Python)
                    .collect(),
                problem: Some(problem),
            },
        }
    }

    fn slots(
        &mut self,
        modules: &Modules,
        python: &[RawFrame],
        cframe: Option<u64>,
        native: &Unwound,
        stack: &StackCopy,
    ) -> Result<Vec<Slot>, Problem> {
        if !native.complete {
            return Err(Problem::NativeCut);
        }
        if self.version < (3, 11) {
            let places = self.objects.place(modules, python, native, stack)?;
            let one = |(index, place): (usize, usize)| (place, index..index + 1);
            return Ok(weave(native, python, places.into_iter().enumerate().map(one)));
        }
        let entries = self.entries(python, cframe, stack)?;
        let places = place(&entries, native)?;
        for ((index, _), entry) in places.iter().zip(&entries) {
            let frame = &native.frames[*index];
            if frame.function != 0 {
                let marker_to_cfa = frame.cfa - entry.marker;
                self.evaluation = Some(Evaluation { lookup: frame.lookup(), marker_to_cfa });
            }
        }
        Ok(weave(native, python, places.into_iter()))
    }

    fn entries(
        &self,
        python: &[RawFrame],
        cframe: Option<u64>,
        stack: &StackCopy,
    ) -> Result<Vec<Entry>, Problem> {
        match (self.version, self.has_cframes) {
            ((3, ..=10), _) => Ok(Vec::new()),
            (_, true) => entries::by_cframes(python, cframe.ok_or(Problem::Entries)?, stack),
            (_, false) => entries::by_markers(python, stack),
        }
    }
}

/// For each entry the native frame in whose range its marker lies; each has one of its own. Root first.
fn place(entries: &[Entry], native: &Unwound) -> Result<Vec<(usize, Range<usize>)>, Problem> {
    let mut caller = native.frames.len();
    let mut places = Vec::with_capacity(entries.len());
    for entry in entries {
        let index = native.frames.partition_point(|frame| frame.sp <= entry.marker);
        let index = index.checked_sub(1).ok_or(Problem::Unplaced)?;
        if entry.marker >= native.frames[index].cfa || index >= caller {
            return Err(Problem::Unplaced);
        }
        caller = index;
        places.push((index, entry.frames.clone()));
    }
    Ok(places)
}

/// All frames, root first, with Python frames where the native frame was that runs them. `places`: root first.
fn weave(
    native: &Unwound,
    python: &[RawFrame],
    places: impl Iterator<Item = (usize, Range<usize>)>,
) -> Vec<Slot> {
    let mut slots = Vec::with_capacity(native.frames.len() + python.len());
    let mut next = native.frames.len();
    for (place, frames) in places {
        slots.extend((place + 1..next).rev().map(Slot::Native));
        slots.extend(frames.filter(|&index| !python[index].is_marker()).map(Slot::Python));
        next = place;
    }
    slots.extend((0..next).rev().map(Slot::Native));
    slots
}

#[cfg(test)]
mod tests {
    use super::Slot::{Native, Python};
    use super::*;
    use crate::unwind::{NativeFrame, Stop};

    /// Frames of 0x100 bytes each, the leaf's at 0x1000.
    fn native(count: u64) -> Unwound {
        let frame = |index: u64| NativeFrame {
            ip: index,
            is_return_address: index != 0,
            sp: 0x1000 + index * 0x100,
            cfa: 0x1100 + index * 0x100,
            function: 1,
            kept: [0; 11],
            keeps_unknown: false,
        };
        Unwound { frames: (0..count).map(frame).collect(), complete: true, stop: Stop::Root }
    }

    fn python(count: u64) -> Vec<RawFrame> {
        let frame = |address| RawFrame { address, code: 1, executing: true, ..RawFrame::default() };
        (0..count).map(frame).collect()
    }

    fn entry(marker: u64, frames: Range<usize>) -> Entry {
        Entry { marker, frames }
    }

    #[test]
    fn python_frames_stand_where_the_marker_lies() {
        let native = native(5);
        let entries = [entry(0x1380, 0..2), entry(0x1100, 2..3)];
        let places = place(&entries, &native).unwrap();
        assert_eq!(places, [(3, 0..2), (1, 2..3)]);
        let slots = weave(&native, &python(3), places.into_iter());
        assert_eq!(slots, [Native(4), Python(0), Python(1), Native(2), Python(2), Native(0)]);
    }

    #[test]
    fn a_marker_without_a_frame_of_its_own_is_refused() {
        let native = native(5);
        let refused = |entries: &[Entry]| place(entries, &native) == Err(Problem::Unplaced);
        assert!(refused(&[entry(0xfff, 0..1)]), "below the stack");
        assert!(refused(&[entry(0x1500, 0..1)]), "above it");
        assert!(refused(&[entry(0x1180, 0..1), entry(0x1110, 1..2)]), "two in one frame");
        assert!(refused(&[entry(0x1180, 0..1), entry(0x1280, 1..2)]), "the wrong way round");
        let mut gap = native.clone();
        gap.frames.remove(2);
        assert_eq!(place(&[entry(0x1280, 0..1)], &gap), Err(Problem::Unplaced), "between two frames");
    }
}
