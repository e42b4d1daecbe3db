//! One look at every thread: what `dump` shows.

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::attach::Attached;
use crate::process::children::command_line;
use crate::process::thread_clock::{RunState, ThreadClock};
use crate::process::threads;
use crate::profile::{FrameKind, MISSING_FRAME, UNKNOWN_FUNCTION};
use crate::python::code_cache::CachedCode;
use crate::python::frame::{FrameDecoder, RawFrame};
use crate::python::locals::locals;
use crate::python::reader::ThreadLook;
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::{Header, Outcome};
use crate::{Error, Result};

pub use crate::python::locals::Local;

/// What a look should hold besides the stacks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SnapshotOptions {
    /// Read arguments and locals and show them as bounded text
    pub locals: bool,
}

/// All threads of a process at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// As the profiler's pid namespace counts it
    pub pid: i32,
    /// `CPython` version, for example `3.13.0`
    pub python_version: String,
    /// The file behind `/proc/PID/exe`
    pub executable: String,
    /// Arguments of the process
    pub command: Vec<String>,
    /// By interpreter, the main thread first, then by kernel thread id
    pub threads: Vec<ThreadSnapshot>,
}

/// One thread and its stack.
#[derive(Debug, Clone)]
pub struct ThreadSnapshot {
    /// `PyInterpreterState.id`: 0 is the main interpreter
    pub interpreter: u64,
    /// Python's name, else the kernel's
    pub name: String,
    /// `threading.get_ident()`
    pub python_id: u64,
    /// Kernel thread id in the profiler's pid namespace, 0 when unknown
    pub tid: i32,
    /// Its kernel thread is the one the process began with
    pub is_main: bool,
    /// The kernel's state letter is R: on a CPU, or waiting for one
    pub on_cpu: bool,
    /// This thread holds the GIL; `None` where there is none (free-threaded)
    pub holds_gil: Option<bool>,
    /// False when the stack kept moving and could only be proven in part; then the last frame is `Missing`
    pub complete: bool,
    /// Root first, leaf last; empty for a thread that runs no Python code
    pub frames: Vec<FrameSnapshot>,
    /// What lies below Python; `None` unless asked of a crate that looks there
    pub native: Option<NativeLook>,
}

/// How far a thread was seen below Python.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeLook {
    /// Native and Python frames are all there, in their true order. When false the Python frames stand alone
    pub complete: bool,
    /// Why they are not, or what kept the kernel's frames from being shown; empty when nothing is missing
    pub note: String,
    /// The thread has a Python thread state
    pub has_python: bool,
    /// What a blocked thread waits in; `None` while it runs
    pub waits_in: Option<Wait>,
}

/// What a blocked thread waits in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wait {
    /// The system call's number; `None` when the thread waits in none (a page fault, or it is stopped)
    pub number: Option<i64>,
    /// Its name, `syscall_NUMBER` when it has none here, empty when there is no call
    pub call: String,
    /// Its arguments as text, as far as they tell something
    pub arguments: Vec<String>,
    /// The kernel function that waits (`/proc/TID/wchan`); empty when the kernel does not tell
    pub channel: String,
}

/// One frame of a [`ThreadSnapshot`].
#[derive(Debug, Clone)]
pub struct FrameSnapshot {
    /// What kind of code it is
    pub kind: FrameKind,
    /// `co_name`; of native code the function's name, or module and offset where nothing names it
    pub name: String,
    /// `co_qualname` (3.11+), else `co_name`
    pub qualified_name: String,
    /// `co_filename` as the target spells it; of native code its source file, where debug information names it
    pub file: String,
    /// The program, library or kernel module that holds native code; empty for Python
    pub module: String,
    /// First line of the function, 0 when unknown
    pub first_line: u32,
    /// Current line, 0 when unknown
    pub line: u32,
    /// Last line of the current expression, 0 when unknown (always up to 3.10)
    pub end_line: u32,
    /// UTF-8 bytes plus 1, 0 when unknown (always up to 3.10)
    pub column: u32,
    /// Exclusive; UTF-8 bytes plus 1, 0 when unknown
    pub end_column: u32,
    /// `async def` or an async generator
    pub is_async: bool,
    /// `None` unless asked for
    pub locals: Option<Vec<Local>>,
}

