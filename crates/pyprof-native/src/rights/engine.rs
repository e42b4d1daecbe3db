//! The ways of looking, best first.

use std::str::FromStr;

use pyprof_core::process::rights::remedy::{Remedy, sentence};

/// A way of getting stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Running threads from their own interrupt, by perf event and BPF
    Exact,
    /// Native and kernel frames from a perf event, Python's from snapshots
    Perf,
    /// The same of user code only: samples inside the kernel are lost
    PerfUser,
    /// Everything read from outside
    Snapshot,
}

impl Engine {
    /// Best first.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Perf, Self::PerfUser, Self::Snapshot];

    /// A stable name, for options and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Perf => "perf",
            Self::PerfUser => "perf-user",
            Self::Snapshot => "snapshot",
        }
    }

    /// What it shows.
    #[must_use]
    pub fn gives(self) -> &'static str {
        match self {
            Self::Exact => "Python, native and kernel frames of running threads, from their own interrupt",
            Self::Perf => {
                "native and kernel frames from the thread's interrupt, Python frames from snapshots"
            }
            Self::PerfUser => {
                "native frames from the thread's interrupt, none inside the kernel; Python frames from snapshots"
            }
            Self::Snapshot => "Python frames, read from outside; native frames of blocked threads",
        }
    }
}

impl FromStr for Engine {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|engine| engine.name() == name).ok_or(())
    }
}

/// Whether an engine works here, and if not, why and what would change that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which
    pub engine: Engine,
    /// Everything that is missing, as parts of a sentence; empty when it works
    pub causes: Vec<String>,
    /// What gives all of it, the way at hand first
    pub remedies: Vec<Remedy>,
}

impl Verdict {
    /// It works.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.causes.is_empty()
    }

    /// Why it does not work and what helps, as a sentence; `None` when it works.
    #[must_use]
    pub fn explain(&self) -> Option<String> {
        if self.is_available() {
            return None;
        }
        let causes = self.causes.join(", and ");
        let helps = sentence(&self.remedies);
        let helps = if helps.is_empty() { helps } else { format!("; {helps}") };
        Some(format!("the {} engine does not work here: {causes}{helps}", self.engine.name()))
    }
}
