//! Where native code entered the interpreter (3.11+).

use pyprof_core::python::frame::RawFrame;

use super::{Entry, Problem};
use crate::stack::StackCopy;

/// `_PyCFrame` of 3.11 (`Include/cpython/pystate.h`): `use_tracing`, `current_frame`, `previous`
const CURRENT_FRAME: u64 = 8;
const PREVIOUS: u64 = 16;

/// 3.12+: the markers are among the frames. One that is not on the stack belongs to the thread state (3.15's
/// `base_frame`) and marks no entry.
pub(super) fn by_markers(python: &[RawFrame], stack: &StackCopy) -> Result<Vec<Entry>, Problem> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, frame) in python.iter().enumerate() {
        if frame.is_marker() {
            if stack.contains(frame.address) {
                // The stack grows downwards.
                if entries.last().is_some_and(|entry| entry.marker <= frame.address) {
                    return Err(Problem::Entries);
                }
                entries.push(Entry { marker: frame.address, frames: index + 1..index + 1 });
            } else if index != 0 {
                return Err(Problem::Entries);
            }
        } else {
            entries.last_mut().ok_or(Problem::Entries)?.frames.end = index + 1;
        }
    }
    Ok(entries)
}

/// 3.11: a chain of `_PyCFrame` from the thread's current one; each names the frame it has come to, and a frame says
/// whether it was entered from native code.
pub(super) fn by_cframes(python: &[RawFrame], cframe: u64, stack: &StackCopy) -> Result<Vec<Entry>, Problem> {
    let mut entries = Vec::new();
    let mut end = python.len();
    let mut cframe = cframe;
    while end > 0 {
        let start = python[..end].iter().rposition(|frame| frame.is_entry).ok_or(Problem::Entries)?;
        let current = stack.word(cframe.wrapping_add(CURRENT_FRAME)).ok_or(Problem::Entries)?;
        if current != python[end - 1].address {
            return Err(Problem::Entries);
        }
        entries.push(Entry { marker: cframe, frames: start..end });
        let previous = stack.word(cframe.wrapping_add(PREVIOUS)).ok_or(Problem::Entries)?;
        if start > 0 && previous <= cframe {
            return Err(Problem::Entries);
        }
        cframe = previous;
        end = start;
    }
    entries.reverse();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(address: u64, owner: u8, is_entry: bool) -> RawFrame {
        RawFrame { address, code: 1, owner, is_entry, executing: true, ..RawFrame::default() }
    }

    fn stack(words: &[(u64, u64)]) -> StackCopy {
        let mut bytes = vec![0; 0x1000];
        for (address, word) in words {
            let at = (address - 0x7000) as usize;
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        StackCopy { sp: 0x7000, bytes }
    }

    #[test]
    fn markers_on_the_stack_divide_the_frames() {
        let python = [
            frame(0x100, 3, false), // the thread state's own
            frame(0x7f00, 3, false),
            frame(0x200, 0, false),
            frame(0x210, 0, false),
            frame(0x7400, 3, false),
            frame(0x220, 0, false),
        ];
        let entries = by_markers(&python, &stack(&[])).unwrap();
        assert_eq!(entries, [Entry { marker: 0x7f00, frames: 2..4 }, Entry { marker: 0x7400, frames: 5..6 }]);
        assert_eq!(by_markers(&python[2..], &stack(&[])), Err(Problem::Entries), "a frame nobody runs");
        let upside_down = [python[4], python[5], python[1], python[2]];
        assert_eq!(by_markers(&upside_down, &stack(&[])), Err(Problem::Entries));
    }

    #[test]
    fn a_chain_of_cframes_must_name_the_frames() {
        let python = [frame(0x200, 0, true), frame(0x210, 0, false), frame(0x220, 0, true)];
        let words = [(0x7108, 0x220), (0x7110, 0x7400), (0x7408, 0x210), (0x7410, 0x9999)];
        let entries = by_cframes(&python, 0x7100, &stack(&words)).unwrap();
        assert_eq!(entries, [Entry { marker: 0x7400, frames: 0..2 }, Entry { marker: 0x7100, frames: 2..3 }]);
        let other_moment = [(0x7108, 0x220), (0x7110, 0x7400), (0x7408, 0x200), (0x7410, 0x9999)];
        assert_eq!(by_cframes(&python, 0x7100, &stack(&other_moment)), Err(Problem::Entries));
        let circle = [(0x7108, 0x220), (0x7110, 0x7100)];
        assert_eq!(by_cframes(&python, 0x7100, &stack(&circle)), Err(Problem::Entries));
    }
}
