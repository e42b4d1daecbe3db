//! A whole process: every interpreter and thread, looked at together in one system call.

use std::io;

use rustc_hash::{FxHashMap, FxHashSet};

use super::frame::{FrameDecoder, RawFrame};
use super::layout::{FrameRoot, Layout};
use super::shared::{InterpreterFields, SharedFields};
use super::stack::pairs::Pairs;
use super::stack::pieces::PieceList;
use super::stack::prove::Verdict;
use super::stack::thread::{Header, Outcome, ThreadReader};
use crate::memory::{MAX_PIECES, RemoteMemory};

/// Looks within one sample: pieces can turn out to be the wrong ones, and on a busy machine the reading itself can
/// be interrupted for so long that not even the root is proven.
const ATTEMPTS: usize = 4;
/// All stacks of a process together, in bytes: thirty recursions 50,000 deep.
const MAX_BYTES: usize = 512 << 20;
/// A read so long after the last one, or longer, is warmed up.
const COLD_AFTER: std::time::Duration = std::time::Duration::from_micros(50);
/// Thread and interpreter lists longer than this are nonsense, or a cycle.
const MAX_LIST: usize = 1 << 15;

/// A thread as one look saw it.
#[derive(Debug, Clone, Copy)]
pub struct ThreadLook<'a> {
    /// Address of the thread state: the thread's identity while it lives
    pub address: u64,
    /// Index of its interpreter in [`ProcessReader::interpreters`]
    pub interpreter: usize,
    /// What its thread state says
    pub header: Header,
    /// How the look at its stack ended
    pub outcome: Outcome,
    /// Root first, entry markers included
    pub stack: &'a [RawFrame],
    /// So many frames from the root on are as they were in all looks of the same number
    pub base: (u64, usize),
    /// It held a GIL
    pub holds_gil: bool,
    /// It went on while it was looked at: it was on a CPU
    pub moved: bool,
}

#[derive(Debug)]
struct Thread {
    reader: ThreadReader,
    interpreter: usize,
    /// `Again`: to be read in the next call
    outcome: Outcome,
    /// Which of the main reads read it last
    read: u64,
    /// See [`ProcessReader::rest`]
    rests: bool,
}

/// Looks at all Python threads of a process.
pub struct ProcessReader {
    memory: Box<dyn RemoteMemory>,
    layout: Layout,
    decoder: FrameDecoder,
    runtime: u64,
    interpreters: Vec<(u64, InterpreterFields)>,
    threads: Vec<Thread>,
    /// Indices of those that do not rest
    awake: Vec<usize>,
    /// The newest thread of each interpreter
    heads: Vec<u64>,
    /// How often the lists were walked
    listing: u64,
    shared: SharedFields,
    pairs: Pairs,
    warm: PieceList,
    main: PieceList,
    buf: Vec<u8>,
    /// What the read before brought
    earlier: Vec<u8>,
    warm_buf: Vec<u8>,
    read_at: Option<std::time::Instant>,
    main_reads: u64,
}

impl std::fmt::Debug for ProcessReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessReader")
            .field("runtime", &self.runtime)
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

impl ProcessReader {
    /// For the `_PyRuntime` at `runtime`.
    #[must_use]
    pub fn new(memory: Box<dyn RemoteMemory>, layout: Layout, runtime: u64) -> Self {
        Self {
            memory,
            decoder: FrameDecoder::new(&layout),
            layout,
            runtime,
            interpreters: Vec::new(),
            threads: Vec::new(),
            awake: Vec::new(),
            heads: Vec::new(),
            listing: 0,
            shared: SharedFields::default(),
            pairs: Pairs::default(),
            warm: PieceList::default(),
            main: PieceList::default(),
            buf: Vec::new(),
            earlier: Vec::new(),
            warm_buf: Vec::new(),
            read_at: None,
            main_reads: 0,
        }
    }

    /// The target's memory.
    #[must_use]
    pub fn memory(&self) -> &dyn RemoteMemory {
        &*self.memory
    }

