//! What the walker sends: the Python frames of one thread at its interrupt, in one record or several.

use pyprof_core::python::frame::{FrameDecoder, RawFrame};

/// Bytes of `struct head`.
const HEAD: usize = 56;
const HAS_STATE: u32 = 1;
const HOLDS_GIL: u32 = 2;
const MORE: u32 = 4;
const FAULT: u32 = 8;
/// The walker's programs call each other at most 33 times (`MAX_TAIL_CALL_CNT`), with 160 frames each.
const MAX_FRAMES: usize = 34 * 160;

/// The Python side of one interrupt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// `CLOCK_MONOTONIC` in ns
    pub time: u64,
    /// Kernel thread id as the target's pid namespace counts it
    pub tid: u32,
    /// The thread state; 0 for a thread without one
    pub state: u64,
    /// The current `_PyCFrame` (3.11, 3.12), else 0
    pub cframe: u64,
    /// It held its GIL
    pub holds_gil: bool,
    /// A frame could not be read (its page was not there), or there were more than fit: callers are missing
    pub broken: bool,
    /// Leaf first, entry markers included
    pub frames: Vec<RawFrame>,
    part: u32,
    more: bool,
}

impl Walk {
    /// Begins with the first record of a walk. `None` when it is not one.
    #[must_use]
    pub fn begin(bytes: &[u8], decoder: &FrameDecoder) -> Option<Self> {
        let mut walk = Self::default();
        walk.add(bytes, decoder, true).then_some(walk)
    }

    /// Adds a further record; false when it does not belong here.
    pub fn go_on(&mut self, bytes: &[u8], decoder: &FrameDecoder) -> bool {
        self.more && self.add(bytes, decoder, false)
    }

    /// Nothing more will come.
    pub fn end(&mut self) {
        self.broken |= self.more;
        self.more = false;
    }

    fn add(&mut self, bytes: &[u8], decoder: &FrameDecoder, first: bool) -> bool {
        let Some((head, frames)) = bytes.split_at_checked(HEAD) else { return false };
        let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap_or_default());
        let int = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap_or_default());
        let short = |at: usize| u16::from_ne_bytes(head[at..at + 2].try_into().unwrap_or_default());
        let (time, tid, flags, state, mut address) = (long(0), int(8), int(12), long(16), long(24));
        let (count, stride, part) = (usize::from(short(48)), usize::from(short(50)), int(52));
        if first {
            (self.time, self.tid, self.part) = (time, tid, part);
            self.cframe = long(40);
            self.state = if flags & HAS_STATE == 0 { 0 } else { state };
            self.holds_gil = flags & HOLDS_GIL != 0;
            if part != 0 {
                return false;
            }
        } else if (time, tid, part) != (self.time, self.tid, self.part + 1) {
            return false;
        }
        self.part = part;
        self.more = flags & MORE != 0;
        self.broken |= flags & FAULT != 0;
        if stride == 0 || self.frames.len() + count > MAX_FRAMES {
            self.broken = true;
            return true;
        }
        for bytes in frames.chunks_exact(stride).take(count) {
            let Some(frame) = decoder.decode(address, bytes) else {
                self.broken = true;
                return true;
            };
            address = frame.previous;
            self.frames.push(frame);
        }
        true
    }
}
