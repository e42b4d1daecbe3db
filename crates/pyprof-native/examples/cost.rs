//! What looking at blocked threads costs: `cargo run --release -p pyprof-native --example cost -- PID`.

use std::time::Instant;

use pyprof_core::attach::Attached;
use pyprof_core::memory::ProcessMemory;
use pyprof_core::python::frame::RawFrame;
use pyprof_native::blocked::WaitingThread;
use pyprof_native::look::Caught;
use pyprof_native::{Hints, Merger, Symbolizer, Unwinder};

const TURNS: u32 = 2000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::env::args().nth(1).ok_or("a pid")?.parse()?;
    let mut process = Attached::open(pid)?;
    let memory = ProcessMemory::new(pid);
    let mut unwinder = Unwinder::new(pid)?;
    let mut merger = Merger::new(process.reader.layout());
    process.reader.look(|_| false)?;
    let threads: Vec<(_, Vec<RawFrame>)> =
        process.reader.threads().map(|thread| (thread.header, thread.stack.to_vec())).collect();
    println!("thread   frames  python    catch   unwind    merge   naming   naming again  (us)");
    for (header, python) in threads {
        let tid = process.tid(header);
        let waiting = WaitingThread::open(pid, tid)?;
        let time = |work: &mut dyn FnMut()| {
            let start = Instant::now();
            (0..TURNS).for_each(|_| work());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(TURNS)
        };
        let catch = time(&mut || drop(Caught::begin(&waiting, &memory)));
        let Some(mut caught) = Caught::begin(&waiting, &memory) else { continue };
        let native = caught.unwind(&mut unwinder, &memory, Hints::default());
        let unwind = time(&mut || drop(caught.unwind(&mut unwinder, &memory, Hints::default())));
        let both = time(&mut || drop(caught.merge(&mut unwinder, &mut merger, &memory, &python, None)));
        let mut symbolizer = Symbolizer::default();
        let [naming, again] = std::array::from_fn(|_| {
            let start = Instant::now();
            for frame in &native.frames {
                symbolizer.symbols(&unwinder, frame);
            }
            start.elapsed().as_secs_f64() * 1e6
        });
        println!(
            "{tid:<8} {:>6} {:>7} {catch:>8.2} {unwind:>8.2} {:>8.2} {naming:>8.0} {again:>14.1}",
            native.frames.len(),
            python.len(),
            both - unwind
        );
    }
    Ok(())
}
