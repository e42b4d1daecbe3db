//! The engines: which way stacks are taken, chosen by what this process may do.
//!
//! - *exact*: every thread's own interrupt, with Python's frames walked in the kernel (perf events and BPF);
//! - *perf*: interrupts without BPF: native and kernel frames; Python's come from looks;
//! - *perf-user*: the same without interrupts inside the kernel, which is all that an ordinary user may have;
//! - *snapshot*: looks alone; native and kernel frames of blocked threads.

mod choose;
mod names;
mod probe;
pub mod stacks;
mod table;

use std::sync::{Arc, OnceLock};

use pyprof_core::attach::Attached;
use pyprof_core::sampler::EngineKind;
use pyprof_core::sampler::engine::{Engine, Probe};
use pyprof_core::{Error, Result};

use crate::kernel::Kernel;
use choose::Choice;
pub use probe::EngineProbe;

/// What to show, and by which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// Native frames
    pub native: bool,
    /// Kernel frames
    pub kernel: bool,
    /// Blocked time from switch to switch; the exact engine alone has it
    pub offcpu: bool,
    /// This way or none; `None`: the best there is. [`EngineKind::Perf`] stands for `PerfUser` too
    pub forced: Option<EngineKind>,
}

/// Takes stacks by the best way there is.
#[derive(Debug)]
pub struct NativeEngine {
    options: EngineOptions,
    kernel: OnceLock<Option<Arc<Kernel>>>,
}

impl NativeEngine {
    /// The engine for these options; `None` when looks alone do what is asked.
    #[must_use]
    pub fn of(options: EngineOptions) -> Option<Arc<dyn Engine>> {
        let plain = !options.native && !options.kernel && !options.offcpu;
        if plain && matches!(options.forced, None | Some(EngineKind::Snapshot)) {
            return None;
        }
        Some(Arc::new(Self { options, kernel: OnceLock::new() }))
    }

    fn kernel(&self) -> Option<Arc<Kernel>> {
        if !self.options.kernel {
            return None;
        }
        self.kernel.get_or_init(|| Kernel::load().map(Arc::new)).clone()
    }
}

impl Engine for NativeEngine {
    fn probe(&self, process: &mut Attached, rate: f64) -> Result<Box<dyn Probe>> {
        let stacks = stacks::Stacks::new(process, self.options, self.kernel()).map_err(|source| {
            let operation = "reading the target's memory map".to_owned();
            process.judge(&source).unwrap_or(Error::System { operation, source })
        })?;
        let Choice { kind, interrupts, advice } = choose::choose(process, self.options, rate)?;
        Ok(Box::new(EngineProbe {
            kind,
            advice,
            options: self.options,
            stacks,
            interrupts,
            last: rustc_hash::FxHashMap::default(),
        }))
    }
}
