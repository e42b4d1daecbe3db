//! The layouts beside what a C compiler makes of each Python's headers.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pyprof_core::memory::{Piece, RemoteMemory};
use pyprof_core::python::layout::{
    DATASTACK_LIMIT_AFTER_CHUNK, DATASTACK_TOP_AFTER_CHUNK, FrameRoot, InstanceValues, KeysSize, Layout,
    chunk, for_runtime,
};
use pyprof_core::python::located::{LocatedRuntime, Version};
use support::{Inspected, Interpreter, debug_builds, interpreters};

type Offsets = BTreeMap<&'static str, u64>;

/// The fields of a layout by the names that `layout_probe.c` prints.
fn fields(layout: &Layout) -> Offsets {
    let mut all = Offsets::new();
    let mut put = |name, value: Option<u64>| {
        if let Some(value) = value {
            all.insert(name, value);
        }
    };
    put("free_threaded", Some(u64::from(layout.free_threaded)));

    let runtime = &layout.runtime;
    put("runtime.interpreters_head", Some(runtime.interpreters_head));
    put("runtime.interpreters_main", runtime.interpreters_main);
    put("runtime.tstate_current", runtime.tstate_current);
    put("runtime.gil_switch_number", runtime.gil_switch_number);

    let interpreter = &layout.interpreter;
    put("interpreter.next", Some(interpreter.next));
    put("interpreter.threads_head", Some(interpreter.threads_head));
    put("interpreter.threads_main", interpreter.threads_main);
    put("interpreter.id", Some(interpreter.id));
    put("interpreter.modules", Some(interpreter.modules));
    put("interpreter.gil_pointer", interpreter.gil_pointer);
    put("interpreter.gc_collecting", interpreter.gc_collecting);
    put("interpreter.code_generation", interpreter.code_generation.map(|counter| counter.offset));
    put("interpreter.tlbc_generation", interpreter.tlbc_generation);
    if let Some(gil) = &interpreter.gil {
        put("interpreter.gil.enabled", gil.enabled);
        put("interpreter.gil.start", Some(gil.start));
        put("interpreter.gil.locked", Some(gil.locked));
        put("interpreter.gil.holder", Some(gil.holder));
        put("interpreter.gil.switch_number", Some(gil.switch_number));
    }

    let thread = &layout.thread;
    put("thread.prev", Some(thread.prev));
    put("thread.next", Some(thread.next));
    put("thread.interp", Some(thread.interp));
    put("thread.thread_id", Some(thread.thread_id));
    put("thread.id", Some(thread.id));
    put("thread.native_thread_id", thread.native_thread_id);
    put("thread.holds_gil", thread.holds_gil);
    put("thread.gil_requested", thread.gil_requested);
    put("thread.exc_info", thread.exc_info);
    put("thread.exc_state", thread.exc_state);
    match thread.frame_root {
        FrameRoot::FrameObject(frame) => put("thread.frame", Some(frame)),
        FrameRoot::CFrame(cframe, current) => {
            put("thread.cframe", Some(cframe));
            put("thread.cframe.current_frame", Some(current));
        }
        FrameRoot::CurrentFrame(current) => put("thread.current_frame", Some(current)),
    }
    if let Some(at) = thread.datastack_chunk {
        put("thread.datastack_chunk", Some(at));
        put("thread.datastack_top", Some(at + DATASTACK_TOP_AFTER_CHUNK));
        put("thread.datastack_limit", Some(at + DATASTACK_LIMIT_AFTER_CHUNK));
        put("chunk.previous", Some(chunk::PREVIOUS));
        put("chunk.size", Some(chunk::SIZE));
        put("chunk.top", Some(chunk::TOP));
        put("chunk.data", Some(chunk::DATA));
    }

    let frame = &layout.frame;
    put("frame.code", Some(frame.code));
    put("frame.previous", Some(frame.previous));
    put("frame.instruction", Some(frame.instruction));
    put("frame.is_entry", frame.is_entry);
    put("frame.owner", frame.owner);
    put("frame.locals", Some(frame.locals));
    put("frame.locals_dict", Some(frame.locals_dict));
    put("frame.stack_top", frame.stack_top);
    put("frame.tlbc_index", frame.tlbc_index);

    let code = &layout.code;
    put("code.size", Some(code.size));
    put("code.filename", Some(code.filename));
    put("code.name", Some(code.name));
    put("code.qualname", code.qualname);
    put("code.first_line", Some(code.first_line));
    put("code.line_table", Some(code.line_table));
    put("code.bytecode", code.bytecode_and_names.map(|(bytecode, _)| bytecode));
    put("code.names", code.bytecode_and_names.map(|(_, names)| names));
    put("code.instructions", code.instructions);
    put("code.frame_size", code.frame_size);
    put("code.flags", Some(code.flags));
    put("code.arg_count", Some(code.arg_count));
    put("code.keyword_only_count", Some(code.keyword_only_count));
    put("code.local_count", Some(code.local_count));
    put("code.local_names", Some(code.local_names));
    put("code.cell_names", code.cell_and_free_names.map(|(cells, _)| cells));
    put("code.free_names", code.cell_and_free_names.map(|(_, free)| free));
    put("code.local_kinds", code.local_kinds);
    put("code.stack_size", Some(code.stack_size));
    put("code.version", code.version);
    put("code.tlbc", code.tlbc);

    all.extend(object_fields(layout));
    all
}

