//! What all threads of a process share and every look needs: thread lists, the GIL, the code counter.

use std::ops::Range;

use super::frame::word;
use super::layout::Layout;
use super::stack::copies::Copy;
use super::stack::pieces::{PieceList, join};
use crate::memory::Piece;

/// Fields nearer to each other than this are read as one piece.
const GAP: u64 = 512;

/// `cond`, `mutex`, `switch_cond` and `switch_mutex` follow `switch_number` in `struct _gil_runtime_state`
/// (`Include/internal/pycore_gil.h`): 176 bytes with glibc on x86-64, 192 on arm64.
const GIL_LOCKS: u64 = 192;

/// One interpreter's fields in a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterpreterFields {
    /// Next interpreter
    pub next: u64,
    /// Newest thread state
    pub threads_head: u64,
    /// Moves whenever a code object is made or freed; 0 where the version has no such counter. As it was after the
    /// stacks were read.
    pub code_generation: u64,
    /// The same counter, as it was before
    pub code_generation_before: u64,
    /// Moves when threads' own copies of instructions are freed (3.14t+), else 0
    pub tlbc_generation: u64,
    /// Threads need the GIL to run; a free-threaded build can have it all the same (`PYTHON_GIL=1`)
    pub has_gil: bool,
    /// The thread state that holds this interpreter's GIL, 0 for none
    pub gil_holder: u64,
    /// A garbage collection is running
    pub collecting: bool,
    /// Where the locks of its GIL are, on which threads wait for it; empty when not known
    pub gil_locks: Range<u64>,
}

/// Plans and decodes the shared fields.
#[derive(Debug, Default)]
pub struct SharedFields {
    copy: Copy,
    /// Each interpreter's address, and where in the warm-up its counter of code objects is
    counters: Vec<(u64, usize)>,
    ranges: Vec<(u64, u64)>,
}

impl SharedFields {
    /// Adds the pieces for the runtime at `runtime` and its `interpreters`.
    pub fn plan(
        &mut self,
        layout: &Layout,
        runtime: u64,
        interpreters: &[u64],
        warm: &mut PieceList,
        main: &mut PieceList,
    ) {
        self.counters.clear();
        // Where all threads rest there is no warm-up, and no new stack either.
        if let Some(counter) = layout.interpreter.code_generation.filter(|_| warm.bytes() > 0) {
            let place = |&interpreter: &u64| {
                (interpreter, warm.push(interpreter + counter.offset, usize::from(counter.width)))
            };
            self.counters.extend(interpreters.iter().map(place));
        }
        self.ranges.clear();
        let fields = &layout.runtime;
        let mut want = |base: u64, offset: Option<u64>| {
            if let Some(offset) = offset {
                self.ranges.push((base + offset, base + offset + 8));
            }
        };
        want(runtime, Some(fields.interpreters_head));
        want(runtime, fields.tstate_current);
        let fields = &layout.interpreter;
        for &interpreter in interpreters {
            want(interpreter, Some(fields.next));
            want(interpreter, Some(fields.threads_head));
            want(interpreter, fields.gc_collecting);
            want(interpreter, fields.code_generation.map(|counter| counter.offset));
            want(interpreter, fields.tlbc_generation);
            want(interpreter, fields.gil_pointer);
            want(interpreter, fields.gil.as_ref().and_then(|gil| gil.enabled));
            want(interpreter, fields.gil.as_ref().map(|gil| gil.locked));
            want(interpreter, fields.gil.as_ref().map(|gil| gil.holder));
        }
        join(&mut self.ranges, GAP);
        self.copy.clear();
        for &(start, end) in &self.ranges {
            let len = (end - start) as usize;
            let offset = main.push(start, len);
            self.copy.push(Piece { base: start as usize, len }, offset);
        }
        self.copy.seal();
    }

    /// Whether `address` is among what was planned.
    #[must_use]
    pub fn covers(&self, address: u64) -> bool {
        self.ranges.iter().any(|(start, end)| (*start..*end).contains(&address))
    }

    fn word(&self, buf: &[u8], address: u64) -> u64 {
        self.copy.bytes(buf, address, 8).and_then(|bytes| word(bytes, 0)).unwrap_or(0)
    }

    /// `interpreters.head`.
    #[must_use]
    pub fn first_interpreter(&self, layout: &Layout, runtime: u64, buf: &[u8]) -> u64 {
        self.word(buf, runtime + layout.runtime.interpreters_head)
    }

    /// The counter of code objects of the interpreter at `address` as the warm-up has it.
    fn before(&self, layout: &Layout, address: u64, warm: &[u8]) -> u64 {
        let place = self.counters.iter().find(|(interpreter, _)| *interpreter == address);
        place.zip(layout.interpreter.code_generation).map_or(0, |((_, offset), counter)| {
            let bytes = warm.get(*offset..offset + usize::from(counter.width)).unwrap_or_default();
            bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        })
    }

    /// The fields of the interpreter at `address`; `buf` holds the main read, `warm` the warm-up, or, where there was
    /// none, what the counter of code objects was before.
    #[must_use]
    pub fn interpreter(
        &self,
        layout: &Layout,
        runtime: u64,
        address: u64,
        buf: &[u8],
        warm: Result<&[u8], u64>,
    ) -> InterpreterFields {
        let fields = &layout.interpreter;
        let at = |offset: u64| self.word(buf, address + offset);
        let int = |offset: u64| at(offset) & 0xffff_ffff;
        let code_generation = fields.code_generation.map_or(0, |counter| counter.of(at(counter.offset)));
        let code_generation_before =
            warm.map_or_else(|before| before, |warm| self.before(layout, address, warm));
        let has_gil =
            fields.gil.as_ref().and_then(|gil| gil.enabled).is_none_or(|at_enabled| int(at_enabled) != 0);
        let gil_holder = match (layout.runtime.tstate_current, &fields.gil) {
            _ if !has_gil => 0,
            (Some(offset), _) => self.word(buf, runtime + offset),
            (None, Some(gil)) if at(gil.locked) as i32 == 1 => at(gil.holder),
            _ => 0,
        };
        let switch_number = match (layout.runtime.gil_switch_number, fields.gil_pointer, &fields.gil) {
            (Some(offset), _, _) => Some(runtime + offset),
            (None, Some(pointer), Some(gil)) if !layout.free_threaded => Some(at(pointer))
                .filter(|&gil| gil != 0)
                .and_then(|at| at.checked_add(gil.switch_number - gil.start)),
            _ => None,
        };
        InterpreterFields {
            gil_locks: switch_number
                .and_then(|at| Some(at.checked_add(8)?..at.checked_add(8 + GIL_LOCKS)?))
                .unwrap_or_default(),
            next: at(fields.next),
            threads_head: at(fields.threads_head),
            code_generation,
            code_generation_before,
            tlbc_generation: fields.tlbc_generation.map_or(0, int),
            has_gil,
            gil_holder,
            collecting: fields.gc_collecting.is_some_and(|offset| int(offset) != 0),
        }
    }
}
