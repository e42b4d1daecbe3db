//! Python strings as Rust strings: every kind of storage, bounded, never failing on what they hold.

use std::io;

use crate::memory::{Piece, RemoteMemory};
use crate::python::layout::{Layout, ObjectLayout};

/// Longest header of a string before its data, in bytes (72 up to 3.11 and without the GIL).
const MAX_HEADER: usize = 128;
/// Bits of the state word after the kind's three.
const COMPACT: u32 = 1 << 3;
const ASCII: u32 = 1 << 4;

/// The head of a str object: where its characters are and how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// Address of the first character
    data: u64,
    /// Length in characters, as the object says
    pub length: u64,
    /// Bytes a character: 1, 2 or 4
    width: usize,
}

/// How many bytes of a str object [`Text::from_head`] needs.
#[must_use]
pub fn head_size(layout: &ObjectLayout) -> usize {
    (layout.str_compact_data as usize + 8).min(MAX_HEADER)
}

impl Text {
    /// Understands the first [`head_size`] bytes of the str object at `address`.
    ///
    /// `None` when they cannot be those of a str.
    #[must_use]
    pub fn from_head(layout: &ObjectLayout, address: u64, head: &[u8]) -> Option<Self> {
        let length = word(head, layout.str_length)?;
        let state = u32::try_from(word(head, layout.str_state)? & 0xffff_ffff).ok()? >> layout.str_kind_shift;
        let width = match state & 7 {
            width @ (1 | 2 | 4) => width as usize,
            _ => return None,
        };
        // `PyASCIIObject`, `PyCompactUnicodeObject` or `PyUnicodeObject` (`Include/cpython/unicodeobject.h`).
        // Instances of subclasses of str are never compact; a pointer leads to their characters.
        let data = match (state & COMPACT != 0, state & ASCII != 0) {
            (true, true) => address.checked_add(layout.str_ascii_data)?,
            (true, false) => address.checked_add(layout.str_compact_data)?,
            (false, _) => word(head, layout.str_compact_data)?,
        };
        if data == 0 && length > 0 || length > i64::MAX as u64 {
            return None;
        }
        Some(Self { data, length, width })
    }

    /// Where the first `max_chars` characters lie.
    #[must_use]
    pub fn piece(&self, max_chars: usize) -> Piece {
        let chars = usize::try_from(self.length).unwrap_or(usize::MAX).min(max_chars);
        Piece { base: self.data as usize, len: chars.saturating_mul(self.width) }
    }

    /// The bytes of [`Self::piece`] as text. Lone surrogates become U+FFFD.
    #[must_use]
    pub fn decode(&self, bytes: &[u8]) -> String {
        let replaced = |code: u32| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        match self.width {
            1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
            2 => {
                bytes.chunks_exact(2).map(|c| replaced(u32::from(u16::from_le_bytes([c[0], c[1]])))).collect()
            }
            _ => bytes
                .chunks_exact(4)
                .map(|c| replaced(u32::from_le_bytes([c[0], c[1], c[2], c[3]])))
                .collect(),
        }
    }

    /// As [`Self::decode`], with an ellipsis when `max_chars` cut the string.
    #[must_use]
    pub fn decode_cut(&self, bytes: &[u8], max_chars: usize) -> String {
        let mut text = self.decode(bytes);
        if self.length > max_chars as u64 {
            text.push('…');
        }
        text
    }
}

/// Reads the str object at `address`, at most `max_chars` characters of it; an ellipsis marks a cut.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when there is no str, else what reading memory said.
pub fn read_str(
    memory: &dyn RemoteMemory,
    layout: &Layout,
    address: u64,
    max_chars: usize,
) -> io::Result<String> {
    let head = memory.read_vec(address, head_size(&layout.objects))?;
    let text = Text::from_head(&layout.objects, address, &head).ok_or_else(|| not_a_str(address))?;
    let bytes = read_all(memory, &[text.piece(max_chars)])?;
    Ok(text.decode_cut(&bytes, max_chars))
}

/// What [`read_all`] read, piece by piece.
pub(crate) fn split<'a>(bytes: &'a [u8], pieces: &'a [Piece]) -> impl Iterator<Item = &'a [u8]> {
    pieces.iter().scan(bytes, |rest, piece| {
        let (mine, others) = rest.split_at_checked(piece.len)?;
        *rest = others;
        Some(mine)
    })
}

/// All pieces, whole or not at all. The caller bounds their lengths.
pub(crate) fn read_all(memory: &dyn RemoteMemory, pieces: &[Piece]) -> io::Result<Vec<u8>> {
    let total = pieces.iter().map(|piece| piece.len).sum();
    let mut bytes = vec![0; total];
    if total > 0 && memory.read_pieces(pieces, &mut bytes)? != total {
        return Err(io::Error::from_raw_os_error(nix::libc::EFAULT));
    }
    Ok(bytes)
}

/// The little-endian word at `offset`.
pub(crate) fn word(bytes: &[u8], offset: u64) -> Option<u64> {
    let start = usize::try_from(offset).ok()?;
    let bytes = bytes.get(start..start.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The little-endian int at `offset`.
pub(crate) fn int(bytes: &[u8], offset: u64) -> Option<u32> {
    let start = usize::try_from(offset).ok()?;
    let bytes = bytes.get(start..start.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn not_a_str(address: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no str at {address:#x}"))
}
