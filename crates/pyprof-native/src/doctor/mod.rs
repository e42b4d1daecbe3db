//! What can be profiled here, how deep, and what would let us look deeper: for people and for programs.

mod checks;
mod target;

use pyprof_core::process::rights::remedy::Remedy;
use pyprof_core::sampler::EngineKind;

use crate::rights::{Rights, Verdict};
pub use target::{Note, Python, Target};

/// The whole examination.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was asked of the kernel, in a fixed order
    pub checks: Vec<Check>,
    /// Every engine, best first
    pub engines: Vec<Verdict>,
    /// The best one that works here
    pub engine: Option<EngineKind>,
    /// The process asked about
    pub target: Option<Target>,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable name
    pub id: &'static str,
    /// The answer, for people
    pub value: String,
    /// Whether it lets us look deeper; `None` where it only explains others
    pub good: Option<bool>,
    /// What would change it, the way at hand first
    pub remedies: Vec<Remedy>,
}

/// Examines this machine and, when asked, a process. What cannot be done is in the report; this itself cannot fail.
#[must_use]
pub fn examine(pid: Option<i32>) -> Report {
    let rights = Rights::probe();
    Report {
        checks: checks::of(&rights),
        engines: rights.verdicts(),
        engine: rights.engine(),
        target: pid.map(|pid| Target::examine(pid, &rights)),
    }
}
