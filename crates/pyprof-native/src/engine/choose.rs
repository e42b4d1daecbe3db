//! Which engine: the best that the kernel lets us have, or the one asked for.

use std::io;

use pyprof_core::attach::Attached;
use pyprof_core::sampler::EngineKind;
use pyprof_core::{Error, Result};

use super::EngineOptions;
use crate::interrupts::Interrupts;
use crate::perf::Wanted;
use crate::rights::Rights;

/// Fewest nanoseconds between two interrupts: what the kernel's timers can do (`perf_swevent_start_hrtimer`).
const MIN_PERIOD: u64 = 10_000;

/// What was chosen.
#[derive(Debug)]
pub struct Choice {
    /// Which engine
    pub kind: EngineKind,
    /// Its interrupts, if it has any
    pub interrupts: Option<Interrupts>,
    /// What would give a better one
    pub advice: Option<String>,
}

/// Tries the engines from the best to the least, or the forced one alone.
pub fn choose(process: &mut Attached, options: EngineOptions, rate: f64) -> Result<Choice> {
    let wanted = Wanted {
        period_ns: ((1e9 / rate) as u64).max(MIN_PERIOD),
        native: options.native,
        kernel: options.kernel,
        in_kernel: true,
        switches: options.offcpu,
    };
    let forced = if options.offcpu { options.forced.or(Some(EngineKind::Exact)) } else { options.forced };
    if options.offcpu && forced != Some(EngineKind::Exact) {
        let text = "off-CPU time needs the exact engine, not another one";
        return Err(Error::InvalidArgument(text.to_owned()));
    }
    let tries: &[EngineKind] = match forced {
        None => &[EngineKind::Exact, EngineKind::Perf, EngineKind::PerfUser, EngineKind::Snapshot],
        Some(EngineKind::Exact) => &[EngineKind::Exact],
        Some(EngineKind::Perf | EngineKind::PerfUser) => &[EngineKind::Perf, EngineKind::PerfUser],
        Some(EngineKind::Snapshot) => &[EngineKind::Snapshot],
    };
    // Asked first: where a seccomp filter kills for a call, trying would be the end of us.
    let rights = Rights::probe();
    let mut obstacle = None;
    for kind in tries {
        if let Some(problem) = rights.verdict(*kind).explain() {
            obstacle.get_or_insert(problem);
            continue;
        }
        match start(process, *kind, wanted) {
            Ok(interrupts) => {
                let advice = obstacle.filter(|_| forced.is_none());
                return Ok(Choice { kind: *kind, interrupts, advice });
            }
            Err(error) => {
                if let Some(gone @ Error::ProcessExited { .. }) = process.judge(&error) {
                    return Err(gone);
                }
                obstacle.get_or_insert_with(|| {
                    format!("the {} engine does not work on this process: {error}", kind.name())
                });
            }
        }
    }
    let engine = forced.map_or("exact", EngineKind::name);
    Err(Error::Engine { pid: process.handle.pid(), engine, reason: obstacle.unwrap_or_default() })
}

fn start(process: &mut Attached, kind: EngineKind, wanted: Wanted) -> io::Result<Option<Interrupts>> {
    match kind {
        EngineKind::Exact => Interrupts::start(process, wanted, true).map(Some),
        EngineKind::Perf => Interrupts::start(process, wanted, false).map(Some),
        EngineKind::PerfUser => {
            let wanted = Wanted { in_kernel: false, kernel: false, ..wanted };
            Interrupts::start(process, wanted, false).map(Some)
        }
        EngineKind::Snapshot => Ok(None),
    }
}
