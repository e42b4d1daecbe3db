//! Builds of Python that are not the usual one: without the GIL, with debug checks, with a JIT compiler at work.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::process::Command;
use std::time::{Duration, Instant};

use pyprof_core::profile::{Frame, MISSING_FRAME, Profile};
use pyprof_core::sampler::{Mode, Options, Recording, Session};
use pyprof_core::snapshot::{Snapshot, SnapshotOptions, take};
use support::{Interpreter, Target, debug_builds, frames, free_threaded, in_other_root, skipped};

/// How long a thread that is on its way may take to get where it is wanted.
const PATIENCE: Duration = Duration::from_secs(20);

fn record(target: &Target, rate: f64, milliseconds: u64) -> Recording {
    let duration = Some(Duration::from_millis(milliseconds));
    let options = Options { rate, duration, ..Options::default() };
    Session::start(target.pid, options, None).and_then(Session::finish).expect("a recording")
}

fn look_until(target: &Target, name: &str, done: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let end = Instant::now() + PATIENCE;
    loop {
        let snapshot = take(target.pid, SnapshotOptions { locals: true }).expect(name);
        if done(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < end, "{name}: {snapshot:#?}");
    }
}

/// The frames of every entry, root first, with how many samples it has.
fn stacks(profile: &Profile) -> impl Iterator<Item = (u32, Vec<&Frame>, u64)> {
    profile
        .entries
        .iter()
        .map(|(&(thread, stack), weights)| (thread, frames(profile, stack), weights.samples))
}

/// Two threads, each in a chain of its own; the line of each call is told by the name of the callee.
const CHAINS: &str = "
def leaf_left_0(n):
    for i in range(n): pass
def leaf_left_1(n):
    for i in range(n): pass
def left():
    leaf_left_0(40)
    leaf_left_1(60)
def leaf_right_0(n):
    for i in range(n): pass
def leaf_right_1(n):
    for i in range(n): pass
def right():
    leaf_right_0(40)
    leaf_right_1(60)
def run_left():
    while True: left()
def run_right():
    while True: right()
for run in run_left, run_right:
    threading.Thread(target=run, daemon=True, name=run.__name__).start()
ready(left.__code__.co_firstlineno, right.__code__.co_firstlineno)
wait()";

/// No stack may join the two chains, and each caller's line must be the one that calls what is shown above it.
fn judge(name: &str, target: &Target, recording: &Recording) {
    let profile = &recording.profile;
    let text = |index: u32| profile.strings[index as usize].as_str();
    let lines: HashMap<&str, u32> =
        ["left", "right"].into_iter().zip(target.words.iter().map(|word| word.parse().unwrap())).collect();
    let (mut kept, mut cut, mut seen) = (0, 0, BTreeSet::new());
    for (thread, frames, samples) in stacks(profile) {
        let thread = profile.threads[thread as usize].name.as_str();
        let Some(side) = thread.strip_prefix("run_") else { continue };
        kept += samples;
        let names: Vec<&str> = frames.iter().map(|frame| text(frame.name)).collect();
        let own = |name: &&str| {
            let name = name.strip_prefix("run_").unwrap_or(name);
            let name = name.strip_prefix("leaf_").unwrap_or(name);
            !(name.starts_with("left") || name.starts_with("right")) || name.starts_with(side)
        };
        assert!(names.iter().all(own), "{name}: {names:?} in {thread}");
        if names.last() == Some(&MISSING_FRAME) {
            cut += samples;
        }
        for pair in frames.windows(2) {
            let (caller, callee) = (text(pair[0].name), text(pair[1].name));
            if callee == MISSING_FRAME || !lines.contains_key(caller) {
                continue;
            }
            let number: u32 = callee.rsplit('_').next().unwrap().parse().expect("a leaf");
            assert_eq!(pair[0].line, lines[caller] + 1 + number, "{name}: {caller} calls {callee}");
            seen.insert(callee.to_owned());
        }
    }
    eprintln!("{name}: {kept} samples, {cut} of them cut, {} failed", recording.stats.failed);
    assert_eq!(seen.len(), 4, "{name}: {seen:?}");
    assert!(kept > 40 && cut * 2 < kept, "{name}: {kept} kept, {cut} cut");
}

/// Code objects that take each other's place: names of the dead must not be shown for the living.
const REPLACED: &str = "
def churn():
    n = 0
    while True:
        n = (n + 1) % 50
        text = '\\n' * n + 'def f%d():\\n  for _ in range(20000): pass\\nf%d()\\n' % (n, n)
        exec(compile(text, '<made %d>' % n, 'exec'), {})
ready()
churn()";

