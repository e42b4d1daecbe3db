//! A stack from one copy alone: from the root up to the frame that was running (3.11+).
//!
//! A copy of the moving part holds callers at lower addresses than their callees, so the kernel has copied them
//! first, nanoseconds before. Following the stack upward therefore follows time, and each frame says itself whether
//! it is the end: it lies where its caller's frame ends and points to it, and it has been left if it has no code any
//! more (3.14+) or its caller has taken up its value stack again (3.11 to 3.13). The thread's own word for its
//! current frame is not needed. It would have to be read before or after: before, and looking has slowed the thread
//! when the copy is made; after, and the frame is often gone already. Both favour frames that live long.

use super::look::Look;
use super::pairs::Pairs;
use crate::memory::RemoteMemory;
use crate::python::frame::RawFrame;
use crate::python::layout::Layout;

/// A frame of more bytes than this is nonsense.
const MAX_FRAME: u64 = 1 << 24;

/// Bytes of a frame of `code` in the data stack, where the next one begins.
pub fn frame_size(memory: &dyn RemoteMemory, layout: &Layout, code: u64, pairs: &mut Pairs) -> Option<u64> {
    if let Some(size) = pairs.size(code) {
        return Some(size);
    }
    let words = |offset: u64| memory.read_u32(code.wrapping_add(offset)).ok().map(u64::from);
    let size = match layout.code.frame_size {
        Some(offset) => words(offset)? * 8,
        // 3.11: `_PyFrame_NumSlotsForCodeObject` and `FRAME_SPECIALS_SIZE` (`Include/internal/pycore_frame.h`).
        None => layout.frame.locals + 8 * (words(layout.code.local_count)? + words(layout.code.stack_size)?),
    };
    if size < layout.frame.locals || size > MAX_FRAME {
        return None;
    }
    pairs.learn_size(code, size);
    Some(size)
}

/// Tells the size of a code object's frames.
pub type SizeOf<'a> = dyn FnMut(u64, &mut Pairs) -> Option<u64> + 'a;

/// Follows the stack of the first copy upward, from the base where there is one. `guide` is a chain that reaches a
/// known root or the base, `top` the one from the frame that the thread itself named right after the copy, if it reaches a root; it decides where the copy alone
/// does not. Fills `chain`, root first; false when the copy does not show which frame was running.
pub fn climb(
    look: &Look<'_>,
    guide: &[RawFrame],
    top: Option<&[RawFrame]>,
    pairs: &mut Pairs,
    size_of: &mut SizeOf<'_>,
    chain: &mut Vec<RawFrame>,
) -> bool {
    chain.clear();
    if look.base.is_empty() {
        let resting = guide.iter().take_while(|frame| look.rests(frame.address)).count().max(1);
        for frame in &guide[..resting.min(guide.len())] {
            let Some(now) = look.frame(0, frame.address).filter(|now| now.is_same_call(frame)) else {
                return false;
            };
            chain.push(now);
        }
    }
    let linked = |copy: usize| {
        let frames = look.loose.addresses().filter_map(move |address| look.frame(copy, address));
        frames.filter(|frame| frame.previous != 0 && (frame.is_generator() || frame.is_marker()))
    };
    // They lie elsewhere and are copied before; what is not linked yet then may be when they are copied again.
    let mut others: Vec<RawFrame> = linked(0).chain(linked(1)).collect();
    others.sort_by_key(|frame| frame.previous);
    // Where the next frame of the data stack begins.
    let mut end = look.first_frame;
    let mut known = chain.iter().rev().chain(look.base.iter().rev());
    if let Some(newest) = known.find(|frame| look.chunk.contains(&frame.address)) {
        let Some(size) = size_of(newest.code, pairs) else { return false };
        end = newest.address + size;
    }
    let most = look.copies[0].size() / look.decoder.prefix() + 1;
    while let Some(&current) = chain.last().or(look.base.last()) {
        if chain.len() > most {
            return false;
        }
        let next = match step(look, &current, end, &others, top) {
            Step::Callee(next) => next,
            Step::Running => return true,
            Step::Unclear => return false,
        };
        if look.chunk.contains(&next.address) {
            let Some(size) = size_of(next.code, pairs) else { return false };
            end = next.address + size;
        }
        chain.push(next);
    }
    false
}

enum Step {
    Callee(RawFrame),
    Running,
    Unclear,
}

fn step(
    look: &Look<'_>,
    current: &RawFrame,
    end: u64,
    others: &[RawFrame],
    top: Option<&[RawFrame]>,
) -> Step {
    let above = look.frame(0, end).filter(|frame| look.chunk.contains(&end) && frame.code != 0);
    let suspended = if current.is_marker() { None } else { look.suspended(0, current.address) };
    let calls = |frame: &RawFrame| frame.previous == current.address;
    // A generator's link is cut when it yields, so one that has it runs.
    let called_by = |caller: u64| {
        let from = others.partition_point(|frame| frame.previous < caller);
        others[from..].iter().take_while(move |frame| frame.previous == caller)
    };
    let generator = |caller: u64| called_by(caller).find(|frame| frame.is_generator());
    if let Some(callee) = generator(current.address) {
        return Step::Callee(*callee);
    }
    if suspended != Some(false)
        && let Some(callee) = above.filter(|frame| calls(frame) && !frame.is_entry)
    {
        return Step::Callee(callee);
    }
    // Native code may have called Python again: then a marker stands in between.
    let mut doubtful = above.is_some_and(|frame| calls(&frame) && frame.is_entry);
    for marker in called_by(current.address).filter(|frame| frame.is_marker()) {
        let called = above.is_some_and(|frame| frame.previous == marker.address);
        if generator(marker.address).is_some() || called && look.decoder.clears_code() {
            return Step::Callee(*marker);
        }
        doubtful |= called;
    }
    // What a call from native code left behind looks like one that goes on, so the thread's word is needed.
    if doubtful {
        let on_base = look.base.last().is_some_and(|last| last.is_same_call(current));
        let Some(top) = top else { return Step::Unclear };
        let at = if on_base {
            Some(0)
        } else {
            top.iter().position(|frame| frame.is_same_call(current)).map(|at| at + 1)
        };
        let Some(at) = at else { return Step::Unclear };
        return match top.get(at) {
            None => Step::Running,
            Some(next) if next.is_marker() || next.is_entry => Step::Callee(*next),
            Some(_) => Step::Unclear,
        };
    }
    if suspended == Some(true) || current.is_marker() { Step::Unclear } else { Step::Running }
}
