//! The seam to engines that see more than a look from outside: a thread's own interrupt, native and kernel frames.
//!
//! The sampler goes on looking at its deadlines: that finds the threads and says what the blocked ones wait in. An
//! engine adds to it. Time that a thread runs then comes from its interrupts, and stacks can hold frames that are not
//! Python's. What an engine is made of is not known here.

use std::fmt;

use crate::Result;
use crate::attach::Attached;
use crate::profile::FrameKind;
use crate::python::frame::RawFrame;

/// Where stacks come from; better ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum EngineKind {
    /// Looks from outside alone
    #[default]
    Snapshot,
    /// Python by looks from outside, native frames from interrupts outside the kernel
    PerfUser,
    /// Python by looks from outside, native and kernel frames from interrupts
    Perf,
    /// Running threads by their own interrupts: Python, native and kernel frames of one moment
    Exact,
}

impl EngineKind {
    /// Best first.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Perf, Self::PerfUser, Self::Snapshot];

    /// `snapshot`, `perf-user`, `perf` or `exact`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::PerfUser => "perf-user",
            Self::Perf => "perf",
            Self::Exact => "exact",
        }
    }
}

impl std::str::FromStr for EngineKind {
    type Err = ();

    fn from_str(name: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(())
    }
}

/// Makes a [`Probe`] for every process of a session.
pub trait Engine: fmt::Debug + Send + Sync {
    /// Begins with a process that has just been attached to, at `rate` samples a second.
    fn probe(&self, process: &mut Attached, rate: f64) -> Result<Box<dyn Probe>>;
}

/// An engine at work on one process.
pub trait Probe: fmt::Debug + Send {
    /// What it turned out to be.
    fn kind(&self) -> EngineKind;

    /// What would give a better engine; `None` when this is the best, or what was asked for.
    fn advice(&self) -> Option<&str>;

    /// The last look saw other threads than the one before.
    fn threads_changed(&mut self, process: &mut Attached);

    /// Adds what has come since the last time, in order of time.
    fn interrupts(&mut self, process: &Attached, into: &mut Vec<Interrupt>);

    /// Whether the running time of a thread comes from its interrupts. Then looks count while it is blocked only.
    fn covers(&self, tid: i32) -> bool;

    /// Whether the switches of the threads it covers are told: then blocked time comes from them alone.
    fn counts_waits(&self) -> bool;

    /// What belongs into the stack of a look beside Python's frames; `None`: nothing that is certain. `python`: root
    /// first, entry markers included, empty for a thread without a Python state.
    fn extend(&mut self, process: &Attached, thread: Seen, python: &[RawFrame]) -> Option<Vec<Place>>;

    /// Whether threads without a Python state are shown too.
    fn shows_all_threads(&self) -> bool;

    /// What [`Place::Other`] means, outermost first: a function and what is inlined into it, or nothing for a frame
    /// that is not shown. The same number always means the same. `None`: not known yet.
    fn other(&self, number: u32) -> Option<Vec<OtherFrame<'_>>>;

    /// No more samples: waits until every number is known.
    fn complete(&mut self);

    /// Stacks so far whose native side could not be followed, or not be merged with Python's.
    fn unmerged(&self) -> u64;

    /// Interrupts that were lost so far.
    fn lost(&self) -> u64;
}

/// A thread as a look saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Kernel thread id in our pid namespace
    pub tid: i32,
    /// Its Python thread state; 0 for none
    pub state: u64,
    /// It is blocked, and was all through the look
    pub rests: bool,
}

/// One place in a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Index into the Python frames beside it
    Python(usize),
    /// A frame that is not Python's; [`Probe::other`] knows it
    Other(u32),
    /// Frames that ran here and are not known
    Missing,
}

/// What an engine tells of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum What {
    /// It has run for `cpu_ns`, and is interrupted
    #[default]
    Ran,
    /// From now on its switches are told ([`Probe::counts_waits`])
    Met,
    /// It leaves its CPU
    Left {
        /// It is not blocked: it waits for a CPU
        ready: bool,
    },
    /// It has a CPU again
    Came,
    /// It has ended
    Ended,
    /// Something was lost here, of any thread
    Lost,
}

/// A thread at its own interrupt, or where it leaves its CPU or has one again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interrupt {
    /// What happened; only those that ran or left have a stack
    pub what: What,
    /// Kernel thread id in our pid namespace
    pub tid: i32,
    /// Its Python thread state; 0 for none
    pub state: u64,
    /// `CLOCK_MONOTONIC` in ns
    pub time_ns: u64,
    /// CPU time it stands for, in ns
    pub cpu_ns: u64,
    /// It held its GIL
    pub holds_gil: bool,
    /// What it had in the register of a system call's first argument; 0 when unknown
    pub argument: u64,
    /// Python's frames, root first, entry markers included
    pub python: Vec<RawFrame>,
    /// All frames, root first
    pub places: Vec<Place>,
}

/// A frame that is not Python's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherFrame<'a> {
    /// Native or kernel
    pub kind: FrameKind,
    /// Function
    pub name: &'a str,
    /// Source file; empty when unknown
    pub file: &'a str,
    /// Source line, 0 when unknown
    pub line: u32,
    /// The binary or kernel module that holds it; empty for code of no file
    pub module: &'a str,
}
