//! A process that has just been started is not Python yet: a shell, a loader, an interpreter without threads.

use std::time::{Duration, Instant};

use super::Control;
use crate::attach::Attached;
use crate::{Error, Result};

/// Time between the first two tries; it grows, because a search for an interpreter that is not there is long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(20);

/// Attaches as soon as the process can be understood, for at most `wait`.
pub fn attach(pid: i32, wait: Duration, control: &Control) -> Result<Attached> {
    let end = Instant::now() + wait;
    let mut pause = FIRST_PAUSE;
    loop {
        match Attached::open(pid) {
            Err(error) if passes(&error) && Instant::now() < end && !control.stop_requested() => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LAST_PAUSE);
            }
            result => return result,
        }
    }
}

/// Whether the error can be one of a process that is still starting.
fn passes(error: &Error) -> bool {
    matches!(
        error,
        Error::NotPython { .. } | Error::NotReady { .. } | Error::Unreadable { .. } | Error::System { .. }
    )
}
