//! Lists, chunks and frames that no `CPython` would have: looking at them may not panic, go round, or ask for
//! more than a bounded amount of memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::memory::{Piece, RemoteMemory};
use crate::python::layout::{FrameRoot, Layout, all_tables, chunk};
use crate::python::reader::ProcessReader;
use crate::python::stack::thread::Outcome;
use crate::testing::FakeMemory;

const RUNTIME: u64 = 0x1_0000;
// Above 64 MiB: a pointer does not pass for the size of a chunk.
const INTERPRETERS: u64 = 0x1_0100_0000;
const INTERPRETER_SIZE: u64 = 0x8_0000;
const THREADS: u64 = 0x1_0200_0000;
const THREAD_SIZE: u64 = 0x400;
const CHUNKS: u64 = 0x1_0300_0000;
const CHUNK_SIZE: u64 = 0x800;
/// In the chunks, too.
const FRAME_SIZE: u64 = 0x80;
const HEAP: u64 = 0x1_0400_0000;
const COUNT: u64 = 4;

/// After this many reads the process is gone: a loop is found and not waited for.
const MAX_READS: usize = 1 << 17;
/// Four looks at a process of four threads and a few frames, with every correction, need far less.
const ENOUGH_READS: usize = 1 << 15;

struct Counting {
    inner: FakeMemory,
    reads: Arc<AtomicUsize>,
}

impl RemoteMemory for Counting {
    fn read_pieces(&self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= MAX_READS {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        self.inner.read_pieces(pieces, buf)
    }
}

/// Any address that means something, and some that do not.
fn pointer() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0..COUNT).prop_map(|index| INTERPRETERS + index * INTERPRETER_SIZE),
        8 => (0..COUNT).prop_map(|index| THREADS + index * THREAD_SIZE),
        8 => (0..COUNT).prop_map(|index| CHUNKS + index * CHUNK_SIZE),
        16 => (0..COUNT * 16).prop_map(|index| CHUNKS + index * FRAME_SIZE + chunk::DATA),
        16 => (0..32u64).prop_map(|index| HEAP + index * FRAME_SIZE),
        8 => Just(0),
        2 => (0..512u64).prop_map(|below| u64::MAX - 7 - below * 8),
        1 => any::<u64>(),
    ]
}

/// What a chunk says of its own size.
fn size() -> impl Strategy<Value = u64> {
    // Megabytes are believed, so they are rare here: filling the buffer for them takes its time.
    prop_oneof![80 => Just(CHUNK_SIZE), 10 => 0u64..100, 1 => 0u64..(80 << 20), 9 => any::<u64>()]
}

/// A process: where its pointers lead.
#[derive(Debug, Clone)]
struct World {
    pointers: Vec<u64>,
    sizes: Vec<u64>,
    bytes: Vec<u8>,
    /// Lists of interpreters and threads as they should be, so that the rest is reached
    sound_lists: bool,
    /// The same for the chunks
    sound_chunks: bool,
}

fn world(sound_lists: bool, sound_chunks: bool) -> impl Strategy<Value = World> {
    (
        prop::collection::vec(pointer(), 64),
        prop::collection::vec(size(), COUNT as usize),
        prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => 0u8..6, 1 => any::<u8>()], 32),
    )
        .prop_map(move |(pointers, sizes, bytes)| World {
            pointers,
            sizes,
            bytes,
            sound_lists,
            sound_chunks,
        })
}

fn memory(layout: &Layout, world: &World) -> FakeMemory {
    let mut next = world.pointers.iter().copied().cycle();
    let mut pointer = || next.next().unwrap_or(0);
    let mut memory = FakeMemory::default();
    let interpreters_len = COUNT * INTERPRETER_SIZE;
    for (start, len) in [
        (RUNTIME, 0x1_0000),
        (INTERPRETERS, interpreters_len),
        (THREADS, COUNT * THREAD_SIZE),
        (CHUNKS, COUNT * CHUNK_SIZE + FRAME_SIZE),
        (HEAP, 33 * FRAME_SIZE),
    ] {
        memory.map(start, vec![0; len as usize]);
    }
    memory.write_u64(RUNTIME + layout.runtime.interpreters_head, INTERPRETERS);
    if let Some(at) = layout.runtime.tstate_current {
        memory.write_u64(RUNTIME + at, pointer());
    }
    for index in 0..COUNT {
        let at = INTERPRETERS + index * INTERPRETER_SIZE;
        let (follows, threads) = if world.sound_lists { (0, THREADS) } else { (pointer(), pointer()) };
        memory.write_u64(at + layout.interpreter.next, follows);
        memory.write_u64(at + layout.interpreter.threads_head, threads);
        let at = THREADS + index * THREAD_SIZE;
        let last = index + 1 == COUNT;
        let sound = (if last { 0 } else { at + THREAD_SIZE }, INTERPRETERS);
        let (follows, interpreter) = if world.sound_lists { sound } else { (pointer(), pointer()) };
        memory.write_u64(at + layout.thread.next, follows);
        memory.write_u64(at + layout.thread.interp, interpreter);
        let root = match layout.thread.frame_root {
            FrameRoot::FrameObject(root) | FrameRoot::CFrame(root, _) | FrameRoot::CurrentFrame(root) => root,
        };
        memory.write_u64(at + root, pointer());
        if let Some(chunk) = layout.thread.datastack_chunk {
            memory.write_u64(at + chunk, pointer());
            memory.write_u64(at + chunk + 8, pointer());
        }
        // Frames come first, so that a chunk's header may be one's middle.
        for slot in 0..16 {
            frame(
                &mut memory,
                layout,
                CHUNKS + index * CHUNK_SIZE + slot * FRAME_SIZE + chunk::DATA,
                &mut pointer,
                world,
            );
        }
        let at = CHUNKS + index * CHUNK_SIZE;
        let sound = if index == 0 { 0 } else { at - CHUNK_SIZE };
        memory.write_u64(at + chunk::PREVIOUS, if world.sound_chunks { sound } else { pointer() });
        memory.write_u64(at + chunk::SIZE, world.sizes[index as usize]);
    }
    for slot in 0..32 {
        frame(&mut memory, layout, HEAP + slot * FRAME_SIZE, &mut pointer, world);
    }
    memory
}

