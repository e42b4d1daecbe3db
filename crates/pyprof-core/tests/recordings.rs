//! Recordings of real Pythons: time is true time, and whatever the target does, what was seen is kept.

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pyprof_core::profile::{EMPTY_STACK, FrameKind, Profile, StackId, Weights};
use pyprof_core::sampler::{EndReason, Mode, Options, Recording, Session};
use support::{Directory, Interpreter, Target, interpreters, names, pyenv, skipped};

const SECOND: f64 = 1e9;

fn options(milliseconds: u64) -> Options {
    Options { rate: 500.0, duration: Some(Duration::from_millis(milliseconds)), ..Options::default() }
}

#[track_caller]
fn record(target: &Target, options: Options) -> Recording {
    Session::start(target.pid, options, None).and_then(Session::finish).expect("a recording")
}

/// Sums by thread name.
fn by_thread(profile: &Profile) -> HashMap<&str, Weights> {
    let mut sums: HashMap<&str, Weights> = HashMap::new();
    for (&(thread, _), weights) in &profile.entries {
        sums.entry(profile.threads[thread as usize].name.as_str()).or_default().add(*weights);
    }
    sums
}

/// Whether some entry's stack goes through the function.
fn saw(profile: &Profile, function: &str) -> bool {
    profile.entries.keys().any(|(_, stack)| names(profile, *stack).contains(&function))
}

#[track_caller]
fn assert_near(found: f64, expected: f64, share: f64, what: &str) {
    assert!((found - expected).abs() <= share * expected, "{what}: {found} instead of {expected}");
}

/// Two threads asleep, one that computes and counts its own CPU time; each line on standard input is answered
/// by that count in ns.
const BUSY: &str = "
clock = [0]
def busy():
    while True:
        for i in range(1000): pass
        clock[0] = time.thread_time_ns() if hasattr(time, 'thread_time_ns') else int(time.thread_time() * 1e9)
def asleep():
    wait()
threading.Thread(target=asleep, daemon=True, name='asleep').start()
threading.Thread(target=busy, daemon=True, name='busy').start()
def answer():
    ready()
    for line in sys.stdin: ready(clock[0])
answer()";

#[test]
fn wall_time_is_true_time_for_every_thread() {
    for python in interpreters() {
        let target = Target::python(&python, BUSY);
        let started = Instant::now();
        let recording = record(&target, Options { idle: true, ..options(600) });
        let took = started.elapsed().as_nanos() as f64;
        let elapsed = recording.stats.elapsed_ns as f64;
        assert_eq!(recording.end, Some(EndReason::Duration), "{}", python.name);
        assert!((0.6 * SECOND..0.75 * SECOND).contains(&elapsed), "{}: {elapsed}", python.name);
        assert!(elapsed <= took, "{}: {elapsed} of {took}", python.name);
        assert!(recording.python_version.starts_with(&format!("3.{}.", python.minor())));
        let sums = by_thread(&recording.profile);
        assert_eq!(sums.len(), 3, "{}: {sums:?}", python.name);
        for (thread, sum) in &sums {
            assert_near(sum.wall_ns as f64, elapsed, 0.05, &format!("{} of {}", thread, python.name));
        }
        let stats = recording.stats;
        let samples: u64 = sums.values().map(|sum| sum.samples).sum();
        assert_eq!(stats.samples, samples, "{}", python.name);
        assert_eq!((stats.idle, stats.idle_ns), (0, 0), "{}", python.name);
        assert!(stats.rounds + stats.missed >= 295, "{}: {stats:?}", python.name);
        assert!(sums["asleep"].cpu_ns < 20_000_000, "{}: {sums:?}", python.name);
        assert!(saw(&recording.profile, "asleep") && saw(&recording.profile, "busy"), "{}", python.name);
    }
}