    /// Whether the thread whose state at `address` said `header` has not ended since: it runs Python code still.
    #[must_use]
    pub fn still_runs(&self, address: u64, header: Header) -> bool {
        let thread = &self.layout.thread;
        let word = |at: u64| self.memory.read_u64(at).ok();
        let field = |offset: u64| word(address.wrapping_add(offset));
        let top = match thread.frame_root {
            FrameRoot::FrameObject(offset) | FrameRoot::CurrentFrame(offset) => field(offset),
            FrameRoot::CFrame(pointer, frame) => {
                field(pointer).and_then(|cframe| word(cframe.wrapping_add(frame)))
            }
        };
        let same = field(thread.id) == Some(header.state_id) && field(thread.interp) == Some(header.interp);
        same && top.is_some_and(|top| top != 0)
    }

    /// The interpreter's layout.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Address of `_PyRuntime`.
    #[must_use]
    pub fn runtime(&self) -> u64 {
        self.runtime
    }

    /// Main reads so far; one a look unless something new came up.
    #[must_use]
    pub fn main_reads(&self) -> u64 {
        self.main_reads
    }

    /// Every interpreter: its address and its fields in the last look.
    #[must_use]
    pub fn interpreters(&self) -> &[(u64, InterpreterFields)] {
        &self.interpreters
    }

    /// Forgets which functions call which: their addresses mean something else now.
    pub fn forget_pairs(&mut self) {
        self.pairs.clear();
    }

    /// Leaves the threads alone from now on whose state is one of `rests`: they have not run since the last look.
    pub fn rest(&mut self, rests: impl Fn(u64) -> bool) {
        for thread in &mut self.threads {
            thread.rests = rests(thread.reader.address());
        }
        self.find_awake();
    }

    fn find_awake(&mut self) {
        self.awake.clear();
        let awake = self.threads.iter().enumerate().filter(|(_, thread)| !thread.rests);
        self.awake.extend(awake.map(|(index, _)| index));
    }

    /// Looks at every thread that is awake, except those for which `skips` is true: their stack is not wanted, or still
    /// the one of the last look. An error: the process cannot be read any more.
    pub fn look(&mut self, skips: impl Fn(u64) -> bool) -> io::Result<()> {
        for &index in &self.awake {
            let thread = &mut self.threads[index];
            if thread.outcome == Outcome::Gone || !skips(thread.reader.address()) {
                thread.outcome = Outcome::Again;
            }
        }
        if self.interpreters.is_empty() {
            self.relist()?;
        }
        for _ in 0..ATTEMPTS {
            if !self.read_once()? {
                continue;
            }
            if !self.lists_hold(&self.shared, &self.buf) {
                self.relist()?;
            }
            let mut again = false;
            for &index in &self.awake {
                let outcome = &mut self.threads[index].outcome;
                if *outcome == Outcome::Stack(Verdict::Lost) {
                    *outcome = Outcome::Again;
                }
                again |= *outcome == Outcome::Again;
            }
            if !again {
                return Ok(());
            }
        }
        for &index in &self.awake {
            let thread = &mut self.threads[index];
            if thread.outcome == Outcome::Again {
                thread.outcome = thread.reader.settle();
            }
        }
        Ok(())
    }

    /// Looks at what all threads share, and at their stacks only if threads or interpreters came or went. What was
    /// known of the code before is as of the last look of either kind.
    pub fn look_at_shared(&mut self) -> io::Result<()> {
        let (mut none, mut list) = (PieceList::default(), PieceList::default());
        let mut shared = SharedFields::default();
        let addresses: Vec<u64> = self.interpreters.iter().map(|(address, _)| *address).collect();
        shared.plan(&self.layout, self.runtime, &addresses, &mut none, &mut list);
        let mut buf = vec![0; list.bytes()];
        if read_all(&*self.memory, &list, &mut buf)?.is_some() {
            return self.look(|_| true);
        }
        for (address, fields) in &mut self.interpreters {
            let before = Err(fields.code_generation);
            *fields = shared.interpreter(&self.layout, self.runtime, *address, &buf, before);
        }
        if self.lists_hold(&shared, &buf) { Ok(()) } else { self.look(|_| true) }
    }

    /// A number that changes when threads or interpreters come or go.
    #[must_use]
    pub fn listing(&self) -> u64 {
        self.listing
    }

