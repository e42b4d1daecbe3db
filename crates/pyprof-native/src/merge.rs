//! Python's frames and native ones in one stack, in their true order.

use pyprof_core::python::frame::RawFrame;
use pyprof_core::python::layout::Layout;

use crate::stack::StackCopy;
use crate::unwind::Unwound;

/// One place in a merged stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Index into the Python frames given
    Python(usize),
    /// Index into [`Unwound::frames`]
    Native(usize),
}

/// A merged stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Root first. Frames of the evaluation function are left out: the Python frames stand in their place
    pub slots: Vec<Slot>,
    /// Every entry marker lies in one native frame, every Python frame has its place, and the native stack reaches the
    /// thread's root. When false `slots` holds the Python frames only
    pub complete: bool,
}

/// Merges the stacks of one process.
#[derive(Debug)]
pub struct Merger {
    version: (u8, u8),
}

impl Merger {
    /// For an interpreter of this layout.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        Self { version: layout.version }
    }

    /// `python`: root first, entry markers included, as the core's reader has them. `cframe`: the thread's current
    /// `_PyCFrame` at that moment (3.11 only, `tstate->cframe`).
    pub fn merge(
        &mut self,
        python: &[RawFrame],
        cframe: Option<u64>,
        native: &Unwound,
        stack: &StackCopy,
    ) -> Merged {
        let _ = (cframe, native, stack, self.version);
        let slots = (0..python.len()).filter(|&index| !python[index].is_marker()).map(Slot::Python);
        Merged { slots: slots.collect(), complete: false }
    }
}
