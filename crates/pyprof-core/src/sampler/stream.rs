//! The stream of samples and events: a bounded queue between the sampling thread, which never waits, and a consumer
//! who takes what there is when it suits him.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::EndReason;
use crate::profile::{Frame, ProcessSeen, Profile, StackId, StackNode, ThreadInfo};

/// The kernel's account of CPU time is up to a tick late (10 ms at 100 Hz): a sample waits this long for its share.
const SETTLES_AFTER: u64 = 12_000_000;
/// The consumer is told no more often than this, in ns.
const PUBLISH_EVERY: u64 = 20_000_000;
/// ... but when this many samples have come.
const PUBLISH_AT: usize = 1024;

/// One sample of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSample {
    /// ns since the session's start
    pub time_ns: u64,
    /// [`ThreadInfo::id`]
    pub thread: u32,
    /// Index of its stack
    pub stack: StackId,
    /// The time it stands for, in ns
    pub wall_ns: u64,
    /// CPU time in ns
    pub cpu_ns: u64,
    /// Those of [`crate::profile::state`]
    pub flags: u32,
    /// Index of the name of the system call that the thread was blocked in, plus 1; 0 for none
    pub syscall: u32,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A process was found; its pid, parent and command are in the tables
    ProcessStart,
    /// A process replaced its program
    ProcessExec,
    /// A process ended
    ProcessExit,
    /// A thread with a Python state was found
    ThreadStart,
    /// A thread lost its Python state, or ended
    ThreadEnd,
}

/// Something that happened between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEvent {
    /// What
    pub kind: EventKind,
    /// How many of the batch's samples came before it
    pub before: u32,
    /// ns since the session's start
    pub time_ns: u64,
    /// [`ProcessSeen::id`] or [`ThreadInfo::id`]
    pub id: u32,
}

/// What came since the last one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// New strings; their indices go on from those of the last batch
    pub strings: Vec<String>,
    /// New frames, likewise
    pub frames: Vec<Frame>,
    /// New stacks, likewise; the first batch begins with the empty stack
    pub stacks: Vec<StackNode>,
    /// Threads that are new or have another name now; `process` is [`ProcessSeen::id`] here
    pub threads: Vec<ThreadInfo>,
    /// Processes that are new, or have become known or changed
    pub processes: Vec<ProcessSeen>,
    /// In order of time
    pub samples: Vec<StreamSample>,
    /// In order of time
    pub events: Vec<StreamEvent>,
    /// Samples that were dropped before the first of these because nobody took them
    pub lost: u64,
    /// Why the session has ended: nothing will come any more
    pub ended: Option<EndReason>,
}

#[derive(Debug, Clone, Copy)]
enum Item {
    Sample(StreamSample),
    Event(EventKind, u64, u32),
}

#[derive(Debug, Default)]
struct Queue {
    capacity: usize,
    items: VecDeque<Item>,
    /// Tables, and what else does not count by items
    batch: Batch,
    /// Told the consumer, who has not come yet
    woken: bool,
    lost: u64,
}

/// Tells the consumer that there is something to take. Called on the sampling thread, seldom.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// The consumer's end.
#[derive(Clone, Default)]
pub struct Outlet(Arc<Mutex<Queue>>);

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

impl Outlet {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything there is. Never waits.
    #[must_use]
    pub fn drain(&self) -> Batch {
        let (items, mut batch) = {
            let mut queue = self.lock();
            queue.woken = false;
            let ended = queue.batch.ended;
            let batch = std::mem::take(&mut queue.batch);
            queue.batch.ended = ended;
            (std::mem::take(&mut queue.items), batch)
        };
        for item in items {
            match item {
                Item::Sample(sample) => batch.samples.push(sample),
                Item::Event(kind, time_ns, id) => {
                    let before = batch.samples.len() as u32;
                    batch.events.push(StreamEvent { kind, before, time_ns, id });
                }
            }
        }
        batch
    }
}

