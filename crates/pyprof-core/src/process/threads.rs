//! The threads of a process, and which of Python's threads is which of the kernel's.

use std::fs::read_dir;
use std::io;

use rustc_hash::FxHashMap;

use super::stat::{Stat, Status, bounded};
use crate::memory::RemoteMemory;

/// More threads than this are not listed; the kernel's own limit for a machine is usually below.
const MAX_THREADS: usize = 131_072;
/// Bytes of libc's thread descriptor that are searched for the thread id.
const DESCRIPTOR_BYTES: usize = 2304;
/// Where `tid` lies in practice: glibc's `struct pthread` on x86-64 and on arm64, musl's since 1.2 and before.
/// Only preferred among offsets that fit equally well.
const USUAL_OFFSETS: [u64; 4] = [720, 208, 48, 56];
/// Threads that are looked at to find the offset.
const MAX_PROBES: usize = 64;

/// Kernel thread ids of `pid`, as our pid namespace counts them, ascending. Empty never: a process that is
/// gone is an error.
pub fn list(pid: i32) -> io::Result<Vec<i32>> {
    let mut tids: Vec<i32> = read_dir(format!("/proc/{pid}/task"))?
        .take(MAX_THREADS)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    tids.sort_unstable();
    if tids.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(tids) }
}

/// The kernel's name of a thread, at most 15 bytes.
#[must_use]
pub fn name(pid: i32, tid: i32) -> Option<String> {
    let bytes = bounded(&format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    Some(String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned())
}

/// When a thread started, in clock ticks since boot: tells a reused thread id from the old one.
#[must_use]
pub fn start_ticks(pid: i32, tid: i32) -> Option<u64> {
    Stat::read(format_args!("{pid}/task/{tid}")).ok().map(|stat| stat.start_ticks)
}

/// From the thread id that the target itself sees (`gettid()` in its pid namespace) to ours.
#[derive(Debug, Default, Clone)]
pub struct TidMap {
    /// `None` when both count alike.
    inner_to_outer: Option<FxHashMap<i32, i32>>,
    /// Our ids, ascending
    outer: Vec<i32>,
}

impl TidMap {
    /// Reads it. One directory when the namespaces are the same, one small file for each thread otherwise.
    pub fn read(pid: i32) -> io::Result<Self> {
        let outer = list(pid)?;
        // `NSpid` starts with the id in the namespace of /proc and ends with that in the innermost one.
        let nested = Status::read(pid)?.words("NSpid").count() > 1;
        let inner = |tid: i32| Some((inner_tid(pid, tid)?, tid));
        let inner_to_outer = nested.then(|| outer.iter().filter_map(|&tid| inner(tid)).collect());
        Ok(Self { inner_to_outer, outer })
    }

    /// Our id of the thread that the target knows as `inner`.
    #[must_use]
    pub fn outer(&self, inner: i32) -> Option<i32> {
        match &self.inner_to_outer {
            Some(map) => map.get(&inner).copied(),
            None => self.outer.binary_search(&inner).ok().map(|_| inner),
        }
    }

    /// All threads, as we count them.
    #[must_use]
    pub fn all(&self) -> &[i32] {
        &self.outer
    }
}

/// The id of our thread `tid` in its own, innermost pid namespace.
fn inner_tid(pid: i32, tid: i32) -> Option<i32> {
    let status = Status::read(format_args!("{pid}/task/{tid}")).ok()?;
    status.words("NSpid").last()?.parse().ok()
}

/// Where libc keeps the kernel's thread id inside the descriptor that a `pthread_t` points to, in bytes.
///
/// Before 3.11 `PyThreadState` has the `pthread_t` (`thread_id`) only. The offset is found by looking for the
/// ids of the threads that exist; it is the same for all threads of a process, so it is found once.
#[must_use]
pub fn pthread_tid_offset(memory: &dyn RemoteMemory, pid: i32, pthread_ids: &[u64]) -> Option<u64> {
    let threads = TidMap::read(pid).ok()?;
    tid_offset(memory, &threads, pthread_ids)
}

fn tid_offset(memory: &dyn RemoteMemory, threads: &TidMap, pthread_ids: &[u64]) -> Option<u64> {
    let mut ids = pthread_ids.to_vec();
    ids.retain(|&id| id != 0 && id % 8 == 0);
    ids.sort_unstable();
    ids.dedup();
    let descriptors: Vec<Vec<u8>> = ids
        .iter()
        .take(MAX_PROBES)
        .map(|&id| readable(memory, id))
        .filter(|bytes| !bytes.is_empty())
        .collect();
    let longest = descriptors.iter().map(Vec::len).max()?;
    let usual = |offset: u64| USUAL_OFFSETS.iter().position(|&usual| usual == offset).unwrap_or(usize::MAX);
    let fitting = |offset: usize| {
        // A copy of the process id fits every descriptor alike; thread ids are all different.
        let mut tids: Vec<i32> = descriptors
            .iter()
            .filter_map(|bytes| Some(i32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?)))
            .filter(|&tid| threads.outer(tid).is_some())
            .collect();
        tids.sort_unstable();
        tids.dedup();
        tids.len()
    };
    let (count, _, offset) = (0..longest)
        .step_by(4)
        .map(|offset| (fitting(offset), std::cmp::Reverse(usual(offset as u64)), std::cmp::Reverse(offset)))
        .max()?;
    (count > 0 && count * 2 >= descriptors.len()).then_some(offset.0 as u64)
}

