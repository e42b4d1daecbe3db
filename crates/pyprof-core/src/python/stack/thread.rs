//! One thread's stack: which pieces to read for the next look, and what they say.

use rustc_hash::FxHashSet;

use super::base::Base;
use super::call_site::CallSites;
use super::chunks::{self, Chunk};
use super::climb;
use super::copies::Copy;
use super::look::Look;
use super::loose::Loose;
use super::pairs::Pairs;
use super::pieces::PieceList;
use super::prove::{Prover, Verdict};
use super::window::Window;
use crate::memory::RemoteMemory;
use crate::python::frame::{FrameDecoder, RawFrame, word};
use crate::python::layout::{DATASTACK_TOP_AFTER_CHUNK, FrameRoot, Layout};

/// Bytes above the highest frame seen lately that are copied too: the stack may grow between looks.
const MARGIN: u64 = 512;
/// Smallest page of any supported architecture.
const PAGE: u64 = 4096;
/// A new address is followed through at most this many frames not met before.
const MAX_EXPLORE: usize = 1 << 17;
/// The current frame's `_PyCFrame` (3.11, 3.12) was one of the last few.
const MAX_CFRAMES: usize = 8;

/// A generator's exception is read in this many looks more.
const MAX_EXC_AGE: u32 = 64;

/// What the thread state says of itself.
#[derive(Debug, Clone, std::marker::Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Next thread state of the interpreter
    pub next: u64,
    /// The interpreter
    pub interp: u64,
    /// `threading.get_ident()`
    pub python_id: u64,
    /// Which of the interpreter's thread states it is, counted from its start: the next one at this address has another
    pub state_id: u64,
    /// Kernel thread id as the target's pid namespace counts it (3.11+), else 0
    pub native_id: u64,
    /// What may be exceptions being handled: of the innermost frame that can (a generator's, or the thread's own), and
    /// of the thread itself. 0 for none or not known
    pub exceptions: [u64; 2],
}

impl Header {
    /// Whether both are of one thread. Its address, its `pthread_t` and its stack all go to later threads.
    #[must_use]
    pub fn is_of_same_thread(self, other: Self) -> bool {
        let identity = |of: Self| (of.interp, of.state_id, of.python_id, of.native_id);
        identity(self) == identity(other)
    }
}

/// How a look at a thread ended.
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is a stack (see [`Prover`]'s verdict)
    Stack(Verdict),
    /// The thread runs no Python code
    NoFrames,
    /// The pieces were the wrong ones; they have been corrected, a second look will do
    Again,
    /// The thread state is none any more
    Gone,
}

/// Where in the buffers the pieces of the planned look are.
#[derive(Debug, Default)]
struct Plan {
    top: [Vec<usize>; 2],
    cframe_pointer: usize,
    header: usize,
    /// A generator's exception, and where it is in the buffer
    exception: Option<(u64, usize)>,
    copies: [Copy; 2],
    /// Where the bytes that are copied twice begin in the buffer, each time, and how many they are
    hot: ([usize; 2], usize),
    /// Where those that are copied once begin, and how many they are
    cold: (usize, usize),
    /// The second copy of the look before, in that look's buffer
    earlier: Copy,
}

impl Plan {
    /// Adds the thread's own word for its current frame, the second time with the rest of the thread state.
    fn ask_top(
        &mut self,
        moment: usize,
        layout: &Layout,
        thread: u64,
        header_len: usize,
        cframes: &[u64],
        main: &mut PieceList,
    ) {
        match layout.thread.frame_root {
            FrameRoot::CFrame(pointer, frame) => {
                self.top[moment].extend(cframes.iter().map(|cframe| main.push(cframe + frame, 8)));
                if moment == 0 {
                    self.cframe_pointer = main.push(thread + pointer, 8);
                }
            }
            FrameRoot::FrameObject(offset) | FrameRoot::CurrentFrame(offset) => {
                if moment == 0 {
                    self.top[0].push(main.push(thread + offset, 8));
                }
            }
        }
        if moment == 1 {
            self.header = main.push(thread, header_len);
        }
    }
}

/// Reads one thread's stack again and again.
#[derive(Debug)]
pub struct ThreadReader {
    address: u64,
    header_len: usize,
    interp: u64,
    chunks: Vec<Chunk>,
    window: Window,
    loose: Loose,
    cframes: Vec<u64>,
    prover: Prover,
    plan: Plan,
    header: Header,
    hot: Vec<(u64, u64)>,
    cold: Vec<(u64, u64)>,
    base: Base,
    moved: bool,
    /// Where `exc_info` was last seen to point to, unless into the thread state
    exc_item: u64,
    /// Looks since
    exc_age: u32,
}

