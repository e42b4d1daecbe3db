//! Two copies of one thread's stack, and what can be asked of them.

use super::chunks::Chunk;
use super::copies::Copy;
use super::loose::Loose;
use crate::python::frame::{FrameDecoder, RawFrame};

/// One look at one thread: two moments, two copies.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    /// What the system calls brought back
    pub buf: &'a [u8],
    /// Where in it the two copies are
    pub copies: [&'a Copy; 2],
    /// What the look before read, and where in it its second copy is; `None` when it did not read this thread
    pub earlier: Option<(&'a [u8], &'a Copy)>,
    /// What was copied once only, because it has not moved lately
    pub at_rest: &'a [(u64, u64)],
    /// The frames from the root on that are byte for byte as they were when a stack was last seen whole; empty where
    /// nothing is known. Chains begin above them.
    pub base: &'a [RawFrame],
    /// The current frame, read just after each copy (just before it where frames are objects); 0 when the thread runs no Python code
    pub tops: [u64; 2],
    /// Where frames outside the data stack may be
    pub loose: &'a Loose,
    /// The chunks of the data stack, empty where frames are objects
    pub chunks: &'a [Chunk],
    /// The one in use: within it callers lie below their callees
    pub chunk: std::ops::Range<u64>,
    /// Where the chunk's first frame begins
    pub first_frame: u64,
    /// Where in it the part in use ended between the copies (`datastack_top`)
    pub used_to: u64,
    /// No code object was made or freed meanwhile, as far as the interpreter counts that: what earlier looks have proven
    /// of their addresses is still true
    pub steady: bool,
    /// How this version's frames are laid out
    pub decoder: &'a FrameDecoder,
}

/// How a walk from a top towards the root ended.
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq)]
pub enum Walk {
    /// At a frame without a caller
    Root,
    /// At an address that the copy does not hold
    Unknown(u64),
    /// It went round, or met a frame that has returned
    Nonsense,
    /// It did not come to the last frame of the base, but to one below it
    InBase,
}

