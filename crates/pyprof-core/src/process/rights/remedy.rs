//! What gives a right that is missing: the one source for errors and for `doctor`.

use super::Ourselves;
use super::capabilities::Capabilities;
use super::surroundings::Surroundings;

/// How a right is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A command before ours, for this time
    Sudo,
    /// Running as another user
    User,
    /// Starting the program ourselves
    Launch,
    /// A setting of the kernel, for everybody, until the next boot
    Sysctl,
    /// Capabilities of the `node` program, for all scripts it runs
    Setcap,
    /// An option of `docker run` or `podman run`
    Docker,
    /// A field of a container in a pod's specification
    Kubernetes,
    /// A line in a unit's `[Service]` section
    Systemd,
    /// Anything else: a sentence
    Other,
}

impl Means {
    /// A stable name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sudo => "sudo",
            Self::User => "user",
            Self::Launch => "launch",
            Self::Sysctl => "sysctl",
            Self::Setcap => "setcap",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
            Self::Systemd => "systemd",
            Self::Other => "other",
        }
    }
}

/// One way to a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// What kind
    pub means: Means,
    /// The command, option, field or line itself; a sentence for [`Means::Other`]
    pub text: String,
}

impl Remedy {
    /// Makes one.
    #[must_use]
    pub fn new(means: Means, text: impl Into<String>) -> Self {
        Self { means, text: text.into() }
    }

    /// As a part of a sentence: `run with sudo`.
    fn phrase(&self) -> String {
        let text = &self.text;
        match self.means {
            Means::Sudo => "run with sudo".to_owned(),
            Means::User => format!("run as {text}"),
            Means::Launch => format!("start the program with `{text}`"),
            Means::Sysctl | Means::Setcap => format!("run `{text}`"),
            Means::Docker => format!("start the container with {text}"),
            Means::Kubernetes => format!("give the container {text}"),
            Means::Systemd => format!("add {text} to the service"),
            Means::Other => text.clone(),
        }
    }
}

/// What an obstacle asks for.
#[derive(Debug, Clone, Default)]
pub struct Need {
    /// Capabilities that would lift it
    pub capabilities: Capabilities,
    /// System calls that a filter must let through
    pub calls: Vec<&'static str>,
    /// The name of a user who may
    pub user: Option<String>,
    /// A setting of the kernel that lifts it too
    pub setting: Option<&'static str>,
    /// To be outside of the security module's profile
    pub unconfined: bool,
    /// A child of ours would not have the obstacle
    pub own_child: bool,
    /// Something that only a person can arrange, as a sentence
    pub other: Option<&'static str>,
}

impl Need {
    /// A need for capabilities.
    #[must_use]
    pub fn capability(capabilities: Capabilities) -> Self {
        Self { capabilities, ..Self::default() }
    }

