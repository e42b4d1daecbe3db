//! What each sample says its thread did, on every Python.

mod support;

use std::time::{Duration, Instant};

use pyprof_core::profile::state::{HANDLES_EXCEPTION, HOLDS_GIL, IN_GC, ON_CPU, WAITS_FOR_GIL};
use pyprof_core::profile::{Profile, StackId};
use pyprof_core::sampler::stream::StreamSample;
use pyprof_core::sampler::{Options, Session};
use support::{Target, interpreters, names};

/// Functions that do one thing for ever; `what` says which one.
const SCRIPT: &str = r"
import gc, threading, time
def spin():
    while True:
        sum(range(100))
def collect():
    keep = [[i] for i in range(300000)]
    while True:
        gc.collect()
def sleep():
    while True:
        time.sleep(0.01)
def fails():
    raise KeyError
def handle():
    try:
        fails()
    except KeyError:
        spin()
def handled():
    try:
        fails()
    except KeyError:
        pass
    spin()
def generator():
    try:
        fails()
    except KeyError:
        while True:
            # The state is read some microseconds after the stack.
            yield sum(range(20000))
def handle_in_generator():
    for _ in generator():
        sum(range(20000))
if what == 'threads':
    for i in range(3):
        threading.Thread(target=spin, name='spinner', daemon=True).start()
    ready()
    sys.stdin.readline()
else:
    ready()
    globals()[what]()
";

/// Samples of each program; a quarter of them or more is of the function in question.
const SAMPLES: u64 = 400;

struct Seen {
    samples: Vec<StreamSample>,
    strings: Vec<String>,
    profile: Profile,
    version: (u8, u8),
    /// It runs without a GIL
    free: bool,
    elapsed: u64,
}

impl Seen {
    /// Of samples in which `name` was on the stack (any, when empty).
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a StreamSample> {
        self.samples.iter().filter(move |sample| name.is_empty() || self.has(sample.stack, name))
    }

    fn has(&self, stack: StackId, name: &str) -> bool {
        names(&self.profile, stack).contains(&name)
    }

    /// Share of the samples with `name` that have `flag`.
    fn share(&self, name: &str, flag: u32) -> f64 {
        let all = self.of(name).count();
        assert!(all > 20, "{all} samples of {name} on {:?}, {} in all", self.version, self.samples.len());
        self.of(name).filter(|sample| sample.flags & flag != 0).count() as f64 / all as f64
    }
}

fn watch(what: &str) -> Vec<(String, Seen)> {
    interpreters()
        .into_iter()
        .map(|python| {
            let target = Target::python(&python, &format!("what = {what:?}\n{SCRIPT}"));
            let options = Options { rate: 1000.0, idle: true, stream: Some(1 << 20), ..Options::default() };
            let session = Session::start(target.pid, options, None).expect("a session");
            let control = session.control();
            // As long as it takes on a busy machine.
            let end = Instant::now() + Duration::from_secs(30);
            while control.stats().samples < SAMPLES && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
            session.stop();
            let recording = session.finish().expect("a recording");
            let batch = control.drain();
            let version = (3, python.minor());
            let (samples, strings, profile) = (batch.samples, batch.strings, recording.profile);
            let free = python.free_threaded();
            let elapsed = recording.stats.elapsed_ns;
            (python.name.clone(), Seen { samples, strings, profile, version, free, elapsed })
        })
        .collect()
}

#[test]
fn who_holds_the_gil_and_who_waits_for_it() {
    for (python, seen) in watch("threads") {
        let spinners: Vec<_> = seen.profile.threads.iter().filter(|info| info.name == "spinner").collect();
        assert_eq!(spinners.len(), 3, "{python}");
        if seen.free {
            let none = |sample: &StreamSample| sample.flags & (HOLDS_GIL | WAITS_FOR_GIL) == 0;
            assert!(seen.samples.iter().all(none), "{python}");
            continue;
        }
        let held: u64 = spinners.iter().map(|info| info.gil.held_ns).sum();
        let waited: u64 = spinners.iter().map(|info| info.gil.waited_ns).sum();
        let elapsed = seen.elapsed;
        // One holds it at a time; it is nobody's while it changes hands.
        assert!(held <= elapsed * 11 / 10 && held > elapsed / 2, "{python}: held {held}");
        // Less on a busy machine: a thread that was woken waits for a CPU first.
        assert!(waited > elapsed / 5 && waited < elapsed * 5 / 2, "{python}: waited {waited}");
        let both = HOLDS_GIL | WAITS_FOR_GIL;
        assert!(seen.samples.iter().all(|sample| sample.flags & both != both), "{python}");
        let main = seen.profile.threads.iter().find(|info| info.tid == info.pid).expect("a main thread");
        // It needs the GIL until it waits for its input.
        assert!(main.gil.waited_ns < elapsed / 2, "{python}: {:?}", main.gil);
    }
}

#[test]
fn garbage_collection_is_seen_while_it_runs() {
    for (python, seen) in watch("collect") {
        let share = seen.share("collect", IN_GC);
        if seen.version == (3, 8) {
            assert!(share <= 0.0, "3.8 keeps it elsewhere");
        } else if seen.free {
            assert!(share <= 0.0, "without a GIL nothing tells whose collection it is");
        } else {
            // How much of its time is the collection differs with the version.
            assert!(share > 0.1, "{python}: {share}");
        }
    }
    for (python, seen) in watch("spin") {
        assert!(seen.share("spin", IN_GC) <= 0.0, "{python}");
        assert!(seen.share("spin", ON_CPU) > 0.9, "{python}");
        assert!(seen.free || seen.share("spin", HOLDS_GIL) > 0.9, "{python}");
    }
}

#[test]
fn exceptions_are_seen_while_they_are_handled() {
    for (what, name, handles) in
        [("handle", "spin", true), ("handled", "spin", false), ("handle_in_generator", "generator", true)]
    {
        for (python, seen) in watch(what) {
            let share = seen.share(name, HANDLES_EXCEPTION);
            let expected = f64::from(u8::from(handles && seen.version >= (3, 11)));
            // A generator's own is known from its second look on, and not while it is being entered.
            assert!((share - expected).abs() < 0.2, "{python} {what}: {share}");
        }
    }
}

#[test]
fn the_system_call_of_a_blocked_thread_has_a_name() {
    for (python, seen) in watch("sleep") {
        let blocked: Vec<_> = seen.of("sleep").filter(|sample| sample.flags & ON_CPU == 0).collect();
        assert!(blocked.len() > 20, "{python}");
        let named = blocked.iter().filter(|sample| {
            let name = sample.syscall.checked_sub(1).map(|index| seen.strings[index as usize].as_str());
            matches!(name, Some("clock_nanosleep" | "select" | "pselect6" | "poll"))
        });
        assert!(named.count() * 10 > blocked.len() * 9, "{python}");
    }
}