/// The sampling thread's end.
pub struct Stream {
    outlet: Outlet,
    wake: Option<Wake>,
    /// Not published yet: their CPU time may still come
    fresh: VecDeque<Item>,
    /// Number of the first of `fresh`
    first: u64,
    /// How much of the tables has been published
    strings: usize,
    frames: usize,
    stacks: usize,
    threads: Vec<ThreadInfo>,
    processes: Vec<ProcessSeen>,
    published_at: u64,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("fresh", &self.fresh.len()).finish_non_exhaustive()
    }
}

impl Stream {
    /// A queue of at most `capacity` samples and events.
    #[must_use]
    pub fn new(capacity: usize, outlet: Outlet, wake: Option<Wake>) -> Self {
        outlet.lock().capacity = capacity.max(1);
        Self {
            outlet,
            wake,
            fresh: VecDeque::new(),
            first: 0,
            strings: 0,
            frames: 0,
            stacks: 0,
            threads: Vec::new(),
            processes: Vec::new(),
            published_at: 0,
        }
    }

    /// Adds a sample; its number is for [`Stream::add_cpu`].
    pub fn sample(&mut self, sample: StreamSample) -> u64 {
        self.fresh.push_back(Item::Sample(sample));
        self.first + self.fresh.len() as u64 - 1
    }

    /// Adds CPU time to a sample; false when it is too late.
    pub fn add_cpu(&mut self, number: u64, cpu_ns: u64) -> bool {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.fresh.get_mut(index)) {
            Some(Item::Sample(sample)) => {
                sample.cpu_ns += cpu_ns;
                true
            }
            _ => false,
        }
    }

    /// Adds an event.
    pub fn event(&mut self, kind: EventKind, time_ns: u64, id: u32) {
        self.fresh.push_back(Item::Event(kind, time_ns, id));
    }

    /// A thread that is new or has changed; `process` is [`ProcessSeen::id`].
    pub fn thread(&mut self, info: ThreadInfo) {
        self.threads.push(info);
    }

    /// A process that is new or has changed.
    pub fn process(&mut self, info: &ProcessSeen) {
        self.processes.push(info.clone());
    }

    /// Hands over what has settled, when it is time to. Returns how many samples have been dropped so far.
    pub fn publish(&mut self, now: u64, profile: &Profile, ended: Option<EndReason>) -> u64 {
        let due = now >= self.published_at + PUBLISH_EVERY || self.fresh.len() >= PUBLISH_AT;
        if ended.is_none() && (!due || self.fresh.is_empty()) {
            return self.outlet.lock().lost;
        }
        self.published_at = now;
        let settled = |item: &Item| {
            let (Item::Sample(StreamSample { time_ns, .. }) | Item::Event(_, time_ns, _)) = item;
            ended.is_some() || time_ns + SETTLES_AFTER <= now
        };
        let count = self.fresh.iter().take_while(|item| settled(item)).count();
        self.first += count as u64;
        let mut queue = self.outlet.lock();
        let batch = &mut queue.batch;
        batch.strings.extend_from_slice(&profile.strings[self.strings..]);
        batch.frames.extend_from_slice(&profile.frames[self.frames..]);
        batch.stacks.extend_from_slice(&profile.stacks[self.stacks..]);
        (self.strings, self.frames, self.stacks) =
            (profile.strings.len(), profile.frames.len(), profile.stacks.len());
        append_newer(&mut batch.threads, &mut self.threads, |info| info.id);
        append_newer(&mut batch.processes, &mut self.processes, |info| info.id);
        batch.ended = ended;
        queue.items.extend(self.fresh.drain(..count));
        while queue.items.len() > queue.capacity {
            if let Some(Item::Sample(_)) = queue.items.pop_front() {
                queue.batch.lost += 1;
                queue.lost += 1;
            }
        }
        let tell = !queue.woken && (!queue.items.is_empty() || ended.is_some());
        queue.woken |= tell;
        let lost = queue.lost;
        drop(queue);
        if let Some(wake) = self.wake.as_ref().filter(|_| tell) {
            wake();
        }
        lost
    }
}

/// Rows that nobody has taken yet are many only when nobody comes: then only the newest ones are kept, the last of
/// each.
const MAX_ROWS: usize = 1 << 14;

