//! Sub-interpreters with a GIL of their own (3.12+) and with that of the main one: whose thread is whose, and who
//! holds what.

mod support;

use std::time::{Duration, Instant};

use pyprof_core::profile::{EMPTY_STACK, Profile, StackId, Weights};
use pyprof_core::sampler::{Mode, Options, Session};
use pyprof_core::snapshot::{Snapshot, SnapshotOptions, ThreadSnapshot, take};
use support::{Interpreter, Target, interpreters};

/// How long a thread that is on its way may take to get where it is wanted.
const PATIENCE: Duration = Duration::from_secs(20);

/// Spins in a sub-interpreter in one thread, and in the main interpreter, or sleeps there.
fn target(python: &Interpreter, own_gil: bool) -> Target {
    let outside = if own_gil { "while True: pass" } else { "wait()" };
    let how = match (python.minor(), own_gil) {
        (12, own) => format!("isolated={}", if own { "True" } else { "False" }),
        (_, true) => "'isolated'".to_owned(),
        (_, false) => "'legacy'".to_owned(),
    };
    Target::python(
        python,
        &format!(
            "
try: import _interpreters as interpreters
except ImportError: import _xxsubinterpreters as interpreters
inner = '''
import os
def spin_inside():
    os.write(1, b'ready\\\\n')
    while True: pass
spin_inside()
'''
def caller(): interpreters.run_string(interpreters.create({how}), inner)
threading.Thread(target=caller, daemon=True, name='caller').start()
def outside():
    {outside}
outside()"
        ),
    )
}

fn on<'a>(snapshot: &'a Snapshot, function: &str) -> Option<&'a ThreadSnapshot> {
    snapshot.threads.iter().find(|thread| thread.frames.iter().any(|frame| frame.name == function))
}

fn look_until(target: &Target, python: &Interpreter, done: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let end = Instant::now() + PATIENCE;
    loop {
        let snapshot = take(target.pid, SnapshotOptions { locals: false }).expect(&python.name);
        if done(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < end, "{}: {snapshot:#?}", python.name);
    }
}

/// The weights of all stacks whose leaf is the function.
fn of_leaf(profile: &Profile, function: &str) -> Weights {
    let mut sum = Weights::default();
    for (&(_, stack), weights) in &profile.entries {
        let stack: StackId = stack;
        let leaf = profile.stacks[stack as usize];
        if stack != EMPTY_STACK
            && profile.strings[profile.frames[leaf.frame as usize].name as usize] == function
        {
            sum.add(*weights);
        }
    }
    sum
}

#[test]
fn each_interpreter_with_a_gil_of_its_own_has_a_holder() {
    for python in interpreters().into_iter().filter(|python| python.minor() >= 12) {
        let target = target(&python, true);
        let held = python.gil(true);
        let snapshot = look_until(&target, &python, |snapshot| {
            let both = [on(snapshot, "spin_inside"), on(snapshot, "outside")];
            both.iter().all(|thread| thread.is_some_and(|thread| thread.holds_gil == held && thread.complete))
        });
        let inside = on(&snapshot, "spin_inside").expect("seen");
        let outside = on(&snapshot, "outside").expect("seen");
        assert_eq!((outside.interpreter, inside.interpreter > 0), (0, true), "{}", python.name);
        assert_ne!(outside.tid, inside.tid, "{}", python.name);
        // The thread that went inside has left the main interpreter's GIL to others.
        let caller = on(&snapshot, "caller").expect("its outer half");
        assert_eq!((caller.tid, caller.interpreter), (inside.tid, 0), "{}", python.name);
        assert_eq!(caller.holds_gil, python.gil(false), "{}", python.name);

        if python.free_threaded() {
            continue;
        }
        let duration = Some(Duration::from_millis(300));
        let options = Options { mode: Mode::Gil, rate: 500.0, idle: true, duration, ..Options::default() };
        let recording = Session::start(target.pid, options, None).and_then(Session::finish).unwrap();
        let elapsed = recording.stats.elapsed_ns as f64;
        for function in ["spin_inside", "outside"] {
            let share = of_leaf(&recording.profile, function).gil_ns as f64 / elapsed;
            assert!((0.9..1.02).contains(&share), "{}: {function} held for {share}", python.name);
        }
    }
}

#[test]
fn a_shared_gil_is_held_by_the_thread_that_is_inside() {
    for python in interpreters().into_iter().filter(|python| python.minor() >= 12) {
        if python.free_threaded() {
            continue;
        }
        let target = target(&python, false);
        let snapshot = look_until(&target, &python, |snapshot| {
            on(snapshot, "spin_inside").is_some_and(|thread| thread.holds_gil == Some(true))
                && on(snapshot, "wait").is_some_and(|thread| !thread.on_cpu)
        });
        let holders = snapshot.threads.iter().filter(|thread| thread.holds_gil == Some(true)).count();
        assert_eq!(holders, 1, "{}: {snapshot:#?}", python.name);
        assert!(on(&snapshot, "spin_inside").expect("seen").interpreter > 0, "{}", python.name);
    }
}
