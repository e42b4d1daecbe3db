//! The events on the threads of one process.
//!
//! Every thread there at the start gets an event of its own on each CPU; threads started later inherit the events of
//! the thread that starts them, so that not even their first instruction is missed. Where the kernel cannot do that
//! (before 5.13), new threads are found by looking.

use std::io;
use std::os::fd::BorrowedFd;

use nix::libc;
use rustc_hash::{FxHashMap, FxHashSet};

use super::attributes::{Kind, Wanted};
use super::record::Task;
use super::ring::Ring;
use super::sys::Event;

/// Descriptors that are left to the rest of our process.
const SPARE_DESCRIPTORS: u64 = 64;

/// What each thread's event should be and do.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// What is asked for
    pub wanted: Wanted,
    /// Run at each interrupt
    pub program: Option<BorrowedFd<'a>>,
}

/// The events of one process.
#[derive(Debug)]
pub struct Events {
    pid: i32,
    inherit: bool,
    /// Threads with events of their own
    own: FxHashMap<i32, Own>,
    /// Which thread's events an heir has
    heirs: FxHashMap<i32, i32>,
    /// Threads for which there was no descriptor left, or that ended meanwhile
    without: FxHashSet<i32>,
    /// By the number in the records
    owners: FxHashMap<u64, (i32, Kind)>,
    /// Threads that got events of their own, and when: from then on nothing of them is missed
    met: Vec<(i32, u64)>,
}

#[derive(Debug)]
struct Own {
    events: Vec<Event>,
    ids: Vec<(u64, Kind)>,
    ended: bool,
}

impl Events {
    /// No events yet.
    #[must_use]
    pub fn new(pid: i32) -> Self {
        Self {
            pid,
            inherit: true,
            own: FxHashMap::default(),
            heirs: FxHashMap::default(),
            without: FxHashSet::default(),
            owners: FxHashMap::default(),
            met: Vec::new(),
        }
    }

