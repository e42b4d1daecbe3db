//! 3.8 to 3.10: every Python frame has an evaluation function of its own on the C stack.
//!
//! Frames are objects in the heap, and nothing of them lies on the C stack but their addresses. `_PyEval_EvalFrameDefault`
//! works on one frame object and keeps its address in a register or in its own frame for as long as it runs. So its
//! native frames must be as many as the Python frames, and each, in order, must hold the address of its own.

use std::sync::Arc;

use pyprof_core::python::frame::RawFrame;
use rustc_hash::FxHashMap;

use super::Problem;
use crate::modules::{Library, Modules};
use crate::stack::StackCopy;
use crate::unwind::{NativeFrame, Unwound};

/// Exported by every build: embedders and debuggers replace it by name.
const EVALUATION: &str = "_PyEval_EvalFrameDefault";
/// Files without that symbol that are remembered.
const MAX_FILES: usize = 4096;

/// Where the evaluation function is, by file.
#[derive(Debug, Default)]
pub(super) struct Evaluations {
    /// By the file's address
    known: FxHashMap<usize, Known>,
}

/// A file, kept alive so that no other one takes its address, and the function's first address and the one behind it:
/// `None` when the file does not hold the function.
type Known = (Arc<Library>, Option<(u64, u64)>);

impl Evaluations {
    /// For each Python frame, root first, which native frame runs it.
    pub fn place(
        &mut self,
        modules: &Modules,
        python: &[RawFrame],
        native: &Unwound,
        stack: &StackCopy,
    ) -> Result<Vec<usize>, Problem> {
        let mut size = None;
        for frame in &native.frames {
            if self.is_evaluation(modules, frame) {
                size = Some(frame.cfa - frame.sp);
            }
        }
        // Compilers move what seldom runs out of a function (`.cold`), where stripped files have no name for it. Such a
        // frame is of the same size, in the same file, and holds the frame object that comes next.
        let size = match size {
            None if python.is_empty() => return Ok(Vec::new()),
            size => size.ok_or(Problem::Evaluations)?,
        };
        let mut places = Vec::with_capacity(python.len());
        let mut idle = false;
        for (index, frame) in native.frames.iter().enumerate().rev() {
            let wanted = python.get(places.len()).map(|wanted| wanted.address);
            if self.is_evaluation(modules, frame) {
                // The innermost one may not have begun with its frame yet, or have ended already: at its first and
                // last instructions the frame is not the thread's.
                if wanted.is_none() && !idle {
                    idle = true;
                    continue;
                }
                if !wanted.is_some_and(|wanted| holds(frame, wanted, stack)) {
                    return Err(Problem::Evaluations);
                }
                places.push(index);
            } else if frame.cfa - frame.sp == size
                && self.in_same_file(modules, frame)
                && wanted.is_some_and(|wanted| in_frame(frame, wanted, stack))
            {
                places.push(index);
            }
        }
        if places.len() == python.len() { Ok(places) } else { Err(Problem::Evaluations) }
    }

    /// The frame stands in the evaluation function.
    fn is_evaluation(&mut self, modules: &Modules, frame: &NativeFrame) -> bool {
        let Some(code) = modules.at(frame.lookup()) else { return false };
        let Some(library) = &code.library else { return false };
        if self.known.len() >= MAX_FILES {
            self.known.clear();
        }
        let (_, range) = self.known.entry(Arc::as_ptr(library) as usize).or_insert_with(|| {
            let [found] = library.elf.symbols(&library.source, [EVALUATION]);
            let range = found.map(|range| (range.address, range.address.saturating_add(range.size)));
            (Arc::clone(library), range)
        });
        let address = frame.lookup().wrapping_sub(code.bias);
        range.is_some_and(|(start, end)| (start..end).contains(&address))
    }

    /// The frame stands in a file that holds the evaluation function.
    fn in_same_file(&self, modules: &Modules, frame: &NativeFrame) -> bool {
        let library = modules.at(frame.lookup()).and_then(|code| code.library.as_ref());
        let known = library.and_then(|library| self.known.get(&(Arc::as_ptr(library) as usize)));
        known.is_some_and(|(_, range)| range.is_some())
    }
}

/// The frame or the registers it works with hold `object`. Of a blocked thread the kernel does not tell the registers: one
/// that nothing called from the frame has put away may hold it.
fn holds(frame: &NativeFrame, object: u64, stack: &StackCopy) -> bool {
    frame.kept.contains(&object) || in_frame(frame, object, stack) || frame.keeps_unknown
}

fn in_frame(frame: &NativeFrame, object: u64, stack: &StackCopy) -> bool {
    (frame.sp.next_multiple_of(8)..frame.cfa).step_by(8).any(|address| stack.word(address) == Some(object))
}
