//! `bpf(2)`: the few commands that are needed, and nothing more. All of this crate's calls into BPF are here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;

/// `enum bpf_cmd` (`include/uapi/linux/bpf.h`)
const MAP_CREATE: i32 = 0;
const MAP_UPDATE: i32 = 2;
const MAP_DELETE: i32 = 3;
const PROGRAM_LOAD: i32 = 5;

/// `BPF_PROG_TYPE_PERF_EVENT`
const TYPE_PERF_EVENT: u32 = 7;

/// The kernel's objection to a program, in bytes.
const LOG_BYTES: usize = 1 << 20;

/// `enum bpf_map_type`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// A hash table
    Hash = 1,
    /// An array
    Array = 2,
    /// Programs to go on with
    Programs = 3,
    /// Perf events to write into
    PerfEvents = 4,
}

/// A map in the kernel.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
}

/// The attributes of `BPF_MAP_CREATE`.
#[repr(C)]
struct CreateMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// The attributes of the commands on one element.
#[repr(C)]
struct Element {
    map: u32,
    unused: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The attributes of `BPF_PROG_LOAD`, as far as they are needed.
#[repr(C)]
struct LoadProgram {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: the structures above have the layout that their commands read, and the size is theirs. Pointers in them
    // are to memory that outlives the call and is as long as the lengths beside them say.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Map {
    /// Makes a map; sizes in bytes.
    pub fn new(kind: MapKind, key_size: usize, value_size: usize, max_entries: u32) -> io::Result<Self> {
        let (key, value) = (key_size as u32, value_size as u32);
        let mut attributes =
            CreateMap { kind: kind as u32, key_size: key, value_size: value, max_entries, flags: 0 };
        Ok(Self { fd: owned(bpf(MAP_CREATE, &mut attributes)?)?, key_size, value_size })
    }

    /// Sets an element. Key and value must have the map's sizes.
    pub fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.len() != self.key_size || value.len() != self.value_size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attributes = Element {
            map: self.fd.as_raw_fd() as u32,
            unused: 0,
            key: key.as_ptr() as u64,
            value: value.as_ptr() as u64,
            flags: 0,
        };
        bpf(MAP_UPDATE, &mut attributes).map(drop)
    }

    /// Removes an element; one that is not there is no error.
    pub fn remove(&self, key: &[u8]) -> io::Result<()> {
        if key.len() != self.key_size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let key = key.as_ptr() as u64;
        let mut attributes = Element { map: self.fd.as_raw_fd() as u32, unused: 0, key, value: 0, flags: 0 };
        match bpf(MAP_DELETE, &mut attributes) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl AsRawFd for Map {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// A program of type `PERF_EVENT` in the kernel.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Loads instructions of 8 bytes each. An error holds what the kernel's verifier says.
    pub fn load(name: &str, instructions: &[u8]) -> io::Result<Self> {
        let mut program_name = [0; 16];
        for (to, from) in program_name.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        let load = |log: &mut [u8]| {
            let mut attributes = LoadProgram {
                kind: TYPE_PERF_EVENT,
                count: (instructions.len() / 8) as u32,
                instructions: instructions.as_ptr() as u64,
                // `bpf_probe_read_user` asks for a licence compatible with the GPL.
                license: c"Dual MIT/GPL".as_ptr() as u64,
                log_level: u32::from(!log.is_empty()),
                log_size: log.len() as u32,
                log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
                kernel_version: 0,
                flags: 0,
                name: program_name,
            };
            bpf(PROGRAM_LOAD, &mut attributes)
        };
        match load(&mut []) {
            Ok(fd) => Ok(Self(owned(fd)?)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS)) => {
                Err(error)
            }
            Err(error) => {
                let mut log = vec![0; LOG_BYTES];
                let _ = load(&mut log);
                let end = log.iter().position(|byte| *byte == 0).unwrap_or(0);
                let text = String::from_utf8_lossy(&log[end.saturating_sub(2000)..end]).into_owned();
                Err(io::Error::new(error.kind(), format!("{error}: {text}")))
            }
        }
    }

    /// The program's descriptor, to be attached to an event.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }
}
