//! Time off the CPU, from switch to switch: which wait each thread is in, and what of it has been counted.
//!
//! A wait is one sample however long it is. It is counted when it ends, and a long one in pieces meanwhile, so that who
//! watches sees it. A thread that was blocked before its switches were told gets its stack from a look: it is believed if
//! no switch came in between.

use rustc_hash::FxHashMap;

/// A wait that goes on is counted this often, in ns.
const PIECE: u64 = 50_000_000;
/// Threads kept at most; those beyond are forgotten, and counted again from their next switch on.
const MAX_THREADS: usize = 1 << 15;

/// A piece of a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait<S> {
    /// Kernel thread id
    pub tid: i32,
    /// What the thread waits in; `None`: it is not known
    pub stack: Option<S>,
    /// In ns; it ends at `until`
    pub length: u64,
    /// On the clock that all times here are of, in ns
    pub until: u64,
    /// A piece of it has been counted before
    pub goes_on: bool,
    /// The system call that it is blocked in, where it was asked for
    pub syscall: Option<u16>,
}

#[derive(Debug)]
enum Phase<S> {
    /// Blocked or not. `since`: nothing has happened to it from then on, `None` when something may have been lost
    Unknown { since: Option<u64>, look: Option<(u64, S)> },
    /// On a CPU
    On,
    /// Off its CPU
    Off(Off<S>),
}

#[derive(Debug)]
struct Off<S> {
    stack: S,
    /// Counted up to here
    counted: u64,
    goes_on: bool,
    /// It is blocked, so a system call can be asked for
    blocked: bool,
    /// When it was asked, and the answer
    asked: Option<(u64, Option<u16>)>,
}

/// The threads of one process. `S`: a stack and whose it is.
#[derive(Debug)]
pub struct OffCpu<S> {
    threads: FxHashMap<i32, Phase<S>>,
}

impl<S> Default for OffCpu<S> {
    fn default() -> Self {
        Self { threads: FxHashMap::default() }
    }
}

impl<S: Clone> OffCpu<S> {
    /// The switches of `tid` are told from `at` on.
    pub fn met(&mut self, tid: i32, at: u64) {
        self.keep(tid, Phase::Unknown { since: Some(at), look: None });
    }

    /// Whether a look at the thread would bring nothing.
    #[must_use]
    pub fn knows(&self, tid: i32) -> bool {
        !matches!(self.threads.get(&tid), None | Some(Phase::Unknown { look: None, .. }))
    }

    /// Threads of which nothing is known yet.
    #[must_use]
    pub fn unknown(&self) -> Vec<i32> {
        self.threads.keys().copied().filter(|tid| !self.knows(*tid)).collect()
    }

    /// A look found the thread blocked, at `at`.
    pub fn looked(&mut self, tid: i32, at: u64, stack: S) {
        let since = match self.threads.get(&tid) {
            Some(Phase::Unknown { since, .. }) => *since,
            Some(_) => return,
            None => None,
        };
        self.keep(tid, Phase::Unknown { since, look: Some((at, stack)) });
    }

    /// The thread runs.
    pub fn ran(&mut self, tid: i32) {
        self.keep(tid, Phase::On);
    }

    /// The thread left its CPU; `blocked`: it could not go on.
    pub fn left(&mut self, tid: i32, at: u64, blocked: bool, stack: S) {
        self.keep(tid, Phase::Off(Off { stack, counted: at, goes_on: false, blocked, asked: None }));
    }

    /// The thread has a CPU again: the rest of its wait.
    pub fn came(&mut self, tid: i32, at: u64) -> Option<Wait<S>> {
        let phase = self.threads.insert(tid, Phase::On);
        let (stack, begin, goes_on, syscall) = match phase? {
            Phase::On => return None,
            Phase::Off(off) => {
                let syscall = off.asked.filter(|(asked, _)| *asked < at).and_then(|(_, syscall)| syscall);
                (Some(off.stack), off.counted, off.goes_on, syscall)
            }
            Phase::Unknown { since, look } => {
                let look = look.filter(|(looked, _)| *looked < at);
                let begin = since.or(look.as_ref().map(|(looked, _)| *looked))?;
                (look.map(|(_, stack)| stack), begin, false, None)
            }
        };
        let length = at.checked_sub(begin)?;
        Some(Wait { tid, stack, length, until: at, goes_on, syscall })
    }

    /// The thread has ended.
    pub fn ended(&mut self, tid: i32) {
        self.threads.remove(&tid);
    }

    /// Something was lost: who is blocked must be found by looks. What was not counted of a wait is not known any more.
    pub fn lost(&mut self) {
        for phase in self.threads.values_mut() {
            *phase = Phase::Unknown { since: None, look: None };
        }
    }

