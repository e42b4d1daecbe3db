//! A recording as packed columns: typed arrays cross into JavaScript without an object per sample.

use napi::bindgen_prelude::{Float64Array, Uint32Array};
use napi_derive::napi;
use pyprof_core::profile::{Frame, ProcessSeen, Profile, StackNode, ThreadInfo, Weights};
use pyprof_core::sampler::{EndReason, Recording};

use crate::snapshot::kind;
use crate::stats::RawStats;

/// Why a recording ended.
#[napi(string_enum = "lowercase")]
pub enum RawEndReason {
    Duration,
    Stopped,
    Exited,
    Replaced,
    Denied,
}

impl From<EndReason> for RawEndReason {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Duration => Self::Duration,
            EndReason::Stopped => Self::Stopped,
            EndReason::Exited => Self::Exited,
            EndReason::Replaced => Self::Replaced,
            EndReason::Denied => Self::Denied,
        }
    }
}

/// What was collected. All columns of one struct have the same length.
#[napi(object)]
pub struct RawProfile {
    pub strings: Vec<String>,
    pub frames: RawFrames,
    pub stacks: RawStacks,
    pub processes: Vec<RawProcessSeen>,
    pub threads: Vec<RawThread>,
    pub entries: RawEntries,
    pub timeline: RawTimeline,
    /// False when the timeline reached its bound
    pub timeline_complete: bool,
    pub stats: RawStats,
    /// Absent: it goes on
    pub end: Option<RawEndReason>,
    /// ms since the epoch
    pub started_ms: f64,
    pub python_version: String,
    /// What would give a better engine
    pub engine_advice: Option<String>,
}

/// Frames by index. Strings are indices; lines and columns are 0 when unknown.
#[napi(object)]
pub struct RawFrames {
    /// 0 Python, 1 missing, 2 native, 3 kernel
    pub kind: Uint32Array,
    pub name: Uint32Array,
    pub file: Uint32Array,
    /// The binary of a native frame, the kernel module of a kernel frame
    pub module: Uint32Array,
    pub first_line: Uint32Array,
    pub line: Uint32Array,
    pub end_line: Uint32Array,
    pub column: Uint32Array,
    pub end_column: Uint32Array,
}

/// Stacks by id; 0 is the empty stack, a parent's id is below its child's.
#[napi(object)]
pub struct RawStacks {
    pub parent: Uint32Array,
    pub frame: Uint32Array,
}

/// A process that was seen.
#[napi(object)]
pub struct RawProcessSeen {
    /// Its number in the session
    pub id: u32,
    pub pid: i32,
    /// 0 when unknown
    pub ppid: i32,
    /// `null` while it is not known to be Python
    pub python_version: Option<String>,
    pub command: Vec<String>,
    pub ended: bool,
}

impl From<&ProcessSeen> for RawProcessSeen {
    fn from(info: &ProcessSeen) -> Self {
        Self {
            id: info.id,
            pid: info.pid,
            ppid: info.ppid,
            python_version: info.python_version.clone(),
            command: info.command.clone(),
            ended: info.ended,
        }
    }
}

/// A thread that was seen.
#[napi(object)]
pub struct RawThread {
    /// Its number in the session
    pub id: u32,
    /// In a profile the index of its process, in a batch the process's number in the session
    pub process: u32,
    pub pid: i32,
    /// 0 when unknown
    pub tid: i32,
    pub python_id: f64,
    pub name: String,
    /// Time in which it held the GIL, or waited for it, so far; whether its samples were kept or not
    pub gil_held_ns: f64,
    pub gil_waited_ns: f64,
}

impl From<&ThreadInfo> for RawThread {
    fn from(info: &ThreadInfo) -> Self {
        Self {
            id: info.id,
            process: info.process,
            pid: info.pid,
            tid: info.tid,
            python_id: info.python_id as f64,
            name: info.name.clone(),
            gil_held_ns: info.gil.held_ns as f64,
            gil_waited_ns: info.gil.waited_ns as f64,
        }
    }
}

