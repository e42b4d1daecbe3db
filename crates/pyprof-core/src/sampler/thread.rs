//! One thread under the sampler: its clocks, whether it ran, and where its time goes.

use super::cpu::CpuShares;
use super::resting::Sums;
use super::sink::Sink;
use super::{Mode, Options, Stats};
use crate::process::thread_clock::{RunState, SchedStat, ThreadClock};
use crate::profile::state::{BLOCKED, GOES_ON, HOLDS_GIL, ON_CPU, WAITS_FOR_CPU};
use crate::profile::{EMPTY_STACK, LastLook, Sighting, StackId, State};
use crate::python::code_cache::Epoch;
use crate::python::stack::thread::Header;

/// Interrupts that share a long wait for a CPU.
const WAIT_SHARES: u64 = 16;

/// When a look was, and how much time it stands for.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// ns since the start of the recording
    pub time: u64,
    /// ns since the look before
    pub wall: u64,
}

/// How often the account of a running thread is read, in ns.
const ACCOUNT_EVERY: u64 = 3_000_000;

/// The lower part of a thread's stack that is in the profile already.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Which frames it is: see [`crate::python::reader::ThreadLook::base`]
    pub base: (u64, usize),
    /// When they were named
    pub epoch: Epoch,
    /// Their stack
    pub stack: StackId,
}

/// What a look at a thread counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// A sample
    Sample,
    /// Left out: idle, or not in the mode asked for
    LeftOut,
    /// Neither
    Nothing,
}

impl Count {
    fn of(stack: Option<(StackId, bool)>, state: State, options: &Options) -> Self {
        let running = state.has(ON_CPU);
        let wanted = match options.mode {
            Mode::Wall => running || options.idle,
            Mode::Cpu => running,
            Mode::Gil => state.has(HOLDS_GIL),
        };
        match (wanted, stack) {
            (false, _) => Self::LeftOut,
            // A thread without Python frames still has its time.
            (true, None) if !options.idle => Self::Nothing,
            (true, _) => Self::Sample,
        }
    }
}

/// A thread that is being sampled.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // independent findings of one look
pub struct SampledThread {
    index: u32,
    tid: i32,
    header: Header,
    /// `None` when its kernel thread could not be found: then it counts as running, and has no CPU time
    clock: Option<ThreadClock>,
    cpu: CpuShares,
    /// The account before the look at hand, or shortly before while it runs
    before: Option<SchedStat>,
    /// When that was read, on the session's clock
    asked_at: u64,
    /// It was read for the look at hand
    fresh: bool,
    /// It was on a CPU in the last look
    ran: bool,
    /// The account at a look at which the thread was blocked all along: while it stands there, it has not run
    blocked_at: Option<SchedStat>,
    rests: bool,
    /// It ran before the look, and its running time comes from its interrupts
    counts_by_interrupts: bool,
    /// Time that it waited for a CPU and no sample has been given yet, in ns
    waited: u64,
    /// Its kernel thread is gone
    ended: bool,
    last_stack: Option<(StackId, bool)>,
    last_state: State,
    /// Where the sums stood when it was last added up, while it rests
    rest_from: Option<Sums>,
    named: Option<Named>,
    doing: RunState,
}

impl SampledThread {
    /// The thread `tid` of `pid`, `index` in the profile.
    #[must_use]
    pub fn new(pid: i32, tid: i32, header: Header, index: u32) -> Self {
        Self {
            index,
            tid,
            header,
            clock: ThreadClock::open(pid, tid).ok(),
            cpu: CpuShares::default(),
            before: None,
            asked_at: 0,
            fresh: false,
            ran: false,
            blocked_at: None,
            rests: false,
            counts_by_interrupts: false,
            waited: 0,
            ended: false,
            last_stack: None,
            last_state: State::default(),
            rest_from: None,
            named: None,
            doing: RunState::Running,
        }
    }

    /// Whether the thread state at its address is still this thread's.
    #[must_use]
    pub fn is(&self, header: Header) -> bool {
        !self.ended && self.header.is_of_same_thread(header)
    }

    /// What its thread state said when it was met.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// Index in the profile.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The kernel's id, as our pid namespace counts it.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Its kernel thread is gone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// `threading.get_ident()`.
    #[must_use]
    pub fn python_id(&self) -> u64 {
        self.header.python_id
    }

