//! Why the kernel refuses to let us read a process, and what would lift that.
//!
//! The rules are those of `ptrace_may_access` (ptrace(2), "Ptrace access mode checking"); they are looked at
//! in the order in which the kernel's answer is decided, so that the remedy named is the one that helps.

use std::fs::{metadata, read_link, read_to_string};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::unistd::{Uid, User};

use super::stat::{Stat, Status};
use crate::Error;
use crate::memory::{ProcessMemory, RemoteMemory};

/// `CAP_SYS_PTRACE` (`include/uapi/linux/capability.h`)
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// What the kernel's decision hangs on.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)] // independent findings
struct Facts {
    our_user: u32,
    our_group: u32,
    our_permitted: u64,
    has_ptrace_capability: bool,
    /// Not even our own memory can be read
    filtered: bool,
    /// Real, effective and saved user, then group
    target_users: Vec<u32>,
    target_groups: Vec<u32>,
    target_permitted: u64,
    /// Its files in /proc belong to root although it does not
    undumpable: bool,
    other_user_namespace: bool,
    /// `kernel.yama.ptrace_scope`
    yama: u8,
    /// The security module's label, when it confines us
    confined: Option<String>,
}

/// The error for a process whose memory or files may not be read: it names the rule and the remedy.
///
/// When the process is gone or a zombie, that is what the error says instead.
#[must_use]
pub fn explain_denied(pid: i32) -> Error {
    match Stat::read(pid) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Error::NoSuchProcess { pid },
        Ok(stat) if stat.is_zombie() => Error::ProcessExited { pid },
        _ => Error::Permission { pid, reason: reason(&gather(pid)) },
    }
}

fn gather(pid: i32) -> Facts {
    let numbers = |status: &Status, key: &str| -> Vec<u32> {
        status.words(key).take(3).filter_map(|word| word.parse().ok()).collect()
    };
    let mut facts = Facts { filtered: cannot_read_ourselves(), ..Facts::default() };
    if let Ok(ours) = Status::read("thread-self") {
        facts.our_user = numbers(&ours, "Uid").first().copied().unwrap_or_default();
        facts.our_group = numbers(&ours, "Gid").first().copied().unwrap_or_default();
        facts.our_permitted = ours.hex("CapPrm").unwrap_or_default();
        facts.has_ptrace_capability = ours.hex("CapEff").unwrap_or_default() & CAP_SYS_PTRACE != 0;
    }
    if let Ok(theirs) = Status::read(pid) {
        facts.target_users = numbers(&theirs, "Uid");
        facts.target_groups = numbers(&theirs, "Gid");
        facts.target_permitted = theirs.hex("CapPrm").unwrap_or_default();
        let effective = facts.target_users.get(1).copied();
        let owner = metadata(format!("/proc/{pid}")).map(|data| data.uid()).ok();
        facts.undumpable = owner.is_some() && owner != effective;
    }
    let namespace = |who: &str| read_link(format!("/proc/{who}/ns/user")).ok();
    let theirs = namespace(&pid.to_string());
    facts.other_user_namespace = theirs.is_some() && theirs != namespace("self");
    let scope = read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    facts.yama = scope.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    let label = read_to_string("/proc/thread-self/attr/current").unwrap_or_default();
    let label = label.trim_end_matches(['\0', '\n']).to_owned();
    facts.confined = Some(label).filter(|label| !label.is_empty() && label != "unconfined");
    facts
}

/// Every process may read itself, so a refusal comes from a seccomp filter (Docker's on kernels before 4.8).
fn cannot_read_ourselves() -> bool {
    let here = 0u64;
    let result = ProcessMemory::new(std::process::id() as i32).read_u64(&raw const here as u64);
    let errno = result.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw);
    matches!(errno, Some(Errno::EPERM | Errno::ENOSYS | Errno::EACCES))
}

