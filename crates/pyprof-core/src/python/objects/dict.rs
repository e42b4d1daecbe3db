//! Dicts: combined and split tables, with and without stored hashes.

use std::io;

use super::reader::{Reader, invalid};
use crate::memory::{MAX_PIECES, Piece};
use crate::python::layout::KeysSize;
use crate::python::unicode::word;

/// Most entries of one table that are looked at, in use or not.
const MAX_SCAN: usize = 1 << 16;
/// Entries read at once.
const BATCH: usize = 1024;
/// Largest logarithm of a hash index's size in bytes that is believed.
const MAX_LOG2_INDEX: u8 = 40;
/// `dk_kind` of tables whose keys need no stored hash (`DICT_KEYS_UNICODE`, `DICT_KEYS_SPLIT`).
const FIRST_KIND_WITHOUT_HASH: u8 = 1;

/// A key table: where its entries are and how they look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    entries: u64,
    entry_size: usize,
    count: usize,
}

impl Keys {
    /// Understands the `PyDictKeysObject` at `address`.
    pub fn read(reader: &mut Reader<'_>, address: u64) -> io::Result<Self> {
        let dict = &reader.objects().dict;
        let head = reader.bytes(address, dict.keys_indices as usize)?;
        let byte = |at: u64| head.get(at as usize).copied().ok_or_else(|| invalid("no key table"));
        let index_bytes = match dict.keys_size {
            KeysSize::Slots(at) => {
                let slots = word(&head, at).unwrap_or(0);
                // The narrowest signed integer that can hold an index (`DK_IXSIZE`).
                let width = match slots {
                    0..=0xff => 1,
                    0x100..=0xffff => 2,
                    0x1_0000..=0xffff_ffff => 4,
                    _ => 8,
                };
                slots.checked_mul(width).ok_or_else(|| invalid("an endless key table"))?
            }
            KeysSize::Log2Bytes(at) => match byte(at)? {
                log2 @ ..=MAX_LOG2_INDEX => 1 << log2,
                _ => return Err(invalid("an endless key table")),
            },
        };
        let hashes = match dict.keys_kind {
            Some(at) => byte(at)? < FIRST_KIND_WITHOUT_HASH,
            None => true,
        };
        let count = word(&head, dict.keys_entry_count).unwrap_or(0);
        Ok(Self {
            entries: address.wrapping_add(dict.keys_indices).wrapping_add(index_bytes),
            entry_size: if hashes { 24 } else { 16 },
            count: usize::try_from(count).unwrap_or(usize::MAX).min(MAX_SCAN),
        })
    }

    /// (key, value) of the entries from `start` on, at most [`BATCH`] of them; empty at the end.
    fn batch(&self, reader: &mut Reader<'_>, start: usize) -> io::Result<Vec<(u64, u64)>> {
        let count = self.count.saturating_sub(start).min(BATCH);
        let at = self.entries.wrapping_add((start * self.entry_size) as u64);
        let bytes = reader.bytes(at, count * self.entry_size)?;
        // A stored hash comes first, then the key and the value.
        let key = self.entry_size as u64 - 16;
        Ok(bytes
            .chunks_exact(self.entry_size)
            .map(|entry| (word(entry, key).unwrap_or(0), word(entry, key + 8).unwrap_or(0)))
            .collect())
    }

    /// The index of the entry whose key is the str `name`, and its value as the table has it.
    pub fn find(&self, reader: &mut Reader<'_>, name: &str) -> io::Result<Option<(usize, u64)>> {
        let mut start = 0;
        while start < self.count {
            let batch = self.batch(reader, start)?;
            let keys: Vec<u64> = batch.iter().map(|(key, _)| *key).collect();
            if let Some(index) = position_of(reader, &keys, name)? {
                return Ok(Some((start + index, batch[index].1)));
            }
            start += BATCH;
        }
        Ok(None)
    }
}

/// At most `max_items` (key, value) pairs of the dict at `address`, and how many it says it has.
pub(crate) fn entries(
    reader: &mut Reader<'_>,
    address: u64,
    max_items: usize,
) -> io::Result<(Vec<(u64, u64)>, u64)> {
    let (used, keys, values) = head(reader, address)?;
    let mut found = Vec::new();
    let mut start = 0;
    while start < keys.count && found.len() < max_items {
        let mut batch = keys.batch(reader, start)?;
        if let Some(values) = values {
            let at = values.wrapping_add(start as u64 * 8);
            let own = reader.bytes(at, batch.len() * 8)?;
            for (entry, value) in batch.iter_mut().zip(own.chunks_exact(8)) {
                entry.1 = word(value, 0).unwrap_or(0);
            }
        }
        // Deleted entries stay in the table without a value.
        found.extend(batch.into_iter().filter(|(key, value)| *key != 0 && *value != 0));
        start += BATCH;
    }
    found.truncate(max_items);
    Ok((found, used))
}

/// The value of the str key `name` (ASCII) in the dict at `address`.
pub(crate) fn find(reader: &mut Reader<'_>, address: u64, name: &str) -> io::Result<Option<u64>> {
    let (_, keys, values) = head(reader, address)?;
    let Some((index, value)) = keys.find(reader, name)? else { return Ok(None) };
    let value = match values {
        Some(values) => reader.word(values, index as u64 * 8)?,
        None => value,
    };
    Ok((value != 0).then_some(value))
}

/// Number of items, keys, and for a split table the address of the first value.
fn head(reader: &mut Reader<'_>, address: u64) -> io::Result<(u64, Keys, Option<u64>)> {
    let dict = &reader.objects().dict;
    let first_value = reader.objects().instance.values_items;
    let head = reader.bytes(address, dict.values as usize + 8)?;
    let field = |at| word(&head, at).unwrap_or(0);
    let keys = Keys::read(reader, field(dict.keys))?;
    let values = match field(dict.values) {
        0 => None,
        at => Some(at.wrapping_add(first_value)),
    };
    Ok((field(dict.used), keys, values))
}

/// Which of `keys` is the compact ASCII str `name`. Reads the heads of all of them at once.
fn position_of(reader: &mut Reader<'_>, keys: &[u64], name: &str) -> io::Result<Option<usize>> {
    let objects = reader.objects();
    let data = objects.str_ascii_data as usize;
    let size = data + name.len();
    // What the state word must show: one byte a character, compact, ASCII (`PyASCIIObject.state`).
    let wanted = (0b11_001u64) << objects.str_kind_shift;
    let mask = (0b11_111u64) << objects.str_kind_shift;
    // Free slots have no key.
    let present: Vec<usize> = (0..keys.len()).filter(|index| keys[*index] != 0).collect();
    let mut start = 0;
    while start < present.len() {
        let part = &present[start..present.len().min(start + MAX_PIECES)];
        let pieces: Vec<Piece> =
            part.iter().map(|index| Piece { base: keys[*index] as usize, len: size }).collect();
        let mut bytes = vec![0; size * part.len()];
        let read = reader.pieces(&pieces, &mut bytes)? / size;
        let found = bytes.chunks_exact(size).take(read).position(|head| {
            word(head, objects.str_length) == Some(name.len() as u64)
                && word(head, objects.str_state).is_some_and(|state| state & mask == wanted)
                && &head[data..] == name.as_bytes()
        });
        if let Some(index) = found {
            return Ok(Some(part[index]));
        }
        // The piece that could not be read is passed over. The reader's budget ends a table of nothing else.
        start += read + usize::from(read < part.len());
    }
    Ok(None)
}
