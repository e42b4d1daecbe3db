//! Gives each sample the CPU time that its thread really used.
//!
//! The kernel's account of a running thread moves only at its tick (1 to 10 ms), so a sample's CPU time is not
//! known when it is taken. What the account moves by is shared among the samples since it last moved in which
//! the thread was on a CPU.

use super::sink::{Added, Sink};

/// More samples than this do not wait for their share.
const MAX_PENDING: usize = 4096;

/// One thread's account.
#[derive(Debug, Default)]
pub struct CpuShares {
    /// The account when it last moved, in ns
    last: Option<u64>,
    /// CPU time that no sample has been given yet
    owed: u64,
    pending: Vec<(Added, u64)>,
}

impl CpuShares {
    /// The account stands at `run_ns` now.
    pub fn account(&mut self, run_ns: u64, sink: &mut Sink) {
        let moved = run_ns.saturating_sub(self.last.unwrap_or(run_ns));
        self.last = Some(run_ns);
        self.owed += moved;
        if moved > 0 {
            self.share(sink);
        }
    }

    /// A sample of `wall_ns` in which the thread was on a CPU.
    pub fn running(&mut self, sample: Added, wall_ns: u64) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push((sample, wall_ns.max(1)));
        }
    }

    /// Shares what is owed among the samples that wait for it. Without one it stays owed to the next: short
    /// runs between samples are part of the thread's work too.
    fn share(&mut self, sink: &mut Sink) {
        let total: u64 = self.pending.iter().map(|(_, wall)| wall).sum();
        if total == 0 {
            return;
        }
        let mut left = self.owed;
        let count = self.pending.len();
        for (index, (sample, wall)) in self.pending.drain(..).enumerate() {
            let exact = u128::from(self.owed) * u128::from(wall) / u128::from(total);
            let part = if index + 1 == count { left } else { (exact as u64).min(left) };
            left -= part;
            sink.add_cpu(sample, part);
        }
        self.owed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{EMPTY_STACK, ProcessSeen, Sighting, State, ThreadInfo};

    #[test]
    fn what_the_account_moved_is_shared_by_time_and_none_is_lost() {
        let mut sink = Sink::new(false, None, Vec::new());
        let (command, python_version) = (Vec::new(), None);
        let process = ProcessSeen { id: 0, pid: 1, ppid: 0, python_version, command, ended: false };
        let process = sink.process(process, 0);
        let thread = sink.thread(ThreadInfo { process, pid: 1, ..ThreadInfo::default() }, 0);
        let frame = sink.profile.missing_frame();
        let one = sink.profile.stack(EMPTY_STACK, frame);
        let mut shares = CpuShares::default();
        let sample = |shares: &mut CpuShares, sink: &mut Sink, stack, wall_ns| {
            let seen = Sighting { thread, stack, time_ns: 1, wall_ns, state: State::default() };
            shares.running(sink.sample(&seen, false), wall_ns);
        };
        shares.account(1_000_000, &mut sink);
        sample(&mut shares, &mut sink, EMPTY_STACK, 100);
        sample(&mut shares, &mut sink, one, 300);
        shares.account(1_000_000, &mut sink);
        shares.account(1_004_001, &mut sink);
        // Ran between samples only: owed to the next sample.
        shares.account(1_004_501, &mut sink);
        sample(&mut shares, &mut sink, one, 100);
        shares.account(1_004_502, &mut sink);
        let profile = sink.finish();
        assert_eq!(profile.entries[&(thread, EMPTY_STACK)].cpu_ns, 1000);
        assert_eq!(profile.entries[&(thread, one)].cpu_ns, 3001 + 501);
    }
}
