//! One look: who has run, and what the stacks of those are.

use std::io;

use super::Member;
use crate::python::frame::RawFrame;
use crate::python::reader::ThreadLook;
use crate::python::stack::thread::{Header, Outcome};
use crate::sampler::sink::Sink;
use crate::sampler::thread::SampledThread;
use crate::sampler::{Options, Stats};

/// How often it is asked whether the process has replaced its program, in ns. A new interpreter takes longer to begin.
const MEMORY_EVERY: u64 = 3_000_000;

/// A thread as the last look saw it, free of the reader.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) address: u64,
    pub(super) interpreter: usize,
    pub(super) header: Header,
    pub(super) outcome: Outcome,
    pub(super) holds_gil: bool,
    pub(super) moved: bool,
    pub(super) base: (u64, usize),
    pub(super) stack: Vec<RawFrame>,
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

impl Member {
    /// One look at the process; its result is in `self.looks`.
    pub(super) fn look(
        &mut self,
        now: u64,
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
    ) -> io::Result<()> {
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

    pub(super) fn look_at_stacks(&mut self) -> io::Result<()> {
        let threads = &self.threads;
        if self.resting.take_changed() {
            self.process.reader.rest(|state| threads.get(&state).is_some_and(SampledThread::is_at_rest));
        }
        self.process.reader.look(|state| threads.get(&state).is_some_and(SampledThread::needs_no_look))
    }

    /// Asks the threads whether they have run since the last look. When many rest, not all of them are asked, as long as
    /// the process as a whole has used no more CPU time than the others.
    pub(super) fn ask_who_ran(&mut self, now: u64, options: &Options, sink: &mut Sink) {
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
    pub(super) fn wakes(&mut self, state: u64, now: u64, options: &Options, sink: &mut Sink) -> bool {
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
}
