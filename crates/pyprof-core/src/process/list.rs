//! Which processes of this host are Python's.

use std::fs::{read_dir, read_link};
use std::io::Read;
use std::path::Path;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use rustc_hash::FxHashMap;

use super::access::user_name;
use super::children::command_line;
use super::stat::{Stat, Status};
use super::{Obstacle, ProcessInfo};
use crate::memory::ProcessMemory;
use crate::python::{locate, version};
use crate::{Error, Result};

/// More processes than this are not looked at; the kernel's default `pid_max` is half of it.
const MAX_PROCESSES: usize = 65_536;
/// Of a process's memory map, this much is searched for a mapped file that is called python.
const MAX_MAPS_BYTES: u64 = 4 << 20;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// Every Python process that we can see, by pid.
pub(super) fn list() -> Result<Vec<ProcessInfo>> {
    let system = |operation: &str| {
        let operation = operation.to_owned();
        move |source| Error::System { operation, source }
    };
    let entries = read_dir("/proc").map_err(system("listing /proc"))?;
    let mut pids: Vec<i32> = entries
        .take(MAX_PROCESSES)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != std::process::id() as i32)
        .collect();
    pids.sort_unstable();
    let mut lister = Lister::new().map_err(|errno| system("reading the clock")(errno.into()))?;
    // A process that vanishes half-way is no longer a process of this host.
    Ok(pids.into_iter().filter_map(|pid| lister.describe(pid)).collect())
}

struct Lister {
    boot_ns: u64,
    tick_ns: u64,
    users: FxHashMap<u32, String>,
}

impl Lister {
    fn new() -> nix::Result<Self> {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
        let ticks = sysconf(SysconfVar::CLK_TCK)?.filter(|&ticks| ticks > 0).unwrap_or(100);
        Ok(Self {
            boot_ns: now.tv_sec() as u64 * NS_PER_SECOND + now.tv_nsec() as u64,
            tick_ns: NS_PER_SECOND / ticks as u64,
            users: FxHashMap::default(),
        })
    }

    fn describe(&mut self, pid: i32) -> Option<ProcessInfo> {
        let stat = Stat::read(pid).ok().filter(|stat| !stat.is_kernel && !stat.is_zombie())?;
        let command = command_line(pid);
        let program = read_link(format!("/proc/{pid}/exe")).ok();
        let named = program
            .as_deref()
            .or_else(|| command.first().map(Path::new))
            .map_or_else(|| stat.name.clone(), super::maps::file_name);
        if !is_python_name(&named) && !maps_python(pid) {
            return None;
        }
        let (python_version, obstacle) = match locate::locate(pid, &ProcessMemory::new(pid)) {
            Ok(runtimes) => (runtimes.first().map(|runtime| runtime.version.to_string()), None),
            Err(Error::NoSuchProcess { .. } | Error::ProcessExited { .. } | Error::NotPython { .. }) => {
                return None;
            }
            Err(error) => {
                let version = match &error {
                    Error::UnsupportedVersion { version, .. } => Some(version.clone()),
                    _ => version::from_file_name(&named).map(|version| version.to_string()),
                };
                (version, Some(Obstacle { code: error.code(), message: error.to_string() }))
            }
        };
        let uid = Status::read(pid).ok()?.words("Uid").nth(1)?.parse().ok()?;
        let user = self.users.entry(uid).or_insert_with(|| user_name(uid)).clone();
        let executable = program.map(|path| path.to_string_lossy().into_owned());
        Some(ProcessInfo {
            pid,
            python_version,
            uid,
            user,
            threads: stat.threads,
            cpu_ns: stat.cpu_ticks.saturating_mul(self.tick_ns),
            uptime_ns: self.boot_ns.saturating_sub(stat.start_ticks.saturating_mul(self.tick_ns)),
            executable: executable.or_else(|| command.first().cloned()).unwrap_or(stat.name),
            command,
            obstacle,
        })
    }
}

/// `python`, `python3`, `python3.13t`, but not `python3-config-helper`.
fn is_python_name(name: &str) -> bool {
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    name.strip_prefix("python").is_some_and(|rest| {
        let rest = rest.trim_end_matches(['t', 'd', 'm']);
        rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// Does it have a file mapped that is called python: a library, an extension module? An embedded interpreter
/// loads one of them sooner or later.
fn maps_python(pid: i32) -> bool {
    let mut text = Vec::new();
    let Ok(file) = std::fs::File::open(format!("/proc/{pid}/maps")) else { return false };
    let read = file.take(MAX_MAPS_BYTES).read_to_end(&mut text);
    read.is_ok() && text.windows(6).any(|window| window == b"python")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interpreters() {
        for name in ["python", "python3", "python3.11", "python3.13t", "python2.7", "python3.11 (deleted)"] {
            assert!(is_python_name(name), "{name}");
        }
        for name in ["pythonista", "python3-config", "bash", "ipython", ""] {
            assert!(!is_python_name(name), "{name}");
        }
    }
}
