//! Where a module's bytes come from: its file, or the process's memory when the file cannot be had.

use std::io;

use pyprof_core::memory::{ProcessMemory, RemoteMemory};
use pyprof_core::process::maps::Mapping;
use pyprof_core::process::root::{ReadAt, TargetFile};

/// The bytes of a module, by offset in its file.
#[derive(Debug)]
pub enum Source {
    /// The file itself
    File(TargetFile),
    /// What the process has mapped of it: the vdso, or a deleted file that only the owner of more rights may open
    Memory(ProcessMemory, Vec<MappedPart>),
}

/// One mapping of a file.
#[derive(Debug, Clone, Copy)]
pub struct MappedPart {
    offset: u64,
    start: u64,
    size: u64,
}

impl Source {
    /// The parts of the file behind `mapping` that the process has mapped near it and has not changed.
    #[must_use]
    pub fn memory(memory: ProcessMemory, mapping: &Mapping, all: &[Mapping]) -> Self {
        let same = |other: &&Mapping| {
            (other.device, other.inode, &other.path) == (mapping.device, mapping.inode, &mapping.path)
                && other.permissions.read
                && !other.permissions.write
        };
        let part = |other: &Mapping| MappedPart {
            offset: if other.inode == 0 { other.start - mapping.start } else { other.offset },
            start: other.start,
            size: other.len(),
        };
        // The same file can be loaded twice; only the first of each part is used, any will do.
        let mut parts: Vec<MappedPart> = all
            .iter()
            .filter(same)
            .filter(|other| other.inode != 0 || other.start == mapping.start)
            .map(part)
            .collect();
        parts.sort_by_key(|part| part.offset);
        parts.dedup_by_key(|part| part.offset);
        Self::Memory(memory, parts)
    }
}

impl ReadAt for Source {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buf, offset),
            Self::Memory(memory, parts) => {
                let (mut done, mut at) = (0, offset);
                while done < buf.len() {
                    let part = parts
                        .iter()
                        .find(|part| at.checked_sub(part.offset).is_some_and(|skip| skip < part.size));
                    let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
                    let skip = at - part.offset;
                    let len = (buf.len() - done).min((part.size - skip) as usize);
                    memory.read_exact(part.start + skip, &mut buf[done..done + len])?;
                    done += len;
                    at += len as u64;
                }
                Ok(())
            }
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Memory(_, parts) => {
                parts.iter().map(|part| part.offset.saturating_add(part.size)).max().unwrap_or(0)
            }
        }
    }
}
