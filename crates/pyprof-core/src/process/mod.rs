//! Linux processes: who they are, who started them, what they have mapped, which threads they run, whether we may look.

pub mod access;
pub mod children;
pub mod exit;
mod list;
pub mod maps;
pub mod rights;
pub mod root;
pub mod stat;
pub mod thread_clock;
pub mod threads;

use crate::Result;

/// A Python process of this host, as `ps` shows it.
#[derive(Debug, Clone)]
pub struct ProcessInfo {
    /// As the profiler's pid namespace counts it
    pub pid: i32,
    /// `CPython` version; only the minor is known when the process may not be read
    pub python_version: Option<String>,
    /// Numeric owner
    pub uid: u32,
    /// Owner's name, or the number as text
    pub user: String,
    /// Kernel threads, those without Python code included
    pub threads: u32,
    /// CPU time used since its start, in ns
    pub cpu_ns: u64,
    /// Time since its start, in ns
    pub uptime_ns: u64,
    /// The file behind `/proc/PID/exe`; empty when it may not be seen
    pub executable: String,
    /// Arguments, the program's name first; empty when it has wiped them
    pub command: Vec<String>,
    /// Why it cannot be profiled, as a sentence with the remedy; `None` when it can
    pub obstacle: Option<Obstacle>,
}

/// Why a process cannot be profiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The error's code, see [`crate::Error::code`]
    pub code: &'static str,
    /// A sentence with the remedy
    pub message: String,
}

/// The Python processes of this host, by pid. Processes that cannot be looked into are judged by their file
/// names.
pub fn list() -> Result<Vec<ProcessInfo>> {
    list::list()
}
