//! One Python frame as its bytes say it, on any supported version.

use super::layout::{FrameLayout, Layout};

/// The part of a frame that places it in a stack. Every field is the target's word, checked by nobody yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RawFrame {
    /// Where the frame lies
    pub address: u64,
    /// Its code object
    pub code: u64,
    /// The caller's frame; 0 at the root
    pub previous: u64,
    /// `f_lasti`, `prev_instr` or `instr_ptr`, as the version has it
    pub instruction: u64,
    /// `enum _frameowner`; 0 where the version has none
    pub owner: u8,
    /// Native code entered the interpreter with this frame (3.11's `is_entry`)
    pub is_entry: bool,
    /// False: a frame object that has not begun, has yielded or has returned (3.8 to 3.10; later always true)
    pub executing: bool,
    /// The function object (3.11 only, where nothing else knows its version), else 0
    pub function: u64,
}

/// `FRAME_OWNED_BY_GENERATOR` in every version that has owners (`Include/internal/pycore_frame.h`).
const OWNER_GENERATOR: u8 = 1;
/// From this value on a frame is no Python function but marks an entry from native code: 3 is
/// `FRAME_OWNED_BY_CSTACK` on 3.12 and 3.13, 3 and 4 are `INTERPRETER` and `CSTACK` on 3.14 and 3.15.
const OWNER_ENTRY: u8 = 3;

impl RawFrame {
    /// The same function at the same place, called by the same frame; it may have gone on meanwhile.
    #[must_use]
    pub fn is_same_call(&self, other: &Self) -> bool {
        (self.address, self.code, self.previous) == (other.address, other.code, other.previous)
    }

    /// An entry marker: it has no name and is never shown.
    #[must_use]
    pub fn is_marker(&self) -> bool {
        self.owner >= OWNER_ENTRY
    }

    /// A generator's or coroutine's frame, which lies in the heap and loses `previous` at every yield.
    #[must_use]
    pub fn is_generator(&self) -> bool {
        self.owner == OWNER_GENERATOR
    }
}

/// Cuts [`RawFrame`]s out of bytes.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    layout: FrameLayout,
    /// `f_lasti` is an int in a frame object, an address later
    instruction_is_int: bool,
    /// `f_func` comes first in 3.11's frame
    has_function: bool,
    prefix: usize,
}

impl FrameDecoder {
    /// For frames of this layout.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let frame = layout.frame.clone();
        let ends = [
            frame.code + 8,
            frame.previous + 8,
            frame.instruction + 8,
            frame.owner.map_or(0, |o| o + 1),
            frame.is_entry.map_or(0, |o| o + 1),
            frame.stack_top.filter(|_| layout.version >= (3, 11)).map_or(0, |o| o + 4),
            frame.executing.map_or(0, |(o, _)| o + 1),
        ];
        let prefix = ends.into_iter().max().unwrap_or(0).next_multiple_of(8) as usize;
        Self {
            layout: frame,
            instruction_is_int: layout.version < (3, 11),
            has_function: layout.version == (3, 11),
            prefix,
        }
    }

    /// Frames are objects that know whether they run, and whose link to the caller is cut when they return
    /// (3.8 to 3.10).
    #[must_use]
    pub fn frames_are_objects(&self) -> bool {
        self.instruction_is_int
    }

    /// Frames lose their code when they return (`_PyFrame_ClearExceptCode` and what follows it, 3.14+).
    #[must_use]
    pub fn clears_code(&self) -> bool {
        self.layout.tagged
    }

    /// Whether a frame has put its value stack aside because it is in a call of a Python function, or has yielded.
    /// `None` where a frame does not tell: from 3.14 on it does so for calls of C functions too, and keeps it.
    ///
    /// `stacktop` is -1 while a frame runs (`_PyFrame_GetStackPointer`, `Include/internal/pycore_frame.h`, 3.11 to
    /// 3.13).
    #[must_use]
    pub fn suspended(&self, bytes: &[u8]) -> Option<bool> {
        let at = self.layout.stack_top.filter(|_| !self.layout.tagged && !self.instruction_is_int)?;
        let at = usize::try_from(at).ok()?;
        let top = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(i32::from_le_bytes(top) >= 0)
    }

    /// How many bytes of a frame are needed.
    #[must_use]
    pub fn prefix(&self) -> usize {
        self.prefix
    }

    /// The frame at `address`, whose bytes start at `bytes`; `None` when there are too few.
    #[must_use]
    pub fn decode(&self, address: u64, bytes: &[u8]) -> Option<RawFrame> {
        let layout = &self.layout;
        let bytes = bytes.get(..self.prefix)?;
        let mask = if layout.tagged { !0b111 } else { !0 };
        Some(RawFrame {
            address,
            code: word(bytes, layout.code)? & mask,
            previous: word(bytes, layout.previous)?,
            instruction: if self.instruction_is_int {
                word(bytes, layout.instruction)? & 0xffff_ffff
            } else {
                word(bytes, layout.instruction)?
            },
            owner: byte(bytes, layout.owner),
            function: if self.has_function { word(bytes, 0)? } else { 0 },
            is_entry: byte(bytes, layout.is_entry) != 0,
            executing: layout.executing.is_none_or(|(offset, yes)| byte(bytes, Some(offset)) == yes),
        })
    }
}

/// The little-endian word at `offset`.
#[must_use]
pub fn word(bytes: &[u8], offset: u64) -> Option<u64> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(start..end)?.try_into().ok()?))
}

fn byte(bytes: &[u8], offset: Option<u64>) -> u8 {
    offset.and_then(|offset| bytes.get(usize::try_from(offset).ok()?)).copied().unwrap_or(0)
}
