//! Why the kernel refuses to let us read a process, and what would lift that.
//!
//! The rules are those of `ptrace_may_access` (ptrace(2), "Ptrace access mode checking"); they are looked at
//! in the order in which the kernel's answer is decided, so that the remedy named is the one that helps.

use std::fs::metadata;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Uid, User};

use super::rights::Ourselves;
use super::rights::capabilities::Capabilities;
use super::rights::remedy::{Need, Remedy, sentence};
use super::rights::surroundings::Namespace;
use super::stat::{Stat, Status};
use crate::Error;

/// What the kernel's decision hangs on, besides ourselves.
#[derive(Debug, Clone, Default)]
struct Target {
    /// Real, effective and saved user, then group
    users: Vec<u32>,
    groups: Vec<u32>,
    permitted: Capabilities,
    /// Its files in /proc belong to root although it does not
    undumpable: bool,
    other_user_namespace: bool,
}

/// The rule in the way, and what would lift it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// A part of a sentence
    pub cause: String,
    /// The one at hand first
    pub remedies: Vec<Remedy>,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.cause, sentence(&self.remedies))
    }
}

/// The error for a process whose memory or files may not be read: it names the rule and the remedy.
///
/// When the process is gone or a zombie, that is what the error says instead.
#[must_use]
pub fn explain_denied(pid: i32) -> Error {
    match Stat::read(pid) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Error::NoSuchProcess { pid },
        Ok(stat) if stat.is_zombie() => Error::ProcessExited { pid },
        _ => Error::Permission { pid, reason: denial(pid, &Ourselves::probe()).to_string() },
    }
}

/// Why the kernel refused `pid` to us. Only of use when it did.
#[must_use]
pub fn denial(pid: i32, ours: &Ourselves) -> Denial {
    let (cause, need) = rule(&gather(pid, ours), ours);
    Denial { cause, remedies: need.remedies(ours) }
}

fn gather(pid: i32, ours: &Ourselves) -> Target {
    let numbers = |status: &Status, key: &str| -> Vec<u32> {
        status.words(key).take(3).filter_map(|word| word.parse().ok()).collect()
    };
    let mut target = Target::default();
    if let Ok(status) = Status::read(pid) {
        target.users = numbers(&status, "Uid");
        target.groups = numbers(&status, "Gid");
        target.permitted = Capabilities::from_bits(status.hex("CapPrm").unwrap_or_default());
        let effective = target.users.get(1).copied();
        // The directory itself keeps its owner (`task_dump_owner` in `fs/proc/base.c`).
        let owner = metadata(format!("/proc/{pid}/status")).map(|data| data.uid()).ok();
        target.undumpable = owner.is_some() && owner != effective;
    }
    let namespace = Namespace::of(pid, "user");
    target.other_user_namespace = namespace.is_some() && namespace != ours.user_namespace;
    target
}

/// The first of the kernel's rules that says no.
fn rule(target: &Target, ours: &Ourselves) -> (String, Need) {
    let capability = || Need::capability(Capabilities::SYS_PTRACE);
    let differs = |theirs: &[u32], ours: u32| theirs.iter().any(|&id| id != ours);
    let other = |text| Need { other: Some(text), ..Need::default() };
    if ours.reading.is_filtered() {
        let need = Need { calls: vec!["process_vm_readv"], ..capability() };
        return ("a seccomp filter on this process forbids process_vm_readv".to_owned(), need);
    }
    if ours.yama == Some(3) {
        let cause = "kernel.yama.ptrace_scope is 3, which forbids it to everybody until the next boot";
        return (cause.to_owned(), other("set it to 0, 1 or 2 in /etc/sysctl.d and restart the machine"));
    }
    if ours.holds(Capabilities::SYS_PTRACE) {
        const OUTSIDE: &str = "run from the host, or inside its own container";
        if target.other_user_namespace {
            return ("it runs in a user namespace in which we hold no rights".to_owned(), other(OUTSIDE));
        }
        if let Some(label) = &ours.confined {
            let cause = format!("the security module's profile \"{label}\" confines us");
            return (cause, Need { unconfined: true, ..Need::default() });
        }
        let cause = "the kernel refuses although we hold CAP_SYS_PTRACE: it runs in a parent or sibling user \
                     namespace, or a security module protects it";
        return (cause.to_owned(), other(OUTSIDE));
    }
    if differs(&target.users, ours.user) {
        let theirs = user_name(*target.users.get(1).unwrap_or(&0));
        let cause = format!("it runs as {theirs} and we run as {}", user_name(ours.user));
        return (cause, Need { user: Some(theirs), ..capability() });
    }
    if differs(&target.groups, ours.group) {
        return ("its group ids differ from ours".to_owned(), capability());
    }
    if !ours.permitted.contains(target.permitted) {
        return ("it holds capabilities that we lack".to_owned(), capability());
    }
    if target.undumpable {
        let cause =
            "it has made itself undumpable (setuid program, file capabilities or prctl PR_SET_DUMPABLE)";
        return (cause.to_owned(), capability());
    }
    match ours.yama {
        Some(1) => {
            let cause = "kernel.yama.ptrace_scope is 1, which allows reading own children only";
            let need = Need { setting: Some("kernel.yama.ptrace_scope=0"), own_child: true, ..capability() };
            return (cause.to_owned(), need);
        }
        Some(2) => {
            let cause = "kernel.yama.ptrace_scope is 2, which asks for CAP_SYS_PTRACE";
            return (cause.to_owned(), capability());
        }
        _ => {}
    }
    let cause = match &ours.confined {
        Some(label) => format!("the security module's profile \"{label}\" may forbid it"),
        None => "we lack CAP_SYS_PTRACE, and it is undumpable, in another user namespace or protected by a \
                 security module"
            .to_owned(),
    };
    (cause, capability())
}

