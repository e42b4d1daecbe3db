//! What a call site says of its own callee.
//!
//! A specialised call carries the version of the function it expects in its inline cache
//! (`_PyCallCache.func_version`, `Include/internal/pycore_code.h`, 3.11+). A function's version is that of its
//! code object from 3.12 on; on 3.11 it is the function object's, which the callee's frame points to. Where the
//! caller's instruction has the callee's version beside it, the caller does call that function there.

use crate::memory::RemoteMemory;
use crate::python::bytecode;
use crate::python::frame::{RawFrame, word};
use crate::python::layout::Layout;
use crate::python::opcodes;

use super::named_call;
use super::pairs::{Call, Pairs};

/// `func_code` and `func_version` in `PyFunctionObject` (3.11, `Include/cpython/funcobject.h`).
const FUNC_CODE_3_11: u64 = 48;
const FUNC_VERSION_3_11: u64 = 128;

/// Longest code that is searched, in bytes.
const MAX_CODE: u64 = 1 << 18;
/// Most bytes that a frame in a call stands behind the call: `LOAD_ATTR` of 3.12 has nine caches.
const BEHIND: u64 = 18;
/// What has fewer bytes of code is a trampoline, as under each `__init__` (`_Py_InitCleanup`, `Objects/codeobject.c`,
/// 3.13+): the interpreter has put the callee on top of it.
const SMALLEST_CALLER: u64 = 16;
/// From a call on, where its version is: `_PyCallCache` has a counter of two bytes before it.
const VERSION_AFTER: u64 = 4;

/// What the code of a caller says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The call is made at this instruction (as the caller's frame has it meanwhile)
    At(u64),
    /// It is not made where the caller stands
    Elsewhere,
    /// It can be made there
    Open,
}

/// Reads the code of callers.
pub struct CallSites<'a> {
    memory: &'a dyn RemoteMemory,
    layout: &'a Layout,
}

/// What a caller stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A call of the Python function of that version, or of another one after all
    Call(u32),
    /// `SEND` or `FOR_ITER`
    Resumption,
    /// What can run a Python function and does not tell which one
    Open,
    /// What cannot: the caller has moved on
    NoCall,
}

impl<'a> CallSites<'a> {
    /// Of this process.
    #[must_use]
    pub fn new(memory: &'a dyn RemoteMemory, layout: &'a Layout) -> Self {
        Self { memory, layout }
    }

    /// Where `caller` calls the function of `callee` (no generator that runs on) without native code in between: the call
    /// that it is in, else the nearest in its code. The thread runs on between the reading of its top and that of the
    /// caller, so a short callee can have returned, and even the caller can have been called anew.
    #[must_use]
    pub fn call(&self, caller: &RawFrame, callee: &RawFrame) -> Answer {
        if self.layout.code.bytecode_and_names.is_some() {
            return named_call::find(self.memory, self.layout, caller, callee)
                .map_or(Answer::Open, Answer::At);
        }
        let Some((code, place)) = self.place(caller) else { return Answer::Open };
        if place == Place::Open {
            return Answer::Open;
        }
        if let Some(version) = self.function_version(callee) {
            if place == Place::Call(version) {
                return Answer::At(caller.instruction);
            }
            if let Some(site) = self.search(code, version, caller.instruction) {
                return Answer::At(site);
            }
        }
        // A call that expects one function can meet another. But a generator is made within some nanoseconds: where the
        // code names another callee, that one ran a moment before.
        let other = matches!(place, Place::Call(_)) && !self.makes_generator(callee);
        if other { Answer::Open } else { Answer::Elsewhere }
    }

    /// [`CallSites::call`], unless `pairs` knows the site already or the code has been asked often enough for now. `pairs`
    /// is told. `None`: the code does not say where the call is.
    pub fn named(&self, caller: &RawFrame, callee: &RawFrame, call: Call, pairs: &mut Pairs) -> Option<u64> {
        if let Some(site) = pairs.named_site(call) {
            return Some(site);
        }
        if !pairs.worth_asking(call) {
            return None;
        }
        match self.call(caller, callee) {
            Answer::At(site) => {
                pairs.name_site(call, site);
                return Some(site);
            }
            Answer::Elsewhere => pairs.rule_out(call),
            Answer::Open => {}
        }
        None
    }

    /// Whether `caller` stands where it lets a generator run on; `None` where its code does not tell.
    #[must_use]
    pub fn resumes(&self, caller: &RawFrame) -> Option<bool> {
        match self.place(caller)?.1 {
            Place::Resumption => Some(true),
            Place::Call(_) | Place::NoCall => Some(false),
            Place::Open => None,
        }
    }

