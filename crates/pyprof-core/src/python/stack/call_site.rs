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

use super::named_call;

/// Where the version lies, seen from the frame's instruction: that is the call itself from 3.13 on, and its last
/// cache entry before (3.12 has three of 2 bytes, 3.11 four; the version is the second and third).
fn version_at(layout: &Layout, instruction: u64) -> u64 {
    match layout.version {
        (3, 11) => instruction.wrapping_sub(4),
        (3, 12) => instruction.wrapping_sub(2),
        _ => instruction.wrapping_add(4),
    }
}

/// `func_code` and `func_version` in `PyFunctionObject` (3.11, `Include/cpython/funcobject.h`).
const FUNC_CODE_3_11: u64 = 48;
const FUNC_VERSION_3_11: u64 = 128;

/// How far from its call, in bytes, a caller may be by the time it is read.
const REACH: i64 = 24;

/// Where `caller` calls the function of `callee`: the call that it is in, one that it has just made, or one that
/// it is about to make again. The thread runs on between the reading of its top and that of the caller, so a short
/// callee can have returned, and even the caller can have been called anew.
///
/// The result is an instruction as the caller's frame has it during that call.
#[must_use]
pub fn find(memory: &dyn RemoteMemory, layout: &Layout, caller: &RawFrame, callee: &RawFrame) -> Option<u64> {
    if layout.code.bytecode_and_names.is_some() {
        return named_call::find(memory, layout, caller, callee);
    }
    let version = function_version(memory, layout, callee)?;
    if !lies_in_its_code(memory, layout, caller) {
        return None;
    }
    let mut bytes = [0; 2 * REACH as usize + 4];
    let start = version_at(layout, caller.instruction).wrapping_sub(REACH as u64);
    memory.read_exact(start, &mut bytes).ok()?;
    let names = |distance: &i64| {
        let at = (REACH + distance) as usize;
        bytes[at..at + 4] == version.to_le_bytes()
    };
    let steps = || (2..=REACH).step_by(2);
    let distance = std::iter::once(0).chain(steps().map(|step| -step)).chain(steps()).find(names)?;
    Some(caller.instruction.wrapping_add_signed(distance))
}

/// The version of the function that `callee` runs; `None` where it has none (yet).
fn function_version(memory: &dyn RemoteMemory, layout: &Layout, callee: &RawFrame) -> Option<u32> {
    let version = match layout.code.version {
        Some(offset) => memory.read_u32(callee.code.wrapping_add(offset)).ok()?,
        None if callee.function != 0 => {
            let mut bytes = [0; (FUNC_VERSION_3_11 - FUNC_CODE_3_11) as usize + 8];
            memory.read_exact(callee.function.wrapping_add(FUNC_CODE_3_11), &mut bytes).ok()?;
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

/// Whether a frame's instruction belongs to its code. While a frame is being pushed it has its new code already
/// and still the instruction of what lay there before.
fn lies_in_its_code(memory: &dyn RemoteMemory, layout: &Layout, frame: &RawFrame) -> bool {
    bytecode::holds(memory, layout, frame.code, frame.instruction)
}
