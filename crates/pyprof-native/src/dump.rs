//! All threads of a process at one moment, down to native and kernel frames: what `dump --native` shows.

use std::time::Duration;

use pyprof_core::attach::Attached;
use pyprof_core::memory::{ProcessMemory, RemoteMemory};
use pyprof_core::process::thread_clock::{RunState, ThreadClock};
use pyprof_core::process::threads;
use pyprof_core::profile::FrameKind;
use pyprof_core::snapshot::{
    self, FrameSnapshot, NativeLook, Seen, Snapshot, SnapshotOptions, ThreadSnapshot,
};
use pyprof_core::{Error, Result};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::blocked::WaitingThread;
use crate::look::Caught;
use crate::merge::{Merger, Problem, Slot};
use crate::present::{self, Item, Shown};
use crate::symbols::{NativeSymbol, Symbolizer};
use crate::unwind::Unwinder;
use crate::waits;

/// What a dump should hold besides Python's stacks.
#[derive(Debug, Clone, Copy, Default)]
pub struct DumpOptions {
    /// Arguments and locals
    pub locals: bool,
    /// Native frames, and threads without Python
    pub native: bool,
    /// Kernel frames of blocked threads
    pub kernel: bool,
}

/// Looks at a thread: one that calls without pause needs several until its stack is whole.
const MAX_LOOKS: usize = 200;
/// Looks at a thread that runs, in the hope that it blocks: then all of its frames can be shown.
const HOPEFUL_LOOKS: usize = 20;
/// Time between two looks.
const PAUSE: Duration = Duration::from_micros(100);

const RUNS: &str = "the thread runs: its native frames can only be seen while it is blocked";
const MOVES: &str = "the thread could not be caught waiting";