    /// Everything that happened before `now` has been told: the waits that go on, as far as they are not counted yet;
    /// with `all` however short. `ask` says what system call a thread is blocked in.
    pub fn advance(
        &mut self,
        now: u64,
        all: bool,
        mut ask: impl FnMut(&S) -> Option<u16>,
        mut clock: impl FnMut() -> u64,
    ) -> Vec<Wait<S>> {
        let mut waits = Vec::new();
        for (tid, phase) in &mut self.threads {
            if let Phase::Unknown { since, look } = phase
                && look.as_ref().is_some_and(|(looked, _)| *looked <= now)
                && let Some((looked, stack)) = look.take()
            {
                let counted = since.unwrap_or(looked);
                *phase = Phase::Off(Off { stack, counted, goes_on: false, blocked: true, asked: None });
            }
            let Phase::Off(off) = phase else { continue };
            if off.blocked && off.asked.is_none() {
                let syscall = ask(&off.stack);
                off.asked = Some((clock(), syscall));
            }
            let length = now.saturating_sub(off.counted);
            if length < PIECE && !(all && length > 0) {
                continue;
            }
            let syscall = off.asked.filter(|(asked, _)| *asked < now).and_then(|(_, syscall)| syscall);
            let stack = Some(off.stack.clone());
            waits.push(Wait { tid: *tid, stack, length, until: now, goes_on: off.goes_on, syscall });
            (off.counted, off.goes_on) = (now, true);
        }
        waits
    }

    fn keep(&mut self, tid: i32, phase: Phase<S>) {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&tid) {
            self.threads.clear();
        }
        self.threads.insert(tid, phase);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn wait(stack: Option<&'static str>, length: u64, until: u64, goes_on: bool) -> Wait<&'static str> {
        Wait { tid: 1, stack, length: length * MS, until: until * MS, goes_on, syscall: None }
    }

    fn advance(offcpu: &mut OffCpu<&'static str>, now: u64, all: bool) -> Vec<Wait<&'static str>> {
        offcpu.advance(now * MS, all, |_| None, || now * MS)
    }

    #[test]
    fn a_wait_is_counted_once_whether_in_pieces_or_not() {
        let mut offcpu = OffCpu::default();
        offcpu.met(1, 0);
        offcpu.left(1, 5 * MS, true, "sleep");
        assert_eq!(advance(&mut offcpu, 10, false), []);
        assert_eq!(advance(&mut offcpu, 60, false), [wait(Some("sleep"), 55, 60, false)]);
        assert_eq!(advance(&mut offcpu, 70, true), [wait(Some("sleep"), 10, 70, true)]);
        assert_eq!(offcpu.came(1, 71 * MS), Some(wait(Some("sleep"), 1, 71, true)));
        assert_eq!(offcpu.came(1, 72 * MS), None);
        assert_eq!(advance(&mut offcpu, 90, true), []);
    }

    #[test]
    fn a_thread_that_was_blocked_before_is_counted_from_the_start() {
        let mut offcpu = OffCpu::default();
        offcpu.met(1, 0);
        assert_eq!(offcpu.unknown(), [1]);
        offcpu.looked(1, 2 * MS, "lock");
        assert!(offcpu.knows(1));
        // What happened before the look may not have been told yet.
        assert_eq!(advance(&mut offcpu, 1, true), []);
        assert_eq!(advance(&mut offcpu, 3, true), [wait(Some("lock"), 3, 3, false)]);
        assert_eq!(offcpu.came(1, 4 * MS), Some(wait(Some("lock"), 1, 4, true)));
    }

    #[test]
    fn a_look_is_not_believed_across_a_switch() {
        let mut offcpu = OffCpu::default();
        offcpu.met(1, 0);
        offcpu.looked(1, 2 * MS, "later wait");
        assert_eq!(offcpu.came(1, MS), Some(wait(None, 1, 1, false)));
        offcpu.left(1, MS + 1, true, "later wait");
        assert_eq!(offcpu.came(1, 2 * MS + 1).map(|wait| wait.length), Some(MS));
    }

    #[test]
    fn what_was_lost_is_not_made_up() {
        let mut offcpu = OffCpu::default();
        offcpu.left(1, 0, true, "queue");
        offcpu.lost();
        assert_eq!(offcpu.came(1, 9 * MS), None);
        offcpu.left(1, 10 * MS, true, "queue");
        offcpu.lost();
        offcpu.looked(1, 20 * MS, "read");
        assert_eq!(advance(&mut offcpu, 21, true), [wait(Some("read"), 1, 21, false)]);
    }

    #[test]
    fn a_system_call_is_named_if_it_was_asked_for_during_the_wait() {
        let mut offcpu = OffCpu::default();
        offcpu.left(1, 0, true, "read");
        assert_eq!(offcpu.advance(2 * MS, false, |_| Some(7), || 3 * MS), []);
        assert_eq!(offcpu.came(1, 4 * MS).and_then(|wait| wait.syscall), Some(7));
        offcpu.left(1, 5 * MS, true, "read");
        assert_eq!(offcpu.advance(6 * MS, false, |_| Some(7), || 8 * MS), []);
        assert_eq!(offcpu.came(1, 7 * MS).and_then(|wait| wait.syscall), None, "asked of the next wait");
        offcpu.left(1, 10 * MS, false, "preempted");
        assert_eq!(offcpu.advance(60 * MS, false, |_| Some(7), || 0).len(), 1);
    }

    #[test]
    fn threads_that_have_ended_are_forgotten() {
        let mut offcpu = OffCpu::default();
        for tid in 0..MAX_THREADS as i32 + 10 {
            offcpu.left(tid, 0, true, "x");
        }
        assert!(offcpu.threads.len() <= MAX_THREADS);
        offcpu.left(1, 0, true, "x");
        offcpu.ended(1);
        assert_eq!(offcpu.came(1, 5), None);
    }
}
