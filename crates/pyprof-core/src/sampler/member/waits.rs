//! Time off the CPU, where the engine tells of every switch: waits become samples by their own length.

use super::look::Look;
use super::names::Certain;
use super::{Member, Unnamed};
use crate::profile::State;
use crate::profile::state::{BLOCKED, GOES_ON, ON_CPU, WAITS_FOR_CPU, WAITS_FOR_GIL};
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::Outcome;
use crate::sampler::engine::{Interrupt, Place, Seen, What};
use crate::sampler::offcpu::Wait;
use crate::sampler::sink::Sink;
use crate::sampler::thread::{Moment, SampledThread};
use crate::sampler::{Stats, clock};

impl Member {
    /// What a thread's switch changes. `now`, `start`: see [`Member::sample`].
    pub(super) fn take_switch(
        &mut self,
        interrupt: Interrupt,
        (now, start): (u64, u64),
        sink: &mut Sink,
        stats: &mut Stats,
    ) {
        // The recording begins at `start`, whatever was told before.
        let (tid, at) = (interrupt.tid, interrupt.time_ns.max(start));
        let Some(offcpu) = &mut self.offcpu else { return };
        match interrupt.what {
            What::Met => offcpu.met(tid, at),
            What::Ran => offcpu.ran(tid),
            What::Ended => offcpu.ended(tid),
            What::Lost => offcpu.lost(),
            What::Came => {
                if let Some(wait) = offcpu.came(tid, at) {
                    self.push_wait(wait, (now, start), stats);
                }
            }
            What::Left { ready } => {
                let argument = interrupt.argument;
                let Some(mut one) = self.caught(interrupt, at - start, sink) else { return };
                let waits = !ready && argument != 0 && self.is_gil(one.state, argument);
                one.did = one.did.without(ON_CPU).with(BLOCKED, !ready).with(WAITS_FOR_GIL, waits);
                if ready {
                    one.did = one.did.with(ON_CPU, true).with(WAITS_FOR_CPU, true);
                }
                if let Some(offcpu) = &mut self.offcpu {
                    offcpu.left(tid, at, !ready, one);
                }
            }
        }
    }

    /// Whether `argument` is the address that the waiters for a thread's GIL block on.
    fn is_gil(&self, state: u64, argument: u64) -> bool {
        let interpreter = self.process.reader.interpreter_of(state).unwrap_or(0);
        let fields = self.process.reader.interpreters().get(interpreter);
        fields.is_some_and(|(_, fields)| fields.gil_locks.contains(&argument))
    }

    /// The waits that go on at `now`; `all`: however short.
    pub(super) fn count_waits(&mut self, (now, start): (u64, u64), all: bool, stats: &mut Stats) {
        let Some(offcpu) = &mut self.offcpu else { return };
        let (threads, others) = (&self.threads, &self.others);
        let ask = |one: &Unnamed| -> Option<u16> {
            let known = threads.get(&one.state).filter(|thread| thread.index() == one.thread);
            known.or_else(|| others.look(one.tid)).and_then(SampledThread::syscall_now)
        };
        for wait in offcpu.advance(start + now, all, ask, clock::now) {
            self.push_wait(wait, (now, start), stats);
        }
    }

    fn push_wait(&mut self, wait: Wait<Unnamed>, (now, start): (u64, u64), stats: &mut Stats) {
        let one = wait.stack.or_else(|| self.unseen(wait.tid));
        let Some(mut one) = one else { return };
        one.moment = Moment { time: wait.until.saturating_sub(start).min(now), wall: wait.length };
        one.did = one.did.with(GOES_ON, wait.goes_on);
        one.did.syscall = wait.syscall.or(one.did.syscall);
        self.push(one, stats);
    }

    /// A thread that had no CPU when its switches began to be told, and got one before a look found it blocked: a thread
    /// that is ready looks like that, so no more is claimed.
    fn unseen(&self, tid: i32) -> Option<Unnamed> {
        let state = *self.states.get(&tid)?;
        let thread = self.threads.get(&state)?.index();
        let did = State::default().with(ON_CPU, true).with(WAITS_FOR_CPU, true);
        let moment = Moment { time: 0, wall: 0 };
        Some(Unnamed { thread, tid, state, moment, did, python: Vec::new(), places: vec![Place::Missing] })
    }

    /// A look at a thread of which nothing is known yet: what it is blocked in, if it is.
    pub(super) fn find_wait(&mut self, look: &Look, sink: &mut Sink) {
        let Some(thread) = self.threads.get_mut(&look.address) else { return };
        thread.account(sink);
        let cut = match look.outcome {
            Outcome::NoFrames | Outcome::Stack(Verdict::Whole) => false,
            Outcome::Stack(Verdict::Cut) => true,
            Outcome::Stack(Verdict::Lost) | Outcome::Again | Outcome::Gone => return,
        };
        let tid = thread.tid();
        let running = thread.is_running_now(look.moved, true);
        if running || !thread.was_blocked() {
            return;
        }
        let (doing, index) = (thread.doing(), thread.index());
        let seen = Seen { tid, state: look.address, rests: true };
        let Some(Certain { stack, cut, places, .. }) = self.name(look, seen, cut) else { return };
        let at = clock::now();
        if !self.threads.get(&look.address).is_some_and(SampledThread::still_rests) {
            return;
        }
        let places = places.unwrap_or_else(|| {
            let missing = cut.then_some(Place::Missing);
            (0..stack.len()).map(Place::Python).chain(missing).collect()
        });
        let python = self.frames.python(stack, &self.process.codes, sink);
        let did =
            self.process.state(look.interpreter, look.header, look.holds_gil, doing).with(BLOCKED, true);
        let moment = Moment { time: 0, wall: 0 };
        let one = Unnamed { thread: index, tid, state: look.address, moment, did, python, places };
        if let Some(offcpu) = &mut self.offcpu {
            offcpu.looked(tid, at, one);
        }
    }

    /// The same for threads without a Python state, where those are shown.
    pub(super) fn find_waits_of_others(&mut self, now: u64, sink: &mut Sink) {
        let (Some(offcpu), Some(probe)) = (&mut self.offcpu, &mut self.probe) else { return };
        if !probe.shows_all_threads() {
            return;
        }
        for tid in offcpu.unknown() {
            if self.states.contains_key(&tid) {
                continue;
            }
            let seen = Seen { tid, state: 0, rests: true };
            let Some(places) = probe.extend(&self.process, seen, &[]) else { continue };
            let at = clock::now();
            let thread = self.others.thread(self.process.handle.pid(), tid, self.index, now, sink).index();
            let (did, moment) = (State::default().with(BLOCKED, true), Moment { time: 0, wall: 0 });
            offcpu.looked(
                tid,
                at,
                Unnamed { thread, tid, state: 0, moment, did, python: Vec::new(), places },
            );
        }
    }

    /// The waits up to the end, at `now`.
    pub(super) fn end_waits(&mut self, (now, start): (u64, u64), sink: &mut Sink, stats: &mut Stats) {
        if self.offcpu.is_none() {
            return;
        }
        self.gather(stats);
        let _ = self.process.reader.look_at_shared();
        for interrupt in std::mem::take(&mut self.interrupts) {
            if interrupt.time_ns <= start + now {
                self.take(interrupt, (now, start), sink, stats);
            }
        }
        self.count_waits((now, start), true, stats);
    }
}
