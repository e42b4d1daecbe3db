//! Blocked time from switch to switch, against programs that time their own waits.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyprof_core::profile::{Frame, FrameKind, Profile, StackId, Weights};
use pyprof_core::sampler::{EngineKind, Mode, Options, Recording, Session};
use pyprof_native::Rights;
use pyprof_native::engine::{EngineOptions, NativeEngine};
use support::{Target, frames, interpreters, skipped, system_python};

/// Whether this machine and build have the engine.
fn exact_works() -> bool {
    let verdict = Rights::probe().verdict(EngineKind::Exact);
    if let Some(why) = verdict.explain() {
        skipped("off-CPU time", &why);
    }
    verdict.is_available()
}

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(deep: bool) -> Options {
    let engine = EngineOptions { native: deep, kernel: deep, offcpu: true, forced: None };
    Options { rate: 1000.0, engine: NativeEngine::of(engine), offcpu: true, ..Options::default() }
}

/// Kind and name of each frame, root first.
fn shown(profile: &Profile, stack: StackId) -> Vec<(FrameKind, &str)> {
    let shown = |frame: &Frame| (frame.kind, profile.strings[frame.name as usize].as_str());
    frames(profile, stack).into_iter().map(shown).collect()
}

/// The sum of all stacks that a function is in.
fn sum(profile: &Profile, function: &str) -> Weights {
    let mut sum = Weights::default();
    for ((_, stack), weights) in &profile.entries {
        if shown(profile, *stack).iter().any(|(_, name)| name.ends_with(function)) {
            sum.add(*weights);
        }
    }
    sum
}

fn blocked_ns(weights: Weights) -> u64 {
    weights.wall_ns - weights.running_ns
}

#[track_caller]
fn assert_close(seen: u64, truth: u64, tolerance: u64, what: &str) {
    assert!(seen.abs_diff(truth) <= tolerance, "{what}: {seen} ns seen, {truth} ns in truth");
}

/// Every way of waiting has a function of its own, and nobody else runs meanwhile: each call blocks once.
const WAITS: &str = "
import queue, select, socket
lock = threading.Lock(); lock.acquire()
empty = queue.Queue()
event = threading.Event()
near, far = socket.socketpair()
near.settimeout(0.01)
readable, written = os.pipe()
child = os.fork()
if not child:
    # Answers every byte 10 ms later.
    signal.alarm(300)
    near.close(); os.close(readable)
    while True:
        if not far.recv(1): os._exit(0)
        time.sleep(0.01)
        os.write(written, b'x')
os.close(written)
def by_sleep(): time.sleep(0.01)
def by_lock(): lock.acquire(True, 0.01)
def by_queue():
    try: empty.get(True, 0.01)
    except queue.Empty: pass
def by_event(): event.wait(0.01)
def by_recv():
    try: near.recv(1)
    except socket.timeout: pass
def by_select(): select.select([readable], [], [], 0.01)
def by_read(): os.read(readable, 1)
def prepare():
    near.send(b'x')
def measure(work, before=lambda: None):
    total, clock = 0, time.perf_counter_ns
    for _ in range(COUNT):
        before()
        start = clock()
        work()
        total += clock() - start
    return total
def asleep(): time.sleep(3600)
threading.Thread(target=asleep, daemon=True).start()
COUNT = 2
works = [by_sleep, by_lock, by_queue, by_event, by_recv, by_select]
for work in works: measure(work)
measure(by_read, prepare)
COUNT = 10
ready()
sys.stdin.readline()
totals = [measure(work) for work in works] + [measure(by_read, prepare)]
ready(*totals)
wait()
";

