//! The rights as questions and answers.

use pyprof_core::process::access::user_name;
use pyprof_core::process::rights::capabilities::Capabilities;
use pyprof_core::process::rights::filter::Passage;
use pyprof_core::process::rights::remedy::{Need, Remedy};
use pyprof_core::process::rights::surroundings::Namespace;
use pyprof_core::sampler::EngineKind;

use super::Check;
use crate::rights::kernel::Names;
use crate::rights::{Grant, Rights};

/// All of them.
pub fn of(rights: &Rights) -> Vec<Check> {
    let mut found = ourselves(rights);
    found.extend(kernel(rights));
    found
}

fn fact(id: &'static str, value: impl Into<String>) -> Check {
    Check { id, value: value.into(), good: None, remedies: Vec::new() }
}

fn question(id: &'static str, good: bool, value: impl Into<String>, remedies: Vec<Remedy>) -> Check {
    let remedies = if good { Vec::new() } else { remedies };
    Check { id, value: value.into(), good: Some(good), remedies }
}

fn ourselves(rights: &Rights) -> Vec<Check> {
    let ours = &rights.ourselves;
    let user = |id: u32| format!("{} ({id})", user_name(id));
    let effective = if ours.effective_user == ours.user {
        String::new()
    } else {
        format!(", effective {}", user(ours.effective_user))
    };
    let capabilities = ours.effective.names().map(|name| format!("CAP_{name}")).collect::<Vec<_>>();
    let capabilities =
        if capabilities.is_empty() { "none of use".to_owned() } else { capabilities.join(" ") };
    let seccomp = if ours.has_filter { "a filter is installed" } else { "no filter" };
    let yama = match ours.yama {
        None => "not in this kernel".to_owned(),
        Some(0) => "0, in nobody's way".to_owned(),
        Some(1) => "1, only own children may be read".to_owned(),
        Some(2) => "2, reading asks for CAP_SYS_PTRACE".to_owned(),
        Some(level) => format!("{level}, nobody may be read"),
    };
    let lifts_yama =
        ours.yama.is_none_or(|level| level == 0 || (level < 3 && ours.holds(Capabilities::SYS_PTRACE)));
    let need = match ours.yama {
        Some(3..) => Need {
            other: Some("set it to 0, 1 or 2 in /etc/sysctl.d and restart the machine"),
            ..Need::default()
        },
        level => Need {
            setting: Some("kernel.yama.ptrace_scope=0"),
            own_child: level == Some(1),
            ..Need::capability(Capabilities::SYS_PTRACE)
        },
    };
    vec![
        fact("user", format!("{}{effective}", user(ours.user))),
        fact("capabilities", capabilities),
        fact("no-new-privileges", if ours.no_new_privileges { "set: sudo does nothing" } else { "not set" }),
        fact("seccomp", seccomp),
        fact("security-module", ours.confined.clone().unwrap_or_else(|| "does not confine us".to_owned())),
        fact("container", ours.surroundings.name()),
        fact("user-namespace", namespace(ours.user_namespace)),
        fact("pid-namespace", namespace(ours.pid_namespace)),
        fact(
            "mount-namespace",
            ours.mount_namespace.map_or_else(unknown, |found| found.number().to_string()),
        ),
        question("yama", lifts_yama, yama, need.remedies(ours)),
        question(
            "process_vm_readv",
            ours.reading.is_open(),
            passage(ours.reading),
            rights.verdict(EngineKind::Snapshot).remedies,
        ),
    ]
}

fn kernel(rights: &Rights) -> Vec<Check> {
    let (ours, kernel) = (&rights.ourselves, &rights.kernel);
    let level = |value: Option<i32>| value.map_or_else(unknown, |value| value.to_string());
    let names = match kernel.names {
        Names::Known => "known".to_owned(),
        Names::Hidden => format!("hidden, kernel.kptr_restrict is {}", level(kernel.kptr_restrict)),
        Names::Absent => "not in this kernel".to_owned(),
    };
    let stacks = if kernel.has_stack_file { "readable" } else { "not readable" };
    let stacks_need = Need::capability(Capabilities::SYS_ADMIN).remedies(ours);
    let readable = |yes: bool| if yes { "readable" } else { "not readable" };
    let limit = match kernel.memory_lock {
        u64::MAX => "no limit".to_owned(),
        bytes => format!("{} KiB", bytes >> 10),
    };
    let free = kernel.perf_event_mlock_kib;
    let free = free.map_or_else(String::new, |kib| format!(", and {kib} KiB of perf buffers on each CPU"));
    let walker = if rights.has_walker { "in this build" } else { "not in this build" };
    vec![
        fact("kernel", kernel.release.clone()),
        fact("perf-event-paranoid", level(kernel.perf_event_paranoid)),
        question(
            "perf",
            rights.perf.is_given(),
            grant(rights.perf),
            rights.verdict(EngineKind::Perf).remedies,
        ),
        question(
            "perf-user",
            rights.perf_user.is_given(),
            grant(rights.perf_user),
            rights.verdict(EngineKind::PerfUser).remedies,
        ),
        fact("unprivileged-bpf-disabled", level(kernel.unprivileged_bpf_disabled)),
        question("bpf", rights.bpf.is_given(), grant(rights.bpf), rights.bpf_remedies()),
        question("bpf-program", rights.has_walker, walker, rights.verdict(EngineKind::Exact).remedies),
        question("btf", kernel.has_btf, readable(kernel.has_btf), Vec::new()),
        question("kernel-names", kernel.names == Names::Known, names, rights.kernel_names()),
        question("kernel-stacks", kernel.has_stack_file, stacks, stacks_need),
        question("system-calls", kernel.has_syscall_file, readable(kernel.has_syscall_file), Vec::new()),
        fact("locked-memory", format!("{limit}{free}")),
    ]
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn namespace(found: Option<Namespace>) -> String {
    match found {
        None => unknown(),
        Some(found) if found.is_initial() => "the host's".to_owned(),
        Some(found) => format!("its own ({})", found.number()),
    }
}

fn passage(passage: Passage) -> &'static str {
    match passage {
        Passage::Open => "works",
        Passage::Refused => "refused by a seccomp filter",
        Passage::Deadly => "a seccomp filter ends whoever calls it",
        Passage::Absent => "not in this kernel",
        Passage::Unknown => "could not be tried",
    }
}

fn grant(grant: Grant) -> String {
    match grant {
        Grant::Yes => "works".to_owned(),
        Grant::No(errno) => format!("refused by the kernel: {}", errno.desc()),
        Grant::Stopped(stopped) => passage(stopped).to_owned(),
    }
}
