//! The few instructions that can have another Python frame on top of theirs without native code in between.
//!
//! Numbers of 3.11 and 3.12 are from `Include/opcode.h` and `Include/internal/pycore_opcode.h`, those of later versions
//! from `Include/opcode_ids.h`; `tests/opcodes_live.rs` compares them with what interpreters say themselves.

/// One version's. Up to 3.12 a frame that is in an instruction stands at its last cache, later at its beginning: `_behind`
/// says how far behind the beginning that is, in units of two bytes.
#[derive(Debug, Clone, Copy)]
pub struct Opcodes {
    /// `CALL`, specialised for one Python function: its version lies in the caches
    pub python_calls: &'static [u8],
    /// For them
    pub call_behind: u64,
    /// `SEND` and `FOR_ITER`, which let a generator run on
    pub resumptions: &'static [u8],
    /// For them
    pub resumption_behind: u64,
    /// What can run a Python function and does not tell which one, by how far behind frames stand in it
    pub open: &'static [(u64, &'static [u8])],
    /// From this one on they are instrumented, or compiled: they stand for any other
    pub special_from: u8,
}

/// Those of a version; `None` before 3.11.
#[must_use]
pub fn of(version: (u8, u8)) -> Option<&'static Opcodes> {
    Some(match version {
        (3, 11) => &PYTHON_3_11,
        (3, 12) => &PYTHON_3_12,
        (3, 13) => &PYTHON_3_13,
        (3, 14) => &PYTHON_3_14,
        (3, 15) => &PYTHON_3_15,
        _ => return None,
    })
}

/// `CALL`, `CALL_ADAPTIVE`, `BINARY_SUBSCR` and its `_ADAPTIVE` and `_GETITEM`; `CALL_FUNCTION_EX`, `EXTENDED_ARG`
const PYTHON_3_11: Opcodes = Opcodes {
    python_calls: &[23, 24],
    call_behind: 4,
    // Generators are always run by native code.
    resumptions: &[],
    resumption_behind: 0,
    open: &[(4, &[171, 22, 25, 17, 19]), (0, &[142, 144])],
    special_from: 255,
};

/// `CALL`; `BINARY_SUBSCR` and its `_GETITEM`; `LOAD_ATTR` and its `_GETATTRIBUTE_OVERRIDDEN` and `_PROPERTY`;
/// `CALL_FUNCTION_EX`, `EXTENDED_ARG`
const PYTHON_3_12: Opcodes = Opcodes {
    python_calls: &[23, 24, 28],
    call_behind: 3,
    resumptions: &[65, 93, 123, 168],
    resumption_behind: 1,
    open: &[(3, &[171]), (1, &[25, 20]), (9, &[106, 72, 77]), (0, &[142, 144])],
    special_from: 237,
};

/// `CALL`, `CALL_FUNCTION_EX`, `CALL_KW`, `CALL_ALLOC_AND_ENTER_INIT`, `BINARY_SUBSCR` and its `_GETITEM`, `LOAD_ATTR` and
/// its `_GETATTRIBUTE_OVERRIDDEN` and `_PROPERTY`, `EXTENDED_ARG`, `ENTER_EXECUTOR`
const PYTHON_3_13: Opcodes = Opcodes {
    python_calls: &[163, 164, 177, 178],
    call_behind: 0,
    resumptions: &[72, 104, 187, 208],
    resumption_behind: 0,
    open: &[(0, &[53, 54, 57, 162, 5, 158, 82, 192, 200, 71, 70])],
    special_from: 236,
};

/// `CALL`, `CALL_FUNCTION_EX`, `CALL_KW`, `CALL_ALLOC_AND_ENTER_INIT`, `BINARY_OP` and its `_SUBSCR_GETITEM`, `LOAD_ATTR`
/// and its `_GETATTRIBUTE_OVERRIDDEN` and `_PROPERTY`, `EXTENDED_ARG`
const PYTHON_3_14: Opcodes = Opcodes {
    python_calls: &[144, 145, 151, 153, 161, 162],
    resumptions: &[70, 106, 171, 197],
    open: &[(0, &[52, 4, 55, 143, 44, 136, 80, 179, 187, 69])],
    special_from: 234,
    ..PYTHON_3_13
};

/// As 3.14's, with `CALL_EX_PY`, `GET_ITER_VIRTUAL`, `FOR_ITER_VIRTUAL` and `SEND_VIRTUAL`
const PYTHON_3_15: Opcodes = Opcodes {
    python_calls: &[145, 146, 154, 156, 164, 165],
    resumptions: &[68, 105, 174, 202, 203],
    open: &[(0, &[50, 4, 152, 53, 144, 42, 136, 79, 185, 193, 67, 180, 178, 204])],
    special_from: 233,
    ..PYTHON_3_13
};
