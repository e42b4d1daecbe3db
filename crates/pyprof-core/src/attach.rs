//! A process that has been understood: its interpreter found, its layout known, ready to be looked at.

use std::io;
use std::time::{Duration, Instant};

use nix::libc;
use rustc_hash::FxHashMap;

use crate::memory::ProcessMemory;
use crate::process::access::explain_denied;
use crate::process::exit::{Fate, ProcessHandle};
use crate::process::thread_clock::RunState;
use crate::process::threads::{self, TidMap};
use crate::profile::State;
use crate::profile::state::{HANDLES_EXCEPTION, HOLDS_GIL, IN_GC, ON_CPU, WAITS_FOR_GIL};
use crate::python::code_cache::{CodeCache, Epoch, Generation};
use crate::python::exceptions::Exceptions;
use crate::python::frame::RawFrame;
use crate::python::layout::for_runtime;
use crate::python::locate::locate;
use crate::python::located::Version;
use crate::python::reader::ProcessReader;
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::{Header, Outcome};
use crate::python::thread_names::thread_names;
use crate::{Error, Result};

/// Where in libc's `struct pthread` the kernel's thread id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PthreadTid {
    NotSought,
    Unknown,
    /// Offset in bytes
    At(u64),
}

/// A process and everything needed to look at it.
#[derive(Debug)]
pub struct Attached {
    /// The process, safe from reused pids
    pub handle: ProcessHandle,
    /// Which `CPython` it runs
    pub version: Version,
    /// The program or library that holds the interpreter, as the target names it
    pub interpreter_file: String,
    /// Its threads
    pub reader: ProcessReader,
    /// Its functions
    pub codes: CodeCache,
    /// Where libc keeps the thread id, once it was looked for
    pthread_tid: PthreadTid,
    tids: TidMap,
    exceptions: Exceptions,
    /// See [`Attached::thread_name`]
    names: FxHashMap<u64, String>,
    names_at: Option<Instant>,
}

/// How long names of threads are believed.
const NAMES_HOLD: Duration = Duration::from_millis(100);

/// Looks that are made before the first one counts.
const ACQUAINT: usize = 20;
/// For so long they are begun anew, a millisecond apart, while they show nothing.
const PATIENCE: Duration = Duration::from_millis(30);

