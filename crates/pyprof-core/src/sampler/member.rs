//! One process under the sampler: its threads, and how what a look brings becomes samples.

mod census;
mod interrupts;
mod look;
mod names;
mod waits;

use std::collections::VecDeque;
use std::io;

use look::Look;
use names::{Base, Certain};
use rustc_hash::FxHashMap;

use super::engine::{Interrupt, Place, Probe, Seen};
use super::frames::Frames;
use super::offcpu::OffCpu;
use super::others::Others;
use super::resting::{Resting, Threads, count_one_by_one};
use super::sink::Sink;
use super::thread::{Moment, Named};
use super::{Options, Stats};
use crate::attach::Attached;
use crate::process::thread_clock::ProcessClock;
use crate::profile::{EMPTY_STACK, StackId, State};
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::Outcome;

/// A process that is being sampled.
#[derive(Debug)]
pub struct Member {
    process: Attached,
    /// What sees more than looks do
    probe: Option<Box<dyn Probe>>,
    /// Index in the profile
    index: u32,
    frames: Frames,
    threads: Threads,
    resting: Resting,
    /// Thread states of the others
    awake: Vec<u64>,
    /// Which of the reader's lists of threads is known
    listing: u64,
    /// From the kernel's thread id to the thread state
    states: FxHashMap<i32, u64>,
    /// Threads without a Python state
    others: Others,
    names: FxHashMap<u64, String>,
    /// When they are to be read again, on the session's clock
    names_due: u64,
    looks: Vec<Look>,
    interrupts: Vec<Interrupt>,
    /// Interrupts whose frames are not all named yet, and those behind them
    unnamed: VecDeque<Unnamed>,
    /// Time off the CPU, when that is asked for and the engine tells of switches
    offcpu: Option<OffCpu<Unnamed>>,
    /// Lost interrupts and unmerged stacks that are in the statistics
    counted: (u64, u64),
    /// When it was last looked at, on the session's clock
    before: u64,
    clock: Option<ProcessClock>,
    /// When it was last certain that it runs the same program
    memory_at: u64,
}

/// A sample that waits for the names of its native frames: an interrupt, a wait, or a look at a blocked thread.
#[derive(Debug, Clone)]
struct Unnamed {
    /// Index of its thread in the profile
    thread: u32,
    tid: i32,
    state: u64,
    moment: Moment,
    did: State,
    python: Vec<Option<u32>>,
    places: Vec<Place>,
}

