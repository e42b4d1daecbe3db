//! Who started whom.

use std::fs::{self, read_dir};
use std::path::Path;

use nix::libc;
use rustc_hash::FxHashSet;

use super::stat::{Stat, bounded};
use super::threads;

/// More processes than this are not looked at; the kernel's default `pid_max` is half of it.
const MAX_PROCESSES: usize = 65_536;
/// `include/uapi/linux/kcmp.h`
const KCMP_VM: libc::c_long = 1;

/// The children of `pid`, as our pid namespace counts them. Empty when it has ended.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    if !has_children_files() {
        return by_parent(pid);
    }
    // Each thread has a list of its own.
    let tids = threads::list(pid).unwrap_or_default();
    tids.into_iter()
        .filter_map(|tid| bounded(&format!("/proc/{pid}/task/{tid}/children")).ok())
        .flat_map(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<i32>>()
        })
        .collect()
}

/// A process and its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kin {
    /// As our pid namespace counts it
    pub pid: i32,
    /// 0 for the root of a tree
    pub ppid: i32,
}

/// `pid` and all below it, parents before their children. Ends in bounds even when processes come and go meanwhile.
#[must_use]
pub fn tree(pid: i32) -> Vec<Kin> {
    let mut found = vec![Kin { pid, ppid: 0 }];
    let mut met = FxHashSet::from_iter([pid]);
    let mut index = 0;
    while index < found.len() && found.len() < MAX_PROCESSES {
        let parent = found[index].pid;
        let new = children(parent).into_iter().filter(|&child| met.insert(child));
        found.extend(new.map(|pid| Kin { pid, ppid: parent }));
        index += 1;
    }
    found
}

/// `CONFIG_PROC_CHILDREN`; nearly every kernel has it.
fn has_children_files() -> bool {
    let own = std::process::id();
    Path::new(&format!("/proc/{own}/task/{own}/children")).exists()
}

fn by_parent(parent: i32) -> Vec<i32> {
    let Ok(entries) = read_dir("/proc") else { return Vec::new() };
    entries
        .take(MAX_PROCESSES)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid: &i32| Stat::read(pid).is_ok_and(|stat| stat.parent == parent))
        .collect()
}

/// The pid or thread id that was last given out in our pid namespace: while it stands, nobody has been started.
/// `None` where the kernel (or what stands in for it in a container) does not tell.
#[must_use]
pub fn last_pid() -> Option<i32> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// Whether two processes share one memory, as after `vfork`: the child's stacks are its parent's then. `None` where
/// the kernel does not tell.
#[must_use]
pub fn share_memory(one: i32, other: i32) -> Option<bool> {
    // SAFETY: the system call takes integers only.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0, 0) };
    (0..=3).contains(&order).then_some(order == 0)
}

/// The arguments of a process, at most 64 KiB of them; empty when it has wiped them or they may not be read.
#[must_use]
pub fn command_line(pid: i32) -> Vec<String> {
    let bytes = bounded(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn finds_children_in_both_ways_and_whose_memory_it_is() {
        let own = std::process::id() as i32;
        let before = last_pid();
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = child.id() as i32;
        assert_ne!(last_pid(), before);
        // The kernel leaves one out now and then while another ends (`children` in proc(5)).
        while !children(own).contains(&pid) || !tree(own).contains(&Kin { pid, ppid: own }) {
            std::thread::yield_now();
        }
        assert!(by_parent(own).contains(&pid));
        assert_eq!(tree(pid), [Kin { pid, ppid: 0 }]);
        assert_ne!(share_memory(own, pid), Some(true));
        assert_ne!(share_memory(own, own), Some(false));
        // The new program has begun before its arguments are in place.
        while command_line(pid).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(command_line(pid), ["sleep", "60"]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children(own).contains(&pid));
        assert!(children(pid).is_empty());
    }
}
