//! A layout out of the target's own debug offsets (3.13+), completed by what they lack.
//!
//! What they lack is placed relative to a neighbour they do tell, so that a free-threaded build, whose object
//! header is 16 bytes longer, needs no table of its own. `tests/layout_probes.rs` checks both builds.

use super::debug_offsets::DebugOffsets;
use super::{
    CodeLayout, CounterField, DATASTACK_LIMIT_AFTER_CHUNK, DictLayout, FrameLayout, FrameRoot, GilLayout,
    InstanceLayout, InstanceValues, InterpreterLayout, KeysSize, Layout, LongLayout, ObjectLayout,
    RuntimeLayout, SetLayout, ThreadLayout,
};
use crate::Result;

/// What is particular to one minor version.
pub(super) struct Minor {
    /// 13 to 15
    pub number: u8,
    /// The fields of `_Py_DebugOffsets` in their order
    pub fields: &'static [&'static str],
    /// Where the counter is that moves with every code object made
    pub generation: Generation,
    /// From `tp_name` to `ht_cached_keys`, in bytes, where the debug offsets do not say
    pub cached_keys_after_type_name: u64,
    /// Frames hold tagged references
    pub tagged: bool,
}

/// Where an interpreter counts its code objects.
pub(super) enum Generation {
    /// `func_state.next_version`, which the debug offsets leave out: where it is in each kind of build
    FunctionVersion(fn(&Sizes) -> Option<u64>),
    /// `_code_object_generation`, in the debug offsets
    InDebugOffsets,
}

/// Sizes in bytes by which one kind of build can be told from another.
pub(super) struct Sizes {
    pub free_threaded: bool,
    /// `_PyRuntimeState`
    pub runtime: u64,
    /// `PyInterpreterState`
    pub interpreter: u64,
}

/// The layout that the target's table describes.
pub(super) fn layout(table: &DebugOffsets, minor: &Minor) -> Result<Layout> {
    Ok(Layout {
        version: (3, minor.number),
        free_threaded: table.free_threaded,
        runtime: runtime(table)?,
        interpreter: interpreter(table, minor)?,
        thread: thread(table)?,
        frame: frame(table, minor)?,
        code: code(table)?,
        objects: objects(table, minor)?,
    })
}

fn runtime(table: &DebugOffsets) -> Result<RuntimeLayout> {
    let head = table.field("runtime_state", "interpreters_head", 8)?;
    Ok(RuntimeLayout {
        interpreters_head: head,
        interpreters_main: Some(head + 8),
        tstate_current: None,
        gil_switch_number: None,
    })
}

fn interpreter(table: &DebugOffsets, minor: &Minor) -> Result<InterpreterLayout> {
    let field = |name| table.field("interpreter_state", name, 8);
    let size = table.size("interpreter_state")?;
    let start = field("gil_runtime_state")?;
    // It comes first. The table has it relative to the GIL, other than the rest (`_Py_Debug_gilruntimestate_enabled`).
    let enabled = table.free_threaded.then_some(start);
    if table.free_threaded && !matches!(table.raw("interpreter_state.gil_runtime_state_enabled"), Some(0)) {
        return Err(table.nonsense("interpreter_state.gil_runtime_state_enabled"));
    }
    let locked = table.field("interpreter_state", "gil_runtime_state_locked", 4)?;
    let holder = field("gil_runtime_state_holder")?;
    // `switch_number` follows `locked`, which follows `last_holder` (`struct _gil_runtime_state`).
    if locked != holder + 8 || !(start..start + 64).contains(&holder) || holder + 24 > size {
        return Err(table.nonsense("interpreter_state.gil_runtime_state"));
    }
    let collecting = field("gc")? + table.field("gc", "collecting", 4)?;
    if collecting + 4 > size {
        return Err(table.nonsense("gc.collecting"));
    }
    let counter = match minor.generation {
        Generation::FunctionVersion(place) => {
            let runtime = table.size("runtime_state")?;
            let sizes = Sizes { free_threaded: table.free_threaded, runtime, interpreter: size };
            place(&sizes).map(|offset| CounterField { offset, width: 4 })
        }
        Generation::InDebugOffsets => {
            Some(CounterField { offset: field("code_object_generation")?, width: 8 })
        }
    };
    let tlbc_generation =
        if table.free_threaded { table.optional("interpreter_state", "tlbc_generation", 4)? } else { None };
    Ok(InterpreterLayout {
        next: field("next")?,
        threads_head: field("threads_head")?,
        threads_main: table.optional("interpreter_state", "threads_main", 8)?,
        id: field("id")?,
        modules: field("imports_modules")?,
        gil: Some(GilLayout { start, enabled, locked, holder, switch_number: holder + 16 }),
        gil_pointer: Some(field("ceval_gil")?),
        gc_collecting: Some(collecting),
        code_generation: counter.filter(|counter| counter.offset + u64::from(counter.width) <= size),
        tlbc_generation,
    })
}