impl Member {
    /// A process that has just been attached to, `index` in the profile; `now` on the session's clock.
    #[must_use]
    pub fn new(process: Attached, probe: Option<Box<dyn Probe>>, index: u32, now: u64) -> Self {
        let offcpu = probe.as_ref().filter(|probe| probe.counts_waits()).map(|_| OffCpu::default());
        Self {
            clock: ProcessClock::open(process.handle.pid()).ok(),
            process,
            probe,
            index,
            frames: Frames::default(),
            threads: Threads::default(),
            resting: Resting::default(),
            awake: Vec::new(),
            listing: 0,
            states: FxHashMap::default(),
            others: Others::default(),
            names: FxHashMap::default(),
            names_due: 0,
            looks: Vec::new(),
            interrupts: Vec::new(),
            unnamed: VecDeque::new(),
            offcpu,
            counted: (0, 0),
            before: now,
            memory_at: 0,
        }
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Attached {
        &self.process
    }

    /// How many threads the last look saw.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// One sample of every thread, at `now` on the session's clock, which started at `start` on `CLOCK_MONOTONIC`.
    pub fn sample(
        &mut self,
        (now, start): (u64, u64),
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
    ) -> io::Result<()> {
        let moment = Moment { time: now, wall: now - self.before };
        self.before = now;
        // Before the look, so that their code objects are named by what is known after them.
        self.gather(stats);
        self.look(now, options, sink, stats)?;
        let looks = std::mem::take(&mut self.looks);
        if self.listing != self.process.reader.listing() || looks.iter().any(|look| !self.knows(look)) {
            self.meet(now, options, sink);
        } else if now >= self.names_due {
            self.refresh_names(now, sink);
            self.find_others(options, now, sink);
        }
        self.take_all((now, start), options, sink, stats);
        for look in &looks {
            self.add(look, moment, options, sink, stats);
        }
        self.looks = looks;
        let one_by_one = count_one_by_one(options, sink);
        if one_by_one {
            for state in self.resting.states() {
                if let Some(thread) = self.threads.get_mut(state) {
                    thread.add_resting(moment, options, sink, stats);
                }
            }
        }
        self.resting.pass(moment.wall, one_by_one, stats);
        self.add_others(moment, options, sink, stats);
        Ok(())
    }

    /// No more samples: its threads' last CPU time, and their end.
    pub fn close(mut self, (now, start): (u64, u64), options: &Options, sink: &mut Sink, stats: &mut Stats) {
        self.end_waits((now, start), sink, stats);
        self.name_the_rest(options, sink, stats);
        self.add_rests(options, sink);
        for thread in self.threads.values_mut() {
            thread.settle(sink);
            sink.end_thread(thread.index(), now);
        }
        self.others.close(now, sink);
    }

    /// The session ends, the process does not.
    pub fn settle(
        &mut self,
        (now, start): (u64, u64),
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
    ) {
        self.end_waits((now, start), sink, stats);
        self.name_the_rest(options, sink, stats);
        self.add_rests(options, sink);
        self.threads.values_mut().for_each(|thread| thread.settle(sink));
        self.others.settle(sink);
    }

    /// Adds what threads that rest have not been given yet: before somebody reads the profile.
    pub fn add_rests(&mut self, options: &Options, sink: &mut Sink) {
        self.resting.add_all(&mut self.threads, options, sink);
    }

    fn add(&mut self, look: &Look, moment: Moment, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        // What rests is added up by itself, even if it was read all the same.
        let thread = self.threads.get_mut(&look.address).filter(|thread| !thread.is_at_rest());
        let Some(thread) = thread else { return };
        if thread.counts_by_interrupts() {
            return thread.account(sink);
        }
        if self.offcpu.is_some() && self.probe.as_ref().is_some_and(|probe| probe.covers(thread.tid())) {
            return self.find_wait(look, sink);
        }
        let stack = match look.outcome {
            Outcome::NoFrames => None,
            Outcome::Stack(Verdict::Whole) => Some(false),
            Outcome::Stack(Verdict::Cut) => Some(true),
            Outcome::Stack(Verdict::Lost) | Outcome::Again | Outcome::Gone => {
                stats.failed += 1;
                return;
            }
        };
        let tid = thread.tid();
        let rested = thread.resting_stack();
        // A stack that was cut is looked at again, whether the thread moves or not.
        let running = thread.is_running_now(look.moved, stack != Some(true));
        let seen = Seen { tid, state: look.address, rests: thread.was_blocked() };
        let stack = match (stack, rested) {
            (None, _) => None,
            (_, Some(stack)) => Some(stack),
            (Some(cut), None) => {
                let Some(Certain { stack, cut, places, base }) = self.name(look, seen, cut) else {
                    stats.failed += 1;
                    if let Some(thread) = self.threads.get_mut(&look.address) {
                        thread.look_again();
                    }
                    return;
                };
                let codes = &self.process.codes;
                match (places, &self.probe) {
                    (Some(places), Some(probe)) if self.frames.are_known(&places, &**probe, sink) => {
                        let python = self.frames.python(stack, codes, sink);
                        Some((self.frames.mixed_stack(&python, &places, sink), cut))
                    }
                    (Some(places), Some(_)) => {
                        // It is added once its frames are named. The next look has to see it again.
                        let python = self.frames.python(stack, codes, sink);
                        let Some(thread) = self.threads.get_mut(&look.address) else { return };
                        thread.look_again();
                        thread.account(sink);
                        let doing = thread.doing();
                        let did = self.process.state(look.interpreter, look.header, look.holds_gil, doing);
                        self.unnamed.push_back(Unnamed {
                            thread: thread.index(),
                            tid,
                            state: look.address,
                            moment,
                            did,
                            python,
                            places,
                        });
                        return;
                    }
                    (Some(_), None) => None,
                    (None, _) => {
                        let (lower, above) = stack.split_at(base.len());
                        let below = match base {
                            Base::None => EMPTY_STACK,
                            Base::Named(named) => named.stack,
                            Base::New(base, epoch) => {
                                let stack = self.frames.stack(EMPTY_STACK, lower, codes, sink);
                                if let Some(thread) = self.threads.get_mut(&look.address) {
                                    thread.set_named(Named { base, epoch, stack });
                                }
                                stack
                            }
                        };
                        let id = self.frames.stack(below, above, codes, sink);
                        Some((if cut { Frames::missing(id, sink) } else { id }, cut))
                    }
                }
            }
        };
        let Some(thread) = self.threads.get_mut(&look.address) else { return };
        // It may have gone on running meanwhile: then its interrupts count, not this look.
        let covered = running && self.probe.as_ref().is_some_and(|probe| probe.covers(tid));
        if covered {
            return thread.account(sink);
        }
        let state = self.process.state(look.interpreter, look.header, look.holds_gil, thread.doing());
        thread.add(stack, state, moment, options, sink, stats);
    }

    /// Threads without a Python state that wait.
    fn add_others(&mut self, moment: Moment, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        if self.offcpu.is_some() {
            self.find_waits_of_others(moment.time, sink);
            return self.others.account(moment.time, sink);
        }
        let Some(probe) = self.probe.as_mut().filter(|_| options.idle) else {
            return self.others.account(moment.time, sink);
        };
        let (process, frames) = (&self.process, &mut self.frames);
        self.others.add(moment, options, sink, stats, |tid, sink: &mut Sink| -> Option<StackId> {
            let places = probe.extend(process, Seen { tid, state: 0, rests: true }, &[])?;
            let known = frames.are_known(&places, &**probe, sink);
            known.then(|| frames.mixed_stack(&[], &places, sink))
        });
    }
}