    /// Gives every thread that has none its events. An error only when not even one thread could get them.
    pub fn cover(&mut self, setup: Setup<'_>, rings: &[(u32, Ring)]) -> io::Result<()> {
        let mut problem = None;
        let tids = pyprof_core::process::threads::list(self.pid)?;
        self.forget_ended(&tids);
        for tid in tids {
            if self.own.contains_key(&tid) || self.heirs.contains_key(&tid) || self.without.contains(&tid) {
                continue;
            }
            match self.open(tid, setup, rings) {
                Ok(own) => {
                    self.owners.extend(own.ids.iter().map(|(id, kind)| (*id, (tid, *kind))));
                    self.own.insert(tid, own);
                }
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => {
                    self.without.insert(tid);
                    problem = Some(error);
                }
            }
        }
        match problem {
            Some(error) if self.own.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    fn open(&mut self, tid: i32, setup: Setup<'_>, rings: &[(u32, Ring)]) -> io::Result<Own> {
        let kinds: &[Kind] =
            if setup.wanted.switches { &[Kind::Clock, Kind::Switch] } else { &[Kind::Clock] };
        if !descriptors_left((kinds.len() * rings.len()) as u64) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let mut own = Own { events: Vec::with_capacity(rings.len()), ids: Vec::new(), ended: false };
        for (kind, (cpu, ring)) in kinds.iter().flat_map(|kind| rings.iter().map(move |ring| (*kind, ring))) {
            let attributes = |inherit| match kind {
                Kind::Clock => setup.wanted.clock(inherit),
                Kind::Switch => setup.wanted.switch(inherit),
            };
            let event = match Event::open(&attributes(self.inherit), tid, *cpu as i32) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && self.inherit => {
                    self.inherit = false;
                    Event::open(&attributes(false), tid, *cpu as i32)
                }
                other => other,
            };
            let event = match event {
                Ok(event) => event,
                // The CPU has been switched off.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                Err(error) => return Err(error),
            };
            event.write_to(ring.owner())?;
            if let Some(program) = setup.program {
                event.run(program)?;
            }
            own.ids.push((event.id()?, kind));
            own.events.push(event);
        }
        // What is blocked now is so until its first record says otherwise.
        self.met.push((tid, super::monotonic()));
        for event in &own.events {
            event.enable()?;
        }
        Ok(own)
    }

    /// Whether an interrupt is to be counted. A thread that was found at the same moment as it was started can have
    /// events of its own and inherited ones: then its own go.
    pub fn accept(&mut self, tid: i32, event: u64) -> bool {
        let Some(&(owner, _)) = self.owners.get(&event) else { return false };
        if owner == tid {
            return true;
        }
        self.heirs.insert(tid, owner);
        if self.own.get(&tid).is_some_and(|own| !self.heirs.values().any(|heir| *heir == tid) && !own.ended) {
            self.close(tid);
        }
        true
    }

    /// What kind of event this is.
    #[must_use]
    pub fn kind(&self, event: u64) -> Option<Kind> {
        self.owners.get(&event).map(|(_, kind)| *kind)
    }

    /// Threads that got events of their own since the last time, and when.
    pub fn take_met(&mut self) -> Vec<(i32, u64)> {
        std::mem::take(&mut self.met)
    }

    /// A thread was started.
    pub fn started(&mut self, task: Task) {
        self.without.remove(&task.tid);
        let owner = self.heirs.get(&task.parent).copied().unwrap_or(task.parent);
        if self.inherit && self.own.contains_key(&owner) {
            self.heirs.insert(task.tid, owner);
        }
    }

    /// A thread has ended.
    pub fn ended(&mut self, tid: i32) {
        self.without.remove(&tid);
        self.heirs.remove(&tid);
        if let Some(own) = self.own.get_mut(&tid) {
            own.ended = true;
        }
        self.close_unneeded();
    }

    /// How many threads have no events, for want of descriptors.
    #[must_use]
    pub fn uncovered(&self) -> usize {
        self.without.len()
    }

    /// Whether new threads must be looked for.
    #[must_use]
    pub fn must_look(&self) -> bool {
        !self.inherit
    }

    /// Whether this thread's time comes from its interrupts.
    #[must_use]
    pub fn covers(&self, tid: i32) -> bool {
        self.own.get(&tid).is_some_and(|own| !own.ended) || self.heirs.contains_key(&tid)
    }

    fn forget_ended(&mut self, alive: &[i32]) {
        let lives = |tid: &i32| alive.binary_search(tid).is_ok();
        self.heirs.retain(|tid, _| lives(tid));
        self.without.retain(lives);
        for (tid, own) in &mut self.own {
            own.ended |= !lives(tid);
        }
        self.close_unneeded();
    }

    /// Closing a thread's events takes them from its heirs as well, so they stay open while there are any.
    fn close_unneeded(&mut self) {
        let ended = self.own.iter().filter(|(_, own)| own.ended).map(|(tid, _)| *tid);
        let unneeded: Vec<i32> = ended.filter(|tid| !self.heirs.values().any(|owner| owner == tid)).collect();
        for tid in unneeded {
            self.close(tid);
        }
    }

    fn close(&mut self, tid: i32) {
        if let Some(own) = self.own.remove(&tid) {
            own.ids.iter().for_each(|(id, _)| {
                self.owners.remove(id);
            });
        }
    }
}

/// Whether `count` more descriptors can be had without starving the rest of our process.
fn descriptors_left(count: u64) -> bool {
    let Ok((soft, _)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) else {
        return true;
    };
    // Descriptors are given out lowest first, so a fresh one tells about how many there are.
    let Ok(probe) = std::fs::File::open("/dev/null") else { return false };
    let next = std::os::fd::AsRawFd::as_raw_fd(&probe) as u64;
    next + count + SPARE_DESCRIPTORS <= soft
}
