//! Which events are asked for.

use nix::libc;

use super::sys::Attributes;

/// `PERF_TYPE_SOFTWARE`
const SOFTWARE: u32 = 1;
/// `PERF_COUNT_SW_CPU_CLOCK`, `PERF_COUNT_SW_CONTEXT_SWITCHES`, `PERF_COUNT_SW_DUMMY`, `PERF_COUNT_SW_BPF_OUTPUT`
const CPU_CLOCK: u64 = 0;
const CONTEXT_SWITCHES: u64 = 3;
const DUMMY: u64 = 9;
const BPF_OUTPUT: u64 = 10;

/// `enum perf_event_sample_format`
pub const IP: u64 = 1;
pub const TID: u64 = 1 << 1;
pub const TIME: u64 = 1 << 2;
pub const CALLCHAIN: u64 = 1 << 5;
pub const CPU: u64 = 1 << 7;
pub const PERIOD: u64 = 1 << 8;
pub const RAW: u64 = 1 << 10;
pub const REGS_USER: u64 = 1 << 12;
pub const STACK_USER: u64 = 1 << 13;
pub const IDENTIFIER: u64 = 1 << 16;

/// Bits of the flags in `struct perf_event_attr`.
const DISABLED: u64 = 1;
const INHERIT: u64 = 1 << 1;
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
const TASK: u64 = 1 << 13;
const SAMPLE_ID_ALL: u64 = 1 << 18;
const EXCLUDE_CALLCHAIN_USER: u64 = 1 << 22;
const USE_CLOCK: u64 = 1 << 25;
const CONTEXT_SWITCH: u64 = 1 << 26;
const INHERIT_THREAD: u64 = 1 << 35;

/// The user registers that unwinding starts from, in the kernel's order (`PERF_REG_X86_*`, `PERF_REG_ARM64_*`).
#[cfg(target_arch = "x86_64")]
pub const REGISTERS: u64 = 0x00ff_01ff;
/// The same of arm64.
#[cfg(target_arch = "aarch64")]
pub const REGISTERS: u64 = (1 << 33) - 1;

/// Bytes of a user stack that a record holds at most; deeper stacks are cut. A record is below 64 KiB, and `OpenBLAS` alone
/// takes 29 KiB of stack.
const STACK_BYTES: u32 = 60 << 10;
/// The same for an ordinary user, whose rings are small.
const STACK_BYTES_OF_USER: u32 = 32 << 10;

/// What each interrupt should bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "switches, each with a meaning of its own")]
pub struct Wanted {
    /// CPU time between two interrupts of a thread, in ns
    pub period_ns: u64,
    /// User registers and stack bytes, for native frames
    pub native: bool,
    /// The kernel's call chain
    pub kernel: bool,
    /// Interrupts inside the kernel too; needs more rights
    pub in_kernel: bool,
    /// When each thread leaves its CPU and where, and when it has one again; needs `in_kernel`
    pub switches: bool,
}

impl Wanted {
    /// What the record of an event holds.
    #[must_use]
    pub(super) fn contents(self, kind: Kind) -> Contents {
        let switch = kind == Kind::Switch;
        Contents { registers: self.native || switch, stack: self.native, kernel: self.kernel }
    }

    fn sample_type(self, kind: Kind) -> u64 {
        let contents = self.contents(kind);
        let registers = if contents.registers { REGS_USER } else { 0 };
        let stack = if contents.stack { STACK_USER } else { 0 };
        let kernel = if contents.kernel { CALLCHAIN } else { 0 };
        IDENTIFIER | IP | TID | TIME | CPU | PERIOD | registers | stack | kernel
    }

    /// The interrupts of a thread; `inherit`: and of the threads it will start.
    #[must_use]
    pub fn clock(self, inherit: bool) -> Attributes {
        let when = |yes, flags| if yes { flags } else { 0 };
        Attributes {
            kind: SOFTWARE,
            config: CPU_CLOCK,
            sample_period: self.period_ns,
            sample_type: self.sample_type(Kind::Clock),
            flags: DISABLED
                | EXCLUDE_HYPERVISOR
                | TASK
                | EXCLUDE_CALLCHAIN_USER
                | USE_CLOCK
                | when(inherit, INHERIT | INHERIT_THREAD)
                | when(!self.in_kernel, EXCLUDE_KERNEL),
            sample_regs_user: if self.native { REGISTERS } else { 0 },
            sample_stack_user: match (self.native, self.in_kernel) {
                (false, _) => 0,
                (true, true) => STACK_BYTES,
                (true, false) => STACK_BYTES_OF_USER,
            },
            clock: libc::CLOCK_MONOTONIC,
            ..Attributes::default()
        }
    }

    /// A thread's way off its CPU and back. It samples the thread that leaves while it is still there, with all of its
    /// stack, and a record follows that says whether it could have gone on; another one when it has a CPU again.
    #[must_use]
    pub fn switch(self, inherit: bool) -> Attributes {
        let clock = self.clock(inherit);
        Attributes {
            config: CONTEXT_SWITCHES,
            sample_period: 1,
            sample_type: self.sample_type(Kind::Switch),
            // Threads that start and end are the clock's to tell.
            flags: (clock.flags & !TASK) | SAMPLE_ID_ALL | CONTEXT_SWITCH,
            sample_regs_user: REGISTERS,
            ..clock
        }
    }
}

/// Which of a thread's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has run for a while
    Clock,
    /// It leaves its CPU, or has one again
    Switch,
}

/// What the record of an event holds beside what all hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// User registers
    pub registers: bool,
    /// Stack bytes
    pub stack: bool,
    /// The kernel's call chain
    pub kernel: bool,
}

/// An event that never happens: the owner of a ring.
#[must_use]
pub fn ring_owner() -> Attributes {
    Attributes {
        kind: SOFTWARE,
        config: DUMMY,
        sample_type: IDENTIFIER,
        flags: EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR | USE_CLOCK,
        clock: libc::CLOCK_MONOTONIC,
        ..Attributes::default()
    }
}

/// What a BPF program on one CPU writes.
#[must_use]
pub fn bpf_output() -> Attributes {
    Attributes {
        kind: SOFTWARE,
        config: BPF_OUTPUT,
        sample_period: 1,
        sample_type: IDENTIFIER | TID | TIME | RAW,
        flags: USE_CLOCK,
        clock: libc::CLOCK_MONOTONIC,
        ..Attributes::default()
    }
}
