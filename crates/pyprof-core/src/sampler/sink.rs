//! Where everything that was seen goes: into the profile always, into the stream when there is one.

use rustc_hash::FxHashMap;

use super::EndReason;
use super::stream::{EventKind, Stream, StreamSample};
use crate::profile::state::CUT;
use crate::profile::{ProcessSeen, Profile, ProfileBuilder, SampleId, Sighting, ThreadInfo};

/// A sample that was added: where CPU time known later belongs.
#[derive(Debug, Clone, Copy)]
pub struct Added {
    sample: SampleId,
    number: Option<u64>,
}

/// The profile, and the stream beside it.
#[derive(Debug)]
pub struct Sink {
    /// Everything, added up
    pub profile: ProfileBuilder,
    stream: Option<Stream>,
    /// Only threads of these names are kept; empty: all
    names: Vec<String>,
    /// CPU time that came too late for its sample in the stream: for the thread's next one
    late_cpu: FxHashMap<u32, u64>,
}

impl Sink {
    /// `names`: keep only threads of these names; empty: all.
    #[must_use]
    pub fn new(timeline: bool, stream: Option<Stream>, names: Vec<String>) -> Self {
        Self { profile: ProfileBuilder::new(timeline), stream, names, late_cpu: FxHashMap::default() }
    }

    /// A process that was found; returns its index.
    pub fn process(&mut self, info: ProcessSeen, time_ns: u64) -> u32 {
        let index = self.profile.process(info);
        self.process_event(EventKind::ProcessStart, index, time_ns);
        index
    }

    /// A process replaced its program, or ended.
    pub fn process_event(&mut self, kind: EventKind, index: u32, time_ns: u64) {
        let Some(info) = self.profile.profile().processes.get(index as usize) else { return };
        if let Some(stream) = &mut self.stream {
            if kind != EventKind::ProcessExit {
                stream.process(info);
            }
            stream.event(kind, time_ns, info.id);
        }
    }

    /// More is known of a process now.
    pub fn change_process(&mut self, index: u32, change: impl FnOnce(&mut ProcessSeen)) {
        self.profile.change_process(index, change);
        let info = self.profile.profile().processes.get(index as usize);
        if let (Some(stream), Some(info)) = (&mut self.stream, info) {
            stream.process(info);
        }
    }

    /// A thread that was found; returns its index.
    pub fn thread(&mut self, info: ThreadInfo, time_ns: u64) -> u32 {
        let index = self.profile.thread(info);
        self.late_cpu.remove(&index);
        if self.keeps(index)
            && let Some(id) = self.stream_thread(index)
            && let Some(stream) = &mut self.stream
        {
            stream.event(EventKind::ThreadStart, time_ns, id);
        }
        index
    }

    /// Gives the stream a thread's row and returns the thread's id. Places in the profile are used again; the stream
    /// names the process by its id too.
    fn stream_thread(&mut self, index: u32) -> Option<u32> {
        let stream = self.stream.as_mut()?;
        let profile = self.profile.profile();
        let info = profile.threads.get(index as usize)?;
        let process = profile.processes.get(info.process as usize)?.id;
        stream.thread(ThreadInfo { process, ..info.clone() });
        Some(info.id)
    }

    /// The name that a thread is known by.
    pub fn thread_name(&self, index: u32) -> Option<&str> {
        Some(&self.profile.profile().threads.get(index as usize)?.name)
    }

    /// A thread has another name now.
    pub fn rename(&mut self, index: u32, name: &str) {
        if self.thread_name(index).is_none_or(|known| known == name) {
            return;
        }
        self.profile.rename(index, name);
        self.stream_thread(index);
    }

    /// A thread has ended.
    pub fn end_thread(&mut self, index: u32, time_ns: u64) {
        self.profile.end_thread(index);
        if self.keeps(index)
            && let (Some(stream), Some(info)) =
                (&mut self.stream, self.profile.profile().threads.get(index as usize))
        {
            stream.event(EventKind::ThreadEnd, time_ns, info.id);
        }
    }

    fn keeps(&self, thread: u32) -> bool {
        let Some(info) = self.profile.profile().threads.get(thread as usize) else { return false };
        self.names.is_empty() || self.names.contains(&info.name)
    }

    /// Whether each sample counts by itself: somebody takes them one by one, or their order is kept.
    #[must_use]
    pub fn wants_every_sample(&self) -> bool {
        self.stream.is_some() || self.profile.keeps_order()
    }

    /// Adds a sample.
    pub fn sample(&mut self, seen: &Sighting, cut: bool) -> Added {
        let sample = self.profile.sample(seen);
        let mut number = None;
        if self.stream.is_some() && self.keeps(seen.thread) {
            let id = self.profile.profile().threads[seen.thread as usize].id;
            let syscall = seen.state.syscall_name().map_or(0, |name| self.profile.string(name) + 1);
            let cpu_ns = self.late_cpu.remove(&seen.thread).unwrap_or(0);
            number = self.stream.as_mut().map(|stream| {
                stream.sample(StreamSample {
                    time_ns: seen.time_ns,
                    thread: id,
                    stack: seen.stack,
                    wall_ns: seen.wall_ns,
                    cpu_ns,
                    flags: seen.state.with(CUT, cut).flags,
                    syscall,
                })
            });
        }
        Added { sample, number }
    }

    /// Adds CPU time to a sample.
    pub fn add_cpu(&mut self, added: Added, cpu_ns: u64) {
        self.profile.add_cpu(added.sample, cpu_ns);
        if let (Some(stream), Some(number)) = (&mut self.stream, added.number)
            && !stream.add_cpu(number, cpu_ns)
        {
            *self.late_cpu.entry(added.sample.thread).or_default() += cpu_ns;
        }
    }

    /// Hands the stream over, as far as it has settled. Returns how many of its samples were dropped so far.
    pub fn publish(&mut self, now: u64, ended: Option<EndReason>) -> u64 {
        self.stream.as_mut().map_or(0, |stream| stream.publish(now, self.profile.profile(), ended))
    }

    /// The profile so far.
    #[must_use]
    pub fn so_far(&self) -> Profile {
        self.profile.so_far(|thread| self.names.is_empty() || self.names.contains(&thread.name))
    }

    /// The finished profile.
    #[must_use]
    pub fn finish(self) -> Profile {
        let names = self.names;
        self.profile.finish(|thread| names.is_empty() || names.contains(&thread.name))
    }
}
