//! Threads without a Python state: those of native libraries. Only an engine sees them.

use rustc_hash::FxHashMap;

use super::sink::Sink;
use super::thread::{Moment, SampledThread};
use super::{Options, Stats};
use crate::attach;
use crate::process::threads;
use crate::profile::{StackId, ThreadInfo};
use crate::python::stack::thread::Header;

/// More threads than this are not kept.
const MAX_OTHERS: usize = 1 << 14;

/// The native threads of one process, by the kernel's id.
#[derive(Debug, Default)]
pub struct Others {
    threads: FxHashMap<i32, SampledThread>,
}

impl Others {
    /// The thread `tid` of `pid`, whose index in the profile is `process`; a new one is added at `now`.
    pub fn thread(
        &mut self,
        pid: i32,
        tid: i32,
        process: u32,
        now: u64,
        sink: &mut Sink,
    ) -> &mut SampledThread {
        if self.threads.len() >= MAX_OTHERS {
            self.close(now, sink);
        }
        self.threads.entry(tid).or_insert_with(|| {
            let name = threads::name(pid, tid).unwrap_or_default();
            let info = ThreadInfo { process, pid, tid, name, ..ThreadInfo::default() };
            SampledThread::new(pid, tid, Header::default(), sink.thread(info, now))
        })
    }

    /// The same, to look at.
    #[must_use]
    pub fn look(&self, tid: i32) -> Option<&SampledThread> {
        self.threads.get(&tid)
    }

    /// The thread `tid`, if it is here.
    pub fn get(&mut self, tid: i32) -> Option<&mut SampledThread> {
        self.threads.get_mut(&tid)
    }

    /// Samples of those that are blocked; `stack` says what in.
    pub fn add(
        &mut self,
        moment: Moment,
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
        mut stack: impl FnMut(i32, &mut Sink) -> Option<StackId>,
    ) {
        for (tid, thread) in &mut self.threads {
            thread.ask_whether_it_ran(true, true, 0);
            if thread.counts_by_interrupts() {
                thread.account(sink);
                continue;
            }
            let rested = thread.resting_stack();
            let running = thread.is_running_now(false, true);
            if running {
                thread.account(sink);
                continue;
            }
            let stack = rested.or_else(|| Some((stack(*tid, sink)?, false)));
            thread.add(stack, attach::state_of(thread.doing()), moment, options, sink, stats);
        }
        self.forget_ended(moment.time, sink);
    }

    /// Their CPU time, when nothing else of them is wanted.
    pub fn account(&mut self, now: u64, sink: &mut Sink) {
        for thread in self.threads.values_mut() {
            thread.ask_whether_it_ran(false, true, 0);
            thread.account(sink);
        }
        self.forget_ended(now, sink);
    }

    /// These have a Python state now.
    pub fn leave(&mut self, states: &FxHashMap<i32, u64>, now: u64, sink: &mut Sink) {
        self.end(|tid, _| states.contains_key(&tid), now, sink);
    }

    /// No more samples.
    pub fn close(&mut self, now: u64, sink: &mut Sink) {
        self.end(|_, _| true, now, sink);
    }

    /// The session ends, the process does not.
    pub fn settle(&mut self, sink: &mut Sink) {
        self.threads.values_mut().for_each(|thread| thread.settle(sink));
    }

    fn forget_ended(&mut self, now: u64, sink: &mut Sink) {
        self.end(|_, thread| thread.has_ended(), now, sink);
    }

    fn end(&mut self, ends: impl Fn(i32, &SampledThread) -> bool, now: u64, sink: &mut Sink) {
        self.threads.retain(|tid, thread| {
            let stays = !ends(*tid, thread);
            if !stays {
                thread.settle(sink);
                sink.end_thread(thread.index(), now);
            }
            stays
        });
    }
}
