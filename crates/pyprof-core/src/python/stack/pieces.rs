//! The list of pieces of one system call, and where each lands in the buffer.

use crate::memory::Piece;

/// Pieces in the order in which they will be read.
#[derive(Debug, Default, Clone)]
pub struct PieceList {
    pieces: Vec<Piece>,
    bytes: usize,
}

impl PieceList {
    /// Forgets every piece.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.bytes = 0;
    }

    /// Adds `len` bytes from `base` and returns the offset of the piece in the buffer.
    pub fn push(&mut self, base: u64, len: usize) -> usize {
        let offset = self.bytes;
        self.pieces.push(Piece { base: base as usize, len });
        self.bytes += len;
        offset
    }

    /// The pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Sum of their lengths.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The piece that was not read whole when the call brought back `count` bytes only.
    #[must_use]
    pub fn at_fault(&self, count: usize) -> Option<Piece> {
        let mut end = 0;
        self.pieces.iter().copied().find(|piece| {
            end += piece.len;
            end > count
        })
    }
}

/// Joins sorted ranges whose gaps are at most `gap` bytes: one longer piece costs less than two.
pub fn join(ranges: &mut Vec<(u64, u64)>, gap: u64) {
    ranges.sort_unstable();
    let mut kept: usize = 0;
    for index in 0..ranges.len() {
        let (start, end) = ranges[index];
        if kept > 0 && start <= ranges[kept - 1].1.saturating_add(gap) {
            ranges[kept - 1].1 = ranges[kept - 1].1.max(end);
        } else {
            ranges[kept] = (start, end);
            kept += 1;
        }
    }
    ranges.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::{PieceList, join};

    #[test]
    fn neighbours_are_joined_and_strangers_are_not() {
        let mut ranges = vec![(500, 600), (0, 10), (20, 30), (25, 28), (1000, 1010)];
        join(&mut ranges, 10);
        assert_eq!(ranges, [(0, 30), (500, 600), (1000, 1010)]);
    }

    #[test]
    fn the_piece_at_fault_is_the_first_not_read_whole() {
        let mut list = PieceList::default();
        list.push(0x1000, 8);
        list.push(0x2000, 16);
        list.push(0x3000, 4);
        assert_eq!(list.at_fault(8).map(|piece| piece.base), Some(0x2000));
        assert_eq!(list.at_fault(23).map(|piece| piece.base), Some(0x2000));
        assert_eq!(list.at_fault(24).map(|piece| piece.base), Some(0x3000));
        assert_eq!(list.at_fault(28), None);
    }
}
