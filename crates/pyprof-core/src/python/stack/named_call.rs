//! Which calls in a function's code go by the name of another function (3.8 to 3.10).
//!
//! By the time a caller is read it can have moved on from the call that was going on. Code has no inline caches yet
//! that would tell ([`super::call_site`]), but a call by name says what it calls: `f(x)`, `self.f(x)` and `module.f(x)`
//! call something named `f`, and `sorted(x, key=f)` hands it on to something that calls it. Names are interned, so that
//! equal ones are the same object.

use crate::memory::RemoteMemory;
use crate::python::frame::RawFrame;
use crate::python::layout::Layout;

/// Longest code that is looked through, in bytes.
const MAX_CODE: u64 = 1 << 18;
/// And the most names of one kind.
const MAX_NAMES: u64 = 1 << 12;
/// `CO_GENERATOR`, `CO_COROUTINE`, `CO_ASYNC_GENERATOR` (`Include/code.h`): a call of one makes it, and something else
/// runs it.
pub const RUN_LATER: u32 = 0x20 | 0x80 | 0x200;

/// The call in the code of `caller` that goes by the name of `callee` or hands it on: the one that it is in, else the
/// last before, else the last of all. The result is an instruction as the caller's frame has it during that call.
#[must_use]
pub fn find(memory: &dyn RemoteMemory, layout: &Layout, caller: &RawFrame, callee: &RawFrame) -> Option<u64> {
    let (code_object, names) = layout.code.bytecode_and_names?;
    let (cells, free) = layout.code.cell_and_free_names?;
    let of = |code: u64, field: u64| code.wrapping_add(field);
    if memory.read_u32(of(callee.code, layout.code.flags)).ok()? & RUN_LATER != 0 {
        return None;
    }
    let name = memory.read_u64(of(callee.code, layout.code.name)).ok().filter(|name| *name != 0)?;
    let table = |field: u64| {
        let tuple = memory.read_u64(of(caller.code, field)).ok()?;
        let count = memory.read_u64(of(tuple, layout.objects.ob_size)).ok()?;
        let bytes =
            memory.read_vec(of(tuple, layout.objects.tuple_items), count.min(MAX_NAMES) as usize * 8).ok()?;
        Some(bytes.chunks_exact(8).map(|item| item == name.to_le_bytes()).collect::<Vec<bool>>())
    };
    let mut shared = table(cells)?;
    shared.extend(table(free)?);
    let wanted = Wanted { names: table(names)?, locals: table(layout.code.local_names)?, shared };
    if !wanted.any() {
        return None;
    }
    let bytes = memory.read_u64(of(caller.code, code_object)).ok()?;
    let size = memory.read_u64(of(bytes, layout.objects.ob_size)).ok().filter(|size| *size <= MAX_CODE)?;
    let code = memory.read_vec(of(bytes, layout.objects.bytes_data), size as usize).ok()?;
    // `f_lasti` counts bytes up to 3.9, instructions in 3.10; and so do the targets of jumps.
    let unit = if layout.version >= (3, 10) { 2 } else { 1 };
    let sites = calls(&code, unit, &wanted);
    if [&sites.by_name, &sites.handed_on].into_iter().any(|some| some.contains(&caller.instruction)) {
        return Some(caller.instruction);
    }
    let some = if sites.by_name.is_empty() { sites.handed_on } else { sites.by_name };
    let before = some.iter().rfind(|site| **site <= caller.instruction);
    before.or(some.last()).copied()
}

/// Which of a code object's names are the one that is sought.
struct Wanted {
    names: Vec<bool>,
    locals: Vec<bool>,
    shared: Vec<bool>,
}

impl Wanted {
    fn any(&self) -> bool {
        [&self.names, &self.locals, &self.shared].into_iter().any(|table| table.contains(&true))
    }
}