fn reason(facts: &Facts) -> String {
    const CAPABILITY: &str = "sudo (in a container: start it with --cap-add=SYS_PTRACE)";
    let differs = |theirs: &[u32], ours: u32| theirs.iter().any(|&id| id != ours);
    if facts.filtered {
        return "a seccomp filter on this process forbids process_vm_readv; in Docker, start the container with \
                --cap-add=SYS_PTRACE or --security-opt seccomp=unconfined"
            .to_owned();
    }
    if facts.yama == 3 {
        return "kernel.yama.ptrace_scope is 3, which forbids it to everybody until the next boot; set it to 0, \
                1 or 2 in /etc/sysctl.d and restart the machine"
            .to_owned();
    }
    if facts.has_ptrace_capability {
        if facts.other_user_namespace {
            return "it runs in a user namespace in which we hold no rights; run from the host, or inside its own \
                    container"
                .to_owned();
        }
        if let Some(label) = &facts.confined {
            return format!(
                "the security module's profile \"{label}\" confines us; in Docker, start the container with \
                 --security-opt apparmor=unconfined"
            );
        }
        return "the kernel refuses although we hold CAP_SYS_PTRACE: it runs in a parent or sibling user \
                namespace, or a security module protects it; run from the host, or inside its own container"
            .to_owned();
    }
    if differs(&facts.target_users, facts.our_user) {
        let theirs = user_name(*facts.target_users.get(1).unwrap_or(&0));
        let ours = user_name(facts.our_user);
        return format!("it runs as {theirs} and we run as {ours}; run as {theirs} or with {CAPABILITY}");
    }
    if differs(&facts.target_groups, facts.our_group) {
        return format!("its group ids differ from ours; run with its group or with {CAPABILITY}");
    }
    if facts.target_permitted & !facts.our_permitted != 0 {
        return format!("it holds capabilities that we lack; run with {CAPABILITY}");
    }
    if facts.undumpable {
        return format!(
            "it has made itself undumpable (setuid program, file capabilities or prctl PR_SET_DUMPABLE); run \
             with {CAPABILITY}"
        );
    }
    match facts.yama {
        1 => {
            return format!(
                "kernel.yama.ptrace_scope is 1, which allows reading own children only; run with {CAPABILITY}, \
                 or `sudo sysctl kernel.yama.ptrace_scope=0`"
            );
        }
        2 => {
            return format!(
                "kernel.yama.ptrace_scope is 2, which asks for CAP_SYS_PTRACE; run with {CAPABILITY}"
            );
        }
        _ => {}
    }
    match &facts.confined {
        Some(label) => {
            format!("the security module's profile \"{label}\" may forbid it; run with {CAPABILITY}")
        }
        None => format!(
            "we lack CAP_SYS_PTRACE, and it is undumpable, in another user namespace or protected by a security \
             module; run with {CAPABILITY}"
        ),
    }
}

/// The user's name, else the number as text.
pub(super) fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same_user() -> Facts {
        Facts {
            our_user: 1000,
            our_group: 1000,
            target_users: vec![1000; 3],
            target_groups: vec![1000; 3],
            ..Facts::default()
        }
    }

    #[test]
    fn each_rule_has_its_own_remedy() {
        let with_capability = Facts { has_ptrace_capability: true, ..same_user() };
        for (facts, rule, remedy) in [
            (Facts { filtered: true, ..same_user() }, "seccomp", "seccomp=unconfined"),
            (Facts { target_users: vec![0; 3], ..same_user() }, "runs as root", "sudo"),
            (Facts { target_groups: vec![7; 3], ..same_user() }, "group", "sudo"),
            (Facts { target_permitted: 1 << 12, ..same_user() }, "capabilities that we lack", "--cap-add"),
            (Facts { undumpable: true, ..same_user() }, "undumpable", "--cap-add"),
            (Facts { yama: 1, ..same_user() }, "ptrace_scope is 1", "sysctl"),
            (Facts { yama: 2, ..same_user() }, "ptrace_scope is 2", "sudo"),
            (Facts { yama: 3, ..with_capability.clone() }, "ptrace_scope is 3", "restart"),
            (Facts { other_user_namespace: true, ..with_capability.clone() }, "user namespace", "host"),
            (
                Facts { confined: Some("docker-default".into()), ..with_capability },
                "docker-default",
                "apparmor",
            ),
            (same_user(), "CAP_SYS_PTRACE", "--cap-add"),
        ] {
            let text = reason(&facts);
            assert!(text.contains(rule) && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn our_own_memory_is_readable_here() {
        assert!(!cannot_read_ourselves());
    }
}
