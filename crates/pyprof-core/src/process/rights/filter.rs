//! Which system calls does a seccomp filter take from us?
//!
//! A call with arguments that no kernel accepts tells: whoever gets the kernel's own complaint about them came
//! through. Such a call changes nothing. A filter may also end the caller (systemd's `SystemCallFilter=` does), so
//! behind a filter it is a forked child that asks.

use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::process::stat::Status;

/// What became of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It returned: 0, or an errno
    Returned(i32),
    /// A filter ended the process that made it
    Killed,
    /// It could not be tried
    Untried,
}

/// Whether a system call reaches the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It does
    Open,
    /// A filter (or what stands in for the kernel) refuses it
    Refused,
    /// A filter ends the process that makes it
    Deadly,
    /// This kernel was built without it
    Absent,
    /// It could not be tried
    Unknown,
}

impl Passage {
    /// Whether the call is worth making.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Unknown)
    }

    /// Whether a filter is in the way.
    #[must_use]
    pub fn is_filtered(self) -> bool {
        matches!(self, Self::Refused | Self::Deadly)
    }
}

/// Whether a seccomp filter is installed on this thread (`SECCOMP_MODE_FILTER`, 2, in proc(5)).
#[must_use]
pub fn is_installed() -> bool {
    Status::read("thread-self").ok().and_then(|status| status.number("Seccomp")) == Some(2)
}

/// Makes `call`, which returns 0 or an errno, and survives it. `call` must do nothing but system calls: behind a
/// filter it runs in a child of a process that has other threads, where a lock may be held for ever.
#[must_use]
pub fn ask(call: fn() -> i32) -> Answer {
    if !is_installed() {
        return Answer::Returned(call());
    }
    // SAFETY: the child makes system calls only, as the contract of `call` says, and leaves by `_exit`.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the structure lives through the call; `_exit` runs nothing of the parent's.
            unsafe {
                // No core file of a child that was meant to die.
                libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
                libc::_exit(call())
            }
        }
        Ok(ForkResult::Parent { child }) => loop {
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, errno)) => return Answer::Returned(errno),
                Ok(WaitStatus::Signaled(..)) => return Answer::Killed,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return Answer::Untried,
            }
        },
        Err(_) => Answer::Untried,
    }
}

/// Whether a call that the kernel would answer with `complaint` comes through.
#[must_use]
pub fn passage(call: fn() -> i32, complaint: Errno) -> Passage {
    match ask(call) {
        Answer::Returned(errno) if errno == complaint as i32 => Passage::Open,
        Answer::Returned(libc::ENOSYS) if !is_installed() => Passage::Absent,
        Answer::Returned(_) => Passage::Refused,
        Answer::Killed => Passage::Deadly,
        Answer::Untried => Passage::Unknown,
    }
}

/// `process_vm_readv`: flags other than 0 are EINVAL before anything else is looked at (`mm/process_vm_access.c`).
#[must_use]
pub fn reading() -> Passage {
    fn call() -> i32 {
        let nothing = std::ptr::null::<libc::iovec>();
        // SAFETY: both lists are empty and the flags are not valid: nothing is read.
        let result =
            unsafe { libc::syscall(libc::SYS_process_vm_readv, libc::getpid(), nothing, 0, nothing, 0, 1) };
        if result < 0 { Errno::last_raw() } else { 0 }
    }
    passage(call, Errno::EINVAL)
}

/// Whether reading another process's memory would be our own end. Asked once for all threads: filters do not go away,
/// and are installed before a program like Node starts.
#[must_use]
pub fn reading_is_deadly() -> bool {
    static DEADLY: OnceLock<bool> = OnceLock::new();
    *DEADLY.get_or_init(|| is_installed() && reading() == Passage::Deadly)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_is_readable_here() {
        assert_eq!(reading(), Passage::Open);
    }

    #[test]
    fn an_unexpected_answer_is_a_refusal() {
        assert_eq!(passage(|| libc::EPERM, Errno::EINVAL), Passage::Refused);
        assert!(passage(|| libc::ENOSYS, Errno::EINVAL) == Passage::Absent || is_installed());
    }
}
