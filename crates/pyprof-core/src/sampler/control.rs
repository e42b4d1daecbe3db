//! What the caller's threads and the sampling thread tell each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Stats;

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    stats: Mutex<Stats>,
}

/// Watches and ends a recording from any thread, also while another one waits in
/// [`super::Recorder::finish`].
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Shared>);

impl Control {
    /// Asks the sampling thread to end.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
    }

    /// Whether somebody asked for the end.
    #[must_use]
    pub fn stop_requested(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// How it goes so far, as the sampling thread last said.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.0.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how it goes: for the sampling thread.
    pub fn publish(&self, stats: Stats) {
        *self.0.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}
