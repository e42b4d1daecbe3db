//! What a session's stream brings, as packed columns.

use napi::bindgen_prelude::{Float64Array, Uint32Array};
use napi_derive::napi;
use pyprof_core::sampler::stream::{Batch, EventKind, StreamEvent, StreamSample};

use crate::pack::{RawEndReason, RawFrames, RawProcessSeen, RawStacks, RawThread, integers, numbers};

/// What came since the last one. Tables hold what is new: their rows go on where those of the last batch ended.
#[napi(object)]
pub struct RawBatch {
    pub strings: Vec<String>,
    pub frames: RawFrames,
    pub stacks: RawStacks,
    /// New, or changed: the row of the same id before is out of date
    pub threads: Vec<RawThread>,
    /// New, or changed
    pub processes: Vec<RawProcessSeen>,
    pub samples: RawSamples,
    pub events: RawEvents,
    /// Samples that were dropped before the first of these
    pub lost: f64,
    /// Nothing will come any more
    pub ended: Option<RawEndReason>,
}

/// Samples in order of time.
#[napi(object)]
pub struct RawSamples {
    pub time_ns: Float64Array,
    /// `RawThread.id`
    pub thread: Uint32Array,
    pub stack: Uint32Array,
    pub wall_ns: Float64Array,
    pub cpu_ns: Float64Array,
    /// 1 on a CPU, 2 holds a GIL, 4 cut, 8 waits for its GIL, 16 in garbage collection, 32 handles an exception; off-CPU
    /// time: 64 blocked, 128 waits for a CPU, 256 the wait before goes on
    pub flags: Uint32Array,
    /// Index of the name of the system call it was blocked in, plus 1; 0 for none
    pub syscall: Uint32Array,
}

/// Events in order of time.
#[napi(object)]
pub struct RawEvents {
    /// 0 process start, 1 exec, 2 exit, 3 thread start, 4 thread end
    pub kind: Uint32Array,
    /// How many of the batch's samples came before it
    pub before: Uint32Array,
    pub time_ns: Float64Array,
    /// `RawProcessSeen.id` or `RawThread.id`
    pub id: Uint32Array,
}

fn event_kind(kind: EventKind) -> u32 {
    match kind {
        EventKind::ProcessStart => 0,
        EventKind::ProcessExec => 1,
        EventKind::ProcessExit => 2,
        EventKind::ThreadStart => 3,
        EventKind::ThreadEnd => 4,
    }
}

impl From<&[StreamSample]> for RawSamples {
    fn from(samples: &[StreamSample]) -> Self {
        Self {
            time_ns: numbers(samples, |sample| sample.time_ns),
            thread: integers(samples, |sample| sample.thread),
            stack: integers(samples, |sample| sample.stack),
            wall_ns: numbers(samples, |sample| sample.wall_ns),
            cpu_ns: numbers(samples, |sample| sample.cpu_ns),
            flags: integers(samples, |sample| sample.flags),
            syscall: integers(samples, |sample| sample.syscall),
        }
    }
}

impl From<&[StreamEvent]> for RawEvents {
    fn from(events: &[StreamEvent]) -> Self {
        Self {
            kind: integers(events, |event| event_kind(event.kind)),
            before: integers(events, |event| event.before),
            time_ns: numbers(events, |event| event.time_ns),
            id: integers(events, |event| event.id),
        }
    }
}

impl From<Batch> for RawBatch {
    fn from(batch: Batch) -> Self {
        Self {
            frames: batch.frames.as_slice().into(),
            stacks: batch.stacks.as_slice().into(),
            threads: batch.threads.iter().map(RawThread::from).collect(),
            processes: batch.processes.iter().map(RawProcessSeen::from).collect(),
            samples: batch.samples.as_slice().into(),
            events: batch.events.as_slice().into(),
            strings: batch.strings,
            lost: batch.lost as f64,
            ended: batch.ended.map(RawEndReason::from),
        }
    }
}