impl ThreadReader {
    /// For the thread state at `address` of the interpreter at `interp`.
    #[must_use]
    pub fn new(layout: &Layout, address: u64, interp: u64) -> Self {
        let thread = &layout.thread;
        let root = match thread.frame_root {
            FrameRoot::FrameObject(offset)
            | FrameRoot::CFrame(offset, _)
            | FrameRoot::CurrentFrame(offset) => offset,
        };
        let ends = [
            thread.next + 8,
            thread.interp + 8,
            root + 8,
            thread.thread_id + 8,
            thread.id + 8,
            thread.native_thread_id.map_or(0, |offset| offset + 8),
            thread.datastack_chunk.map_or(0, |offset| offset + 16),
            thread.exc_info.map_or(0, |offset| offset + 8),
            thread.exc_state.map_or(0, |offset| offset + 8),
        ];
        Self {
            address,
            header_len: ends.into_iter().max().unwrap_or(0) as usize,
            interp,
            chunks: Vec::new(),
            window: Window::default(),
            loose: Loose::new(layout.version < (3, 11)),
            cframes: Vec::new(),
            prover: Prover::default(),
            plan: Plan::default(),
            header: Header::default(),
            hot: Vec::new(),
            cold: Vec::new(),
            base: Base::default(),
            moved: false,
            exc_item: 0,
            exc_age: 0,
        }
    }

    /// Address of the thread state.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Whether a range touches the thread state.
    #[must_use]
    pub fn lies_in(&self, start: u64, end: u64) -> bool {
        self.address < end && start < self.address + self.header_len as u64
    }

    /// What the thread state said in the last look.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// The stack of the last look, root first, entry markers included.
    #[must_use]
    pub fn stack(&self) -> &[RawFrame] {
        self.prover.last().0
    }

    /// Whether the stack changed during the last look: the thread was on a CPU.
    #[must_use]
    pub fn moved(&self) -> bool {
        self.moved
    }

    /// How many frames of the last look, from the root on, are the same in all looks in which this number is.
    #[must_use]
    pub fn base(&self) -> (u64, usize) {
        (self.base.serial(), self.base.frames())
    }

    /// No further look will be made: what the last one showed has to do.
    #[must_use]
    pub fn settle(&self) -> Outcome {
        self.prover.verdict().map_or(Outcome::Again, Outcome::Stack)
    }

    /// Adds this thread's pieces: to `warm` what is at rest, to `main` the two moments.
    pub fn plan(
        &mut self,
        layout: &Layout,
        decoder: &FrameDecoder,
        warm: &mut PieceList,
        main: &mut PieceList,
    ) {
        self.loose.begin();
        self.prover.begin();
        let frame_len = decoder.prefix() as u64;
        self.loose.ranges(frame_len, &mut self.hot, &mut self.cold);
        if let Some(chunk) = self.chunks.last() {
            let (low, high) = self.window.range().unwrap_or((chunk.base, chunk.end));
            let high = high.saturating_add(MARGIN).clamp(chunk.base, chunk.end);
            let low = low.clamp(chunk.base, high);
            // A frame that starts just below the moving part ends in it.
            let low = low.saturating_sub(frame_len).max(chunk.base);
            self.hot.push((low, high));
            if high - low >= 8 {
                // Behind the highest frame seen lately: in the page of the leaf, where nothing is written.
                warm.push(high - 8, 8);
            }
            self.cold.push((chunk.base, (low + frame_len).min(chunk.end)));
            let older = &self.chunks[..self.chunks.len() - 1];
            self.cold.extend(older.iter().map(|chunk| (chunk.base, chunk.end)));
        }
        self.moved = false;
        let plan = &mut self.plan;
        std::mem::swap(&mut plan.earlier, &mut plan.copies[1]);
        plan.copies.iter_mut().for_each(Copy::clear);
        // Frame objects tell themselves whether they run; there the thread's word comes first.
        let top_first = decoder.frames_are_objects();
        for moment in 0..2 {
            plan.top[moment].clear();
            if top_first {
                plan.ask_top(moment, layout, self.address, self.header_len, &self.cframes, main);
            }
            plan.hot.0[moment] = main.bytes();
            for &(start, end) in &self.hot {
                let len = (end - start) as usize;
                let offset = main.push(start, len);
                plan.copies[moment].push(crate::memory::Piece { base: start as usize, len }, offset);
            }
            plan.hot.1 = main.bytes() - plan.hot.0[moment];
            if !top_first {
                plan.ask_top(moment, layout, self.address, self.header_len, &self.cframes, main);
            }
        }
        // The first touch of a page after a pause is slow. Touch it before time counts, where nothing is written
        // that the main read looks at: a line that was just read is slow to write, and would hold the thread up.
        warm.push(self.address + layout.thread.thread_id, 8);
        if decoder.frames_are_objects() {
            for &(start, end) in &self.hot {
                for page in (start & !(PAGE - 1)..end).step_by(PAGE as usize) {
                    warm.push(page, 8);
                }
            }
        }
        plan.exception = (self.exc_item != 0).then(|| (self.exc_item, main.push(self.exc_item, 8)));
        // One copy for both moments: what is at rest must be as it was in the look before.
        let cold = main.bytes();
        for &(start, end) in &self.cold {
            let len = (end - start) as usize;
            let piece = crate::memory::Piece { base: start as usize, len };
            let offset = main.push(start, len);
            plan.copies[0].push(piece, offset);
            plan.copies[1].push(piece, offset);
        }
        plan.cold = (cold, main.bytes() - cold);
    }

