//! A thread's data stack: the chunks in which frames lie since 3.11 (`_PyStackChunk`,
//! `Include/cpython/pystate.h`: `previous`, `size`, `top`, then the data).

use std::io;

use crate::memory::RemoteMemory;
use crate::python::frame::word;

/// Bytes before a chunk's data.
const HEADER: usize = 24;
/// A chunk is 16 KiB, or as big as the one frame that needed more.
const MAX_CHUNK: u64 = 64 << 20;
/// All chunks of a thread together; a recursion 50,000 deep needs about 8 MiB.
const MAX_TOTAL: u64 = 256 << 20;
/// And their number.
const MAX_CHUNKS: usize = 1 << 15;

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Address of its header
    pub base: u64,
    /// Address behind its last byte
    pub end: u64,
}

impl Chunk {
    /// Whether a frame can start at `address`.
    #[must_use]
    pub fn holds(&self, address: u64) -> bool {
        address >= self.base + HEADER as u64 && address < self.end
    }
}

/// Where the first frame of the chunk in use begins: the oldest chunk leaves out its first word, so that popping its
/// first frame does not free it (`push_chunk`, `Python/pystate.c`).
#[must_use]
pub fn first_frame(chunks: &[Chunk]) -> u64 {
    let skipped = if chunks.len() == 1 { 8 } else { 0 };
    chunks.last().map_or(0, |chunk| chunk.base + HEADER as u64 + skipped)
}

/// The chunks from the oldest to the one in use, which begins at `newest`.
///
/// `known` are the chunks of the last look: those that are still there are not read again.
pub fn follow(memory: &dyn RemoteMemory, newest: u64, known: &mut Vec<Chunk>) -> io::Result<()> {
    let mut fresh = Vec::new();
    let mut total = 0;
    let mut base = newest;
    let mut met = rustc_hash::FxHashSet::default();
    while base != 0 {
        if let Some(index) = known.iter().position(|chunk| chunk.base == base) {
            // The chunk in use is always read anew: it may have been freed and another begun in its place.
            if base != newest {
                known.truncate(index + 1);
                known.extend(fresh.into_iter().rev());
                return Ok(());
            }
        }
        let mut header = [0; HEADER];
        memory.read_exact(base, &mut header)?;
        let field = |offset| word(&header, offset).unwrap_or(0);
        let (previous, size) = (field(0), field(8));
        let plausible = (HEADER as u64..=MAX_CHUNK).contains(&size) && base.is_multiple_of(8);
        total += if plausible { size } else { MAX_TOTAL + 1 };
        if total > MAX_TOTAL || fresh.len() == MAX_CHUNKS || !met.insert(base) {
            return Err(io::Error::other("the data stack chunks make no sense"));
        }
        fresh.push(Chunk { base, end: base.saturating_add(size) });
        base = previous;
    }
    known.clear();
    known.extend(fresh.into_iter().rev());
    Ok(())
}
