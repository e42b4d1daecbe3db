//! What an engine brings: interrupts become samples once their frames have names.

use super::{Member, Unnamed};
use crate::profile::state::{HOLDS_GIL, ON_CPU};
use crate::profile::{EMPTY_STACK, Sighting, State};
use crate::sampler::engine::{Interrupt, Place, What};
use crate::sampler::sink::Sink;
use crate::sampler::thread::{self, Moment};
use crate::sampler::{Options, Stats};

/// More interrupts than this do not wait for names; the oldest go.
const MAX_UNNAMED: usize = 1 << 16;

impl Member {
    /// Between two samples, which can be far apart: adds what the engine has brought meanwhile, before its buffers are
    /// full and before the code that ran is gone.
    pub fn drain(&mut self, (now, start): (u64, u64), options: &Options, sink: &mut Sink, stats: &mut Stats) {
        self.gather(stats);
        if self.interrupts.is_empty() {
            return;
        }
        // After the interrupts: code is named by what is known after them. That the process is gone shows in the next
        // look.
        let _ = self.process.reader.look_at_shared();
        if self.listing != self.process.reader.listing() {
            self.meet(now, options, sink);
        }
        self.take_all((now, start), options, sink, stats);
    }

    /// What the engine brings: it is in `self.interrupts`.
    pub(super) fn gather(&mut self, stats: &mut Stats) {
        self.interrupts.clear();
        let Some(probe) = &mut self.probe else { return };
        probe.interrupts(&self.process, &mut self.interrupts);
        let (lost, unmerged) = (probe.lost(), probe.unmerged());
        stats.lost_interrupts += lost - self.counted.0;
        stats.unmerged += unmerged - self.counted.1;
        self.counted = (lost, unmerged);
    }

    /// Adds all of that.
    pub(super) fn take_all(
        &mut self,
        (now, start): (u64, u64),
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
    ) {
        for interrupt in std::mem::take(&mut self.interrupts) {
            self.take(interrupt, (now, start), sink, stats);
        }
        self.count_waits((now, start), false, stats);
        self.add_named(options, sink, stats);
    }

    /// What the engine tells. `now`, `start`: see [`Member::sample`].
    pub(super) fn take(
        &mut self,
        interrupt: Interrupt,
        (now, start): (u64, u64),
        sink: &mut Sink,
        stats: &mut Stats,
    ) {
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
    pub(super) fn caught(&mut self, interrupt: Interrupt, time: u64, sink: &mut Sink) -> Option<Unnamed> {
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

    pub(super) fn push(&mut self, one: Unnamed, stats: &mut Stats) {
        if self.unnamed.len() >= MAX_UNNAMED {
            self.unnamed.pop_front();
            stats.lost_interrupts += 1;
        }
        self.unnamed.push_back(one);
    }

    /// Adds the interrupts whose frames have names, in their order.
    pub(super) fn add_named(&mut self, options: &Options, sink: &mut Sink, stats: &mut Stats) {
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

    pub(super) fn name_the_rest(&mut self, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        if let Some(probe) = self.probe.as_mut().filter(|_| !self.unnamed.is_empty()) {
            probe.complete();
        }
        self.add_named(options, sink, stats);
    }
}
