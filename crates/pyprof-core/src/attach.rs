//! A process that has been understood: its interpreter found, its layout known, ready to be looked at.

use std::io;

use nix::libc;
use rustc_hash::FxHashMap;

use crate::memory::ProcessMemory;
use crate::process::access::explain_denied;
use crate::process::exit::{Fate, ProcessHandle};
use crate::process::thread_clock::RunState;
use crate::process::threads::{self, TidMap};
use crate::profile::State;
use crate::profile::state::{HANDLES_EXCEPTION, HOLDS_GIL, IN_GC, ON_CPU, WAITS_FOR_GIL};
use crate::python::code_cache::CodeCache;
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
    /// 3.12 and older have no counter that tells when a code object was replaced
    has_code_counter: bool,
    /// Where libc keeps the thread id (3.8 to 3.10), once it was looked for
    pthread_tid: PthreadTid,
    tids: TidMap,
    exceptions: Exceptions,
}

/// Looks that are made before the first one counts.
const ACQUAINT: usize = 20;

/// Looks until every thread's stack has been whole once: from then on its root is known, and what of it moves. Says
/// whether any thread could be understood.
fn acquaint(reader: &mut ProcessReader) -> bool {
    let whole = |outcome| matches!(outcome, Outcome::NoFrames | Outcome::Stack(Verdict::Whole));
    for _ in 0..ACQUAINT {
        if reader.threads().all(|thread| whole(thread.outcome)) || reader.look(|_| false).is_err() {
            break;
        }
    }
    let understood =
        |outcome| matches!(outcome, Outcome::NoFrames | Outcome::Stack(Verdict::Whole | Verdict::Cut));
    reader.threads().any(|thread| thread.header.python_id != 0 && understood(thread.outcome))
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
            let has_code_counter = layout.interpreter.code_generation.is_some();
            let mut reader = ProcessReader::new(Box::new(memory), layout, runtime.address);
            // A second copy of libpython that was loaded but never started has no thread, and what only looks like
            // an interpreter (while the real one is still being made) has none that makes sense.
            if reader.look(|_| false).is_ok() && reader.threads().next().is_some() && acquaint(&mut reader) {
                return Ok(Self {
                    handle,
                    version: runtime.version,
                    interpreter_file: runtime.file,
                    reader,
                    codes: CodeCache::default(),
                    has_code_counter,
                    pthread_tid: PthreadTid::NotSought,
                    tids: TidMap::default(),
                    exceptions: Exceptions::default(),
                });
            }
        }
        Err(if handle.has_exited() { Error::ProcessExited { pid } } else { problem })
    }

    /// Makes sure that the functions of a stack are known by their right names.
    pub fn learn_codes(&mut self, interpreter: usize, stack: &[RawFrame]) -> io::Result<()> {
        let generation = self.has_code_counter.then(|| {
            self.reader.interpreters().get(interpreter).map_or(0, |(_, fields)| fields.code_generation)
        });
        let addresses = stack.iter().filter(|frame| !frame.is_marker()).map(|frame| frame.code);
        let replaced =
            self.codes.refresh(self.reader.memory(), self.reader.layout(), generation, addresses)?;
        if replaced {
            self.reader.forget_pairs();
        }
        Ok(())
    }

    /// Where libc keeps the kernel's thread id in what a `pthread_t` points to, in bytes. Sought once, and only where
    /// thread states do not have it (3.8 to 3.10).
    pub fn pthread_tid(&mut self) -> Option<u64> {
        if self.reader.layout().thread.native_thread_id.is_some() {
            return None;
        }
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
        let inner = if header.native_id != 0 {
            header.native_id
        } else {
            let offset = self.pthread_tid()?;
            u64::from(self.reader.memory().read_u32(header.python_id.wrapping_add(offset)).ok()?)
        };
        u32::try_from(inner).ok().filter(|tid| *tid != 0)
    }

    /// The kernel's id of a thread, as our pid namespace counts it; 0 when it cannot be told.
    pub fn tid(&mut self, header: Header) -> i32 {
        let pid = self.handle.pid();
        let inner = self.inner_tid(header).and_then(|tid| i32::try_from(tid).ok());
        let Some(inner) = inner else { return 0 };
        if let Some(tid) = self.tids.outer(inner) {
            return tid;
        }
        self.tids = TidMap::read(pid).unwrap_or_default();
        match (self.tids.outer(inner), self.tids.all()) {
            (Some(tid), _) => tid,
            // A child that has just been forked still has its parent's number in the thread state.
            (None, [only]) => *only,
            _ => 0,
        }
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
