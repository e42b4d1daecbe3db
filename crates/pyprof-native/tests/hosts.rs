//! Programs that hold a Python: embedded in C, with stripped or deleted files, with threads that know no Python.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use std::process::Command;

use pyprof_core::profile::FrameKind;
use pyprof_core::snapshot::{FrameSnapshot, Snapshot, ThreadSnapshot};
use pyprof_native::dump::{DumpOptions, take};
use support::{
    Directory, NOBODY, PRELUDE, Target, act, compile, in_other_root, libpython, pyenv, skipped, system_python,
};

const ALL: DumpOptions = DumpOptions { locals: false, native: true, kernel: false };

const HOST: &str = r#"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <semaphore.h>
static sem_t never;
#line 42 "mmod.pyx"
static void __pyx_pf_4mmod_2wait_for_work(void) { sem_wait(&never); }
#line 9 "host.c"
static void *work(void *unused) { __pyx_pf_4mmod_2wait_for_work(); return unused; }
int run_script(const char *script) { return PyRun_SimpleString(script) + 1; }
int main(int count, char **words) {
    pthread_t thread;
    Py_Initialize();
    sem_init(&never, 0, 0);
    pthread_create(&thread, 0, work, 0);
    pthread_setname_np(thread, "worker");
    return run_script(words[count - 1]);
}
"#;

const SCRIPT: &str = "
def key(x): time.sleep(3600)
ready(); sorted([1, 2], key=key)
";

/// Looks until every thread is blocked and shown whole.
fn settle(pid: i32) -> Snapshot {
    let mut tries = 0;
    loop {
        let snapshot = take(pid, ALL).expect("a dump");
        tries += 1;
        if snapshot.threads.iter().all(is_whole) || tries == 50 {
            return snapshot;
        }
    }
}

fn is_whole(thread: &ThreadSnapshot) -> bool {
    thread.native.as_ref().is_some_and(|native| native.complete)
}

fn text(frames: &[FrameSnapshot]) -> String {
    let line = |frame: &FrameSnapshot| format!("{:?} {} ({})", frame.kind, frame.name, frame.module);
    frames.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn names(thread: &ThreadSnapshot) -> Vec<&str> {
    thread.frames.iter().map(|frame| frame.name.as_str()).collect()
}

fn holds(thread: &ThreadSnapshot, wanted: &[&str]) -> bool {
    let mut names = names(thread).into_iter();
    wanted.iter().all(|wanted| names.any(|name| name == *wanted))
}

#[test]
fn a_host_and_its_threads_are_shown_even_when_its_files_are_stripped_or_gone() {
    for minor in 8..=15 {
        let (Some(python), Some(library)) = (pyenv(minor), libpython(minor)) else {
            skipped(&format!("host of 3.{minor}"), "no shared library");
            continue;
        };
        let folder = Directory::new();
        let copy = folder.join(library.file_name().expect("a name").to_str().expect("text"));
        std::fs::copy(&library, &copy).expect("copied");
        let stripped = Command::new("strip").arg("--strip-all").arg(&copy).status();
        if !stripped.is_ok_and(|status| status.success()) {
            skipped(&format!("host of 3.{minor}"), "no strip");
            continue;
        }
        let host = folder.join("host");
        let headers = format!("-I{}", python.headers.clone().expect("headers").display());
        let path = copy.to_str().expect("text").to_owned();
        let search = format!("-Wl,-rpath,{}", folder.path().display());
        if compile(HOST, &host, &[&headers, &path, &search, "-pthread", "-O0", "-g"]).is_none() {
            skipped(&format!("host of 3.{minor}"), "no C compiler");
            continue;
        }
        let mut command = Command::new(&host);
        let home = python.path().and_then(|path| path.parent()?.parent()).expect("a prefix");
        command.env("PYTHONHOME", home).arg(format!("{PRELUDE}{SCRIPT}"));
        let target = Target::start(command);
        for gone in [false, true] {
            if gone {
                std::fs::remove_file(&host).expect("removed");
                std::fs::remove_file(&copy).expect("removed");
            }
            let inside = |snapshot: &Snapshot| {
                let main = snapshot.threads.iter().find(|thread| thread.is_main);
                main.is_some_and(|main| holds(main, &["main", "run_script", "<module>", "key"]))
            };
            // It says that it is ready a moment before it is where it will stay.
            let mut snapshot = settle(target.pid);
            for _ in 0..100 {
                if inside(&snapshot) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
                snapshot = settle(target.pid);
            }
            let about = |thread: &ThreadSnapshot| {
                format!("3.{minor}, gone: {gone}: {:?}\n{}", thread.native, text(&thread.frames))
            };
            let main = snapshot.threads.iter().find(|thread| thread.is_main).expect("a main thread");
            assert!(is_whole(main), "{}", about(main));
            assert!(holds(main, &["main", "run_script", "<module>", "key"]), "{}", about(main));
            let of_host = main.frames.iter().find(|frame| frame.name == "run_script").expect("it is there");
            assert!(of_host.file.ends_with("host.c") && of_host.line == 10, "{of_host:?}");
            let worker = snapshot.threads.iter().find(|thread| thread.name == "worker").expect("a worker");
            assert!(is_whole(worker), "{}", about(worker));
            assert!(worker.native.as_ref().is_some_and(|native| !native.has_python), "{}", about(worker));
            assert!(holds(worker, &["work", "mmod.wait_for_work"]), "{}", about(worker));
            let cython = worker.frames.iter().find(|frame| frame.name == "mmod.wait_for_work");
            let cython = cython.expect("it is there");
            assert!(cython.file.ends_with("mmod.pyx") && cython.line == 42, "{cython:?}");
            assert!(worker.frames.iter().all(|frame| frame.kind == FrameKind::Native), "{}", about(worker));
        }
    }
}

#[test]
fn the_same_user_needs_no_more_rights() {
    let (Some(python), true) = (system_python(), nix::unistd::geteuid().is_root()) else {
        return skipped("another user", "no system Python, or not root");
    };
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).args(&python.argv);
    let target = Target::script(command, SCRIPT);
    let said = act(NOBODY, &target.pid.to_string());
    assert_eq!(
        said,
        "whole, [system call clock_nanosleep], the kernel shows its stacks to root only (CAP_SYS_ADMIN)"
    );
}