    /// Reads the account before a look, at `now` on the session's clock. `covered`: its running time comes from its
    /// interrupts. While a thread runs its account moves at the scheduler's tick only, so it is not read more often;
    /// `always`: it is.
    pub fn ask_whether_it_ran(&mut self, covered: bool, always: bool, now: u64) {
        self.fresh = always || covered || !self.ran || now >= self.asked_at + ACCOUNT_EVERY;
        if !self.fresh {
            self.rests = false;
            self.counts_by_interrupts = false;
            return;
        }
        self.asked_at = now;
        let last = self.before;
        self.before = match self.clock.as_ref().map(ThreadClock::cpu) {
            Some(Ok(account)) => Some(account),
            Some(Err(error)) => {
                // Thread states and pthread_t are used again at once, but not kernel threads.
                self.ended |= error.raw_os_error() == Some(nix::libc::ESRCH);
                None
            }
            None => None,
        };
        self.rests = self.blocked_at.is_some() && self.blocked_at == self.before;
        if let (Some(last), Some(now)) = (last, self.before) {
            self.waited += now.wait_ns.saturating_sub(last.wait_ns);
        }
        self.counts_by_interrupts = covered && !self.rests && !self.is_blocked();
    }

    /// It was asked, and has not run since it was last looked at.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.rests
    }

    /// CPU time so far by the last account read, in ns.
    #[must_use]
    pub fn cpu_so_far(&self) -> u64 {
        self.before.map_or(0, |account| account.run_ns)
    }

    fn is_blocked(&self) -> bool {
        let state = self.clock.as_ref().map(ThreadClock::state);
        matches!(state, Some(Ok(RunState::Blocked { .. })))
    }

    /// Whether a look at its stack would bring nothing.
    #[must_use]
    pub fn needs_no_look(&self) -> bool {
        self.rests || self.counts_by_interrupts
    }

    /// It ran before the look, and its interrupts say where.
    #[must_use]
    pub fn counts_by_interrupts(&self) -> bool {
        self.counts_by_interrupts
    }

    /// Its interrupts say all there is to know of it, blocked or not.
    pub fn count_by_interrupts(&mut self) {
        self.counts_by_interrupts = true;
    }

    /// The system call that it is blocked in at this moment.
    #[must_use]
    pub fn syscall_now(&self) -> Option<u16> {
        match self.clock.as_ref()?.state().ok()? {
            RunState::Blocked { syscall, .. } => syscall.and_then(|number| u16::try_from(number).ok()),
            RunState::Running => None,
        }
    }

    /// It has been blocked ever since.
    #[must_use]
    pub fn still_rests(&self) -> bool {
        let account = self.clock.as_ref().and_then(|clock| clock.cpu().ok());
        account.is_some() && account == self.blocked_at
    }

    /// It was blocked all through the last look.
    #[must_use]
    pub fn was_blocked(&self) -> bool {
        self.blocked_at.is_some()
    }

    /// What it did when it was last asked; a thread that rests does it still.
    #[must_use]
    pub fn doing(&self) -> RunState {
        self.doing
    }

    /// The stack of a thread that rests.
    #[must_use]
    pub fn resting_stack(&self) -> Option<(StackId, bool)> {
        self.last_stack.filter(|_| self.rests)
    }

    /// What is known of the lower part of its stack.
    #[must_use]
    pub fn named(&self, base: (u64, usize)) -> Option<Named> {
        self.named.filter(|named| base.1 > 0 && named.base == base)
    }

    /// Keeps the lower part of its stack.
    pub fn set_named(&mut self, named: Named) {
        self.named = Some(named);
    }

    /// Adds a sample, or says why not. `stack` and whether it was cut; `None` when no Python code runs.
    #[allow(clippy::too_many_arguments)] // a look is this many facts
    pub fn add(
        &mut self,
        stack: Option<(StackId, bool)>,
        state: State,
        moment: Moment,
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
    ) {
        (self.last_stack, self.last_state) = (stack, state);
        let shown = stack.map_or(EMPTY_STACK, |(stack, _)| stack);
        sink.profile.saw(self.index, LastLook { stack: shown, state }, moment.wall);
        match Count::of(stack, state, options) {
            Count::LeftOut => {
                stats.idle += 1;
                stats.idle_ns += moment.wall;
            }
            Count::Sample => {
                let cut = stack.is_some_and(|(_, cut)| cut);
                stats.samples += 1;
                stats.cut += u64::from(cut);
                let seen = Sighting {
                    thread: self.index,
                    stack: shown,
                    time_ns: moment.time,
                    wall_ns: moment.wall,
                    state,
                };
                let added = sink.sample(&seen, cut);
                if state.has(ON_CPU) && stack.is_some() {
                    self.cpu.running(added, moment.wall);
                }
            }
            Count::Nothing => {}
        }
        self.account(sink);
    }

    /// Begins or ends a rest; returns where the one before began.
    pub fn rest_from(&mut self, sums: Option<Sums>) -> Option<Sums> {
        std::mem::replace(&mut self.rest_from, sums)
    }

    /// It is added up in [`super::resting::Resting`].
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.rest_from.is_some()
    }

    /// What each look counts as while it rests.
    #[must_use]
    pub fn count_at_rest(&self, options: &Options) -> Count {
        Count::of(self.last_stack, self.last_state, options)
    }

    /// CPU time up to its rest, in ns.
    #[must_use]
    pub fn cpu_at_rest(&self) -> u64 {
        self.blocked_at.map_or(0, |account| account.run_ns)
    }

    /// Adds the looks of its rest up to `sums`, if it rests.
    pub fn add_rest(&mut self, sums: Sums, options: &Options, sink: &mut Sink) {
        let Some(from) = self.rest_from else { return };
        let (looks, wall_ns) = (sums.looks - from.looks, sums.wall_ns - from.wall_ns);
        if looks == 0 {
            return;
        }
        let (stack, state) = (self.last_stack.map_or(EMPTY_STACK, |(stack, _)| stack), self.last_state);
        sink.profile.saw(self.index, LastLook { stack, state }, wall_ns);
        if self.count_at_rest(options) == Count::Sample {
            sink.profile.rest(self.index, stack, state, looks, wall_ns);
        }
    }

    /// Adds one look of its rest by itself, where each counts: in a stream, in a record of the order.
    pub fn add_resting(&mut self, moment: Moment, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        let (stack, state) = (self.last_stack, self.last_state);
        self.add(stack, state, moment, options, sink, stats);
    }

    /// Part of what it has waited for a CPU, in ns, for an interrupt that stands for `cpu_ns`. Long waits are shared
    /// among several interrupts: one that got all of it would weigh as much as many others.
    pub fn take_waited(&mut self, cpu_ns: u64) -> u64 {
        let part = self.waited.min(cpu_ns.max(self.waited / WAIT_SHARES));
        self.waited -= part;
        part
    }

    /// Its stack of the last look is to be read again, even if it rests.
    pub fn look_again(&mut self) {
        self.blocked_at = None;
    }

    /// Shares the CPU time that the kernel has counted meanwhile.
    pub fn account(&mut self, sink: &mut Sink) {
        if let Some(account) = self.before {
            self.cpu.account(account.run_ns, sink);
        }
    }

    /// The last word of its account.
    pub fn settle(&mut self, sink: &mut Sink) {
        if let Some(account) = self.clock.as_ref().and_then(|clock| clock.cpu().ok()) {
            self.cpu.account(account.run_ns, sink);
        }
    }

    /// Asks after the look. A thread that is blocked now and whose account stands as before the look was
    /// blocked all the time in between: the account moves when a thread leaves its CPU.
    /// `moved`: its stack changed during the look; `known`: what it showed is worth keeping while it rests.
    pub fn is_running_now(&mut self, moved: bool, known: bool) -> bool {
        self.ran = !self.rests;
        if self.rests {
            return false;
        }
        let Some(clock) = &self.clock else { return true };
        self.doing = if moved { RunState::Running } else { clock.state().unwrap_or(RunState::Running) };
        self.ran = !matches!(self.doing, RunState::Blocked { .. });
        let before = self.before.filter(|_| known && !self.ran && self.fresh);
        self.blocked_at = before.filter(|before| clock.cpu().is_ok_and(|now| now == *before));
        self.ran
    }
}