/// Looks whose only aim is one whole stack of each thread; a thread that calls without pause needs several.
const MAX_LOOKS: usize = 200;
/// Time between two such looks.
const PAUSE: Duration = Duration::from_micros(100);

/// Looks at every thread of `pid`.
///
/// A thread whose stack moves during the look is looked at again, so each stack is whole and was there at one
/// moment; the moments of two threads can lie some milliseconds apart.
pub fn take(pid: i32, options: SnapshotOptions) -> Result<Snapshot> {
    let mut process = Attached::open(pid)?;
    let mut done: FxHashMap<u64, ThreadSnapshot> = FxHashMap::default();
    let mut order = Vec::new();
    for look in 0..MAX_LOOKS {
        if let Err(error) =
            process.reader.look(|address| done.get(&address).is_some_and(|thread| thread.complete))
        {
            if let Some(error) = process.judge(&error) {
                return Err(error);
            }
            continue;
        }
        let threads: Vec<Seen> =
            process.reader.threads().filter(|look| look.header.python_id != 0).map(Seen::from).collect();
        order = threads.iter().map(|thread| thread.address).collect();
        for thread in threads {
            let last = look + 1 == MAX_LOOKS;
            let whole = thread.is_whole();
            if done.get(&thread.address).is_none_or(|known| !known.complete) && (whole || last) {
                let snapshot = describe(&mut process, &thread, whole, options);
                done.insert(thread.address, snapshot);
            }
        }
        if order.iter().all(|address| done.get(address).is_some_and(|thread| thread.complete)) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let mut threads: Vec<ThreadSnapshot> = order.iter().filter_map(|address| done.remove(address)).collect();
    if threads.is_empty() {
        return Err(Error::NotReady { pid });
    }
    // The interpreter lists its newest thread first; people look for the main one.
    threads.sort_by_key(|thread| (thread.interpreter, !thread.is_main, thread.tid));
    Ok(finish(&process, threads))
}

/// A process and these threads of it.
#[must_use]
pub fn finish(process: &Attached, threads: Vec<ThreadSnapshot>) -> Snapshot {
    let pid = process.handle.pid();
    Snapshot {
        pid,
        python_version: process.version.to_string(),
        executable: std::fs::read_link(format!("/proc/{pid}/exe"))
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
        command: command_line(pid),
        threads,
    }
}

/// A thread as a look saw it, free of the reader. See [`ThreadLook`] for the fields.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Seen {
    pub address: u64,
    pub interpreter: usize,
    pub header: Header,
    pub outcome: Outcome,
    pub stack: Vec<RawFrame>,
    pub holds_gil: bool,
}

impl Seen {
    /// The stack was proven from root to leaf.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.outcome, Outcome::NoFrames | Outcome::Stack(Verdict::Whole))
    }
}

impl From<ThreadLook<'_>> for Seen {
    fn from(look: ThreadLook<'_>) -> Self {
        Self {
            address: look.address,
            interpreter: look.interpreter,
            header: look.header,
            outcome: look.outcome,
            stack: look.stack.to_vec(),
            holds_gil: look.holds_gil,
        }
    }
}