    /// Makes a stack of what was read into `buf`; `earlier` is what the look before read, if it read this thread. With
    /// `pairs` comes whether the addresses of code objects have meant the same all the time.
    pub fn interpret(
        &mut self,
        memory: &dyn RemoteMemory,
        layout: &Layout,
        decoder: &FrameDecoder,
        buf: &[u8],
        earlier: Option<&[u8]>,
        (pairs, steady): (&mut Pairs, bool),
    ) -> Outcome {
        self.plan.copies.iter_mut().for_each(Copy::seal);
        let ([first, second], len) = self.plan.hot;
        self.moved = buf[first..first + len] != buf[second..second + len];
        let (start, len) = self.plan.cold;
        let at_rest = &buf[start..start + len];
        self.base.compare(&self.cold, at_rest, decoder.prefix());
        let header_bytes = &buf[self.plan.header..self.plan.header + self.header_len];
        let field = |offset| word(header_bytes, offset).unwrap_or(0);
        let thread = &layout.thread;
        self.header = Header {
            next: field(thread.next),
            interp: field(thread.interp),
            python_id: field(thread.thread_id),
            state_id: field(thread.id),
            native_id: thread.native_thread_id.map_or(0, field),
            exceptions: [0, thread.exc_state.map_or(0, field)],
        };
        let item = thread.exc_info.map_or(0, field);
        let own = self.address + thread.exc_state.unwrap_or(0);
        if item == own || !item.is_multiple_of(8) || item >> 57 != 0 {
            // The generator may be on again in the next look.
            self.exc_age += 1;
            if self.exc_age > MAX_EXC_AGE {
                self.exc_item = 0;
            }
        } else {
            (self.exc_item, self.exc_age) = (item, 0);
        }
        if let Some((_, offset)) = self.plan.exception.filter(|(read, _)| *read == item) {
            self.header.exceptions[0] = word(buf, offset as u64).unwrap_or(0);
        }
        if self.header.interp != self.interp {
            return Outcome::Gone;
        }
        let Some(tops) = self.tops(layout, buf, header_bytes) else { return Outcome::Again };
        if tops == [0, 0] {
            return Outcome::NoFrames;
        }
        if let Some(offset) = thread.datastack_chunk {
            let newest = field(offset);
            if self.chunks.last().map_or(0, |chunk| chunk.base) != newest {
                self.window.reset();
                // A chunk that is gone by now will be found in the next look.
                if chunks::follow(memory, newest, &mut self.chunks).is_err() {
                    self.chunks.clear();
                }
                return Outcome::Again;
            }
        }
        let used_to = thread.datastack_chunk.map_or(0, |offset| field(offset + DATASTACK_TOP_AFTER_CHUNK));
        let chunk = self.chunks.last().map_or(0..0, |chunk| chunk.base..chunk.end);
        let look = Look {
            buf,
            copies: [&self.plan.copies[0], &self.plan.copies[1]],
            earlier: earlier.map(|buf| (buf, &self.plan.earlier)),
            at_rest: &self.cold,
            base: &[],
            loose: &self.loose,
            tops,
            chunks: &self.chunks,
            chunk,
            first_frame: chunks::first_frame(&self.chunks),
            used_to,
            steady,
            decoder,
        };
        let sites = CallSites::new(memory, layout);
        let mut size_of = |code: u64, pairs: &mut Pairs| climb::frame_size(memory, layout, code, pairs);
        let verdict = self.prover.prove(&look, self.base.frames(), pairs, &sites, &mut size_of);
        let in_data_stack = |address| self.chunks.iter().any(|chunk| chunk.holds(address));
        let (stack, kept) = (self.prover.last().0, self.prover.kept());
        self.base.settle(&look, stack, (verdict, kept), at_rest, in_data_stack);
        self.remember(used_to);
        let mut found = false;
        for index in 0..self.prover.unknown().len() {
            let (address, chains) = self.prover.unknown()[index];
            found |= self.explore(memory, decoder, address);
            // Two of three chains are of different moments.
            found |= chains > 1 && self.loose.try_again(address);
        }
        if found && verdict != Verdict::Whole { Outcome::Again } else { Outcome::Stack(verdict) }
    }

