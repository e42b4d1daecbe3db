//! Where the fields of `CPython`'s structures lie, per minor version.
//!
//! Up to 3.12 the offsets are a table per minor version (one file each); from 3.13 on they come from the
//! target's own `_Py_DebugOffsets`, validated before use. All offsets are in bytes.

mod debug_offsets;
mod from_target;
mod python3_10;
mod python3_11;
mod python3_12;
mod python3_13;
mod python3_14;
mod python3_15;
mod python3_8;
mod python3_9;
mod select;
mod traced_refs;

pub use select::for_runtime;

#[cfg(test)]
pub(crate) use tests::all_tables;

/// Every offset this crate uses, for one interpreter build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// (3, 8) to (3, 15)
    pub version: (u8, u8),
    /// Built without the GIL (3.13t and later).
    pub free_threaded: bool,
    /// `_PyRuntimeState`
    pub runtime: RuntimeLayout,
    /// `PyInterpreterState`
    pub interpreter: InterpreterLayout,
    /// `PyThreadState`
    pub thread: ThreadLayout,
    /// `PyFrameObject` up to 3.10, `_PyInterpreterFrame` from 3.11
    pub frame: FrameLayout,
    /// `PyCodeObject`
    pub code: CodeLayout,
    /// Strings, numbers, containers: what names and locals are made of
    pub objects: ObjectLayout,
}

/// `_PyRuntimeState` (`Include/internal/pycore_runtime.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeLayout {
    /// `interpreters.head`
    pub interpreters_head: u64,
    /// `interpreters.main` (or the interpreter with id 0 where the field does not exist)
    pub interpreters_main: Option<u64>,
    /// `gilstate.tstate_current`: the thread state that holds the GIL. 3.8 to 3.11; later it is per interpreter.
    pub tstate_current: Option<u64>,
    /// `ceval.gil.switch_number` (3.8 to 3.11): counts how often the GIL changed hands.
    pub gil_switch_number: Option<u64>,
}

/// `PyInterpreterState` (`Include/internal/pycore_interp.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterpreterLayout {
    /// `next`
    pub next: u64,
    /// `threads.head` (`tstate_head` up to 3.10)
    pub threads_head: u64,
    /// `threads.main` (3.14+)
    pub threads_main: Option<u64>,
    /// `id` (64 bits)
    pub id: u64,
    /// `modules` or `imports.modules`: the dict behind `sys.modules`
    pub modules: u64,
    /// The interpreter's own `_gil` (3.12+)
    pub gil: Option<GilLayout>,
    /// `ceval.gil`: pointer to the GIL in use, its own or the main interpreter's (3.12+)
    pub gil_pointer: Option<u64>,
    /// `gc.collecting` (an int)
    pub gc_collecting: Option<u64>,
    /// A counter that moves before the address of a freed code object can be used again, so that cached names
    /// stay right: `func_state.next_version` (3.13, 32 bits) counts those made (and stops at 0 after 2^32),
    /// `_code_object_generation` (3.14+, 64 bits) those freed. Each interpreter counts its own.
    pub code_generation: Option<CounterField>,
    /// `tlbc_indices.tlbc_generation` (3.14t+, 32 bits): moves when copies of instructions that threads had for
    /// themselves are freed
    pub tlbc_generation: Option<u64>,
}

/// A counter in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterField {
    /// Offset in bytes
    pub offset: u64,
    /// 4 or 8
    pub width: u8,
}

impl CounterField {
    /// The counter's value in the eight bytes at its offset.
    #[must_use]
    pub fn of(self, word: u64) -> u64 {
        if self.width == 4 { word & 0xffff_ffff } else { word }
    }
}

/// `struct _gil_runtime_state` (`Include/internal/pycore_gil.h`), as offsets inside `PyInterpreterState`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GilLayout {
    /// Start of the structure
    pub start: u64,
    /// `enabled` (free-threaded builds only, an int): 0 while threads run without a GIL
    pub enabled: Option<u64>,
    /// `locked` (an int; -1 before the GIL exists)
    pub locked: u64,
    /// `last_holder` (thread state)
    pub holder: u64,
    /// `switch_number` (unsigned long)
    pub switch_number: u64,
}

/// How the current frame is reached from a thread state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRoot {
    /// `tstate->frame`, a `PyFrameObject` (3.8 to 3.10)
    FrameObject(u64),
    /// `tstate->cframe->current_frame` (3.11, 3.12): offset in the thread state, offset in the `_PyCFrame`
    CFrame(u64, u64),
    /// `tstate->current_frame` (3.13+)
    CurrentFrame(u64),
}

