//! Code objects by address, kept right although addresses are reused.
//!
//! A function that is dropped leaves its address to the next one, often of the same size and place. So an entry
//! is believed only while the interpreter's own counter of code objects stands still (3.13+). Where there is no
//! such counter the entry is compared with the object again: always while the program has lately been seen to
//! replace code objects, a few at a time otherwise.

use std::io;

use rustc_hash::FxHashMap;

use super::bytecode;
use super::code::{Code, Fingerprint, fingerprint_piece, read_code};
use super::frame::RawFrame;
use super::layout::{CounterField, Layout};
use super::stack::pieces::PieceList;
use crate::memory::{MAX_PIECES, RemoteMemory};

/// More entries than this are forgotten, all at once.
const MAX_ENTRIES: usize = 1 << 17;
/// Looks without any replaced code object after which only some looks check...
const CALM_AFTER: u32 = 2000;
/// ...and where none has ever been replaced.
const CALM_AT_FIRST: u32 = 256;
/// One look in so many does then, by chance: what comes in turn could always meet the same thread.
const CALM_TURNS: u32 = 8;

/// `co_filename` of the interpreter's own trampolines (`Python/specialize.c`, `Objects/frameobject.c`).
const SHIM_FILE: &str = "<shim>";
/// `co_filename` and `co_name` of what lies under every `__init__` (`_Py_InitCleanup`, `Objects/codeobject.c`, 3.14+).
const INIT_CLEANUP: &str = "__init__";

/// A code object and the number that identifies it for good: an address can come back, a serial never does.
#[derive(Debug)]
pub struct CachedCode {
    /// Unique within the cache
    pub serial: u64,
    /// `None`: the interpreter's own, without a name, never shown (`_Py_InitCleanup`, trampolines)
    pub code: Option<Code>,
    /// The counter's value when the entry was last known to be right
    checked: u64,
    /// The counter's value when the threads' copies of its instructions were last read (3.14t+)
    copies_at: Option<u64>,
}

/// The cache.
#[derive(Debug, Default)]
pub struct CodeCache {
    entries: FxHashMap<u64, CachedCode>,
    next_serial: u64,
    /// Looks since an object was last found to be replaced
    calm: u32,
    /// One has been
    has_replaced: bool,
    turn: u32,
    /// This stack's code objects are compared, unless a counter says that they need not be
    due: bool,
    pieces: PieceList,
    doubtful: Vec<u64>,
    /// Of the last refresh: what was read then, and may be another object than the one in the stack
    unsure: Vec<u64>,
    /// Of the last refresh: what was read then, with no counter to tell whether it is what was in the stack
    newest: Vec<u64>,
}

/// A time in which no code object was replaced, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64, u64);

/// An interpreter's counter of code objects (3.13+).
#[derive(Debug, Clone, Copy)]
pub struct Generation {
    /// Where the counter is in the target
    pub field: CounterField,
    /// The interpreter
    pub interpreter: u64,
    /// Before the stack was read
    pub before: u64,
    /// After the stack was read
    pub after: u64,
}

impl CodeCache {
    /// Makes sure that every code object of `addresses` (a stack's, root first) is known and is still the one
    /// that is known. `counter`: the interpreter's, `None` where it has none. True when an object had been replaced.
    ///
    /// The program runs on between the look at its stack and this. If the counter shows that objects came or went
    /// meanwhile, what was read only now may be another than the one in the stack: see [`CodeCache::sure`].
    pub fn refresh(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        counter: Option<Generation>,
        addresses: impl DoubleEndedIterator<Item = u64>,
    ) -> io::Result<bool> {
        let generation = counter.map(|counter| counter.after);
        let mut fresh = Vec::new();
        self.unsure.clear();
        self.newest.clear();
        self.doubtful.clear();
        for address in addresses.rev() {
            match self.entries.get(&address) {
                None => fresh.push(address),
                Some(entry) if generation.is_some_and(|now| now == entry.checked) => {}
                Some(entry) if entry.code.is_none() => {}
                Some(_) if self.due => self.doubtful.push(address),
                Some(_) => {}
            }
        }
        let replaced = self.check(memory, layout, generation.unwrap_or(0), &mut fresh)?;
        self.calm = if replaced { 0 } else { self.calm.saturating_add(1) };
        self.has_replaced |= replaced;
        for &address in &fresh {
            self.read(memory, layout, generation.unwrap_or(0), address)?;
            if !self.entries.contains_key(&address) {
                // It is none: what pointed to it was no frame.
                self.unsure.push(address);
            }
        }
        let Some(counter) = counter else {
            self.newest.append(&mut fresh);
            return Ok(replaced);
        };
        if !fresh.is_empty() {
            let now = memory.read_u64(counter.interpreter.wrapping_add(counter.field.offset));
            if now.map(|word| counter.field.of(word)).ok() != Some(counter.before) {
                // What was known before and still is has been there all the time.
                self.unsure.append(&mut fresh);
            }
        }
        Ok(replaced)
    }

    /// Whether the last refresh has read objects of which only the time that has passed since the look can tell whether
    /// they are those in the stack.
    #[must_use]
    pub fn has_newest(&self) -> bool {
        !self.newest.is_empty()
    }

