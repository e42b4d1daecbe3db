//! One process under the sampler: its threads, and how what a look brings becomes samples.

mod waits;

use std::collections::VecDeque;
use std::io;

use rustc_hash::FxHashMap;

use super::clock;
use super::engine::{Interrupt, Place, Probe, Seen, What};
use super::frames::Frames;
use super::offcpu::OffCpu;
use super::others::Others;
use super::resting::{Resting, Threads, count_one_by_one};
use super::sink::Sink;
use super::thread::{self, Moment, Named, SampledThread};
use super::{Options, Stats};
use crate::attach::Attached;
use crate::process::thread_clock::ProcessClock;
use crate::process::threads;
use crate::profile::state::{HOLDS_GIL, ON_CPU};
use crate::profile::{EMPTY_STACK, Sighting, StackId, State, ThreadInfo};
use crate::python::frame::RawFrame;
use crate::python::reader::ThreadLook;
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::{Header, Outcome};

/// How often the threads' names are read again, in ns: a name is often given after the start.
const NAMES_EVERY: u64 = 1_000_000_000;
/// Where there are many of them, it may take one in so many parts of the time.
const NAMES_SHARE: u64 = 500;

/// More interrupts than this do not wait for names; the oldest go.
const MAX_UNNAMED: usize = 1 << 16;
/// How often it is asked whether the process has replaced its program, in ns. A new interpreter takes longer to begin.
const MEMORY_EVERY: u64 = 3_000_000;

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

/// A thread as the last look saw it, free of the reader.
#[derive(Debug)]
struct Look {
    address: u64,
    interpreter: usize,
    header: Header,
    outcome: Outcome,
    holds_gil: bool,
    moved: bool,
    base: (u64, usize),
    stack: Vec<RawFrame>,
}

impl Look {
    fn new(look: &ThreadLook<'_>) -> Self {
        Self {
            address: look.address,
            interpreter: look.interpreter,
            header: look.header,
            outcome: look.outcome,
            holds_gil: look.holds_gil,
            moved: look.moved,
            base: look.base,
            stack: Vec::new(),
        }
    }
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
        self.interrupts.clear();
        if let Some(probe) = &mut self.probe {
            probe.interrupts(&self.process, &mut self.interrupts);
            let (lost, unmerged) = (probe.lost(), probe.unmerged());
            stats.lost_interrupts += lost - self.counted.0;
            stats.unmerged += unmerged - self.counted.1;
            self.counted = (lost, unmerged);
        }
        self.look(now, options, sink, stats)?;
        let looks = std::mem::take(&mut self.looks);
        if self.listing != self.process.reader.listing() || looks.iter().any(|look| !self.knows(look)) {
            self.meet(now, options, sink);
        } else if now >= self.names_due {
            self.refresh_names(now, sink);
            self.find_others(options, now, sink);
        }
        for interrupt in std::mem::take(&mut self.interrupts) {
            self.take(interrupt, (now, start), sink, stats);
        }
        self.count_waits((now, start), false, stats);
        self.add_named(options, sink, stats);
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

    /// One look at the process; its result is in `self.looks`.
    fn look(&mut self, now: u64, options: &Options, sink: &mut Sink, stats: &mut Stats) -> io::Result<()> {
        self.ask_who_ran(now, options, sink);
        let reads = self.process.reader.main_reads();
        self.look_at_stacks()?;
        // Only who runs can take the GIL.
        let holders = self.process.reader.interpreters().iter().map(|(_, fields)| fields.gil_holder);
        let holders =
            holders.filter(|holder| self.threads.get(holder).is_some_and(SampledThread::is_at_rest));
        let holders: Vec<u64> = holders.collect();
        let mut woken = false;
        for holder in holders {
            woken |= self.wakes(holder, now, options, sink);
        }
        if woken {
            self.look_at_stacks()?;
        }
        stats.extra_reads += (self.process.reader.main_reads() - reads).saturating_sub(1);
        // A program that has replaced itself can have an interpreter in the very same place.
        if now >= self.memory_at + MEMORY_EVERY {
            if !self.process.handle.has_same_memory() {
                return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
            }
            self.memory_at = now;
        }
        let mut count = 0;
        // A thread state without an id has not been bound to a thread yet.
        for look in self.process.reader.awake().filter(|look| look.header.python_id != 0) {
            if count == self.looks.len() {
                self.looks.push(Look::new(&look));
            }
            // Room for stacks is kept.
            let mut stack = std::mem::take(&mut self.looks[count].stack);
            stack.clear();
            if !self.threads.get(&look.address).is_some_and(SampledThread::needs_no_look) {
                stack.extend_from_slice(look.stack);
            }
            self.looks[count] = Look { stack, ..Look::new(&look) };
            count += 1;
        }
        self.looks.truncate(count);
        Ok(())
    }