#[test]
fn idle_threads_are_left_out_and_cpu_time_is_the_threads_own() {
    for python in interpreters() {
        let mut target = Target::python(&python, BUSY);
        let before: f64 = target.ask("").first().unwrap().parse().unwrap();
        let recording = record(&target, options(600));
        let after: f64 = target.ask("").first().unwrap().parse().unwrap();
        let sums = by_thread(&recording.profile);
        assert!(!sums.contains_key("asleep"), "{}: {sums:?}", python.name);
        let busy = sums["busy"];
        let elapsed = recording.stats.elapsed_ns as f64;
        assert_near(busy.wall_ns as f64, elapsed, 0.05, &python.name);
        // The two questions frame the recording, and the account may be a tick of the kernel late.
        let own = after - before;
        let cpu = busy.cpu_ns as f64;
        assert!(cpu <= own + 12e6 && cpu >= 0.8 * own - 12e6, "{}: {cpu} of {own}", python.name);
        // However seldom a busy machine lets us look.
        let (idle, rounds) = (recording.stats.idle as f64, recording.stats.rounds as f64);
        assert_near(idle, 2.0 * rounds, 0.05, &python.name);
        assert_near(recording.stats.idle_ns as f64, 2.0 * elapsed, 0.05, &python.name);
    }
}

#[test]
fn modes_and_thread_names() {
    for python in interpreters() {
        let target = Target::python(&python, BUSY);
        let gil = Options { mode: Mode::Gil, idle: true, ..options(300) };
        if python.free_threaded() {
            let error = Session::start(target.pid, gil, None).and_then(Session::finish).expect_err("no GIL");
            assert_eq!(error.code(), "INVALID_ARGUMENT", "{}: {error}", python.name);
        } else {
            let gil = record(&target, gil);
            let sums = by_thread(&gil.profile);
            let elapsed = gil.stats.elapsed_ns as f64;
            // On a busy machine the thread that answered can be on its way to sleep still.
            let others = sums.iter().filter(|(name, _)| **name != "busy").map(|(_, sum)| sum.wall_ns);
            assert_near(others.sum::<u64>() as f64 + elapsed, elapsed, 0.06, &python.name);
            assert_near(sums["busy"].wall_ns as f64, elapsed, 0.06, &python.name);
        }

        let cpu = record(&target, Options { mode: Mode::Cpu, idle: true, ..options(300) });
        assert_eq!(by_thread(&cpu.profile).keys().copied().collect::<Vec<_>>(), ["busy"], "{}", python.name);

        let thread_names = vec!["asleep".to_owned(), "no such thread".to_owned()];
        let named = record(&target, Options { thread_names, idle: true, ..options(100) });
        assert_eq!(
            by_thread(&named.profile).keys().copied().collect::<Vec<_>>(),
            ["asleep"],
            "{}",
            python.name
        );
    }
}

#[test]
fn a_timeline_is_in_order_and_adds_up() {
    for python in interpreters() {
        let script = "
def one(): sum(range(20000))
def two(): sorted(range(20000))
ready()
while True: one(); two()";
        let target = Target::python(&python, script);
        let recording = record(&target, Options { timeline: true, ..options(300) });
        let Profile { timeline, entries, timeline_complete, .. } = &recording.profile;
        assert!(*timeline_complete && timeline.len() > 1, "{}: {}", python.name, timeline.len());
        assert!(timeline.is_sorted_by_key(|entry| entry.time_ns), "{}", python.name);
        let last = timeline.last().unwrap();
        assert!(last.time_ns + last.weights.wall_ns <= recording.stats.elapsed_ns + 1000, "{}", python.name);
        for pair in timeline.windows(2) {
            assert!(pair[0].time_ns + pair[0].weights.wall_ns <= pair[1].time_ns + 1000, "{}", python.name);
        }
        let mut sums: HashMap<(u32, StackId), Weights> = HashMap::new();
        for entry in timeline {
            sums.entry((entry.thread, entry.stack)).or_default().add(entry.weights);
        }
        assert_eq!(sums, entries.iter().map(|(key, weights)| (*key, *weights)).collect(), "{}", python.name);
        assert!(saw(&recording.profile, "one") && saw(&recording.profile, "two"), "{}", python.name);
        // What is in a recording without the order does not depend on it.
        assert!(record(&target, options(20)).profile.timeline.is_empty());
    }
}

#[test]
fn stop_from_another_thread_takes_effect_at_once() {
    let python = interpreters().remove(0);
    let target = Target::python(&python, BUSY);
    // Also at a rate whose next deadline is far away.
    for rate in [500.0, 0.1] {
        let recorder =
            Session::start(target.pid, Options { rate, duration: None, ..Options::default() }, None).unwrap();
        let control = recorder.control();
        let stopped = std::thread::spawn(move || {
            while rate > 1.0 && control.stats().samples < 10 {
                std::thread::yield_now();
            }
            control.stop();
            Instant::now()
        });
        let recording = recorder.finish().unwrap();
        let late = stopped.join().unwrap().elapsed();
        assert_eq!(recording.end, Some(EndReason::Stopped));
        assert!(late < Duration::from_millis(50), "{late:?}");
        assert_eq!(recording.stats.samples >= 10, rate > 1.0);
    }
}

