//! Whole process trees of real Pythons: whoever is started, however, is found and named.

mod support;

use std::collections::{HashMap, HashSet};
use std::process::Command;

use pyprof_core::profile::Profile;
use pyprof_core::sampler::stream::{Batch, EventKind};
use pyprof_core::sampler::{EndReason, Options, Session};
use support::{Interpreter, PRELUDE, Target, interpreters, names, skipped};

fn options() -> Options {
    Options { rate: 500.0, idle: true, subprocesses: true, stream: Some(1 << 20), ..Options::default() }
}

/// The pids in which each function was seen.
fn pids_by_function(profile: &Profile) -> HashMap<&str, HashSet<i32>> {
    let mut found: HashMap<&str, HashSet<i32>> = HashMap::new();
    for &(thread, stack) in profile.entries.keys() {
        for name in names(profile, stack) {
            found.entry(name).or_default().insert(profile.threads[thread as usize].pid);
        }
    }
    found
}

/// The pids of the processes with an event of this kind.
fn pids(batch: &Batch, kind: EventKind) -> Vec<i32> {
    let pid = |id| batch.processes.iter().find(|info| info.id == id).expect("a row").pid;
    batch.events.iter().filter(|event| event.kind == kind).map(|event| pid(event.id)).collect()
}

/// Starts children in every way there is; each computes in a function of its own for some time.
const CHILDREN: &str = r#"
import multiprocessing, subprocess
WORK = "import time\ndef {0}():\n end = time.monotonic() + {1}\n while time.monotonic() < end: pass\n{0}()"
def main():
    ready()
    sys.stdin.readline()
    started = []
    for method in 'fork', 'spawn', 'forkserver':
        child = multiprocessing.get_context(method).Process(
            target=exec, args=(WORK.format('by_' + method, 0.6), {}))
        child.start()
        started.append(child.join)
    python = sys.executable
    # A shell that stays in between, and one that replaces itself.
    between = subprocess.Popen(['sh', '-c', '"$0" -c "$1"; true', python, WORK.format('below_shell', 0.6)])
    replaced = subprocess.Popen(['sh', '-c', 'exec "$0" -c "$1"', python, WORK.format('by_exec', 0.6)])
    other = subprocess.Popen(['sh', '-c', 'sleep 0.3'])
    started += [between.wait, replaced.wait, other.wait]
    for join in started: join()
    short = subprocess.Popen([python, '-c', WORK.format('short_lived', 0.25)])
    short.wait()
    ready()
    sys.stdin.readline()
    after_all()
def after_all():
    end = time.monotonic() + 0.1
    while time.monotonic() < end: pass
if __name__ == '__main__': main()
"#;

#[test]
fn children_are_found_however_they_were_started() {
    for python in interpreters() {
        let mut target = Target::python(&python, CHILDREN);
        let session = Session::start(target.pid, options(), None).unwrap();
        let control = session.control();
        target.ask("");
        let live = control.so_far().expect("it goes on");
        assert_eq!(live.end, None, "{}", python.name);
        drop(target.stdin().take());
        let recording = session.finish().unwrap();
        assert_eq!(recording.end, Some(EndReason::Exited), "{}", python.name);
        let profile = &recording.profile;
        let functions = pids_by_function(profile);
        let ways = ["by_fork", "by_spawn", "by_forkserver", "below_shell", "by_exec", "short_lived"];
        let mut met = HashSet::from([target.pid]);
        for function in ways {
            let pids = functions.get(function).unwrap_or_else(|| {
                panic!("{function} of {}: {functions:?} {:?}", python.name, recording.stats)
            });
            assert_eq!(pids.len(), 1, "{function} of {}", python.name);
            assert!(met.insert(*pids.iter().next().unwrap()), "{function} of {}: {pids:?}", python.name);
        }
        assert_eq!(functions["after_all"], HashSet::from([target.pid]), "children that end do not end it");
        let shell =
            profile.processes.iter().find(|info| info.command.first().is_some_and(|word| word == "sh"));
        let shell = shell.unwrap_or_else(|| panic!("{}: {:?}", python.name, profile.processes));
        assert_eq!((shell.ppid, &shell.python_version), (target.pid, &None), "{}", python.name);
        assert!(profile.processes.iter().all(|info| info.ended), "{}: {:?}", python.name, profile.processes);
        let batch = control.drain();
        let (started, ended) = (pids(&batch, EventKind::ProcessStart), pids(&batch, EventKind::ProcessExit));
        assert_eq!(started[0], target.pid);
        assert_eq!(started.iter().collect::<HashSet<_>>(), ended.iter().collect::<HashSet<_>>());
        let samples: u64 = profile.entries.values().map(|weights| weights.samples).sum();
        assert_eq!(batch.samples.len() as u64 + batch.lost, samples, "{}", python.name);
        let cpu = |streamed: bool| -> u64 {
            if streamed {
                batch.samples.iter().map(|sample| sample.cpu_ns).sum()
            } else {
                profile.entries.values().map(|weights| weights.cpu_ns).sum()
            }
        };
        assert!(cpu(true) <= cpu(false) && cpu(true) * 10 >= cpu(false) * 9, "{} {}", cpu(true), cpu(false));
    }
}

