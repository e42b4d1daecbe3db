//! Where the instructions of a code object lie: in the object itself, and from 3.14 on, in free-threaded builds, in
//! a copy that each thread has for itself (`_PyCodeArray`, `Include/cpython/code.h`: `size`, then the addresses of
//! the copies by `tlbc_index`, the object's own instructions first).

use std::io;

use crate::memory::RemoteMemory;
use crate::python::layout::Layout;
use crate::python::unicode::word;

/// Threads whose copies are known; an index is used again when its thread has ended.
const MAX_COPIES: u64 = 4096;

/// Addresses of the copies that threads have of the instructions of `code`; none where all share the object's own.
///
/// # Errors
/// What reading memory said.
pub fn copies(memory: &dyn RemoteMemory, layout: &Layout, code: u64) -> io::Result<Vec<u64>> {
    let Some(field) = layout.code.tlbc else { return Ok(Vec::new()) };
    let array = memory.read_u64(code.wrapping_add(field))?;
    if array == 0 {
        return Ok(Vec::new());
    }
    let count = memory.read_u64(array)?.min(MAX_COPIES);
    let entries = memory.read_vec(array.wrapping_add(8), count as usize * 8)?;
    let entries = entries.chunks_exact(8).filter_map(|entry| word(entry, 0));
    // A thread that has not run the function has no copy of it.
    Ok(entries.filter(|&entry| entry != 0).collect())
}

/// Length of the instructions of `code` in bytes: `ob_size` counts units of two (3.11+).
///
/// # Errors
/// What reading memory said.
pub fn length(memory: &dyn RemoteMemory, layout: &Layout, code: u64) -> io::Result<u64> {
    Ok(memory.read_u64(code.wrapping_add(layout.objects.ob_size))?.saturating_mul(2))
}

/// Where the instructions of `code` begin among which `instruction` is, in the object or in a thread's copy, and how
/// many bytes they have; `None` when it is none of them.
pub fn around(memory: &dyn RemoteMemory, layout: &Layout, code: u64, instruction: u64) -> Option<(u64, u64)> {
    let length = length(memory, layout, code).ok()?;
    let inside = |start: &u64| instruction.wrapping_sub(*start) < length;
    let own = Some(code.wrapping_add(layout.code.instructions?)).filter(inside);
    let start = own.or_else(|| copies(memory, layout, code).ok()?.into_iter().find(inside))?;
    Some((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::layout::all_tables;
    use crate::testing::FakeMemory;

    const CODE: u64 = 0x1_0000;

    fn threaded() -> Layout {
        let mut layout = all_tables().swap_remove(5);
        layout.free_threaded = true;
        layout.code.tlbc = Some(layout.code.size - 8);
        layout
    }

    fn memory(layout: &Layout, entries: &[u64], size: u64) -> FakeMemory {
        let mut object = vec![0; layout.code.size as usize];
        let mut put = |at: u64, value: u64| {
            object[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
        };
        put(layout.objects.ob_size, 10);
        put(layout.code.tlbc.unwrap(), 0x2_0000);
        let array = [&[size], entries].concat();
        let mut memory = FakeMemory::default();
        memory.map(CODE, object);
        memory.map(0x2_0000, array.iter().flat_map(|word| word.to_le_bytes()).collect());
        memory
    }

    #[test]
    fn instructions_are_those_of_the_object_and_of_every_copy() {
        let layout = threaded();
        let own = CODE + layout.code.instructions.unwrap();
        let memory = memory(&layout, &[own, 0, 0x3_0000], 3);
        assert_eq!(copies(&memory, &layout, CODE).unwrap(), [own, 0x3_0000]);
        for (instruction, yes) in [
            (own, true),
            (own + 19, true),
            (own + 20, false),
            (0x3_0012, true),
            (0x3_0014, false),
            (0, false),
        ] {
            assert_eq!(around(&memory, &layout, CODE, instruction).is_some(), yes, "{instruction:#x}");
        }
    }

    #[test]
    fn an_endless_list_of_copies_is_read_as_far_as_is_sane() {
        let layout = threaded();
        let memory = memory(&layout, &vec![0x3_0000; 5000], u64::MAX);
        assert_eq!(copies(&memory, &layout, CODE).unwrap().len() as u64, MAX_COPIES);
    }
}
