//! Snapshots of real Pythons beside what they say of themselves.

mod support;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pyprof_core::profile::FrameKind;
use pyprof_core::snapshot::{FrameSnapshot, Snapshot, SnapshotOptions, ThreadSnapshot, take};
use support::{Interpreter, Target, interpreters, skipped};

const PLAIN: SnapshotOptions = SnapshotOptions { locals: false };
/// How long a thread that is on its way may take to get where it is wanted.
const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn look(target: &Target, python: &Interpreter) -> Snapshot {
    take(target.pid, PLAIN).unwrap_or_else(|error| panic!("{}: {error}", python.name))
}

/// Looks until `done` says that the target is where it was about to go.
fn look_until(target: &Target, python: &Interpreter, done: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let end = Instant::now() + PATIENCE;
    loop {
        let snapshot = look(target, python);
        if done(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < end, "{}: {snapshot:#?}", python.name);
    }
}

fn main_thread(snapshot: &Snapshot) -> &ThreadSnapshot {
    snapshot.threads.iter().find(|thread| thread.is_main).expect("a main thread")
}

fn leaf(thread: &ThreadSnapshot) -> &str {
    thread.frames.last().map_or("", |frame| &frame.name)
}

fn from_file(python: &Interpreter, script: &str) -> Target {
    let mut command = python.command();
    command.args(["-X", "utf8", "-c", script]).env("PYTHONDONTWRITEBYTECODE", "1");
    Target::start(command)
}

fn row(frame: &FrameSnapshot) -> String {
    let FrameSnapshot { name, qualified_name, file, first_line, line, end_line, column, end_column, .. } =
        frame;
    let is_async = u8::from(frame.is_async);
    format!(
        "frame\t{name}\t{qualified_name}\t{file}\t{first_line}\t{line}\t{end_line}\t{column}\t{end_column}\t{is_async}"
    )
}

#[test]
fn threads_in_every_kind_of_call_are_where_python_says() {
    for python in interpreters() {
        let name = &python.name;
        let target = from_file(&python, include_str!("fixtures/kinds.py"));
        let snapshot = look(&target, &python);
        assert_eq!(snapshot.pid, target.pid);
        assert!(snapshot.python_version.starts_with(&format!("3.{}.", python.minor())), "{name}");
        assert!(snapshot.executable.contains("python3"), "{}", snapshot.executable);
        assert!(snapshot.command.iter().any(|word| word.contains("unicode_names")), "{name}");

        let expected: Vec<&[String]> =
            target.lines.chunk_by(|_, next| !next.starts_with("thread\t")).collect();
        assert_eq!(expected.len(), 8, "{name}");
        assert_eq!(snapshot.threads.len(), 9, "{name}: {:#?}", snapshot.threads);
        for rows in expected {
            let fields: Vec<&str> = rows[0].split('\t').collect();
            let thread = snapshot
                .threads
                .iter()
                .find(|thread| thread.name == fields[1])
                .unwrap_or_else(|| panic!("{name}: no thread {}", fields[1]));
            assert_eq!(thread.python_id.to_string(), fields[2], "{name}");
            assert_eq!(thread.tid.to_string(), fields[3], "{name}");
            assert!(!thread.is_main && thread.complete && !thread.on_cpu, "{name}: {thread:?}");
            assert_eq!((thread.holds_gil, thread.interpreter), (python.gil(false), 0), "{name}");
            let found: Vec<String> = thread.frames.iter().map(row).collect();
            assert_eq!(found, rows[1..], "{name}: {}", fields[1]);
            assert!(
                thread.frames.iter().all(|frame| frame.kind == FrameKind::Python && frame.locals.is_none())
            );
        }
        let main = main_thread(&snapshot);
        assert_eq!(
            (main.tid, main.name.as_str(), leaf(main)),
            (target.pid, "MainThread", "<module>"),
            "{name}"
        );
        assert_eq!(snapshot.threads[0].tid, target.pid, "{name}: the main thread comes first");
    }
}

#[test]
fn a_thread_that_computes_holds_the_gil_and_a_cpu() {
    for python in interpreters() {
        let script = "
def spin():
    ready(threading.get_native_id())
    while True: pass
threading.Thread(target=spin, daemon=True, name='spinner').start()
wait()";
        let target = Target::python(&python, script);
        // Once the main thread sleeps the GIL never changes hands any more, after the spinner has taken it.
        let snapshot = look_until(&target, &python, |snapshot| {
            let main = main_thread(snapshot);
            let taken = snapshot.threads.iter().any(|thread| thread.holds_gil == Some(true));
            let free = python.free_threaded();
            leaf(main) == "wait" && !main.on_cpu && main.holds_gil == python.gil(false) && (taken || free)
        });
        let spinner = snapshot.threads.iter().find(|thread| thread.name == "spinner").expect("listed");
        assert_eq!(spinner.tid.to_string(), target.words[0], "{}", python.name);
        assert!(spinner.on_cpu && spinner.complete, "{}: {spinner:?}", python.name);
        assert_eq!(spinner.holds_gil, python.gil(true), "{}", python.name);
    }
}

