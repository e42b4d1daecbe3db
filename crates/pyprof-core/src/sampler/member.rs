//! One process under the sampler: its threads, and how what a look brings becomes samples.

use std::io;

use rustc_hash::FxHashMap;

use super::engine::{Interrupt, Place, Probe, Seen};
use super::frames::Frames;
use super::others::Others;
use super::sink::Sink;
use super::thread::{Moment, SampledThread};
use super::{Options, Stats};
use crate::attach::Attached;
use crate::process::threads;
use crate::profile::{GilTimes, LastLook, StackId, ThreadInfo};
use crate::python::frame::RawFrame;
use crate::python::reader::ThreadLook;
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::{Header, Outcome};

/// How often the threads' names are read again, in ns: a name is often given after the start.
const NAMES_EVERY: u64 = 1_000_000_000;

/// A process that is being sampled.
#[derive(Debug)]
pub struct Member {
    process: Attached,
    /// What sees more than looks do
    probe: Option<Box<dyn Probe>>,
    /// Index in the profile
    index: u32,
    frames: Frames,
    /// By the address of the thread state
    threads: FxHashMap<u64, SampledThread>,
    /// From the kernel's thread id to the thread state
    states: FxHashMap<i32, u64>,
    /// Threads without a Python state
    others: Others,
    names: FxHashMap<u64, String>,
    names_at: u64,
    looks: Vec<Look>,
    interrupts: Vec<Interrupt>,
    /// Lost interrupts and unmerged stacks that are in the statistics
    counted: (u64, u64),
    /// When it was last looked at, on the session's clock
    before: u64,
}

/// A thread as the last look saw it, free of the reader.
#[derive(Debug)]
struct Look {
    address: u64,
    interpreter: usize,
    header: Header,
    outcome: Outcome,
    holds_gil: bool,
    stack: Vec<RawFrame>,
}

