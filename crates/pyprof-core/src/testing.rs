//! Memory that never was a process: for tests of what a hostile or torn target could show.

mod nonsense;

pub use nonsense::{Work, look_at};

use std::collections::BTreeMap;
use std::io;

use crate::memory::{Piece, RemoteMemory};

/// A few regions of bytes at chosen addresses; everything else is unmapped.
#[derive(Debug, Default, Clone)]
pub struct FakeMemory {
    regions: BTreeMap<u64, Vec<u8>>,
}

impl FakeMemory {
    /// Maps `bytes` at `addr`. Regions must not overlap.
    pub fn map(&mut self, addr: u64, bytes: Vec<u8>) {
        self.regions.insert(addr, bytes);
    }

    /// Overwrites `bytes` at `addr`, inside one region.
    ///
    /// # Panics
    /// When the range is not mapped: a mistake in the test.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) {
        let (base, region) = self.regions.range_mut(..=addr).next_back().expect("mapped");
        let start = (addr - base) as usize;
        region[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Overwrites a word.
    pub fn write_u64(&mut self, addr: u64, value: u64) {
        self.write(addr, &value.to_le_bytes());
    }

    fn slice(&self, addr: u64, len: usize) -> Option<&[u8]> {
        let (base, region) = self.regions.range(..=addr).next_back()?;
        let start = usize::try_from(addr - base).ok()?;
        region.get(start..start.checked_add(len)?)
    }
}

impl RemoteMemory for FakeMemory {
    fn read_pieces(&self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        for piece in pieces {
            let Some(bytes) = self.slice(piece.base as u64, piece.len) else { break };
            buf[done..done + piece.len].copy_from_slice(bytes);
            done += piece.len;
        }
        if done == 0 && pieces.iter().any(|piece| piece.len > 0) {
            return Err(io::Error::from_raw_os_error(nix::libc::EFAULT));
        }
        Ok(done)
    }
}
