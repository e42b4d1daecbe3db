//! Which threads there are, and what they are called.

use rustc_hash::FxHashMap;

use super::Member;
use super::look::Look;
use crate::process::threads;
use crate::profile::ThreadInfo;
use crate::python::stack::thread::Header;
use crate::sampler::sink::Sink;
use crate::sampler::thread::SampledThread;
use crate::sampler::{Options, clock};

/// How often the threads' names are read again, in ns: a name is often given after the start.
const NAMES_EVERY: u64 = 1_000_000_000;
/// Where there are many of them, it may take one in so many parts of the time.
const NAMES_SHARE: u64 = 500;

impl Member {
    pub(super) fn knows(&self, look: &Look) -> bool {
        self.threads.get(&look.address).is_some_and(|thread| thread.is(look.header))
    }

    /// New threads, and threads that are gone.
    pub(super) fn meet(&mut self, now: u64, options: &Options, sink: &mut Sink) {
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

    pub(super) fn refresh_names(&mut self, now: u64, sink: &mut Sink) {
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

    /// Threads without a Python state that only wait are found now and then.
    pub(super) fn find_others(&mut self, options: &Options, now: u64, sink: &mut Sink) {
        let wanted = options.idle && self.probe.as_ref().is_some_and(|probe| probe.shows_all_threads());
        let pid = self.process.handle.pid();
        if wanted && let Ok(tids) = threads::list(pid) {
            for tid in tids.into_iter().filter(|tid| !self.states.contains_key(tid)) {
                self.others.thread(pid, tid, self.index, now, sink);
            }
        }
    }
}
