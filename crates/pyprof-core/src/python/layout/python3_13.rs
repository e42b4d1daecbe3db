//! `CPython` 3.13: the fields of its `_Py_DebugOffsets` in their order, and what that table lacks.

use super::from_target::{Generation, Minor, Sizes};

/// `_Py_DebugOffsets` of 3.13 (`Include/internal/pycore_runtime.h`); each field is 64 bits.
const FIELDS: &[&str] = &[
    "cookie",
    "version",
    "free_threaded",
    "runtime_state.size",
    "runtime_state.finalizing",
    "runtime_state.interpreters_head",
    "interpreter_state.size",
    "interpreter_state.id",
    "interpreter_state.next",
    "interpreter_state.threads_head",
    "interpreter_state.gc",
    "interpreter_state.imports_modules",
    "interpreter_state.sysdict",
    "interpreter_state.builtins",
    "interpreter_state.ceval_gil",
    "interpreter_state.gil_runtime_state",
    "interpreter_state.gil_runtime_state_enabled",
    "interpreter_state.gil_runtime_state_locked",
    "interpreter_state.gil_runtime_state_holder",
    "thread_state.size",
    "thread_state.prev",
    "thread_state.next",
    "thread_state.interp",
    "thread_state.current_frame",
    "thread_state.thread_id",
    "thread_state.native_thread_id",
    "thread_state.datastack_chunk",
    "thread_state.status",
    "interpreter_frame.size",
    "interpreter_frame.previous",
    "interpreter_frame.executable",
    "interpreter_frame.instr_ptr",
    "interpreter_frame.localsplus",
    "interpreter_frame.owner",
    "code_object.size",
    "code_object.filename",
    "code_object.name",
    "code_object.qualname",
    "code_object.linetable",
    "code_object.firstlineno",
    "code_object.argcount",
    "code_object.localsplusnames",
    "code_object.localspluskinds",
    "code_object.co_code_adaptive",
    "pyobject.size",
    "pyobject.ob_type",
    "type_object.size",
    "type_object.tp_name",
    "type_object.tp_repr",
    "type_object.tp_flags",
    "tuple_object.size",
    "tuple_object.ob_item",
    "tuple_object.ob_size",
    "list_object.size",
    "list_object.ob_item",
    "list_object.ob_size",
    "dict_object.size",
    "dict_object.ma_keys",
    "dict_object.ma_values",
    "float_object.size",
    "float_object.ob_fval",
    "long_object.size",
    "long_object.lv_tag",
    "long_object.ob_digit",
    "bytes_object.size",
    "bytes_object.ob_size",
    "bytes_object.ob_sval",
    "unicode_object.size",
    "unicode_object.state",
    "unicode_object.length",
    "unicode_object.asciiobject_size",
    "gc.size",
    "gc.collecting",
];

/// What is particular to 3.13.
pub(super) const MINOR: Minor = Minor {
    number: 13,
    fields: FIELDS,
    generation: Generation::FunctionVersion(function_version),
    cached_keys_after_type_name: 856,
    tagged: false,
};

/// `func_state.next_version`. Debug builds (`Py_DEBUG`) have more before it, and nothing but sizes tells them from
/// others. Where these are none that a known build has, it is better not to believe a counter at all.
fn function_version(sizes: &Sizes) -> Option<u64> {
    let rest = sizes.runtime.checked_sub(sizes.interpreter)?;
    match (sizes.free_threaded, sizes.interpreter, rest) {
        // `PyInterpreterState` has grown by 16 bytes from 3.13.0 on, by 8 more with `Py_TRACE_REFS`.
        (false, 194_968.., 88_000..=96_000) if sizes.interpreter % 16 == 8 => Some(17_000),
        (false, 194_984.., 104_000..=112_000) if sizes.interpreter % 16 == 8 => Some(17_016),
        (true, 215_616, _) => Some(20_092),
        (true, 218_112, _) => Some(20_172),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Sizes, function_version};

    #[test]
    fn a_counter_is_believed_in_known_builds_only() {
        // As a C compiler has them: 3.13.0 and 3.13.18, plain, debug and with traced references.
        for (free_threaded, runtime, interpreter, offset) in [
            (false, 283_320, 194_968, Some(17_000)),
            (false, 283_408, 194_984, Some(17_000)),
            (false, 299_336, 194_984, Some(17_016)),
            (false, 299_424, 195_000, Some(17_016)),
            (false, 283_328, 194_976, None),
            (false, 299_432, 195_008, None),
            (true, 328_256, 215_616, Some(20_092)),
            (true, 346_880, 218_112, Some(20_172)),
            (true, 346_880, 218_120, None),
            (false, 8, 16, None),
        ] {
            let sizes = Sizes { free_threaded, runtime, interpreter };
            assert_eq!(function_version(&sizes), offset, "{runtime} {interpreter}");
        }
    }
}
