//! Puts a [`Profile`] together, one sample at a time.

use rustc_hash::FxHashMap;

use super::{
    EMPTY_STACK, Frame, FrameKind, MISSING_FRAME, Profile, StackId, StackNode, ThreadInfo, TimelineEntry,
    Weights,
};

/// More lines of the ordered record than this are not kept: 48 MiB.
const MAX_TIMELINE: usize = 1 << 20;

/// A sample that was added: where its weights went, so that CPU time known later finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleId {
    thread: u32,
    stack: StackId,
    timeline: Option<u32>,
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
        }
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
        let (name, file) = (self.string(MISSING_FRAME), self.string(""));
        let frame = Frame {
            kind: FrameKind::Missing,
            name,
            file,
            first_line: 0,
            line: 0,
            end_line: 0,
            column: 0,
            end_column: 0,
        };
        let index = self.frame(frame);
        self.missing = Some(index);
        index
    }

    /// The stack of `parent` and one more frame.
    pub fn stack(&mut self, parent: StackId, frame: u32) -> StackId {
        let node = StackNode { parent, frame };
        *self.stacks.entry(node).or_insert_with(|| {
            self.profile.stacks.push(node);
            self.profile.stacks.len() as u32 - 1
        })
    }

    /// Adds a thread and returns its index.
    pub fn thread(&mut self, info: ThreadInfo) -> u32 {
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

    /// Adds a sample of `wall_ns` that ended at `time_ns` (since the profile's start).
    pub fn sample(&mut self, thread: u32, stack: StackId, time_ns: u64, wall_ns: u64) -> SampleId {
        let entry = self.profile.entries.entry((thread, stack)).or_default();
        entry.samples += 1;
        entry.wall_ns += wall_ns;
        let timeline = self.timeline.then(|| self.in_order(thread, stack, time_ns, wall_ns)).flatten();
        SampleId { thread, stack, timeline }
    }

    /// Adds CPU time to a sample.
    pub fn add_cpu(&mut self, sample: SampleId, cpu_ns: u64) {
        self.profile.entries.entry((sample.thread, sample.stack)).or_default().cpu_ns += cpu_ns;
        if let Some(entry) = sample.timeline.and_then(|index| self.profile.timeline.get_mut(index as usize)) {
            entry.weights.cpu_ns += cpu_ns;
        }
    }

    /// The finished profile, without the threads for which `keep` is false.
    #[must_use]
    pub fn finish(mut self, keep: impl Fn(&ThreadInfo) -> bool) -> Profile {
        let kept: Vec<bool> = self.profile.threads.iter().map(keep).collect();
        self.profile.entries.retain(|(thread, _), _| kept[*thread as usize]);
        self.profile.timeline.retain(|entry| kept[entry.thread as usize]);
        self.profile
    }

    fn in_order(&mut self, thread: u32, stack: StackId, time_ns: u64, wall_ns: u64) -> Option<u32> {
        let start = time_ns.saturating_sub(wall_ns);
        let timeline = &mut self.profile.timeline;
        if let Some(index) = self.last[thread as usize] {
            let entry = &mut timeline[index as usize];
            // Microseconds of rounding are no gap.
            let joins = entry.stack == stack && entry.time_ns + entry.weights.wall_ns + 1000 >= start;
            if joins {
                entry.weights.samples += 1;
                entry.weights.wall_ns += wall_ns;
                return Some(index);
            }
        }
        if timeline.len() >= MAX_TIMELINE {
            self.profile.timeline_complete = false;
            return None;
        }
        let weights = Weights { samples: 1, wall_ns, cpu_ns: 0 };
        timeline.push(TimelineEntry { time_ns: start, thread, stack, weights });
        let index = timeline.len() as u32 - 1;
        self.last[thread as usize] = Some(index);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder_with_thread() -> (ProfileBuilder, u32) {
        let mut builder = ProfileBuilder::new(true);
        let thread = builder.thread(ThreadInfo { pid: 1, tid: 1, python_id: 1, name: "MainThread".into() });
        (builder, thread)
    }

    #[test]
    fn equal_stacks_share_a_node_and_their_weights_add_up() {
        let (mut builder, thread) = builder_with_thread();
        let frame = builder.missing_frame();
        let stack = builder.stack(EMPTY_STACK, frame);
        assert_eq!(builder.stack(EMPTY_STACK, frame), stack);
        let first = builder.sample(thread, stack, 1_000_000, 1_000_000);
        builder.sample(thread, stack, 2_000_000, 1_000_000);
        builder.add_cpu(first, 500);
        let profile = builder.finish(|_| true);
        let sum = Weights { samples: 2, wall_ns: 2_000_000, cpu_ns: 500 };
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
            builder.sample(thread, stack, time * 1_000_000, 1_000_000);
        }
        let profile = builder.finish(|_| true);
        let order: Vec<_> =
            profile.timeline.iter().map(|entry| (entry.time_ns / 1_000_000, entry.stack)).collect();
        assert_eq!(order, [(0, one), (1, two), (2, one), (8, one)]);
    }

    #[test]
    fn dropped_threads_leave_nothing_behind() {
        let (mut builder, thread) = builder_with_thread();
        let other = builder.thread(ThreadInfo { pid: 1, tid: 2, python_id: 2, name: "worker".into() });
        builder.sample(thread, EMPTY_STACK, 1, 1);
        builder.sample(other, EMPTY_STACK, 1, 1);
        let profile = builder.finish(|info| info.name == "worker");
        assert_eq!(profile.entries.keys().map(|(thread, _)| *thread).collect::<Vec<_>>(), [other]);
        assert!(profile.timeline.iter().all(|entry| entry.thread == other));
    }
}
