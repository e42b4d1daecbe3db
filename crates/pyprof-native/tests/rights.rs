//! Under each set of rights the right engine is chosen, and what is said about the others is right. Run as root,
//! because the tests need other users and fewer capabilities.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use nix::libc;
use pyprof_core::attach::Attached;
use pyprof_core::sampler::EngineKind;
use pyprof_native::interrupts::Interrupts;
use pyprof_native::perf::Wanted;
use pyprof_native::rights::Rights;
use support::{Fate, Interpreter, NOBODY, Target, act, forbid, skipped};

const IDLE: &str = "ready(); wait()";

/// Calls that a test can forbid.
const CALLS: [(&str, libc::c_long); 3] = [
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("bpf", libc::SYS_bpf),
];

/// The part that is played with other rights; nothing at all in an ordinary run. Told `CALL:FATE ... PID`.
#[test]
fn act_when_told() {
    let Ok(told) = std::env::var("PYPROF_ACT") else { return };
    for word in told.split(' ') {
        let Some((name, fate)) = word.split_once(':') else { continue };
        let call = CALLS.iter().find(|(known, _)| *known == name).unwrap().1;
        forbid(call, fate.parse().map_or(Fate::Kill, Fate::Errno));
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let rights = Rights::probe();
    println!("says: left {}", descriptors() - before);
    println!("says: best {}", rights.engine().map_or("none", EngineKind::name));
    for verdict in rights.verdicts() {
        println!("says: {} {}", verdict.engine.name(), verdict.explain().unwrap_or("OK".to_owned()));
        for remedy in verdict.remedies {
            println!("says: {}/{} {}", verdict.engine.name(), remedy.means.name(), remedy.text);
        }
    }
    if told.contains("start") {
        let python = support::system_python().expect("the test looked for it");
        let target = Target::python(&python, IDLE);
        for engine in &EngineKind::ALL[..3] {
            let start = start(*engine, target.pid).map_or_else(|error| error.to_string(), |()| "OK".into());
            println!("says: {}/start {start}", engine.name());
        }
    }
    if let Some(pid) = told.split(' ').find_map(|word| word.parse().ok()) {
        match rights.engine_for(pid) {
            Ok(engine) => println!("says: for {}", engine.name()),
            Err(error) => println!("says: for {} {error}", error.code()),
        }
    }
}

/// Interrupts a process as `engine` does.
fn start(engine: EngineKind, pid: i32) -> std::io::Result<()> {
    let mut process = Attached::open(pid).expect("it is ours");
    let in_kernel = engine != EngineKind::PerfUser;
    let wanted = Wanted { period_ns: 1_000_000, native: true, kernel: in_kernel, in_kernel, switches: false };
    Interrupts::start(&mut process, wanted, engine == EngineKind::Exact).map(|_| ())
}

/// What was said, by the first word.
struct Said(String);

impl Said {
    fn of(&self, key: &str) -> &str {
        let mut lines = self.0.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).unwrap_or_default()
    }

    #[track_caller]
    fn is(&self, key: &str, wanted: &str) {
        assert_eq!(self.of(key), wanted, "{}", self.0);
    }

    #[track_caller]
    fn has(&self, key: &str, parts: &[&str]) {
        assert!(parts.iter().all(|part| self.of(key).contains(part)), "{key}: {parts:?} in\n{}", self.0);
    }
}

fn probe(prefix: &[&str], told: &str) -> Said {
    Said(act(prefix, if told.is_empty() { "probe" } else { told }))
}

/// Another user with only these capabilities.
fn nobody_with(capabilities: &[&str]) -> Vec<String> {
    let list = capabilities.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(",");
    let mut prefix: Vec<String> = NOBODY.iter().map(ToString::to_string).collect();
    prefix.push(format!("--inh-caps={list}"));
    prefix.push(format!("--ambient-caps={list}"));
    prefix
}

fn with(capabilities: &[&str], told: &str) -> Said {
    let prefix = nobody_with(capabilities);
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    probe(&prefix, told)
}

/// A target of root's; `None`, and says so, where these tests cannot be run.
fn python() -> Option<Interpreter> {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if !nix::unistd::geteuid().is_root() {
        skipped("rights", "not root");
    } else if !Rights::probe().bpf.is_given() {
        skipped("rights", "root may not load BPF programs here: a container");
    } else if paranoid.trim() != "2" {
        skipped("rights", "kernel.perf_event_paranoid is not 2");
    } else {
        let python = support::system_python();
        if python.is_none() {
            skipped("rights", "no /usr/bin/python3.N that other users may run");
        }
        return python;
    }
    None
}

/// `exact` where this build has the BPF program, else what comes next.
fn best() -> &'static str {
    if Rights::probe().has_walker { "exact" } else { "perf" }
}

fn exact_is(said: &Said, with_program: &[&str]) {
    let parts = if Rights::probe().has_walker { with_program } else { &["no BPF program", "clang"] };
    said.has("exact", parts);
}

