//! From what the kernel answered to what is missing.

use nix::errno::Errno;
use pyprof_core::process::rights::capabilities::Capabilities;
use pyprof_core::process::rights::filter::Passage;
use pyprof_core::process::rights::remedy::{Need, Remedy};
use pyprof_core::sampler::EngineKind;

use super::{Grant, Rights};

/// A part of a sentence, and what would lift it.
pub type Obstacle = (String, Need);

const OUTSIDE: &str = "run from the host: rights of a user namespace do not count for this";
const SECURITY: &str =
    "ask whoever runs this machine: a security module or the kernel's lockdown is in the way";

impl Rights {
    /// Everything between us and `engine`. All engines read the process too.
    pub(super) fn obstacles(&self, engine: EngineKind) -> Vec<Obstacle> {
        let engine = match engine {
            // No right makes up for that, so nothing else is asked for before.
            EngineKind::Exact if !self.has_walker => vec![Some(not_built_in())],
            EngineKind::Exact => vec![self.perf_event(true), self.walker()],
            EngineKind::Perf => vec![self.perf_event(true)],
            EngineKind::PerfUser => vec![self.perf_event(false)],
            EngineKind::Snapshot => Vec::new(),
        };
        [self.reading()].into_iter().chain(engine).flatten().collect()
    }

    /// What would let our BPF program be loaded; empty when it is.
    #[must_use]
    pub fn bpf_remedies(&self) -> Vec<Remedy> {
        self.walker().map_or_else(Vec::new, |(_, need)| need.remedies(&self.ourselves))
    }

    fn reading(&self) -> Option<Obstacle> {
        let passage = self.ourselves.reading;
        match passage {
            Passage::Open | Passage::Unknown => None,
            _ => Some(stopped("process_vm_readv", passage, Need::capability(Capabilities::SYS_PTRACE))),
        }
    }

    fn perf_event(&self, in_kernel: bool) -> Option<Obstacle> {
        let grant = if in_kernel { self.perf } else { self.perf_user };
        let need = Need::capability(Capabilities::PERFMON);
        let errno = match grant {
            Grant::Yes => return None,
            // Of user code, only the filter has to go.
            Grant::Stopped(passage) if !in_kernel => {
                return Some(stopped("perf_event_open", passage, Need::default()));
            }
            Grant::Stopped(passage) => return Some(stopped("perf_event_open", passage, need)),
            Grant::No(errno) => errno,
        };
        let paranoid = self.kernel.perf_event_paranoid;
        let refused = matches!(errno, Errno::EACCES | Errno::EPERM);
        let limit = if in_kernel { 1 } else { 2 };
        if !refused || paranoid.is_none_or(|paranoid| paranoid <= limit) {
            return Some((format!("perf_event_open fails: {}", errno.desc()), other(SECURITY)));
        }
        let which = if in_kernel { "of kernel code" } else { "at all" };
        let level = paranoid.unwrap_or_default();
        let setting = if in_kernel { "kernel.perf_event_paranoid=1" } else { "kernel.perf_event_paranoid=2" };
        if self.counts(Capabilities::PERFMON) {
            let cause = format!("the kernel refuses perf events {which} although we hold CAP_PERFMON");
            return Some((cause, other(SECURITY)));
        }
        let cause =
            format!("kernel.perf_event_paranoid is {level} and we lack {}", self.named(need.capabilities));
        let need = if self.ourselves.is_in_first_user_namespace() { need } else { other(OUTSIDE) };
        Some((cause, Need { setting: Some(setting), ..need }))
    }

    fn walker(&self) -> Option<Obstacle> {
        let need = Need::capability(Capabilities::BPF | Capabilities::PERFMON);
        match self.bpf {
            Grant::Yes => None,
            Grant::Stopped(passage) => Some(stopped("bpf", passage, need)),
            Grant::No(Errno::EPERM | Errno::EACCES) if !self.counts(need.capabilities) => {
                let missing = self.named(need.capabilities);
                let need = if self.ourselves.is_in_first_user_namespace() { need } else { other(OUTSIDE) };
                Some((format!("BPF programs need {missing}"), need))
            }
            Grant::No(errno) => {
                let cause = format!("the kernel refuses our BPF program: {}", errno.desc());
                let old = "use Linux 5.8 or later with CONFIG_BPF_EVENTS, without lockdown";
                Some((cause, other(if errno == Errno::EINVAL { old } else { SECURITY })))
            }
        }
    }

    /// Held, and for the kernel as a whole.
    fn counts(&self, capabilities: Capabilities) -> bool {
        let ours = &self.ourselves;
        ours.missing(capabilities).is_empty() && ours.is_in_first_user_namespace()
    }

    /// Those that are missing; all of them where those held do not count.
    fn named(&self, capabilities: Capabilities) -> String {
        let missing = self.ourselves.missing(capabilities);
        let outside = " in the first user namespace";
        if missing.is_empty() { format!("{}{outside}", capabilities.sentence()) } else { missing.sentence() }
    }
}

fn not_built_in() -> Obstacle {
    let cause = "this build has no BPF program, because no clang was there when it was built";
    (cause.to_owned(), other("install the published package, or build again with clang installed"))
}

fn other(text: &'static str) -> Need {
    Need { other: Some(text), ..Need::default() }
}

fn stopped(call: &'static str, passage: Passage, need: Need) -> Obstacle {
    match passage {
        Passage::Absent => {
            let cause = format!("this kernel was built without {call}");
            (cause, other("boot a kernel of a distribution: they have it"))
        }
        Passage::Deadly => {
            let cause = format!("a seccomp filter ends every process that calls {call}");
            (cause, Need { calls: vec![call], ..need })
        }
        Passage::Refused => (format!("a seccomp filter forbids {call}"), Need { calls: vec![call], ..need }),
        Passage::Open | Passage::Unknown => (format!("{call} could not be tried"), Need::default()),
    }
}