    fn look_at_stacks(&mut self) -> io::Result<()> {
        let threads = &self.threads;
        if self.resting.take_changed() {
            self.process.reader.rest(|state| threads.get(&state).is_some_and(SampledThread::is_at_rest));
        }
        self.process.reader.look(|state| threads.get(&state).is_some_and(SampledThread::needs_no_look))
    }

    /// Asks the threads whether they have run since the last look. When many rest, not all of them are asked, as long as
    /// the process as a whole has used no more CPU time than the others.
    fn ask_who_ran(&mut self, now: u64, options: &Options, sink: &mut Sink) {
        let due = self.resting.is_due(now);
        // Without a GIL a thread can run Python code unseen.
        let sum_up = due && self.resting.are_many() && !self.process.reader.layout().free_threaded;
        let total = self.clock.filter(|_| sum_up).and_then(|clock| clock.cpu().ok());
        let mut awake = 0;
        for index in (0..self.awake.len()).rev() {
            let state = self.awake[index];
            let Some(thread) = self.threads.get_mut(&state) else { continue };
            let covered = self.probe.as_ref().is_some_and(|probe| probe.covers(thread.tid()));
            let known = self.offcpu.as_ref().map(|offcpu| covered && offcpu.knows(thread.tid()));
            if known == Some(false) {
                thread.look_again();
            }
            thread.ask_whether_it_ran(covered, sum_up || known.is_some(), now);
            awake += thread.cpu_so_far();
            if known == Some(true) {
                thread.count_by_interrupts();
            } else if thread.rests() && known.is_none() {
                self.awake.swap_remove(index);
                awake -= thread.cpu_so_far();
                self.resting.enter(state, thread, options);
            }
        }
        if due {
            for state in self.resting.choose(now, total.map(|total| total.saturating_sub(awake))) {
                self.wakes(state, now, options, sink);
            }
        }
    }

    /// Asks a thread that rests; true when it has run since.
    fn wakes(&mut self, state: u64, now: u64, options: &Options, sink: &mut Sink) -> bool {
        let Some(thread) = self.threads.get_mut(&state) else { return false };
        let covered = self.probe.as_ref().is_some_and(|probe| probe.covers(thread.tid()));
        let account = thread.cpu_at_rest();
        thread.ask_whether_it_ran(covered, true, now);
        if thread.rests() {
            return false;
        }
        self.resting.leave(state, account, thread, options, sink);
        self.awake.push(state);
        true
    }

    fn knows(&self, look: &Look) -> bool {
        self.threads.get(&look.address).is_some_and(|thread| thread.is(look.header))
    }

