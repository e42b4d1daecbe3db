//! The target's files, opened as what they are: input from somebody who may wish us harm.
//!
//! A path of the target means something in the target's root only, and may lead through links, fifos and
//! devices that it prepared. So paths are resolved inside that root, nothing but a regular file is opened for
//! reading, and it must be the very file (device and inode) that is mapped.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use super::maps::Mapping;

/// Bytes at an offset: a file, or a slice in tests.
pub trait ReadAt {
    /// Fills `buf` from `offset`; a file that ends before is an error.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Length in bytes.
    fn size(&self) -> u64;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// A regular file of the target. Read with `pread`, never mapped: a file that is cut short while mapped would
/// kill us with SIGBUS.
#[derive(Debug)]
pub struct TargetFile {
    file: File,
    size: u64,
    /// Device and inode are those of the mapping. Where a file system reports other numbers in maps than in
    /// `stat` (btrfs, some overlays) this is false and the contents have to be compared.
    pub exact: bool,
}

impl ReadAt for TargetFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// The root directory of a process, as a place to open its files from.
#[derive(Debug)]
pub struct TargetRoot {
    pid: i32,
    root: Option<OwnedFd>,
}

impl TargetRoot {
    /// Opens `/proc/PID/root`. When that is forbidden the other ways to a file still work.
    #[must_use]
    pub fn open(pid: i32) -> Self {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Self { pid, root: open(format!("/proc/{pid}/root").as_str(), flags, Mode::empty()).ok() }
    }

    /// The file behind `mapping`: through the target's root, through the kernel's own links for deleted and
    /// unreachable files, then by the plain path (a chrooted process's maps name files from our root).
    #[must_use]
    pub fn open_mapped(&self, mapping: &Mapping) -> Option<TargetFile> {
        let path = mapping.file()?;
        let identity = (mapping.device, mapping.inode);
        let in_root = self.in_root(path, identity);
        if in_root.as_ref().is_some_and(|file| file.exact) {
            return in_root;
        }
        let pid = self.pid;
        // The kernel's link is the mapped file itself, whatever the numbers say.
        let map_file = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end);
        if let Some(file) = kernel_link(&map_file, identity) {
            return Some(TargetFile { exact: true, ..file });
        }
        kernel_link(&format!("/proc/{pid}/exe"), identity)
            .filter(|file| file.exact)
            .or_else(|| plain(path, identity).filter(|file| file.exact))
            .or(in_root)
    }

    /// The regular file that the target finds at `path`: a file beside a mapped one, such as its debug information.
    /// Whether it is the right one, its contents have to tell.
    #[must_use]
    pub fn open_path(&self, path: &Path) -> Option<TargetFile> {
        path.is_absolute().then(|| self.in_root(path, (0, 0)))?
    }

    fn in_root(&self, path: &Path, identity: (u64, u64)) -> Option<TargetFile> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        regular(&openat2(self.root.as_ref()?.as_fd(), path, how).ok()?, identity)
    }
}

fn kernel_link(path: &str, identity: (u64, u64)) -> Option<TargetFile> {
    regular(&open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?, identity)
}

fn plain(path: &Path, identity: (u64, u64)) -> Option<TargetFile> {
    regular(&open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?, identity)
}

/// Opens for reading what `path_fd` (an `O_PATH` descriptor) stands for. Looking first matters: opening a
/// device can have effects, and opening a fifo can hang.
fn regular(path_fd: &OwnedFd, identity: (u64, u64)) -> Option<TargetFile> {
    let metadata = File::from(path_fd.try_clone().ok()?).metadata().ok()?;
    if !metadata.is_file() {
        return None;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let ours = format!("/proc/self/fd/{}", path_fd.as_raw_fd());
    let file = File::from(open(ours.as_str(), flags, Mode::empty()).ok()?);
    Some(TargetFile { file, size: metadata.size(), exact: (metadata.dev(), metadata.ino()) == identity })
}