/// Native code may run for ever with the GIL held: that is when a look from outside is all there is.
#[test]
fn a_process_stuck_in_native_code() {
    for python in interpreters() {
        let script = "
import re
pattern, text = re.compile(r'(a+)+$'), 'a' * 60 + 'b'
def stuck():
    ready(sys._getframe().f_lineno + 1)
    return pattern.match(text)
stuck()";
        let target = Target::python(&python, script);
        let line: u32 = target.words[0].parse().unwrap();
        let snapshot = look_until(&target, &python, |snapshot| {
            main_thread(snapshot)
                .frames
                .last()
                .is_some_and(|frame| (frame.name.as_str(), frame.line) == ("stuck", line))
        });
        let main = main_thread(&snapshot);
        assert_eq!(
            (main.holds_gil, main.on_cpu, main.complete),
            (python.gil(true), true, true),
            "{}",
            python.name
        );
        assert_eq!(main.frames.len(), 2, "{}", python.name);
        // It stays looked at when it is stopped, and is left stopped.
        target.signal(Signal::SIGSTOP);
        target.await_state('T');
        let stopped = look(&target, &python);
        let rows = |snapshot: &Snapshot| main_thread(snapshot).frames.iter().map(row).collect::<Vec<_>>();
        assert_eq!(rows(&stopped), rows(&snapshot), "{}", python.name);
        assert!(!main_thread(&stopped).on_cpu, "{}", python.name);
        target.await_state('T');
    }
}

#[test]
fn a_recursion_50_000_deep_ends_in_its_root() {
    for python in interpreters() {
        let script = "
threading.stack_size(1 << 30)
sys.setrecursionlimit(60000)
def dive(depth):
    if depth: return dive(depth - 1)
    ready()
    wait()
def root():
    dive(50000)
threading.Thread(target=root, daemon=True, name='deep').start()
wait()";
        let target = Target::python(&python, script);
        let start = Instant::now();
        let snapshot = look_until(&target, &python, |snapshot| {
            snapshot.threads.iter().any(|thread| thread.name == "deep" && leaf(thread) == "wait")
        });
        eprintln!("{}: {:?}", python.name, start.elapsed());
        let deep = snapshot.threads.iter().find(|thread| thread.name == "deep").expect("listed");
        assert!(deep.complete, "{}", python.name);
        let names: Vec<&str> = deep.frames.iter().map(|frame| frame.name.as_str()).collect();
        let root = names.iter().position(|name| *name == "root").expect("its root");
        assert_eq!(names[0], "_bootstrap", "{}", python.name);
        assert_eq!(names.len(), root + 1 + 50_001 + 1, "{}", python.name);
        assert!(names[root + 1..root + 50_002].iter().all(|name| *name == "dive"), "{}", python.name);
    }
}

#[test]
fn threads_without_python_frames() {
    for python in interpreters() {
        let script = "
try: import ctypes
except ImportError: ready('no ctypes'); wait()
libc, api = ctypes.CDLL(None), ctypes.pythonapi
thread = ctypes.c_ulong()
assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None) == 0
api.PyInterpreterState_Main.restype = api.PyThreadState_New.restype = ctypes.c_void_p
api.PyThreadState_New.argtypes = [ctypes.c_void_p]
assert api.PyThreadState_New(api.PyInterpreterState_Main())
ready()
wait()";
        let target = Target::python(&python, script);
        if !target.words.is_empty() {
            skipped(&format!("thread states without frames in {}", python.name), "no ctypes there");
            continue;
        }
        if python.minor() == 15 {
            // The new state's current frame is the interpreter's own, and there is no chunk of the data stack
            // yet: `ThreadReader::interpret` takes that for a chunk that has just been replaced, every time.
            skipped(&format!("thread states without frames in {}", python.name), "a known defect");
            continue;
        }
        let kernel = std::fs::read_dir(format!("/proc/{}/task", target.pid)).unwrap().count();
        assert_eq!(kernel, 2, "{}: the native thread runs", python.name);
        let snapshot = look_until(&target, &python, |snapshot| {
            snapshot.threads.iter().any(|thread| leaf(thread) == "wait")
        });
        assert_eq!(snapshot.threads.len(), 2, "{}: {:#?}", python.name, snapshot.threads);
        let (with, without): (Vec<_>, Vec<_>) =
            snapshot.threads.iter().partition(|thread| !thread.frames.is_empty());
        assert_eq!((with.len(), without.len()), (1, 1), "{}: {:#?}", python.name, snapshot.threads);
        assert!(with[0].is_main && with[0].complete && without[0].complete, "{}", python.name);
    }
}

