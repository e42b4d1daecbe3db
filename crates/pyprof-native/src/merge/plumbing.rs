//! Native frames that say nothing: the interpreter's own way from one Python function to the next, and the C library's
//! way to `main`.

/// Beginnings of the interpreter's functions that only lead from a call in Python to the function called, or start it.
const PREFIXES: &[&str] = &[
    "_PyEval_",
    "PyEval_",
    "_PyFunction_",
    "_PyObject_Call",
    "_PyObject_FastCall",
    "_PyObject_MakeTpCall",
    "_PyObject_Vectorcall",
    "_PyVectorcall_",
    "PyObject_Call",
    "PyObject_Vectorcall",
    "PyVectorcall_",
    "_TAIL_CALL_",
    "_PyRun_",
    "PyRun_",
    "pyrun_",
    "run_eval_code_obj",
    "run_mod",
    "pymain_",
    "Py_RunMain",
    "Py_BytesMain",
    "Py_Main",
    "_Py_UnixMain",
    "cfunction_",
    "cfunction_vectorcall_",
    "method_vectorcall",
    "vectorcall_",
    "slot_",
    "gen_send_ex",
    "_PyGen_Send",
    "function_code_fastcall",
    "_PyMethodDef_RawFastCall",
    "_PyMethodDescr_FastCall",
    "_PyCFunction_",
    "PyCFunction_Call",
];

/// Further ones, whole.
const NAMES: &[&str] = &[
    "call_function",
    "do_call_core",
    "trace_call_function",
    "object_vacall",
    "method_call",
    "function_vectorcall",
    "builtin_exec",
    "exec_code_in_module",
    "lookup_maybe_method",
    "call_method",
    "call_unbound",
    "gen_iternext",
    "gen_send",
    "thread_run",
    "t_bootstrap",
    "pythread_wrapper",
    "_PyJIT",
    "_PyJIT_Entry",
    "_Py_LeaveRecursiveCallTstate",
];

/// How the C library starts a program or a thread.
const START: &[&str] = &[
    "_start",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "__libc_start_main_stage2",
    "libc_start_main_stage2",
    "start_thread",
    "clone",
    "clone3",
    "__clone",
    "__clone3",
    "__clone_internal",
    "start",
];

/// Whether a frame with this name is left out. `of_interpreter`: it lies in the file that holds the interpreter. There a
/// frame without a name (a stripped file) is left out too: nothing would tell it from plumbing.
#[must_use]
pub fn hides(name: Option<&str>, of_interpreter: bool) -> bool {
    let Some(name) = name else { return of_interpreter };
    // The parts into which compilers split functions: `name.cold`, `name.constprop.0`.
    let name = name.split('.').next().unwrap_or(name);
    if of_interpreter {
        name == "main"
            || START.contains(&name)
            || NAMES.contains(&name)
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    } else {
        START.contains(&name)
    }
}

/// Whether a file is the C library: without symbols, its frames below the first one shown can only be its way to `main`.
#[must_use]
pub fn is_c_library(module: &str) -> bool {
    let name = module.rsplit('/').next().unwrap_or_default();
    ["libc.so", "libc-", "ld-musl"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::hides;

    #[test]
    fn plumbing_is_hidden_and_work_is_shown() {
        for name in ["_PyEval_EvalFrameDefault.cold", "method_vectorcall_NOARGS", "run_mod", "main", "_start"]
        {
            assert!(hides(Some(name), true), "{name}");
        }
        for name in ["list_sort_impl", "builtin_sorted", "time_sleep", "functools_reduce", "long_pow"] {
            assert!(!hides(Some(name), true), "{name}");
        }
        assert!(hides(None, true));
        assert!(!hides(None, false));
        assert!(!hides(Some("main"), false), "a host that embeds Python");
        assert!(!hides(Some("_PyEval_MyOwn"), false));
        assert!(hides(Some("start_thread"), false));
    }
}
