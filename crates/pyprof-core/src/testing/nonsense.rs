//! Looks at arbitrary bytes as if they were a process: for the fuzz target, and for tests with fixed seeds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::FakeMemory;
use crate::memory::{Piece, RemoteMemory};
use crate::python::code::read_code;
use crate::python::code_cache::{CodeCache, Generation};
use crate::python::layout::{CounterField, InstanceValues, Layout, for_runtime};
use crate::python::locals::locals;
use crate::python::located::{LocatedRuntime, Version};
use crate::python::reader::ProcessReader;
use crate::python::thread_names::thread_names;

/// Where everything lies that is neither a type nor unmapped.
const BASE: u64 = 0x10_0000;
const WORDS: usize = 1 << 14;
/// Types, so that objects can be of a known one.
const TYPES: u64 = 0x1_0000;
const TYPE_SIZE: u64 = 1024;
const NAMES: [&str; 12] =
    ["NoneType", "bool", "int", "str", "bytes", "list", "tuple", "dict", "set", "cell", "module", "Thread"];
/// The memory is another one after this many reads, and again after as many more.
const CHANGES_EVERY: usize = 7;
/// After this many reads the process is gone, so that a loop without end is found rather than waited for.
const MAX_READS: usize = 1 << 20;
/// Looks at the process.
const LOOKS: usize = 4;

/// How much was asked of the memory.
#[derive(Debug, Default)]
pub struct Work {
    reads: AtomicUsize,
    largest: AtomicUsize,
}

impl Work {
    /// Number of calls.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// Most bytes asked for at once.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    /// Somebody read on and on: a list that goes round and is not noticed.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.reads() >= MAX_READS
    }
}

/// Memory that is now one, now another.
struct Changing {
    moments: [FakeMemory; 2],
    work: Arc<Work>,
}

