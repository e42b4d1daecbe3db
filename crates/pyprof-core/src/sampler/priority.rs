//! Asks the scheduler to let the sampling thread in at its deadline.
//!
//! Where sampler and target share a core, a thread that wakes up may have to wait until the running one enters
//! the kernel. Samples would then pile up at the target's system calls. A short slice (Linux 6.12 and later:
//! `sched_setattr(2)`, `sched_runtime` of a normal thread) lets it in at once; it needs no rights and gives no
//! more CPU time than before.

use nix::libc;

/// Shortest slice that the kernel accepts, in ns.
const SLICE: u64 = 100_000;

/// `struct sched_attr`, its first version (`include/uapi/linux/sched/types.h`).
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Asks for a short slice for the calling thread; its policy and niceness stay. Older kernels ignore it.
pub fn ask_for_short_slice() {
    let mut attributes = SchedAttr { size: size_of::<SchedAttr>() as u32, ..SchedAttr::default() };
    // SAFETY: the kernel writes at most `size` bytes to a structure of that size, and reads as many.
    unsafe {
        let size = attributes.size;
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) == 0
            && attributes.policy == libc::SCHED_OTHER as u32
        {
            attributes.runtime = SLICE;
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_and_niceness_stay() {
        let get = || {
            let mut attributes = SchedAttr { size: size_of::<SchedAttr>() as u32, ..SchedAttr::default() };
            // SAFETY: as above.
            let status = unsafe {
                libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size_of::<SchedAttr>(), 0)
            };
            assert_eq!(status, 0);
            (attributes.policy, attributes.nice)
        };
        std::thread::spawn(move || {
            let before = get();
            ask_for_short_slice();
            assert_eq!(get(), before);
        })
        .join()
        .expect("the thread ran");
    }
}
