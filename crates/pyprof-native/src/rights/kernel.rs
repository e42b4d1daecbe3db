//! What the kernel offers, and how it is set.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use pyprof_core::process::rights::capabilities::Capabilities;
use pyprof_core::process::rights::remedy::Need;
use pyprof_core::process::rights::setting;

/// Whether the kernel's functions can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `/proc/kallsyms` has addresses
    Known,
    /// It has zeros instead
    Hidden,
    /// There is no such file
    Absent,
}

/// The kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// `6.18.0`
    pub release: String,
    /// `kernel.perf_event_paranoid`: 2 allows user code, 1 kernel code too, more than 2 (Debian, Ubuntu) nothing
    pub perf_event_paranoid: Option<i32>,
    /// `kernel.unprivileged_bpf_disabled`
    pub unprivileged_bpf_disabled: Option<i32>,
    /// `kernel.kptr_restrict`
    pub kptr_restrict: Option<i32>,
    /// Whether functions can be named
    pub names: Names,
    /// `/sys/kernel/btf/vmlinux` can be read: the kernel's types, for the BPF task iterator
    pub has_btf: bool,
    /// A thread's own `/proc/PID/stack` can be read: kernel frames of blocked threads
    pub has_stack_file: bool,
    /// A thread's own `/proc/PID/syscall` can be read: native frames of blocked threads
    pub has_syscall_file: bool,
    /// Soft `RLIMIT_MEMLOCK` in bytes, `u64::MAX` for no limit. Perf buffers beyond `perf_event_mlock_kb` count
    pub memory_lock: u64,
    /// `kernel.perf_event_mlock_kb`: buffers of a user and CPU that are free, in KiB
    pub perf_event_mlock_kib: Option<u64>,
}

impl Kernel {
    /// Looks.
    #[must_use]
    pub fn probe() -> Self {
        let first = |path: &str| {
            let mut byte = [0];
            File::open(path).and_then(|mut file| file.read(&mut byte)).is_ok_and(|count| count == 1)
        };
        Self {
            release: setting("kernel/osrelease").unwrap_or_default(),
            perf_event_paranoid: setting("kernel/perf_event_paranoid"),
            unprivileged_bpf_disabled: setting("kernel/unprivileged_bpf_disabled"),
            kptr_restrict: setting("kernel/kptr_restrict"),
            names: names("/proc/kallsyms"),
            has_btf: first("/sys/kernel/btf/vmlinux"),
            has_stack_file: first("/proc/thread-self/stack"),
            has_syscall_file: first("/proc/thread-self/syscall"),
            memory_lock: getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft),
            perf_event_mlock_kib: setting("kernel/perf_event_mlock_kb"),
        }
    }

    /// What would give the names (`kernel/ksyms_common.c`): with `kptr_restrict` 0 also `perf_event_paranoid` 1.
    #[must_use]
    pub fn names_need(&self) -> Option<Need> {
        match (self.names, self.kptr_restrict) {
            (Names::Known, _) => None,
            (Names::Absent, _) => Some(Need {
                other: Some("boot a kernel that was built with CONFIG_KALLSYMS"),
                ..Need::default()
            }),
            (Names::Hidden, Some(2..)) => {
                Some(Need { setting: Some("kernel.kptr_restrict=1"), ..Need::default() })
            }
            (Names::Hidden, Some(0)) => Some(Need {
                setting: Some("kernel.perf_event_paranoid=1"),
                ..Need::capability(Capabilities::SYSLOG)
            }),
            (Names::Hidden, _) => Some(Need::capability(Capabilities::SYSLOG)),
        }
    }
}

/// Addresses are hidden as zeros; the first symbols of some architectures are at 0 in truth, so a page is looked at.
fn names(path: &str) -> Names {
    let mut text = Vec::new();
    if !Path::new(path).exists() {
        return Names::Absent;
    }
    let read = File::open(path).and_then(|file| file.take(64 << 10).read_to_end(&mut text));
    let shown = text.split(|byte| *byte == b'\n').any(|line| {
        let address = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        address.len() >= 8 && address.iter().any(|digit| *digit != b'0')
    });
    if read.is_ok() && shown { Names::Known } else { Names::Hidden }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_addresses_are_zeros() {
        let file = std::env::temp_dir().join(format!("pyprof-kallsyms-{}", std::process::id()));
        let path = file.to_str().unwrap();
        for (text, found) in [
            ("0000000000000000 T _stext\n0000000000000000 T run\n", Names::Hidden),
            ("0000000000000000 A fixed\nffffffff81000000 T run\n", Names::Known),
            ("", Names::Hidden),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(names(path), found, "{text}");
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(names(path), Names::Absent);
    }
}
