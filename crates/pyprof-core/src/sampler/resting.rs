//! Threads that have not run since an earlier look. Nothing is read of them, and what their looks add up to is added
//! all at once when they run again: a thousand threads that wait cost hardly more than none.

use rustc_hash::FxHashMap;

use super::sink::Sink;
use super::thread::{Count, SampledThread};
use super::{Options, Stats};

/// So many threads at rest are not all asked each time whether they have run...
const MANY: usize = 8;
/// ...but one in so many, in turn...
const TURNS: usize = 64;
/// ...and no more often than this, in ns: the kernel's accounts move at its ticks, every 4 ms or so.
const EVERY: u64 = 3_900_000;

/// Sums over all looks so far; the difference of two of them is what came in between.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Looks
    pub looks: u64,
    /// Time they stand for, in ns
    pub wall_ns: u64,
}

/// The threads of a process that rest.
#[derive(Debug, Default)]
pub struct Resting {
    /// Their thread states
    states: Vec<u64>,
    /// CPU time that they have used, in ns
    cpu_ns: u64,
    sums: Sums,
    /// How many of them count as samples, and how many are left out
    samples: u64,
    left_out: u64,
    /// CPU time in ns of threads of the process that are not sampled
    unaccounted: Option<u64>,
    turn: usize,
    asked_at: u64,
    changed: bool,
}

/// The threads of a process, by the address of their state.
pub type Threads = FxHashMap<u64, SampledThread>;

/// Whether each look at a thread that rests counts by itself, because somebody takes samples one by one or their order
/// is kept: then nothing is added up here.
#[must_use]
pub fn count_one_by_one(options: &Options, sink: &Sink) -> bool {
    options.idle && sink.wants_every_sample()
}

impl Resting {
    /// Their thread states.
    #[must_use]
    pub fn states(&self) -> &[u64] {
        &self.states
    }

    /// Whether others rest than when this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether there are so many of them that not all are asked.
    #[must_use]
    pub fn are_many(&self) -> bool {
        self.states.len() >= MANY
    }

    /// Whether it is time, at `now`, to ask who has run.
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        self.states.len() < MANY || now >= self.asked_at + EVERY
    }

    /// Which of them to ask, when it is time. `others`: CPU time in ns that the process as a whole has used beside its
    /// threads that do not rest; `None`: all are asked. A thread that has begun to run without the GIL can be found some
    /// milliseconds late: when the kernel adds to its account.
    pub fn choose(&mut self, now: u64, others: Option<u64>) -> Vec<u64> {
        self.asked_at = now;
        let Some(others) = others else {
            self.unaccounted = None;
            return self.states.clone();
        };
        // What is left is the time of threads that are not ours: those that have ended, and native ones.
        let rest = Some(others.saturating_sub(self.cpu_ns));
        let same = self.unaccounted == rest;
        self.unaccounted = self.unaccounted.max(rest);
        if !same {
            return self.states.clone();
        }
        self.turn = (self.turn + 1) % TURNS;
        self.states.iter().copied().skip(self.turn).step_by(TURNS).collect()
    }

    /// A thread rests from this look on.
    pub fn enter(&mut self, state: u64, thread: &mut SampledThread, options: &Options) {
        thread.rest_from(Some(self.sums));
        self.cpu_ns += thread.cpu_at_rest();
        self.count(thread, options, 1);
        self.states.push(state);
        self.changed = true;
    }

    /// A thread that rested, with so much CPU time in ns, has run or is gone.
    pub fn leave(
        &mut self,
        state: u64,
        cpu_ns: u64,
        thread: &mut SampledThread,
        options: &Options,
        sink: &mut Sink,
    ) {
        if !count_one_by_one(options, sink) {
            thread.add_rest(self.sums, options, sink);
        }
        if thread.rest_from(None).is_some() {
            self.cpu_ns = self.cpu_ns.saturating_sub(cpu_ns);
            self.count(thread, options, u64::MAX);
            self.states.retain(|other| *other != state);
            self.changed = true;
        }
    }

    /// `by` is added, and wraps.
    fn count(&mut self, thread: &SampledThread, options: &Options, by: u64) {
        match thread.count_at_rest(options) {
            Count::Sample => self.samples = self.samples.wrapping_add(by),
            Count::LeftOut => self.left_out = self.left_out.wrapping_add(by),
            Count::Nothing => {}
        }
    }

    /// A look that stands for `wall_ns` is over; `counted`: the samples are in the statistics already.
    pub fn pass(&mut self, wall_ns: u64, counted: bool, stats: &mut Stats) {
        self.sums.looks += 1;
        self.sums.wall_ns += wall_ns;
        if !counted {
            stats.samples += self.samples;
            stats.idle += self.left_out;
            stats.idle_ns += self.left_out * wall_ns;
        }
    }

    /// Adds what has come together.
    pub fn add_all(&mut self, threads: &mut Threads, options: &Options, sink: &mut Sink) {
        if count_one_by_one(options, sink) {
            return;
        }
        for state in &self.states {
            if let Some(thread) = threads.get_mut(state) {
                thread.add_rest(self.sums, options, sink);
                thread.rest_from(Some(self.sums));
            }
        }
    }
}