/// Sums by (thread, stack), ordered by thread and stack.
#[napi(object)]
pub struct RawEntries {
    pub thread: Uint32Array,
    pub stack: Uint32Array,
    pub samples: Float64Array,
    pub wall_ns: Float64Array,
    pub cpu_ns: Float64Array,
    /// Elapsed time in which the thread was neither on a CPU nor waited for one
    pub blocked_ns: Float64Array,
    /// Times that it was blocked; zero where that is not measured
    pub waits: Float64Array,
}

/// What was seen in order of time; empty unless asked for.
#[napi(object)]
pub struct RawTimeline {
    /// ns since the start
    pub time_ns: Float64Array,
    pub thread: Uint32Array,
    pub stack: Uint32Array,
    pub samples: Float64Array,
    pub wall_ns: Float64Array,
    pub cpu_ns: Float64Array,
}

/// A column of integers.
pub fn integers<T>(items: &[T], field: impl Fn(&T) -> u32) -> Uint32Array {
    items.iter().map(field).collect::<Vec<_>>().into()
}

/// A column of numbers that need more than 32 bits.
pub fn numbers<T>(items: &[T], field: impl Fn(&T) -> u64) -> Float64Array {
    items.iter().map(|item| field(item) as f64).collect::<Vec<_>>().into()
}

impl From<&[Frame]> for RawFrames {
    fn from(frames: &[Frame]) -> Self {
        Self {
            kind: integers(frames, |frame| kind(frame.kind)),
            name: integers(frames, |frame| frame.name),
            file: integers(frames, |frame| frame.file),
            module: integers(frames, |frame| frame.module),
            first_line: integers(frames, |frame| frame.first_line),
            line: integers(frames, |frame| frame.line),
            end_line: integers(frames, |frame| frame.end_line),
            column: integers(frames, |frame| frame.column),
            end_column: integers(frames, |frame| frame.end_column),
        }
    }
}

impl From<&Profile> for RawEntries {
    fn from(profile: &Profile) -> Self {
        // A hash map's order differs from run to run; files made of it should not.
        let mut entries: Vec<(u32, u32, Weights)> =
            profile.entries.iter().map(|(&(thread, stack), &weights)| (thread, stack, weights)).collect();
        entries.sort_unstable_by_key(|&(thread, stack, _)| (thread, stack));
        Self {
            thread: integers(&entries, |entry| entry.0),
            stack: integers(&entries, |entry| entry.1),
            samples: numbers(&entries, |entry| entry.2.samples),
            wall_ns: numbers(&entries, |entry| entry.2.wall_ns),
            cpu_ns: numbers(&entries, |entry| entry.2.cpu_ns),
            blocked_ns: numbers(&entries, |entry| entry.2.wall_ns.saturating_sub(entry.2.running_ns)),
            waits: numbers(&entries, |entry| entry.2.waits),
        }
    }
}

impl From<&[StackNode]> for RawStacks {
    fn from(stacks: &[StackNode]) -> Self {
        Self { parent: integers(stacks, |stack| stack.parent), frame: integers(stacks, |stack| stack.frame) }
    }
}

impl From<&Recording> for RawProfile {
    fn from(recording: &Recording) -> Self {
        let profile = &recording.profile;
        let timeline = &profile.timeline;
        Self {
            strings: profile.strings.clone(),
            frames: profile.frames.as_slice().into(),
            stacks: profile.stacks.as_slice().into(),
            processes: profile.processes.iter().map(RawProcessSeen::from).collect(),
            threads: profile.threads.iter().map(RawThread::from).collect(),
            entries: profile.into(),
            timeline: RawTimeline {
                time_ns: numbers(timeline, |entry| entry.time_ns),
                thread: integers(timeline, |entry| entry.thread),
                stack: integers(timeline, |entry| entry.stack),
                samples: numbers(timeline, |entry| entry.weights.samples),
                wall_ns: numbers(timeline, |entry| entry.weights.wall_ns),
                cpu_ns: numbers(timeline, |entry| entry.weights.cpu_ns),
            },
            timeline_complete: profile.timeline_complete,
            stats: recording.stats.into(),
            end: recording.end.map(RawEndReason::from),
            started_ms: recording.started_unix_ns as f64 / 1e6,
            python_version: recording.python_version.clone(),
            engine_advice: recording.engine_advice.clone(),
        }
    }
}
