//! What can go wrong, in one place. Each message is a sentence that says what to do next.

use std::io;

/// Why a process could not be looked at, or stopped being readable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No process has this pid.
    #[error("no process with pid {pid}; `pyprof-rs ps` lists the Python processes of this host")]
    NoSuchProcess {
        /// As asked for
        pid: i32,
    },
    /// The process runs, but holds no `CPython` interpreter.
    #[error("process {pid} ({exe}) is not a Python process: {detail}")]
    NotPython {
        /// The process
        pid: i32,
        /// Its program's file, or its name where the file may not be seen
        exe: String,
        /// What was looked for and not found
        detail: String,
    },
    /// `CPython` is there, but its state is not set up yet (start-up) or no longer (shutdown).
    #[error(
        "the Python interpreter of process {pid} has no threads to show: it is still starting or already shutting down"
    )]
    NotReady {
        /// The process
        pid: i32,
    },
    /// `CPython` of a version this build does not know.
    #[error("process {pid} runs CPython {version}, which is not supported: {detail}")]
    UnsupportedVersion {
        /// The process
        pid: i32,
        /// The version it runs, as far as it could be told
        version: String,
        /// What is supported, or what about this build is not
        detail: String,
    },
    /// The kernel forbids reading the process; `reason` says which rule did and what would lift it.
    #[error("not allowed to read process {pid}: {reason}")]
    Permission {
        /// The process
        pid: i32,
        /// The rule in the way (owner, capability, Yama, seccomp) and its remedy
        reason: String,
    },
    /// The process ended.
    #[error("process {pid} has exited")]
    ProcessExited {
        /// The process
        pid: i32,
    },
    /// The target's memory holds something that no `CPython` would write there.
    #[error("the memory of process {pid} makes no sense as CPython state: {detail}")]
    Unreadable {
        /// The process
        pid: i32,
        /// What was read and why it cannot be true
        detail: String,
    },
    /// The engine asked for cannot be used here.
    #[error("engine `{engine}` on process {pid}: {reason}")]
    Engine {
        /// The process
        pid: i32,
        /// As asked for
        engine: &'static str,
        /// Which right or feature is missing, and what would give it
        reason: String,
    },
    /// An argument outside its range.
    #[error("{0}")]
    InvalidArgument(String),
    /// A system call that should have worked did not.
    #[error("{operation}: {source}")]
    System {
        /// What was being done
        operation: String,
        /// The kernel's answer
        source: io::Error,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A stable name for programs: `NO_SUCH_PROCESS`, `NOT_PYTHON`, ...
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchProcess { .. } => "NO_SUCH_PROCESS",
            Self::NotPython { .. } => "NOT_PYTHON",
            Self::NotReady { .. } => "NOT_READY",
            Self::UnsupportedVersion { .. } => "UNSUPPORTED_VERSION",
            Self::Permission { .. } => "PERMISSION",
            Self::ProcessExited { .. } => "PROCESS_EXITED",
            Self::Unreadable { .. } => "UNREADABLE",
            Self::Engine { .. } => "ENGINE",
            Self::InvalidArgument(_) => "INVALID_ARGUMENT",
            Self::System { .. } => "SYSTEM",
        }
    }
}
