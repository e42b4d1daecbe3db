//! Does `bpf(2)` load a program of the kind that the exact engine runs? A tiny one is loaded and let go at once.

use nix::errno::Errno;
use nix::libc;
use pyprof_core::process::rights::filter::{Passage, ask, is_installed, passage};

use super::Grant;

/// `BPF_PROG_LOAD`
const LOAD: i32 = 5;
/// `BPF_PROG_TYPE_PERF_EVENT`
const PERF_EVENT: u32 = 7;

/// What `BPF_PROG_LOAD` reads, as far as a program without extras needs it.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
}

/// Reads 8 bytes at address 0 of the thread's memory to its own stack, by the helper that asks for `CAP_PERFMON`:
/// `bpf_probe_read_user(fp - 8, 8, 0)`. It is never attached to anything, so it never runs.
const PROGRAM: [u64; 7] = [
    instruction(0xbf, 0xa1, 0),
    instruction(0x07, 0x01, -8),
    instruction(0xb7, 0x02, 8),
    instruction(0xb7, 0x03, 0),
    instruction(0x85, 0x00, 112),
    instruction(0xb7, 0x00, 0),
    instruction(0x95, 0x00, 0),
];

/// Opcode, registers (destination low, source high), constant.
const fn instruction(code: u8, registers: u8, constant: i32) -> u64 {
    (code as u64) | (registers as u64) << 8 | (constant as u32 as u64) << 32
}

/// Whether such a program loads.
pub fn loads() -> Grant {
    // Without a filter only the kernel can refuse; before Linux 6.5 it asks for the capability before all else.
    let reach = if is_installed() { reach() } else { Passage::Open };
    match reach {
        Passage::Open => match Grant::of(ask(load)) {
            Grant::No(Errno::ENOSYS) => Grant::Stopped(Passage::Absent),
            grant => grant,
        },
        stopped => Grant::Stopped(stopped),
    }
}

/// A structure larger than a page is E2BIG before anything of it is looked at (`kernel/bpf/syscall.c`).
fn reach() -> Passage {
    fn call() -> i32 {
        // SAFETY: nothing is read from address 0, because the size is refused first.
        let result = unsafe { libc::syscall(libc::SYS_bpf, LOAD, 0, 1 << 20) };
        if result < 0 { Errno::last_raw() } else { 0 }
    }
    passage(call, Errno::E2BIG)
}

fn load() -> i32 {
    let load = Load {
        kind: PERF_EVENT,
        count: PROGRAM.len() as u32,
        instructions: PROGRAM.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
    };
    // SAFETY: the structure, the instructions and the text live through the call and are as long as it says; the
    // descriptor is closed at once.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, LOAD, &raw const load, size_of::<Load>());
        if fd < 0 {
            return Errno::last_raw();
        }
        libc::close(fd as i32);
    }
    0
}
