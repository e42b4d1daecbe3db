//! The walker in the kernel: reads the Python frames of a thread at its own interrupt, so that they cannot be torn.

mod config;
mod object;
mod record;
mod sys;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use pyprof_core::attach::Attached;
use pyprof_core::python::stack::thread::Header;

pub use config::Gil;
pub use object::embedded;
pub use record::Walk;
use sys::{Map, MapKind, Program};

/// Threads that the walker knows at once; it finds those beyond by itself.
const MAX_THREADS: u32 = 8192;
/// `struct scratch` in walker.c.
const SCRATCH: usize = 56 + 0x8000 + 128;

/// Whether this build has the walker.
#[must_use]
pub fn is_built_in() -> bool {
    embedded().is_some()
}

/// A walker that knows one process.
#[derive(Debug)]
pub struct Walker {
    program: Program,
    threads: Map,
    rings: Map,
    /// Kept because the programs use them
    _kept: (Program, [Map; 3]),
}

impl Walker {
    /// Loads it for `process`. `cpus`: one more than the highest number of a CPU. `pthread_tid`: where libc keeps the
    /// kernel's thread id, 0 when unknown.
    pub fn load(process: &Attached, cpus: u32, pthread_tid: u64) -> io::Result<Self> {
        let object = embedded().ok_or_else(object::not_in_this_build)?;
        let configs = Map::new(MapKind::Array, 4, config::CONFIG_BYTES, 1)?;
        let threads = Map::new(MapKind::Hash, 4, config::THREAD_BYTES, MAX_THREADS)?;
        let scratches = Map::new(MapKind::Array, 4, SCRATCH, cpus)?;
        let rings = Map::new(MapKind::PerfEvents, 4, 4, cpus)?;
        let programs = Map::new(MapKind::Programs, 4, 4, 1)?;
        configs.set(&0_u32.to_ne_bytes(), &config::config(process, pthread_tid)?)?;
        let fd = |name: &str| {
            let map = match name {
                "configs" => &configs,
                "threads" => &threads,
                "scratches" => &scratches,
                "rings" => &rings,
                "programs" => &programs,
                _ => return None,
            };
            Some(map.as_raw_fd())
        };
        let more = Program::load("pyprof_more", &object::instructions(object, "program/more", fd)?)?;
        let program = Program::load("pyprof_walk", &object::instructions(object, "program/walk", fd)?)?;
        programs.set(&0_u32.to_ne_bytes(), &more.fd().as_raw_fd().to_ne_bytes())?;
        Ok(Self { program, threads, rings, _kept: (more, [configs, scratches, programs]) })
    }

    /// Where the walker on `cpu` writes: an event of type `BPF_OUTPUT` on that CPU.
    pub fn write_to(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        self.rings.set(&cpu.to_ne_bytes(), &event.as_raw_fd().to_ne_bytes())
    }

    /// The kernel thread `tid` (as the target counts it) has this thread state.
    pub fn set_thread(
        &self,
        process: &Attached,
        tid: u32,
        state: u64,
        header: Header,
        gil: Gil,
    ) -> io::Result<()> {
        let thread = config::thread(process.reader.layout(), state, header, gil);
        self.threads.set(&tid.to_ne_bytes(), &thread)
    }

    /// The kernel thread `tid` has ended.
    pub fn forget_thread(&self, tid: u32) -> io::Result<()> {
        self.threads.remove(&tid.to_ne_bytes())
    }

    /// The program, to be attached to events.
    #[must_use]
    pub fn program(&self) -> BorrowedFd<'_> {
        self.program.fd()
    }
}
