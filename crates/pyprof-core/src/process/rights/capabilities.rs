//! Sets of capabilities, and the names of those that matter to a profiler.

use std::ops::BitOr;

/// A set as `/proc/PID/status` shows it; bits by `include/uapi/linux/capability.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Nothing
    pub const NONE: Self = Self(0);
    /// Locks memory beyond `RLIMIT_MEMLOCK`: large perf buffers
    pub const IPC_LOCK: Self = Self(1 << 14);
    /// Reads other users' processes
    pub const SYS_PTRACE: Self = Self(1 << 19);
    /// Before Linux 5.8 what `PERFMON` and `BPF` are now; still what `/proc/PID/stack` asks for
    pub const SYS_ADMIN: Self = Self(1 << 21);
    /// Sees the kernel's addresses
    pub const SYSLOG: Self = Self(1 << 34);
    /// perf events of kernel code
    pub const PERFMON: Self = Self(1 << 38);
    /// Loads BPF programs
    pub const BPF: Self = Self(1 << 39);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::SYS_PTRACE, "SYS_PTRACE"),
        (Self::PERFMON, "PERFMON"),
        (Self::BPF, "BPF"),
        (Self::SYS_ADMIN, "SYS_ADMIN"),
        (Self::SYSLOG, "SYSLOG"),
        (Self::IPC_LOCK, "IPC_LOCK"),
    ];

    /// From the kernel's bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Holds all of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// What of this is not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Holds none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names without `CAP_`, of those that matter to a profiler.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(one, _)| self.contains(*one)).map(|(_, name)| name)
    }

    /// `CAP_PERFMON and CAP_BPF`
    #[must_use]
    pub fn sentence(self) -> String {
        self.names().map(|name| format!("CAP_{name}")).collect::<Vec<_>>().join(" and ")
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_names() {
        let set = Capabilities::BPF | Capabilities::PERFMON | Capabilities::from_bits(1);
        assert_eq!(set.sentence(), "CAP_PERFMON and CAP_BPF");
        assert!(set.contains(Capabilities::BPF) && !set.contains(Capabilities::SYSLOG));
        assert!(!set.without(Capabilities::BPF).contains(Capabilities::BPF));
        assert!(set.without(set).is_empty() && Capabilities::NONE.names().next().is_none());
    }
}