/// Opcodes are the same in 3.8, 3.9 and 3.10 where a version has them at all (`Include/opcode.h`).
mod op {
    pub const EXTENDED_ARG: u8 = 144;
    pub const LOAD_GLOBAL: u8 = 116;
    pub const LOAD_NAME: u8 = 101;
    pub const LOAD_FAST: u8 = 124;
    pub const LOAD_DEREF: u8 = 136;
    pub const LOAD_CLASSDEREF: u8 = 148;
    pub const LOAD_CLOSURE: u8 = 135;
    pub const LOAD_CONST: u8 = 100;
    pub const LOAD_ATTR: u8 = 106;
    pub const LOAD_METHOD: u8 = 160;
    pub const CALL_FUNCTION: u8 = 131;
    pub const CALL_FUNCTION_KW: u8 = 141;
    pub const CALL_FUNCTION_EX: u8 = 142;
    pub const CALL_METHOD: u8 = 161;
}

/// Where something of the wanted name is called, and where it is an argument of a call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sites {
    by_name: Vec<u64>,
    handed_on: Vec<u64>,
}

/// Finds them.
///
/// What each instruction leaves on the value stack is followed through straight code only: at every jump and every
/// target of one, what was below is not known any more, nor is it after an instruction that is not listed here.
fn calls(code: &[u8], unit: u64, wanted: &Wanted) -> Sites {
    let targets = jump_targets(code, unit);
    let is = |table: &[bool], argument: usize| table.get(argument).copied().unwrap_or(false);
    let mut sites = Sites::default();
    // For each value: whether it goes by the name.
    let mut stack: Vec<bool> = Vec::new();
    for (at, opcode, argument) in instructions(code) {
        if targets.binary_search(&at).is_ok() {
            stack.clear();
        }
        let (takes, gives) = match opcode {
            op::LOAD_GLOBAL | op::LOAD_NAME => (0, vec![is(&wanted.names, argument)]),
            op::LOAD_FAST => (0, vec![is(&wanted.locals, argument)]),
            op::LOAD_DEREF | op::LOAD_CLASSDEREF => (0, vec![is(&wanted.shared, argument)]),
            op::LOAD_CONST | op::LOAD_CLOSURE => (0, vec![false]),
            op::LOAD_ATTR => (1, vec![is(&wanted.names, argument)]),
            // The method and the object, or nothing and the method.
            op::LOAD_METHOD => (1, vec![is(&wanted.names, argument), false]),
            op::CALL_FUNCTION | op::CALL_FUNCTION_KW | op::CALL_FUNCTION_EX | op::CALL_METHOD => {
                let takes = match opcode {
                    op::CALL_FUNCTION => argument + 1,
                    op::CALL_FUNCTION_EX => 2 + (argument & 1),
                    _ => argument + 2,
                };
                let taken = &stack[stack.len().saturating_sub(takes)..];
                if taken.len() == takes && taken[0] {
                    sites.by_name.push(at as u64 / unit);
                } else if taken.contains(&true) {
                    sites.handed_on.push(at as u64 / unit);
                }
                (takes, vec![false])
            }
            _ => match plain(opcode, argument) {
                Some((takes, gives)) => (takes, vec![false; gives]),
                None => (usize::MAX, Vec::new()),
            },
        };
        stack.truncate(stack.len().saturating_sub(takes));
        stack.extend(gives);
    }
    sites
}

/// How many values an instruction takes and gives that has no name in it.
fn plain(opcode: u8, argument: usize) -> Option<(usize, usize)> {
    Some(match opcode {
        9 => (0, 0),                       // NOP
        1 | 90 | 97 | 125 | 137 => (1, 0), // POP_TOP, STORE_*
        10..=12 | 15 => (1, 1),            // UNARY_*
        // BINARY_*, INPLACE_*, COMPARE_OP, IS_OP, CONTAINS_OP
        16 | 17 | 19..=29 | 55..=57 | 59 | 62..=67 | 75..=79 | 107 | 117 | 118 => (2, 1),
        102..=104 | 133 | 157 => (argument, 1), // BUILD_TUPLE, LIST, SET, SLICE, STRING
        105 => (argument.checked_mul(2)?, 1),   // BUILD_MAP
        156 => (argument.checked_add(1)?, 1),   // BUILD_CONST_KEY_MAP
        155 => (if argument & 4 == 4 { 2 } else { 1 }, 1), // FORMAT_VALUE
        _ => return None,
    })
}

