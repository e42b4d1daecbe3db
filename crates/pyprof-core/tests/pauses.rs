//! What a target can notice of being looked at, watched from inside: gaps in its time, interrupted calls.

mod support;

use std::thread::sleep;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use pyprof_core::sampler::{Options, Session};
use support::{Directory, Interpreter, Target, compile, interpreters, skipped};

/// The rate of all tests here: ten times the usual one.
const RATE: f64 = 10_000.0;
/// How long the target watches at a time, in ms.
const WINDOW: u64 = 60;
/// So many windows of each kind, in turn.
const WINDOWS: usize = 12;
/// A gap is at least this long, in ns: above a tick of the timer, below the shortest stop by another process.
const LEAST: u64 = 20_000;

/// Answers `watch` with what it saw in one window, `wait TIMES MS` with how many of its waits were interrupted.
const SCRIPT: &str = "
import ctypes
library = ctypes.PyDLL(sys.argv[1])
found = (ctypes.c_uint64 * 3)()
library.watch.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p]
signal.signal(signal.SIGUSR1, lambda *_: None)
def answer():
    ready()
    for line in sys.stdin:
        words = line.split()
        if words[0] == 'watch':
            library.watch(int(words[1]), int(words[2]), found)
            ready(*found)
        else:
            ready(library.interrupted(int(words[1]), int(words[2])))
answer()";

/// A Python with the library of `watch.c` in it, or `None` where that cannot be.
fn watcher(python: &Interpreter, directory: &Directory) -> Option<Target> {
    if python.other_root {
        skipped(&format!("pauses of {}", python.name), "it cannot load a library of ours");
        return None;
    }
    let library = directory.join("watch.so");
    if !library.exists()
        && compile(include_str!("fixtures/watch.c"), &library, &["-O2", "-shared", "-fPIC"]).is_none()
    {
        skipped("pauses", "no C compiler");
        return None;
    }
    let mut command = python.command();
    if !command.args(["-c", "import ctypes"]).status().is_ok_and(|status| status.success()) {
        skipped(&format!("pauses of {}", python.name), "it has no ctypes");
        return None;
    }
    let mut command = python.command();
    command.arg("-c").arg(format!("{}{SCRIPT}", support::PRELUDE)).arg(library);
    Some(Target::start(command))
}

/// Binds a thread or process, 0 for the calling thread, to one CPU.
fn pin(pid: i32, cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).unwrap();
    sched_setaffinity(Pid::from_raw(pid), &set).unwrap();
}

/// Two CPUs that this process may use: the sampler's and the target's.
fn two_cpus() -> Option<(usize, usize)> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    Some((cpus.next()?, cpus.next()?))
}

/// Gaps, and the longest one in ns, in one window; `disturb` runs while the target watches.
fn gaps(target: &mut Target, length: u64, disturb: impl FnOnce()) -> (u64, u64) {
    target.ask(&format!("watch {} {LEAST}", length * 1_000_000));
    disturb();
    let words = target.line();
    let [gaps, longest, readings] = [0, 1, 2].map(|at| words[at].parse::<u64>().unwrap());
    assert!(readings > 1000, "it did not watch: {words:?}");
    (gaps, longest)
}

/// The third of the smallest: what the other programs of the machine add comes on top of it.
fn calm(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 3]
}

#[test]
fn sampling_adds_no_pause() {
    let Some((ours, its)) = two_cpus() else {
        return skipped("pauses", "one CPU only: the sampler has to take the target's");
    };
    let directory = Directory::new();
    let Some(mut target) = interpreters().iter().rev().find_map(|python| watcher(python, &directory)) else {
        return;
    };
    pin(target.pid, its);
    pin(0, ours);
    let (mut alone, mut sampled, mut looks) = (Vec::new(), Vec::new(), 0);
    for _ in 0..WINDOWS {
        alone.push(gaps(&mut target, WINDOW, || ()).0);
        let options = Options { rate: RATE, idle: true, ..Options::default() };
        let session = Session::start(target.pid, options, None).unwrap();
        while session.stats().rounds == 0 {
            std::thread::yield_now();
        }
        let before = session.stats().rounds;
        sampled.push(gaps(&mut target, WINDOW, || ()).0);
        looks += session.stats().rounds - before;
        session.stop();
        session.finish().unwrap();
    }
    let looks = looks / WINDOWS as u64;
    println!("{looks} looks in a window of {WINDOW} ms; gaps alone {alone:?}, sampled {sampled:?}");
    assert!(looks > 50, "the sampler hardly ran: {looks} looks in a window");
    // Whoever stops the target makes a gap with each look. A twentieth of that is above the noise of a calm third.
    assert!(calm(sampled) <= calm(alone) + looks / 20 + 5);
    // The target does notice when it is stopped.
    let pid = Pid::from_raw(target.pid);
    let (_, longest) = gaps(&mut target, 4 * WINDOW, || {
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
        sleep(Duration::from_millis(WINDOW));
        nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
    });
    assert!(longest >= (WINDOW - 1) * 1_000_000, "a stop of {WINDOW} ms was {longest} ns long");
}

#[test]
fn no_call_of_the_target_is_interrupted() {
    let directory = Directory::new();
    for python in interpreters() {
        let Some(mut target) = watcher(&python, &directory) else { continue };
        let options = Options { rate: RATE, idle: true, ..Options::default() };
        let session = Session::start(target.pid, options, None).unwrap();
        let words = target.ask("wait 50 2");
        let looks = session.stats().rounds;
        session.stop();
        session.finish().unwrap();
        assert!(looks > 50, "{}: {looks} looks", python.name);
        assert_eq!(words, ["0"], "{}: interrupted calls", python.name);
        // A signal is noticed: the wait is one that can be interrupted.
        let pid = Pid::from_raw(target.pid);
        let signaller = std::thread::spawn(move || {
            for _ in 0..20 {
                sleep(Duration::from_millis(5));
                let _ = nix::sys::signal::kill(pid, Signal::SIGUSR1);
            }
        });
        let interrupted: u32 = target.ask("wait 50 5")[0].parse().unwrap();
        signaller.join().unwrap();
        assert!(interrupted > 0, "{}: a signal must show", python.name);
    }
}