#[test]
fn impossible_options_and_processes_are_refused() {
    let python = interpreters().remove(0);
    let mut target = Target::python(&python, "ready(); wait()");
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e7] {
        let error = Session::start(target.pid, Options { rate, ..options(10) }, None).unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT", "{rate}");
    }
    target.kill();
    assert_eq!(Session::start(target.pid, options(10), None).unwrap_err().code(), "NO_SUCH_PROCESS");
}

/// Waits until the recording has something.
fn until_samples(recorder: &Session, count: u64) {
    while recorder.stats().samples < count {
        std::thread::yield_now();
    }
}

fn start(target: &Target) -> Session {
    let recorder = Session::start(
        target.pid,
        Options { rate: 500.0, duration: Some(Duration::from_secs(60)), idle: true, ..Options::default() },
        None,
    )
    .expect("a recorder");
    until_samples(&recorder, 20);
    recorder
}

#[test]
fn a_target_that_ends_leaves_what_was_seen() {
    for python in interpreters() {
        for violent in [false, true] {
            let mut target = Target::python(&python, "def last(): ready(); sys.stdin.readline()\nlast()");
            let recorder = start(&target);
            if violent {
                target.kill();
            } else {
                drop(target.stdin().take());
            }
            let recording = recorder.finish().unwrap();
            assert_eq!(recording.end, Some(EndReason::Exited), "{}", python.name);
            assert!(recording.stats.elapsed_ns < 50_000_000_000, "{}", python.name);
            assert!(saw(&recording.profile, "last"), "{}", python.name);
        }
    }
}

#[test]
fn a_program_that_replaces_itself() {
    let others: Vec<Interpreter> = (8..=13).filter_map(pyenv).collect();
    if others.len() < 2 {
        return skipped("exec into another Python", "fewer than two pyenv Pythons");
    }
    let directory = Directory::new();
    let second = directory.join("second.py");
    std::fs::write(&second, format!("{}def after(): ready(); wait()\nafter()", support::PRELUDE)).unwrap();
    for (index, python) in others.iter().enumerate() {
        let next = &others[(index + 1) % others.len()];
        let script = format!(
            "def before(): ready(); sys.stdin.readline()\nbefore()\nos.execv({0:?}, [{0:?}, {1:?}])",
            next.path().unwrap(),
            second
        );
        let mut target = Target::python(python, &script);
        let recorder = start(&target);
        target.ask("");
        // The new program's own frames come after the old one's samples.
        let now = recorder.stats().samples;
        until_samples(&recorder, now + 40);
        recorder.stop();
        let recording = recorder.finish().unwrap();
        assert_eq!(recording.end, Some(EndReason::Stopped), "{}", python.name);
        assert!(saw(&recording.profile, "before"), "{}", python.name);
        assert!(saw(&recording.profile, "after"), "{} to {}", python.name, next.name);
    }
    let python = &others[0];
    let script = "
def before(): ready(); sys.stdin.readline()
before()
os.execv('/bin/sh', ['sh', '-c', 'echo ready; read line; sleep 300'])";
    let mut target = Target::python(python, script);
    let recorder = start(&target);
    target.ask("");
    let recording = recorder.finish().unwrap();
    assert_eq!(recording.end, Some(EndReason::Replaced));
    assert!(saw(&recording.profile, "before"));
    assert!(target.is_running());
}