/// Adds a sample that is known only now: a thread's own interrupt, or a look whose frames had no names. `stack` and
/// whether it was cut; `thread`: the thread, if it is still there.
pub fn add_late(
    thread: Option<&mut SampledThread>,
    seen: Sighting,
    stack: Option<(StackId, bool)>,
    options: &Options,
    sink: &mut Sink,
    stats: &mut Stats,
) {
    let Sighting { state, wall_ns, .. } = seen;
    let on_cpu = state.has(ON_CPU);
    sink.profile.saw(seen.thread, LastLook { stack: seen.stack, state }, wall_ns);
    if Count::of(stack, state, options) != Count::Sample {
        stats.idle += u64::from(!state.has(GOES_ON));
        stats.idle_ns += wall_ns;
        return;
    }
    let cut = stack.is_some_and(|(_, cut)| cut);
    let begins = u64::from(!state.has(GOES_ON));
    stats.samples += begins;
    stats.waits += if state.has(BLOCKED) { begins } else { 0 };
    stats.cut += if cut { begins } else { 0 };
    let added = sink.sample(&seen, cut);
    match thread {
        _ if state.has(WAITS_FOR_CPU) => {}
        Some(thread) if on_cpu => thread.cpu.running(added, wall_ns),
        // Its account is closed; what the interrupt stands for is known.
        None if on_cpu => sink.add_cpu(added, wall_ns),
        _ => {}
    }
}
