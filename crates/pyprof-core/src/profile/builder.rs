//! Puts a [`Profile`] together, one sample at a time.

use rustc_hash::FxHashMap;

use super::state::{BLOCKED, GOES_ON, HOLDS_GIL, ON_CPU};
use super::{
    EMPTY_STACK, Frame, FrameKind, GilTimes, LastLook, MISSING_FRAME, ProcessSeen, Profile, StackId,
    StackNode, State, TOO_MANY_STACKS, ThreadInfo, TimelineEntry, Weights,
};

/// More lines of the ordered record than this are not kept: 64 MiB.
const MAX_TIMELINE: usize = 1 << 20;
/// More distinct stacks (each caller counts) than this share one: about 150 MiB.
pub const MAX_STACKS: usize = 1 << 22;
/// When this many threads have been seen, those that have ended are added up in one.
const MAX_THREADS: usize = 4096;
/// The same for processes.
const MAX_PROCESSES: usize = 1024;
/// Name of the thread and of the process that stand for those.
const ENDED: &str = "[ended]";

/// A sample that was added: where its weights went, so that CPU time known later finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleId {
    /// Index of its thread
    pub thread: u32,
    stack: StackId,
    timeline: Option<u32>,
}

/// One thread at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Index of the thread
    pub thread: u32,
    /// Its stack
    pub stack: StackId,
    /// When, in ns since the profile's start
    pub time_ns: u64,
    /// The time it stands for, up to `time_ns`, in ns
    pub wall_ns: u64,
    /// What the thread did
    pub state: State,
}

impl Sighting {
    fn weights(&self) -> Weights {
        let when = |yes| if yes { self.wall_ns } else { 0 };
        let begins = u64::from(!self.state.has(GOES_ON));
        Weights {
            samples: begins,
            wall_ns: self.wall_ns,
            running_ns: when(self.state.has(ON_CPU)),
            gil_ns: when(self.state.has(HOLDS_GIL)),
            cpu_ns: 0,
            waits: if self.state.has(BLOCKED) { begins } else { 0 },
        }
    }
}

impl Weights {
    /// Adds another sum.
    pub fn add(&mut self, more: Weights) {
        self.samples += more.samples;
        self.wall_ns += more.wall_ns;
        self.running_ns += more.running_ns;
        self.gil_ns += more.gil_ns;
        self.cpu_ns += more.cpu_ns;
        self.waits += more.waits;
    }
}

/// Interns strings, frames and stacks, and adds up weights.
#[derive(Debug)]
pub struct ProfileBuilder {
    profile: Profile,
    strings: FxHashMap<String, u32>,
    frames: FxHashMap<Frame, u32>,
    stacks: FxHashMap<StackNode, StackId>,
    missing: Option<u32>,
    /// The last timeline entry of each thread
    last: Vec<Option<u32>>,
    timeline: bool,
    threads_met: u32,
    processes_met: u32,
    /// The thread that stands for those that were added up
    ended_thread: Option<u32>,
    free_threads: Vec<u32>,
    free_processes: Vec<u32>,
}

impl ProfileBuilder {
    /// An empty profile; `timeline`: keep the order of samples too.
    #[must_use]
    pub fn new(timeline: bool) -> Self {
        let root = StackNode { parent: EMPTY_STACK, frame: u32::MAX };
        Self {
            profile: Profile { stacks: vec![root], timeline_complete: true, ..Profile::default() },
            strings: FxHashMap::default(),
            frames: FxHashMap::default(),
            stacks: FxHashMap::default(),
            missing: None,
            last: Vec::new(),
            timeline,
            threads_met: 0,
            processes_met: 0,
            ended_thread: None,
            free_threads: Vec::new(),
            free_processes: Vec::new(),
        }
    }

    /// Whether the order of samples is kept.
    #[must_use]
    pub fn keeps_order(&self) -> bool {
        self.timeline
    }

