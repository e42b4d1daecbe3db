//! What was seen, interned and added up: strings, frames, stacks as a trie, and one entry per distinct
//! (thread, stack). It grows with distinct stacks, never with time.

mod builder;
mod since;
pub mod state;

use rustc_hash::FxHashMap;

pub use builder::{ProfileBuilder, SampleId, Sighting};
pub use state::{GilTimes, State};

/// Name of the leaf that stands for frames which could not be proven.
pub const MISSING_FRAME: &str = "[missing: stack cut]";
/// Name of the only frame of stacks that came after [`builder::MAX_STACKS`] others.
pub const TOO_MANY_STACKS: &str = "[missing: too many distinct stacks]";
/// Name of a function whose code object could not be read.
pub const UNKNOWN_FUNCTION: &str = "<unknown function>";

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A Python function, module or class body
    Python = 0,
    /// Stands for frames that ran but could not be proven: the stack was cut here
    Missing = 1,
    /// Machine code of a program or library
    Native = 2,
    /// Code of the kernel
    Kernel = 3,
}

/// A frame as shown: one place in one function. Strings are indices into [`Profile::strings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// What kind of code it is
    pub kind: FrameKind,
    /// Function name; class-qualified (`co_qualname`) from 3.11 on
    pub name: u32,
    /// `co_filename` as the target spells it; of native code its source file, where debug information names it
    pub file: u32,
    /// The program, library or kernel module that holds native code; an empty string for Python
    pub module: u32,
    /// First line of the function, 0 when unknown
    pub first_line: u32,
    /// Current line, 0 when the instruction has none
    pub line: u32,
    /// Last line of the current expression, 0 when unknown (always up to 3.10)
    pub end_line: u32,
    /// Current column in UTF-8 bytes plus 1, 0 when unknown (always up to 3.10)
    pub column: u32,
    /// End column (exclusive) in UTF-8 bytes plus 1, 0 when unknown
    pub end_column: u32,
}

/// Index of a stack in [`Profile::stacks`]; [`EMPTY_STACK`] has no frame.
pub type StackId = u32;

/// The stack without frames: parent of every root.
pub const EMPTY_STACK: StackId = 0;

/// A stack is its caller's stack and one more frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StackNode {
    /// The caller's stack
    pub parent: StackId,
    /// Index into [`Profile::frames`]
    pub frame: u32,
}

/// A process that was seen, Python or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Its number within the session: never used again, unlike a pid
    pub id: u32,
    /// As the profiler's pid namespace counts it; 0 stands for processes that ended long ago
    pub pid: i32,
    /// Its parent's pid when it was found, 0 when unknown
    pub ppid: i32,
    /// `CPython` version; `None` while it is not (known to be) Python
    pub python_version: Option<String>,
    /// Arguments, the program's name first; empty when it has wiped them or they may not be read
    pub command: Vec<String>,
    /// It has ended
    pub ended: bool,
}

/// A thread that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadInfo {
    /// Its number within the session: never used again, unlike a kernel thread id
    pub id: u32,
    /// Index into [`Profile::processes`]
    pub process: u32,
    /// Process id
    pub pid: i32,
    /// Kernel thread id as the profiler's pid namespace counts it, 0 when unknown
    pub tid: i32,
    /// What Python's `threading.get_ident()` says
    pub python_id: u64,
    /// Python's name of the thread, else the kernel's
    pub name: String,
    /// It has ended
    pub ended: bool,
    /// What the last look at it saw
    pub last: LastLook,
    /// What it had to do with the GIL, whether its samples were kept or not
    pub gil: GilTimes,
}

/// A thread in the last look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastLook {
    /// Its stack; [`EMPTY_STACK`] when no Python code ran
    pub stack: StackId,
    /// What it did
    pub state: State,
}

/// Sums of one (thread, stack).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weights {
    /// Number of samples
    pub samples: u64,
    /// Wall-clock time in ns
    pub wall_ns: u64,
    /// Wall-clock time in ns of the samples in which the thread was on a CPU or waited for one
    pub running_ns: u64,
    /// Wall-clock time in ns of the samples in which the thread held a GIL
    pub gil_ns: u64,
    /// CPU time in ns, from the kernel's accounting of the thread
    pub cpu_ns: u64,
    /// Times that the thread was blocked, where that is measured from switch to switch, else 0
    pub waits: u64,
}

/// One line of the ordered record: `stack` was seen on `thread` from `time_ns` on for `weights`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineEntry {
    /// ns since the start of the profile
    pub time_ns: u64,
    /// Index into [`Profile::threads`]
    pub thread: u32,
    /// Index into [`Profile::stacks`]
    pub stack: StackId,
    /// Of this sample and of those joined to it
    pub weights: Weights,
}

/// Everything a recording collected.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Names and files, each once
    pub strings: Vec<String>,
    /// Each distinct place once
    pub frames: Vec<Frame>,
    /// `stacks[0]` is [`EMPTY_STACK`]; a parent's index is always below its child's
    pub stacks: Vec<StackNode>,
    /// In the order in which they were first seen
    pub processes: Vec<ProcessSeen>,
    /// In the order in which they were first seen
    pub threads: Vec<ThreadInfo>,
    /// Sums by (thread, stack)
    pub entries: FxHashMap<(u32, StackId), Weights>,
    /// In order of time, neighbours with the same stack joined; empty unless asked for
    pub timeline: Vec<TimelineEntry>,
    /// False when the timeline reached its bound; what came later is in `entries` alone
    pub timeline_complete: bool,
}