fn append_newer<T>(rows: &mut Vec<T>, more: &mut Vec<T>, id: impl Fn(&T) -> u32) {
    rows.append(more);
    if rows.len() <= MAX_ROWS {
        return;
    }
    let mut met = rustc_hash::FxHashSet::default();
    let mut latest: Vec<T> = Vec::with_capacity(MAX_ROWS / 2);
    for row in rows.drain(..).rev() {
        if latest.len() < MAX_ROWS / 2 && met.insert(id(&row)) {
            latest.push(row);
        }
    }
    latest.reverse();
    *rows = latest;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::profile::ProfileBuilder;

    fn sample(time_ms: u64) -> StreamSample {
        StreamSample {
            time_ns: time_ms * 1_000_000,
            thread: 0,
            stack: 0,
            wall_ns: 1,
            cpu_ns: 0,
            flags: 0,
            syscall: 0,
        }
    }

    fn times(batch: &Batch) -> Vec<u64> {
        batch.samples.iter().map(|sample| sample.time_ns / 1_000_000).collect()
    }

    #[test]
    fn samples_wait_for_their_cpu_time() {
        let outlet = Outlet::default();
        let mut stream = Stream::new(10, outlet.clone(), None);
        let profile = ProfileBuilder::new(false);
        let number = stream.sample(sample(1));
        stream.event(EventKind::ThreadStart, 1_500_000, 7);
        stream.sample(sample(2));
        stream.publish(11_000_000, profile.profile(), None);
        assert!(outlet.drain().samples.is_empty());
        assert!(stream.add_cpu(number, 5));
        stream.publish(30_000_000, profile.profile(), None);
        let batch = outlet.drain();
        assert_eq!(times(&batch), [1, 2]);
        assert_eq!(batch.samples[0].cpu_ns, 5);
        assert_eq!((batch.events[0].before, batch.events[0].id), (1, 7));
        assert!(!stream.add_cpu(number, 5), "it is gone");
        assert_eq!(outlet.drain(), Batch::default());
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let outlet = Outlet::default();
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&wakes);
        let wake: Wake = Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let mut stream = Stream::new(10, outlet.clone(), Some(wake));
        let profile = ProfileBuilder::new(false);
        for time in 0..25 {
            stream.sample(sample(time));
            stream.publish(time * 1_000_000, profile.profile(), None);
        }
        assert_eq!(stream.publish(99_000_000, profile.profile(), Some(EndReason::Exited)), 15);
        assert_eq!(wakes.load(Ordering::Relaxed), 1, "once until somebody comes");
        let batch = outlet.drain();
        assert_eq!((batch.lost, batch.ended), (15, Some(EndReason::Exited)));
        assert_eq!(times(&batch), (15..25).collect::<Vec<_>>());
        assert_eq!(outlet.drain().ended, Some(EndReason::Exited), "it stays ended");
    }

    #[test]
    fn tables_grow_by_what_is_new() {
        let outlet = Outlet::default();
        let mut stream = Stream::new(10, outlet.clone(), None);
        let mut profile = ProfileBuilder::new(false);
        let frame = profile.missing_frame();
        let stack = profile.stack(0, frame);
        stream.sample(StreamSample { stack, ..sample(1) });
        stream.publish(50_000_000, profile.profile(), None);
        let batch = outlet.drain();
        assert_eq!((batch.strings.len(), batch.frames.len(), batch.stacks.len()), (2, 1, 2));
        profile.string("new");
        stream.sample(sample(60));
        stream.publish(99_000_000, profile.profile(), None);
        let batch = outlet.drain();
        assert_eq!((batch.strings, batch.stacks), (vec!["new".to_owned()], vec![]));
    }

    #[test]
    fn rows_nobody_takes_are_bounded() {
        let mut rows: Vec<u32> = Vec::new();
        for start in 0..100 {
            append_newer(&mut rows, &mut (start * 1000..start * 1000 + 1000).collect(), |id| *id);
        }
        assert!(rows.len() <= MAX_ROWS && rows.last() == Some(&99_999) && rows.is_sorted());
    }
}