fn frame(
    memory: &mut FakeMemory,
    layout: &Layout,
    at: u64,
    pointer: &mut impl FnMut() -> u64,
    world: &World,
) {
    let fields = &layout.frame;
    memory.write_u64(at + fields.code, pointer());
    memory.write_u64(at + fields.previous, pointer());
    memory.write_u64(at + fields.instruction, pointer());
    if let FrameRoot::CFrame(_, current) = layout.thread.frame_root {
        memory.write_u64(at + current, pointer());
    }
    let byte = world.bytes[(at / FRAME_SIZE) as usize % world.bytes.len()];
    for field in [fields.owner, fields.is_entry, fields.executing.map(|(field, _)| field)].iter().flatten() {
        memory.write(at + field, &[byte]);
    }
}

/// The tables, and one whose threads point to their frame themselves (3.13+).
fn layouts() -> Vec<Layout> {
    let mut all = all_tables();
    let mut current = all[5].clone();
    if let FrameRoot::CFrame(root, _) = current.thread.frame_root {
        current.thread.frame_root = FrameRoot::CurrentFrame(root);
    }
    all.push(current);
    all
}

/// Looks several times, with memory that changes once; returns the number of reads and of stacks found.
fn look(layout: &Layout, worlds: [&World; 2]) -> (usize, usize) {
    let reads = Arc::new(AtomicUsize::new(0));
    let mut stacks = 0;
    for world in worlds {
        let inner = memory(layout, world);
        let memory = Counting { inner, reads: Arc::clone(&reads) };
        let mut reader = ProcessReader::new(Box::new(memory), layout.clone(), RUNTIME);
        for look in 0..4 {
            if reader.look(|address| look == 2 && address == THREADS).is_err() {
                continue;
            }
            for thread in reader.threads() {
                stacks += usize::from(matches!(thread.outcome, Outcome::Stack(_)));
                assert!(thread.stack.len() <= 1 << 12, "{} frames of nothing", thread.stack.len());
            }
        }
    }
    (reads.load(Ordering::Relaxed), stacks)
}

/// The worlds below would prove nothing if no reader found its way into them.
#[test]
fn strange_stacks_are_reached() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut found = 0;
    for _ in 0..20 {
        let world = world(true, true).new_tree(&mut runner).expect("a world").current();
        for layout in layouts() {
            found += look(&layout, [&world, &world]).1;
        }
    }
    assert!(found > 200, "{found} stacks");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_stack_is_too_strange(first in world(true, true), second in world(true, true)) {
        for layout in layouts() {
            let (reads, stacks) = look(&layout, [&first, &second]);
            prop_assert!(reads < ENOUGH_READS, "{:?}: {reads} reads", layout.version);
            prop_assert!(stacks <= 32);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Chunks whose list goes round are followed 2^15 times, for each thread, in each look and each of its attempts
    /// (`chunks::follow`): an end, but not before a hundred thousand reads.
    #[test]

    fn no_chunk_list_is_too_strange(first in world(true, false), second in world(true, false)) {
        for layout in layouts() {
            let (reads, _) = look(&layout, [&first, &second]);
            prop_assert!(reads < ENOUGH_READS, "{:?}: {reads} reads", layout.version);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Four interpreters whose list goes round, with four threads whose list does too, are 2^15 interpreters with
    /// 2^15 threads each to `ProcessReader::relist`: it bounds each list, but not their product. And a thread state
    /// in the last kilobyte of the address space makes `ThreadReader::lies_in` and `plan` add beyond it.
    #[test]

    fn no_list_is_too_strange(first in world(false, true), second in world(false, true)) {
        for layout in layouts() {
            let (reads, _) = look(&layout, [&first, &second]);
            prop_assert!(reads < ENOUGH_READS, "{:?}: {reads} reads", layout.version);
        }
    }
}
