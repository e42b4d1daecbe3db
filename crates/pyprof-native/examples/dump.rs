//! Prints all threads of a process down to the kernel: `cargo run --example dump -- PID`.

use pyprof_native::dump::{DumpOptions, take};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::env::args().nth(1).ok_or("a pid")?.parse()?;
    let snapshot = take(pid, DumpOptions { locals: false, native: true, kernel: true })?;
    for thread in snapshot.threads {
        println!("{} {} {:?}", thread.tid, thread.name, thread.native);
        for frame in thread.frames {
            println!(
                "  {:?} {} {}:{} {}",
                frame.kind, frame.qualified_name, frame.file, frame.line, frame.module
            );
        }
    }
    Ok(())
}