    /// Index of the interpreter of the thread state at `address`.
    #[must_use]
    pub fn interpreter_of(&self, address: u64) -> Option<usize> {
        self.threads.iter().find(|thread| thread.reader.address() == address).map(|thread| thread.interpreter)
    }

    /// The threads of the last look.
    pub fn threads(&self) -> impl Iterator<Item = ThreadLook<'_>> {
        self.threads.iter().map(|thread| self.seen(thread))
    }

    /// Those of them that do not rest.
    pub fn awake(&self) -> impl Iterator<Item = ThreadLook<'_>> {
        self.awake.iter().map(|&index| self.seen(&self.threads[index]))
    }

    fn seen<'a>(&'a self, thread: &'a Thread) -> ThreadLook<'a> {
        let address = thread.reader.address();
        let stack = match thread.outcome {
            Outcome::Stack(_) => thread.reader.stack(),
            _ => &[],
        };
        ThreadLook {
            address,
            interpreter: thread.interpreter,
            header: thread.reader.header(),
            outcome: thread.outcome,
            stack,
            base: thread.reader.base(),
            moved: thread.reader.moved(),
            holds_gil: self.interpreters.iter().any(|(_, fields)| fields.gil_holder == address),
        }
    }

    /// One system call for all threads that want one; false when a piece could not be read.
    fn read_once(&mut self) -> io::Result<bool> {
        self.warm.clear();
        self.main.clear();
        for &index in &self.awake {
            let thread = &mut self.threads[index];
            if thread.outcome != Outcome::Again {
                continue;
            }
            thread.reader.plan(&self.layout, &self.decoder, &mut self.warm, &mut self.main);
        }
        let addresses: Vec<u64> = self.interpreters.iter().map(|(address, _)| *address).collect();
        self.shared.plan(&self.layout, self.runtime, &addresses, &mut self.warm, &mut self.main);
        if self.main.bytes() > MAX_BYTES {
            return Err(io::Error::other("the stacks of this process make no sense: they are too large"));
        }
        std::mem::swap(&mut self.buf, &mut self.earlier);
        self.buf.resize(self.main.bytes(), 0);
        self.warm_buf.resize(self.warm.bytes(), 0);
        self.main_reads += 1;
        // Right after another read everything is warm.
        let now = std::time::Instant::now();
        let cold = self.read_at.is_none_or(|at| now - at > COLD_AFTER);
        self.read_at = Some(now);
        let mut fault = if cold { read_all(&*self.memory, &self.warm, &mut self.warm_buf)? } else { None };
        if fault.is_none() {
            fault = read_all(&*self.memory, &self.main, &mut self.buf)?;
        }
        if let Some(fault) = fault {
            let (start, end) = (fault.base as u64, (fault.base + fault.len) as u64);
            self.threads.iter_mut().for_each(|thread| thread.reader.drop_range(start, end));
            // A thread state or the interpreter itself may be gone: find out what is there now.
            self.threads.retain(|thread| !thread.reader.lies_in(start, end));
            if self.shared.covers(start) {
                self.interpreters.clear();
            }
            self.relist()?;
            return Ok(false);
        }
        for (address, fields) in &mut self.interpreters {
            // Without a warm-up the last look is as near before this one.
            let warm = if cold { Ok(self.warm_buf.as_slice()) } else { Err(fields.code_generation) };
            *fields = self.shared.interpreter(&self.layout, self.runtime, *address, &self.buf, warm);
        }
        for &index in &self.awake {
            let thread = &mut self.threads[index];
            if thread.outcome != Outcome::Again {
                continue;
            }
            let earlier = (thread.read + 1 == self.main_reads).then_some(self.earlier.as_slice());
            thread.read = self.main_reads;
            let fields = self.interpreters.get(thread.interpreter).map(|(_, fields)| fields);
            let steady = fields.is_none_or(|fields| fields.code_generation == fields.code_generation_before);
            thread.outcome = thread.reader.interpret(
                &*self.memory,
                &self.layout,
                &self.decoder,
                &self.buf,
                earlier,
                (&mut self.pairs, steady),
            );
        }
        Ok(true)
    }

    /// Compares the lists of interpreters and threads with what a read of the shared fields says; true when nothing is new.
    /// New threads and interpreters appear at the head of their lists, so the heads tell.
    fn lists_hold(&self, shared: &SharedFields, buf: &[u8]) -> bool {
        let mut next = shared.first_interpreter(&self.layout, self.runtime, buf);
        for (index, (address, fields)) in self.interpreters.iter().enumerate() {
            if *address != next || self.heads.get(index).copied().unwrap_or(0) != fields.threads_head {
                return false;
            }
            next = fields.next;
        }
        let gone = |index: &usize| self.threads[*index].outcome == Outcome::Gone;
        next == 0 && !self.awake.iter().any(gone)
    }

    /// Walks the lists of interpreters and threads. What is known of a thread that is still there is kept.
    fn relist(&mut self) -> io::Result<()> {
        // Whatever goes wrong below, the next look comes here again.
        self.awake.clear();
        self.heads.clear();
        let memory = &*self.memory;
        let heads = self.runtime + self.layout.runtime.interpreters_head;
        let interpreters = walk_list(memory, heads, self.layout.interpreter.next, MAX_LIST)?;
        let mut old: FxHashMap<u64, Thread> =
            self.threads.drain(..).map(|thread| (thread.reader.address(), thread)).collect();
        for (index, &interpreter) in interpreters.iter().enumerate() {
            let heads = interpreter + self.layout.interpreter.threads_head;
            // The bound is on all threads together: each of many interpreters could have a list that goes round.
            let room = MAX_LIST - self.threads.len().min(MAX_LIST);
            for address in walk_list(memory, heads, self.layout.thread.next, room)? {
                let known = old.remove(&address).filter(|thread| thread.outcome != Outcome::Gone);
                let mut thread = known.unwrap_or_else(|| Thread {
                    reader: ThreadReader::new(&self.layout, address, interpreter),
                    interpreter: index,
                    outcome: Outcome::Again,
                    read: 0,
                    rests: false,
                });
                thread.interpreter = index;
                self.threads.push(thread);
            }
        }
        let head = |index| self.threads.iter().find(|thread| thread.interpreter == index);
        self.heads = (0..interpreters.len())
            .map(|index| head(index).map_or(0, |thread| thread.reader.address()))
            .collect();
        self.listing += 1;
        self.find_awake();
        self.interpreters =
            interpreters.into_iter().map(|address| (address, InterpreterFields::default())).collect();
        Ok(())
    }
}

