//! Builds with `Py_TRACE_REFS` up to 3.12, in which every object begins with two more pointers (`_ob_next`,
//! `_ob_prev`, `Include/object.h`), so that no table fits.

use super::Layout;
use crate::memory::RemoteMemory;

/// Bytes of the two pointers.
const MORE: u64 = 16;

/// Whether objects of the interpreter at `runtime` are that much longer than `layout` has them: then the type of the
/// dict behind `sys.modules` is found only there. The type of every type's type is itself.
pub(super) fn has_them(memory: &dyn RemoteMemory, layout: &Layout, runtime: u64) -> bool {
    let word = |at: u64| memory.read_u64(at).ok().filter(|word| *word != 0 && word.is_multiple_of(8));
    let Some(main) = layout.runtime.interpreters_main else { return false };
    let modules = word(runtime.wrapping_add(main))
        .and_then(|interpreter| word(interpreter.wrapping_add(layout.interpreter.modules)));
    let Some(modules) = modules else { return false };
    let typed_at = |header: u64| {
        let type_of = |object: u64| word(object.wrapping_add(header));
        let meta = type_of(modules).and_then(type_of);
        meta.is_some_and(|meta| type_of(meta) == Some(meta))
    };
    let header = layout.objects.ob_type;
    !typed_at(header) && typed_at(header + MORE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::layout::python3_11::LAYOUT;
    use crate::testing::FakeMemory;

    /// A runtime whose `sys.modules` is an object with its type's address at `type_at`.
    fn memory(type_at: u64) -> FakeMemory {
        let (runtime, interpreter, dict, dict_type, meta) = (0x1000, 0x2000, 0x9000, 0xa000, 0xb000);
        let mut memory = FakeMemory::default();
        for (address, size) in
            [(runtime, 0x100), (interpreter, 0x2000), (dict, 64), (dict_type, 64), (meta, 64)]
        {
            memory.map(address, vec![0; size]);
        }
        memory.write_u64(runtime + LAYOUT.runtime.interpreters_main.unwrap(), interpreter);
        memory.write_u64(interpreter + LAYOUT.interpreter.modules, dict);
        for (object, kind) in [(dict, dict_type), (dict_type, meta), (meta, meta)] {
            memory.write_u64(object + type_at, kind);
        }
        memory
    }

    #[test]
    fn longer_headers_are_told_from_others() {
        assert!(!has_them(&memory(8), &LAYOUT, 0x1000));
        assert!(has_them(&memory(24), &LAYOUT, 0x1000));
        assert!(!has_them(&memory(32), &LAYOUT, 0x1000));
        assert!(!has_them(&FakeMemory::default(), &LAYOUT, 0x1000));
    }
}
