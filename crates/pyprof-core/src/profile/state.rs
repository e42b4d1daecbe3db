//! What a thread did at the moment of a look.

/// The thread was on a CPU, or waited for one.
pub const ON_CPU: u32 = 1;
/// The thread held a GIL.
pub const HOLDS_GIL: u32 = 2;
/// The stack was cut.
pub const CUT: u32 = 4;
/// The thread was blocked in the lock of its GIL.
pub const WAITS_FOR_GIL: u32 = 8;
/// The thread held the GIL while its interpreter collected garbage.
pub const IN_GC: u32 = 16;
/// The thread was in an `except` or `finally` block of an exception (known from 3.11 on).
pub const HANDLES_EXCEPTION: u32 = 32;
/// The thread was blocked, and the sample's time is measured from switch to switch.
pub const BLOCKED: u32 = 64;
/// The thread could have run but had no CPU, measured likewise.
pub const WAITS_FOR_CPU: u32 = 128;
/// The sample adds time to the one before of its thread: the same wait goes on.
pub const GOES_ON: u32 = 256;

/// What a thread did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The sum of [`ON_CPU`] and the others
    pub flags: u32,
    /// Number of the system call that it was blocked in; `None` when it was in none, or it is not known
    pub syscall: Option<u16>,
}

impl State {
    /// With `flag` when `yes`.
    #[must_use]
    pub fn with(mut self, flag: u32, yes: bool) -> Self {
        if yes {
            self.flags |= flag;
        }
        self
    }

    /// Without `flag`.
    #[must_use]
    pub fn without(mut self, flag: u32) -> Self {
        self.flags &= !flag;
        self
    }

    /// Whether it has `flag`.
    #[must_use]
    pub fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The name of the system call.
    #[must_use]
    pub fn syscall_name(self) -> Option<&'static str> {
        Some(syscalls::Sysno::new(usize::from(self.syscall?))?.name())
    }
}

/// What a thread had to do with the GIL, in ns: the time that looks stand for which saw it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GilTimes {
    /// It held it
    pub held_ns: u64,
    /// It waited for it
    pub waited_ns: u64,
}

impl GilTimes {
    /// A look that saw `state` and stands for `wall_ns`.
    pub fn saw(&mut self, state: State, wall_ns: u64) {
        if state.has(HOLDS_GIL) {
            self.held_ns += wall_ns;
        } else if state.has(WAITS_FOR_GIL) {
            self.waited_ns += wall_ns;
        }
    }

    /// Both of another.
    pub fn add(&mut self, more: Self) {
        self.held_ns += more.held_ns;
        self.waited_ns += more.waited_ns;
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            held_ns: self.held_ns.saturating_sub(earlier.held_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }
}
