//! Records as the kernel writes them (`enum perf_event_type`). They come from the kernel, so they are well-formed; they
//! are bounded all the same.

use super::attributes::{Contents, REGISTERS};

/// `PERF_RECORD_*`
pub const LOST: u32 = 2;
pub const EXIT: u32 = 4;
pub const FORK: u32 = 7;
pub const SAMPLE: u32 = 9;
pub const LOST_SAMPLES: u32 = 13;
pub const SWITCH: u32 = 14;

/// `PERF_RECORD_MISC_SWITCH_OUT`, `PERF_RECORD_MISC_SWITCH_OUT_PREEMPT`
const LEAVES: u16 = 1 << 13;
const STAYS_READY: u16 = 1 << 14;

/// `PERF_CONTEXT_MAX`: from here on an entry of a call chain is a mark, no address.
const CONTEXT_MARKS: u64 = (-4095_i64) as u64;
/// Most frames of a kernel stack that are kept.
const MAX_CHAIN: usize = 256;
/// Number of registers in a record.
pub const REGISTER_COUNT: usize = REGISTERS.count_ones() as usize;

/// One interrupt of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interrupt {
    /// The event's number
    pub event: u64,
    /// Instruction at the interrupt, in the kernel or in the program
    pub ip: u64,
    /// Process, as our pid namespace counts it
    pub pid: i32,
    /// Thread, as our pid namespace counts it
    pub tid: i32,
    /// `CLOCK_MONOTONIC` in ns
    pub time: u64,
    /// CPU it ran on
    pub cpu: u32,
    /// CPU time it stands for, in ns
    pub period: u64,
    /// The kernel's frames, leaf first; empty when the program itself was interrupted
    pub kernel: Vec<u64>,
    /// The program's registers in the order of [`REGISTERS`]; `None` for a thread without a user side, or unasked
    pub registers: Option<[u64; REGISTER_COUNT]>,
    /// The program's stack from its stack pointer on
    pub stack: Vec<u8>,
}

/// A thread that was started or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// The thread
    pub tid: i32,
    /// The thread that started it
    pub parent: i32,
    /// `CLOCK_MONOTONIC` in ns
    pub time: u64,
}

/// A thread that has left its CPU, or has one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The event's number
    pub event: u64,
    /// Thread, as our pid namespace counts it
    pub tid: i32,
    /// `CLOCK_MONOTONIC` in ns
    pub time: u64,
    /// It left, and whether it could have gone on; `None`: it has a CPU again
    pub leaves: Option<bool>,
}

/// Reads words off a record.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// From the start of what follows a header.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    /// The next 64 bits.
    pub fn long(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_ne_bytes)
    }

    /// The next 32 bits.
    pub fn int(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_ne_bytes)
    }
}

impl Interrupt {
    /// From a sample of an event that holds `contents`.
    #[must_use]
    pub fn parse(bytes: &[u8], contents: Contents) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut sample = Self {
            event: cursor.long()?,
            ip: cursor.long()?,
            pid: cursor.int()? as i32,
            tid: cursor.int()? as i32,
            time: cursor.long()?,
            cpu: (cursor.int()?, cursor.int()?).0,
            period: cursor.long()?,
            ..Self::default()
        };
        if contents.kernel {
            let count = usize::try_from(cursor.long()?).ok()?;
            let chain = cursor.bytes(count.checked_mul(8)?)?.chunks_exact(8);
            let addresses = chain.map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
            sample.kernel = addresses.filter(|address| *address < CONTEXT_MARKS).take(MAX_CHAIN).collect();
        }
        if contents.registers {
            // `PERF_SAMPLE_REGS_ABI_64`: a 32-bit program's registers are of no use.
            let abi = cursor.long()?;
            if abi != 0 {
                let mut registers = [0; REGISTER_COUNT];
                for register in &mut registers {
                    *register = cursor.long()?;
                }
                sample.registers = (abi == 2).then_some(registers);
            }
        }
        if contents.stack {
            let size = usize::try_from(cursor.long()?).ok()?;
            if size > 0 {
                let bytes = cursor.bytes(size)?;
                let used = usize::try_from(cursor.long()?).ok()?;
                sample.stack = bytes[..used.min(size)].to_vec();
            }
        }
        Some(sample)
    }
}

/// What a BPF program has written: the number of the event, and its bytes.
#[must_use]
pub fn raw(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let event = cursor.long()?;
    let _ids = cursor.long()?;
    let _time = cursor.long()?;
    let size = cursor.int()? as usize;
    Some((event, cursor.bytes(size)?))
}

impl Task {
    /// From a `FORK` or `EXIT` record.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let _processes = cursor.long()?;
        let (tid, parent) = (cursor.int()? as i32, cursor.int()? as i32);
        Some(Self { tid, parent, time: cursor.long()? })
    }
}

impl Switch {
    /// From a `SWITCH` record with its `misc`: no contents, only what `SAMPLE_ID_ALL` adds.
    #[must_use]
    pub fn parse(misc: u16, bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let _process = cursor.int()?;
        let (tid, time, _cpu, event) = (cursor.int()? as i32, cursor.long()?, cursor.long()?, cursor.long()?);
        let leaves = (misc & LEAVES != 0).then_some(misc & STAYS_READY != 0);
        Some(Self { event, tid, time, leaves })
    }
}

/// The number of the event whose sample this is.
#[must_use]
pub fn event(bytes: &[u8]) -> Option<u64> {
    Cursor::new(bytes).long()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Contents = Contents { registers: true, stack: true, kernel: true };

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn a_sample_is_taken_apart() {
        let mut bytes = words(&[7, 0x1234, 5 << 32 | 4, 99, 1, 1000]);
        bytes.extend(words(&[3, (-128_i64) as u64, 0xffff_ffff_8000_0000, 0xffff_ffff_8000_0010]));
        bytes.extend(words(&[2]));
        bytes.extend(words(&(0..REGISTER_COUNT as u64).collect::<Vec<_>>()));
        bytes.extend(words(&[16, 0xaa, 0xbb, 8]));
        let sample = Interrupt::parse(&bytes, ALL).unwrap();
        assert_eq!((sample.event, sample.ip, sample.pid, sample.tid), (7, 0x1234, 4, 5));
        assert_eq!((sample.time, sample.cpu, sample.period), (99, 1, 1000));
        assert_eq!(sample.kernel, [0xffff_ffff_8000_0000, 0xffff_ffff_8000_0010]);
        assert_eq!(sample.registers.unwrap()[2], 2);
        assert_eq!(sample.stack, 0xaa_u64.to_ne_bytes());
        for len in 0..bytes.len() {
            assert_eq!(Interrupt::parse(&bytes[..len], ALL), None, "{len}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut bytes = words(&[7, 0x1234, 5, 99, 1, 1000]);
        bytes.extend(words(&[u64::MAX]));
        assert_eq!(Interrupt::parse(&bytes, ALL), None);
        assert_eq!(raw(&words(&[1, 2, 3, 0xffff])), None);
    }

    #[test]
    fn switches_are_told_apart() {
        let bytes = words(&[5 << 32 | 4, 99, 1, 7]);
        let switch = |misc| Switch::parse(misc, &bytes).unwrap();
        assert_eq!(switch(0), Switch { event: 7, tid: 5, time: 99, leaves: None });
        assert_eq!(switch(LEAVES).leaves, Some(false));
        assert_eq!(switch(LEAVES | STAYS_READY).leaves, Some(true));
        assert_eq!(Switch::parse(0, &bytes[..31]), None);
    }
}
