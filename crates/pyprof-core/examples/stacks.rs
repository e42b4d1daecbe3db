//! Records a process with the crate alone and prints collapsed stacks: `stacks PID [--rate HZ] [--seconds S]
//! [--subprocesses]`.
//!
//! One line a stack, `name (file:line);...;leaf (file:line) SAMPLES`, threads together, waiting ones included;
//! the sampler's own health follows on standard error as one line of JSON. The benches judge it.

use std::collections::BTreeMap;
use std::time::Duration;

use pyprof_core::profile::{EMPTY_STACK, FrameKind, Profile, StackId};
use pyprof_core::sampler::{Options, Session};

fn main() {
    if let Err(error) = run() {
        eprintln!("stacks: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let pid =
        arguments.get(1).ok_or("usage: stacks PID [--rate HZ] [--seconds S] [--subprocesses]")?.parse()?;
    let number = |name: &str, default: f64| -> Result<f64, std::num::ParseFloatError> {
        let value =
            arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
        value.map_or(Ok(default), |text| text.parse())
    };
    let duration = Duration::try_from_secs_f64(number("--seconds", 2.0)?)?;
    let options = Options {
        rate: number("--rate", 1000.0)?,
        duration: Some(duration),
        idle: true,
        subprocesses: arguments.iter().any(|argument| argument == "--subprocesses"),
        ..Options::default()
    };
    let recording = Session::start(pid, options, None)?.finish()?;
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for ((_, stack), weights) in &recording.profile.entries {
        *lines.entry(text(&recording.profile, *stack)).or_default() += weights.samples;
    }
    for (line, samples) in lines {
        println!("{line} {samples}");
    }
    let stats = recording.stats;
    eprintln!(
        r#"{{"rounds":{},"missed":{},"failed":{},"samples":{},"cut":{},"extra_reads":{},"cpu_ns":{},"elapsed_ns":{}}}"#,
        stats.rounds,
        stats.missed,
        stats.failed,
        stats.samples,
        stats.cut,
        stats.extra_reads,
        stats.cpu_ns,
        stats.elapsed_ns
    );
    Ok(())
}

fn text(profile: &Profile, mut stack: StackId) -> String {
    let mut frames = Vec::new();
    while stack != EMPTY_STACK {
        let node = profile.stacks[stack as usize];
        let frame = profile.frames[node.frame as usize];
        let name = &profile.strings[frame.name as usize];
        frames.push(match frame.kind {
            FrameKind::Python => format!("{name} ({}:{})", profile.strings[frame.file as usize], frame.line),
            FrameKind::Missing | FrameKind::Native | FrameKind::Kernel => name.clone(),
        });
        stack = node.parent;
    }
    frames.reverse();
    frames.join(";")
}
