//! Code objects by address, kept right although addresses are reused.
//!
//! A function that is dropped leaves its address to the next one, often of the same size and place. So an entry
//! is believed only while the interpreter's own counter of code objects stands still (3.13+). Where there is no
//! such counter the entry is compared with the object again: always while the program has lately been seen to
//! replace code objects, a few at a time otherwise.

use std::io;

use rustc_hash::FxHashMap;

use super::code::{Code, Fingerprint, fingerprint_piece, read_code};
use super::layout::Layout;
use super::stack::pieces::PieceList;
use crate::memory::{MAX_PIECES, RemoteMemory};

/// More entries than this are forgotten, all at once.
const MAX_ENTRIES: usize = 1 << 17;
/// Looks without any replaced code object after which only a few entries a look are checked.
const CALM_AFTER: u32 = 2000;
/// A calm look checks one in so many of a stack's code objects, in turn.
const CALM_TURNS: usize = 8;

/// `co_filename` of the interpreter's own trampolines (`Python/specialize.c`, `Objects/frameobject.c`).
const SHIM_FILE: &str = "<shim>";

/// A code object and the number that identifies it for good: an address can come back, a serial never does.
#[derive(Debug)]
pub struct CachedCode {
    /// Unique within the cache
    pub serial: u64,
    /// `None`: the interpreter's own, without a name, never shown (`_Py_InitCleanup`, trampolines)
    pub code: Option<Code>,
    /// The counter's value when the entry was last known to be right
    checked: u64,
}

/// The cache.
#[derive(Debug, Default)]
pub struct CodeCache {
    entries: FxHashMap<u64, CachedCode>,
    next_serial: u64,
    calm: u32,
    turn: usize,
    pieces: PieceList,
    doubtful: Vec<u64>,
}

impl CodeCache {
    /// Makes sure that every code object of `addresses` (a stack's, root first) is known and is still the one
    /// that is known. `generation`: the interpreter's counter, `None` where it has none. True when an object had
    /// been replaced.
    pub fn refresh(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        generation: Option<u64>,
        addresses: impl DoubleEndedIterator<Item = u64>,
    ) -> io::Result<bool> {
        let mut fresh = Vec::new();
        self.doubtful.clear();
        let mut unchecked = 0;
        for address in addresses.rev() {
            match self.entries.get(&address) {
                None => fresh.push(address),
                Some(entry) if generation.is_some_and(|now| now == entry.checked) => {}
                Some(entry) if entry.code.is_none() => {}
                Some(_) => {
                    unchecked += 1;
                    let due = generation.is_some() || self.calm < CALM_AFTER;
                    if due || unchecked % CALM_TURNS == self.turn % CALM_TURNS {
                        self.doubtful.push(address);
                    }
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        let replaced = self.check(memory, layout, generation.unwrap_or(0), &mut fresh)?;
        self.calm = if replaced { 0 } else { self.calm.saturating_add(1) };
        for address in fresh {
            self.read(memory, layout, generation.unwrap_or(0), address)?;
        }
        Ok(replaced)
    }

    /// The entry for `address`, if [`CodeCache::refresh`] has seen it.
    #[must_use]
    pub fn get(&self, address: u64) -> Option<&CachedCode> {
        self.entries.get(&address)
    }

    /// Compares the doubtful entries with their objects, in one call; the replaced ones go to `fresh`.
    fn check(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        generation: u64,
        fresh: &mut Vec<u64>,
    ) -> io::Result<bool> {
        let mut replaced = false;
        for addresses in self.doubtful.chunks(MAX_PIECES) {
            self.pieces.clear();
            for &address in addresses {
                let piece = fingerprint_piece(layout, address);
                self.pieces.push(piece.base as u64, piece.len);
            }
            let mut buf = vec![0; self.pieces.bytes()];
            let count = match memory.read_pieces(self.pieces.pieces(), &mut buf) {
                Ok(count) => count,
                Err(error) if error.raw_os_error() == Some(nix::libc::EFAULT) => 0,
                Err(error) => return Err(error),
            };
            let mut at = 0;
            for (&address, piece) in addresses.iter().zip(self.pieces.pieces()) {
                let end = at + piece.len;
                let now = buf.get(at..end.min(count)).and_then(Fingerprint::from_bytes);
                at = end;
                let Some(entry) = self.entries.get_mut(&address) else { continue };
                if end <= count && entry.code.as_ref().is_some_and(|code| Some(code.fingerprint) == now) {
                    entry.checked = generation;
                } else {
                    replaced = true;
                    fresh.push(address);
                }
            }
        }
        Ok(replaced)
    }

    fn read(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        generation: u64,
        address: u64,
    ) -> io::Result<()> {
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear();
        }
        self.entries.remove(&address);
        let code = match read_code(memory, layout, address) {
            // 3.12 and 3.13 give their entry frames a code object with a name: it is no function all the same.
            Ok(code) => Some(code).filter(|code| code.file != SHIM_FILE),
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Err(error),
            Err(_) if memory.read_u64(address.wrapping_add(layout.code.name)).is_ok_and(|name| name == 0) => {
                None
            }
            Err(_) => return Ok(()),
        };
        self.next_serial += 1;
        self.entries.insert(address, CachedCode { serial: self.next_serial, code, checked: generation });
        Ok(())
    }
}
