//! The part of a stack that need not be looked at again: callers that have not moved for a long time.
//!
//! Of what a look copies once only, the bytes that place a frame are compared with those of an earlier look at which
//! the stack was whole. As long as they are the same, so are the frames, and only what lies above has to be walked,
//! proven and named: a deep stack costs little more than a flat one.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::look::Look;
use super::prove::Verdict;
use crate::python::frame::RawFrame;

/// Numbers are used once in the whole program: what is kept of a thread's frames can outlive who read them.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// Frames from the root on, and whether they are still there.
#[derive(Debug, Default)]
pub struct Base {
    frames: Vec<Kept>,
    /// [`crate::python::frame::FrameDecoder::prefix`] bytes of each
    bytes: Vec<u8>,
    /// Those of the frames that lie outside the data stack
    loose: Vec<u64>,
    /// What was copied once in the last look
    ranges: Vec<(u64, u64)>,
    holds: bool,
    serial: u64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    address: u64,
    /// Where it begins in what is copied once
    offset: usize,
}

impl Base {
    /// A look has copied `ranges` once, back to back into `copied`; `len` bytes of a frame matter.
    pub fn compare(&mut self, ranges: &[(u64, u64)], copied: &[u8], len: usize) {
        if self.ranges != ranges {
            self.ranges.clear();
            self.ranges.extend_from_slice(ranges);
            let place = |kept: &mut Kept| place(ranges, kept.address, len).map(|offset| kept.offset = offset);
            let within = self.frames.iter_mut().map_while(place).count();
            self.keep(within, len);
        }
        let mut old = self.bytes.chunks_exact(len);
        let same = |kept: &Kept| copied.get(kept.offset..kept.offset + len) == old.next();
        self.holds = !self.frames.is_empty() && self.frames.iter().all(same);
    }

    fn keep(&mut self, count: usize, len: usize) {
        for lost in self.frames.drain(count..) {
            self.loose.retain(|address| *address != lost.address);
        }
        self.bytes.truncate(count * len);
    }

    /// How many frames of the last whole stack, from the root on, need not be looked at.
    #[must_use]
    pub fn frames(&self) -> usize {
        if self.holds { self.frames.len() } else { 0 }
    }

    /// Identifies these frames: the same number always means the same ones, if they are equally many.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Those that lie outside the data stack.
    #[must_use]
    pub fn loose(&self) -> &[u64] {
        if self.holds { &self.loose } else { &[] }
    }

    /// The look is over: takes the frames that are at rest now if there are others than before. `kept`: so many were
    /// taken for granted; `copied`: as for [`Base::compare`].
    pub fn settle(
        &mut self,
        look: &Look<'_>,
        stack: &[RawFrame],
        (verdict, kept): (Verdict, usize),
        copied: &[u8],
        in_data_stack: impl Fn(u64) -> bool,
    ) {
        if kept == 0 {
            self.holds = false;
        }
        if verdict != Verdict::Whole || look.decoder.frames_are_objects() {
            return;
        }
        let len = look.decoder.prefix();
        if !self.holds {
            self.frames.clear();
            self.bytes.clear();
            self.loose.clear();
        }
        let known = self.frames.len();
        for frame in stack.get(known..).unwrap_or(&[]) {
            let Some(offset) = place(look.at_rest, frame.address, len) else { break };
            let bytes = &copied[offset..offset + len];
            if look.decoder.decode(frame.address, bytes) != Some(*frame) {
                break;
            }
            self.frames.push(Kept { address: frame.address, offset });
            self.bytes.extend_from_slice(bytes);
            if !in_data_stack(frame.address) {
                self.loose.push(frame.address);
            }
        }
        if self.frames.len() > known || !self.holds {
            self.serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
            // Only the next look can tell that it holds.
            self.holds = false;
        }
    }
}

