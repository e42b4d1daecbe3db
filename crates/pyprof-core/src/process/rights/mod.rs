//! What this process may do: the facts behind every refusal, and what would give more.

pub mod capabilities;
pub mod filter;
pub mod remedy;
pub mod surroundings;

use std::fs::read_to_string;

use capabilities::Capabilities;
use filter::Passage;
use surroundings::{Namespace, Surroundings};

use super::stat::Status;

/// This process, as the kernel's checks see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ourselves {
    /// Real user and group: what reading another process is judged by
    pub user: u32,
    /// Effective user: what opening files of `/proc` is judged by
    pub effective_user: u32,
    /// Real group
    pub group: u32,
    /// Capabilities in force
    pub effective: Capabilities,
    /// Capabilities that could be put in force
    pub permitted: Capabilities,
    /// The most that a program started from here, as root, can get
    pub bounding: Capabilities,
    /// Programs started from here get no more rights: sudo does nothing (`PR_SET_NO_NEW_PRIVS`)
    pub no_new_privileges: bool,
    /// A seccomp filter is installed
    pub has_filter: bool,
    /// Whether `process_vm_readv` comes through
    pub reading: Passage,
    /// Our user namespace; capabilities hold in it only. `None` when unknown
    pub user_namespace: Option<Namespace>,
    /// Our pid namespace; other processes cannot be seen from it
    pub pid_namespace: Option<Namespace>,
    /// Our mount namespace
    pub mount_namespace: Option<Namespace>,
    /// Where we run
    pub surroundings: Surroundings,
    /// `kernel.yama.ptrace_scope`; `None` in a kernel without Yama
    pub yama: Option<u8>,
    /// The security module's label, when it confines us
    pub confined: Option<String>,
    /// The kernel knows `CAP_PERFMON` and `CAP_BPF` (Linux 5.8)
    pub has_fine_capabilities: bool,
}

impl Ourselves {
    /// Looks; changes nothing and cannot fail. What is unknown is taken as absent.
    #[must_use]
    pub fn probe() -> Self {
        let status = Status::read("thread-self").ok();
        let id = |key: &str, at: usize| {
            let word = status.as_ref().and_then(|status| status.words(key).nth(at)?.parse().ok());
            word.unwrap_or_default()
        };
        let set = |key: &str| {
            let bits = status.as_ref().and_then(|status| status.hex(key));
            Capabilities::from_bits(bits.unwrap_or_default())
        };
        let flag = |key: &str| status.as_ref().and_then(|status| status.number(key)) == Some(1);
        let label = read_to_string("/proc/thread-self/attr/current").unwrap_or_default();
        let label = label.trim_end_matches(['\0', '\n']).to_owned();
        let last: Option<u32> = setting("kernel/cap_last_cap");
        Self {
            user: id("Uid", 0),
            effective_user: id("Uid", 1),
            group: id("Gid", 0),
            effective: set("CapEff"),
            permitted: set("CapPrm"),
            bounding: set("CapBnd"),
            no_new_privileges: flag("NoNewPrivs"),
            has_filter: filter::is_installed(),
            reading: filter::reading(),
            user_namespace: Namespace::of("self", "user"),
            pid_namespace: Namespace::of("self", "pid"),
            mount_namespace: Namespace::of("self", "mnt"),
            surroundings: Surroundings::find(),
            yama: setting("kernel/yama/ptrace_scope"),
            confined: Some(label).filter(|label| !label.is_empty() && label != "unconfined"),
            has_fine_capabilities: last.is_none_or(|last| last >= 39),
        }
    }

    /// Whether a capability is in force.
    #[must_use]
    pub fn holds(&self, capability: Capabilities) -> bool {
        self.effective.contains(capability)
    }

    /// Whether capabilities count for what belongs to the kernel as a whole, not only inside a container's own
    /// user namespace.
    #[must_use]
    pub fn is_in_first_user_namespace(&self) -> bool {
        self.user_namespace.is_none_or(Namespace::is_initial)
    }
}

/// A number under `/proc/sys`; `None` when the kernel has no such setting or hides it.
#[must_use]
pub fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}