/// The user's name, else the number as text.
#[must_use]
pub fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::super::rights::filter::Passage;
    use super::super::rights::surroundings::Surroundings;
    use super::*;

    #[test]
    fn each_rule_has_its_own_remedy() {
        let ours = || Ourselves {
            user: 1000,
            group: 1000,
            effective: Capabilities::NONE,
            permitted: Capabilities::NONE,
            bounding: Capabilities::SYS_PTRACE,
            no_new_privileges: false,
            reading: Passage::Open,
            surroundings: Surroundings::Host,
            yama: None,
            confined: None,
            ..Ourselves::probe()
        };
        let able = || Ourselves { effective: Capabilities::SYS_PTRACE, ..ours() };
        let contained =
            || Ourselves { surroundings: Surroundings::Docker, bounding: Capabilities::NONE, ..ours() };
        let same = || Target { users: vec![1000; 3], groups: vec![1000; 3], ..Target::default() };
        let holder = || Target { permitted: Capabilities::BPF, ..same() };
        for (target, ours, cause, remedy) in [
            (same(), Ourselves { reading: Passage::Refused, ..able() }, "seccomp", "outside of the sandbox"),
            (
                same(),
                Ourselves { reading: Passage::Deadly, ..contained() },
                "seccomp",
                "--cap-add=SYS_PTRACE",
            ),
            (Target { users: vec![0; 3], ..same() }, ours(), "runs as root", "as root, or run with sudo"),
            (Target { groups: vec![7; 3], ..same() }, ours(), "group", "sudo"),
            (holder(), ours(), "capabilities that we lack", "sudo"),
            (holder(), contained(), "capabilities that we lack", "--cap-add=SYS_PTRACE"),
            (Target { undumpable: true, ..same() }, contained(), "undumpable", "--cap-add=SYS_PTRACE"),
            (same(), Ourselves { yama: Some(1), ..ours() }, "ptrace_scope is 1", "ptrace_scope=0"),
            (same(), Ourselves { yama: Some(1), ..contained() }, "ptrace_scope is 1", "record -- "),
            (same(), Ourselves { yama: Some(2), ..ours() }, "ptrace_scope is 2", "sudo"),
            (same(), Ourselves { yama: Some(3), ..able() }, "ptrace_scope is 3", "restart"),
            (Target { other_user_namespace: true, ..same() }, able(), "user namespace", "host"),
            (
                same(),
                Ourselves {
                    confined: Some("docker-default".into()),
                    surroundings: Surroundings::Docker,
                    ..able()
                },
                "docker-default",
                "apparmor=unconfined",
            ),
            (same(), ours(), "CAP_SYS_PTRACE", "sudo"),
        ] {
            let (cause_found, need) = rule(&target, &ours);
            let text = Denial { cause: cause_found, remedies: need.remedies(&ours) }.to_string();
            assert!(text.contains(cause) && text.contains(remedy), "{text}");
        }
    }
}
