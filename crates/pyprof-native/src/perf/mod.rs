//! Interrupts of threads by their own CPU clock, without stopping them: perf events.

mod attributes;
pub mod cpus;
mod events;
mod record;
mod registers;
mod ring;
mod sys;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use attributes::Kind;
pub use attributes::{REGISTERS, Wanted};
use events::{Events, Setup};
use record::{EXIT, FORK, LOST, LOST_SAMPLES, SAMPLE, SWITCH, Task, raw};
pub use record::{Interrupt, REGISTER_COUNT, Switch};
use ring::Ring;
use sys::Event;

/// What a ring brought, in the order of each CPU.
#[derive(Debug)]
pub enum Brought<'a> {
    /// The bytes of a BPF program; the interrupt that belongs to them follows
    Walk(&'a [u8]),
    /// An interrupt
    Interrupt(Box<Interrupt>),
    /// A thread at the point of leaving its CPU; the switch follows
    Leaving(Box<Interrupt>),
    /// A thread has left its CPU, or has one again
    Switch(Switch),
    /// A thread has ended, at this time
    Ended(i32, u64),
    /// That many records did not fit into the ring
    Lost(u64),
}

/// The interrupts of all threads of a process.
#[derive(Debug)]
pub struct Clock {
    wanted: Wanted,
    rings: Vec<(u32, Ring)>,
    outputs: Vec<(u64, Event)>,
    events: Events,
}

impl Clock {
    /// Rings only; nothing is interrupted before [`Clock::cover`].
    pub fn new(pid: i32, wanted: Wanted) -> io::Result<Self> {
        let cpus = cpus::online();
        let mut rings = Vec::with_capacity(cpus.len());
        for cpu in &cpus {
            rings.push((*cpu, Ring::new(*cpu as i32, cpus.len(), wanted.switches)?));
        }
        Ok(Self { wanted, rings, outputs: Vec::new(), events: Events::new(pid) })
    }

    /// Lets a BPF program write into the rings: `each` gets the event of every CPU.
    pub fn open_outputs(
        &mut self,
        mut each: impl FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for (cpu, ring) in &self.rings {
            let event = Event::open(&attributes::bpf_output(), -1, *cpu as i32)?;
            event.write_to(ring.owner())?;
            event.enable()?;
            each(*cpu, event.fd())?;
            self.outputs.push((event.id()?, event));
        }
        Ok(())
    }

    /// Starts the clocks of all threads that have none yet. `program` runs at each interrupt.
    pub fn cover(&mut self, program: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.events.cover(Setup { wanted: self.wanted, program }, &self.rings)
    }

    /// Hands over what has come, CPU by CPU. True when threads may be there that have no clock yet.
    pub fn read(&mut self, mut each: impl FnMut(u32, Brought<'_>)) -> bool {
        let (events, outputs, wanted) = (&mut self.events, &self.outputs, self.wanted);
        for (cpu, ring) in &mut self.rings {
            ring.read(|kind, misc, bytes| match kind {
                SAMPLE => {
                    let output = raw(bytes).filter(|(event, _)| outputs.iter().any(|(id, _)| id == event));
                    if let Some((_, bytes)) = output {
                        each(*cpu, Brought::Walk(bytes));
                    } else if let Some(kind) = record::event(bytes).and_then(|event| events.kind(event))
                        && let Some(interrupt) = Interrupt::parse(bytes, wanted.contents(kind))
                        && events.accept(interrupt.tid, interrupt.event)
                    {
                        let interrupt = Box::new(interrupt);
                        each(
                            *cpu,
                            match kind {
                                Kind::Clock => Brought::Interrupt(interrupt),
                                Kind::Switch => Brought::Leaving(interrupt),
                            },
                        );
                    }
                }
                SWITCH => {
                    if let Some(switch) = Switch::parse(misc, bytes)
                        && events.accept(switch.tid, switch.event)
                    {
                        each(*cpu, Brought::Switch(switch));
                    }
                }
                LOST => {
                    let lost = bytes.get(8..16).and_then(|word| word.try_into().ok()).map(u64::from_ne_bytes);
                    each(*cpu, Brought::Lost(lost.unwrap_or(1)));
                }
                LOST_SAMPLES => {
                    let lost = bytes.get(..8).and_then(|word| word.try_into().ok()).map(u64::from_ne_bytes);
                    each(*cpu, Brought::Lost(lost.unwrap_or(1)));
                }
                FORK => {
                    if let Some(task) = Task::parse(bytes) {
                        events.started(task);
                    }
                }
                EXIT => {
                    if let Some(task) = Task::parse(bytes) {
                        events.ended(task.tid);
                        each(*cpu, Brought::Ended(task.tid, task.time));
                    }
                }
                _ => {}
            });
        }
        self.events.must_look()
    }

    /// Threads that got events of their own since the last time, and when: from then on nothing of them is missed.
    pub fn take_met(&mut self) -> Vec<(i32, u64)> {
        self.events.take_met()
    }

    /// Whether this thread's running time comes from here.
    #[must_use]
    pub fn covers(&self, tid: i32) -> bool {
        self.events.covers(tid)
    }

    /// How many threads have no clock, for want of descriptors.
    #[must_use]
    pub fn uncovered(&self) -> usize {
        self.events.uncovered()
    }
}

/// `CLOCK_MONOTONIC` in ns, which is the records' clock.
#[must_use]
pub fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC);
    time.map_or(0, |time| Duration::from(time).as_nanos() as u64)
}