    /// Both needs at once: what lifts only one of them is no remedy any more.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        let mut calls = self.calls;
        for call in other.calls {
            if !calls.contains(&call) {
                calls.push(call);
            }
        }
        Self {
            capabilities: self.capabilities | other.capabilities,
            calls,
            user: self.user.filter(|user| other.user.as_ref() == Some(user)),
            setting: self.setting.filter(|setting| other.setting == Some(setting)),
            unconfined: self.unconfined || other.unconfined,
            own_child: self.own_child && other.own_child,
            other: self.other.or(other.other),
        }
    }

    /// All ways, the one at hand first.
    #[must_use]
    pub fn remedies(&self, ours: &Ourselves) -> Vec<Remedy> {
        let capabilities = ours.missing(self.capabilities);
        let mut found = Vec::new();
        if let Some(user) = &self.user {
            found.push(Remedy::new(Means::User, user));
        }
        // Only the container or the service itself, not what runs in it, can be rid of its filter and its profile.
        let inherited = !self.calls.is_empty() || self.unconfined;
        if inherited && !ours.surroundings.is_container() && ours.surroundings != Surroundings::Service {
            found.push(Remedy::new(Means::Other, "run it outside of the sandbox that confines it"));
        }
        if !capabilities.is_empty() && !inherited && ours.bounding.contains(capabilities) {
            if !ours.no_new_privileges {
                found.push(Remedy::new(Means::Sudo, "sudo env \"PATH=$PATH\" npx pyprof-rs"));
            }
            if !ours.surroundings.is_container() && !ours.no_new_privileges {
                found.push(Remedy::new(Means::Setcap, setcap(capabilities)));
            }
        }
        if self.own_child {
            found.push(Remedy::new(Means::Launch, "pyprof-rs record -- PROGRAM"));
        }
        if let Some(setting) = self.setting.filter(|_| !inherited) {
            found.push(Remedy::new(Means::Sysctl, format!("sudo sysctl {setting}")));
        }
        if !capabilities.is_empty() || inherited {
            found.push(Remedy::new(Means::Docker, self.docker(capabilities, ours.surroundings)));
            found.push(Remedy::new(Means::Kubernetes, self.kubernetes(capabilities)));
            found.push(Remedy::new(Means::Systemd, self.systemd(capabilities)));
        }
        if let Some(text) = self.other {
            found.push(Remedy::new(Means::Other, text));
        }
        let at_hand = match ours.surroundings {
            Surroundings::Docker | Surroundings::Podman | Surroundings::Container => Means::Docker,
            Surroundings::Kubernetes => Means::Kubernetes,
            Surroundings::Service => Means::Systemd,
            Surroundings::Host => return found,
        };
        // What can be done from inside, without starting anything anew, stays in front.
        found.sort_by_key(|remedy| match remedy.means {
            Means::User | Means::Sudo | Means::Launch => 0,
            means if means == at_hand => 1,
            _ => 2,
        });
        found
    }

    /// The engines' own filters let a call through to whoever holds its capability; Podman's did not always.
    fn docker(&self, capabilities: Capabilities, surroundings: Surroundings) -> String {
        let mut options: Vec<String> = capabilities.names().map(|name| format!("--cap-add={name}")).collect();
        let is_podman = surroundings == Surroundings::Podman;
        if !self.calls.is_empty() && (capabilities.is_empty() || is_podman) {
            options.push("--security-opt seccomp=unconfined".to_owned());
        }
        if self.unconfined {
            options.push("--security-opt apparmor=unconfined".to_owned());
        }
        options.join(" ")
    }

    fn kubernetes(&self, capabilities: Capabilities) -> String {
        let names = capabilities.names().collect::<Vec<_>>().join(", ");
        let mut fields = Vec::new();
        if !names.is_empty() {
            // Without a user id of 0 the container's program gets them into its bounding set only.
            fields.push(format!("runAsUser: 0, capabilities: {{ add: [{names}] }}"));
        } else if !self.calls.is_empty() {
            fields.push("seccompProfile: { type: Unconfined }".to_owned());
        }
        if self.unconfined {
            fields.push("appArmorProfile: { type: Unconfined }".to_owned());
        }
        format!("securityContext: {{ {} }}", fields.join(", "))
    }

    fn systemd(&self, capabilities: Capabilities) -> String {
        let mut lines = Vec::new();
        let names = capabilities.names().map(|name| format!("CAP_{name}")).collect::<Vec<_>>().join(" ");
        if !names.is_empty() {
            lines.push(format!("AmbientCapabilities={names}"));
        }
        if !self.calls.is_empty() {
            lines.push(format!("SystemCallFilter={}", self.calls.join(" ")));
        }
        if self.unconfined {
            lines.push("AppArmorProfile=unconfined".to_owned());
        }
        lines.join(" and ")
    }
}

impl Ourselves {
    /// What of `wanted` is not in force, by the names that this kernel knows.
    #[must_use]
    pub fn missing(&self, wanted: Capabilities) -> Capabilities {
        if self.holds(Capabilities::SYS_ADMIN) {
            let included = Capabilities::PERFMON | Capabilities::BPF | Capabilities::SYSLOG;
            return wanted.without(included).without(self.effective);
        }
        let missing = wanted.without(self.effective);
        let fine = Capabilities::PERFMON | Capabilities::BPF;
        if self.has_fine_capabilities || missing.without(fine) == missing {
            return missing;
        }
        missing.without(fine) | Capabilities::SYS_ADMIN
    }
}

fn setcap(capabilities: Capabilities) -> String {
    let names = capabilities.names().map(|name| format!("cap_{}", name.to_ascii_lowercase()));
    let names = names.collect::<Vec<_>>().join(",");
    format!("sudo setcap {names}+ep \"$(readlink -f \"$(command -v node)\")\"")
}

