//! How much a thread has run, and what it waits for: kept descriptors, one `pread` a question.
//!
//! The kernel adds to `schedstat` when a thread leaves its CPU and at the scheduler's tick (1 to 10 ms), so
//! two equal readings prove that a thread did not run only when it was blocked at both.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// `/proc/PID/task/TID/schedstat` (`Documentation/scheduler/sched-stats.rst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedStat {
    /// Time on a CPU, in ns
    pub run_ns: u64,
    /// Time ready to run but waiting for a CPU, in ns
    pub wait_ns: u64,
    /// How often it got a CPU
    pub slices: u64,
}

/// The CPU time of all threads of a process together, those that have ended included: the sum of their accounts, with
/// the same granularity.
#[derive(Debug, Clone, Copy)]
pub struct ProcessClock(ClockId);

impl ProcessClock {
    /// That of the process `pid`.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn open(pid: i32) -> io::Result<Self> {
        Ok(Self(clock_getcpuclockid(Pid::from_raw(pid)).map_err(io::Error::from)?))
    }

    /// In ns. One system call.
    ///
    /// # Errors
    /// `EINVAL` once the process has ended.
    pub fn cpu(self) -> io::Result<u64> {
        let time = self.0.now().map_err(io::Error::from)?;
        Ok(Duration::from(time).as_nanos() as u64)
    }
}

/// What a thread does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// On a CPU or waiting for one
    Running,
    /// Waiting in the kernel
    Blocked {
        /// The system call's number; `None` when it is in none (page fault, stopped) or the kernel does not tell
        syscall: Option<i64>,
        /// Its first argument; 0 when unknown
        argument: u64,
    },
}

/// The clocks of one thread. The descriptors belong to the thread, not to its number: a later thread with the
/// same id is never mistaken for it.
#[derive(Debug)]
pub struct ThreadClock {
    schedstat: Option<File>,
    state: StateSource,
}

#[derive(Debug)]
enum StateSource {
    Syscall(File),
    /// Where `syscall` is forbidden or not built in
    Stat(File),
}

impl ThreadClock {
    /// Opens the thread `tid` of `pid`, both as our pid namespace counts them.
    pub fn open(pid: i32, tid: i32) -> io::Result<Self> {
        let file = |name: &str| File::open(format!("/proc/{pid}/task/{tid}/{name}"));
        let stat = file("stat")?;
        let mut probe = [0; 256];
        // Opening is always allowed; only reading tells.
        let syscall = file("syscall").ok().filter(|file| file.read_at(&mut probe, 0).is_ok_and(|n| n > 0));
        let state = syscall.map_or(StateSource::Stat(stat), StateSource::Syscall);
        Ok(Self { schedstat: file("schedstat").ok(), state })
    }

    /// CPU time so far. One system call.
    ///
    /// # Errors
    /// `ESRCH` once the thread has ended; `Unsupported` on kernels without `CONFIG_SCHED_INFO`.
    pub fn cpu(&self) -> io::Result<SchedStat> {
        let file = self.schedstat.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mut buf = [0; 96];
        let n = file.read_at(&mut buf, 0)?;
        parse_schedstat(&buf[..n]).ok_or_else(|| gone(n))
    }

    /// Running or blocked. One system call. A thread that asks about itself sees itself in `pread`.
    ///
    /// # Errors
    /// `ESRCH` once the thread has ended.
    pub fn state(&self) -> io::Result<RunState> {
        let mut buf = [0; 256];
        match &self.state {
            StateSource::Syscall(file) => {
                let n = file.read_at(&mut buf, 0)?;
                parse_syscall(&buf[..n]).ok_or_else(|| gone(n))
            }
            StateSource::Stat(file) => {
                let n = file.read_at(&mut buf, 0)?;
                parse_state_letter(&buf[..n]).ok_or_else(|| gone(n))
            }
        }
    }
}

fn gone(bytes: usize) -> io::Error {
    if bytes == 0 {
        io::Error::from_raw_os_error(nix::libc::ESRCH)
    } else {
        io::ErrorKind::InvalidData.into()
    }
}

/// `RUN WAIT SLICES`
fn parse_schedstat(text: &[u8]) -> Option<SchedStat> {
    let mut numbers = std::str::from_utf8(text).ok()?.split_ascii_whitespace().map(str::parse);
    let mut number = || numbers.next()?.ok();
    Some(SchedStat { run_ns: number()?, wait_ns: number()?, slices: number()? })
}