    fn makes_generator(&self, callee: &RawFrame) -> bool {
        let flags = self.memory.read_u32(callee.code.wrapping_add(self.layout.code.flags));
        flags.is_ok_and(|flags| flags & named_call::RUN_LATER != 0)
    }

    /// What the caller stands at, and where its instructions begin and how many bytes they have.
    fn place(&self, caller: &RawFrame) -> Option<((u64, u64), Place)> {
        let opcodes = opcodes::of(self.layout.version)?;
        // While a frame is being pushed it has its new code already and still the instruction of what lay there before.
        let code = bytecode::around(self.memory, self.layout, caller.code, caller.instruction)?;
        if code.1 < SMALLEST_CALLER {
            return Some((code, Place::Open));
        }
        let mut bytes = [0; BEHIND as usize + 8];
        self.memory.read_exact(caller.instruction.wrapping_sub(BEHIND), &mut bytes).ok()?;
        let start = |behind: u64| (BEHIND - 2 * behind) as usize;
        let opcode = |behind: u64| bytes[start(behind)];
        let call = start(opcodes.call_behind);
        let special = |behind: u64| opcode(behind) >= opcodes.special_from;
        // What is open goes first: the caches of `LOAD_ATTR` (3.12) hold addresses, whose bytes can look like anything that
        // has fewer caches.
        let place = if opcodes.open.iter().any(|&(behind, some)| some.contains(&opcode(behind))) {
            Place::Open
        } else if opcodes.python_calls.contains(&bytes[call]) {
            let version = bytes[call + VERSION_AFTER as usize..].first_chunk()?;
            Place::Call(u32::from_le_bytes(*version))
        } else if opcodes.resumptions.contains(&opcode(opcodes.resumption_behind)) {
            Place::Resumption
        } else if [0, opcodes.resumption_behind, opcodes.call_behind].into_iter().any(special) {
            Place::Open
        } else {
            Place::NoCall
        };
        Some((code, place))
    }

    /// The specialised call of the function of this version that is nearest to the instruction.
    fn search(&self, (start, length): (u64, u64), version: u32, instruction: u64) -> Option<u64> {
        let opcodes = opcodes::of(self.layout.version)?;
        let code = self.memory.read_vec(start, length.min(MAX_CODE) as usize).ok()?;
        let units = code.chunks_exact(2).enumerate();
        let calls = units.filter(|(_, unit)| opcodes.python_calls.contains(&unit[0])).map(|(at, _)| at * 2);
        let of_version = calls.filter(|at| {
            code.get(at + VERSION_AFTER as usize..)
                .is_some_and(|caches| caches.starts_with(&version.to_le_bytes()))
        });
        let sites = of_version.map(|at| start + at as u64 + 2 * opcodes.call_behind);
        sites.min_by_key(|site| site.abs_diff(instruction))
    }