    /// They may be others.
    pub fn doubt_newest(&mut self) {
        self.unsure.append(&mut self.newest);
    }

    /// How many frames of `stack`, root first, the last refresh leaves no doubt about: their objects are those in the
    /// stack. Where the version has no counter that could tell, there is doubt about what is none, and see
    /// [`CodeCache::doubt_newest`].
    #[must_use]
    pub fn sure(&self, stack: &[RawFrame]) -> usize {
        if self.unsure.is_empty() {
            return stack.len();
        }
        let doubt = |frame: &RawFrame| !frame.is_marker() && self.unsure.contains(&frame.code);
        stack.iter().position(doubt).unwrap_or(stack.len())
    }

    /// A stack is to be named: decides whether its code objects are compared where no counter tells.
    pub fn begin(&mut self, counter: Option<Generation>) {
        let calm_after = if self.has_replaced { CALM_AFTER } else { CALM_AT_FIRST };
        self.due = counter.is_some() || self.calm < calm_after || self.turn_comes();
    }

    /// The time as the counters have it, `copies` being that of the threads' own instructions. `None`: now objects are
    /// compared, whatever was known before.
    #[must_use]
    pub fn epoch(&self, counter: Option<Generation>, copies: u64) -> Option<Epoch> {
        match counter {
            Some(counter) => Some(Epoch(counter.after, copies)),
            None if self.due => None,
            None => Some(Epoch(self.next_serial, copies)),
        }
    }

    fn turn_comes(&mut self) -> bool {
        // Numerical Recipes' generator; its high bits are good enough.
        self.turn = self.turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.turn >> 16).is_multiple_of(CALM_TURNS)
    }

    /// The entry for `address`, if [`CodeCache::refresh`] has seen it.
    #[must_use]
    pub fn get(&self, address: u64) -> Option<&CachedCode> {
        self.entries.get(&address)
    }

    /// Makes sure that the copies of their instructions are known that `frames` (code object, instruction) run, where
    /// threads have their own (3.14t+). `generation`: the interpreter's counter of such copies.
    pub fn learn_copies(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        generation: u64,
        frames: impl Iterator<Item = (u64, u64)>,
    ) {
        for (address, instruction) in frames {
            let Some(entry) = self.entries.get_mut(&address) else { continue };
            let Some(code) = &mut entry.code else { continue };
            if entry.copies_at == Some(generation) && code.knows(instruction) {
                continue;
            }
            // What cannot be read now is asked for again with the next stack.
            if let Ok(copies) = bytecode::copies(memory, layout, address) {
                code.set_copies(copies);
                entry.copies_at = Some(generation);
            }
        }
    }

    /// Compares the doubtful entries with their objects, in one call; the replaced ones go to `fresh`.
    fn check(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        generation: u64,
        fresh: &mut Vec<u64>,
    ) -> io::Result<bool> {
        let mut replaced = false;
        for addresses in self.doubtful.chunks(MAX_PIECES) {
            self.pieces.clear();
            for &address in addresses {
                let piece = fingerprint_piece(layout, address);
                self.pieces.push(piece.base as u64, piece.len);
            }
            let mut buf = vec![0; self.pieces.bytes()];
            let count = match memory.read_pieces(self.pieces.pieces(), &mut buf) {
                Ok(count) => count,
                Err(error) if error.raw_os_error() == Some(nix::libc::EFAULT) => 0,
                Err(error) => return Err(error),
            };
            let mut at = 0;
            for (&address, piece) in addresses.iter().zip(self.pieces.pieces()) {
                let end = at + piece.len;
                let now = buf.get(at..end.min(count)).and_then(Fingerprint::from_bytes);
                at = end;
                let Some(entry) = self.entries.get_mut(&address) else { continue };
                if end <= count && entry.code.as_ref().is_some_and(|code| Some(code.fingerprint) == now) {
                    entry.checked = generation;
                } else {
                    replaced = true;
                    fresh.push(address);
                }
            }
        }
        Ok(replaced)
    }

    fn read(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        generation: u64,
        address: u64,
    ) -> io::Result<()> {
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear();
        }
        if self.entries.remove(&address).is_some() {
            // It is another time from here on, whether the new object can be read or not.
            self.next_serial += 1;
        }
        let code = match read_code(memory, layout, address) {
            // 3.12 and 3.13 give their entry frames a code object with a name: it is no function all the same.
            Ok(code) => Some(code).filter(|code| !is_trampoline(code)),
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Err(error),
            Err(_) if memory.read_u64(address.wrapping_add(layout.code.name)).is_ok_and(|name| name == 0) => {
                None
            }
            Err(_) => return Ok(()),
        };
        self.next_serial += 1;
        self.entries.insert(
            address,
            CachedCode { serial: self.next_serial, code, checked: generation, copies_at: None },
        );
        Ok(())
    }
}

fn is_trampoline(code: &Code) -> bool {
    code.file == SHIM_FILE || code.file == INIT_CLEANUP && code.name == INIT_CLEANUP
}
