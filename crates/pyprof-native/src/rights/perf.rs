//! Does `perf_event_open` work? Tried on a thread of ours, with events that never start.

use nix::errno::Errno;
use nix::libc;
use pyprof_core::process::rights::filter::{Passage, ask, passage};

use super::Grant;

/// The first version of `struct perf_event_attr` (`PERF_ATTR_SIZE_VER0`), which every kernel takes.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    more: u64,
}

/// `PERF_TYPE_SOFTWARE`; its event 0 is `PERF_COUNT_SW_CPU_CLOCK`
const SOFTWARE: u32 = 1;
const DISABLED: u64 = 1;
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
/// `PERF_FLAG_FD_CLOEXEC`
const CLOSE_ON_EXEC: libc::c_ulong = 8;

/// An event of all code, the kernel's included.
pub fn everything() -> Grant {
    grant(|| open(0))
}

/// An event of user code.
pub fn user_code() -> Grant {
    grant(|| open(EXCLUDE_KERNEL))
}

fn grant(call: fn() -> i32) -> Grant {
    match reach() {
        Passage::Open => Grant::of(ask(call)),
        stopped => Grant::Stopped(stopped),
    }
}

/// Unknown flags are EINVAL before anything else is looked at (`kernel/events/core.c`).
fn reach() -> Passage {
    fn call() -> i32 {
        // SAFETY: with these flags the kernel does not look at the other arguments.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, 0, 0, -1, -1, !CLOSE_ON_EXEC) };
        if fd < 0 { Errno::last_raw() } else { 0 }
    }
    passage(call, Errno::EINVAL)
}

fn open(flags: u64) -> i32 {
    let attributes = Attributes {
        kind: SOFTWARE,
        size: size_of::<Attributes>() as u32,
        flags: DISABLED | EXCLUDE_HYPERVISOR | flags,
        ..Attributes::default()
    };
    let (this_thread, any_cpu, no_group) = (0, -1, -1);
    // SAFETY: the structure is as long as it says and lives through the call; the descriptor is closed at once.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            this_thread,
            any_cpu,
            no_group,
            CLOSE_ON_EXEC,
        );
        if fd < 0 {
            return Errno::last_raw();
        }
        libc::close(fd as i32);
    }
    0
}