fn object_fields(layout: &Layout) -> Offsets {
    let mut all = Offsets::new();
    let mut put = |name, value: Option<u64>| {
        if let Some(value) = value {
            all.insert(name, value);
        }
    };
    let objects = &layout.objects;
    put("objects.ob_type", Some(objects.ob_type));
    put("objects.type_name", Some(objects.type_name));
    put("objects.type_flags", Some(objects.type_flags));
    put("objects.ob_size", Some(objects.ob_size));
    put("objects.str_length", Some(objects.str_length));
    put("objects.str_state", Some(objects.str_state));
    put("objects.str_kind_shift", Some(u64::from(objects.str_kind_shift)));
    put("objects.str_ascii_data", Some(objects.str_ascii_data));
    put("objects.str_compact_data", Some(objects.str_compact_data));
    put("objects.bytes_data", Some(objects.bytes_data));
    put("objects.tuple_items", Some(objects.tuple_items));
    put("objects.list_items", Some(objects.list_items));
    put("objects.float_value", Some(objects.float_value));
    put("objects.cell_value", Some(objects.cell_value));
    put("objects.long_size", Some(objects.long.size));
    put("objects.long_digits", Some(objects.long.digits));
    put("objects.dict_used", Some(objects.dict.used));
    put("objects.dict_keys", Some(objects.dict.keys));
    put("objects.dict_values", Some(objects.dict.values));
    if let KeysSize::Log2Bytes(at) = objects.dict.keys_size {
        put("objects.keys_log2_index_bytes", Some(at));
        put("objects.keys_entry_count", Some(objects.dict.keys_entry_count));
        put("objects.keys_indices", Some(objects.dict.keys_indices));
        put("objects.values_items", Some(objects.instance.values_items));
    }
    put("objects.keys_kind", objects.dict.keys_kind);
    put("objects.set_used", Some(objects.set.used));
    put("objects.set_mask", Some(objects.set.mask));
    put("objects.set_table", Some(objects.set.table));
    put("objects.type_basic_size", Some(objects.instance.type_basic_size));
    put("objects.type_dict_offset", Some(objects.instance.type_dict_offset));
    put("objects.type_dict", Some(objects.instance.type_dict));
    put("objects.type_cached_keys", Some(objects.instance.type_cached_keys));
    if let InstanceValues::Inline(valid) = objects.instance.values {
        put("objects.inline_values_valid", Some(valid));
        put("objects.managed_dict", objects.instance.managed_dict);
    }
    all
}

/// A directory of its own for one probe, removed with this value.
struct Workspace(PathBuf);