#[test]
fn waits_are_as_long_as_the_program_finds_them() {
    if !exact_works() {
        return;
    }
    let _turn = turn();
    for interpreter in interpreters() {
        let mut target = Target::python(&interpreter, WAITS);
        let name = &interpreter.name;
        let session = Session::start(target.pid, options(false), None).expect("it runs");
        let totals: Vec<u64> = target.ask("go").iter().map(|word| word.parse().expect("ns")).collect();
        session.stop();
        let recording = session.finish().expect("a recording");
        let (profile, stats) = (&recording.profile, recording.stats);
        assert_eq!(
            (stats.engine, stats.offcpu, stats.lost_interrupts),
            (EngineKind::Exact, true, 0),
            "{name}"
        );
        let works = ["by_sleep", "by_lock", "by_queue", "by_event", "by_recv", "by_select", "by_read"];
        for (work, total) in works.into_iter().zip(totals) {
            let seen = sum(profile, work);
            // What a call does beside waiting takes some 20 us here.
            assert!(blocked_ns(seen) <= total, "{name}: {work}: waits lie inside of the calls");
            assert!(
                seen.wall_ns + total / 50 + 10 * 300_000 >= total,
                "{name}: {work}: {seen:?} of {total} ns"
            );
            assert_eq!(seen.waits, 10, "{name}: {work}");
        }
        // Blocked before the recording and after it: as long as the recording.
        let asleep = sum(profile, "asleep");
        assert_eq!((asleep.waits, asleep.samples, asleep.cpu_ns), (1, 1, 0), "{name}");
        assert_close(asleep.wall_ns, stats.elapsed_ns, 1_000_000, &format!("{name}: asleep"));
        assert_whole(&recording, name);
    }
}

/// Each thread's time is that of the recording.
#[track_caller]
fn assert_whole(recording: &Recording, name: &str) {
    for (index, info) in recording.profile.threads.iter().enumerate() {
        let entries = recording.profile.entries.iter().filter(|((thread, _), _)| *thread as usize == index);
        let wall: u64 = entries.map(|(_, weights)| weights.wall_ns).sum();
        let elapsed = recording.stats.elapsed_ns;
        // Running time is known by the clock's period, on each CPU.
        assert_close(wall, elapsed, elapsed / 50 + 5_000_000, &format!("{name}: thread {}", info.name));
    }
}

#[test]
fn locks_that_threads_hand_on() {
    if !exact_works() {
        return;
    }
    let script = "
lock = threading.Lock(); lock.acquire()
measured = []
def waiter():
    total, clock = 0, time.perf_counter_ns
    for _ in range(10):
        start = clock()
        lock.acquire()
        total += clock() - start
    measured.append(total)
thread = threading.Thread(target=waiter)
ready()
sys.stdin.readline()
thread.start()
for _ in range(10):
    time.sleep(0.02)
    lock.release()
thread.join()
ready(*measured)
wait()
";
    let _turn = turn();
    for interpreter in interpreters() {
        let mut target = Target::python(&interpreter, script);
        let session = Session::start(target.pid, options(false), None).expect("it runs");
        let total: u64 = target.ask("go")[0].parse().expect("ns");
        session.stop();
        let recording = session.finish().expect("a recording");
        let seen = sum(&recording.profile, "waiter");
        let name = &interpreter.name;
        assert_close(blocked_ns(seen), total, total / 50 + 10 * 300_000, name);
        // The one that hands it on can hold the GIL a moment longer: one more wait.
        assert!((10..=30).contains(&seen.waits), "{name}: {}", seen.waits);
    }
}