/// `PyThreadState` (`Include/cpython/pystate.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadLayout {
    /// `prev`
    pub prev: u64,
    /// `next`
    pub next: u64,
    /// `interp`
    pub interp: u64,
    /// The way to the current frame
    pub frame_root: FrameRoot,
    /// `thread_id`: what Python calls `ident`, glibc's `pthread_t`
    pub thread_id: u64,
    /// `id`: counts the thread states of an interpreter, so that each has its own (64 bits)
    pub id: u64,
    /// `native_thread_id` (3.11+)
    pub native_thread_id: Option<u64>,
    /// `datastack_chunk` (3.11+); `datastack_top` and `datastack_limit` follow it
    pub datastack_chunk: Option<u64>,
    /// `holds_gil` (3.15)
    pub holds_gil: Option<u64>,
    /// `gil_requested` (3.15)
    pub gil_requested: Option<u64>,
    /// `exc_info`: pointer to the innermost `_PyErr_StackItem`, whose first field is the exception (3.11+)
    pub exc_info: Option<u64>,
    /// `exc_state`: the thread's own `_PyErr_StackItem` (3.11+)
    pub exc_state: Option<u64>,
}

/// A Python frame. Owners are the values of `enum _frameowner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameLayout {
    /// `f_code` / `f_executable`
    pub code: u64,
    /// `f_back` / `previous`
    pub previous: u64,
    /// `f_lasti` (3.8 to 3.10, an int), `prev_instr` (3.11, 3.12), `instr_ptr` (3.13+)
    pub instruction: u64,
    /// `is_entry` (3.11 only, a byte): set when native code entered the interpreter with this frame
    pub is_entry: Option<u64>,
    /// Where a frame object says that it runs, and the byte that says so: `f_executing` (3.8, 3.9), `f_state`
    /// (3.10; `FRAME_EXECUTING` is 0)
    pub executing: Option<(u64, u8)>,
    /// `owner` (3.11+, a byte)
    pub owner: Option<u64>,
    /// `localsplus`
    pub locals: u64,
    /// `f_locals`: the dict of a module or class body (0 = not known)
    pub locals_dict: u64,
    /// `stackpointer` (3.14+), `stacktop` an int before (3.11 to 3.13)
    pub stack_top: Option<u64>,
    /// `tlbc_index` (3.14t+, an int)
    pub tlbc_index: Option<u64>,
    /// Pointers to objects carry tag bits in their low bits that must be masked (3.14+)
    pub tagged: bool,
}

/// `PyCodeObject` (`Include/cpython/code.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeLayout {
    /// Bytes of a code object up to its instructions: what is read at once
    pub size: u64,
    /// `co_filename`
    pub filename: u64,
    /// `co_name`
    pub name: u64,
    /// `co_qualname` (3.11+)
    pub qualname: Option<u64>,
    /// `co_firstlineno` (an int)
    pub first_line: u64,
    /// `co_lnotab` (3.8, 3.9) or `co_linetable` (3.10+)
    pub line_table: u64,
    /// `co_code`, a bytes object, and `co_names`, a tuple of str (3.8 to 3.10)
    pub bytecode_and_names: Option<(u64, u64)>,
    /// `co_code_adaptive`: the instructions themselves (3.11+)
    pub instructions: Option<u64>,
    /// `co_framesize` in words (3.12+, an int)
    pub frame_size: Option<u64>,
    /// `co_flags` (an int)
    pub flags: u64,
    /// `co_argcount` (an int)
    pub arg_count: u64,
    /// `co_kwonlyargcount` (an int)
    pub keyword_only_count: u64,
    /// `co_nlocalsplus` (3.11+) or `co_nlocals` (an int)
    pub local_count: u64,
    /// `co_localsplusnames` (3.11+) or `co_varnames`: a tuple of str
    pub local_names: u64,
    /// `co_cellvars` and `co_freevars` (3.8 to 3.10): tuples of str
    pub cell_and_free_names: Option<(u64, u64)>,
    /// `co_localspluskinds` (3.11+): a bytes object
    pub local_kinds: Option<u64>,
    /// `co_stacksize` (an int)
    pub stack_size: u64,
    /// `co_version` (3.12+, 32 bits)
    pub version: Option<u64>,
    /// `co_tlbc` (3.14t+)
    pub tlbc: Option<u64>,
}

/// The built-in types that names and locals are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLayout {
    /// `ob_type`
    pub ob_type: u64,
    /// `tp_name` in `PyTypeObject`
    pub type_name: u64,
    /// `tp_flags` in `PyTypeObject`
    pub type_flags: u64,
    /// `ob_size` of a variable-size object
    pub ob_size: u64,
    /// `length` of `PyASCIIObject`
    pub str_length: u64,
    /// `state` of `PyASCIIObject` (32 bits: interned, kind, compact, ascii)
    pub str_state: u64,
    /// Lowest bit of `kind` in the state; `compact` and `ascii` are the two bits after its three
    pub str_kind_shift: u32,
    /// Bytes of a compact ASCII string before its data
    pub str_ascii_data: u64,
    /// Bytes of a compact non-ASCII string before its data (72 up to 3.11, 56 from 3.12)
    pub str_compact_data: u64,
    /// `ob_sval` of `PyBytesObject`
    pub bytes_data: u64,
    /// `ob_item` of `PyTupleObject`
    pub tuple_items: u64,
    /// `ob_item` (a pointer) of `PyListObject`
    pub list_items: u64,
    /// `ob_fval` of `PyFloatObject`
    pub float_value: u64,
    /// `ob_ref` of `PyCellObject`
    pub cell_value: u64,
    /// `PyLongObject`
    pub long: LongLayout,
    /// `PyDictObject` and its key tables
    pub dict: DictLayout,
    /// `PySetObject`, also behind `frozenset`
    pub set: SetLayout,
    /// Where instances of Python classes keep their attributes
    pub instance: InstanceLayout,
}