impl Look<'_> {
    /// The frame at `address` as `copy` has it.
    #[must_use]
    pub fn frame(&self, copy: usize, address: u64) -> Option<RawFrame> {
        self.decoder.decode(address, self.copies[copy].bytes(self.buf, address, self.decoder.prefix())?)
    }

    /// Fills `chain` with the frames from `top` down to the one without a caller or to the base, as `copy` has them,
    /// root first.
    pub fn walk(&self, copy: usize, top: u64, chain: &mut Vec<RawFrame>) -> Walk {
        chain.clear();
        // More frames than the copy has room for: the chain goes round.
        let most = self.copies[copy].size() / self.decoder.prefix() + 1;
        let base_end = self.base.last().map_or(0, |frame| frame.address);
        let mut address = top;
        let mut end = Walk::Root;
        while address != base_end {
            if address == 0 {
                // A generator that just yielded has no caller, and is no root.
                let yielded = chain.last().is_some_and(RawFrame::is_generator);
                end = if yielded { Walk::Nonsense } else { Walk::InBase };
                break;
            }
            if self.is_in_base(address) {
                end = Walk::InBase;
                break;
            }
            if chain.len() > most {
                end = Walk::Nonsense;
                break;
            }
            let Some(frame) = self.frame(copy, address) else {
                end = Walk::Unknown(address);
                break;
            };
            // A frame that has returned has no code any more (3.14+).
            if frame.code == 0 && !frame.is_marker() {
                end = Walk::Nonsense;
                break;
            }
            chain.push(frame);
            let caller = frame.previous;
            if caller >= address && self.chunk.contains(&address) && self.chunk.contains(&caller) {
                end = Walk::Nonsense;
                break;
            }
            address = caller;
        }
        chain.reverse();
        end
    }

    fn is_in_base(&self, address: u64) -> bool {
        // The base is long, and where it matters the stack has shrunk: then it is searched once and given up.
        !self.base.is_empty() && self.rests(address) && self.base.iter().any(|frame| frame.address == address)
    }

    /// [`FrameDecoder::suspended`], as `copy` has it.
    #[must_use]
    pub fn suspended(&self, copy: usize, address: u64) -> Option<bool> {
        let prefix = self.decoder.prefix();
        self.decoder.suspended(self.copies[copy].bytes(self.buf, address, prefix)?)
    }

    /// Whether the frame lies in what was copied once only.
    #[must_use]
    pub fn rests(&self, address: u64) -> bool {
        self.at_rest.iter().any(|(start, end)| (*start..*end).contains(&address))
    }

    /// The same frame, doing the same thing, in both copies.
    #[must_use]
    pub fn still(&self, frame: &RawFrame) -> bool {
        (0..2).all(|copy| self.frame(copy, frame.address) == Some(*frame))
            && self.before(frame).is_none_or(|before| before == *frame)
    }

    /// A frame that was copied once, as it was in the look before.
    fn before(&self, frame: &RawFrame) -> Option<RawFrame> {
        let (buf, copy) = self.earlier.filter(|_| self.rests(frame.address))?;
        self.decoder.decode(frame.address, copy.bytes(buf, frame.address, self.decoder.prefix())?)
    }

    /// The caller stood still from before the callee was seen to run until after: then it is in that call.
    #[must_use]
    pub fn surrounds(&self, caller: &RawFrame, callee: &RawFrame) -> bool {
        let place = |copy: usize, frame: &RawFrame| self.copies[copy].place(frame.address);
        let runs = |copy: usize| {
            self.frame(copy, callee.address).is_some_and(|now| now.executing && now.is_same_call(callee))
        };
        let between =
            |copy: usize| place(0, caller) < place(copy, callee) && place(copy, callee) < place(1, caller);
        let rests = self.rests(caller.address) && self.before(caller).is_some();
        caller.executing && self.still(caller) && (rests || (0..2).any(|copy| runs(copy) && between(copy)))
    }

    /// The same frame in both copies, whatever it does.
    #[must_use]
    pub fn stays(&self, frame: &RawFrame) -> bool {
        (0..2).all(|copy| self.frame(copy, frame.address).is_some_and(|other| other.is_same_call(frame)))
            && self.before(frame).is_none_or(|before| before.is_same_call(frame))
    }

    /// Whether the first frame of a chain, which has no caller, can be what stacks stand on. A generator that just
    /// yielded and a frame object that just returned have none either; nor has what only looks like a frame: the
    /// `_PyCFrame` of a function that is being entered can still hold anything (3.11 and 3.12). On the data stack there
    /// is nothing but frames, and an entry marker has called one of them.
    #[must_use]
    pub fn may_be_root(&self, chain: &[RawFrame]) -> bool {
        let Some(root) = chain.first() else { return false };
        let called =
            if root.is_marker() { chain.iter().find(|frame| !frame.is_marker()) } else { Some(root) };
        let placed = |frame: &RawFrame| {
            frame.is_generator() || self.chunks.iter().any(|chunk| chunk.holds(frame.address))
        };
        let frames = self.decoder.frames_are_objects() || called.is_none_or(placed);
        frames && !root.is_generator() && root.executing && self.still(root)
    }

    /// A frame of an earlier stack that stands where it stood and has not returned.
    #[must_use]
    pub fn lives(&self, frame: &RawFrame) -> bool {
        self.in_use(frame) && frame.executing && self.still(frame)
    }

    /// Between the copies its place was part of the stack. A frame being pushed, or one that has been left behind,
    /// can hang on the chain without (3.11 links it before it is made).
    fn in_use(&self, frame: &RawFrame) -> bool {
        !self.chunk.contains(&frame.address) || frame.address < self.used_to
    }

    /// The same function's frame in both copies.
    #[must_use]
    pub fn keeps_code(&self, frame: &RawFrame) -> bool {
        (0..2).all(|copy| self.frame(copy, frame.address).is_some_and(|other| other.code == frame.code))
    }

    /// How many frames of `chain` from its beginning on are certain: they belong to the thread's stack at both
    /// moments (`other` is the chain of the other one), and all but the last of them stood still, so each of
    /// their calls is the one that was going on. The base is.
    ///
    /// That a frame looks the same in both copies is not enough: a frame that has returned goes on to look so
    /// until another takes its place, while its caller is elsewhere.
    ///
    /// `across`: the chains come from different copies, so that frames that are equal stood still.
    #[must_use]
    pub fn certain(&self, chain: &[RawFrame], other: &[RawFrame], across: bool) -> usize {
        let both = chain.iter().zip(other);
        let shared = both.take_while(|(one, two)| one.is_same_call(two) && self.in_use(one)).count();
        for (index, frame) in chain[..shared].iter().enumerate() {
            // What was copied once only has its second moment in the look before.
            if self.rests(frame.address) {
                if self.before(frame) != Some(*frame) || *frame != other[index] {
                    // A known root holds a stack alone.
                    return if self.base.is_empty() { index.max(1) } else { index };
                }
                continue;
            }
            let still = if across { *frame == other[index] } else { self.still(frame) };
            if !still {
                return if self.stays(frame) { index + 1 } else { index };
            }
        }
        // Nothing ends a stack without a root; a known one holds it alone.
        if self.base.is_empty() { shared.max(1) } else { shared }
    }
}
