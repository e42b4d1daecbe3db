//! What we may do here, how deep that lets us look, and what would let us look deeper.
//!
//! Every question is put to the kernel itself by a call that changes nothing: settings and capabilities explain an
//! answer, they do not replace it.

pub mod engine;
pub mod kernel;
mod obstacles;
mod perf;
mod program;

use nix::errno::Errno;
use pyprof_core::Result;
use pyprof_core::memory::ProcessMemory;
use pyprof_core::process::access::explain_denied;
use pyprof_core::process::rights::Ourselves;
use pyprof_core::process::rights::filter::{Answer, Passage};
use pyprof_core::process::rights::remedy::{Need, Remedy};
use pyprof_core::python::locate::readable;
use pyprof_core::sampler::EngineKind;

use crate::bpf;
pub use engine::{Verdict, gives};
use kernel::Kernel;

/// Whether the kernel does a thing for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It does
    Yes,
    /// It answers with this error
    No(Errno),
    /// The call does not get as far as that
    Stopped(Passage),
}

impl Grant {
    /// It does.
    #[must_use]
    pub fn is_given(self) -> bool {
        self == Self::Yes
    }

    fn of(answer: Answer) -> Self {
        match answer {
            Answer::Returned(0) => Self::Yes,
            Answer::Returned(errno) => Self::No(Errno::from_raw(errno)),
            Answer::Killed => Self::Stopped(Passage::Deadly),
            Answer::Untried => Self::Stopped(Passage::Unknown),
        }
    }
}

/// What this process may do. Capabilities are a thread's own, so probe on the thread that will use them or on one
/// started like it.
#[derive(Debug, Clone)]
pub struct Rights {
    /// User, capabilities, filters, surroundings
    pub ourselves: Ourselves,
    /// A perf event of all code that a thread of ours runs, the kernel's included
    pub perf: Grant,
    /// A perf event of user code only
    pub perf_user: Grant,
    /// A BPF program that runs at a perf event and reads the thread's memory
    pub bpf: Grant,
    /// This build has the BPF program of the exact engine
    pub has_walker: bool,
    /// What the kernel offers and how it is set
    pub kernel: Kernel,
}

impl Rights {
    /// Asks. Changes nothing, cannot fail, takes less than a millisecond where no seccomp filter is installed.
    #[must_use]
    pub fn probe() -> Self {
        Self {
            ourselves: Ourselves::probe(),
            perf: perf::everything(),
            perf_user: perf::user_code(),
            bpf: program::loads(),
            has_walker: bpf::is_built_in(),
            kernel: Kernel::probe(),
        }
    }

    /// What each engine needs that is not there, best engine first.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        EngineKind::ALL.into_iter().map(|engine| self.verdict(engine)).collect()
    }

    /// What `engine` needs that is not there.
    #[must_use]
    pub fn verdict(&self, engine: EngineKind) -> Verdict {
        let (causes, needs): (Vec<_>, Vec<_>) = self.obstacles(engine).into_iter().unzip();
        let together = needs.into_iter().reduce(Need::both).unwrap_or_default();
        let remedies = together.remedies(&self.ourselves);
        Verdict { engine, causes, remedies }
    }

    /// The best engine that works here for processes that we may read; `None` when not even the snapshot does.
    #[must_use]
    pub fn engine(&self) -> Option<EngineKind> {
        EngineKind::ALL.into_iter().find(|engine| self.obstacles(*engine).is_empty())
    }

    /// The best engine for `pid`.
    ///
    /// # Errors
    /// [`pyprof_core::Error::Permission`] with its remedy where `pid` may not be read: every engine has to.
    pub fn engine_for(&self, pid: i32) -> Result<EngineKind> {
        readable(pid, &ProcessMemory::new(pid))?;
        self.engine().ok_or_else(|| explain_denied(pid))
    }

    /// What would make the kernel's functions known by name; empty when they are.
    #[must_use]
    pub fn kernel_names(&self) -> Vec<Remedy> {
        self.kernel.names_need().map_or_else(Vec::new, |need| need.remedies(&self.ourselves))
    }
}