/// Where `len` bytes from `address` on are in `ranges`, laid back to back.
fn place(ranges: &[(u64, u64)], address: u64, len: usize) -> Option<usize> {
    let mut begin = 0;
    for &(start, end) in ranges {
        let range: Range<u64> = start..end;
        if range.contains(&address) && end - address >= len as u64 {
            return Some(begin + (address - start) as usize);
        }
        begin += (end - start) as usize;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::frame::FrameDecoder;
    use crate::python::layout::all_tables;
    use crate::python::stack::copies::Copy;
    use crate::python::stack::loose::Loose;

    const AT: u64 = 0x1000;
    const SIZE: u64 = 160;

    /// `count` frames in a row, each called by the one below it.
    fn stack(decoder: &FrameDecoder, previous: u64, count: u64) -> (Vec<u8>, Vec<RawFrame>) {
        let mut bytes = vec![0; (count * SIZE) as usize];
        for index in 1..count {
            let at = (index * SIZE + previous) as usize;
            bytes[at..at + 8].copy_from_slice(&(AT + (index - 1) * SIZE).to_le_bytes());
        }
        let frame =
            |index: u64| decoder.decode(AT + index * SIZE, &bytes[(index * SIZE) as usize..]).unwrap();
        let frames = (0..count).map(frame).collect();
        (bytes, frames)
    }

    /// What a look at `bytes`, at rest but for the last frame, makes of `base`: how many frames it takes for granted.
    fn look(
        base: &mut Base,
        decoder: &FrameDecoder,
        bytes: &[u8],
        stack: &[RawFrame],
        verdict: Verdict,
    ) -> usize {
        let end = AT + bytes.len() as u64 - SIZE;
        let ranges = [(AT, end)];
        let copied = &bytes[..bytes.len() - SIZE as usize];
        let mut copy = Copy::default();
        copy.push(crate::memory::Piece { base: AT as usize, len: copied.len() }, 0);
        copy.seal();
        base.compare(&ranges, copied, decoder.prefix());
        let kept = base.frames();
        let look = Look {
            buf: copied,
            copies: [&copy, &copy],
            earlier: None,
            at_rest: &ranges,
            base: &[],
            loose: &Loose::new(false),
            tops: [0; 2],
            chunk: AT..end + SIZE,
            chunks: &[],
            first_frame: AT,
            used_to: end + SIZE,
            steady: true,
            decoder,
        };
        base.settle(&look, stack, (verdict, kept), copied, |_| true);
        kept
    }

    #[test]
    fn frames_are_kept_while_their_bytes_stay() {
        let layout = all_tables().pop().unwrap();
        let (decoder, previous) = (FrameDecoder::new(&layout), layout.frame.previous);
        let (mut bytes, frames) = stack(&decoder, previous, 6);
        let mut base = Base::default();
        let mut see = |bytes: &[u8], verdict| look(&mut base, &decoder, bytes, &frames, verdict);
        assert_eq!(see(&bytes, Verdict::Cut), 0);
        assert_eq!(see(&bytes, Verdict::Whole), 0, "it has just been seen for the first time");
        assert_eq!(see(&bytes, Verdict::Whole), 5);
        assert_eq!(see(&bytes, Verdict::Cut), 5, "what is above them does not matter");
        // A local variable of the third frame: it places no frame.
        let local = 2 * SIZE as usize + decoder.prefix();
        bytes[local] ^= 1;
        assert_eq!(see(&bytes, Verdict::Whole), 5);
        // Its instruction: it has moved.
        bytes[2 * SIZE as usize + layout.frame.instruction as usize] ^= 2;
        assert_eq!(see(&bytes, Verdict::Cut), 0);
    }

    #[test]
    fn another_number_of_frames_or_other_frames_are_told_apart() {
        let layout = all_tables().pop().unwrap();
        let (decoder, previous) = (FrameDecoder::new(&layout), layout.frame.previous);
        let (six, frames) = stack(&decoder, previous, 6);
        let (eight, more) = stack(&decoder, previous, 8);
        let mut base = Base::default();
        let mut keys = rustc_hash::FxHashSet::default();
        for (bytes, frames, kept) in [
            (&six, &frames, 0),
            (&six, &frames, 5),
            (&eight, &more, 5),
            (&eight, &more, 7),
            (&six, &frames, 5),
        ] {
            assert_eq!(look(&mut base, &decoder, bytes, frames, Verdict::Whole), kept);
            if base.frames() > 0 {
                keys.insert((base.serial(), base.frames()));
            }
        }
        assert_eq!(keys.len(), 3);
    }
}
