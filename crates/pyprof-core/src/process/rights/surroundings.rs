//! Where we run: on the host, in a container, in a service. It decides which remedy is at hand.

use std::fs::{read_link, read_to_string};
use std::path::Path;

/// What runs this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// A shell, or anything else outside of a container
    Host,
    /// A system service of systemd
    Service,
    /// A container of Docker
    Docker,
    /// A container of Podman
    Podman,
    /// A container of a Kubernetes pod
    Kubernetes,
    /// A container of another kind
    Container,
}

impl Surroundings {
    /// By the marks that container engines leave, and by the namespaces: a virtual machine made of a container's
    /// image has the marks too.
    #[must_use]
    pub fn find() -> Self {
        let exists = |path: &str| Path::new(path).exists();
        let initial = |name: &str| Namespace::of("self", name).is_none_or(Namespace::is_initial);
        if ["pid", "user", "uts", "ipc"].into_iter().all(initial) {
            let group = read_to_string("/proc/self/cgroup").unwrap_or_default();
            return if is_system_service(&group) { Self::Service } else { Self::Host };
        }
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
            || exists("/var/run/secrets/kubernetes.io/serviceaccount")
        {
            return Self::Kubernetes;
        }
        if exists("/run/.containerenv") {
            return Self::Podman;
        }
        if exists("/.dockerenv") {
            return Self::Docker;
        }
        let own = exists("/run/systemd/container") || !initial("pid") || !initial("user");
        if own { Self::Container } else { Self::Host }
    }

    /// A container of any kind.
    #[must_use]
    pub fn is_container(self) -> bool {
        !matches!(self, Self::Host | Self::Service)
    }

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "none",
            Self::Service => "none (a systemd service)",
            Self::Docker => "Docker",
            Self::Podman => "Podman",
            Self::Kubernetes => "Kubernetes",
            Self::Container => "of an unknown kind",
        }
    }
}

/// `0::/system.slice/web.service`: a login's shell lies in `user.slice` instead.
fn is_system_service(cgroup: &str) -> bool {
    cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| {
        path.starts_with("/system.slice/") && path.split('/').any(|part| part.ends_with(".service"))
    })
}

/// A namespace by its number, which all processes in it share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace(u64);

impl Namespace {
    /// Of a process (`self` or a pid): `pid`, `user`, `mnt`. `None` when it may not be seen.
    #[must_use]
    pub fn of(process: impl std::fmt::Display, name: &str) -> Option<Self> {
        let link = read_link(format!("/proc/{process}/ns/{name}")).ok()?;
        let text = link.to_str()?.strip_prefix(name)?.strip_prefix(":[")?;
        text.strip_suffix(']')?.parse().ok().map(Self)
    }

    /// The first one of its kind, the host's. Those of the kinds pid, user, uts and ipc have fixed numbers, right
    /// below those that are given out later (`include/linux/proc_ns.h`); others only on newer kernels.
    #[must_use]
    pub fn is_initial(self) -> bool {
        (0xEFFF_FFF0..0xF000_0000).contains(&self.0)
    }

    /// Its number, the inode of `/proc/PID/ns/NAME`.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_the_system_and_shells_of_users() {
        assert!(is_system_service("0::/system.slice/web.service\n"));
        assert!(is_system_service("12:cpu:/\n0::/system.slice/system-web.slice/web@1.service\n"));
        for other in ["0::/user.slice/user-1000.slice/session-3.scope\n", "0::/\n", "", "x"] {
            assert!(!is_system_service(other), "{other}");
        }
        assert!(!is_system_service(
            "0::/user.slice/user-0.slice/user@0.service/app.slice/terminal.service\n"
        ));
    }

    #[test]
    fn our_own_namespaces_have_numbers() {
        for name in ["pid", "user", "mnt"] {
            assert!(Namespace::of("self", name).is_some_and(|found| found.number() > 0), "{name}");
        }
        assert_eq!(Namespace::of("self", "no such kind"), None);
    }
}