/// Looks until every thread's stack has been whole once: from then on its root is known, and what of it moves. Says
/// whether any thread could be understood, within `patience`.
fn acquaint(reader: &mut ProcessReader, patience: Duration) -> bool {
    let whole = |outcome| matches!(outcome, Outcome::NoFrames | Outcome::Stack(Verdict::Whole));
    let understood =
        |outcome| matches!(outcome, Outcome::NoFrames | Outcome::Stack(Verdict::Whole | Verdict::Cut));
    let begin = Instant::now();
    loop {
        let mut gone = false;
        for _ in 0..ACQUAINT {
            if gone || reader.threads().all(|thread| whole(thread.outcome)) {
                break;
            }
            gone = reader.look(|_| false).is_err();
        }
        let known = reader.threads().any(|thread| thread.header.python_id != 0 && understood(thread.outcome));
        if known || gone || begin.elapsed() >= patience {
            return known;
        }
        // A thread that lost its CPU between two stores has no root until it gets one again: a generator that has just
        // yielded is still the current frame.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the kernel says of a thread.
#[must_use]
pub fn state_of(doing: RunState) -> State {
    match doing {
        RunState::Running => State::default().with(ON_CPU, true),
        RunState::Blocked { syscall, .. } => {
            State { flags: 0, syscall: syscall.and_then(|number| u16::try_from(number).ok()) }
        }
    }
}

impl Attached {
    /// Finds and understands the interpreter of `pid`.
    pub fn open(pid: i32) -> Result<Self> {
        Self::open_within(pid, PATIENCE)
    }

    /// The same for who tries again soon: a process that is still starting is not waited for.
    pub fn open_at_once(pid: i32) -> Result<Self> {
        Self::open_within(pid, Duration::ZERO)
    }

    fn open_within(pid: i32, patience: Duration) -> Result<Self> {
        let handle = ProcessHandle::open(pid)?;
        let memory = ProcessMemory::new(pid);
        let mut problem = Error::NotReady { pid };
        for runtime in locate(pid, &memory)? {
            let layout = match for_runtime(&memory, pid, &runtime) {
                Ok(layout) => layout,
                Err(error) => {
                    problem = error;
                    continue;
                }
            };
            let mut reader = ProcessReader::new(Box::new(memory), layout, runtime.address);
            // A second copy of libpython that was loaded but never started has no thread, and what only looks like
            // an interpreter (while the real one is still being made) has none that makes sense.
            if reader.look(|_| false).is_ok()
                && reader.threads().next().is_some()
                && acquaint(&mut reader, patience)
            {
                return Ok(Self {
                    handle,
                    version: runtime.version,
                    interpreter_file: runtime.file,
                    reader,
                    codes: CodeCache::default(),
                    pthread_tid: PthreadTid::NotSought,
                    tids: TidMap::default(),
                    exceptions: Exceptions::default(),
                    names: FxHashMap::default(),
                    names_at: None,
                });
            }
        }
        Err(if handle.has_exited() { Error::ProcessExited { pid } } else { problem })
    }

    /// Makes sure that the functions of a stack are known by their right names.
    pub fn learn_codes(&mut self, interpreter: usize, stack: &[RawFrame]) -> io::Result<()> {
        self.learn_codes_above(interpreter, stack, 0, None).map(|_| ())
    }

    /// The same; the first `base` frames of the stack are known since `epoch`. Returns the epoch of now, `None` when
    /// there is none, and whether the base was left out because it is still the same.
    pub fn learn_codes_above(
        &mut self,
        interpreter: usize,
        stack: &[RawFrame],
        base: usize,
        epoch: Option<Epoch>,
    ) -> io::Result<(Option<Epoch>, bool)> {
        let layout = self.reader.layout();
        let fields = self.reader.interpreters().get(interpreter);
        let generation =
            layout.interpreter.code_generation.zip(fields).map(|(field, (interpreter, fields))| Generation {
                field,
                interpreter: *interpreter,
                before: fields.code_generation_before,
                after: fields.code_generation,
            });
        let copies = fields.map_or(0, |(_, fields)| fields.tlbc_generation);
        self.codes.begin(generation);
        let same = epoch.is_some() && epoch == self.codes.epoch(generation, copies);
        let stack = if same { stack.get(base..).unwrap_or(&[]) } else { stack };
        let named = || stack.iter().filter(|frame| !frame.is_marker());
        let memory = self.reader.memory();
        let replaced = self.codes.refresh(memory, layout, generation, named().map(|frame| frame.code))?;
        if layout.code.tlbc.is_some() {
            let frames = named().map(|frame| (frame.code, frame.instruction));
            self.codes.learn_copies(memory, layout, copies, frames);
        }
        if replaced {
            self.reader.forget_pairs();
        }
        // What was read just now belongs to a time that begins here.
        Ok((self.codes.epoch(generation, copies), same))
    }

    /// Where libc keeps the kernel's thread id in what a `pthread_t` points to, in bytes. Sought once, and only where
    /// thread states do not have it (3.8 to 3.10).
    pub fn pthread_tid(&mut self) -> Option<u64> {
        if self.reader.layout().thread.native_thread_id.is_some() {
            return None;
        }
        self.libc_tid_offset()
    }

    fn libc_tid_offset(&mut self) -> Option<u64> {
        if self.pthread_tid == PthreadTid::NotSought {
            let ids: Vec<u64> = self.reader.threads().map(|thread| thread.header.python_id).collect();
            let found = threads::pthread_tid_offset(self.reader.memory(), self.handle.pid(), &ids);
            self.pthread_tid = found.map_or(PthreadTid::Unknown, PthreadTid::At);
        }
        match self.pthread_tid {
            PthreadTid::At(offset) => Some(offset),
            PthreadTid::NotSought | PthreadTid::Unknown => None,
        }
    }

    /// The kernel's id of a thread, as its own pid namespace counts it; `None` when it cannot be told.
    pub fn inner_tid(&mut self, header: Header) -> Option<u32> {
        if header.native_id == 0 {
            return self.libc_tid(header.python_id);
        }
        u32::try_from(header.native_id).ok()
    }

    /// What libc's own descriptor of a thread has for the kernel's id.
    fn libc_tid(&mut self, python_id: u64) -> Option<u32> {
        let offset = self.libc_tid_offset()?;
        let tid = self.reader.memory().read_u32(python_id.wrapping_add(offset)).ok()?;
        (tid != 0).then_some(tid)
    }

    /// Our number of the thread that the process itself knows as `inner`.
    fn outer(&mut self, inner: Option<u32>) -> Option<i32> {
        let inner = i32::try_from(inner?).ok()?;
        if self.tids.outer(inner).is_none() {
            self.tids = TidMap::read(self.handle.pid()).unwrap_or_default();
        }
        self.tids.outer(inner)
    }

    /// The kernel's id of a thread, as our pid namespace counts it; 0 when it cannot be told.
    pub fn tid(&mut self, header: Header) -> i32 {
        let inner = self.inner_tid(header);
        if let Some(tid) = self.outer(inner) {
            return tid;
        }
        // A program that forks without Python's knowledge (a web server that embeds it) leaves its parent's number in
        // the thread state, while libc's is right.
        let libc = self.libc_tid(header.python_id);
        if let Some(tid) = self.outer(libc) {
            return tid;
        }
        match self.tids.all() {
            // A child that has just been forked still has its parent's number in the thread state.
            [only] if inner.is_some() => *only,
            _ => 0,
        }
    }

    /// Whether the thread state at `address` is still in use by the thread of `header`. Then what was found by its
    /// `pthread_t` until now is right: the next thread gets the same one once this one has ended.
    #[must_use]
    pub fn still_has(&self, address: u64, header: Header) -> bool {
        let (memory, layout) = (self.reader.memory(), self.reader.layout());
        let read = |base: u64, offset: u64| memory.read_u64(base.wrapping_add(offset)).unwrap_or(0);
        let thread = &layout.thread;
        // One that has been freed keeps its bytes for a while, but its neighbour in the list lets go of it first.
        let is_listed = || match read(address, thread.prev) {
            0 => read(header.interp, layout.interpreter.threads_head) == address,
            neighbour => read(neighbour, thread.next) == address,
        };
        let is_same = || {
            read(address, thread.id) == header.state_id && read(address, thread.thread_id) == header.python_id
        };
        // A new thread may have come between them meanwhile.
        (0..3).any(|_| is_listed() && is_same())
    }

    /// What a thread did in the last look: `doing` by the kernel's word, the rest by its thread state and its
    /// interpreter, the `interpreter`th.
    #[must_use]
    pub fn state(&mut self, interpreter: usize, header: Header, holds_gil: bool, doing: RunState) -> State {
        let (memory, layout) = (self.reader.memory(), self.reader.layout());
        let handles = self.exceptions.any(memory, layout, header.exceptions);
        let fields = self.reader.interpreters().get(interpreter).map(|(_, fields)| fields);
        let collecting = fields.is_some_and(|fields| fields.collecting);
        let waits = match doing {
            RunState::Blocked { syscall: Some(libc::SYS_futex), argument } => {
                fields.is_some_and(|fields| fields.gil_locks.contains(&argument))
            }
            _ => false,
        };
        state_of(doing)
            .with(HOLDS_GIL, holds_gil)
            .with(WAITS_FOR_GIL, waits && !holds_gil)
            .with(IN_GC, collecting && holds_gil)
            .with(HANDLES_EXCEPTION, handles)
    }

    /// Python's names of the threads of all interpreters, by `threading.get_ident()`.
    #[must_use]
    pub fn thread_names(&self) -> FxHashMap<u64, String> {
        let (memory, layout) = (self.reader.memory(), self.reader.layout());
        let interpreters = self.reader.interpreters().iter();
        interpreters
            .filter_map(|(address, _)| thread_names(memory, layout, *address).ok())
            .flatten()
            .collect()
    }

    /// Whether its threads need a GIL to run.
    #[must_use]
    pub fn has_gil(&self) -> bool {
        !self.reader.layout().free_threaded
            || self.reader.interpreters().iter().any(|(_, fields)| fields.has_gil)
    }

    /// Python's name of one thread, as it was a moment ago: asked for each of a thousand threads in turn, they are not
    /// read a thousand times.
    pub fn thread_name(&mut self, python_id: u64) -> Option<String> {
        if self.names_at.is_none_or(|at| at.elapsed() > NAMES_HOLD) {
            self.names = self.thread_names();
            self.names_at = Some(Instant::now());
        }
        self.names.get(&python_id).cloned()
    }

    /// What an error while looking means: `None` when the process is there and only moved under our eyes.
    #[must_use]
    pub fn judge(&self, error: &io::Error) -> Option<Error> {
        let pid = self.handle.pid();
        match self.handle.fate() {
            Fate::Exited | Fate::Replaced => return Some(Error::ProcessExited { pid }),
            Fate::Running => {}
        }
        match error.raw_os_error() {
            Some(libc::ESRCH) => Some(Error::ProcessExited { pid }),
            Some(libc::EPERM | libc::EACCES) => Some(explain_denied(pid)),
            _ => None,
        }
    }
}
