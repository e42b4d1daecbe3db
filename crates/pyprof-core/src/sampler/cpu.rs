//! Gives each sample the CPU time that its thread really used.
//!
//! The kernel's account of a running thread moves only at its tick (1 to 10 ms), so a sample's CPU time is not
//! known when it is taken. What the account moves by is shared among the samples since it last moved in which
//! the thread was on a CPU.

use crate::profile::{ProfileBuilder, SampleId};

/// More samples than this do not wait for their share.
const MAX_PENDING: usize = 4096;

/// One thread's account.
#[derive(Debug, Default)]
pub struct CpuShares {
    /// The account when it last moved, in ns
    last: Option<u64>,
    /// CPU time that no sample has been given yet
    owed: u64,
    pending: Vec<(SampleId, u64)>,
}

impl CpuShares {
    /// The account stands at `run_ns` now.
    pub fn account(&mut self, run_ns: u64, profile: &mut ProfileBuilder) {
        let moved = run_ns.saturating_sub(self.last.unwrap_or(run_ns));
        self.last = Some(run_ns);
        self.owed += moved;
        if moved > 0 {
            self.share(profile);
        }
    }

    /// A sample of `wall_ns` in which the thread was on a CPU.
    pub fn running(&mut self, sample: SampleId, wall_ns: u64) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push((sample, wall_ns.max(1)));
        }
    }

    /// Shares what is owed among the samples that wait for it. Without one it stays owed to the next: short
    /// runs between samples are part of the thread's work too.
    fn share(&mut self, profile: &mut ProfileBuilder) {
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
            profile.add_cpu(sample, part);
        }
        self.owed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{EMPTY_STACK, ThreadInfo};

    #[test]
    fn what_the_account_moved_is_shared_by_time_and_none_is_lost() {
        let mut profile = ProfileBuilder::new(false);
        let thread = profile.thread(ThreadInfo { pid: 1, tid: 1, python_id: 1, name: String::new() });
        let frame = profile.missing_frame();
        let one = profile.stack(EMPTY_STACK, frame);
        let mut shares = CpuShares::default();
        shares.account(1_000_000, &mut profile);
        let first = profile.sample(thread, EMPTY_STACK, 1, 100);
        shares.running(first, 100);
        let second = profile.sample(thread, one, 2, 300);
        shares.running(second, 300);
        shares.account(1_000_000, &mut profile);
        shares.account(1_004_001, &mut profile);
        // Ran between samples only: owed to the next sample.
        shares.account(1_004_501, &mut profile);
        let third = profile.sample(thread, one, 3, 100);
        shares.running(third, 100);
        shares.account(1_004_502, &mut profile);
        let profile = profile.finish(|_| true);
        assert_eq!(profile.entries[&(thread, EMPTY_STACK)].cpu_ns, 1000);
        assert_eq!(profile.entries[&(thread, one)].cpu_ns, 3001 + 501);
    }
}