/// What [`act`] runs as another user.
#[test]
fn act_when_told() {
    let Ok(pid) = std::env::var("PYPROF_ACT") else { return };
    let pid = pid.parse().expect("a pid");
    let snapshot = loop {
        let snapshot = take(pid, DumpOptions { kernel: true, ..ALL }).expect("a dump");
        if snapshot.threads.iter().all(is_whole) {
            break snapshot;
        }
    };
    let thread = &snapshot.threads[0];
    assert!(holds(thread, &["<module>", "key"]), "{}", text(&thread.frames));
    let kernel = thread.frames.iter().find(|frame| frame.kind == FrameKind::Kernel).expect("one");
    let note = thread.native.as_ref().map(|native| native.note.as_str()).unwrap_or_default();
    println!("says: whole, {}, {note}", kernel.name);
}

/// A loop that the interpreter has compiled calls what blocks.
const COMPILED: &str = "
def hot(times):
    for t in times: time.sleep(t)
def key(x): hot([0] * 20000 + [3600])
hot([0] * 20000)
ready(sys._jit.is_enabled())
sorted([1, 2], key=key)
";

#[test]
fn code_of_the_interpreters_own_compiler_does_not_cut_the_stack() {
    for minor in [14, 15] {
        let Some(mut python) = in_other_root(minor) else {
            skipped(&format!("compiled code of 3.{minor}"), "not installed");
            continue;
        };
        python.argv.splice(0..0, ["env".into(), "PYTHON_JIT=1".into()]);
        let target = Target::python(&python, COMPILED);
        if target.words != ["True"] {
            skipped(&format!("compiled code of 3.{minor}"), "built without");
            continue;
        }
        let snapshot = loop {
            let snapshot = settle(target.pid);
            // It runs through the first 20,000 turns before it blocks for good.
            if snapshot.threads[0].frames.iter().any(|frame| frame.name == "clock_nanosleep") {
                break snapshot;
            }
        };
        let thread = &snapshot.threads[0];
        let about = format!("3.{minor}: {:?}\n{}", thread.native, text(&thread.frames));
        assert!(is_whole(thread), "{about}");
        assert!(holds(thread, &["<module>", "key", "hot", "clock_nanosleep"]), "{about}");
    }
}
