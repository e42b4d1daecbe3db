//! When the kernel says no, the error says why and what helps. Run as root, because the tests need other users
//! and fewer capabilities.

mod support;

use std::fs;
use std::process::Command;

use nix::libc;
use pyprof_core::Error;
use pyprof_core::memory::ProcessMemory;
use pyprof_core::process::{self, access::explain_denied, rights::surroundings::Surroundings};
use pyprof_core::python::locate::locate;
use support::{Directory, Fate, Interpreter, NOBODY, Target, act, forbid, skipped};

const IDLE: &str = "ready(); wait()";

fn python() -> Option<Interpreter> {
    if !nix::unistd::geteuid().is_root() {
        skipped("denied access", "not root");
        return None;
    }
    let python = support::system_python();
    if python.is_none() {
        skipped("denied access", "no /usr/bin/python3.N that other users may run");
    }
    python
}

fn say(result: pyprof_core::Result<()>) {
    match result {
        Ok(()) => println!("says: OK"),
        Err(error) => println!("says: {} {error}", error.code()),
    }
}

/// The part that is played by another user; nothing at all in an ordinary run.
#[test]
fn act_when_told() {
    let Ok(told) = std::env::var("PYPROF_ACT") else { return };
    let (what, pid) = told.split_once(' ').unwrap();
    let pid: i32 = pid.parse().unwrap();
    match what {
        "locate" => say(locate(pid, &ProcessMemory::new(pid)).map(|_| ())),
        "filtered" | "deadly" => {
            let fate = if what == "deadly" { Fate::Kill } else { Fate::Errno(libc::EPERM) };
            forbid(libc::SYS_process_vm_readv, fate);
            say(locate(pid, &ProcessMemory::new(pid)).map(|_| ()));
        }
        "explain" => say(Err(explain_denied(pid))),
        "list" => {
            for process in process::list().unwrap() {
                println!("says: {} {:?} {:?}", process.pid, process.python_version, process.obstacle);
            }
        }
        other => panic!("{other}"),
    }
}

#[track_caller]
fn assert_denied(said: &str, rule: &str, remedy: &str) {
    assert!(said.starts_with("PERMISSION ") && said.contains(rule) && said.contains(remedy), "{said}");
}

#[test]
fn another_users_process() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    assert_eq!(act(&[], &format!("locate {}", target.pid)), "OK");
    assert_denied(
        &act(NOBODY, &format!("locate {}", target.pid)),
        "runs as root and we run as nobody",
        "sudo",
    );
    let listed = act(NOBODY, &format!("list {}", target.pid));
    let line = listed.lines().find(|line| line.starts_with(&target.pid.to_string())).unwrap();
    assert!(line.contains("PERMISSION") && line.contains("sudo"), "{line}");
}

#[test]
fn fewer_capabilities_than_the_target() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    let prefix = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    assert_denied(
        &act(&prefix, &format!("locate {}", target.pid)),
        "holds capabilities that we lack",
        "--cap-add=SYS_PTRACE",
    );
}

#[test]
fn undumpable_process_of_the_same_user() {
    let Some(python) = python() else { return };
    let hide = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE\n";
    for (first, hidden) in [("", false), (hide, true)] {
        let mut command = Command::new(NOBODY[0]);
        command.args(&NOBODY[1..]).args(&python.argv);
        let target = Target::script(command, &format!("{first}{IDLE}"));
        let said = act(NOBODY, &format!("locate {}", target.pid));
        if hidden {
            assert_denied(&said, "it has made itself undumpable", "run with sudo");
        } else {
            assert_eq!(said, "OK");
        }
    }
}

#[test]
fn seccomp_filter_on_ourselves() {
    let Some(python) = python() else { return };
    let target = Target::python(&python, IDLE);
    for what in ["filtered", "deadly"] {
        let said = act(&[], &format!("{what} {}", target.pid));
        let is_container = Surroundings::find().is_container();
        let remedy = if is_container { "seccomp=unconfined" } else { "outside of the sandbox" };
        assert_denied(&said, "seccomp filter on this process", remedy);
    }
}

#[test]
fn processes_that_are_gone_are_not_called_forbidden() {
    let Some(python) = python() else { return };
    let mut target = Target::python(&python, IDLE);
    target.kill_unreaped();
    assert!(matches!(explain_denied(target.pid), Error::ProcessExited { .. }));
    target.kill();
    assert!(matches!(explain_denied(target.pid), Error::NoSuchProcess { .. }));
}

/// Without the capabilities that `/proc/PID/map_files` asks for, only the memory of a deleted file is left.
#[test]
fn deleted_library_without_capabilities() {
    if python().is_none() {
        return;
    }
    for minor in [8, 12, 13] {
        let Some((python, library)) = support::pyenv(minor).zip(support::libpython(minor)) else {
            return skipped("deleted libpython without capabilities", "a pyenv version is missing");
        };
        let directory = Directory::new();
        let path = directory.join(&format!("libpython3.{minor}.so.1.0"));
        fs::copy(library, &path).unwrap();
        let mut command = python.command();
        command.env("LD_PRELOAD", &path);
        let target = Target::script(command, IDLE);
        fs::remove_file(&path).unwrap();
        let prefix = ["setpriv", "--bounding-set=-sys_admin,-checkpoint_restore"];
        assert_eq!(act(&prefix, &format!("locate {}", target.pid)), "OK", "3.{minor}");
    }
}
