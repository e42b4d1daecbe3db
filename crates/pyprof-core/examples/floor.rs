//! The least that sampling can cost here: sleeps to absolute times and one read each, `floor PID [--rate HZ]
//! [--seconds S] [--bytes N]`.
//!
//! Nothing is done with the bytes. The bench shows it beside the profilers: what is above it is theirs. Prints one
//! line of JSON on standard error, as `stacks` does.

use std::io::IoSliceMut;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::time::TimeSpec;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use nix::unistd::Pid;
use pyprof_core::process::maps;

fn main() {
    if let Err(error) = run() {
        eprintln!("floor: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let pid: i32 =
        arguments.get(1).ok_or("usage: floor PID [--rate HZ] [--seconds S] [--bytes N]")?.parse()?;
    let number = |name: &str, default: f64| -> Result<f64, std::num::ParseFloatError> {
        let value =
            arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
        value.map_or(Ok(default), |text| text.parse())
    };
    let (rate, seconds) = (number("--rate", 1000.0)?, number("--seconds", 2.0)?);
    let length = number("--bytes", 8192.0)? as usize;
    // Any private memory that the target writes to will do: what is measured is the copying.
    let mapping = maps::read(pid)?
        .into_iter()
        .filter(|mapping| mapping.permissions.write && mapping.file().is_none())
        .find(|mapping| mapping.len() >= length as u64)
        .ok_or("no mapping of that size")?;
    let remote = [RemoteIoVec { base: mapping.start as usize, len: length }];
    let mut bytes = vec![0; length];

    // As exact as the sampler's own sleeps: otherwise the kernel may wake it 50 us late.
    prctl::set_timerslack(1)?;
    let (period, start) = (1e9 / rate, now(ClockId::CLOCK_MONOTONIC));
    let cpu = now(ClockId::CLOCK_THREAD_CPUTIME_ID);
    let end = start + (seconds * 1e9) as u64;
    let (mut rounds, mut failed, mut deadline) = (0_u64, 0_u64, start as f64);
    loop {
        let time = now(ClockId::CLOCK_MONOTONIC);
        if time >= end {
            break;
        }
        // Deadlines that have passed are skipped, as the sampler does.
        deadline += period * ((time as f64 - deadline) / period).floor().max(0.0) + period;
        let until = TimeSpec::from(Duration::from_nanos(deadline as u64));
        let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &until);
        let read = process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(&mut bytes)], &remote);
        rounds += 1;
        failed += u64::from(read != Ok(length));
    }
    eprintln!(
        r#"{{"rounds":{rounds},"failed":{failed},"bytes":{length},"cpu_ns":{},"elapsed_ns":{}}}"#,
        now(ClockId::CLOCK_THREAD_CPUTIME_ID) - cpu,
        now(ClockId::CLOCK_MONOTONIC) - start,
    );
    Ok(())
}

fn now(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}
