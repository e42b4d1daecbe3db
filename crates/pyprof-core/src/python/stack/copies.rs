//! A copy of some of the target's memory: bytes by address.

use std::cell::Cell;

use crate::memory::Piece;

/// Ranges of the target's memory in a buffer, found again by address.
#[derive(Debug, Default, Clone)]
pub struct Copy {
    /// Sorted by address once [`Copy::seal`] has run
    spans: Vec<Span>,
    len: usize,
    /// The span that had the last bytes asked for: callers lie near their callees
    last: Cell<usize>,
}

#[derive(Debug, Clone, std::marker::Copy)]
struct Span {
    start: u64,
    end: u64,
    /// Where the bytes of `start` are in the buffer
    offset: usize,
}

impl Copy {
    /// Forgets every range.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.len = 0;
    }

    /// Says that `piece` is in the buffer from `offset` on.
    pub fn push(&mut self, piece: Piece, offset: usize) {
        let start = piece.base as u64;
        self.len += piece.len;
        self.spans.push(Span { start, end: start.saturating_add(piece.len as u64), offset });
    }

    /// Bytes in all ranges.
    #[must_use]
    pub fn size(&self) -> usize {
        self.len
    }

    /// Makes [`Copy::bytes`] usable. Ranges may overlap; any that holds an address will do.
    pub fn seal(&mut self) {
        self.spans.sort_unstable_by_key(|span| (span.start, span.end));
    }

    /// Where in the buffer the bytes at `address` are. What comes earlier in it was read earlier.
    #[must_use]
    pub fn place(&self, address: u64) -> Option<usize> {
        let after = self.spans.partition_point(|span| span.start <= address);
        let span = self.spans[..after].iter().rev().take(4).find(|span| address < span.end)?;
        Some(span.offset + (address - span.start) as usize)
    }

    /// What the copy holds from `address` to the end of its range, at least `len` bytes of it.
    #[must_use]
    pub fn bytes<'a>(&self, buf: &'a [u8], address: u64, len: usize) -> Option<&'a [u8]> {
        let last = self.last.get();
        let begins_after = |next: usize| self.spans.get(next).is_none_or(|span| span.start > address);
        let after = match self.spans.get(last) {
            Some(span) if span.start <= address && begins_after(last + 1) => last + 1,
            _ => self.spans.partition_point(|span| span.start <= address),
        };
        // The nearest ranges first: with overlaps the one that holds the whole frame may start earlier.
        for span in self.spans[..after].iter().rev().take(4) {
            let skip = address - span.start;
            if span.end.saturating_sub(address) >= len as u64 {
                self.last.set(after - 1);
                let from = span.offset + skip as usize;
                return buf.get(from..span.offset + (span.end - span.start) as usize);
            }
        }
        None
    }
}