/// Names, lines and locals of a thread's stack; `whole`: it was proven from root to leaf.
pub fn describe(
    process: &mut Attached,
    thread: &Seen,
    whole: bool,
    options: SnapshotOptions,
) -> ThreadSnapshot {
    let pid = process.handle.pid();
    // An unreadable code object is named so below; the rest of the stack is worth showing.
    let _ = process.learn_codes(thread.interpreter, &thread.stack);
    let tid = process.tid(thread.header);
    let name = process.thread_name(thread.header.python_id).or_else(|| threads::name(pid, tid));
    // If it has ended since the look, both may be those of the thread after it.
    let known = process.still_has(thread.address, thread.header);
    let (tid, name) = if known { (tid, name.unwrap_or_default()) } else { (0, String::new()) };
    let sure = process.codes.sure(&thread.stack);
    let stack = &thread.stack[..sure];
    let mut frames: Vec<FrameSnapshot> =
        stack.iter().filter_map(|frame| describe_frame(process, frame, options)).collect();
    let whole = whole && sure == thread.stack.len();
    if !whole {
        frames.push(FrameSnapshot::missing());
    }
    let memory = process.reader.memory();
    let layout = process.reader.layout();
    let interpreter = process.reader.interpreters().get(thread.interpreter);
    let has_gil = !layout.free_threaded || interpreter.is_some_and(|(_, fields)| fields.has_gil);
    let interpreter = interpreter.map_or(0, |(address, _)| *address);
    ThreadSnapshot {
        interpreter: memory.read_u64(interpreter.wrapping_add(layout.interpreter.id)).unwrap_or(0),
        name,
        python_id: thread.header.python_id,
        tid,
        is_main: tid == pid,
        on_cpu: ThreadClock::open(pid, tid)
            .and_then(|clock| clock.state())
            .is_ok_and(|state| state == RunState::Running),
        holds_gil: has_gil.then_some(thread.holds_gil),
        complete: whole,
        frames,
        native: None,
    }
}

/// One frame; `None` for entry markers and the interpreter's own trampolines, which are never shown. The process must
/// have learnt the stack's code objects ([`Attached::learn_codes`]).
#[must_use]
pub fn describe_frame(
    process: &Attached,
    frame: &RawFrame,
    options: SnapshotOptions,
) -> Option<FrameSnapshot> {
    let code = match process.codes.get(frame.code) {
        _ if frame.is_marker() => return None,
        Some(CachedCode { code: None, .. }) => return None,
        Some(CachedCode { code: Some(code), .. }) => Some(code),
        None => None,
    };
    let position = code.map(|code| code.position(frame.instruction)).unwrap_or_default();
    let unknown = || UNKNOWN_FUNCTION.to_owned();
    Some(FrameSnapshot {
        kind: FrameKind::Python,
        name: code.map_or_else(unknown, |code| code.name.clone()),
        qualified_name: code.map_or_else(unknown, |code| code.qualified_name.clone()),
        file: code.map(|code| code.file.clone()).unwrap_or_default(),
        module: String::new(),
        first_line: code.map_or(0, |code| code.first_line),
        line: position.line,
        end_line: position.end_line,
        column: position.column,
        end_column: position.end_column,
        is_async: code.is_some_and(crate::python::code::Code::is_async),
        locals: options.locals.then(|| frame_locals(process, frame)).flatten(),
    })
}

/// The variables of a frame, unless it moved on while they were read: then they belong to another moment.
fn frame_locals(process: &Attached, frame: &RawFrame) -> Option<Vec<Local>> {
    let (memory, layout) = (process.reader.memory(), process.reader.layout());
    let found = locals(memory, layout, frame.code, frame.address).ok()?;
    let decoder = FrameDecoder::new(layout);
    let now = decoder.decode(frame.address, &memory.read_vec(frame.address, decoder.prefix()).ok()?)?;
    (now.code == frame.code && now.previous == frame.previous).then_some(found)
}

impl FrameSnapshot {
    /// The leaf of a stack that could not be proven whole.
    fn missing() -> Self {
        Self::without_python(FrameKind::Missing, MISSING_FRAME.to_owned())
    }

    /// A frame that is no Python code: no more than its name is known yet.
    #[must_use]
    pub fn without_python(kind: FrameKind, name: String) -> Self {
        Self {
            kind,
            qualified_name: name.clone(),
            name,
            file: String::new(),
            module: String::new(),
            first_line: 0,
            line: 0,
            end_line: 0,
            column: 0,
            end_column: 0,
            is_async: false,
            locals: None,
        }
    }
}
