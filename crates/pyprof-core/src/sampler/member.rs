//! One process under the sampler: its threads, and how what a look brings becomes samples.

use std::io;

use rustc_hash::FxHashMap;

use super::sink::Sink;
use super::thread::{Moment, SampledThread};
use super::{Options, Stats};
use crate::attach::Attached;
use crate::process::threads;
use crate::profile::{EMPTY_STACK, Frame, FrameKind, LastLook, StackId, ThreadInfo, UNKNOWN_FUNCTION};
use crate::python::code_cache::CachedCode;
use crate::python::frame::RawFrame;
use crate::python::reader::ThreadLook;
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::{Header, Outcome};

/// How often the threads' names are read again, in ns: a name is often given after the start.
const NAMES_EVERY: u64 = 1_000_000_000;
/// More frames than this are interned anew: a program that makes functions without end.
const MAX_FRAME_IDS: usize = 1 << 18;

/// A process that is being sampled.
#[derive(Debug)]
pub struct Member {
    process: Attached,
    /// Index in the profile
    index: u32,
    frame_ids: FxHashMap<(u64, u64), u32>,
    /// By the address of the thread state
    threads: FxHashMap<u64, SampledThread>,
    names: FxHashMap<u64, String>,
    names_at: u64,
    looks: Vec<Look>,
    /// When it was last looked at, on the session's clock
    before: u64,
}

/// A thread as the last look saw it, free of the reader.
#[derive(Debug)]
struct Look {
    address: u64,
    interpreter: usize,
    header: Header,
    outcome: Outcome,
    holds_gil: bool,
    stack: Vec<RawFrame>,
}