/// Offset (of its first prefix, where `f_lasti` stays), opcode and argument of every instruction.
fn instructions(code: &[u8]) -> impl Iterator<Item = (usize, u8, usize)> {
    let mut prefix: Option<(usize, usize)> = None;
    code.chunks_exact(2).enumerate().filter_map(move |(index, unit)| {
        let (at, high) = prefix.take().unwrap_or((index * 2, 0));
        let argument = high << 8 | usize::from(unit[1]);
        if unit[0] == op::EXTENDED_ARG {
            prefix = Some((at, argument & 0xff_ffff));
            return None;
        }
        Some((at, unit[0], argument))
    })
}

fn jump_targets(code: &[u8], unit: u64) -> Vec<usize> {
    let scale = unit as usize;
    let mut targets: Vec<usize> = instructions(code)
        .flat_map(|(at, opcode, argument)| {
            let distance = argument.saturating_mul(scale);
            let target = match opcode {
                // FOR_ITER, JUMP_FORWARD, SETUP_FINALLY, SETUP_WITH, SETUP_ASYNC_WITH
                93 | 110 | 122 | 143 | 154 => Some((at + 2).saturating_add(distance)),
                // JUMP_IF_*, JUMP_ABSOLUTE, POP_JUMP_IF_*, JUMP_IF_NOT_EXC_MATCH
                111..=115 | 121 => Some(distance),
                _ => None,
            };
            target.into_iter()
        })
        .collect();
    targets.sort_unstable();
    targets
}

#[cfg(test)]
mod tests {
    use super::{Sites, Wanted, calls};

    const WANTED: fn() -> Wanted =
        || Wanted { names: vec![false, true], locals: vec![false], shared: vec![true] };

    fn sites(code: &[(u8, u8)], unit: u64) -> Vec<u64> {
        let bytes: Vec<u8> = code.iter().flat_map(|(opcode, argument)| [*opcode, *argument]).collect();
        calls(&bytes, unit, &WANTED()).by_name
    }

    #[test]
    fn calls_by_name_are_found_among_others() {
        // other(wanted(0)); x.wanted(0); the last of its own kind is a free variable
        let code = [
            (116, 0),
            (116, 1),
            (100, 0),
            (131, 1),
            (131, 1),
            (1, 0),
            (124, 0),
            (160, 1),
            (100, 0),
            (161, 1),
            (1, 0),
            (136, 0),
            (131, 0),
            (83, 0),
        ];
        assert_eq!(sites(&code, 1), [6, 18, 24]);
        assert_eq!(sites(&code, 2), [3, 9, 12]);
    }

    #[test]
    fn an_argument_is_handed_on() {
        // other(wanted), and wanted(other(0), *rest)
        let bytes = [116, 0, 116, 1, 131, 1];
        assert_eq!(calls(&bytes, 1, &WANTED()), Sites { by_name: vec![], handed_on: vec![4] });
        let code = [(116, 1), (116, 0), (100, 0), (131, 1), (102, 1), (142, 0)];
        assert_eq!(sites(&code, 1), [10]);
    }

    #[test]
    fn what_a_jump_leaves_open_is_not_guessed() {
        // (other if x else wanted)(0): which one is called is known only at run time
        let code = [(124, 0), (114, 8), (116, 0), (110, 2), (116, 1), (100, 0), (131, 1)];
        assert_eq!(sites(&code, 1), [0u64; 0]);
    }

    #[test]
    fn prefixes_and_nonsense() {
        // A call with 256 arguments stays at its prefix; here most of what it takes is not there.
        assert_eq!(sites(&[(116, 1), (144, 1), (131, 0)], 1), [0u64; 0]);
        assert_eq!(sites(&[(116, 1), (144, 0), (131, 0)], 1), [2]);
        assert_eq!(
            sites(&[(131, 255), (144, 255), (144, 255), (144, 255), (156, 255), (3, 0)], 1),
            [0u64; 0]
        );
    }
}