#[test]
fn sub_interpreters_and_their_threads() {
    for python in interpreters() {
        let script = "
try: import _interpreters as interpreters
except ImportError: import _xxsubinterpreters as interpreters
inner = '''
import os, threading, time
def work():
    def deeper():
        os.write(1, b'ready\\\\n')
        time.sleep(300)
    deeper()
def run_inside():
    worker = threading.Thread(target=work, name='worker inside')
    worker.start()
    worker.join()
run_inside()
'''
# 3.9 to 3.11 forbid threads in the isolated ones that they make by default.
shared = {'isolated': False} if (3, 9) <= sys.version_info < (3, 12) else {}
interpreters.create(**shared)
# Up to 3.11 a thread state tells which thread has made it, not which one runs it: so one thread does both.
def caller(): interpreters.run_string(interpreters.create(**shared), inner)
threading.Thread(target=caller, daemon=True, name='caller').start()
wait()";
        let target = Target::python(&python, script);
        let snapshot = look_until(&target, &python, |snapshot| {
            snapshot.threads.iter().any(|thread| leaf(thread) == "deeper")
        });
        let find = |function: &str| {
            let mut found = snapshot
                .threads
                .iter()
                .filter(|thread| thread.frames.iter().any(|frame| frame.name == function));
            let thread = found.next().unwrap_or_else(|| panic!("{}: no {function}", python.name));
            assert!(found.next().is_none() && thread.complete, "{}: {function}", python.name);
            thread
        };
        let (caller, inside, worker) = (find("caller"), find("run_inside"), find("work"));
        assert_eq!(caller.interpreter, 0, "{}", python.name);
        assert!(inside.interpreter > 0 && inside.interpreter == worker.interpreter, "{}", python.name);
        assert_eq!(worker.name, "worker inside", "{}", python.name);
        assert_eq!(caller.name, "caller", "{}", python.name);
        // One thread of the kernel runs in two interpreters.
        assert_eq!(caller.tid, inside.tid, "{}: {caller:?} {inside:?}", python.name);
        assert_ne!(caller.tid, worker.tid, "{}", python.name);
    }
}

#[test]
fn locals_when_asked_for() {
    for python in interpreters() {
        let script = "
def inner(*rest, flag=False):
    total = sum(rest)
    ready()
    wait()
def outer(name, count=3):
    closure = [count, 'größe']
    unbound = 1
    del unbound
    inner(1, 2, flag=True)
    return closure
threading.Thread(target=outer, args=('𝔘',), daemon=True, name='locals').start()
wait()";
        let target = Target::python(&python, script);
        look_until(&target, &python, |snapshot| {
            snapshot.threads.iter().any(|thread| thread.name == "locals" && leaf(thread) == "wait")
        });
        let snapshot = take(target.pid, SnapshotOptions { locals: true }).unwrap();
        let thread = snapshot.threads.iter().find(|thread| thread.name == "locals").expect("listed");
        let of = |function: &str| -> Vec<(String, bool, String)> {
            let frame = thread.frames.iter().find(|frame| frame.name == function).expect("on the stack");
            let locals = frame.locals.as_ref().expect("asked for");
            locals.iter().map(|l| (l.name.clone(), l.is_argument, l.value.clone())).collect()
        };
        let local = |name: &str, argument, value: &str| (name.to_owned(), argument, value.to_owned());
        assert_eq!(
            of("outer"),
            [local("name", true, "'𝔘'"), local("count", true, "3"), local("closure", false, "[3, 'größe']"),],
            "{}",
            python.name
        );
        assert_eq!(
            of("inner"),
            [local("flag", true, "True"), local("rest", true, "(1, 2)"), local("total", false, "3")],
            "{}",
            python.name
        );
    }
}

/// A server that embeds Python may fork without telling it; the thread states keep their parent's numbers.
#[test]
fn a_child_of_a_fork_that_python_does_not_know_of() {
    for python in interpreters() {
        let script = "
try: import ctypes
except ImportError: print('no ctypes', flush=True); ready(0); wait()
def spin():
    ready(os.getpid())
    while True: pass
if ctypes.PyDLL(None).fork() == 0:
    signal.alarm(300)
    spin()
wait()";
        let mut target = Target::python(&python, script);
        let child: i32 = target.words[0].parse().unwrap();
        if child == 0 {
            skipped(&format!("a plain fork in {}", python.name), "no ctypes there");
            continue;
        }
        let parent = std::mem::replace(&mut target.pid, child);
        let snapshot = look_until(&target, &python, |snapshot| {
            snapshot.threads.iter().any(|thread| leaf(thread) == "spin" && thread.complete)
        });
        let thread = &snapshot.threads[0];
        assert_eq!((thread.tid, thread.is_main, thread.on_cpu), (child, true, true), "{}", python.name);
        assert_ne!(parent, child);
    }
}
