//! When to look: absolute deadlines, so that no sample's time depends on how long the last one took.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use super::Control;

/// Longest uninterrupted sleep, in ns: how long a request to stop can wait.
pub const NAP: u64 = 20_000_000;

/// `CLOCK_MONOTONIC` in ns.
#[must_use]
pub fn now() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread in ns.
#[must_use]
pub fn own_cpu() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// `CLOCK_REALTIME` in ns since the epoch.
#[must_use]
pub fn unix_time() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// Shorter periods than this, in ns, cannot be slept: waking up takes longer.
const SHORTEST_SLEEP: f64 = 25_000.0;

/// A sequence of deadlines.
#[derive(Debug)]
pub struct Deadlines {
    start: u64,
    period: f64,
    /// How far a deadline may be from its place, in periods, 0 to 1
    jitter: f64,
    random: u64,
    count: u64,
    missed: u64,
}

impl Deadlines {
    /// `rate` a second from `start` on; the first one is a whole period later. With `jitter` each is moved by up to
    /// half that many periods, so that a program with a period of its own is not seen at the same place for ever.
    #[must_use]
    pub fn new(start: u64, rate: f64, jitter: f64) -> Self {
        Self { start, period: 1e9 / rate, jitter, random: start | 1, count: 0, missed: 0 }
    }

    /// The next deadline that has not passed yet. Those that have are counted as missed and never made up for:
    /// a burst of looks would count one moment many times.
    pub fn next(&mut self, now: u64) -> u64 {
        let due = (now.saturating_sub(self.start) as f64 / self.period).floor() as u64;
        self.missed += due.saturating_sub(self.count);
        self.count = self.count.max(due) + 1;
        let deadline = self.place();
        if deadline > now || self.jitter == 0.0 {
            return deadline;
        }
        // Moved to before now.
        self.missed += 1;
        self.count += 1;
        self.place().max(now + 1)
    }

    fn place(&mut self) -> u64 {
        // xorshift64 (Marsaglia, 2003)
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let moved =
            if self.jitter > 0.0 { self.jitter * (self.random as f64 / 2f64.powi(64) - 0.5) } else { 0.0 };
        self.start + ((self.count as f64 + moved) * self.period) as u64
    }

    /// Whether waiting means looking at the clock: the period is shorter than waking up takes.
    #[must_use]
    pub fn spins(&self) -> bool {
        self.period < SHORTEST_SLEEP
    }

    /// How many deadlines were missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// It is time
    Due,
    /// It is not, but other work can be done
    Nap,
    /// The session was asked to stop
    Stopped,
}

/// Sleeps until `deadline`, or for `nap` ns when that is farther away. `spins`: looks at the clock all the time instead.
#[must_use]
pub fn sleep_until(deadline: u64, nap: u64, spins: bool, control: &Control) -> Woken {
    if control.stop_requested() {
        return Woken::Stopped;
    }
    let now = now();
    if now >= deadline {
        return Woken::Due;
    }
    if spins {
        while self::now() < deadline {
            std::hint::spin_loop();
        }
        return Woken::Due;
    }
    let until = deadline.min(now + nap);
    let time = TimeSpec::from_duration(Duration::from_nanos(until));
    match clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &time) {
        Ok(_) if until == deadline => Woken::Due,
        Ok(_) | Err(Errno::EINTR) => Woken::Nap,
        // A clock that cannot sleep: look at once rather than never.
        Err(_) => Woken::Due,
    }
}

#[cfg(test)]
mod tests {
    use super::Deadlines;

    #[test]
    fn deadlines_do_not_drift_and_missed_ones_are_skipped() {
        let mut deadlines = Deadlines::new(1000, 1e7, 0.0);
        assert_eq!(deadlines.next(1000), 1100);
        assert_eq!(deadlines.next(1130), 1200);
        assert_eq!(deadlines.missed(), 0);
        assert_eq!(deadlines.next(1510), 1600);
        assert_eq!(deadlines.missed(), 3);
        assert_eq!(deadlines.next(1610), 1700);
    }

    #[test]
    fn jitter_moves_deadlines_about_their_places() {
        let mut deadlines = Deadlines::new(0, 1e6, 1.0);
        let mut now = 0;
        let mut moved = Vec::new();
        for _ in 0..1000 {
            let next = deadlines.next(now);
            assert!(next > now, "a deadline that has passed is skipped");
            moved.push(next % 1000);
            now = next;
        }
        assert!(now.abs_diff(1_000_000 + deadlines.missed() * 1000) <= 1000, "they do not drift");
        let low = moved.iter().filter(|&&moved| moved < 500).count();
        assert!((400..=600).contains(&low), "{low} of 1000 in one half of their period");
    }
}
