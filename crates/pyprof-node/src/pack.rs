//! A recording as packed columns: typed arrays cross into JavaScript without an object per sample.

use napi::bindgen_prelude::{Float64Array, Uint32Array};
use napi_derive::napi;
use pyprof_core::profile::{Frame, Profile, Weights};
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

/// A finished recording. All columns of one struct have the same length.
#[napi(object)]
pub struct RawProfile {
    pub strings: Vec<String>,
    pub frames: RawFrames,
    pub stacks: RawStacks,
    pub threads: Vec<RawThread>,
    pub entries: RawEntries,
    pub timeline: RawTimeline,
    /// False when the timeline reached its bound
    pub timeline_complete: bool,
    pub stats: RawStats,
    pub end: RawEndReason,
    /// ms since the epoch
    pub started_ms: f64,
    pub python_version: String,
}

/// Frames by index. Strings are indices; lines and columns are 0 when unknown.
#[napi(object)]
pub struct RawFrames {
    /// 0 Python, 1 missing
    pub kind: Uint32Array,
    pub name: Uint32Array,
    pub file: Uint32Array,
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

/// A thread that was seen.
#[napi(object)]
pub struct RawThread {
    pub pid: i32,
    /// 0 when unknown
    pub tid: i32,
    pub python_id: f64,
    pub name: String,
}

/// Sums by (thread, stack), ordered by thread and stack.
#[napi(object)]
pub struct RawEntries {
    pub thread: Uint32Array,
    pub stack: Uint32Array,
    pub samples: Float64Array,
    pub wall_ns: Float64Array,
    pub cpu_ns: Float64Array,
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

fn integers<T>(items: &[T], field: impl Fn(&T) -> u32) -> Uint32Array {
    items.iter().map(field).collect::<Vec<_>>().into()
}

fn numbers<T>(items: &[T], field: impl Fn(&T) -> u64) -> Float64Array {
    items.iter().map(|item| field(item) as f64).collect::<Vec<_>>().into()
}

impl From<&[Frame]> for RawFrames {
    fn from(frames: &[Frame]) -> Self {
        Self {
            kind: integers(frames, |frame| kind(frame.kind)),
            name: integers(frames, |frame| frame.name),
            file: integers(frames, |frame| frame.file),
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
        }
    }
}

impl From<Recording> for RawProfile {
    fn from(recording: Recording) -> Self {
        let profile = recording.profile;
        let timeline = &profile.timeline;
        Self {
            frames: profile.frames.as_slice().into(),
            stacks: RawStacks {
                parent: integers(&profile.stacks, |stack| stack.parent),
                frame: integers(&profile.stacks, |stack| stack.frame),
            },
            entries: (&profile).into(),
            timeline: RawTimeline {
                time_ns: numbers(timeline, |entry| entry.time_ns),
                thread: integers(timeline, |entry| entry.thread),
                stack: integers(timeline, |entry| entry.stack),
                samples: numbers(timeline, |entry| entry.weights.samples),
                wall_ns: numbers(timeline, |entry| entry.weights.wall_ns),
                cpu_ns: numbers(timeline, |entry| entry.weights.cpu_ns),
            },
            timeline_complete: profile.timeline_complete,
            threads: profile
                .threads
                .into_iter()
                .map(|thread| RawThread {
                    pid: thread.pid,
                    tid: thread.tid,
                    python_id: thread.python_id as f64,
                    name: thread.name,
                })
                .collect(),
            strings: profile.strings,
            stats: recording.stats.into(),
            end: match recording.end {
                None | Some(EndReason::Duration) => RawEndReason::Duration,
                Some(EndReason::Stopped) => RawEndReason::Stopped,
                Some(EndReason::Exited) => RawEndReason::Exited,
                Some(EndReason::Replaced) => RawEndReason::Replaced,
                Some(EndReason::Denied) => RawEndReason::Denied,
            },
            started_ms: recording.started_unix_ns as f64 / 1e6,
            python_version: recording.python_version,
        }
    }
}
