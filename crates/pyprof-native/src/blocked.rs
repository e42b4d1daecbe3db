//! Threads that wait in the kernel, looked at with no more rights than reading their memory takes.
//!
//! `/proc/TID/syscall` tells what a blocked thread waits in, its stack pointer and where it will go on. When the
//! thread's CPU account is the same before and after everything else was read, it never ran meanwhile, and all that was
//! read belongs to one moment. Nothing is done to the thread: a stop, however short, would end `epoll_wait`,
//! `sigtimedwait` and others with `EINTR`, which the program sees.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use pyprof_core::memory::{MAX_PIECES, Piece, RemoteMemory};
use pyprof_core::process::thread_clock::{SchedStat, ThreadClock};

use crate::regs::UserRegs;
use crate::stack::StackCopy;

const PAGE: u64 = 4096;
/// No more of a stack is copied, in bytes: eight times what a thread has by default.
pub const MAX_STACK: usize = 64 << 20;

/// What a blocked thread waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCall {
    /// Its number on this architecture; `None` when the thread waits in none: a page fault, or it is stopped
    pub number: Option<i64>,
    /// Its arguments as the registers have them
    pub arguments: [u64; 6],
}

/// A blocked thread at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// What it waits in
    pub call: SystemCall,
    /// Where it goes on, and its stack pointer
    pub regs: UserRegs,
    account: SchedStat,
}

/// A thread whose waiting can be looked at again and again.
#[derive(Debug)]
pub struct WaitingThread {
    clock: ThreadClock,
    syscall: File,
}

impl WaitingThread {
    /// Opens the thread `tid` of `pid`, both as our pid namespace counts them.
    ///
    /// # Errors
    /// `ENOENT` when it is gone or the kernel has no `/proc/TID/syscall`.
    pub fn open(pid: i32, tid: i32) -> io::Result<Self> {
        Ok(Self {
            clock: ThreadClock::open(pid, tid)?,
            syscall: File::open(format!("/proc/{pid}/task/{tid}/syscall"))?,
        })
    }

    /// Where it is blocked; `None` while it runs or wants to.
    ///
    /// # Errors
    /// `EPERM` without the right to read the process, `ESRCH` once the thread has ended.
    pub fn look(&self) -> io::Result<Option<Blocked>> {
        // The account first: a thread that runs now and blocks before the next line has a newer one.
        let account = self.clock.cpu()?;
        Ok(self.waits_in()?.map(|(call, regs)| Blocked { call, regs, account }))
    }

    /// Whether it has been blocked ever since `then`.
    #[must_use]
    pub fn stayed(&self, then: &Blocked) -> bool {
        self.waits_in().is_ok_and(|now| now == Some((then.call, then.regs)))
            && self.clock.cpu().is_ok_and(|account| account == then.account)
    }

    fn waits_in(&self) -> io::Result<Option<(SystemCall, UserRegs)>> {
        let mut buf = [0; 256];
        let n = self.syscall.read_at(&mut buf, 0)?;
        if n == 0 {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        let text = std::str::from_utf8(&buf[..n]).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(parse(text))
    }
}

/// `running`, `-1 SP PC` or `NUMBER ARGUMENT x 6 SP PC` (`fs/proc/base.c`, `proc_pid_syscall`).
fn parse(text: &str) -> Option<(SystemCall, UserRegs)> {
    let mut words = text.split_ascii_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let mut hex = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let mut arguments = [0; 6];
    if number >= 0 {
        for argument in &mut arguments {
            *argument = hex()?;
        }
    }
    let (sp, ip) = (hex()?, hex()?);
    let call = SystemCall { number: (number >= 0).then_some(number), arguments };
    (sp != 0 && ip != 0).then(|| (call, UserRegs::new(ip, sp)))
}

/// `len` bytes of the stack from `sp` on, or as many as can be read. `len` is bounded by [`MAX_STACK`].
pub fn read_stack(memory: &dyn RemoteMemory, sp: u64, len: usize) -> StackCopy {
    let len = len.min(MAX_STACK) as u64;
    let end = sp.saturating_add(len);
    let mut bytes = vec![0; (end - sp) as usize];
    let mut done = 0;
    let mut at = sp;
    // A page a piece: where the stack ends within the length asked for, what comes before is still read.
    while at < end {
        let mut pieces = Vec::new();
        let mut next = at;
        while next < end && pieces.len() < MAX_PIECES {
            let stop = ((next & !(PAGE - 1)) + PAGE).min(end);
            pieces.push(Piece { base: next as usize, len: (stop - next) as usize });
            next = stop;
        }
        let want = (next - at) as usize;
        let got = memory.read_pieces(&pieces, &mut bytes[done..done + want]).unwrap_or(0);
        done += got;
        if got < want {
            break;
        }
        at = next;
    }
    bytes.truncate(done);
    StackCopy { sp, bytes }
}

#[cfg(test)]
mod tests {
    use pyprof_core::memory::ProcessMemory;

    use super::*;

    #[test]
    fn every_form_of_the_line_is_understood() {
        assert_eq!(parse("running\n"), None);
        let (call, regs) = parse("-1 0x7ffe0010 0x7f0020\n").unwrap();
        assert_eq!((call.number, regs.sp, regs.ip), (None, 0x7ffe_0010, 0x7f_0020));
        let (call, regs) = parse("202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffe 0x7f\n").unwrap();
        assert_eq!((call.number, call.arguments, regs.sp), (Some(202), [1, 2, 3, 4, 5, 6], 0x7ffe));
        assert_eq!(parse("202 0x1 0x2\n"), None);
        assert_eq!(parse("-1 0x0 0x0\n"), None, "a thread of the kernel");
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_stack_ends_where_it_ends() {
        let here = 0u8;
        let memory = ProcessMemory::new(std::process::id() as i32);
        let sp = (&raw const here) as u64;
        let copy = read_stack(&memory, sp, MAX_STACK);
        assert!(copy.bytes.len() > 64, "the callers of this function");
        assert!(copy.bytes.len() < MAX_STACK, "no stack is that large");
        assert_eq!(copy.bytes[0], here);
        assert!(read_stack(&memory, 16, 4096).bytes.is_empty());
    }
}
