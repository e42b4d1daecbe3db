//! `perf_event_open(2)` and the shared memory behind it. All of this crate's calls into perf events are here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

/// `PERF_FLAG_FD_CLOEXEC`
const CLOEXEC: u64 = 8;

/// `_IO('$', 0)`, `_IO('$', 5)`, `_IOR('$', 7, u64 *)`, `_IOW('$', 8, u32)`
const ENABLE: u64 = 0x2400;
const SET_OUTPUT: u64 = 0x2405;
const GET_ID: u64 = 0x8008_2407;
const SET_BPF: u64 = 0x4004_2408;

/// `struct perf_event_attr` as of `PERF_ATTR_SIZE_VER5` (`include/uapi/linux/perf_event.h`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // the kernel's names
pub struct Attributes {
    pub kind: u32,
    pub size: u32,
    pub config: u64,
    pub sample_period: u64,
    pub sample_type: u64,
    pub read_format: u64,
    pub flags: u64,
    pub wakeup: u32,
    pub bp_type: u32,
    pub config1: u64,
    pub config2: u64,
    pub branch_sample_type: u64,
    pub sample_regs_user: u64,
    pub sample_stack_user: u32,
    pub clock: i32,
    pub sample_regs_intr: u64,
    pub aux_watermark: u32,
    pub sample_max_stack: u16,
    pub reserved: u16,
}

/// An event in the kernel.
#[derive(Debug)]
pub struct Event(OwnedFd);

impl Event {
    /// Opens it for the thread `tid` on `cpu`, -1 for any.
    pub fn open(attributes: &Attributes, tid: i32, cpu: i32) -> io::Result<Self> {
        let attributes = Attributes { size: size_of::<Attributes>() as u32, ..*attributes };
        let no_group = -1_i32;
        // SAFETY: the structure has the layout and the size that the kernel is told, and outlives the call.
        let fd = unsafe {
            libc::syscall(libc::SYS_perf_event_open, &raw const attributes, tid, cpu, no_group, CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn control(&self, request: u64, argument: u64) -> io::Result<()> {
        // SAFETY: the requests used here take a number, no pointer.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Starts it.
    pub fn enable(&self) -> io::Result<()> {
        self.control(ENABLE, 0)
    }

    /// Its records go into the ring of `ring` from now on.
    pub fn write_to(&self, ring: &Self) -> io::Result<()> {
        self.control(SET_OUTPUT, ring.0.as_raw_fd() as u64)
    }

    /// Runs a BPF program at each of its interrupts.
    pub fn run(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        self.control(SET_BPF, program.as_raw_fd() as u64)
    }

    /// Its number, which is in each of its records.
    pub fn id(&self) -> io::Result<u64> {
        let mut id = 0_u64;
        // SAFETY: this request writes one u64 to the address it is given.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), GET_ID as _, &raw mut id) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }
}

/// Where the heads are in the first page (`struct perf_event_mmap_page`).
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

/// The ring that the kernel writes an event's records into.
#[derive(Debug)]
pub struct Mapping {
    base: std::ptr::NonNull<libc::c_void>,
    page: usize,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone; it is plain memory, the same for every thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps a ring of `bytes` for `event`: a power of two, at least a page.
    pub fn new(event: &Event, bytes: usize) -> io::Result<Self> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096) as usize;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                page + bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.0.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = std::ptr::NonNull::new(base).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { base, page, bytes })
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: both words lie in the first page, aligned to 8 bytes, and live as long as the mapping. The kernel
        // writes the head and reads the tail, both as whole words.
        unsafe { &*self.base.as_ptr().byte_add(at).cast::<AtomicU64>() }
    }

    /// How many bytes the kernel has written so far.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.word(DATA_HEAD).load(Ordering::Acquire)
    }

    /// What lies before `tail` may be written over.
    pub fn set_tail(&self, tail: u64) {
        self.word(DATA_TAIL).store(tail, Ordering::Release);
    }

    /// Copies `to.len()` bytes from position `from` on, round the end. Those between tail and head stand still.
    pub fn copy(&self, from: u64, to: &mut [u8]) {
        let len = to.len().min(self.bytes);
        let start = (from % self.bytes as u64) as usize;
        let first = len.min(self.bytes - start);
        // SAFETY: both pieces lie inside the ring, whose length is `bytes` behind the first page. Whatever another
        // process writes there are bytes, and any bytes will do.
        unsafe {
            let data = self.base.as_ptr().byte_add(self.page).cast::<u8>();
            std::ptr::copy_nonoverlapping(data.add(start), to.as_mut_ptr(), first);
            std::ptr::copy_nonoverlapping(data, to.as_mut_ptr().add(first), len - first);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this address and length, and nothing refers to it any more.
        unsafe { libc::munmap(self.base.as_ptr(), self.page + self.bytes) };
    }
}
