//! Is it still the same process, running the same program?

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::access::explain_denied;
use super::stat::{Stat, Status};
use crate::{Error, Result};

/// What has become of a process since its handle was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Same process, same address space
    Running,
    /// It ended (or is a zombie)
    Exited,
    /// It replaced its program with `execve`; everything read before is void
    Replaced,
}

/// A process that cannot be mistaken for another one that gets its pid later.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: i32,
    start_ticks: u64,
    /// `None` before Linux 5.3, or where a filter forbids it; then the start time has to do.
    pidfd: Option<OwnedFd>,
    /// Belongs to the address space, not the process: see [`ProcessHandle::has_same_memory`].
    address_space: Option<File>,
}

impl ProcessHandle {
    /// Opens a running process.
    ///
    /// # Errors
    /// [`Error::NoSuchProcess`], [`Error::ProcessExited`] for a zombie, [`Error::InvalidArgument`] when `pid` is
    /// a thread's id, [`Error::Permission`] when the process hides its state.
    pub fn open(pid: i32) -> Result<Self> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::NoSuchProcess { pid },
            io::ErrorKind::PermissionDenied => explain_denied(pid),
            _ if error.raw_os_error() == Some(libc::ESRCH) => Error::NoSuchProcess { pid },
            _ => Error::System { operation: format!("reading /proc/{pid}"), source: error },
        };
        if pid <= 0 {
            return Err(Error::NoSuchProcess { pid });
        }
        let leader = Status::read(pid).map_err(gone)?.number("Tgid");
        if let Some(leader) = leader.filter(|&leader| leader != pid as u64) {
            let text = format!("{pid} is a thread of process {leader}; use the pid {leader}");
            return Err(Error::InvalidArgument(text));
        }
        let pidfd = pidfd_open(pid).ok();
        let stat = Stat::read(pid).map_err(gone)?;
        let handle =
            Self { pid, start_ticks: stat.start_ticks, pidfd, address_space: open_address_space(pid) };
        if stat.is_zombie() || handle.has_exited() {
            return Err(Error::ProcessExited { pid });
        }
        Ok(handle)
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Start time in clock ticks since boot; with the pid, its identity.
    #[must_use]
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// A descriptor that polls readable once the process has ended; `None` on old kernels.
    #[must_use]
    pub fn pidfd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref()
    }

    /// Has every thread of it ended? One system call.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        match &self.pidfd {
            Some(pidfd) => {
                let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
                matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
            }
            None => !Stat::read(self.pid)
                .is_ok_and(|stat| !stat.is_zombie() && stat.start_ticks == self.start_ticks),
        }
    }

    /// Does it still have the address space it had? One system call without any lock in the target; false
    /// after `execve` and from the beginning of its exit on.
    ///
    /// A descriptor of `/proc/PID/pagemap` or `mem` stays with the address space that it was opened on, and the
    /// kernel answers 0 bytes once that is gone.
    #[must_use]
    pub fn has_same_memory(&self) -> bool {
        match &self.address_space {
            // One byte is no whole entry of pagemap (EINVAL), and nothing is mapped at 0 of mem (EIO).
            Some(file) => !matches!(file.read_at(&mut [0], 0), Ok(0)),
            None => !self.has_exited(),
        }
    }

    /// One system call while it runs on; a few more to tell the other cases apart.
    #[must_use]
    pub fn fate(&self) -> Fate {
        if self.has_same_memory() {
            // Pid without an address space to watch, or a kernel that answers otherwise: ask the pidfd as well.
            return if self.has_exited() { Fate::Exited } else { Fate::Running };
        }
        // During exit the memory goes first. A new program, on the other hand, has memory again.
        let alive =
            Stat::read(self.pid).is_ok_and(|stat| !stat.is_zombie() && stat.start_ticks == self.start_ticks);
        let has_program = std::fs::metadata(format!("/proc/{}/exe", self.pid)).is_ok();
        if alive && has_program && !self.has_exited() { Fate::Replaced } else { Fate::Exited }
    }
}

fn open_address_space(pid: i32) -> Option<File> {
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).ok().filter(|file| {
        let error = file.read_at(&mut [0], 0).err();
        error.and_then(|error| error.raw_os_error()) == Some(libc::EINVAL)
    });
    // Kernels without CONFIG_PROC_PAGE_MONITOR have no pagemap.
    pagemap.or_else(|| File::open(format!("/proc/{pid}/mem")).ok())
}

fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the system call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us, close-on-exec; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Guard(Child);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A shell that ends when its input ends, or runs a program when told to.
    fn shell() -> Guard {
        let mut command = Command::new("sh");
        command.args(["-c", "read line; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Guard(command.spawn().unwrap())
    }

    #[test]
    fn exit_is_seen_before_and_after_reaping() {
        let mut child = shell();
        let handle = ProcessHandle::open(child.0.id() as i32).unwrap();
        assert_eq!((handle.fate(), handle.has_same_memory()), (Fate::Running, true));
        child.0.kill().unwrap();
        let mut fds = [PollFd::new(handle.pidfd().unwrap().as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(10_000u16)).unwrap();
        assert_eq!((handle.fate(), handle.has_exited()), (Fate::Exited, true));
        assert_eq!(ProcessHandle::open(handle.pid()).unwrap_err().code(), "PROCESS_EXITED");
        child.0.wait().unwrap();
        assert_eq!(handle.fate(), Fate::Exited);
        assert_eq!(ProcessHandle::open(handle.pid()).unwrap_err().code(), "NO_SUCH_PROCESS");
    }

    #[test]
    fn a_new_program_is_not_the_old_one() {
        use std::io::{Read, Write};
        let mut child = shell();
        let handle = ProcessHandle::open(child.0.id() as i32).unwrap();
        // `cat` is running when it has echoed what the shell has not read.
        child.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        child.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(handle.fate(), Fate::Replaced);
        let again = ProcessHandle::open(handle.pid()).unwrap();
        assert_eq!((again.fate(), again.start_ticks()), (Fate::Running, handle.start_ticks()));
    }

    #[test]
    fn a_thread_is_not_a_process() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            let _ = ended.recv();
        });
        let error = ProcessHandle::open(told.recv().unwrap()).unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(end);
        thread.join().unwrap();
    }
}
