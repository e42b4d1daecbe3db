//! How well the sampler kept up.

use napi_derive::napi;
use pyprof_core::sampler::Stats;

/// The sampler's own health.
#[napi(object)]
pub struct RawStats {
    pub elapsed_ns: f64,
    pub rounds: f64,
    pub missed: f64,
    pub failed: f64,
    pub samples: f64,
    pub cut: f64,
    pub idle: f64,
    pub idle_ns: f64,
    pub cpu_ns: f64,
    pub extra_reads: f64,
    /// Sampled at the moment
    pub processes: f64,
    /// With a Python state at the moment
    pub threads: f64,
    /// Samples of the stream that nobody took in time
    pub lost: f64,
    /// Interrupts of threads that were lost
    pub lost_interrupts: f64,
    /// Stacks whose native side could not be merged
    pub unmerged: f64,
    /// Where the stacks come from: `exact`, `perf`, `perf-user` or `snapshot`
    pub engine: String,
    /// Blocked time is measured from switch to switch
    pub offcpu: bool,
    /// Times that a thread was blocked, if that is measured
    pub waits: f64,
}

impl From<Stats> for RawStats {
    fn from(stats: Stats) -> Self {
        Self {
            elapsed_ns: stats.elapsed_ns as f64,
            rounds: stats.rounds as f64,
            missed: stats.missed as f64,
            failed: stats.failed as f64,
            samples: stats.samples as f64,
            cut: stats.cut as f64,
            idle: stats.idle as f64,
            idle_ns: stats.idle_ns as f64,
            cpu_ns: stats.cpu_ns as f64,
            extra_reads: stats.extra_reads as f64,
            processes: stats.processes as f64,
            threads: stats.threads as f64,
            lost: stats.lost as f64,
            lost_interrupts: stats.lost_interrupts as f64,
            unmerged: stats.unmerged as f64,
            engine: stats.engine.name().to_owned(),
            offcpu: stats.offcpu,
            waits: stats.waits as f64,
        }
    }
}