    /// The version of the function that `callee` runs; `None` where it has none (yet).
    fn function_version(&self, callee: &RawFrame) -> Option<u32> {
        let version = match self.layout.code.version {
            Some(offset) => self.memory.read_u32(callee.code.wrapping_add(offset)).ok()?,
            None if callee.function != 0 => {
                let mut bytes = [0; (FUNC_VERSION_3_11 - FUNC_CODE_3_11) as usize + 8];
                self.memory.read_exact(callee.function.wrapping_add(FUNC_CODE_3_11), &mut bytes).ok()?;
                // A frame that is being pushed has its function before its code; a function that has been freed
                // leaves its place to another.
                if word(&bytes, 0)? != callee.code {
                    return None;
                }
                word(&bytes, FUNC_VERSION_3_11 - FUNC_CODE_3_11)? as u32
            }
            None => return None,
        };
        (version != 0).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::frame::FrameDecoder;
    use crate::python::layout::all_tables;
    use crate::testing::FakeMemory;

    const CALLER: u64 = 0x1_0000;
    const CALLEE: u64 = 0x2_0000;
    // Of 3.14: `CALL_PY_EXACT_ARGS`, `CALL_BUILTIN_O`, `SEND_GEN`, `LOAD_FAST`, `CALL`
    const PY_CALL: u8 = 161;
    const C_CALL: u8 = 149;
    const SEND: u8 = 197;
    const LOAD: u8 = 84;
    const ANY_CALL: u8 = 52;

    /// A caller with two calls of Python functions, one of C, and a `SEND`, and a callee whose version is `version`.
    fn code(layout: &Layout, version: u32, flags: u32) -> FakeMemory {
        let call = |opcode: u8, version: u32| {
            let mut bytes = vec![opcode, 1, 0, 0];
            bytes.extend(version.to_le_bytes());
            bytes
        };
        let code = [
            vec![LOAD, 0, LOAD, 0],
            call(PY_CALL, 7),
            call(C_CALL, 0),
            vec![SEND, 3, 0, 0],
            vec![LOAD, 0],
            call(PY_CALL, 8),
            call(ANY_CALL, 0),
        ]
        .concat();
        let start = layout.code.instructions.unwrap() as usize;
        let mut caller = vec![0; start];
        caller[layout.objects.ob_size as usize] = (code.len() / 2) as u8;
        caller.extend(code);
        caller.extend([0; 32]);
        let mut callee = vec![0; start];
        let mut put =
            |at: u64, value: u32| callee[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
        put(layout.code.version.unwrap(), version);
        put(layout.code.flags, flags);
        let mut memory = FakeMemory::default();
        memory.map(CALLER, caller);
        memory.map(CALLEE, callee);
        memory
    }

    fn ask(version: u32, flags: u32, at: u64) -> (Answer, Option<bool>) {
        let layout = all_tables().swap_remove(5);
        assert_eq!(layout.version, (3, 14));
        let memory = code(&layout, version, flags);
        let decoder = FrameDecoder::new(&layout);
        let start = CALLER + layout.code.instructions.unwrap();
        let frame = |code: u64, instruction: u64| {
            let mut bytes = vec![0; decoder.prefix()];
            let mut put = |at: u64, value: u64| {
                bytes[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
            };
            put(layout.frame.code, code);
            put(layout.frame.instruction, instruction);
            decoder.decode(0x3_0000, &bytes).unwrap()
        };
        let caller = frame(CALLER, start + at);
        let sites = CallSites::new(&memory, &layout);
        let answer = match sites.call(&caller, &frame(CALLEE, 0)) {
            Answer::At(site) => Answer::At(site - start),
            other => other,
        };
        (answer, sites.resumes(&caller))
    }

    #[test]
    fn a_call_is_where_the_code_names_the_callee() {
        for (version, at, answer) in [
            (7, 4, Answer::At(4)),
            (7, 0, Answer::At(4)),
            (7, 24, Answer::At(4)),
            (8, 12, Answer::At(26)),
            (8, 20, Answer::At(26)),
            // A site that expects another function can still have met this one; a C function's cannot.
            (9, 4, Answer::Open),
            (9, 12, Answer::Elsewhere),
            (9, 0, Answer::Elsewhere),
            // What is not specialised can call anything, whatever is called elsewhere.
            (7, 34, Answer::Open),
            (0, 0, Answer::Elsewhere),
            // Not in its code
            (7, 2000, Answer::Open),
        ] {
            assert_eq!(ask(version, 0, at).0, answer, "version {version} at {at}");
        }
        assert_eq!(ask(9, named_call::RUN_LATER, 4).0, Answer::Elsewhere, "making a generator takes no time");
    }

    #[test]
    fn generators_run_on_at_send_and_for_iter_only() {
        for (at, resumes) in [(20, Some(true)), (0, Some(false)), (4, Some(false)), (34, None), (2000, None)]
        {
            assert_eq!(ask(1, 0, at).1, resumes, "at {at}");
        }
    }

    #[test]
    fn addresses_in_the_caches_of_a_property_are_no_instructions() {
        const LOAD_ATTR_PROPERTY: u8 = 77;
        let layout = all_tables().swap_remove(4);
        assert_eq!(layout.version, (3, 12));
        let opcodes = opcodes::of(layout.version).unwrap();
        let start = layout.code.instructions.unwrap();
        for byte in opcodes.resumptions.iter().chain(opcodes.python_calls) {
            let mut bytes = vec![0; start as usize + 20];
            bytes[layout.objects.ob_size as usize] = 10;
            bytes[start as usize] = LOAD_ATTR_PROPERTY;
            // The getter's address: the last four of the nine caches.
            bytes[start as usize + 12..].fill(*byte);
            let mut memory = FakeMemory::default();
            memory.map(CALLER, [bytes, vec![0; 32]].concat());
            memory.map(CALLEE, vec![0; start as usize]);
            let frame = |code, instruction| RawFrame { code, instruction, ..RawFrame::default() };
            let caller = frame(CALLER, CALLER + start + 18);
            let sites = CallSites::new(&memory, &layout);
            assert_eq!(sites.call(&caller, &frame(CALLEE, 0)), Answer::Open, "{byte}");
            assert_eq!(sites.resumes(&caller), None, "{byte}");
        }
    }
}