/// Nothing is promised that does not work, and nothing that works is denied.
#[test]
fn verdicts_are_what_happens() {
    if python().is_none() {
        return;
    }
    let filters = format!("start perf_event_open:{}", libc::EPERM);
    let bpf = format!("start bpf:{}", libc::ENOSYS);
    let mut unshared: Vec<&str> = NOBODY.to_vec();
    unshared.extend(["unshare", "--user", "--map-root-user"]);
    for said in [
        probe(&[], "start"),
        probe(NOBODY, "start"),
        probe(&unshared, "start"),
        with(&["perfmon"], "start"),
        with(&["perfmon", "bpf"], "start"),
        with(&["bpf"], "start"),
        with(&["sys_admin"], "start"),
        probe(&[], &filters),
        probe(&[], &bpf),
    ] {
        for engine in &EngineKind::ALL[..3] {
            let promised = said.of(engine.name()) == "OK";
            let kept = said.of(&format!("{}/start", engine.name())) == "OK";
            assert_eq!(promised, kept, "{}: {}", engine.name(), said.0);
        }
    }
}

#[test]
fn root_may_all() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    let said = probe(&[], &target.pid.to_string());
    said.is("best", best());
    said.is("for", best());
    said.is("left", "0");
    for engine in ["perf", "perf-user", "snapshot"] {
        said.is(engine, "OK");
    }
    exact_is(&said, &["OK"]);
}

#[test]
fn a_user_without_capabilities() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    let said = probe(NOBODY, &target.pid.to_string());
    said.is("best", "perf-user");
    said.has("for", &["PERMISSION", "runs as root and we run as nobody"]);
    said.has("perf", &["kernel.perf_event_paranoid is 2 and we lack CAP_PERFMON", "run with sudo"]);
    said.is("perf/sysctl", "sudo sysctl kernel.perf_event_paranoid=1");
    said.is("perf/docker", "--cap-add=PERFMON");
    exact_is(&said, &["lack CAP_PERFMON", "BPF programs need CAP_PERFMON and CAP_BPF"]);
    if best() == "exact" {
        said.is("exact/docker", "--cap-add=PERFMON --cap-add=BPF");
        said.is("exact/systemd", "AmbientCapabilities=CAP_PERFMON CAP_BPF");
        said.has("exact/setcap", &["sudo setcap cap_perfmon,cap_bpf+ep "]);
        said.is("exact/sysctl", "");
    }
}

#[test]
fn capabilities_one_by_one() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    let pid = target.pid.to_string();
    let said = with(&["sys_ptrace"], &pid);
    said.is("best", "perf-user");
    said.is("for", "perf-user");
    let said = with(&["perfmon"], &pid);
    said.is("best", "perf");
    said.has("for", &["PERMISSION", "runs as root"]);
    exact_is(&said, &["BPF programs need CAP_BPF"]);
    if best() == "exact" {
        said.is("exact/docker", "--cap-add=BPF");
    }
    let said = with(&["perfmon", "bpf"], &pid);
    said.is("best", best());
    said.has("for", &["PERMISSION", "runs as root"]);
    with(&["perfmon", "bpf", "sys_ptrace"], &pid).is("for", best());
    // What PERFMON and BPF were made of.
    with(&["sys_admin", "sys_ptrace"], &pid).is("for", best());
}

#[test]
fn root_of_a_user_namespace_is_not_root() {
    if python().is_none() {
        return;
    }
    let mut prefix: Vec<&str> = NOBODY.to_vec();
    prefix.extend(["unshare", "--user", "--map-root-user"]);
    let said = probe(&prefix, "");
    said.is("best", "perf-user");
    said.has("perf", &["kernel.perf_event_paranoid is 2", "CAP_PERFMON in the first user namespace", "host"]);
    said.is("perf/docker", "");
    said.is("perf/sudo", "");
}

#[test]
fn other_namespaces_take_no_rights() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    let prefix = ["unshare", "--mount", "--uts"];
    probe(&prefix, &target.pid.to_string()).is("for", best());
    let prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let said = probe(&prefix, "1");
    said.is("best", best());
    // Itself.
    said.is("for", best());
    probe(&prefix, &target.pid.to_string()).has("for", &["NO_SUCH_PROCESS"]);
}

#[test]
fn filters_are_told_from_capabilities() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    let pid = target.pid;
    for fate in [libc::EPERM.to_string(), libc::ENOSYS.to_string(), "kill".to_owned()] {
        let verb = if fate == "kill" { "ends every process that calls" } else { "forbids" };
        let said = probe(&[], &format!("perf_event_open:{fate} {pid}"));
        said.is("best", "snapshot");
        said.is("for", "snapshot");
        said.has("perf", &["a seccomp filter", verb, "perf_event_open"]);
        said.is("perf/docker", "--security-opt seccomp=unconfined");
        said.is("perf-user/docker", "--security-opt seccomp=unconfined");
        said.is("perf-user/systemd", "SystemCallFilter=perf_event_open");
        let said = probe(&[], &format!("bpf:{fate} {pid}"));
        said.is("best", "perf");
        exact_is(&said, &["a seccomp filter", verb, "bpf"]);
        let said = probe(&[], &format!("process_vm_readv:{fate}"));
        said.is("best", "none");
        said.has("snapshot", &["a seccomp filter", verb, "process_vm_readv"]);
        said.is("snapshot/docker", "--security-opt seccomp=unconfined");
    }
    // Docker's own filter lets a call through to whoever holds its capability.
    let said = probe(NOBODY, &format!("perf_event_open:{0} bpf:{0}", libc::EPERM));
    said.is("best", "snapshot");
    said.is("perf/docker", "--cap-add=PERFMON");
    said.is("perf/sudo", "");
    said.is("perf/sysctl", "");
}