    /// New threads, and threads that are gone.
    fn meet(&mut self, now: u64, options: &Options, sink: &mut Sink) {
        self.listing = self.process.reader.listing();
        let bound = self.process.reader.threads().filter(|look| look.header.python_id != 0);
        let headers: Vec<(u64, Header)> = bound.map(|look| (look.address, look.header)).collect();
        let by_address: FxHashMap<u64, Header> = headers.iter().copied().collect();
        let resting = &mut self.resting;
        self.threads.retain(|address, thread| {
            let stays = by_address.get(address).is_some_and(|header| thread.is(*header));
            if !stays {
                resting.leave(*address, thread.cpu_at_rest(), thread, options, sink);
                thread.settle(sink);
                sink.end_thread(thread.index(), now);
            }
            stays
        });
        let pid = self.process.handle.pid();
        self.names = self.process.thread_names();
        for (address, header) in headers {
            if self.threads.contains_key(&address) {
                continue;
            }
            let tid = self.process.tid(header);
            let python_id = header.python_id;
            let name = self.names.get(&python_id).cloned().or_else(|| threads::name(pid, tid));
            // If it has ended since the look, both may be those of the thread after it.
            let known = self.process.still_has(address, header);
            let (tid, name) = if known { (tid, name.unwrap_or_default()) } else { (0, String::new()) };
            let process = self.index;
            let info = ThreadInfo { process, pid, tid, python_id, name, ..ThreadInfo::default() };
            let index = sink.thread(info, now);
            self.threads.insert(address, SampledThread::new(pid, tid, header, index));
        }
        let awake = self.threads.iter().filter(|(_, thread)| !thread.is_at_rest());
        self.awake = awake.map(|(address, _)| *address).collect();
        self.states = self.threads.iter().map(|(state, thread)| (thread.tid(), *state)).collect();
        self.others.leave(&self.states, now, sink);
        if let Some(probe) = &mut self.probe {
            probe.threads_changed(&mut self.process);
        }
    }

    fn refresh_names(&mut self, now: u64, sink: &mut Sink) {
        let begin = clock::now();
        self.names = self.process.thread_names();
        self.names_due = now + NAMES_EVERY.max(NAMES_SHARE * (clock::now() - begin));
        for (state, thread) in &self.threads {
            if let Some(name) = self.names.get(&thread.python_id())
                && sink.thread_name(thread.index()) != Some(name)
                && self.process.still_has(*state, thread.header())
            {
                sink.rename(thread.index(), name);
            }
        }
    }