impl Workspace {
    fn new(name: &str) -> Self {
        // Two tests may probe the same headers at once.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pyprof-probe-{}-{number}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compiles and runs the probe against `headers`, optionally as a free-threaded build would see them.
fn probe(python: &Interpreter, headers: &Path, free_threaded: bool, debug_offsets: bool) -> Vec<u8> {
    let space =
        Workspace::new(&format!("{}-{free_threaded}-{debug_offsets}", python.name.replace([' ', '/'], "-")));
    // Debian keeps `pyconfig.h` in a directory of the architecture beside the headers. Adding all of
    // `/usr/include` of another system would mix two C libraries, so only this one is made visible.
    for triple in ["x86_64-linux-gnu", "aarch64-linux-gnu"] {
        let name = headers.file_name().expect("python3.X");
        let real = headers.parent().expect("include").join(triple).join(name);
        if real.exists() {
            std::fs::create_dir_all(space.0.join(triple)).unwrap();
            symlink(real, space.0.join(triple).join(name)).unwrap();
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layout_probe.c");
    let binary = space.0.join("probe");
    let mut compiler = Command::new("cc");
    compiler.args(["-w", "-o"]).arg(&binary).arg(source);
    for include in [headers.to_owned(), headers.join("internal"), space.0.clone()] {
        compiler.arg("-I").arg(include);
    }
    if free_threaded {
        compiler.arg("-DPy_GIL_DISABLED=1");
    }
    if debug_offsets {
        compiler.arg("-DDUMP_DEBUG_OFFSETS=1");
        if python.minor() == 13 {
            let initialiser =
                std::fs::read_to_string(headers.join("internal/pycore_runtime_init.h")).unwrap();
            std::fs::write(
                space.0.join("debug_offsets_3_13.inc"),
                braces_after(&initialiser, ".debug_offsets = "),
            )
            .unwrap();
        }
    }
    let output = compiler.output().expect("a C compiler");
    assert!(output.status.success(), "{}: {}", python.name, String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&binary).output().expect("the probe runs");
    assert!(output.status.success());
    output.stdout
}

/// The braced initialiser after `start` in a macro's text, without the macro's line ends.
fn braces_after(text: &str, start: &str) -> String {
    let text = &text[text.find(start).expect("the initialiser") + start.len()..];
    let mut depth = 0;
    let end = text.find(|character| {
        depth += match character {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth == 0
    });
    text[..=end.expect("balanced braces")].replace("\\\n", "\n")
}

fn expected(python: &Interpreter, headers: &Path, free_threaded: bool) -> BTreeMap<String, u64> {
    let text = String::from_utf8(probe(python, headers, free_threaded, false)).unwrap();
    text.lines()
        .map(|line| {
            let (name, value) = line.split_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Every field on both sides must agree, and none may be missing on one of them.
fn compare(label: &str, layout: &Layout, mut expected: BTreeMap<String, u64>) {
    expected.remove("version");
    expected.remove("debug_offsets_size");
    let found: BTreeMap<String, u64> =
        fields(layout).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(found, expected, "{label}");
    eprintln!("{label}: {} fields agree", found.len());
}

#[test]
fn layouts_of_running_pythons_agree_with_their_headers() {
    for python in interpreters().into_iter().chain(debug_builds()) {
        let Some(headers) = python.headers.clone() else {
            eprintln!("skipped: {} has no headers here", python.name);
            continue;
        };
        let (target, _) =
            Inspected::start(&python, "import sys; print('ready', flush=True); sys.stdin.read()");
        compare(&python.name, &target.layout, expected(&python, &headers, python.free_threaded()));
    }
}

/// A `_PyRuntime` that starts with the debug offsets the compiler makes of some headers.
struct Compiled(Vec<u8>);

impl RemoteMemory for Compiled {
    fn read_pieces(&self, pieces: &[Piece], buf: &mut [u8]) -> std::io::Result<usize> {
        let [Piece { base: 0x1000, len }] = pieces else { panic!("{pieces:?}") };
        buf[..*len].copy_from_slice(&self.0[..*len]);
        Ok(*len)
    }
}

#[test]
fn layouts_of_free_threaded_builds_agree_with_their_headers() {
    let all = interpreters().into_iter().chain(debug_builds());
    for python in all.filter(|python| python.minor() >= 13) {
        let Some(headers) = python.headers.clone() else {
            eprintln!("skipped: {} has no headers here", python.name);
            continue;
        };
        let memory = Compiled(probe(&python, &headers, true, true));
        let runtime = LocatedRuntime {
            address: 0x1000,
            size: None,
            version: Version { major: 3, minor: python.minor(), micro: None, level: 0 },
            file: "python".into(),
            found_by: "symbol",
        };
        let layout = for_runtime(&memory, 1, &runtime).unwrap();
        assert!(layout.free_threaded);
        compare(&format!("{} free-threaded", python.name), &layout, expected(&python, &headers, true));
    }
}
