//! Sessions with an engine, on real Pythons.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use std::time::Duration;

use pyprof_core::profile::{EMPTY_STACK, FrameKind, Profile, StackId};
use pyprof_core::sampler::{EngineKind, Options, Recording, Session};
use pyprof_native::Rights;
use pyprof_native::engine::{EngineOptions, NativeEngine};
use support::{Interpreter, Target, interpreters, skipped};

const EXACT: EngineOptions = EngineOptions { native: true, kernel: true, forced: Some(EngineKind::Exact) };

/// Whether this machine and build have the engine.
fn exact_works() -> bool {
    let verdict = Rights::probe().verdict(pyprof_native::Engine::Exact);
    if let Some(why) = verdict.explain() {
        skipped("exact engine", &why);
    }
    verdict.is_available()
}

fn record(target: &Target, engine: EngineOptions, milliseconds: u64, idle: bool) -> Recording {
    let options = Options {
        rate: 1000.0,
        duration: Some(Duration::from_millis(milliseconds)),
        idle,
        engine: NativeEngine::of(engine),
        ..Options::default()
    };
    Session::start(target.pid, options, None).and_then(Session::finish).expect("a recording")
}

/// Every distinct stack: kinds and names, root first, and its samples.
fn stacks(profile: &Profile) -> Vec<(Vec<(FrameKind, &str)>, u64)> {
    let frames = |mut stack: StackId| {
        let mut frames = Vec::new();
        while stack != EMPTY_STACK {
            let node = profile.stacks[stack as usize];
            let frame = profile.frames[node.frame as usize];
            frames.push((frame.kind, profile.strings[frame.name as usize].as_str()));
            stack = node.parent;
        }
        frames.reverse();
        frames
    };
    let mut stacks: Vec<_> =
        profile.entries.iter().map(|((_, stack), weights)| (frames(*stack), weights.samples)).collect();
    stacks.sort_by_key(|(_, samples)| std::cmp::Reverse(*samples));
    stacks
}

/// How many samples have `names` in this order, with anything in between.
fn in_order(recording: &Recording, names: &[&str]) -> u64 {
    let has = |frames: &[(FrameKind, &str)]| {
        let mut wanted = names.iter().peekable();
        for (_, name) in frames {
            if wanted.peek().is_some_and(|want| name.ends_with(**want)) {
                wanted.next();
            }
        }
        wanted.peek().is_none()
    };
    stacks(&recording.profile).iter().filter(|(frames, _)| has(frames)).map(|(_, samples)| samples).sum()
}

fn show(recording: &Recording) -> String {
    let stacks = stacks(&recording.profile);
    let lines = stacks.iter().take(8).map(|(frames, samples)| format!("{samples} {frames:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Python calls C calls Python, some hashing, some pure Python.
const NESTED: &str = "
import functools, hashlib, json, zlib, ctypes
def key(x):
    return -sum(range(x % 40))
def by_sorted(): sorted(range(60), key=key)
def add(a, b):
    for _ in range(10): a += b
    return a
def by_reduce(): functools.reduce(add, range(60))
compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc = ctypes.CDLL(None)
def compare(a, b):
    return sum(range(5)) * 0 + a[0] - b[0]
callback = compare_type(compare)
def by_ctypes():
    array = (ctypes.c_int * 16)(*range(16, 0, -1))
    libc.qsort(array, 16, ctypes.sizeof(ctypes.c_int), callback)
data = os.urandom(1 << 16)
def by_hashlib(): hashlib.sha256(data).digest()
def by_zlib(): zlib.compress(data[:8192])
def by_json(): json.dumps([{'a': 1.5, 'b': 'c' * 20}] * 100)
def recurse(n): return recurse(n - 1) if n else by_sorted()
def gen():
    for i in range(30): yield i
def by_gen(): return sum(gen())
def loop():
    ready()
    while True:
        by_sorted(); by_reduce(); by_ctypes(); by_hashlib(); by_zlib(); by_json(); recurse(20); by_gen()
loop()
";

fn pinned(interpreter: &Interpreter, script: &str) -> Target {
    Target::python(interpreter, script)
}

#[test]
fn all_stacks_merge() {
    if !exact_works() {
        return;
    }
    for interpreter in interpreters() {
        let target = pinned(&interpreter, NESTED);
        let recording = record(&target, EXACT, 1500, false);
        let (name, stats) = (&interpreter.name, recording.stats);
        eprintln!(
            "{name}: {} samples, {} cut, {} unmerged, {} lost",
            stats.samples, stats.cut, stats.unmerged, stats.lost_interrupts
        );
        if stats.unmerged > 0 {
            eprintln!("{}", show(&recording));
        }
        assert_eq!(recording.stats.engine, EngineKind::Exact, "{name}");
        assert!(stats.samples > 100, "{name}: {stats:?}");
        assert!(in_order(&recording, &["by_sorted", "key"]) > 0, "{name}\n{}", show(&recording));
        assert!(stats.unmerged * 100 <= stats.samples, "{name}: {stats:?}\n{}", show(&recording));
    }
}
