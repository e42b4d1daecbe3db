//! Sessions with an engine, on real Pythons.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyprof_core::profile::{Frame, FrameKind, Profile};
use pyprof_core::sampler::{EngineKind, Options, Recording, Session};
use pyprof_native::Rights;
use pyprof_native::engine::{EngineOptions, NativeEngine};
use support::{NOBODY, Target, act, frames, interpreters, skipped, system_python};

const EXACT: EngineOptions =
    EngineOptions { native: true, kernel: true, offcpu: false, forced: Some(EngineKind::Exact) };

/// Whether this machine and build have the engine.
fn exact_works() -> bool {
    let verdict = Rights::probe().verdict(EngineKind::Exact);
    if let Some(why) = verdict.explain() {
        skipped("exact engine", &why);
    }
    verdict.is_available()
}

/// Targets that spin take turns: together with others they would hardly be seen on a small machine.
static TURN: Mutex<()> = Mutex::new(());

fn options(engine: EngineOptions) -> Options {
    Options { rate: 1000.0, engine: NativeEngine::of(engine), ..Options::default() }
}

/// Records until `enough`, or for a long time.
fn record(target: &Target, options: Options, enough: impl Fn(&Recording) -> bool) -> Recording {
    let session = Session::start(target.pid, options, None).expect("it runs");
    let (control, end) = (session.control(), Instant::now() + Duration::from_secs(30));
    while Instant::now() < end && !control.so_far().is_some_and(|recording| enough(&recording)) {
        std::thread::sleep(Duration::from_millis(200));
    }
    session.stop();
    session.finish().expect("a recording")
}

fn record_stacks(target: &Target, options: Options, samples: u64, wanted: &[&[&str]]) -> Recording {
    record(target, options, |recording| {
        recording.stats.samples >= samples && wanted.iter().all(|wanted| count(recording, wanted) > 0)
    })
}

#[derive(Debug)]
struct Shown<'a> {
    kind: FrameKind,
    name: &'a str,
    module: &'a str,
}

/// Every distinct stack, root first, and its samples.
fn stacks(profile: &Profile) -> Vec<(Vec<Shown<'_>>, u64)> {
    let string = |index: u32| profile.strings[index as usize].as_str();
    let shown =
        |frame: &Frame| Shown { kind: frame.kind, name: string(frame.name), module: string(frame.module) };
    let stack = |stack| frames(profile, stack).into_iter().map(shown).collect();
    let mut stacks: Vec<_> =
        profile.entries.iter().map(|((_, id), weights)| (stack(*id), weights.samples)).collect();
    stacks.sort_by_key(|(_, samples)| std::cmp::Reverse(*samples));
    stacks
}

/// Whether a stack has these frames in this order, with anything in between. `n:x`: a native frame whose name or module
/// contains x; `k:x`: a kernel frame; else a Python function.
fn has(frames: &[Shown<'_>], wanted: &[&str]) -> bool {
    let fits = |frame: &Shown<'_>, wanted: &str| match wanted.split_once(':') {
        Some(("n", part)) => {
            frame.kind == FrameKind::Native && (frame.name.contains(part) || frame.module.contains(part))
        }
        Some(("k", part)) => frame.kind == FrameKind::Kernel && frame.name.contains(part),
        _ => frame.kind == FrameKind::Python && frame.name == wanted,
    };
    let mut wanted = wanted.iter().peekable();
    for frame in frames {
        wanted.next_if(|wanted| fits(frame, wanted));
    }
    wanted.peek().is_none()
}

fn count(recording: &Recording, wanted: &[&str]) -> u64 {
    let stacks = stacks(&recording.profile);
    stacks.iter().filter(|(frames, _)| has(frames, wanted)).map(|(_, samples)| samples).sum()
}

#[track_caller]
fn assert_seen(recording: &Recording, wanted: &[&str], name: &str) {
    let stacks = stacks(&recording.profile);
    let lines = stacks.iter().take(30).map(|(frames, samples)| {
        let names: Vec<&str> = frames.iter().map(|frame| frame.name).collect();
        format!("{samples} {}\n", names.join(";"))
    });
    let lines: String = lines.collect();
    assert!(count(recording, wanted) > 0, "{name}: no {wanted:?}, {:?}\n{lines}", recording.stats);
}

/// Python calls C calls Python, hashing, packing, pure Python.
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
    return sum(range(50)) * 0 + a[0] - b[0]
callback = compare_type(compare)
def by_ctypes():
    array = (ctypes.c_int * 16)(*range(16, 0, -1))
    libc.qsort(array, 16, ctypes.sizeof(ctypes.c_int), callback)
data = os.urandom(1 << 16)
def by_hashlib(): hashlib.sha256(data).digest()
def by_zlib(): zlib.compress(data[:8192])
def by_json(): json.dumps([{'a': 1.5, 'b': 'c' * 20}] * 100)
def recurse(n): return recurse(n - 1) if n else by_sorted()
def loop():
    ready()
    while True:
        by_sorted(); by_reduce(); by_ctypes(); by_hashlib(); by_zlib(); by_json(); recurse(20)
loop()
";