/// `PyLongObject` (`Include/cpython/longintrepr.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongLayout {
    /// Sign and digit count: `ob_size` (signed) up to 3.11, `lv_tag` from 3.12 on
    pub size: u64,
    /// The size is an `lv_tag`: digit count above the three lowest bits, the sign in the lowest two
    pub tagged_size: bool,
    /// `ob_digit`: 32-bit words of 30 bits each, least significant first
    pub digits: u64,
}

/// `PyDictObject` (`Include/cpython/dictobject.h`) and `PyDictKeysObject` (`Objects/dict-common.h` up to
/// 3.10, `Include/internal/pycore_dict.h` later).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictLayout {
    /// `ma_used`: number of items
    pub used: u64,
    /// `ma_keys`
    pub keys: u64,
    /// `ma_values`: null unless the table is split
    pub values: u64,
    /// The size of the hash index inside the keys
    pub keys_size: KeysSize,
    /// `dk_kind` (3.11+, a byte): 0 general, 1 str keys only, 2 split; above 0 entries hold no hash
    pub keys_kind: Option<u64>,
    /// `dk_nentries`
    pub keys_entry_count: u64,
    /// `dk_indices`; the entries follow them
    pub keys_indices: u64,
}

/// How a key table tells the size of its hash index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysSize {
    /// `dk_size` (3.8 to 3.10): a number of slots, 64 bits at this offset; a slot is 1, 2, 4 or 8 bytes
    Slots(u64),
    /// `dk_log2_index_bytes` (3.11+): the logarithm of the index's size in bytes, a byte at this offset
    Log2Bytes(u64),
}

/// `PySetObject` (`Include/cpython/setobject.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLayout {
    /// `used`: number of items
    pub used: u64,
    /// `mask`: number of slots less one
    pub mask: u64,
    /// `table`: pointer to (key, hash) pairs
    pub table: u64,
}

/// Instances of Python classes (`Include/internal/pycore_object.h`, `pycore_dict.h`, `Objects/dictobject.c`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLayout {
    /// `tp_basicsize`
    pub type_basic_size: u64,
    /// `tp_dictoffset`
    pub type_dict_offset: u64,
    /// `tp_dict`
    pub type_dict: u64,
    /// `ht_cached_keys` of `PyHeapTypeObject`
    pub type_cached_keys: u64,
    /// Bytes BEFORE the object at which the pointer to its dict lies (3.11+)
    pub managed_dict: Option<u64>,
    /// Where attribute values lie that have no dict yet
    pub values: InstanceValues,
    /// Offset of the first value in `struct _dictvalues`
    pub values_items: u64,
}

/// Where attribute values without a dict lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceValues {
    /// There are none: every instance has its own dict (3.8 to 3.10)
    None,
    /// A pointer of its own, this many bytes BEFORE the object (3.11)
    Pointer(u64),
    /// In the place of the dict's pointer, with the lowest bit set (3.12)
    TaggedDictPointer,
    /// At the end of the object when its type has `Py_TPFLAGS_INLINE_VALUES`; this byte of them tells
    /// whether they are still valid (3.13+)
    Inline(u64),
}

/// `_PyStackChunk` (`Include/cpython/pystate.h`), the same since 3.11.
pub mod chunk {
    /// `previous`
    pub const PREVIOUS: u64 = 0;
    /// `size` in bytes, the header included
    pub const SIZE: u64 = 8;
    /// `top`: words in use of a chunk that is not the current one
    pub const TOP: u64 = 16;
    /// `data`: the first frame
    pub const DATA: u64 = 24;
}

/// `datastack_top` and `datastack_limit` of a thread state, in bytes after `datastack_chunk` (3.11+).
pub const DATASTACK_TOP_AFTER_CHUNK: u64 = 8;
/// See [`DATASTACK_TOP_AFTER_CHUNK`].
pub const DATASTACK_LIMIT_AFTER_CHUNK: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables, and one with the traits of 3.13 and later that no table shows.
    pub(crate) fn all_tables() -> Vec<Layout> {
        let mut newest = python3_12::LAYOUT;
        newest.version = (3, 14);
        newest.frame.tagged = true;
        newest.objects.instance.values = InstanceValues::Inline(3);
        newest.objects.instance.values_items = 8;
        let mut threaded = newest.clone();
        threaded.free_threaded = true;
        threaded.code.tlbc = Some(40);
        threaded.interpreter.tlbc_generation = Some(392);
        vec![
            python3_8::LAYOUT,
            python3_9::LAYOUT,
            python3_10::LAYOUT,
            python3_11::LAYOUT,
            python3_12::LAYOUT,
            newest,
            threaded,
        ]
    }
}