/// Looks at every thread of `pid`; see [`snapshot::take`], which does the same for Python alone.
pub fn take(pid: i32, options: DumpOptions) -> Result<Snapshot> {
    let plain = SnapshotOptions { locals: options.locals };
    if !options.native && !options.kernel {
        return snapshot::take(pid, plain);
    }
    let mut dump = Dump::open(pid, options)?;
    let mut order = Vec::new();
    for look in 0..MAX_LOOKS {
        order = match dump.look(look) {
            Ok(order) => order,
            Err(error) => match dump.process.judge(&error) {
                Some(error) => return Err(error),
                None => continue,
            },
        };
        if order.iter().all(|address| dump.done.get(address).is_some_and(|thread| thread.settled)) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let mut threads: Vec<ThreadSnapshot> =
        order.iter().filter_map(|address| dump.done.remove(address).map(|known| dump.name(known))).collect();
    if threads.is_empty() {
        return Err(Error::NotReady { pid });
    }
    if options.native {
        dump.add_native_threads(&mut threads);
    }
    threads.sort_by_key(|thread| {
        (
            !thread.native.as_ref().is_some_and(|native| native.has_python),
            thread.interpreter,
            !thread.is_main,
            thread.tid,
        )
    });
    Ok(snapshot::finish(&dump.process, threads))
}

/// The best that is known of a thread so far.
struct Known {
    thread: ThreadSnapshot,
    /// No further look can show more
    settled: bool,
    below: Option<Below>,
}

/// What lies below Python in a thread's stack.
struct Below {
    /// The merged stack; `None` when only the kernel's frames are wanted, or it could not be merged
    items: Option<Vec<Item>>,
    /// The Python frames by index, those that are never shown left out
    python: Vec<Option<FrameSnapshot>>,
    kernel: Vec<FrameSnapshot>,
}

struct Dump {
    process: Attached,
    memory: ProcessMemory,
    unwinder: Unwinder,
    merger: Merger,
    symbolizer: Symbolizer,
    options: DumpOptions,
    /// The thread states' own threads, and what is kept open to look at them
    waiting: FxHashMap<i32, WaitingThread>,
    /// By address of the thread state
    done: FxHashMap<u64, Known>,
}

impl Dump {
    fn open(pid: i32, options: DumpOptions) -> Result<Self> {
        let process = Attached::open(pid)?;
        let unwinder = Unwinder::new(pid).map_err(|error| {
            process
                .judge(&error)
                .unwrap_or(Error::System { operation: "reading memory maps".into(), source: error })
        })?;
        Ok(Self {
            memory: ProcessMemory::new(pid),
            unwinder,
            merger: Merger::new(process.reader.layout()),
            symbolizer: Symbolizer::default(),
            options,
            waiting: FxHashMap::default(),
            done: FxHashMap::default(),
            process,
        })
    }

    /// Looks once at all threads that are not settled. Returns the thread states' addresses.
    fn look(&mut self, look: usize) -> std::io::Result<Vec<u64>> {
        let pid = self.process.handle.pid();
        let headers: Vec<_> = self
            .process
            .reader
            .threads()
            .filter(|thread| !self.done.get(&thread.address).is_some_and(|known| known.settled))
            .map(|thread| (thread.address, thread.header))
            .collect();
        let mut tids = FxHashMap::default();
        for (address, header) in headers {
            let tid = self.process.tid(header);
            if let Ok(waiting) = WaitingThread::open(pid, tid) {
                self.waiting.entry(tid).or_insert(waiting);
            }
            tids.insert(address, tid);
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut caught: FxHashMap<u64, Caught<'_>> = tids
            .iter()
            .filter_map(|(address, tid)| Some((*address, Caught::begin(waiting.get(tid)?, &self.memory)?)))
            .collect();
        let done = &self.done;
        self.process.reader.look(|address| done.get(&address).is_some_and(|known| known.settled))?;
        let seen: Vec<Seen> = self
            .process
            .reader
            .threads()
            .filter(|thread| thread.header.python_id != 0)
            .map(Seen::from)
            .collect();
        let order = seen.iter().map(|thread| thread.address).collect();
        for thread in &seen {
            if self.done.get(&thread.address).is_some_and(|known| known.settled) {
                continue;
            }
            let last = look + 1 == MAX_LOOKS;
            let caught = caught.get_mut(&thread.address);
            if let Some(known) = self.describe(thread, caught, look, last) {
                self.done.insert(thread.address, known);
            }
        }
        drop(caught);
        self.waiting = waiting;
        Ok(order)
    }

    /// What this look tells of a thread; `None` when it is no better than what is known.
    fn describe(
        &mut self,
        thread: &Seen,
        caught: Option<&mut Caught<'_>>,
        look: usize,
        last: bool,
    ) -> Option<Known> {
        let whole = thread.is_whole();
        if !whole && !last {
            return None;
        }
        let hopeless = look >= HOPEFUL_LOOKS;
        let plain = SnapshotOptions { locals: self.options.locals };
        let mut snapshot = snapshot::describe(&mut self.process, thread, whole, plain);
        let unseen = |note: &str| NativeLook { note: note.into(), has_python: true, ..NativeLook::default() };
        let Some(caught) = caught.filter(|_| whole) else {
            snapshot.native = Some(unseen(if snapshot.on_cpu { RUNS } else { MOVES }));
            return Some(Known { thread: snapshot, settled: hopeless, below: None });
        };
        let pid = self.process.handle.pid();
        let wait = waits::describe(pid, snapshot.tid, &caught.blocked.call);
        let mut below = Below { items: None, python: Vec::new(), kernel: Vec::new() };
        let mut note = "";
        if self.options.kernel {
            (below.kernel, note) = waits::kernel_frames(pid, snapshot.tid, &wait);
        }
        let mut complete = true;
        if self.options.native {
            let cframe = Merger::cframe_field(self.process.reader.layout())
                .and_then(|field| self.memory.read_u64(thread.address.wrapping_add(field)).ok());
            let (native, merged) =
                caught.merge(&mut self.unwinder, &mut self.merger, &self.memory, &thread.stack, cframe);
            complete = merged.is_complete();
            if let Some(problem) = merged.problem {
                note = explain(problem);
                below.kernel.clear();
            } else {
                let frame = |frame| snapshot::describe_frame(&self.process, frame, plain);
                below.python = thread.stack.iter().map(frame).collect();
                below.items = Some(Item::of(&merged.slots, &native.frames, &self.unwinder));
            }
        }
        if !caught.held() {
            // It ran meanwhile: what was read is of several moments.
            snapshot.native = Some(unseen(RUNS));
            return Some(Known { thread: snapshot, settled: hopeless, below: None });
        }
        snapshot.on_cpu = false;
        snapshot.native =
            Some(NativeLook { complete, note: note.to_owned(), has_python: true, waits_in: Some(wait) });
        Some(Known { thread: snapshot, settled: complete || hopeless, below: Some(below) })
    }

    /// Puts what lies below Python into a thread's stack. Naming takes long, so it waits until all threads were looked at.
    fn name(&mut self, known: Known) -> ThreadSnapshot {
        let Known { mut thread, below, .. } = known;
        if let Some(mut below) = below {
            if let Some(items) = &below.items {
                thread.frames = self.frames(items, &mut below.python);
            }
            thread.frames.append(&mut below.kernel);
        }
        thread
    }

    /// The frames of a merged stack, without plumbing.
    fn frames(&mut self, items: &[Item], python: &mut [Option<FrameSnapshot>]) -> Vec<FrameSnapshot> {
        let shown = present::show(items, &mut self.symbolizer, &self.process.interpreter_file);
        let frame = |shown| match shown {
            Shown::Python(index) => python.get_mut(index)?.take(),
            Shown::Native(symbol) => Some(native_frame(symbol)),
        };
        shown.into_iter().filter_map(frame).collect()
    }

    /// Threads that have no Python thread state.
    fn add_native_threads(&mut self, threads: &mut Vec<ThreadSnapshot>) {
        let pid = self.process.handle.pid();
        let known: FxHashSet<i32> = threads.iter().map(|thread| thread.tid).collect();
        for tid in threads::list(pid).unwrap_or_default() {
            if !known.contains(&tid) {
                threads.push(self.native_thread(pid, tid));
            }
        }
    }

    fn native_thread(&mut self, pid: i32, tid: i32) -> ThreadSnapshot {
        let mut snapshot = ThreadSnapshot {
            interpreter: 0,
            name: threads::name(pid, tid).unwrap_or_default(),
            python_id: 0,
            tid,
            is_main: tid == pid,
            on_cpu: false,
            holds_gil: None,
            complete: true,
            frames: Vec::new(),
            native: None,
        };
        let waiting = WaitingThread::open(pid, tid);
        for _ in 0..HOPEFUL_LOOKS {
            let Some(mut caught) =
                waiting.as_ref().ok().and_then(|waiting| Caught::begin(waiting, &self.memory))
            else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let native = caught.unwind(&mut self.unwinder, &self.memory, crate::Hints::default());
            let wait = waits::describe(pid, tid, &caught.blocked.call);
            let (kernel, obstacle) =
                if self.options.kernel { waits::kernel_frames(pid, tid, &wait) } else { (Vec::new(), "") };
            if !caught.held() {
                continue;
            }
            let slots: Vec<Slot> = (0..native.frames.len()).rev().map(Slot::Native).collect();
            snapshot.frames = self.frames(&Item::of(&slots, &native.frames, &self.unwinder), &mut []);
            snapshot.frames.extend(kernel);
            let note = if native.complete { obstacle } else { explain(Problem::NativeCut) };
            snapshot.native = Some(NativeLook {
                complete: native.complete,
                note: note.into(),
                has_python: false,
                waits_in: Some(wait),
            });
            return snapshot;
        }
        snapshot.on_cpu = ThreadClock::open(pid, tid)
            .and_then(|clock| clock.state())
            .is_ok_and(|state| state == RunState::Running);
        snapshot.native = Some(NativeLook { note: RUNS.into(), ..NativeLook::default() });
        snapshot
    }
}

fn native_frame(symbol: NativeSymbol) -> FrameSnapshot {
    let mut frame = FrameSnapshot::without_python(FrameKind::Native, symbol.name.unwrap_or(symbol.place));
    frame.module = symbol.module;
    frame.file = symbol.file.unwrap_or_default();
    frame.line = symbol.line;
    frame
}

fn explain(problem: Problem) -> &'static str {
    match problem {
        Problem::NativeCut => "the native stack could not be followed to the thread's root",
        Problem::Entries => "Python's frames and their entry markers do not fit each other",
        Problem::Unplaced => "an entry marker lies in no native frame of its own",
        Problem::Evaluations => "not every Python frame has a native frame that holds it",
    }
}
