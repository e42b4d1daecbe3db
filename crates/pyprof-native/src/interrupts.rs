//! The two halves of one interrupt: what the kernel says of the thread, and what the walker read of Python in it. And
//! what happened to each thread between its interrupts, in order.

use std::io;

use nix::libc;
use pyprof_core::attach::Attached;
use pyprof_core::python::frame::FrameDecoder;
use pyprof_core::python::stack::thread::Header;
use pyprof_core::sampler::engine::What;
use rustc_hash::FxHashMap;

use crate::bpf::{Gil, Walk, Walker};
use crate::perf::{Brought, Clock, Interrupt, Switch, Wanted, cpus, monotonic};

/// The walker ends some 3 us before the kernel writes its own record. More than this between the two, in ns, and they
/// belong to two interrupts, of which one half each was lost.
const SAME_INTERRUPT: u64 = 200_000;
/// The same for a thread that leaves its CPU and the switch, which nothing comes between: a virtual machine can stand
/// still there.
const SAME_SWITCH: u64 = 50_000_000;

/// One moment of one thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interrupted {
    /// What happened
    pub what: What,
    /// The kernel's half; only of those that ran or left more than the thread and the time
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
    /// The thread at the point of leaving each CPU, whose switch has not come yet
    leaving: FxHashMap<u32, Interrupted>,
    /// What came while the rings were read: what was before it may be in a ring that had been read already
    later: Vec<Interrupted>,
    switches: bool,
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
            leaving: FxHashMap::default(),
            later: Vec::new(),
            switches: wanted.switches,
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
        let horizon = monotonic();
        let mut taken = std::mem::take(&mut self.later);
        let (pending, decoder, lost) = (&mut self.pending, &self.decoder, &mut self.lost);
        let (leaving, switches) = (&mut self.leaving, self.switches);
        // The time of the last record of each CPU: what was lost was lost behind it.
        let mut last = FxHashMap::default();
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
                last.insert(cpu, interrupt.time);
                taken.push(joined(*interrupt, pending.remove(&cpu)));
            }
            Brought::Leaving(interrupt) => {
                leaving.insert(cpu, joined(*interrupt, pending.remove(&cpu)));
            }
            Brought::Switch(switch) => {
                last.insert(cpu, switch.time);
                taken.push(switched(switch, leaving.remove(&cpu)));
            }
            Brought::Ended(tid, time) if switches => taken.push(moment(What::Ended, tid, time)),
            Brought::Ended(..) => {}
            Brought::Lost(count) => {
                *lost += count;
                if switches {
                    taken.push(moment(What::Lost, 0, last.get(&cpu).copied().unwrap_or(0)));
                }
            }
        });
        if switches {
            let met = self.clock.take_met().into_iter();
            taken.extend(met.map(|(tid, time)| moment(What::Met, tid, time)));
        }
        if must_look {
            // A thread that cannot be covered is one whose time comes from looks.
            let _ = self.cover();
        }
        taken.sort_by_key(|one: &Interrupted| one.interrupt.time);
        if switches {
            self.later = taken.split_off(taken.partition_point(|one| one.interrupt.time <= horizon));
        }
        taken
    }

    /// Records that did not fit into the rings so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether switches are told.
    #[must_use]
    pub fn tells_switches(&self) -> bool {
        self.switches
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

/// Both halves of an interrupt.
fn joined(interrupt: Interrupt, walk: Option<Walk>) -> Interrupted {
    let walk = walk.map(|mut walk| {
        walk.end();
        walk
    });
    let walk = walk.filter(|walk| interrupt.time.abs_diff(walk.time) < SAME_INTERRUPT);
    Interrupted { what: What::Ran, interrupt, walk }
}

/// A switch, with the stack of the thread that left if it did: the record right before it.
fn switched(switch: Switch, leaving: Option<Interrupted>) -> Interrupted {
    let Some(ready) = switch.leaves else { return moment(What::Came, switch.tid, switch.time) };
    let what = What::Left { ready };
    let stack = leaving.filter(|one| {
        one.interrupt.tid == switch.tid && switch.time.abs_diff(one.interrupt.time) < SAME_SWITCH
    });
    let Some(mut one) = stack else { return moment(what, switch.tid, switch.time) };
    (one.what, one.interrupt.time) = (what, switch.time);
    one
}

/// Something without a stack.
fn moment(what: What, tid: i32, time: u64) -> Interrupted {
    Interrupted { what, interrupt: Interrupt { tid, time, ..Interrupt::default() }, walk: None }
}

/// Whether an error means that the kernel or its rules do not allow it, rather than that the target moved.
#[must_use]
pub fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EOPNOTSUPP))
}
