//! Another process's memory, read in one system call however many pieces are wanted.
//!
//! [`RemoteMemory`] is the only way this crate looks at a target. Nothing here can write or stop it.

use std::io::{self, IoSliceMut};

use nix::sys::uio::process_vm_readv;
use nix::unistd::Pid;

/// One contiguous range of the target's memory: `base` is its first address, `len` its length in bytes.
pub use nix::sys::uio::RemoteIoVec as Piece;

/// The kernel refuses more pieces than this in one call (`IOV_MAX`, `UIO_MAXIOV`).
pub const MAX_PIECES: usize = 1024;

/// Memory that belongs to somebody else: it can change between any two reads, and it can lie.
pub trait RemoteMemory: Send + Sync {
    /// Reads `pieces` in their order into `buf`, back to back, and returns how many bytes were read.
    ///
    /// A piece that cannot be read ends the call there: a count below the sum of the lengths tells which.
    /// An error is returned when nothing at all could be read: `ESRCH` when the process is gone, `EPERM` when
    /// reading is forbidden, `EFAULT` when the first piece is unreadable.
    fn read_pieces(&self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<usize>;

    /// Fills `buf` from `addr`, whole or not at all.
    fn read_exact(&self, addr: u64, buf: &mut [u8]) -> io::Result<()> {
        let n = self.read_pieces(&[Piece { base: addr as usize, len: buf.len() }], buf)?;
        if n == buf.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::EFAULT)) }
    }

    /// `len` bytes from `addr`. The caller bounds `len`.
    fn read_vec(&self, addr: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; len];
        self.read_exact(addr, &mut buf)?;
        Ok(buf)
    }

    /// A pointer-sized little-endian word.
    fn read_u64(&self, addr: u64) -> io::Result<u64> {
        let mut buf = [0; 8];
        self.read_exact(addr, &mut buf)?;
        Ok(u64::from_le_bytes(buf))
    }

    /// A 32-bit little-endian word.
    fn read_u32(&self, addr: u64) -> io::Result<u32> {
        let mut buf = [0; 4];
        self.read_exact(addr, &mut buf)?;
        Ok(u32::from_le_bytes(buf))
    }
}

/// A live process, read with `process_vm_readv`.
#[derive(Debug, Clone, Copy)]
pub struct ProcessMemory {
    pid: Pid,
}

impl ProcessMemory {
    /// Memory of the process `pid` (as this process sees it).
    #[must_use]
    pub fn new(pid: i32) -> Self {
        Self { pid: Pid::from_raw(pid) }
    }
}

impl RemoteMemory for ProcessMemory {
    fn read_pieces(&self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<usize> {
        let pieces = &pieces[..pieces.len().min(MAX_PIECES)];
        let total = pieces.iter().map(|piece| piece.len).sum::<usize>().min(buf.len());
        process_vm_readv(self.pid, &mut [IoSliceMut::new(&mut buf[..total])], pieces).map_err(io::Error::from)
    }
}
