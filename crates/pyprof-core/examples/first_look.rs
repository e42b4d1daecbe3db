//! How long it takes from a pid to the first stack, with the crate alone: `first_look PID [--times N]`.
//!
//! Prints one line of JSON: ns from the start of a session to its first sample (`sample`) and of one `dump` with
//! all threads (`snapshot`), each time with everything found anew.

use std::time::Instant;

use pyprof_core::sampler::{Options, Session};
use pyprof_core::snapshot::{SnapshotOptions, take};

fn main() {
    if let Err(error) = run() {
        eprintln!("first_look: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let pid: i32 = arguments.get(1).ok_or("usage: first_look PID [--times N]")?.parse()?;
    let times = match arguments.iter().position(|argument| argument == "--times") {
        Some(at) => arguments.get(at + 1).ok_or("--times needs a number")?.parse()?,
        None => 9,
    };
    let (mut samples, mut snapshots) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let begin = Instant::now();
        let session = Session::start(pid, Options { idle: true, ..Options::default() }, None)?;
        // It gives the core away: the sampler may have to run on the same one.
        while session.stats().samples == 0 {
            std::thread::yield_now();
        }
        samples.push(begin.elapsed().as_nanos());
        session.stop();
        session.finish()?;
        let begin = Instant::now();
        take(pid, SnapshotOptions::default())?;
        snapshots.push(begin.elapsed().as_nanos());
    }
    println!(r#"{{"sample":{samples:?},"snapshot":{snapshots:?}}}"#);
    Ok(())
}
