//! `/proc/PID/stat` and the few lines of `/proc/PID/status` that it does not have.

use std::fs::File;
use std::io::{self, Read};

/// `PF_KTHREAD` (`include/linux/sched.h`)
const PF_KTHREAD: u64 = 0x0020_0000;
const MAX_BYTES: u64 = 64 << 10;

/// A process or a thread as `/proc/.../stat` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Name, at most 15 bytes
    pub name: String,
    /// State letter: R, S, D, T, t, Z, X, I
    pub state: u8,
    /// Parent's pid
    pub parent: i32,
    /// A thread of the kernel
    pub is_kernel: bool,
    /// CPU time in user and kernel mode, in clock ticks
    pub cpu_ticks: u64,
    /// Number of threads
    pub threads: u32,
    /// Start time since boot, in clock ticks: with the pid, the identity of a process
    pub start_ticks: u64,
}

impl Stat {
    /// Of a process; of a thread with `pid/task/tid`.
    pub fn read(pid: impl std::fmt::Display) -> io::Result<Self> {
        Self::parse(&bounded(&format!("/proc/{pid}/stat"))?).ok_or(io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The name may itself hold parentheses and spaces; what follows the last one cannot.
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let name = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(24).collect();
        // proc(5) counts from 1 and the state is its field 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name,
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            is_kernel: number(9)? & PF_KTHREAD != 0,
            cpu_ticks: number(14)?.saturating_add(number(15)?),
            threads: number(20)? as u32,
            start_ticks: number(22)?,
        })
    }

    /// Dead, only not yet reaped by its parent.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// A status file: of a process, or of a thread with `pid/task/tid`.
#[derive(Debug)]
pub struct Status(String);

impl Status {
    /// Reads it whole, bounded.
    pub fn read(pid: impl std::fmt::Display) -> io::Result<Self> {
        let bytes = bounded(&format!("/proc/{pid}/status"))?;
        Ok(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The words of the line `key:`; none when there is no such line.
    pub fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_default().split_ascii_whitespace()
    }

    /// The first number of the line `key:`, decimal.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.words(key).next()?.parse().ok()
    }

    /// The first number of the line `key:`, hexadecimal: a set of capabilities.
    #[must_use]
    pub fn hex(&self, key: &str) -> Option<u64> {
        u64::from_str_radix(self.words(key).next()?, 16).ok()
    }
}

/// A file of /proc, at most 64 KiB of it.
pub(super) fn bounded(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_fields() {
        let text =
            b"7 (a) R 1 (b) S 3 7 7 0 -1 2097152 0 0 0 0 10 5 0 0 20 0 4 0 99 0 0 18446744073709551615 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.parent), ("a) R 1 (b", b'S', 3));
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks), (15, 4, 99));
        assert!(stat.is_kernel && !stat.is_zombie());
        assert_eq!(Stat::parse(b"7 (cut short) R 1 2"), None);
        assert_eq!(Stat::parse(b")("), None);
    }

    #[test]
    fn our_own_files_are_read() {
        let status = Status::read("self").unwrap();
        assert_eq!(status.number("Pid"), Some(u64::from(std::process::id())));
        assert_eq!(status.words("No such line").next(), None);
        assert!(Stat::read("self").unwrap().threads >= 1);
    }
}