impl Member {
    /// A process that has just been attached to, `index` in the profile; `now` on the session's clock.
    #[must_use]
    pub fn new(process: Attached, probe: Option<Box<dyn Probe>>, index: u32, now: u64) -> Self {
        Self {
            process,
            probe,
            index,
            frames: Frames::default(),
            threads: FxHashMap::default(),
            states: FxHashMap::default(),
            others: Others::default(),
            names: FxHashMap::default(),
            names_at: 0,
            looks: Vec::new(),
            interrupts: Vec::new(),
            counted: (0, 0),
            before: now,
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
        self.interrupts.clear();
        if let Some(probe) = &mut self.probe {
            probe.interrupts(&self.process, &mut self.interrupts);
            let (lost, unmerged) = (probe.lost(), probe.unmerged());
            stats.lost_interrupts += lost - self.counted.0;
            stats.unmerged += unmerged - self.counted.1;
            self.counted = (lost, unmerged);
        }
        self.look(stats)?;
        let looks = std::mem::take(&mut self.looks);
        if looks.len() != self.threads.len() || looks.iter().any(|look| !self.knows(look)) {
            self.meet(&looks, now, sink);
        } else if now >= self.names_at + NAMES_EVERY {
            self.refresh_names(now, sink);
            self.find_others(options, now, sink);
        }
        for interrupt in std::mem::take(&mut self.interrupts) {
            let time = interrupt.time_ns.saturating_sub(start).min(now);
            self.add_interrupt(&interrupt, &looks, time, options, sink, stats);
        }
        for look in &looks {
            self.add(look, moment, options, sink, stats);
        }
        self.looks = looks;
        self.add_others(moment, options, sink, stats);
        Ok(())
    }

    /// No more samples: its threads' last CPU time, and their end.
    pub fn close(mut self, now: u64, sink: &mut Sink) {
        for thread in self.threads.values_mut() {
            thread.settle(sink);
            sink.end_thread(thread.index(), now);
        }
        self.others.close(now, sink);
    }

    /// The session ends, the process does not.
    pub fn settle(&mut self, sink: &mut Sink) {
        self.threads.values_mut().for_each(|thread| thread.settle(sink));
        self.others.settle(sink);
    }

    /// One look at the process; its result is in `self.looks`.
    fn look(&mut self, stats: &mut Stats) -> io::Result<()> {
        let threads = &mut self.threads;
        for thread in threads.values_mut() {
            let covered = self.probe.as_ref().is_some_and(|probe| probe.covers(thread.tid()));
            thread.ask_whether_it_ran(covered);
        }
        let skipped = |address| threads.get(&address).is_some_and(SampledThread::needs_no_look);
        let reads = self.process.reader.main_reads();
        self.process.reader.look(skipped)?;
        stats.extra_reads += (self.process.reader.main_reads() - reads).saturating_sub(1);
        // A program that has replaced itself can have an interpreter in the very same place.
        if !self.process.handle.has_same_memory() {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        self.looks.clear();
        // A thread state without an id has not been bound to a thread yet.
        let bound = self.process.reader.threads().filter(|look| look.header.python_id != 0);
        self.looks.extend(bound.map(|look: ThreadLook<'_>| Look {
            address: look.address,
            interpreter: look.interpreter,
            header: look.header,
            outcome: look.outcome,
            holds_gil: look.holds_gil,
            stack: if skipped(look.address) { Vec::new() } else { look.stack.to_vec() },
        }));
        Ok(())
    }

    fn knows(&self, look: &Look) -> bool {
        self.threads.get(&look.address).is_some_and(|thread| thread.is(look.header))
    }

    /// New threads, and threads that are gone.
    fn meet(&mut self, looks: &[Look], now: u64, sink: &mut Sink) {
        self.threads.retain(|address, thread| {
            let stays = looks.iter().any(|look| look.address == *address && thread.is(look.header));
            if !stays {
                thread.settle(sink);
                sink.end_thread(thread.index(), now);
            }
            stays
        });
        let pid = self.process.handle.pid();
        self.names = self.process.thread_names();
        for look in looks {
            if self.threads.contains_key(&look.address) {
                continue;
            }
            let tid = self.process.tid(look.header);
            let python_id = look.header.python_id;
            let name =
                self.names.get(&python_id).cloned().or_else(|| threads::name(pid, tid)).unwrap_or_default();
            let (process, last) = (self.index, LastLook::default());
            let info = ThreadInfo {
                id: 0,
                process,
                pid,
                tid,
                python_id,
                name,
                ended: false,
                last,
                gil: GilTimes::default(),
            };
            let index = sink.thread(info, now);
            self.threads.insert(look.address, SampledThread::new(pid, tid, look.header, index));
        }
        self.states = self.threads.iter().map(|(state, thread)| (thread.tid(), *state)).collect();
        self.others.leave(&self.states, now, sink);
        if let Some(probe) = &mut self.probe {
            probe.threads_changed(&mut self.process);
        }
    }

    fn refresh_names(&mut self, now: u64, sink: &mut Sink) {
        self.names_at = now;
        self.names = self.process.thread_names();
        for thread in self.threads.values() {
            if let Some(name) = self.names.get(&thread.python_id()) {
                sink.rename(thread.index(), name);
            }
        }
    }

    fn add(&mut self, look: &Look, moment: Moment, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        let Some(thread) = self.threads.get_mut(&look.address) else { return };
        if thread.counts_by_interrupts() {
            return thread.account(sink);
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
        let running = thread.is_running_now();
        let seen = Seen { tid, state: look.address, rests: thread.was_blocked() };
        let stack = match (stack, rested) {
            (None, _) => None,
            (_, Some(stack)) => Some(stack),
            (Some(cut), None) => {
                // What cannot be read is named so; that the process is gone shows in the next look.
                let _ = self.process.learn_codes(look.interpreter, &look.stack);
                let places = match &mut self.probe {
                    Some(probe) if !cut => probe.extend(&self.process, seen, &look.stack),
                    _ => None,
                };
                // What was read of a thread that ran meanwhile is of another moment.
                let thread = self.threads.get(&look.address);
                let rests = thread.is_some_and(SampledThread::still_rests);
                let places = places.filter(|_| !seen.rests || rests);
                let id = match (places, &self.probe) {
                    (Some(places), Some(probe)) => {
                        let other = |number| probe.other(number);
                        let frames = (look.stack.as_slice(), places.as_slice());
                        self.frames.mixed_stack(frames, &self.process.codes, other, sink)
                    }
                    _ => self.frames.stack(&look.stack, cut, &self.process.codes, sink),
                };
                Some((id, cut))
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

    fn add_interrupt(
        &mut self,
        interrupt: &Interrupt,
        looks: &[Look],
        time: u64,
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
    ) {
        let Some(probe) = self.probe.as_ref().filter(|probe| probe.covers(interrupt.tid)) else { return };
        let state =
            if interrupt.state == 0 { self.states.get(&interrupt.tid) } else { Some(&interrupt.state) };
        let look = state.and_then(|state| looks.iter().find(|look| look.address == *state));
        let _ = self.process.learn_codes(look.map_or(0, |look| look.interpreter), &interrupt.python);
        let frames = (interrupt.python.as_slice(), interrupt.places.as_slice());
        let other = |number| probe.other(number);
        let stack = self.frames.mixed_stack(frames, &self.process.codes, other, sink);
        let cut = interrupt.places.contains(&Place::Missing);
        let stack = (!interrupt.places.is_empty()).then_some((stack, cut));
        let known = state.and_then(|state| self.threads.get_mut(state));
        let known = known.filter(|thread| thread.tid() == interrupt.tid);
        let thread = match known {
            Some(thread) => thread,
            None if interrupt.state != 0 || probe.shows_all_threads() => {
                self.others.thread(self.process.handle.pid(), interrupt.tid, self.index, time, sink)
            }
            None => return,
        };
        let moment = Moment { time, wall: interrupt.cpu_ns };
        thread.add_interrupt(stack, interrupt.holds_gil, moment, options, sink, stats);
    }

    /// Threads without a Python state that only wait are found now and then.
    fn find_others(&mut self, options: &Options, now: u64, sink: &mut Sink) {
        let wanted = options.idle && self.probe.as_ref().is_some_and(|probe| probe.shows_all_threads());
        let pid = self.process.handle.pid();
        if wanted && let Ok(tids) = threads::list(pid) {
            for tid in tids.into_iter().filter(|tid| !self.states.contains_key(tid)) {
                self.others.thread(pid, tid, self.index, now, sink);
            }
        }
    }

    /// Threads without a Python state that wait.
    fn add_others(&mut self, moment: Moment, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        let Some(probe) = self.probe.as_mut().filter(|_| options.idle) else {
            return self.others.account(moment.time, sink);
        };
        let (process, codes, frames) = (&self.process, &self.process.codes, &mut self.frames);
        self.others.add(moment, options, sink, stats, |tid, sink: &mut Sink| -> Option<StackId> {
            let places = probe.extend(process, Seen { tid, state: 0, rests: true }, &[])?;
            Some(frames.mixed_stack((&[], &places), codes, |number| probe.other(number), sink))
        });
    }
}