fn thread(table: &DebugOffsets) -> Result<ThreadLayout> {
    let field = |name| table.field("thread_state", name, 8);
    let chunk = field("datastack_chunk")?;
    if chunk + DATASTACK_LIMIT_AFTER_CHUNK + 8 > table.size("thread_state")? {
        return Err(table.nonsense("thread_state.datastack_chunk"));
    }
    let thread_id = field("thread_id")?;
    // `id` lies right before `datastack_chunk` in every version so far (`Include/cpython/pystate.h`).
    let id = chunk.checked_sub(8).ok_or_else(|| table.nonsense("thread_state.datastack_chunk"))?;
    // `exc_state` follows `datastack_limit` up to 3.14; `exc_info` lies four words before `thread_id` in every
    // version so far (`Include/cpython/pystate.h`).
    let exc_state =
        table.optional("thread_state", "exc_state", 8)?.unwrap_or(chunk + DATASTACK_LIMIT_AFTER_CHUNK + 8);
    let exc_info = thread_id.checked_sub(32);
    let fits =
        exc_state + 16 <= table.size("thread_state")? && exc_info.is_some_and(|at| at.is_multiple_of(8));
    Ok(ThreadLayout {
        prev: field("prev")?,
        next: field("next")?,
        interp: field("interp")?,
        frame_root: FrameRoot::CurrentFrame(field("current_frame")?),
        thread_id,
        id,
        native_thread_id: Some(field("native_thread_id")?),
        datastack_chunk: Some(chunk),
        holds_gil: table.optional("thread_state", "holds_gil", 4)?,
        gil_requested: table.optional("thread_state", "gil_requested", 4)?,
        exc_info: exc_info.filter(|_| fits),
        exc_state: Some(exc_state).filter(|_| fits),
    })
}

fn frame(table: &DebugOffsets, minor: &Minor) -> Result<FrameLayout> {
    let field = |name| table.field("interpreter_frame", name, 8);
    let instruction = field("instr_ptr")?;
    let locals = field("localsplus")?;
    // Up to 3.13 `stacktop` (an int), later `stackpointer`: both right after `instr_ptr`.
    let stack_top = table.optional("interpreter_frame", "stackpointer", 8)?.unwrap_or(instruction + 8);
    // `f_locals` and `frame_obj` lie right before `instr_ptr`.
    let locals_dict =
        instruction.checked_sub(16).ok_or_else(|| table.nonsense("interpreter_frame.instr_ptr"))?;
    if stack_top != instruction + 8 || locals <= stack_top || locals > 1024 {
        return Err(table.nonsense("interpreter_frame.localsplus"));
    }
    let tlbc_index =
        if table.free_threaded { table.optional("interpreter_frame", "tlbc_index", 4)? } else { None };
    Ok(FrameLayout {
        code: field("executable")?,
        previous: field("previous")?,
        instruction,
        is_entry: None,
        executing: None,
        owner: Some(table.field("interpreter_frame", "owner", 1)?),
        locals,
        locals_dict,
        stack_top: Some(stack_top),
        tlbc_index,
        tagged: minor.tagged,
    })
}