fn judge_names(name: &str, recording: &Recording) {
    let profile = &recording.profile;
    let text = |index: u32| profile.strings[index as usize].as_str();
    let mut seen = BTreeSet::new();
    for (_, frames, _) in stacks(profile) {
        let made: Vec<&&Frame> =
            frames.iter().filter(|frame| text(frame.file).starts_with("<made ")).collect();
        for pair in made.windows(2) {
            assert_eq!(text(pair[0].file), text(pair[1].file), "{name}");
            let number = text(pair[1].file).trim_start_matches("<made ").trim_end_matches('>');
            assert_eq!(text(pair[1].name), format!("f{number}"), "{name}");
            seen.insert(number.to_owned());
        }
    }
    assert!(seen.len() >= 3, "{name}: {seen:?}");
}

fn judge_build(python: &Interpreter) {
    let name = &python.name;
    let target = Target::python(python, CHAINS);
    judge(name, &target, &record(&target, 1000.0, 1000));
    // Older ones have no counter by which such a replacement could be told.
    if python.minor() >= 13 {
        let target = Target::python(python, REPLACED);
        judge_names(name, &record(&target, 1000.0, 600));
    }
}

#[test]
fn debug_builds_show_true_stacks_names_and_values() {
    let pythons = debug_builds();
    for minor in 8..=15 {
        if !pythons.iter().any(|python| python.minor() == minor) {
            skipped(&format!("CPython 3.{minor}d"), "no debug build here");
        }
    }
    for python in pythons {
        let script = "
def inner(*rest, flag=False):
    total = sum(rest)
    ready()
    wait()
threading.Thread(target=inner, args=(1, 2.5), name='values', daemon=True).start()
wait()";
        let target = Target::python(&python, script);
        let snapshot = look_until(&target, &python.name, |snapshot| {
            snapshot.threads.iter().any(|thread| {
                thread.name == "values" && thread.frames.last().is_some_and(|frame| frame.name == "wait")
            })
        });
        let thread = snapshot.threads.iter().find(|thread| thread.name == "values").expect("listed");
        let frame = thread.frames.iter().find(|frame| frame.name == "inner").expect("on the stack");
        let locals: Vec<String> =
            frame.locals.iter().flatten().map(|local| format!("{}={}", local.name, local.value)).collect();
        assert_eq!(locals, ["flag=False", "rest=(1, 2.5)", "total=3.5"], "{}", python.name);
        assert_eq!(thread.holds_gil, python.gil(false), "{}", python.name);
        judge_build(&python);
    }
}

#[test]
fn threads_without_a_gil_run_at_the_same_time() {
    for python in free_threaded() {
        let target = Target::python(&python, CHAINS);
        let runs = |snapshot: &Snapshot| {
            let running = snapshot.threads.iter().filter(|thread| thread.name.starts_with("run_"));
            running.filter(|thread| thread.on_cpu && thread.complete).count() == 2
        };
        let snapshot = look_until(&target, &python.name, runs);
        assert!(snapshot.threads.iter().all(|thread| thread.holds_gil.is_none()), "{snapshot:#?}");
        judge_build(&python);
    }
}

/// A free-threaded build can be given its GIL back.
#[test]
fn a_gil_that_was_asked_for_is_shown() {
    for python in free_threaded() {
        let mut command = python.command();
        command.env("PYTHON_GIL", "1");
        let target = Target::script(command, CHAINS);
        let held = |snapshot: &Snapshot| {
            let count =
                |held| snapshot.threads.iter().filter(|thread| thread.holds_gil == Some(held)).count();
            (1..=2).contains(&count(true)) && count(false) >= 1
        };
        look_until(&target, &python.name, held);
        let duration = Some(Duration::from_millis(300));
        let options = Options { mode: Mode::Gil, duration, ..Options::default() };
        let recording = Session::start(target.pid, options, None).and_then(Session::finish).unwrap();
        let held: u64 = recording.profile.entries.values().map(|weights| weights.gil_ns).sum();
        let elapsed = recording.stats.elapsed_ns;
        assert!(held > elapsed / 2 && held <= elapsed + 10_000_000, "{}: {held} of {elapsed}", python.name);
    }
}

/// Debian's 3.14 and 3.15 have a JIT compiler that is asked for by the environment.
#[test]
fn stacks_are_true_while_a_jit_compiler_works() {
    for minor in 13..=15 {
        let Some(python) = in_other_root(minor) else {
            skipped(&format!("a JIT on CPython 3.{minor}"), "no such Python in another root");
            continue;
        };
        let with_jit = || {
            let mut command: Command = python.command();
            command.env("PYTHON_JIT", "1");
            command
        };
        let asked = with_jit().args(["-c", "import sys; print(sys._jit.is_enabled())"]).output().unwrap();
        if asked.stdout != b"True\n" {
            skipped(&format!("a JIT on CPython 3.{minor}"), "built without one");
            continue;
        }
        let name = format!("{} with JIT", python.name);
        let target = Target::script(with_jit(), CHAINS);
        judge(&name, &target, &record(&target, 1000.0, 1000));
        let target = Target::script(with_jit(), REPLACED);
        judge_names(&name, &record(&target, 1000.0, 600));
    }
}
