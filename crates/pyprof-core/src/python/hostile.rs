//! What a target could show that is not `CPython`, or is in the middle of a change: nothing here may panic,
//! loop, or read or allocate without bound.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::memory::{Piece, RemoteMemory};
use crate::python::code::read_code;
use crate::python::layout::{Layout, all_tables};
use crate::python::lines::{LineFormat, LineTable};
use crate::python::locals::{locals, locals_in};
use crate::python::objects::{Limits, represent};
use crate::python::thread_names::thread_names;
use crate::testing::FakeMemory;

/// Types, one every `TYPE_SIZE` bytes.
const TYPES: u64 = 0x1_0000;
const TYPE_SIZE: u64 = 1024;
const NAMES: [&str; 14] = [
    "NoneType", "bool", "int", "float", "str", "bytes", "list", "tuple", "dict", "set", "range", "cell",
    "type", "module",
];
/// Objects: words of every sort.
const HEAP: u64 = 0x10_0000;
const HEAP_WORDS: usize = 2048;
/// More than a look at 256 variables of a frame may need: each look has one budget.
const MAX_READS: usize = 120_000;

/// Counts what is asked for.
struct Counting {
    inner: FakeMemory,
    reads: AtomicUsize,
    largest: AtomicUsize,
}

impl RemoteMemory for Counting {
    fn read_pieces(&self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(buf.len(), Ordering::Relaxed);
        self.inner.read_pieces(pieces, buf)
    }
}

/// Words of one object's place in the heap; pointers lead to such places.
const OBJECT_WORDS: usize = 8;

/// A word of the heap: a pointer into it, a type, a small number, or anything.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..(HEAP_WORDS / OBJECT_WORDS) as u64).prop_map(|index| HEAP + index * 64),
        1 => type_pointer(),
        4 => 0u64..40,
        1 => any::<u64>(),
        1 => any::<u64>().prop_map(|value| value & 0x0303_0303_0303_0303),
    ]
}

fn type_pointer() -> impl Strategy<Value = u64> {
    (0..NAMES.len() as u64 + 1).prop_map(|index| TYPES + index * TYPE_SIZE)
}

/// A heap in which most places look like objects, so that reading goes deep before it meets nonsense.
fn heap() -> impl Strategy<Value = Vec<u64>> {
    let object = (prop::collection::vec(word(), OBJECT_WORDS), prop::option::weighted(0.9, type_pointer()))
        .prop_map(|(mut words, of)| {
            words[1] = of.unwrap_or(words[1]);
            words
        });
    prop::collection::vec(object, HEAP_WORDS / OBJECT_WORDS).prop_map(|objects| objects.concat())
}

fn memory(layout: &Layout, words: &[u64]) -> Counting {
    let objects = &layout.objects;
    let mut types = vec![0; (NAMES.len() + 1) * TYPE_SIZE as usize];
    let mut put =
        |at: u64, bytes: &[u8]| types[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    for (index, name) in NAMES.iter().enumerate() {
        let at = index as u64 * TYPE_SIZE;
        put(at + objects.type_name, &(TYPES + at + 960).to_le_bytes());
        put(at + 960, name.as_bytes());
    }
    // A class with attributes in itself and in a dict.
    let at = NAMES.len() as u64 * TYPE_SIZE;
    put(at + objects.type_name, &(TYPES + at + 960).to_le_bytes());
    put(at + objects.type_flags, &(1u64 << 2 | 1 << 4 | 1 << 9).to_le_bytes());
    put(at + objects.instance.type_basic_size, &16u64.to_le_bytes());
    put(at + objects.instance.type_dict, &HEAP.to_le_bytes());
    put(at + objects.instance.type_cached_keys, &(HEAP + 64).to_le_bytes());
    put(at + 960, b"Class");
    let mut inner = FakeMemory::default();
    inner.map(TYPES, types);
    inner.map(HEAP, words.iter().flat_map(|word| word.to_le_bytes()).collect());
    Counting { inner, reads: AtomicUsize::new(0), largest: AtomicUsize::new(0) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_heap_is_too_strange(
        words in heap(),
        starts in prop::collection::vec(word(), 24),
    ) {
        for layout in all_tables() {
            let memory = memory(&layout, &words);
            for start in &starts {
                let text = represent(&memory, &layout, *start, Limits::default());
                prop_assert!(text.len() < 16_000, "{} bytes", text.len());
                let _ = thread_names(&memory, &layout, *start);
                for local in locals(&memory, &layout, *start, HEAP + 512).unwrap_or_default() {
                    prop_assert!(local.value.len() < 16_000);
                }
                let _ = locals_in(&memory, &layout, *start, &start.to_le_bytes().repeat(50));
                if let Ok(code) = read_code(&memory, &layout, *start) {
                    for at in &starts {
                        let _ = (code.position(*at), code.position_at(*at as i64));
                    }
                }
            }
            prop_assert!(memory.reads.load(Ordering::Relaxed) < MAX_READS * starts.len());
            prop_assert!(memory.largest.load(Ordering::Relaxed) <= 1 << 21);
        }
    }

    #[test]
    fn no_line_table_is_too_strange(
        table in prop::collection::vec(any::<u8>(), 0..600),
        first_line in any::<u32>(),
        offsets in prop::collection::vec(any::<u32>(), 20),
    ) {
        for format in [LineFormat::Lnotab, LineFormat::LineTable, LineFormat::Locations] {
            let lines = LineTable::decode(format, &table, first_line);
            for offset in &offsets {
                let _ = (lines.at(*offset), lines.at(*offset % 600));
            }
        }
    }
}

#[test]
fn long_chains_and_cycles_end() {
    for layout in all_tables() {
        // Every word points to the next one's list: a list of lists of lists.
        let list = TYPES + 6 * TYPE_SIZE;
        let words: Vec<u64> = (0..HEAP_WORDS)
            .map(|index| match index % 8 {
                1 => list,
                2 => 1 << 40,
                _ => HEAP + (index as u64 / 8 * 64) % (HEAP_WORDS as u64 * 8),
            })
            .collect();
        let memory = memory(&layout, &words);
        let text = represent(&memory, &layout, HEAP, Limits::default());
        assert!(text.starts_with('['), "{text}");
        assert!(memory.reads.load(Ordering::Relaxed) <= Limits::default().reads);
    }
}