fn code(table: &DebugOffsets) -> Result<CodeLayout> {
    let field = |name| table.field("code_object", name, 8);
    let args = table.field("code_object", "argcount", 4)?;
    let first_line = table.field("code_object", "firstlineno", 4)?;
    let names = field("localsplusnames")?;
    let instructions = table.field("code_object", "co_code_adaptive", 1)?;
    // A run of ints, the same from 3.12 to 3.15: flags, argcount, posonlyargcount, kwonlyargcount, stacksize,
    // firstlineno, nlocalsplus, framesize, nlocals, ncellvars, nfreevars, version, then localsplusnames.
    if args < 4 || first_line != args + 16 || names != args + 44 || !(64..=1024).contains(&instructions) {
        return Err(table.nonsense("code_object.firstlineno"));
    }
    let tlbc = if table.free_threaded { table.optional("code_object", "co_tlbc", 8)? } else { None };
    Ok(CodeLayout {
        size: instructions,
        filename: field("filename")?,
        name: field("name")?,
        qualname: Some(field("qualname")?),
        first_line,
        line_table: field("linetable")?,
        bytecode_and_names: None,
        instructions: Some(instructions),
        frame_size: Some(args + 24),
        flags: args - 4,
        arg_count: args,
        keyword_only_count: args + 8,
        local_count: args + 20,
        local_names: names,
        cell_and_free_names: None,
        local_kinds: Some(field("localspluskinds")?),
        stack_size: args + 12,
        version: Some(args + 40),
        tlbc,
    })
}

fn objects(table: &DebugOffsets, minor: &Minor) -> Result<ObjectLayout> {
    let header = table.size("pyobject")?;
    if header != if table.free_threaded { 32 } else { 16 } {
        return Err(table.nonsense("pyobject.size"));
    }
    let type_name = table.field("type_object", "tp_name", 8)?;
    let ascii = table.size("unicode_object")?.min(table.raw("unicode_object.asciiobject_size").unwrap_or(0));
    if ascii < header + 24 || ascii > 256 {
        return Err(table.nonsense("unicode_object.asciiobject_size"));
    }
    Ok(ObjectLayout {
        ob_type: table.field("pyobject", "ob_type", 8)?,
        type_name,
        type_flags: table.field("type_object", "tp_flags", 8)?,
        ob_size: header,
        str_length: table.field("unicode_object", "length", 8)?,
        str_state: table.field("unicode_object", "state", 4)?,
        // Without the GIL, `interned` is a byte of its own from 3.14 on, else two bits.
        str_kind_shift: if table.free_threaded && minor.number >= 14 { 8 } else { 2 },
        str_ascii_data: ascii,
        // `utf8_length` and `utf8` come between (`PyCompactUnicodeObject`).
        str_compact_data: ascii + 16,
        bytes_data: table.field("bytes_object", "ob_sval", 1)?,
        tuple_items: table.field("tuple_object", "ob_item", 8)?,
        list_items: table.field("list_object", "ob_item", 8)?,
        float_value: table.field("float_object", "ob_fval", 8)?,
        cell_value: header,
        long: LongLayout {
            size: table.field("long_object", "lv_tag", 8)?,
            tagged_size: true,
            digits: table.field("long_object", "ob_digit", 4)?,
        },
        dict: DictLayout {
            used: header,
            keys: table.field("dict_object", "ma_keys", 8)?,
            values: table.field("dict_object", "ma_values", 8)?,
            keys_size: KeysSize::Log2Bytes(9),
            keys_kind: Some(10),
            keys_entry_count: 24,
            keys_indices: 32,
        },
        set: SetLayout { used: header + 8, mask: header + 16, table: header + 24 },
        instance: InstanceLayout {
            type_basic_size: type_name + 8,
            type_dict_offset: type_name + 264,
            type_dict: type_name + 240,
            type_cached_keys: type_name + minor.cached_keys_after_type_name,
            // Without the GIL there is no collector header before the object, only this and the weak references.
            managed_dict: Some(if table.free_threaded { 8 } else { 24 }),
            values: InstanceValues::Inline(3),
            values_items: 8,
        },
    })
}
