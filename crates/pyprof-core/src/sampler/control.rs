//! What the caller's threads and the sampling thread tell each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stream::{Batch, Outlet};
use super::{Recording, Stats};

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    stats: Mutex<Stats>,
    requests: Mutex<Requests>,
    has_requests: AtomicBool,
    outlet: Outlet,
}

#[derive(Debug, Default)]
struct Requests {
    waiting: Vec<Sender<Recording>>,
    /// Nobody will answer any more
    closed: bool,
}

/// Watches, asks and ends a session from any thread, also while another one waits in
/// [`super::Session::finish`].
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

    /// What was seen so far; the session goes on. Waits for the sampling thread, some 20 ms at the most; `None` once
    /// the session has ended.
    #[must_use]
    pub fn so_far(&self) -> Option<Recording> {
        let (sender, receiver) = mpsc::channel();
        {
            let mut requests = self.requests();
            if requests.closed {
                return None;
            }
            requests.waiting.push(sender);
            self.0.has_requests.store(true, Ordering::Release);
        }
        receiver.recv().ok()
    }

    /// What came since the last time, when the session was started with a stream. Never waits.
    #[must_use]
    pub fn drain(&self) -> Batch {
        self.0.outlet.drain()
    }

    pub(super) fn outlet(&self) -> Outlet {
        self.0.outlet.clone()
    }

    /// Whether somebody waits in [`Control::so_far`].
    pub(super) fn is_asked(&self) -> bool {
        self.0.has_requests.load(Ordering::Acquire)
    }

    /// Answers those who wait in [`Control::so_far`]: for the sampling thread.
    pub(super) fn answer(&self, recording: impl Fn() -> Recording) {
        if !self.0.has_requests.swap(false, Ordering::AcqRel) {
            return;
        }
        let waiting = std::mem::take(&mut self.requests().waiting);
        for sender in waiting {
            // Who asked may have gone.
            let _ = sender.send(recording());
        }
    }

    /// Nobody is answered any more.
    pub(super) fn close(&self) {
        let mut requests = self.requests();
        requests.closed = true;
        requests.waiting.clear();
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