/// `running`, `-1 SP PC` or `NUMBER ARGUMENTS SP PC`
fn parse_syscall(text: &[u8]) -> Option<RunState> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    match words.next()? {
        "running" => Some(RunState::Running),
        number => {
            let syscall = Some(number.parse::<i64>().ok()?).filter(|number| *number >= 0);
            let first = words.next().and_then(|word| word.strip_prefix("0x")).filter(|_| syscall.is_some());
            let argument = first.and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or(0);
            Some(RunState::Blocked { syscall, argument })
        }
    }
}

/// `TID (NAME) LETTER ...`
fn parse_state_letter(text: &[u8]) -> Option<RunState> {
    let close = text.iter().rposition(|&byte| byte == b')')?;
    match text.get(close + 2)? {
        b'R' => Some(RunState::Running),
        b'Z' | b'X' | b'x' => None,
        _ => Some(RunState::Blocked { syscall: None, argument: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::mpsc::channel;

    use nix::unistd::gettid;

    use super::*;

    #[test]
    fn texts_are_understood() {
        let stat = SchedStat { run_ns: 1, wait_ns: 22, slices: 333 };
        assert_eq!(parse_schedstat(b"1 22 333\n"), Some(stat));
        assert_eq!(parse_schedstat(b"1 22"), None);
        assert_eq!(parse_syscall(b"running\n"), Some(RunState::Running));
        let blocked = |syscall, argument| Some(RunState::Blocked { syscall, argument });
        assert_eq!(parse_syscall(b"-1 0x7ffe 0x7f\n"), blocked(None, 0));
        assert_eq!(parse_syscall(b"202 0x1f 0x2\n"), blocked(Some(202), 0x1f));
        assert_eq!(parse_syscall(b"202 x\n"), blocked(Some(202), 0));
        assert_eq!(parse_syscall(b""), None);
        assert_eq!(parse_state_letter(b"7 (a) R (b) S 1"), blocked(None, 0));
        assert_eq!(parse_state_letter(b"7 (a) S (b) R 1"), Some(RunState::Running));
        assert_eq!(parse_state_letter(b"7 (a) Z 1"), None);
    }

    #[test]
    fn a_thread_that_waits_and_ends() {
        let pid = std::process::id() as i32;
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(gettid().as_raw()).unwrap();
            let _ = ended.recv();
        });
        let clock = ThreadClock::open(pid, told.recv().unwrap()).unwrap();
        // It waits for a channel, so sooner or later it is blocked, in a futex.
        let in_futex = |state| matches!(state, RunState::Blocked { syscall: Some(nix::libc::SYS_futex), .. });
        while !in_futex(clock.state().unwrap()) {
            std::thread::yield_now();
        }
        assert!(clock.cpu().unwrap().slices > 0);
        drop(end);
        thread.join().unwrap();
        // The kernel lets go of a joined thread a moment after the join.
        while clock.cpu().is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(clock.cpu().unwrap_err().raw_os_error(), Some(nix::libc::ESRCH));
        assert_eq!(clock.state().unwrap_err().raw_os_error(), Some(nix::libc::ESRCH));
    }

    #[test]
    fn a_thread_that_runs() {
        let pid = std::process::id() as i32;
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = channel();
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                tell.send(gettid().as_raw()).unwrap();
                while !stop.load(Relaxed) {
                    std::hint::spin_loop();
                }
            }
        });
        let tid = told.recv().unwrap();
        let clock = ThreadClock::open(pid, tid).unwrap();
        let by_letter = StateSource::Stat(File::open(format!("/proc/{pid}/task/{tid}/stat")).unwrap());
        let by_letter = ThreadClock { schedstat: None, state: by_letter };
        assert_eq!(by_letter.cpu().unwrap_err().kind(), io::ErrorKind::Unsupported);
        // Sending may have blocked for a moment; spinning goes on until we say so.
        while clock.state().unwrap() != RunState::Running {
            std::thread::yield_now();
        }
        let before = clock.cpu().unwrap().run_ns;
        while clock.cpu().unwrap().run_ns == before {
            std::thread::yield_now();
        }
        assert_eq!(clock.state().unwrap(), RunState::Running);
        assert_eq!(by_letter.state().unwrap(), RunState::Running);
        stop.store(true, Relaxed);
        thread.join().unwrap();
    }
}