#[test]
fn threads_that_come_and_go() {
    for python in interpreters() {
        let script = "
source = '''
def short_%d():
    end = time.perf_counter() + 0.02
    while time.perf_counter() < end: pass'''
space = {'time': time}
ready()
for n in range(100000):
    exec(source % n, space)
    thread = threading.Thread(target=space.pop('short_%d' % n), name='short %d' % n)
    thread.start()
    thread.join()";
        let target = Target::python(&python, script);
        let recording = record(&target, options(600));
        let sums = by_thread(&recording.profile);
        let short: Vec<_> = sums.iter().filter(|(name, _)| name.starts_with("short ")).collect();
        let total: u64 = short.iter().map(|(_, sum)| sum.wall_ns).sum();
        // A thread that was met before Python had its name goes by the kernel's, and on a busy machine the main
        // thread waits long for its turn between two of them.
        let elapsed = recording.stats.elapsed_ns;
        assert!((elapsed / 4..=elapsed).contains(&total), "{}: {total} of {elapsed}", python.name);
        assert!((5..=35).contains(&short.len()), "{}: {}", python.name, short.len());
        // Thread states lie at the same few addresses one after the other: each is a thread of its own.
        for (name, sum) in &short {
            assert!(sum.wall_ns < 80_000_000, "{}: {name} {sum:?}", python.name);
        }
        for (thread, stack) in recording.profile.entries.keys() {
            let thread = &recording.profile.threads[*thread as usize];
            if let Some(number) = thread.name.strip_prefix("short ") {
                let names = names(&recording.profile, *stack);
                let foreign = |name: &&str| name.strip_prefix("short_").is_some_and(|other| other != number);
                assert!(!names.iter().any(foreign), "{}: {names:?} in {thread:?}", python.name);
            }
            // Whose thread has ended before its number could be asked for has none.
            let numbered = thread.tid > 0 || thread.ended;
            assert!(thread.pid == target.pid && numbered, "{}: {thread:?}", python.name);
        }
    }
}

/// Addresses of dropped functions are used again at once, often by another function of the same size.
#[test]
fn functions_that_replace_each_other_keep_their_own_names() {
    for python in interpreters() {
        let script = "
def churn(n):
    name, line = 'made_%d' % n, n % 997
    space = {}
    exec(compile('\\n' * line + 'def %s():\\n  for i in range(6000): pass\\n' % name, 'file_%d.py' % n, 'exec'), space)
    space[name]()
ready()
n = 0
while True:
    n += 1
    churn(n)";
        let target = Target::python(&python, script);
        let recording = record(&target, Options { rate: 2000.0, ..options(700) });
        let profile = &recording.profile;
        let mut made = 0;
        for frame in &profile.frames {
            let (name, file) = (&profile.strings[frame.name as usize], &profile.strings[frame.file as usize]);
            let Some(number) = name.strip_prefix("made_") else { continue };
            let line = number.parse::<u32>().unwrap() % 997 + 1;
            assert_eq!(*file, format!("file_{number}.py"), "{}", python.name);
            assert_eq!(frame.first_line, line, "{}: {name}", python.name);
            assert!((line..=line + 1).contains(&frame.line), "{}: {name} at {frame:?}", python.name);
            made += 1;
        }
        assert!(made > 5, "{}: {made}", python.name);
        // A stack never runs two of them: each is called by `churn` and calls nothing.
        for (_, stack) in profile.entries.keys() {
            let names = names(profile, *stack);
            let inner = names.iter().filter(|name| name.starts_with("made_")).count();
            assert!(inner <= 1, "{}: {names:?}", python.name);
        }
    }
}

#[test]
fn a_missing_frame_is_a_leaf() {
    let mut all = 0;
    for python in interpreters() {
        // Nothing stands still here long enough to be certain often.
        let script = "
def level(n, f):
    return f(n - 1, f) if n else None
variants = []
for n in range(300):
    space = {}
    exec('def v%d(n, f):\\n  return f(n - 1, f) if n else None\\n' % n, space)
    variants.append(space['v%d' % n])
import random
ready()
while True: random.choice(variants)(random.randrange(8), random.choice(variants))";
        let target = Target::python(&python, script);
        let recording = record(&target, Options { rate: 3000.0, ..options(400) });
        let profile = &recording.profile;
        let is_missing = |stack: StackId| {
            profile.frames[profile.stacks[stack as usize].frame as usize].kind == FrameKind::Missing
        };
        let mut cut = 0;
        for (&(_, stack), weights) in &profile.entries {
            let mut parent = profile.stacks[stack as usize].parent;
            cut += if is_missing(stack) { weights.samples } else { 0 };
            while parent != EMPTY_STACK {
                assert!(!is_missing(parent), "{}: a caller is missing", python.name);
                parent = profile.stacks[parent as usize].parent;
            }
        }
        assert_eq!(cut, recording.stats.cut, "{}", python.name);
        eprintln!("{}: {cut} of {} cut", python.name, recording.stats.samples);
        all += cut;
    }
    assert!(all > 0, "nothing was cut, so nothing has been tested");
}