/// The ways that fit where we run, as the end of a message: `run as root, or run with sudo`. `doctor` lists all.
#[must_use]
pub fn sentence(remedies: &[Remedy]) -> String {
    let nearby =
        |remedy: &&Remedy| matches!(remedy.means, Means::User | Means::Sudo | Means::Launch | Means::Sysctl);
    let elsewhere = |remedy: &&Remedy| !nearby(remedy) && remedy.means != Means::Setcap;
    let mut phrases: Vec<String> = remedies.iter().filter(nearby).map(Remedy::phrase).collect();
    // Sudo is only offered where it helps.
    if !remedies.iter().any(|remedy| remedy.means == Means::Sudo) {
        phrases.extend(remedies.iter().find(elsewhere).map(Remedy::phrase));
    }
    phrases.join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(surroundings: Surroundings, bounding: Capabilities) -> Ourselves {
        Ourselves {
            effective: Capabilities::NONE,
            bounding,
            no_new_privileges: false,
            surroundings,
            has_fine_capabilities: true,
            ..Ourselves::probe()
        }
    }

    fn both() -> Need {
        Need::capability(Capabilities::PERFMON | Capabilities::BPF)
    }

    fn first(need: &Need, ours: &Ourselves) -> (Means, String) {
        let remedy = need.remedies(ours).swap_remove(0);
        (remedy.means, remedy.text)
    }

    #[test]
    fn the_way_at_hand_comes_first() {
        let all = both().capabilities;
        let none = Capabilities::NONE;
        let means = |surroundings, bounding| first(&both(), &ours(surroundings, bounding)).0;
        assert_eq!(means(Surroundings::Host, all), Means::Sudo);
        assert_eq!(means(Surroundings::Docker, all), Means::Sudo, "root of the container has them");
        assert_eq!(means(Surroundings::Docker, none), Means::Docker);
        assert_eq!(means(Surroundings::Kubernetes, none), Means::Kubernetes);
        assert_eq!(means(Surroundings::Service, none), Means::Systemd);
        let stuck = Ourselves { no_new_privileges: true, ..ours(Surroundings::Host, all) };
        assert!(both().remedies(&stuck).iter().all(|remedy| remedy.means != Means::Sudo));
    }

    #[test]
    fn each_place_has_its_own_words() {
        let all = both().remedies(&ours(Surroundings::Host, both().capabilities));
        let text = |means| all.iter().find(|remedy| remedy.means == means).unwrap().text.as_str();
        assert_eq!(text(Means::Docker), "--cap-add=PERFMON --cap-add=BPF");
        assert_eq!(
            text(Means::Kubernetes),
            "securityContext: { runAsUser: 0, capabilities: { add: [PERFMON, BPF] } }"
        );
        assert_eq!(text(Means::Systemd), "AmbientCapabilities=CAP_PERFMON CAP_BPF");
        assert!(text(Means::Setcap).starts_with("sudo setcap cap_perfmon,cap_bpf+ep "));
    }

    #[test]
    fn filters_are_lifted_from_outside() {
        let need = Need { calls: vec!["bpf"], ..both() };
        let held =
            Ourselves { effective: need.capabilities, ..ours(Surroundings::Docker, Capabilities::NONE) };
        assert_eq!(first(&need, &held).1, "--security-opt seccomp=unconfined");
        let lacking = ours(Surroundings::Docker, Capabilities::NONE);
        assert_eq!(
            first(&need, &lacking).1,
            "--cap-add=PERFMON --cap-add=BPF",
            "which opens Docker's filter"
        );
        let host = ours(Surroundings::Host, need.capabilities);
        assert_eq!(first(&need, &host).1, "run it outside of the sandbox that confines it");
        let podman = ours(Surroundings::Podman, Capabilities::NONE);
        assert!(first(&need, &podman).1.ends_with("seccomp=unconfined"));
        let service = ours(Surroundings::Service, both().capabilities);
        let line = "AmbientCapabilities=CAP_PERFMON CAP_BPF and SystemCallFilter=bpf";
        assert_eq!(first(&need, &service), (Means::Systemd, line.to_owned()));
    }

    #[test]
    fn older_kernels_and_the_capability_that_includes_others() {
        let old =
            Ourselves { has_fine_capabilities: false, ..ours(Surroundings::Docker, Capabilities::NONE) };
        assert_eq!(first(&both(), &old).1, "--cap-add=SYS_ADMIN");
        let admin = Ourselves { effective: Capabilities::SYS_ADMIN, ..old };
        assert!(both().remedies(&admin).is_empty());
    }

    #[test]
    fn messages_end_with_what_helps_here() {
        let need = Need { user: Some("www".into()), ..Need::capability(Capabilities::SYS_PTRACE) };
        let say = |surroundings, bounding| sentence(&need.remedies(&ours(surroundings, bounding)));
        assert_eq!(say(Surroundings::Host, need.capabilities), "run as www, or run with sudo");
        assert_eq!(
            say(Surroundings::Docker, Capabilities::NONE),
            "run as www, or start the container with --cap-add=SYS_PTRACE"
        );
    }
}
