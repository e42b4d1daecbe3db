//! Interrupts a process and does nothing with it, to measure what that costs the process: see `benches/exact/pause.py`.
//! `clock PID RATE SECONDS bare|stack|walk|all`.

use std::time::{Duration, Instant};

use pyprof_core::attach::Attached;
use pyprof_native::interrupts::Interrupts;
use pyprof_native::perf::Wanted;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pid, rate, seconds, what] = arguments.as_slice() else {
        return Err("clock PID RATE SECONDS bare|stack|walk|all".into());
    };
    let (rate, seconds): (f64, f64) = (rate.parse()?, seconds.parse()?);
    let native = matches!(what.as_str(), "stack" | "all");
    let walk = matches!(what.as_str(), "walk" | "all");
    let wanted = Wanted {
        period_ns: (1e9 / rate) as u64,
        native,
        kernel: what == "all",
        in_kernel: true,
        switches: false,
    };
    let mut process = Attached::open(pid.parse()?)?;
    let mut interrupts = Interrupts::start(&mut process, wanted, walk)?;
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut count = 0;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
        count += interrupts.take().len();
    }
    println!("{count} interrupts, {} lost", interrupts.lost());
    Ok(())
}