impl Member {
    /// A process that has just been attached to, `index` in the profile; `now` on the session's clock.
    #[must_use]
    pub fn new(process: Attached, index: u32, now: u64) -> Self {
        Self {
            process,
            index,
            frame_ids: FxHashMap::default(),
            threads: FxHashMap::default(),
            names: FxHashMap::default(),
            names_at: 0,
            looks: Vec::new(),
            before: now,
        }
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Attached {
        &self.process
    }

    /// How many threads the last look saw.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// One sample of every thread, at `now` on the session's clock.
    pub fn sample(
        &mut self,
        now: u64,
        options: &Options,
        sink: &mut Sink,
        stats: &mut Stats,
    ) -> io::Result<()> {
        let moment = Moment { time: now, wall: now - self.before };
        self.before = now;
        self.look(stats)?;
        let looks = std::mem::take(&mut self.looks);
        if looks.len() != self.threads.len() || looks.iter().any(|look| !self.knows(look)) {
            self.meet(&looks, now, sink);
        } else if now >= self.names_at + NAMES_EVERY {
            self.refresh_names(now, sink);
        }
        for look in &looks {
            self.add(look, moment, options, sink, stats);
        }
        self.looks = looks;
        Ok(())
    }

    /// No more samples: its threads' last CPU time, and their end.
    pub fn close(mut self, now: u64, sink: &mut Sink) {
        for thread in self.threads.values_mut() {
            thread.settle(sink);
            sink.end_thread(thread.index(), now);
        }
    }

    /// The session ends, the process does not.
    pub fn settle(&mut self, sink: &mut Sink) {
        self.threads.values_mut().for_each(|thread| thread.settle(sink));
    }

    /// One look at the process; its result is in `self.looks`.
    fn look(&mut self, stats: &mut Stats) -> io::Result<()> {
        let threads = &mut self.threads;
        for thread in threads.values_mut() {
            thread.ask_whether_it_ran();
        }
        let reads = self.process.reader.main_reads();
        self.process.reader.look(|address| threads.get(&address).is_some_and(SampledThread::rests))?;
        stats.extra_reads += (self.process.reader.main_reads() - reads).saturating_sub(1);
        // A program that has replaced itself can have an interpreter in the very same place.
        if !self.process.handle.has_same_memory() {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        self.looks.clear();
        // A thread state without an id has not been bound to a thread yet.
        let bound = self.process.reader.threads().filter(|look| look.header.python_id != 0);
        self.looks.extend(bound.map(|look: ThreadLook<'_>| Look {
            address: look.address,
            interpreter: look.interpreter,
            header: look.header,
            outcome: look.outcome,
            holds_gil: look.holds_gil,
            stack: if threads.get(&look.address).is_some_and(SampledThread::rests) {
                Vec::new()
            } else {
                look.stack.to_vec()
            },
        }));
        Ok(())
    }

    fn knows(&self, look: &Look) -> bool {
        self.threads.get(&look.address).is_some_and(|thread| thread.is(look.header))
    }

    /// New threads, and threads that are gone.
    fn meet(&mut self, looks: &[Look], now: u64, sink: &mut Sink) {
        self.threads.retain(|address, thread| {
            let stays = looks.iter().any(|look| look.address == *address && thread.is(look.header));
            if !stays {
                thread.settle(sink);
                sink.end_thread(thread.index(), now);
            }
            stays
        });
        let pid = self.process.handle.pid();
        self.names = self.process.thread_names();
        for look in looks {
            if self.threads.contains_key(&look.address) {
                continue;
            }
            let tid = self.process.tid(look.header);
            let python_id = look.header.python_id;
            let name =
                self.names.get(&python_id).cloned().or_else(|| threads::name(pid, tid)).unwrap_or_default();
            let (process, last) = (self.index, LastLook::default());
            let info = ThreadInfo { id: 0, process, pid, tid, python_id, name, ended: false, last };
            let index = sink.thread(info, now);
            self.threads.insert(look.address, SampledThread::new(pid, tid, look.header, index));
        }
    }

    fn refresh_names(&mut self, now: u64, sink: &mut Sink) {
        self.names_at = now;
        self.names = self.process.thread_names();
        for thread in self.threads.values() {
            if let Some(name) = self.names.get(&thread.python_id()) {
                sink.rename(thread.index(), name);
            }
        }
    }

    fn add(&mut self, look: &Look, moment: Moment, options: &Options, sink: &mut Sink, stats: &mut Stats) {
        let stack = match look.outcome {
            Outcome::NoFrames => None,
            Outcome::Stack(Verdict::Whole) => Some(false),
            Outcome::Stack(Verdict::Cut) => Some(true),
            Outcome::Stack(Verdict::Lost) | Outcome::Again | Outcome::Gone => {
                stats.failed += 1;
                return;
            }
        };
        let Some(thread) = self.threads.get(&look.address) else { return };
        let stack = match (stack, thread.resting_stack()) {
            (None, _) => None,
            (_, Some(stack)) => Some(stack),
            (Some(cut), None) => {
                // What cannot be read is named so; that the process is gone shows in the next look.
                let _ = self.process.learn_codes(look.interpreter, &look.stack);
                Some((self.intern(&look.stack, cut, sink), cut))
            }
        };
        let Some(thread) = self.threads.get_mut(&look.address) else { return };
        thread.add(stack, look.holds_gil, moment, options, sink, stats);
    }

    /// The id of a stack, markers and the interpreter's own frames left out.
    fn intern(&mut self, stack: &[RawFrame], cut: bool, sink: &mut Sink) -> StackId {
        let mut id = EMPTY_STACK;
        for raw in stack.iter().filter(|frame| !frame.is_marker()) {
            let frame = match self.process.codes.get(raw.code) {
                Some(CachedCode { code: None, .. }) => continue,
                Some(known) => {
                    let key = (known.serial, raw.instruction);
                    match self.frame_ids.get(&key) {
                        Some(&frame) => frame,
                        None => self.new_frame(raw, key, sink),
                    }
                }
                None => unknown_frame(sink),
            };
            id = sink.profile.stack(id, frame);
        }
        if cut {
            let missing = sink.profile.missing_frame();
            id = sink.profile.stack(id, missing);
        }
        id
    }

    fn new_frame(&mut self, raw: &RawFrame, key: (u64, u64), sink: &mut Sink) -> u32 {
        let Some(code) = self.process.codes.get(raw.code).and_then(|known| known.code.as_ref()) else {
            return unknown_frame(sink);
        };
        let position = code.position(raw.instruction);
        let frame = Frame {
            kind: FrameKind::Python,
            name: sink.profile.string(&code.qualified_name),
            file: sink.profile.string(&code.file),
            module: sink.profile.string(""),
            first_line: code.first_line,
            line: position.line,
            end_line: position.end_line,
            column: position.column,
            end_column: position.end_column,
        };
        let id = sink.profile.frame(frame);
        if self.frame_ids.len() >= MAX_FRAME_IDS {
            self.frame_ids.clear();
        }
        self.frame_ids.insert(key, id);
        id
    }
}

fn unknown_frame(sink: &mut Sink) -> u32 {
    let (name, file) = (sink.profile.string(UNKNOWN_FUNCTION), sink.profile.string(""));
    sink.profile.frame(Frame {
        kind: FrameKind::Python,
        name,
        file,
        module: file,
        first_line: 0,
        line: 0,
        end_line: 0,
        column: 0,
        end_column: 0,
    })
}
