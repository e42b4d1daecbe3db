//! One look at a blocked thread: its native stack and Python's, of the same moment, merged.

use pyprof_core::memory::RemoteMemory;
use pyprof_core::python::frame::RawFrame;

use crate::blocked::{Blocked, MAX_STACK, WaitingThread, read_stack};
use crate::merge::{Merged, Merger, Problem};
use crate::stack::StackCopy;
use crate::unwind::{Hints, Stop, Unwinder, Unwound};

/// Bytes of a stack that are copied first. What calls a C function from Python mostly needs less.
const FIRST_COPY: usize = 64 << 10;
/// A copy that was too short is made so many times longer.
const GROW: usize = 8;

/// A thread that is blocked, and the lower end of its stack.
#[derive(Debug)]
pub struct Caught<'a> {
    thread: &'a WaitingThread,
    /// Where it waits
    pub blocked: Blocked,
    stack: StackCopy,
}

impl<'a> Caught<'a> {
    /// Begins a look; `None` when the thread runs.
    pub fn begin(thread: &'a WaitingThread, memory: &dyn RemoteMemory) -> Option<Self> {
        let blocked = thread.look().ok()??;
        let stack = read_stack(memory, blocked.regs.sp, FIRST_COPY);
        Some(Self { thread, blocked, stack })
    }

    /// Unwinds; more of the stack is read as far as it takes.
    pub fn unwind(
        &mut self,
        unwinder: &mut Unwinder,
        memory: &dyn RemoteMemory,
        hints: Hints<'_>,
    ) -> Unwound {
        loop {
            let unwound = unwinder.unwind_with(&self.blocked.regs, &self.stack, hints);
            let len = self.stack.bytes.len();
            if !matches!(unwound.stop, Stop::Unread(_)) || len >= MAX_STACK {
                return unwound;
            }
            let longer = read_stack(memory, self.stack.sp, len.saturating_mul(GROW));
            if longer.bytes.len() <= len {
                return unwound;
            }
            self.stack = longer;
        }
    }

    /// Merges the frames of the thread's Python stack in; `cframe`: see [`Merger::merge`].
    pub fn merge(
        &mut self,
        unwinder: &mut Unwinder,
        merger: &mut Merger,
        memory: &dyn RemoteMemory,
        python: &[RawFrame],
        cframe: Option<u64>,
    ) -> (Unwound, Merged) {
        let mut hints = Hints { markers: &[], evaluation: merger.evaluation() };
        let mut native = self.unwind(unwinder, memory, hints);
        let mut merged = merger.merge(unwinder.modules(), python, cframe, &native, &self.stack);
        // Code made at run time has no unwind information: the markers lead through it.
        if merged.problem == Some(Problem::NativeCut) && matches!(native.stop, Stop::NoRule(_)) {
            let markers = merger.markers(python, cframe, &self.stack);
            hints.markers = &markers;
            native = self.unwind(unwinder, memory, hints);
            merged = merger.merge(unwinder.modules(), python, cframe, &native, &self.stack);
        }
        (native, merged)
    }

    /// Ends the look: whether the thread has been blocked all through it, so that all that was read is of one moment.
    #[must_use]
    pub fn held(&self) -> bool {
        self.thread.stayed(&self.blocked)
    }
}