    fn add(&mut self, look: &Look, moment: Moment, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        let Some(thread) = self.threads.get_mut(&look.address) else { return };
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
                let known = thread.named(look.base);
                let epoch = known.map(|named| named.epoch);
                let (interpreter, base) = (look.interpreter, look.base.1);
                // What cannot be read is named so; that the process is gone shows in the next look.
                let learnt = self.process.learn_codes_above(interpreter, &look.stack, base, epoch);
                let (epoch, same) = learnt.unwrap_or((None, false));
                // A function that was replaced before its name could be read: what ran above it is cut with it.
                let codes = &self.process.codes;
                let doubt = |frame: &RawFrame| !frame.is_marker() && !codes.is_sure(frame.code);
                let all = codes.is_all_sure();
                let sure = if all { None } else { look.stack.iter().position(doubt) };
                let sure = sure.unwrap_or(look.stack.len());
                let cut = cut || sure < look.stack.len();
                let stack = &look.stack[..sure];
                if sure < look.stack.len() && stack.iter().all(RawFrame::is_marker) {
                    stats.failed += 1;
                    if let Some(thread) = self.threads.get_mut(&look.address) {
                        thread.look_again();
                    }
                    return;
                }
                let places = match &mut self.probe {
                    Some(probe) if !cut => probe.extend(&self.process, seen, stack),
                    _ => None,
                };
                // What was read of a thread that ran meanwhile is of another moment.
                let thread = self.threads.get(&look.address);
                let rests = || thread.is_some_and(SampledThread::still_rests);
                let places = places.filter(|_| !seen.rests || rests());
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
                        let base = known.filter(|_| same).map(|named| named.stack).or_else(|| {
                            let epoch = epoch.filter(|_| all && base > 0)?;
                            let stack = self.frames.stack(EMPTY_STACK, &stack[..base], codes, sink);
                            let thread = self.threads.get_mut(&look.address)?;
                            thread.set_named(Named { base: look.base, epoch, stack });
                            Some(stack)
                        });
                        let above = if base.is_some() { &stack[look.base.1..] } else { stack };
                        let id = self.frames.stack(base.unwrap_or(EMPTY_STACK), above, codes, sink);
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

    /// What the engine tells. `now`, `start`: see [`Member::sample`].
    fn take(&mut self, interrupt: Interrupt, (now, start): (u64, u64), sink: &mut Sink, stats: &mut Stats) {
        if interrupt.what != What::Ran {
            return self.take_switch(interrupt, (now, start), sink, stats);
        }
        if let Some(offcpu) = &mut self.offcpu {
            offcpu.ran(interrupt.tid);
        }
        let time = interrupt.time_ns.saturating_sub(start).min(now);
        let cpu_ns = interrupt.cpu_ns;
        let Some(mut one) = self.caught(interrupt, time, sink) else { return };
        // Where switches are told, that time is known by itself.
        let exact = self.offcpu.is_some();
        let thread = self.threads.get_mut(&one.state).filter(|thread| thread.index() == one.thread);
        let thread = thread.or_else(|| self.others.get(one.tid)).filter(|_| !exact);
        one.moment.wall = cpu_ns + thread.map_or(0, |thread| thread.take_waited(cpu_ns));
        self.push(one, stats);
    }

    /// An interrupt as it came: Python's frames are named now, while their code objects are there.
    fn caught(&mut self, interrupt: Interrupt, time: u64, sink: &mut Sink) -> Option<Unnamed> {
        let probe = self.probe.as_ref().filter(|probe| probe.covers(interrupt.tid))?;
        let all = probe.shows_all_threads();
        let known = self.states.get(&interrupt.tid).copied();
        let state = if interrupt.state == 0 { known.unwrap_or(0) } else { interrupt.state };
        let interpreter = self.process.reader.interpreter_of(state).unwrap_or(0);
        let _ = self.process.learn_codes(interpreter, &interrupt.python);
        let python = self.frames.python(&interrupt.python, &self.process.codes, sink);
        let known = self.threads.get_mut(&state).filter(|thread| thread.tid() == interrupt.tid);
        let thread = match known {
            Some(thread) => thread,
            None if interrupt.state != 0 || all => {
                self.others.thread(self.process.handle.pid(), interrupt.tid, self.index, time, sink)
            }
            None => return None,
        };
        Some(Unnamed {
            thread: thread.index(),
            tid: interrupt.tid,
            state,
            moment: Moment { time, wall: 0 },
            did: State::default().with(ON_CPU, true).with(HOLDS_GIL, interrupt.holds_gil),
            python,
            places: interrupt.places,
        })
    }

    fn push(&mut self, one: Unnamed, stats: &mut Stats) {
        if self.unnamed.len() >= MAX_UNNAMED {
            self.unnamed.pop_front();
            stats.lost_interrupts += 1;
        }
        self.unnamed.push_back(one);
    }

    /// Adds the interrupts whose frames have names, in their order.
    fn add_named(&mut self, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        while let (Some(first), Some(probe)) = (self.unnamed.front(), &self.probe) {
            if !self.frames.are_known(&first.places, &**probe, sink) {
                return;
            }
            let Some(one) = self.unnamed.pop_front() else { return };
            let id = self.frames.mixed_stack(&one.python, &one.places, sink);
            let cut = one.places.contains(&Place::Missing);
            let stack = (!one.places.is_empty()).then_some((id, cut));
            let thread = self.threads.get_mut(&one.state).filter(|thread| thread.index() == one.thread);
            let thread = match thread {
                Some(thread) => Some(thread),
                None => self.others.get(one.tid).filter(|thread| thread.index() == one.thread),
            };
            let seen = Sighting {
                thread: one.thread,
                stack: stack.map_or(EMPTY_STACK, |(id, _)| id),
                time_ns: one.moment.time,
                wall_ns: one.moment.wall,
                state: one.did,
            };
            thread::add_late(thread, seen, stack, options, sink, stats);
        }
    }

    fn name_the_rest(&mut self, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        if let Some(probe) = self.probe.as_mut().filter(|_| !self.unnamed.is_empty()) {
            probe.complete();
        }
        self.add_named(options, sink, stats);
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
