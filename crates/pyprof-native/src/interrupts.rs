//! The two halves of one interrupt: what the kernel says of the thread, and what the walker read of Python in it.

use std::io;

use nix::libc;
use pyprof_core::attach::Attached;
use pyprof_core::python::frame::FrameDecoder;
use pyprof_core::python::stack::thread::Header;
use rustc_hash::FxHashMap;

use crate::bpf::{Gil, Walk, Walker};
use crate::perf::{Brought, Clock, Interrupt, Wanted, cpus};

/// The walker ends some 3 us before the kernel writes its own record. More than this between the two, in ns, and they
/// belong to two interrupts, of which one half each was lost.
const SAME_INTERRUPT: u64 = 200_000;

/// One interrupt of one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The kernel's half
    pub interrupt: Interrupt,
    /// Python's half; `None` without a walker, and when it was lost
    pub walk: Option<Walk>,
}

/// The interrupts of all threads of a process.
#[derive(Debug)]
pub struct Interrupts {
    clock: Clock,
    walker: Option<Walker>,
    decoder: FrameDecoder,
    /// The walk whose interrupt has not come yet, by CPU
    pending: FxHashMap<u32, Walk>,
    /// Inner thread ids that the walker knows, and the state of each
    known: FxHashMap<u32, (u64, Header)>,
    lost: u64,
}

impl Interrupts {
    /// Starts the clocks of every thread of `process`, with the walker if `walk`.
    pub fn start(process: &mut Attached, wanted: Wanted, walk: bool) -> io::Result<Self> {
        let mut clock = Clock::new(process.handle.pid(), wanted)?;
        let walker = if walk {
            let pthread_tid = process.pthread_tid().unwrap_or(0);
            let walker = Walker::load(process, cpus::possible(), pthread_tid)?;
            clock.open_outputs(|cpu, event| walker.write_to(cpu, event))?;
            Some(walker)
        } else {
            None
        };
        let mut interrupts = Self {
            clock,
            walker,
            decoder: FrameDecoder::new(process.reader.layout()),
            pending: FxHashMap::default(),
            known: FxHashMap::default(),
            lost: 0,
        };
        interrupts.learn_threads(process)?;
        interrupts.cover()?;
        Ok(interrupts)
    }

    /// Tells the walker which thread has which state, as the last look at the process saw it.
    pub fn learn_threads(&mut self, process: &mut Attached) -> io::Result<()> {
        let Some(walker) = &self.walker else { return Ok(()) };
        let mut seen = Vec::new();
        for look in process.reader.threads().filter(|look| look.header.python_id != 0) {
            seen.push((look.address, look.interpreter, look.header));
        }
        let mut now = FxHashMap::default();
        for (state, interpreter, header) in seen {
            let Some(tid) = process.inner_tid(header) else { continue };
            if now.insert(tid, (state, header)).is_some() || self.known.get(&tid) == Some(&(state, header)) {
                continue;
            }
            let interpreters = process.reader.interpreters();
            let gil = Gil::of(process, interpreters.get(interpreter).map_or(0, |(address, _)| *address));
            walker.set_thread(process, tid, state, header, gil)?;
        }
        for tid in self.known.keys().filter(|tid| !now.contains_key(tid)) {
            walker.forget_thread(*tid)?;
        }
        self.known = now;
        Ok(())
    }

    /// Gives threads that have no clock one.
    pub fn cover(&mut self) -> io::Result<()> {
        self.clock.cover(self.walker.as_ref().map(Walker::program))
    }

    /// What has come since the last time, in order of time.
    pub fn take(&mut self) -> Vec<Interrupted> {
        let mut taken = Vec::new();
        let (pending, decoder, lost) = (&mut self.pending, &self.decoder, &mut self.lost);
        let must_look = self.clock.read(|cpu, brought| match brought {
            Brought::Walk(bytes) => {
                let goes_on = pending.get_mut(&cpu).is_some_and(|walk| walk.go_on(bytes, decoder));
                if !goes_on {
                    pending.remove(&cpu);
                    if let Some(walk) = Walk::begin(bytes, decoder) {
                        pending.insert(cpu, walk);
                    }
                }
            }
            Brought::Interrupt(interrupt) => {
                let walk = pending.remove(&cpu).map(|mut walk| {
                    walk.end();
                    walk
                });
                let walk = walk.filter(|walk| interrupt.time.abs_diff(walk.time) < SAME_INTERRUPT);
                taken.push(Interrupted { interrupt: *interrupt, walk });
            }
            Brought::Lost(count) => *lost += count,
        });
        if must_look {
            // A thread that cannot be covered is one whose time comes from looks.
            let _ = self.cover();
        }
        taken.sort_by_key(|one: &Interrupted| one.interrupt.time);
        taken
    }

    /// Records that did not fit into the rings so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the walker runs.
    #[must_use]
    pub fn walks(&self) -> bool {
        self.walker.is_some()
    }

    /// Whether the running time of the kernel thread `tid` comes from here.
    #[must_use]
    pub fn covers(&self, tid: i32) -> bool {
        self.clock.covers(tid)
    }

    /// How many threads have no clock, for want of descriptors.
    #[must_use]
    pub fn uncovered(&self) -> usize {
        self.clock.uncovered()
    }
}

/// Whether an error means that the kernel or its rules do not allow it, rather than that the target moved.
#[must_use]
pub fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EOPNOTSUPP))
}