#[test]
fn the_root_need_not_be_python_and_may_become_it() {
    let pythons = interpreters();
    let (Some(one), Some(other)) = (
        pythons.iter().find(|python| python.path().is_some()),
        pythons.iter().rev().find(|python| python.path().is_some()),
    ) else {
        return skipped("the_root_need_not_be_python_and_may_become_it", "no Python in this root");
    };
    let work = |name: &str| format!("{PRELUDE}\ndef {name}():\n  ready()\n  sys.stdin.readline()\n{name}()");
    // Two versions in one tree, one after the other, and at last the shell itself.
    let script = "echo ready; read line; \"$0\" -c \"$2\"; exec \"$1\" -c \"$3\"";
    let mut command = Command::new("sh");
    let paths = [one, other].map(|python: &Interpreter| python.path().unwrap());
    command.arg("-c").arg(script).args(paths).args([work("first"), work("second")]);
    let mut target = Target::start(command);
    let session = Session::start(target.pid, options(), None).unwrap();
    let control = session.control();
    let until_seen = |function: &str| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !pids_by_function(&control.so_far().unwrap().profile).contains_key(function) {
            assert!(std::time::Instant::now() < end, "{function} was not seen");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    target.ask("");
    until_seen("first");
    target.ask("");
    until_seen("second");
    drop(target.stdin().take());
    let recording = session.finish().unwrap();
    assert_eq!(recording.end, Some(EndReason::Exited));
    assert!(recording.python_version.starts_with(&format!("3.{}", other.minor())));
    let functions = pids_by_function(&recording.profile);
    assert_eq!(functions["second"], HashSet::from([target.pid]));
    assert!(!functions["first"].contains(&target.pid));
    let batch = control.drain();
    assert_eq!(pids(&batch, EventKind::ProcessExec), [target.pid]);
    assert_eq!(pids(&batch, EventKind::ProcessExit).last(), Some(&target.pid));
}

#[test]
fn a_child_of_vfork_is_not_taken_for_its_parent() {
    let script = "
def parent():
    ready()
    sys.stdin.readline()
    os.posix_spawn('/bin/sleep', ['sleep', '0.3'], {})
    os.wait()
    ready()
    wait()
parent()";
    for python in interpreters() {
        let mut target = Target::python(&python, script);
        let session = Session::start(target.pid, options(), None).unwrap();
        target.ask("");
        let recording = session.control().so_far().unwrap();
        let functions = pids_by_function(&recording.profile);
        assert_eq!(functions["parent"], HashSet::from([target.pid]), "{}", python.name);
        let commands: Vec<_> =
            recording.profile.processes.iter().map(|info| info.command.join(" ")).collect();
        assert!(commands.contains(&"sleep 0.3".to_owned()), "{}: {commands:?}", python.name);
        session.stop();
        assert_eq!(session.finish().unwrap().end, Some(EndReason::Stopped));
    }
}
