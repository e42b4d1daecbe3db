//! The exact engine's two halves on real Pythons: the clock of each thread, and the walker in the kernel.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use pyprof_core::attach::Attached;
use pyprof_core::python::frame::RawFrame;
use pyprof_native::bpf;
use pyprof_native::interrupts::{Interrupted, Interrupts, is_refusal};
use pyprof_native::perf::Wanted;
use support::{Target, interpreters, skipped};

const WANTED: Wanted =
    Wanted { period_ns: 500_000, native: false, kernel: false, in_kernel: true, switches: false };

/// Starts the engine, or says why this machine cannot.
fn start(process: &mut Attached, wanted: Wanted) -> Option<Interrupts> {
    if !bpf::is_built_in() {
        skipped("exact engine", "no clang when this was built");
        return None;
    }
    match Interrupts::start(process, wanted, true) {
        Ok(interrupts) => Some(interrupts),
        Err(error) if is_refusal(&error) => {
            skipped("exact engine", &error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Interrupts until there are `count` of those that `counts` says yes to, or a long time has passed.
fn take(
    interrupts: &mut Interrupts,
    count: usize,
    counts: impl Fn(&Interrupted) -> bool,
) -> Vec<Interrupted> {
    let end = Instant::now() + Duration::from_secs(60);
    let mut taken = Vec::new();
    let mut counted = 0;
    while counted < count && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
        let fresh = interrupts.take();
        counted += fresh.iter().filter(|one| counts(one)).count();
        taken.extend(fresh);
    }
    taken
}

/// Names, root first, as the target has them now; markers left out.
fn names(process: &mut Attached, frames: &[RawFrame]) -> Vec<String> {
    process.learn_codes(0, frames).expect("it runs");
    let shown = frames.iter().rev().filter(|frame| !frame.is_marker());
    let code = |frame: &RawFrame| process.codes.get(frame.code)?.code.as_ref().map(|code| code.name.clone());
    shown.filter_map(code).collect()
}

/// Every function has one caller, except the leaves, which are over in about 50 ns.
const TREE: &str = "
def leaf1(): pass
def leaf2(): pass
def left1(): leaf1(); leaf1()
def left2(): leaf2(); leaf2()
def right1(): return [x for x in iter(gen())]
def gen():
    for i in range(9): yield i
def left(): left1(); left2()
def right(): right1()
def loop():
    ready()
    while True:
        left()
        right()
loop()
";

const EDGES: [(&str, &str); 11] = [
    ("<module>", "loop"),
    ("loop", "left"),
    ("loop", "right"),
    ("left", "left1"),
    ("left", "left2"),
    ("left1", "leaf1"),
    ("left2", "leaf2"),
    ("right", "right1"),
    ("right1", "<listcomp>"),
    ("right1", "gen"),
    ("<listcomp>", "gen"),
];

#[test]
fn every_stack_has_happened_and_none_is_missing() {
    let edges: HashSet<(&str, &str)> = EDGES.into();
    for interpreter in interpreters() {
        let target = Target::python(&interpreter, TREE);
        let mut process = Attached::open(target.pid).expect("a Python");
        let Some(mut interrupts) = start(&mut process, WANTED) else { return };
        let taken = take(&mut interrupts, 400, |_| true);
        let (mut without, mut rootless) = (0, 0);
        let mut seen = HashMap::<String, usize>::new();
        for one in &taken {
            assert_eq!((one.interrupt.pid, one.interrupt.tid), (target.pid, target.pid));
            assert_eq!(one.interrupt.period, WANTED.period_ns);
            let Some(walk) = one.walk.as_ref().filter(|walk| !walk.broken) else {
                without += 1;
                continue;
            };
            let names = names(&mut process, &walk.frames);
            if names.first().is_none_or(|name| name != "<module>") {
                rootless += 1;
                continue;
            }
            for (caller, callee) in names.iter().zip(&names[1..]) {
                assert!(edges.contains(&(caller, callee)), "{}: {names:?}", interpreter.name);
            }
            *seen.entry(names.last().cloned().unwrap_or_default()).or_default() += 1;
        }
        let name = &interpreter.name;
        eprintln!("{name}: {} taken, {without} without, {rootless} rootless, {seen:?}", taken.len());
        assert!(taken.len() >= 400, "{name}: {}", taken.len());
        assert!(without * 100 <= taken.len(), "{name}: {without} of {}", taken.len());
        // A generator that has just yielded has no caller for a moment.
        assert!(rootless * 20 <= taken.len(), "{name}: {rootless} of {}", taken.len());
        assert!(seen.len() >= 6, "{name}: leaves of 50 ns are seen too: {seen:?}");
        assert_eq!(interrupts.lost(), 0);
    }
}

#[test]
fn threads_are_told_apart_from_their_first_moment_on() {
    for interpreter in interpreters() {
        let script = "
def spin_old():
    while True: pass
def spin_new():
    while True: pass
threading.Thread(target=spin_old, daemon=True).start()
ready()
sys.stdin.readline()
for i in range(3):
    threading.Thread(target=spin_new, daemon=True).start()
ready()
wait()
";
        let mut target = Target::python(&interpreter, script);
        let mut process = Attached::open(target.pid).expect("a Python");
        let Some(mut interrupts) = start(&mut process, WANTED) else { return };
        target.ask("go");
        // Nobody tells the walker of the new threads: it finds them by itself.
        let is_new = |one: &Interrupted| one.walk.as_ref().is_some_and(|walk| walk.frames.len() > 1);
        let taken = take(&mut interrupts, 300, is_new);
        let mut by_thread = HashMap::<i32, HashSet<String>>::new();
        let mut held = HashMap::<bool, usize>::new();
        for one in &taken {
            let Some(walk) = &one.walk else { continue };
            *held.entry(walk.holds_gil).or_default() += 1;
            let names = names(&mut process, &walk.frames);
            by_thread.entry(one.interrupt.tid).or_default().extend(names);
        }
        let spins = |what: &str| by_thread.values().filter(|names| names.contains(what)).count();
        let name = &interpreter.name;
        assert_eq!((spins("spin_old"), spins("spin_new")), (1, 3), "{name}: {by_thread:?}");
        let mixed = by_thread.values().any(|names| names.contains("spin_old") && names.contains("spin_new"));
        assert!(!mixed, "{name}: {by_thread:?}");
        if interpreter.free_threaded() {
            assert_eq!(held.get(&true), None, "{name}: there is no GIL to hold");
            continue;
        }
        // One thread runs Python at a time, and it has the GIL.
        assert!(held.get(&true) > held.get(&false), "{name}: {held:?}");
    }
}

#[test]
fn deep_stacks_come_whole() {
    for interpreter in interpreters() {
        let script = "
def deep(n):
    if n: return deep(n - 1)
    ready()
    while True: pass
sys.setrecursionlimit(3000)
deep(900)
";
        let target = Target::python(&interpreter, script);
        let mut process = Attached::open(target.pid).expect("a Python");
        let Some(mut interrupts) = start(&mut process, WANTED) else { return };
        for one in take(&mut interrupts, 20, |_| true) {
            let walk = one.walk.expect("a walk");
            assert!(!walk.broken);
            let names = names(&mut process, &walk.frames);
            assert_eq!(names.len(), 902, "{}", interpreter.name);
            assert_eq!((names[0].as_str(), names[1].as_str()), ("<module>", "deep"));
        }
    }
}

#[test]
fn threads_that_come_and_go_leave_nothing_open() {
    let Some(interpreter) = interpreters().into_iter().next_back() else { return };
    let script = "
def work():
    end = time.perf_counter() + 0.002
    while time.perf_counter() < end: pass
ready()
sys.stdin.readline()
for i in range(100):
    t = threading.Thread(target=work); t.start(); t.join()
ready()
wait()
";
    let mut target = Target::python(&interpreter, script);
    let mut process = Attached::open(target.pid).expect("a Python");
    let Some(mut interrupts) = start(&mut process, WANTED) else { return };
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("ours").count();
    let before = descriptors();
    target.ask("go");
    let tids: HashSet<i32> = interrupts.take().iter().map(|one| one.interrupt.tid).collect();
    assert!(tids.len() > 50, "{}", tids.len());
    // Other tests of this program open and close descriptors of their own.
    assert!(descriptors() < before + 100);
    assert_eq!(interrupts.uncovered(), 0);
}