#[test]
fn all_frames_of_one_moment_in_their_order() {
    if !exact_works() {
        return;
    }
    let _turn = TURN.lock();
    let wanted = [
        // Stripped interpreters name no C function of their own.
        &["<module>", "loop", "by_sorted", "key"][..],
        &["<module>", "loop", "by_reduce", "add"],
        &["<module>", "loop", "by_ctypes", "n:qsort", "n:", "compare"],
        &["<module>", "loop", "by_hashlib", "n:"],
        &["<module>", "loop", "by_zlib", "n:"],
    ];
    for interpreter in interpreters() {
        let target = Target::python(&interpreter, NESTED);
        let recording = record_stacks(&target, options(EXACT), 300, &wanted);
        let (name, stats) = (&interpreter.name, recording.stats);
        assert_eq!(stats.engine, EngineKind::Exact, "{name}");
        // `examples/merge.rs` measures this on many more samples.
        assert!(stats.unmerged * 100 <= stats.samples, "{name}: {stats:?}");
        for wanted in wanted {
            assert_seen(&recording, wanted, name);
        }
        // C code that Python called is never its caller.
        assert_eq!(count(&recording, &["n:qsort", "loop"]), 0, "{name}");
        assert_eq!(count(&recording, &["key", "by_sorted"]), 0, "{name}");
    }
}

#[test]
fn c_functions_stand_under_the_line_that_called_them() {
    let Some(interpreter) = support::pyenv(12).or_else(|| support::pyenv(11)) else {
        return skipped("names of C functions", "no pyenv Python with symbols");
    };
    if !exact_works() {
        return;
    }
    let _turn = TURN.lock();
    let target = Target::python(&interpreter, NESTED);
    let wanted = [
        &["by_hashlib", "n:libcrypto"][..],
        &["by_zlib", "n:zlib_compress", "n:deflate"],
        &["by_sorted", "n:sort", "key"],
        &["by_reduce", "n:reduce", "add"],
        &["JSONEncoder.iterencode", "n:encoder"],
    ];
    let recording = record_stacks(&target, options(EXACT), 300, &wanted);
    for wanted in wanted {
        assert_seen(&recording, wanted, &interpreter.name);
    }
}

#[test]
fn kernel_frames_are_the_true_ones() {
    if !exact_works() {
        return;
    }
    let Some(interpreter) = system_python().or_else(|| interpreters().into_iter().next()) else { return };
    let script = "
import mmap, tempfile
zero = os.open('/dev/zero', os.O_RDONLY)
out = tempfile.TemporaryFile()
block = b'x' * (1 << 20)
def by_read(): os.read(zero, 1 << 21)
def by_write():
    os.lseek(out.fileno(), 0, 0)
    os.write(out.fileno(), block)
def by_fault():
    m = mmap.mmap(-1, 1 << 22)
    for at in range(0, 1 << 22, 4096): m[at] = 1
    m.close()
def sleeper(): time.sleep(3600)
lock = threading.Lock(); lock.acquire()
def waiter(): lock.acquire()
for target in (sleeper, waiter): threading.Thread(target=target, daemon=True).start()
ready()
while True: by_read(); by_write(); by_fault()
";
    let _turn = TURN.lock();
    let target = Target::python(&interpreter, script);
    let wanted = [
        &["<module>", "by_read", "k:read"][..],
        &["<module>", "by_write", "k:write"],
        &["<module>", "by_fault", "k:page_fault"],
        &["sleeper", "k:nanosleep"],
        &["waiter", "k:futex"],
    ];
    let recording = record_stacks(&target, Options { idle: true, ..options(EXACT) }, 300, &wanted);
    for wanted in wanted {
        assert_seen(&recording, wanted, &interpreter.name);
    }
    for never in [&["by_read", "k:vfs_write"][..], &["by_write", "k:vfs_read"], &["k:", "by_read"]] {
        assert_eq!(count(&recording, never), 0, "{never:?}");
    }
}

#[test]
fn elapsed_time_is_whole_whatever_the_engine() {
    if !exact_works() {
        return;
    }
    let Some(interpreter) = interpreters().into_iter().next_back() else { return };
    let script = "
def spin():
    while True: pass
def asleep(): time.sleep(3600)
threading.Thread(target=asleep, name='asleep', daemon=True).start()
ready()
spin()
";
    let target = Target::python(&interpreter, script);
    let _turn = TURN.lock();
    let plain = EngineOptions { native: false, kernel: false, ..EXACT };
    let recording = record(&target, Options { idle: true, ..options(plain) }, |recording| {
        recording.stats.elapsed_ns > 2_000_000_000
    });
    let elapsed = recording.stats.elapsed_ns as f64;
    for (index, info) in recording.profile.threads.iter().enumerate() {
        let entries = recording.profile.entries.iter().filter(|((thread, _), _)| *thread as usize == index);
        let (wall, cpu) =
            entries.fold((0, 0), |(wall, cpu), (_, sum)| (wall + sum.wall_ns, cpu + sum.cpu_ns));
        // Running time, waiting for a CPU and sleep: each is counted once.
        assert!((wall as f64 / elapsed - 1.0).abs() < 0.2, "{}: {wall} of {elapsed}", info.name);
        assert!(info.name != "asleep" || cpu == 0, "{cpu}");
    }
}

