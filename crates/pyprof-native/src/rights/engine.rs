//! What each engine shows, and whether it works here.

use pyprof_core::process::rights::remedy::{Remedy, sentence};
use pyprof_core::sampler::EngineKind;

/// What an engine shows.
#[must_use]
pub fn gives(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Exact => "Python, native and kernel frames of running threads, from their own interrupt",
        EngineKind::Perf => {
            "native and kernel frames from the thread's interrupt, Python frames from snapshots"
        }
        EngineKind::PerfUser => {
            "native frames from the thread's interrupt, none inside the kernel; Python frames from snapshots"
        }
        EngineKind::Snapshot => "Python frames, read from outside; native frames of blocked threads",
    }
}

/// Whether an engine works here, and if not, why and what would change that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which
    pub engine: EngineKind,
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
