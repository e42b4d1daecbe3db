//! The few instructions that can have another Python frame on top of theirs without native code in between.
//!
//! Numbers of 3.11 and 3.12 are from `Include/opcode.h` and `Include/internal/pycore_opcode.h`, those of later versions
//! from `Include/opcode_ids.h`; `tests/opcodes_live.rs` compares them with what interpreters say themselves.

/// One version's.
#[derive(Debug, Clone, Copy)]
pub struct Opcodes {
    /// `CALL`, specialised for one Python function: its version lies in the caches
    pub python_calls: &'static [u8],
    /// `SEND` and `FOR_ITER`, which let a generator run on
    pub resumptions: &'static [u8],
    /// What can run a Python function and does not tell which one, each with its caches (in units of two bytes)
    pub open: &'static [(u8, u8)],
    /// From this one on they are instrumented, or compiled: they stand for any other
    pub special_from: u8,
    /// Caches of `CALL`, in units of two bytes
    pub call_caches: u64,
    /// Caches of `SEND` and `FOR_ITER`
    pub resumption_caches: u64,
    /// A frame in a call stands at the last cache of the call, not at its beginning
    pub stands_behind: bool,
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

/// `CALL`, `CALL_ADAPTIVE`, `CALL_FUNCTION_EX`, `BINARY_SUBSCR` and its `_ADAPTIVE` and `_GETITEM`, `EXTENDED_ARG`
const PYTHON_3_11: Opcodes = Opcodes {
    python_calls: &[23, 24],
    // Generators are always run by native code.
    resumptions: &[],
    open: &[(171, 4), (22, 4), (142, 0), (25, 4), (17, 4), (19, 4), (144, 0)],
    special_from: 255,
    call_caches: 4,
    resumption_caches: 0,
    stands_behind: true,
};

/// `CALL`, `CALL_FUNCTION_EX`, `BINARY_SUBSCR` and its `_GETITEM`, `LOAD_ATTR` and its `_GETATTRIBUTE_OVERRIDDEN` and
/// `_PROPERTY`, `EXTENDED_ARG`
const PYTHON_3_12: Opcodes = Opcodes {
    python_calls: &[23, 24, 28],
    resumptions: &[65, 93, 123, 168],
    open: &[(171, 3), (142, 0), (25, 1), (20, 1), (106, 9), (72, 9), (77, 9), (144, 0)],
    special_from: 237,
    call_caches: 3,
    resumption_caches: 1,
    stands_behind: true,
};

/// `CALL`, `CALL_FUNCTION_EX`, `CALL_KW`, `CALL_ALLOC_AND_ENTER_INIT`, `BINARY_SUBSCR` and its `_GETITEM`, `LOAD_ATTR` and
/// its `_GETATTRIBUTE_OVERRIDDEN` and `_PROPERTY`, `EXTENDED_ARG`, `ENTER_EXECUTOR`
const PYTHON_3_13: Opcodes = Opcodes {
    python_calls: &[163, 164, 177, 178],
    resumptions: &[72, 104, 187, 208],
    open: &[
        (53, 3),
        (54, 0),
        (57, 0),
        (162, 3),
        (5, 1),
        (158, 1),
        (82, 9),
        (192, 9),
        (200, 9),
        (71, 0),
        (70, 0),
    ],
    special_from: 236,
    call_caches: 3,
    resumption_caches: 1,
    stands_behind: false,
};

/// `CALL`, `CALL_FUNCTION_EX`, `CALL_KW` and its `_PY` and `_BOUND_METHOD`, `CALL_ALLOC_AND_ENTER_INIT`, `BINARY_OP` and
/// its `_SUBSCR_GETITEM`, `LOAD_ATTR` and its `_GETATTRIBUTE_OVERRIDDEN` and `_PROPERTY`, `EXTENDED_ARG`
const PYTHON_3_14: Opcodes = Opcodes {
    python_calls: &[144, 145, 151, 153, 161, 162],
    resumptions: &[70, 106, 171, 197],
    open: &[(52, 3), (4, 0), (55, 3), (143, 3), (44, 5), (136, 5), (80, 9), (179, 9), (187, 9), (69, 0)],
    special_from: 234,
    call_caches: 3,
    resumption_caches: 1,
    stands_behind: false,
};

/// As 3.14's, with `CALL_EX_PY`, `GET_ITER_VIRTUAL`, `FOR_ITER_VIRTUAL` and `SEND_VIRTUAL`
const PYTHON_3_15: Opcodes = Opcodes {
    python_calls: &[145, 146, 154, 156, 164, 165],
    resumptions: &[68, 105, 174, 202, 203],
    open: &[
        (50, 3),
        (4, 0),
        (152, 0),
        (53, 3),
        (144, 3),
        (42, 5),
        (136, 5),
        (79, 9),
        (185, 9),
        (193, 9),
        (67, 0),
        (180, 0),
        (178, 1),
        (204, 1),
    ],
    special_from: 233,
    call_caches: 3,
    resumption_caches: 1,
    stands_behind: false,
};