impl RemoteMemory for Changing {
    fn read_pieces(&self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<usize> {
        let reads = self.work.reads.fetch_add(1, Ordering::Relaxed);
        self.work.largest.fetch_max(buf.len(), Ordering::Relaxed);
        if reads >= MAX_READS {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        self.moments[reads / CHANGES_EVERY % 2].read_pieces(pieces, buf)
    }
}

/// Three bytes make a word: where it leads, or what it counts.
fn word(bytes: &[u8]) -> u64 {
    let number = u64::from(u16::from_le_bytes([bytes[1], bytes[2]]));
    match bytes[0] % 8 {
        0..=2 => BASE + number % WORDS as u64 * 8,
        3 => TYPES + number % NAMES.len() as u64 * TYPE_SIZE,
        4 => 0,
        5 => number,
        6 => number << 8,
        _ => number << 48 | u64::from(bytes[0]) << 32 | number,
    }
}

/// The memory that `bytes` describe, repeated until all of it is full.
fn memory(layout: &Layout, bytes: &[u8]) -> FakeMemory {
    let objects = &layout.objects;
    let mut types = vec![0; NAMES.len() * TYPE_SIZE as usize];
    for (index, name) in NAMES.iter().enumerate() {
        let at = index * TYPE_SIZE as usize;
        // A type's name lies behind it; where a layout has its field there too, there is none.
        if let Some(field) =
            types.get_mut(at + objects.type_name as usize..).and_then(|rest| rest.get_mut(..8))
        {
            field.copy_from_slice(&(TYPES + at as u64 + 960).to_le_bytes());
        }
        types[at + 960..at + 960 + name.len()].copy_from_slice(name.as_bytes());
    }
    let words = bytes.chunks_exact(3).map(word).cycle().take(WORDS);
    let mut memory = FakeMemory::default();
    memory.map(TYPES, types);
    memory.map(BASE, words.flat_map(u64::to_le_bytes).collect());
    memory
}

/// A table, what the bytes say when they are debug offsets, or a table with the traits of 3.14 and later.
fn layout(choice: u8, bytes: &[u8]) -> Option<Layout> {
    let minor = 8 + choice % 8;
    let version = Version { major: 3, minor, micro: None, level: 0 };
    let runtime =
        LocatedRuntime { address: BASE, size: None, version, file: String::new(), found_by: "symbol" };
    let mut table = b"xdebugpy".to_vec();
    table.extend(u64::from(0x0300_00f0 | u32::from(minor) << 16).to_le_bytes());
    table.extend(u64::from(choice >> 7).to_le_bytes());
    // Offsets are small numbers, most of them multiples of eight.
    table.extend(
        bytes
            .iter()
            .cycle()
            .take(bytes.len().min(1) * 4096)
            .flat_map(|byte| (u64::from(*byte) * 8).to_le_bytes()),
    );
    let mut memory = FakeMemory::default();
    memory.map(BASE, table);
    for_runtime(&memory, 1, &runtime).ok().or_else(|| {
        let version = Version { minor: 12, ..version };
        let mut newest = for_runtime(&memory, 1, &LocatedRuntime { version, ..runtime }).ok()?;
        newest.version = (3, minor);
        newest.frame.tagged = true;
        newest.objects.instance.values = InstanceValues::Inline(3);
        newest.objects.instance.values_items = 8;
        newest.thread.frame_root = crate::python::layout::FrameRoot::CurrentFrame(newest.thread.interp + 8);
        // Half of them without the GIL, where each thread has its own instructions.
        newest.free_threaded = choice >> 7 == 1;
        newest.code.tlbc = newest.free_threaded.then_some(40);
        newest.interpreter.tlbc_generation = newest.free_threaded.then_some(24);
        Some(newest)
    })
}

/// Looks at the process that `bytes` describe, several times: its threads, stacks, functions, variables and
/// names. The first byte chooses the layout.
#[must_use]
pub fn look_at(bytes: &[u8]) -> Arc<Work> {
    let work = Arc::new(Work::default());
    let Some((&choice, bytes)) = bytes.split_first().filter(|(_, rest)| rest.len() >= 3) else { return work };
    let Some(layout) = layout(choice, bytes) else { return work };
    // The second memory is the first, three bytes later: most of what was found is somewhere else.
    let moments = [memory(&layout, bytes), memory(&layout, &bytes[3.min(bytes.len() - 3)..])];
    let changing = Changing { moments, work: Arc::clone(&work) };
    let mut reader = ProcessReader::new(Box::new(changing), layout, BASE);
    let mut codes = CodeCache::default();
    for look in 0..LOOKS {
        if reader.look(|address| look == 2 && address % 16 == 0).is_err() {
            continue;
        }
        let stacks: Vec<_> = reader.threads().take(4).map(|thread| thread.stack.to_vec()).collect();
        let (memory, layout) = (reader.memory(), reader.layout());
        for stack in stacks {
            let frames: Vec<_> = stack.iter().filter(|frame| !frame.is_marker()).take(64).collect();
            let counter = (look % 2 == 0).then_some(Generation {
                field: CounterField { offset: 16, width: 4 },
                interpreter: BASE,
                before: look as u64,
                after: look as u64,
            });
            let _ = codes.refresh(memory, layout, counter, frames.iter().map(|frame| frame.code));
            let placed = frames.iter().map(|frame| (frame.code, frame.instruction));
            codes.learn_copies(memory, layout, look as u64, placed);
            for frame in &frames {
                if let Some(code) = codes.get(frame.code).and_then(|known| known.code.as_ref()) {
                    let _ = code.position(frame.instruction);
                }
            }
            for frame in frames.iter().take(2) {
                let _ = locals(memory, layout, frame.code, frame.address);
            }
        }
        for (interpreter, _) in reader.interpreters().iter().take(2) {
            let _ = thread_names(memory, layout, *interpreter);
        }
        let _ = read_code(memory, layout, BASE + 64 * look as u64);
        if reader.interpreters().is_empty() {
            break;
        }
    }
    work
}

#[cfg(test)]
mod tests {
    use super::*;

    /// xorshift64*: the same bytes for ever.
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn a_few_hundred_processes_of_noise() {
        let mut reads = 0;
        for seed in 0..400 {
            let bytes = noise(seed, 40 + seed as usize * 7);
            let work = look_at(&bytes);
            assert!(!work.is_endless(), "seed {seed}");
            assert!(work.largest() <= 1 << 30, "seed {seed}: {}", work.largest());
            reads += work.reads();
        }
        assert!(reads > 10_000, "nothing was looked at: {reads}");
    }
}