#[test]
fn what_a_wait_is_in_down_to_the_kernel() {
    if !exact_works() {
        return;
    }
    let _turn = turn();
    for interpreter in interpreters() {
        let mut target = Target::python(&interpreter, WAITS);
        let session = Session::start(target.pid, options(true), None).expect("it runs");
        target.ask("go");
        session.stop();
        let recording = session.finish().expect("a recording");
        let (profile, name) = (&recording.profile, &interpreter.name);
        let calls = [
            // Up to 3.10 `time.sleep` is a select.
            ("by_sleep", if interpreter.minor() > 10 { "nanosleep" } else { "select" }),
            ("by_lock", "futex"),
            ("by_recv", "poll"),
            ("by_select", "select"),
            ("by_read", "read"),
        ];
        for (work, call) in calls {
            let mut deep = 0;
            for ((_, stack), weights) in &profile.entries {
                let frames = shown(profile, *stack);
                let at = |fits: &dyn Fn(&(FrameKind, &str)) -> bool| frames.iter().position(fits);
                let python = at(&|(kind, function)| *kind == FrameKind::Python && *function == work);
                let native = frames.iter().rposition(|(kind, _)| *kind == FrameKind::Native);
                let kernel = at(&|(kind, function)| *kind == FrameKind::Kernel && function.contains(call));
                if python.is_some() && python < native && native < kernel {
                    deep += weights.waits;
                }
            }
            let all = profile.entries.iter().map(|((_, stack), sum)| (shown(profile, *stack), sum.waits));
            let all =
                all.filter(|(frames, waits)| *waits > 0 || frames.iter().any(|(_, name)| *name == work));
            // One that could not be followed (the walker cannot wait for a page) is counted as such, and rare.
            let stats = recording.stats;
            let known = (9..=10).contains(&deep) && deep + stats.unmerged + stats.cut >= 10;
            assert!(known, "{name}: {work}: {deep}, {stats:?}: {:?}", all.collect::<Vec<_>>());
        }
        let scheduler = |(kind, name): &(FrameKind, &str)| *kind == FrameKind::Kernel && *name == "schedule";
        // An interrupt can come right where a thread has a CPU again: there they are true.
        let waits = profile.entries.iter().filter(|(_, weights)| weights.waits > 0 && weights.cpu_ns == 0);
        let stacks = waits.map(|((_, stack), _)| shown(profile, *stack));
        let shown = stacks.into_iter().find(|frames| frames.iter().any(scheduler));
        assert_eq!(shown, None, "{name}: the scheduler's own frames are left out");
    }
}

/// Records for a while.
fn record(target: &Target, options: Options, time: Duration) -> Recording {
    let session = Session::start(target.pid, options, None).expect("it runs");
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    session.stop();
    session.finish().expect("a recording")
}

#[test]
fn switches_come_faster_than_looks() {
    if !exact_works() {
        return;
    }
    let script = "
COUNT = 6000
def nap(): time.sleep(0.0001)
def naps():
    start = time.perf_counter_ns()
    for _ in range(COUNT): nap()
    return time.perf_counter_ns() - start
nap()
ready()
sys.stdin.readline()
ready(COUNT, naps())
wait()
";
    let _turn = turn();
    let all = interpreters();
    for interpreter in all.first().into_iter().chain(all.last()) {
        let mut target = Target::python(interpreter, script);
        // Ten looks a second; each switch brings up to 60 KiB of stack, so the buffers are full after 130.
        let options = Options { rate: 10.0, ..options(true) };
        let session = Session::start(target.pid, options, None).expect("it runs");
        let answer = target.ask("go");
        session.stop();
        let [count, ns] = [0, 1].map(|index| answer[index].parse::<u64>().expect("a number"));
        let recording = session.finish().expect("a recording");
        let (seen, stats, name) = (sum(&recording.profile, "nap"), recording.stats, &interpreter.name);
        println!("{name}: {} waits of {count} in {ns} ns, {stats:?}", seen.waits);
        // A machine that is so busy that the sampler gets no CPU for long loses some, and says so.
        assert!(stats.lost_interrupts * 10 < count, "{name}: {stats:?}");
        // On a busy machine the time of so short a wait can be over before it begins.
        assert!((count * 4 / 5..=count).contains(&seen.waits), "{name}: {seen:?}, {stats:?}");
        assert!(blocked_ns(seen) <= ns, "{name}: {seen:?} in {ns} ns");
    }
}

#[test]
fn functions_that_are_gone_before_the_next_look_have_their_own_names() {
    const COUNT: usize = 100;
    if !exact_works() {
        return;
    }
    let script = "
import time as clock
def naps(kind):
    for i in range(100):
        # Of nobody's globals, so that it is freed at once.
        space = {}
        exec(f'def {kind}_{i}_(sleep): sleep(0.003)', {}, space)
        space.pop(f'{kind}_{i}_')(clock.sleep)
naps('first')
ready()
sys.stdin.readline()
naps('nap')
ready()
wait()
";
    let _turn = turn();
    // Up to 3.12 no counter tells that another function has the place, and it can look the same.
    for interpreter in interpreters().into_iter().filter(|interpreter| interpreter.minor() >= 13) {
        let mut target = Target::python(&interpreter, script);
        let options = Options { rate: 10.0, ..options(false) };
        let session = Session::start(target.pid, options, None).expect("it runs");
        target.ask("go");
        session.stop();
        let recording = session.finish().expect("a recording");
        let waits = |i: usize| sum(&recording.profile, &format!("nap_{i}_")).waits;
        let right = (0..COUNT).filter(|i| waits(*i) == 1).count();
        println!("{}: {right} of {COUNT}", interpreter.name);
        // Where the sampler gets no CPU for some ms, the next function can have the place already.
        assert!(right * 5 >= COUNT * 4, "{}: {right} of {COUNT}", interpreter.name);
    }
}

