//! What a blocked thread waits in, as text: the system call, its arguments, the kernel's functions.

use std::fs::{File, read_link};
use std::io::Read;

use pyprof_core::profile::FrameKind;
use pyprof_core::snapshot::{FrameSnapshot, Wait};
use syscalls::Sysno;

use crate::blocked::SystemCall;
use crate::kernel::stack_line;

/// Files of /proc that are read whole, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Calls in which programs wait, and their arguments in order. `fd`: an open file, shown with what it is.
const CALLS: &[(&str, &[&str])] = &[
    ("accept", &["fd", "address", "length"]),
    ("accept4", &["fd", "address", "length", "flags"]),
    ("clock_nanosleep", &["clock", "flags", "request", "remain"]),
    ("connect", &["fd", "address", "length"]),
    ("epoll_pwait", &["fd", "events", "maxevents", "timeout", "sigmask", "size"]),
    ("epoll_pwait2", &["fd", "events", "maxevents", "timeout", "sigmask", "size"]),
    ("epoll_wait", &["fd", "events", "maxevents", "timeout"]),
    ("fcntl", &["fd", "command", "argument"]),
    ("fdatasync", &["fd"]),
    ("flock", &["fd", "operation"]),
    ("fsync", &["fd"]),
    ("futex", &["address", "operation", "value", "timeout", "address2", "value3"]),
    ("ioctl", &["fd", "request", "argument"]),
    ("io_getevents", &["context", "min", "max", "events", "timeout"]),
    ("msgrcv", &["queue", "message", "size", "type", "flags"]),
    ("nanosleep", &["request", "remain"]),
    ("pause", &[]),
    ("poll", &["fds", "nfds", "timeout"]),
    ("ppoll", &["fds", "nfds", "timeout", "sigmask", "size"]),
    ("pread64", &["fd", "buffer", "count", "offset"]),
    ("preadv", &["fd", "vector", "count", "offset"]),
    ("pselect6", &["nfds", "readfds", "writefds", "exceptfds", "timeout", "sigmask"]),
    ("pwrite64", &["fd", "buffer", "count", "offset"]),
    ("read", &["fd", "buffer", "count"]),
    ("readv", &["fd", "vector", "count"]),
    ("recvfrom", &["fd", "buffer", "length", "flags", "address", "address_length"]),
    ("recvmmsg", &["fd", "messages", "count", "flags", "timeout"]),
    ("recvmsg", &["fd", "message", "flags"]),
    ("restart_syscall", &[]),
    ("rt_sigsuspend", &["mask", "size"]),
    ("rt_sigtimedwait", &["set", "info", "timeout", "size"]),
    ("select", &["nfds", "readfds", "writefds", "exceptfds", "timeout"]),
    ("semop", &["id", "operations", "count"]),
    ("semtimedop", &["id", "operations", "count", "timeout"]),
    ("sendmsg", &["fd", "message", "flags"]),
    ("sendto", &["fd", "buffer", "length", "flags", "address", "address_length"]),
    ("wait4", &["pid", "status", "options", "usage"]),
    ("waitid", &["type", "id", "info", "options", "usage"]),
    ("write", &["fd", "buffer", "count"]),
    ("writev", &["fd", "vector", "count"]),
];

/// Says what a thread of `pid` waits in.
#[must_use]
pub fn describe(pid: i32, tid: i32, call: &SystemCall) -> Wait {
    let Some(number) = call.number else {
        return Wait { channel: channel(pid, tid), ..Wait::default() };
    };
    let name = name(number);
    let names = CALLS.iter().find(|(known, _)| *known == name).map(|(_, names)| *names).unwrap_or_default();
    let arguments = names.iter().zip(call.arguments).map(|(name, value)| argument(pid, name, value));
    Wait { number: Some(number), arguments: arguments.collect(), call: name, channel: channel(pid, tid) }
}

/// The name of a system call on this architecture.
#[must_use]
pub fn name(number: i64) -> String {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    known.map_or_else(|| format!("syscall_{number}"), |call| call.name().to_owned())
}

fn argument(pid: i32, name: &str, value: u64) -> String {
    // An int that was passed as one: the upper half of the register says nothing.
    let int = value as i32;
    if name == "fd" {
        let file = read_link(format!("/proc/{pid}/fd/{int}"));
        let file = file.map(|path| format!(" ({})", path.to_string_lossy())).unwrap_or_default();
        return format!("fd={int}{file}");
    }
    if value < 1 << 16 {
        return format!("{name}={value}");
    }
    if value >> 32 == 0 && int < 0 || value == u64::MAX {
        return format!("{name}={int}");
    }
    format!("{name}={value:#x}")
}

fn channel(pid: i32, tid: i32) -> String {
    // "0": not waiting any more, or hidden from us.
    text(pid, tid, "wchan").filter(|name| name != "0").unwrap_or_default()
}

/// The thread's kernel frames, root first, and what keeps them from being whole. Without the right to see them the system
/// call stands for them, and the kernel function that waits where it may be known.
#[must_use]
pub fn kernel_frames(pid: i32, tid: i32, wait: &Wait) -> (Vec<FrameSnapshot>, &'static str) {
    let stack = text(pid, tid, "stack").unwrap_or_default();
    let frame = |name: &str, module: &str| {
        let mut frame = FrameSnapshot::without_python(FrameKind::Kernel, name.to_owned());
        module.clone_into(&mut frame.module);
        frame
    };
    let mut frames: Vec<FrameSnapshot> = stack
        .lines()
        .filter_map(stack_line)
        .map(|symbol| frame(symbol.name, symbol.module.unwrap_or("kernel")))
        .collect();
    frames.reverse();
    if !frames.is_empty() {
        return (frames, "");
    }
    if !wait.call.is_empty() {
        frames.push(frame(&format!("[system call {}]", wait.call), "kernel"));
    }
    if !wait.channel.is_empty() {
        frames.push(frame(&wait.channel, "kernel"));
    }
    (frames, "the kernel shows its stacks to root only (CAP_SYS_ADMIN)")
}

fn text(pid: i32, tid: i32, name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/task/{tid}/{name}")).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_and_arguments_shown() {
        assert_eq!(name(nix::libc::SYS_read), "read");
        assert_eq!(name(99_999), "syscall_99999");
        assert_eq!(name(-1), "syscall_-1");
        let pid = std::process::id() as i32;
        assert_eq!(argument(pid, "fd", 0xffff_ffff), "fd=-1");
        assert_eq!(argument(pid, "timeout", 0xffff_ffff), "timeout=-1");
        assert_eq!(argument(pid, "pid", u64::MAX), "pid=-1");
        assert_eq!(argument(pid, "count", 4096), "count=4096");
        assert_eq!(argument(pid, "buffer", 0x7fff_0000_1234), "buffer=0x7fff00001234");
        let call = SystemCall { number: Some(nix::libc::SYS_read), arguments: [0, 1, 2, 3, 4, 5] };
        let wait = describe(pid, pid, &call);
        assert_eq!((wait.call.as_str(), wait.arguments.len()), ("read", 3));
        assert!(wait.arguments[0].starts_with("fd=0"));
    }
}
