//! How many of the exact engine's samples merge whole: `cargo run -p pyprof-native --example merge -- PID [SECONDS]`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pyprof_core::attach::Attached;
use pyprof_native::engine::stacks::merge;
use pyprof_native::interrupts::Interrupts;
use pyprof_native::perf::Wanted;
use pyprof_native::{Merger, Unwinder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let pid: i32 = arguments.next().ok_or("which pid?")?.parse()?;
    let seconds: f64 = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    let mut process = Attached::open(pid)?;
    let wanted = Wanted { period_ns: 500_000, native: true, kernel: true, in_kernel: true, switches: false };
    let mut interrupts = Interrupts::start(&mut process, wanted, true)?;
    let mut unwinder = Unwinder::new(pid)?;
    let mut merger = Merger::new(process.reader.layout());
    let (mut samples, mut whole, mut without_walk, mut broken, mut native_only) =
        (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let mut problems = BTreeMap::<String, u64>::new();
    let mut spent = Duration::ZERO;
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
        for one in interrupts.take() {
            samples += 1;
            let Some(walk) = one.walk else {
                without_walk += 1;
                continue;
            };
            broken += u64::from(walk.broken);
            let python: Vec<_> = walk.frames.iter().rev().copied().collect();
            let cframe = Some(walk.cframe).filter(|cframe| *cframe != 0);
            let started = Instant::now();
            let merged = merge(&one.interrupt, &mut unwinder, &mut merger, &python, cframe);
            spent += started.elapsed();
            match merged {
                Some((native, Some(merged))) => match merged.problem {
                    None => whole += 1,
                    Some(problem) => {
                        let leaf = native.frames.first().map_or(0, |frame| frame.ip);
                        let place = unwinder
                            .modules()
                            .at(leaf)
                            .map_or(String::new(), |code| format!("{:#x}", leaf - code.bias));
                        let text = format!(
                            "{problem:?}, {:?}, {} native frames, {} Python, {} bytes, leaf {place}, in kernel {}",
                            native.stop,
                            native.frames.len(),
                            python.len(),
                            one.interrupt.stack.len(),
                            !one.interrupt.kernel.is_empty(),
                        );
                        *problems.entry(text).or_default() += 1;
                    }
                },
                Some((native, None)) => {
                    native_only += 1;
                    if native.complete {
                        whole += 1;
                    } else {
                        *problems.entry(format!("no Python, {:?}", native.stop)).or_default() += 1;
                    }
                }
                None => *problems.entry("no user side".to_owned()).or_default() += 1,
            }
        }
    }
    println!(
        "{samples} samples, {whole} whole ({:.3} %), {without_walk} without a walk, {broken} walks broken, {native_only} without Python, {} lost, {:.2} us a stack",
        100.0 * whole as f64 / samples.max(1) as f64,
        interrupts.lost(),
        spent.as_secs_f64() * 1e6 / samples.max(1) as f64,
    );
    for (problem, count) in problems {
        println!("  {count} {problem}");
    }
    Ok(())
}