/// Calls into C that last longer than the time between two looks.
const LONG: &str = "
import hashlib, zlib
data = os.urandom(1 << 20) * 4
zero = os.open('/dev/zero', os.O_RDONLY)
def by_zlib(): zlib.compress(data)
def by_hashlib(): hashlib.sha256(data * 4).digest()
def by_read(): os.read(zero, 1 << 26)
def loop():
    ready()
    while True: by_zlib(); by_hashlib(); by_read()
loop()
";

/// What never happens in it: one look's Python above another moment's C.
const NEVER: [&[&str]; 4] = [
    &["by_zlib", "n:libcrypto"],
    &["by_hashlib", "n:libz"],
    &["by_read", "n:libz"],
    &["by_read", "n:libcrypto"],
];

#[test]
fn without_a_walker_native_frames_are_those_that_the_thread_proves() {
    let verdict = Rights::probe().verdict(EngineKind::Perf);
    if let Some(why) = verdict.explain() {
        return skipped("perf engine", &why);
    }
    let _turn = TURN.lock();
    let engine = EngineOptions { forced: Some(EngineKind::Perf), ..EXACT };
    let wanted = [
        &["<module>", "loop", "by_zlib", "n:libz"][..],
        &["<module>", "loop", "by_hashlib", "n:libcrypto"],
        &["<module>", "loop", "by_read", "n:libc.so", "k:read"],
    ];
    for interpreter in interpreters() {
        let target = Target::python(&interpreter, LONG);
        let seen = |recording: &Recording| wanted.iter().all(|wanted| count(recording, wanted) > 0);
        let recording = record(&target, options(engine), |recording| {
            recording.stats.samples >= 300 && (seen(recording) || recording.stats.elapsed_ns > 3_000_000_000)
        });
        let name = &interpreter.name;
        assert_eq!(recording.stats.engine, EngineKind::Perf, "{name}");
        for never in NEVER {
            assert_eq!(count(&recording, never), 0, "{name}: {never:?}");
        }
        eprintln!("{name}: {:?}", wanted.map(|wanted| count(&recording, wanted)));
        // Later ones keep the next instruction where a C function does not have to leave it alone.
        if interpreter.minor() <= 11 {
            for wanted in wanted {
                assert_seen(&recording, wanted, name);
            }
        }
    }
}

/// The part of another user; nothing at all in an ordinary run. Told `ENGINE`.
#[test]
fn act_when_told() {
    let Ok(told) = std::env::var("PYPROF_ACT") else { return };
    let python = system_python().expect("the test looked for it");
    let long = told == "perf";
    let target = Target::python(&python, if long { LONG } else { NESTED });
    let offcpu = told == "offcpu";
    let engine = EngineOptions { native: true, kernel: true, offcpu, forced: told.parse().ok() };
    match Session::start(target.pid, Options { offcpu, ..options(engine) }, None) {
        Ok(session) => {
            drop(session);
            let native: &[&str] = &["by_zlib", "n:libz"];
            let recording = record(&target, options(engine), |recording| {
                recording.stats.samples > 0 && (!long || count(recording, native) > 0)
            });
            println!("says: engine {}", recording.stats.engine.name());
            println!("says: advice {}", recording.engine_advice.as_deref().unwrap_or_default());
            println!("says: samples {}", recording.stats.samples > 0);
            println!("says: native {}", count(&recording, native) > 0);
            let never = NEVER.iter().map(|never| count(&recording, never)).sum::<u64>();
            println!("says: wrong {never}, kernel {}", count(&recording, &["k:"]));
        }
        Err(error) => println!("says: {} {error}", error.code()),
    }
}

#[test]
fn an_engine_that_is_not_to_be_had_says_what_is_missing() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("engines as another user", "not root");
    }
    if system_python().is_none() {
        return skipped("engines as another user", "no /usr/bin/python3.N that other users may run");
    }
    let _turn = TURN.lock();
    let said = act(NOBODY, "exact");
    assert!(said.starts_with("ENGINE engine `exact` on process"), "{said}");
    assert!(said.contains("BPF"), "{said}");
    let said = act(NOBODY, "offcpu");
    assert!(said.starts_with("ENGINE engine `exact` on process") && said.contains("BPF"), "{said}");
    let said = act(NOBODY, "best");
    assert!(said.contains("samples true") && !said.contains("engine exact"), "{said}");
    assert!(said.contains("advice the exact engine does not work here"), "{said}");
    let said = act(NOBODY, "perf");
    if Rights::probe().kernel.perf_event_paranoid == Some(2) {
        assert!(said.contains("engine perf-user") && said.contains("native true"), "{said}");
        assert!(said.contains("wrong 0, kernel 0"), "{said}");
    } else {
        skipped("perf-user engine", "kernel.perf_event_paranoid is not 2");
    }
    let said = act(NOBODY, "snapshot");
    assert!(said.contains("engine snapshot") && said.contains("samples true"), "{said}");
}