#[test]
fn waiting_for_a_cpu_is_not_blocked() {
    if !exact_works() {
        return;
    }
    let Some(interpreter) = system_python().or_else(|| interpreters().into_iter().next()) else { return };
    let script = "
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
if not os.fork():
    signal.alarm(300)
    while os.getppid() != 1: pass
    os._exit(0)
def spin():
    while True: pass
ready()
spin()
";
    let _turn = turn();
    let target = Target::python(&interpreter, script);
    let recording = record(&target, options(false), Duration::from_secs(1));
    let spin = sum(&recording.profile, "spin");
    assert_eq!((spin.waits, blocked_ns(spin)), (0, 0));
    // Two take turns on one CPU.
    let waited = spin.running_ns - spin.cpu_ns;
    assert!(waited * 5 > recording.stats.elapsed_ns, "{spin:?}");
    assert_whole(&recording, &interpreter.name);
}

#[test]
fn waits_for_the_gil_are_told() {
    if !exact_works() {
        return;
    }
    let script = "
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
ready()
spin()
";
    let _turn = turn();
    for interpreter in interpreters().into_iter().filter(|interpreter| !interpreter.free_threaded()) {
        let target = Target::python(&interpreter, script);
        let recording = record(&target, options(false), Duration::from_millis(500));
        let elapsed = recording.stats.elapsed_ns;
        let gil = recording.profile.threads.iter().map(|info| info.gil);
        let (held, waited) =
            gil.fold((0, 0), |(held, waited), gil| (held + gil.held_ns, waited + gil.waited_ns));
        let name = &interpreter.name;
        assert!(
            waited * 10 > elapsed * 5 && waited * 10 < elapsed * 11,
            "{name}: waited {waited} of {elapsed}"
        );
        assert!(held * 10 > elapsed * 4 && held * 10 < elapsed * 11, "{name}: held {held} of {elapsed}");
    }
}

#[test]
fn a_long_wait_is_seen_before_it_ends() {
    if !exact_works() {
        return;
    }
    let Some(interpreter) = interpreters().into_iter().next_back() else { return };
    let _turn = turn();
    let target = Target::python(&interpreter, "ready()\nwait()\n");
    let session = Session::start(target.pid, options(false), None).expect("it runs");
    let (control, end) = (session.control(), Instant::now() + Duration::from_secs(30));
    let seen = || control.so_far().map_or(0, |recording| sum(&recording.profile, "wait").wall_ns);
    while seen() < 200_000_000 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    session.stop();
    let recording = session.finish().expect("a recording");
    let wait = sum(&recording.profile, "wait");
    assert_eq!((wait.waits, wait.samples, recording.stats.waits), (1, 1, 1));
    assert!(wait.wall_ns >= 200_000_000);
}

#[test]
fn what_cannot_be_is_refused() {
    let Some(interpreter) = interpreters().into_iter().next_back() else { return };
    let target = Target::python(&interpreter, "ready()\nwait()\n");
    let refused = |options| Session::start(target.pid, options, None).expect_err("refused").to_string();
    let text = refused(Options { mode: Mode::Cpu, ..options(false) });
    assert!(text.contains("mode wall"), "{text}");
    let engine =
        EngineOptions { offcpu: true, forced: Some(EngineKind::Snapshot), ..EngineOptions::default() };
    let text = refused(Options { engine: NativeEngine::of(engine), ..options(false) });
    assert!(text.contains("exact engine"), "{text}");
    let text = refused(Options { engine: None, ..options(false) });
    assert!(text.contains("exact engine"), "{text}");
}