/// What can be read of a descriptor: it may end before the page's end, or lie at the end of a mapping.
fn readable(memory: &dyn RemoteMemory, address: u64) -> Vec<u8> {
    for len in [DESCRIPTOR_BYTES, DESCRIPTOR_BYTES / 2, DESCRIPTOR_BYTES / 3, 256, 64] {
        if let Ok(bytes) = memory.read_vec(address, len) {
            return bytes;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeMemory;

    fn threads(outer: &[i32]) -> TidMap {
        TidMap { inner_to_outer: None, outer: outer.to_vec() }
    }

    fn descriptors(entries: &[(u64, usize, i32)]) -> FakeMemory {
        let mut memory = FakeMemory::default();
        for &(address, offset, tid) in entries {
            let mut bytes = vec![0; DESCRIPTOR_BYTES];
            bytes[offset..offset + 4].copy_from_slice(&tid.to_le_bytes());
            bytes[8..12].copy_from_slice(&100i32.to_le_bytes()); // a process id in each
            memory.map(address, bytes);
        }
        memory
    }

    #[test]
    fn the_offset_that_tells_threads_apart_wins() {
        let memory = descriptors(&[(0x10000, 720, 100), (0x20000, 720, 101), (0x30000, 720, 102)]);
        let offset = tid_offset(&memory, &threads(&[100, 101, 102]), &[0x10000, 0x20000, 0x30000, 0x9_0000]);
        assert_eq!(offset, Some(720));
    }

    #[test]
    fn a_single_thread_is_found_at_the_usual_place() {
        let memory = descriptors(&[(0x10000, 720, 100)]);
        assert_eq!(tid_offset(&memory, &threads(&[100]), &[0x10000]), Some(720));
        let musl = descriptors(&[(0x10000, 48, 100)]);
        assert_eq!(tid_offset(&musl, &threads(&[100]), &[0x10000]), Some(48));
    }

    #[test]
    fn nothing_is_made_up() {
        let memory = descriptors(&[(0x10000, 720, 555)]);
        assert_eq!(tid_offset(&memory, &threads(&[7]), &[0x10000, 0x10001, 0]), None);
        assert_eq!(tid_offset(&memory, &threads(&[7]), &[]), None);
    }

    #[test]
    fn our_own_threads_are_listed() {
        let pid = std::process::id() as i32;
        let tids = list(pid).unwrap();
        assert!(tids.contains(&pid));
        assert!(name(pid, pid).is_some_and(|name| !name.is_empty() && !name.ends_with('\n')));
        assert!(start_ticks(pid, pid).is_some());
        let map = TidMap::read(pid).unwrap();
        assert!(map.all().contains(&pid));
        assert_eq!(list(i32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