/// User space ends far below 2^57 on every architecture; what lies above is no pointer, and sums with it wrap.
fn plausible(address: u64) -> bool {
    address != 0 && address.is_multiple_of(8) && address >> 57 == 0
}

/// The addresses of a linked list whose first pointer is at `head` and whose others are at `next` in each item.
/// It ends where it goes round, and after `most` items.
fn walk_list(memory: &dyn RemoteMemory, head: u64, next: u64, most: usize) -> io::Result<Vec<u64>> {
    let mut list = Vec::new();
    let mut met = FxHashSet::default();
    let mut address = memory.read_u64(head)?;
    while plausible(address) && list.len() < most && met.insert(address) {
        list.push(address);
        // An item that vanishes half-way ends the walk; the heads will differ in the next look.
        let Ok(following) = memory.read_u64(address.saturating_add(next)) else { break };
        address = following;
    }
    Ok(list)
}

/// Reads a list, in as many calls as it takes; the piece at fault when one cannot be read.
fn read_all(
    memory: &dyn RemoteMemory,
    list: &PieceList,
    buf: &mut [u8],
) -> io::Result<Option<crate::memory::Piece>> {
    let mut done = 0;
    for pieces in list.pieces().chunks(MAX_PIECES) {
        let want: usize = pieces.iter().map(|piece| piece.len).sum();
        let count = match memory.read_pieces(pieces, &mut buf[done..done + want]) {
            Ok(count) => count,
            Err(error) if error.raw_os_error() == Some(nix::libc::EFAULT) => 0,
            Err(error) => return Err(error),
        };
        done += count;
        if count < want {
            return Ok(list.at_fault(done));
        }
    }
    Ok(None)
}
