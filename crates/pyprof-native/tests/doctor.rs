//! What `doctor` says of real processes.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;

use pyprof_core::process::rights::remedy::Means;
use pyprof_native::doctor::{Report, Target as Examined, examine};
use pyprof_native::rights::Rights;
use support::{Directory, NOBODY, Target, act, skipped};

const IDLE: &str = "ready(); wait()";

fn look(pid: i32) -> Examined {
    examine(Some(pid)).target.expect("asked for")
}

#[track_caller]
fn assert_noted(examined: &Examined, id: &str, part: &str) {
    let note = examined.notes.iter().find(|note| note.id == id);
    assert!(note.is_some_and(|note| note.text.contains(part)), "{id}: {examined:?}");
}

/// The part that is played by another user; nothing at all in an ordinary run.
#[test]
fn act_when_told() {
    let Ok(told) = std::env::var("PYPROF_ACT") else { return };
    let examined = look(told.parse().unwrap());
    println!("says: code {:?}", examined.obstacle.map(|(code, _)| code));
    println!("says: python {:?} engine {:?}", examined.python.is_some(), examined.engine);
    for remedy in examined.remedies {
        println!("says: {:?} {}", remedy.means, remedy.text);
    }
    println!("says: {} {}", examined.has_blocked_stacks, examined.has_kernel_stacks);
}

#[test]
fn every_python_is_found() {
    let engine = Rights::probe().engine();
    assert!(engine.is_some());
    for python in support::interpreters() {
        let script = "threading.Thread(target=wait, daemon=True).start()\nready(); wait()";
        let target = Target::python(&python, script);
        let examined = look(target.pid);
        assert_eq!(examined.obstacle, None, "{}", python.name);
        assert_eq!(examined.engine, engine);
        let found = examined.python.expect("found");
        assert!(found.version.starts_with(&format!("3.{}", python.minor())), "{found:?}");
        assert!(found.threads == 2 && found.file.contains("python"), "{found:?}");
        assert!(examined.has_blocked_stacks && examined.user.is_some());
        assert!(examined.command.iter().any(|word| word.contains("ready()")));
        let other_root = examined.notes.iter().any(|note| note.id == "other-root");
        assert_eq!(other_root, python.other_root, "{}", python.name);
        assert!(!examined.notes.iter().any(|note| note.id == "embedded"), "{:?}", examined.notes);
    }
}

#[test]
fn processes_that_cannot_be_profiled() {
    let code = |pid| look(pid).obstacle.expect("an obstacle").0;
    assert_eq!(code(i32::MAX), "NO_SUCH_PROCESS");
    assert_eq!(code(std::process::id() as i32), "NOT_PYTHON");
    let Some(python) = support::interpreters().into_iter().next() else { return };
    let mut target = Target::python(&python, IDLE);
    target.kill_unreaped();
    assert_eq!(code(target.pid), "PROCESS_EXITED");
}

#[test]
fn another_users_process() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("doctor as another user", "not root");
    }
    let Some(python) = support::system_python() else {
        return skipped("doctor as another user", "no /usr/bin/python3.N that other users may run");
    };
    let target = Target::python(&python, IDLE);
    let said = act(NOBODY, &target.pid.to_string());
    for part in ["code Some(\"PERMISSION\")", "python false engine None", "User root", "false false"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains(&format!("{:?} --cap-add=SYS_PTRACE", Means::Docker)), "{said}");
    // Their own.
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).args(&python.argv);
    let target = Target::script(command, IDLE);
    let said = act(NOBODY, &target.pid.to_string());
    assert!(said.contains("code None") && said.contains("true false"), "{said}");
}

#[test]
fn a_process_in_a_container() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("doctor and namespaces", "not root");
    }
    let Some(python) = support::system_python() else {
        return skipped("doctor and namespaces", "no /usr/bin/python3.N");
    };
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]);
    command.args(&python.argv);
    let target = Target::script(command, IDLE).descend();
    let examined = look(target.pid);
    assert_eq!(examined.obstacle, None);
    assert_noted(&examined, "other-pid-namespace", "its pid is 1;");
    assert_noted(&examined, "other-user-namespace", "another user namespace");
}

#[test]
fn unusual_processes_are_noted() {
    let Some((python, library)) = support::pyenv(12).zip(support::libpython(12)) else {
        return skipped("doctor and unusual processes", "no pyenv 3.12");
    };
    let directory = Directory::new();
    let path = directory.join("libpython3.12.so.1.0");
    fs::copy(library, &path).unwrap();
    let program = directory.join("web");
    fs::copy(python.path().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    let home = python.path().unwrap().parent().unwrap().parent().unwrap();
    command.env("LD_PRELOAD", &path).env("PYTHONHOME", home);
    let target = Target::script(command, IDLE);
    fs::remove_file(&path).unwrap();
    target.signal(nix::sys::signal::Signal::SIGSTOP);
    target.await_state('T');
    let examined = look(target.pid);
    assert_eq!(examined.obstacle, None);
    assert_noted(&examined, "embedded", "Python is embedded in web; it lies in ");
    assert_noted(&examined, "deleted-file", path.to_str().unwrap());
    assert_noted(&examined, "stopped", "it is stopped");
}

#[test]
fn the_report_hangs_together() {
    let Report { checks, engines, engine, target } = examine(None);
    assert!(target.is_none());
    assert_eq!(engine, engines.iter().find(|one| one.is_available()).map(|one| one.engine));
    for (at, check) in checks.iter().enumerate() {
        assert!(!check.value.is_empty() && !checks[..at].iter().any(|other| other.id == check.id));
        assert!(check.good == Some(false) || check.remedies.is_empty(), "{check:?}");
    }
    let good = |id: &str| checks.iter().find(|check| check.id == id).and_then(|check| check.good);
    assert_eq!(good("process_vm_readv"), Some(true));
    let perf = engines.iter().find(|one| one.engine.name() == "perf").unwrap();
    assert_eq!(good("perf"), Some(perf.is_available()));
}