    /// `[base, end)` could not be read: it is not predicted any more.
    pub fn drop_range(&mut self, base: u64, end: u64) {
        self.loose.forget(base, end);
        self.chunks.retain(|chunk| chunk.end <= base || chunk.base >= end);
        self.cframes.retain(|cframe| !(base..end).contains(&(cframe + 8)) && !(base..end).contains(cframe));
        if (base..end).contains(&self.exc_item) {
            self.exc_item = 0;
        }
        self.window.reset();
    }

    /// The current frame at both moments; `None` when the `_PyCFrame` was not among the predicted ones.
    fn tops(&mut self, layout: &Layout, buf: &[u8], header: &[u8]) -> Option<[u64; 2]> {
        let at = |offset: usize| word(buf, offset as u64).unwrap_or(0);
        match layout.thread.frame_root {
            FrameRoot::FrameObject(offset) | FrameRoot::CurrentFrame(offset) => {
                Some([at(self.plan.top[0][0]), word(header, offset).unwrap_or(0)])
            }
            FrameRoot::CFrame(pointer, _) => {
                let pointers = [at(self.plan.cframe_pointer), word(header, pointer).unwrap_or(0)];
                if pointers.iter().any(|&pointer| pointer == 0 || pointer >> 57 != 0) {
                    return Some([0, 0]);
                }
                let tops: [Option<u64>; 2] = std::array::from_fn(|moment| {
                    let index = self.cframes.iter().position(|&cframe| cframe == pointers[moment])?;
                    Some(at(self.plan.top[moment][index]))
                });
                for pointer in pointers {
                    self.cframes.retain(|&cframe| cframe != pointer);
                    self.cframes.insert(0, pointer);
                }
                self.cframes.truncate(MAX_CFRAMES);
                // One moment that is known will do.
                (tops != [None, None]).then(|| tops.map(Option::unwrap_or_default))
            }
        }
    }

    /// Takes from the look just made what the next one should read.
    fn remember(&mut self, top: u64) {
        let (stack, changed_from) = self.prover.last();
        let chunk = self.chunks.last();
        let mut lowest = top;
        let mut loose = self.base.loose().len();
        for address in self.base.loose() {
            self.loose.seen(*address, false);
        }
        for (index, frame) in stack.iter().enumerate().skip(self.base.frames()) {
            let moved = index >= changed_from;
            if chunk.is_some_and(|chunk| chunk.holds(frame.address)) {
                if moved {
                    lowest = lowest.min(frame.address);
                }
            } else if !self.chunks.iter().any(|chunk| chunk.holds(frame.address)) {
                self.loose.seen(frame.address, moved);
                loose += 1;
            }
        }
        self.loose.trim(loose);
        if let Some(chunk) = chunk.filter(|chunk| chunk.holds(lowest)) {
            self.window.observe(lowest, top.clamp(lowest, chunk.end));
        }
    }

    /// Follows the frames from `address` on until one that is known; says whether there was a new one. Behind an entry
    /// marker it goes on through frames of the data stack: below may lie more markers than looks would find one by one.
    fn explore(&mut self, memory: &dyn RemoteMemory, decoder: &FrameDecoder, mut address: u64) -> bool {
        let mut bytes = vec![0; decoder.prefix()];
        let mut new = FxHashSet::default();
        let mut order = Vec::new();
        let mut behind_marker = false;
        while new.len() < MAX_EXPLORE {
            let in_chunk = self.chunks.iter().any(|chunk| chunk.holds(address));
            let known = address == 0
                || !address.is_multiple_of(8)
                || self.loose.knows(address)
                || in_chunk && !behind_marker;
            if known || memory.read_exact(address, &mut bytes).is_err() || !new.insert(address) {
                break;
            }
            let Some(frame) = decoder.decode(address, &bytes) else { break };
            if !in_chunk {
                order.push(address);
                behind_marker = frame.is_marker();
            }
            address = frame.previous;
        }
        self.loose.suspect(&order);
        !order.is_empty()
    }
}