    /// What there is so far.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The index of a string.
    pub fn string(&mut self, text: &str) -> u32 {
        if let Some(&index) = self.strings.get(text) {
            return index;
        }
        let index = self.profile.strings.len() as u32;
        self.profile.strings.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    /// The index of a frame.
    pub fn frame(&mut self, frame: Frame) -> u32 {
        *self.frames.entry(frame).or_insert_with(|| {
            self.profile.frames.push(frame);
            self.profile.frames.len() as u32 - 1
        })
    }

    /// The leaf of a stack that was cut.
    pub fn missing_frame(&mut self) -> u32 {
        if let Some(index) = self.missing {
            return index;
        }
        let index = self.marker(MISSING_FRAME);
        self.missing = Some(index);
        index
    }

    fn marker(&mut self, text: &str) -> u32 {
        let (name, file) = (self.string(text), self.string(""));
        self.frame(Frame {
            kind: FrameKind::Missing,
            name,
            file,
            module: file,
            first_line: 0,
            line: 0,
            end_line: 0,
            column: 0,
            end_column: 0,
        })
    }

    /// The stack of `parent` and one more frame.
    pub fn stack(&mut self, parent: StackId, frame: u32) -> StackId {
        let node = StackNode { parent, frame };
        if let Some(&id) = self.stacks.get(&node) {
            return id;
        }
        if self.profile.stacks.len() < MAX_STACKS {
            return self.new_stack(node);
        }
        let node = StackNode { parent: EMPTY_STACK, frame: self.marker(TOO_MANY_STACKS) };
        self.stacks.get(&node).copied().unwrap_or_else(|| self.new_stack(node))
    }

    fn new_stack(&mut self, node: StackNode) -> StackId {
        self.profile.stacks.push(node);
        let id = self.profile.stacks.len() as u32 - 1;
        self.stacks.insert(node, id);
        id
    }

    /// Adds a process and returns its index. Its `id` is given here.
    pub fn process(&mut self, mut info: ProcessSeen) -> u32 {
        info.id = self.processes_met;
        self.processes_met += 1;
        if self.profile.processes.len() >= MAX_PROCESSES && self.free_processes.is_empty() {
            self.fold_ended();
        }
        if let Some(index) = self.free_processes.pop() {
            self.profile.processes[index as usize] = info;
            return index;
        }
        self.profile.processes.push(info);
        self.profile.processes.len() as u32 - 1
    }

    /// A process whose program has changed, or has become known.
    pub fn change_process(&mut self, process: u32, change: impl FnOnce(&mut ProcessSeen)) {
        if let Some(info) = self.profile.processes.get_mut(process as usize) {
            change(info);
        }
    }

    /// Adds a thread and returns its index. Its `id` is given here.
    pub fn thread(&mut self, mut info: ThreadInfo) -> u32 {
        info.id = self.threads_met;
        self.threads_met += 1;
        if self.profile.threads.len() >= MAX_THREADS && self.free_threads.is_empty() {
            self.fold_ended();
        }
        if let Some(index) = self.free_threads.pop() {
            self.profile.threads[index as usize] = info;
            return index;
        }
        self.profile.threads.push(info);
        self.last.push(None);
        self.profile.threads.len() as u32 - 1
    }

    /// A thread that is known by another name now.
    pub fn rename(&mut self, thread: u32, name: &str) {
        if let Some(info) = self.profile.threads.get_mut(thread as usize).filter(|info| info.name != name) {
            name.clone_into(&mut info.name);
        }
    }

    /// A thread that has ended; it gets no more samples.
    pub fn end_thread(&mut self, thread: u32) {
        if let Some(info) = self.profile.threads.get_mut(thread as usize) {
            info.ended = true;
        }
    }

    /// What a look at a thread saw, which stands for `wall_ns`, whether it counts or not.
    pub fn saw(&mut self, thread: u32, last: LastLook, wall_ns: u64) {
        if let Some(info) = self.profile.threads.get_mut(thread as usize) {
            info.last = last;
            info.gil.saw(last.state, wall_ns);
        }
    }

    /// Adds a sample.
    pub fn sample(&mut self, seen: &Sighting) -> SampleId {
        let (thread, stack) = (seen.thread, seen.stack);
        self.profile.entries.entry((thread, stack)).or_default().add(seen.weights());
        let timeline = self.timeline.then(|| self.in_order(seen)).flatten();
        SampleId { thread, stack, timeline }
    }

    /// Adds `looks` samples at once, which stand for `wall_ns` together. They are not in the ordered record.
    pub fn rest(&mut self, thread: u32, stack: StackId, state: State, looks: u64, wall_ns: u64) {
        let one = Sighting { thread, stack, time_ns: 0, wall_ns, state }.weights();
        self.profile.entries.entry((thread, stack)).or_default().add(Weights { samples: looks, ..one });
    }

    /// Adds CPU time to a sample.
    pub fn add_cpu(&mut self, sample: SampleId, cpu_ns: u64) {
        self.profile.entries.entry((sample.thread, sample.stack)).or_default().cpu_ns += cpu_ns;
        if let Some(entry) = sample.timeline.and_then(|index| self.profile.timeline.get_mut(index as usize)) {
            entry.weights.cpu_ns += cpu_ns;
        }
    }

    /// The profile so far, without the threads for which `keep` is false.
    #[must_use]
    pub fn so_far(&self, keep: impl Fn(&ThreadInfo) -> bool) -> Profile {
        without(self.profile.clone(), keep)
    }

    /// The finished profile, without the threads for which `keep` is false.
    #[must_use]
    pub fn finish(self, keep: impl Fn(&ThreadInfo) -> bool) -> Profile {
        without(self.profile, keep)
    }

    fn in_order(&mut self, seen: &Sighting) -> Option<u32> {
        let start = seen.time_ns.saturating_sub(seen.wall_ns);
        let timeline = &mut self.profile.timeline;
        if let Some(index) = self.last[seen.thread as usize] {
            let entry = &mut timeline[index as usize];
            // Microseconds of rounding are no gap.
            let joins = entry.stack == seen.stack && entry.time_ns + entry.weights.wall_ns + 1000 >= start;
            if joins {
                entry.weights.add(seen.weights());
                return Some(index);
            }
        }
        if timeline.len() >= MAX_TIMELINE {
            self.profile.timeline_complete = false;
            return None;
        }
        let (thread, stack) = (seen.thread, seen.stack);
        timeline.push(TimelineEntry { time_ns: start, thread, stack, weights: seen.weights() });
        let index = timeline.len() as u32 - 1;
        self.last[thread as usize] = Some(index);
        Some(index)
    }

    /// Adds up all threads that have ended in one, so that a program that starts thread after thread, or process
    /// after process, does not make the profile grow for ever. Their places are free then.
    fn fold_ended(&mut self) {
        let into = self.ended_thread();
        let home = self.profile.threads[into as usize].process;
        let gone: Vec<bool> =
            self.profile.threads.iter().map(|info| info.ended && info.process != home).collect();
        let place = |thread: u32| if gone[thread as usize] { into } else { thread };
        let mut entries: FxHashMap<(u32, StackId), Weights> = FxHashMap::default();
        for ((thread, stack), weights) in self.profile.entries.drain() {
            entries.entry((place(thread), stack)).or_default().add(weights);
        }
        self.profile.entries = entries;
        for entry in &mut self.profile.timeline {
            entry.thread = place(entry.thread);
        }
        let mut gil = GilTimes::default();
        for (index, info) in self.profile.threads.iter_mut().enumerate().filter(|(index, _)| gone[*index]) {
            gil.add(std::mem::take(&mut info.gil));
            info.process = home;
            info.name.clear();
            self.last[index] = None;
            if !self.free_threads.contains(&(index as u32)) {
                self.free_threads.push(index as u32);
            }
        }
        self.profile.threads[into as usize].gil.add(gil);
        let mut used = vec![false; self.profile.processes.len()];
        self.profile.threads.iter().for_each(|info| used[info.process as usize] = true);
        for (index, info) in self.profile.processes.iter_mut().enumerate() {
            let free = info.ended && !used[index];
            if free && !self.free_processes.contains(&(index as u32)) {
                self.free_processes.push(index as u32);
                info.command.clear();
            }
        }
    }

    fn ended_thread(&mut self) -> u32 {
        if let Some(index) = self.ended_thread {
            return index;
        }
        let process = self.profile.processes.len() as u32;
        self.profile.processes.push(ProcessSeen {
            id: self.processes_met,
            pid: 0,
            ppid: 0,
            python_version: None,
            command: vec![ENDED.to_owned()],
            ended: true,
        });
        self.processes_met += 1;
        let index = self.profile.threads.len() as u32;
        self.profile.threads.push(ThreadInfo {
            id: self.threads_met,
            process,
            name: ENDED.to_owned(),
            ended: true,
            ..ThreadInfo::default()
        });
        self.threads_met += 1;
        self.last.push(None);
        self.ended_thread = Some(index);
        index
    }
}

fn without(mut profile: Profile, keep: impl Fn(&ThreadInfo) -> bool) -> Profile {
    let kept: Vec<bool> = profile.threads.iter().map(keep).collect();
    profile.entries.retain(|(thread, _), _| kept[*thread as usize]);
    profile.timeline.retain(|entry| kept[entry.thread as usize]);
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(thread: u32, stack: StackId, time_ms: u64) -> Sighting {
        let (time_ns, wall_ns) = (time_ms * 1_000_000, 1_000_000);
        Sighting { thread, stack, time_ns, wall_ns, state: State::default().with(ON_CPU, true) }
    }

    fn process(pid: i32) -> ProcessSeen {
        ProcessSeen { id: 0, pid, ppid: 1, python_version: None, command: Vec::new(), ended: false }
    }

    fn thread(process: u32, name: &str) -> ThreadInfo {
        ThreadInfo { process, pid: 1, name: name.to_owned(), ..ThreadInfo::default() }
    }

    fn builder_with_thread() -> (ProfileBuilder, u32) {
        let mut builder = ProfileBuilder::new(true);
        let process = builder.process(process(1));
        let thread = builder.thread(thread(process, "MainThread"));
        (builder, thread)
    }

    #[test]
    fn equal_stacks_share_a_node_and_their_weights_add_up() {
        let (mut builder, thread) = builder_with_thread();
        let frame = builder.missing_frame();
        let stack = builder.stack(EMPTY_STACK, frame);
        assert_eq!(builder.stack(EMPTY_STACK, frame), stack);
        let first = builder.sample(&seen(thread, stack, 1));
        builder.sample(&Sighting { state: State::default().with(HOLDS_GIL, true), ..seen(thread, stack, 2) });
        builder.add_cpu(first, 500);
        let profile = builder.finish(|_| true);
        let sum = Weights {
            samples: 2,
            wall_ns: 2_000_000,
            running_ns: 1_000_000,
            gil_ns: 1_000_000,
            cpu_ns: 500,
            waits: 0,
        };
        assert_eq!(profile.entries[&(thread, stack)], sum);
        assert_eq!(profile.timeline, [TimelineEntry { time_ns: 0, thread, stack, weights: sum }]);
    }

    #[test]
    fn the_timeline_keeps_order_and_gaps() {
        let (mut builder, thread) = builder_with_thread();
        let frame = builder.missing_frame();
        let one = builder.stack(EMPTY_STACK, frame);
        let two = builder.stack(one, frame);
        for (stack, time) in [(one, 1), (two, 2), (one, 3), (one, 9)] {
            builder.sample(&seen(thread, stack, time));
        }
        let profile = builder.finish(|_| true);
        let order: Vec<_> =
            profile.timeline.iter().map(|entry| (entry.time_ns / 1_000_000, entry.stack)).collect();
        assert_eq!(order, [(0, one), (1, two), (2, one), (8, one)]);
    }

    #[test]
    fn dropped_threads_leave_nothing_behind() {
        let (mut builder, first) = builder_with_thread();
        let other = builder.thread(thread(0, "worker"));
        builder.sample(&seen(first, EMPTY_STACK, 1));
        builder.sample(&seen(other, EMPTY_STACK, 1));
        let profile = builder.finish(|info| info.name == "worker");
        assert_eq!(profile.entries.keys().map(|(thread, _)| *thread).collect::<Vec<_>>(), [other]);
        assert!(profile.timeline.iter().all(|entry| entry.thread == other));
    }

    #[test]
    fn threads_and_processes_without_end_are_added_up() {
        let (mut builder, first) = builder_with_thread();
        builder.sample(&seen(first, EMPTY_STACK, 1));
        let rounds = 3 * MAX_THREADS;
        for round in 0..rounds {
            let process = builder.process(process(round as i32 + 2));
            let worker = builder.thread(thread(process, "worker"));
            builder.sample(&seen(worker, EMPTY_STACK, 1));
            builder.end_thread(worker);
            builder.change_process(process, |info| info.ended = true);
        }
        let last = builder.profile().threads.iter().map(|info| info.id).max();
        assert!(last >= Some(rounds as u32), "ids are never used again: {last:?}");
        let profile = builder.finish(|_| true);
        assert!(profile.threads.len() <= MAX_THREADS + 1, "{}", profile.threads.len());
        assert!(profile.processes.len() <= MAX_PROCESSES + 1, "{}", profile.processes.len());
        let samples: u64 = profile.entries.values().map(|weights| weights.samples).sum();
        assert_eq!(samples, rounds as u64 + 1);
        assert_eq!(profile.entries[&(first, EMPTY_STACK)].samples, 1);
    }
}
