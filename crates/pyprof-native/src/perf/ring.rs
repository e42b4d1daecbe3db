//! The ring of one CPU, read record by record.

use std::io;

use super::attributes::ring_owner;
use super::sys::{Event, Mapping};

/// Largest and smallest ring that is tried, in bytes. The largest one takes 60 interrupts with their stacks; switches can
/// come much faster than a clock.
const LARGEST: usize = 4 << 20;
const LARGEST_WITH_SWITCHES: usize = 8 << 20;
const SMALLEST: usize = 64 << 10;
/// All rings together, in bytes.
const ALL: usize = 64 << 20;

/// `struct perf_event_header`
const HEADER: usize = 8;

/// Records of one CPU.
#[derive(Debug)]
pub struct Ring {
    owner: Event,
    mapping: Mapping,
    tail: u64,
    record: Vec<u8>,
}

impl Ring {
    /// Makes the ring of `cpu`, one of `cpus`, as large as the rights to lock memory allow. `switches`: context switches
    /// go into it too.
    pub fn new(cpu: i32, cpus: usize, switches: bool) -> io::Result<Self> {
        // Of our own thread: rings outlive the threads that are looked at.
        let owner = Event::open(&ring_owner(), 0, cpu)?;
        let largest = if switches { LARGEST_WITH_SWITCHES } else { LARGEST };
        let mut bytes = largest.min((ALL / cpus.max(1)).next_power_of_two()).max(SMALLEST);
        loop {
            match Mapping::new(&owner, bytes) {
                Ok(mapping) => return Ok(Self { owner, mapping, tail: 0, record: Vec::new() }),
                Err(_) if bytes > SMALLEST => bytes /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// The event whose ring this is: others write to it too.
    #[must_use]
    pub fn owner(&self) -> &Event {
        &self.owner
    }

    /// Hands every record there is to `each`: its type, its `misc` and what follows the header.
    pub fn read(&mut self, mut each: impl FnMut(u32, u16, &[u8])) {
        let head = self.mapping.head();
        // More than a ring full is nonsense: start again behind it.
        if head.wrapping_sub(self.tail) > self.mapping.len() as u64 {
            self.tail = head;
        }
        while head.wrapping_sub(self.tail) >= HEADER as u64 {
            let mut header = [0; HEADER];
            self.mapping.copy(self.tail, &mut header);
            let [k0, k1, k2, k3, m0, m1, s0, s1] = header;
            let size = u16::from_ne_bytes([s0, s1]);
            if usize::from(size) < HEADER || u64::from(size) > head.wrapping_sub(self.tail) {
                self.tail = head;
                break;
            }
            self.record.resize(usize::from(size) - HEADER, 0);
            self.mapping.copy(self.tail + HEADER as u64, &mut self.record);
            self.tail += u64::from(size);
            self.mapping.set_tail(self.tail);
            each(u32::from_ne_bytes([k0, k1, k2, k3]), u16::from_ne_bytes([m0, m1]), &self.record);
        }
        self.mapping.set_tail(self.tail);
    }
}
