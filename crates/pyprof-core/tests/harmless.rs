//! Nothing in the target changes because it is looked at.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pyprof_core::sampler::{Options, Session};
use pyprof_core::snapshot::{SnapshotOptions, take};
use support::{Target, interpreters, pyenv, skipped};

/// What the kernel says of every thread that an intruder could change; counters that move by themselves are left
/// out.
fn state(pid: i32) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // The stack and the heap may grow by themselves; where everything starts, and with which rights, may not.
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    found.insert("maps".to_owned(), maps);
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let task = task.unwrap().path();
        for line in fs::read_to_string(task.join("status")).unwrap().lines() {
            let (key, value) = line.split_once(':').unwrap();
            let telling = matches!(
                key,
                "TracerPid"
                    | "SigCgt"
                    | "SigIgn"
                    | "SigBlk"
                    | "SigPnd"
                    | "ShdPnd"
                    | "Seccomp"
                    | "NoNewPrivs"
                    | "CapEff"
                    | "Cpus_allowed"
                    | "Threads"
                    | "State"
            );
            if telling {
                found.insert(format!("{} {key}", task.display()), value.trim().to_owned());
            }
        }
    }
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let path = descriptor.unwrap().path();
        let to = fs::read_link(&path).map(|to| to.display().to_string()).unwrap_or_default();
        found.insert(path.display().to_string(), to);
    }
    found
}

/// How often its threads gave up the CPU by themselves: a target that sleeps must not have been woken.
fn voluntary_switches(pid: i32) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flat_map(|task| {
            let task = task.unwrap().path();
            let status = fs::read_to_string(task.join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
            [format!("{} {line}", task.display())]
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_target_at_rest_stays_as_it_was() {
    for python in interpreters() {
        let script = "
import array
signal.signal(signal.SIGUSR1, lambda *_: None)
page = array.array('Q', range(8192))
def rest(): wait()
threading.Thread(target=rest, daemon=True).start()
def answer():
    ready()
    for line in sys.stdin: ready(hash(page.tobytes()), page.buffer_info()[0])
answer()";
        let mut target = Target::python(&python, script);
        let page = target.ask("");
        // The thread is where it will stay, and the main one reads.
        let asleep = |pid| {
            state(pid).iter().filter(|(key, _)| key.ends_with("State")).all(|(_, to)| to.starts_with('S'))
        };
        while !asleep(target.pid) {
            std::thread::yield_now();
        }
        let (before, switches) = (state(target.pid), voluntary_switches(target.pid));
        assert!(before.iter().any(|(key, value)| key.ends_with("TracerPid") && value == "0"), "{before:?}");
        take(target.pid, SnapshotOptions { locals: true }).unwrap();
        assert_eq!(state(target.pid), before, "{}: after a snapshot", python.name);
        let recorder = Session::start(target.pid, Options { idle: true, ..Options::default() }, None)
            .expect("a recorder");
        for count in [20, 60, 100] {
            while recorder.stats().rounds < count {
                std::thread::yield_now();
            }
            assert_eq!(state(target.pid), before, "{}: during a recording", python.name);
        }
        recorder.stop();
        recorder.finish().unwrap();
        assert_eq!(state(target.pid), before, "{}: after a recording", python.name);
        assert_eq!(voluntary_switches(target.pid), switches, "{}: it was woken", python.name);
        assert_eq!(target.ask(""), page, "{}: its memory", python.name);
    }
}

/// The part of the next test that is killed: records the process that the environment names, for ever.
#[test]
#[ignore = "run by the next test"]
fn profiler_to_be_killed() {
    let Some(pid) = std::env::var("PYPROF_TEST_RECORD").ok().and_then(|pid| pid.parse().ok()) else { return };
    let recorder = Session::start(pid, Options::default(), None).unwrap();
    while recorder.stats().rounds < 50 {
        std::thread::yield_now();
    }
    println!("\nrecording");
    let _ = recorder.finish();
}

fn profiler(pid: i32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "profiler_to_be_killed", "--ignored", "--nocapture"])
        .env("PYPROF_TEST_RECORD", pid.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What stays the same in a target that runs: neither memory nor whether it sleeps just now.
fn lasting(pid: i32) -> BTreeMap<String, String> {
    let mut found = state(pid);
    found.retain(|key, _| key != "maps" && !key.ends_with("State"));
    found
}

/// Neither stopped nor traced.
fn runs(pid: i32) -> bool {
    let states = state(pid);
    states.iter().filter(|(key, _)| key.ends_with("State")).all(|(_, to)| to.starts_with(['R', 'S']))
}

/// Counts, and answers each line with how far it is.
const COUNTING: &str = "
count = [0]
def work():
    while True: count[0] += 1
threading.Thread(target=work, daemon=True).start()
ready()
for line in sys.stdin: ready(count[0])";

#[test]
fn no_moment_is_bad_for_killing_the_profiler() {
    for python in interpreters() {
        let mut target = Target::python(&python, COUNTING);
        let before = lasting(target.pid);
        let mut count = 0;
        // From before its first look at the target to the middle of a recording.
        for delay in [0, 1, 2, 3, 5, 8, 13, 30] {
            let mut profiler = profiler(target.pid);
            std::thread::sleep(Duration::from_millis(delay));
            profiler.kill().unwrap();
            profiler.wait().unwrap();
            assert_eq!(lasting(target.pid), before, "{}: after {delay} ms", python.name);
            assert!(runs(target.pid), "{}: after {delay} ms: {:?}", python.name, state(target.pid));
            loop {
                let now: u64 = target.ask("")[0].parse().unwrap();
                if now > count {
                    count = now;
                    break;
                }
            }
        }
    }
}

#[test]
fn a_killed_profiler_leaves_its_target_running() {
    let Some(python) = (8..=13).rev().find_map(pyenv) else { return skipped("killed profiler", "no pyenv") };
    let mut target = Target::python(&python, COUNTING);
    let before = lasting(target.pid);
    let mut profiler = profiler(target.pid);
    let mut lines = BufReader::new(profiler.stdout.take().unwrap()).lines();
    let began = lines.any(|line| line.is_ok_and(|line| line == "recording"));
    profiler.kill().unwrap();
    profiler.wait().unwrap();
    assert!(began, "the profiler ended by itself");
    let first: u64 = target.ask("")[0].parse().unwrap();
    let second: u64 = target.ask("")[0].parse().unwrap();
    assert!(second >= first && first > 0 && target.is_running());
    assert_eq!(lasting(target.pid), before);
    take(target.pid, SnapshotOptions::default()).unwrap();
    // Several may look at one process: nobody is attached to it.
    let one = Session::start(target.pid, Options::default(), None).unwrap();
    let limited = Options { duration: Some(Duration::from_millis(50)), ..Options::default() };
    let two = Session::start(target.pid, limited, None).unwrap().finish().unwrap();
    one.stop();
    assert!(two.stats.samples > 0 && one.finish().unwrap().stats.samples > 0);
}
