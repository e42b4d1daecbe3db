//! The sampling loop.

use std::time::Duration;

use nix::sys::prctl::set_timerslack;
use rustc_hash::FxHashMap;

use super::clock::{self, Deadlines};
use super::thread::{Moment, SampledThread};
use super::{Control, EndReason, Options, Recording, Stats, priority, wait};
use crate::attach::Attached;
use crate::process::exit::Fate;
use crate::process::threads;
use crate::profile::{Frame, FrameKind, ProfileBuilder, StackId, ThreadInfo, UNKNOWN_FUNCTION};
use crate::python::code_cache::CachedCode;
use crate::python::frame::RawFrame;
use crate::python::reader::ThreadLook;
use crate::python::stack::prove::Verdict;
use crate::python::stack::thread::{Header, Outcome};
use crate::{Error, Result};

/// How often the threads' names are read again: a name is often given after the start.
const NAMES_EVERY: u64 = 1_000_000_000;
/// A program that replaces itself is given this long to become Python again.
const REPLACED_WAIT: Duration = Duration::from_secs(2);
/// More frames than this are interned anew: a program that makes functions without end.
const MAX_FRAME_IDS: usize = 1 << 18;

/// A recording under way.
#[derive(Debug)]
pub struct Run {
    process: Attached,
    options: Options,
    profile: ProfileBuilder,
    frame_ids: FxHashMap<(u64, u64), u32>,
    /// By the address of the thread state
    threads: FxHashMap<u64, SampledThread>,
    names: FxHashMap<u64, String>,
    names_at: u64,
    stats: Stats,
    looks: Vec<Look>,
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

impl Run {
    /// For a process that has just been attached to.
    #[must_use]
    pub fn new(process: Attached, options: Options) -> Self {
        let profile = ProfileBuilder::new(options.timeline);
        Self {
            process,
            options,
            profile,
            frame_ids: FxHashMap::default(),
            threads: FxHashMap::default(),
            names: FxHashMap::default(),
            names_at: 0,
            stats: Stats::default(),
            looks: Vec::new(),
        }
    }

    /// Samples until the duration is over, the target has ended or `control` says stop.
    pub(super) fn run(mut self, control: &Control) -> Result<Recording> {
        // Without it the kernel may wake us 50 us late. Where it is refused, it will.
        let _ = set_timerslack(1);
        priority::ask_for_short_slice();
        let started_unix_ns = clock::unix_time();
        let start = clock::now();
        let end_at = self.options.duration.map_or(u64::MAX, |duration| {
            start.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
        });
        let mut deadlines = Deadlines::new(start, self.options.rate);
        let mut before = start;
        let end = loop {
            let deadline = deadlines.next(clock::now());
            if deadline > end_at {
                let whole = clock::sleep_until(end_at, control);
                break if whole { EndReason::Duration } else { EndReason::Stopped };
            }
            if !clock::sleep_until(deadline, control) {
                break EndReason::Stopped;
            }
            self.stats.rounds += 1;
            let now = clock::now();
            match self.look() {
                Ok(()) => self.add(Moment { time: now - start, wall: now - before }),
                Err(error) => match self.judge(&error, control)? {
                    None => self.stats.failed += 1,
                    Some(end) => break end,
                },
            }
            before = now;
            self.stats.missed = deadlines.missed();
            self.stats.elapsed_ns = clock::now() - start;
            self.stats.cpu_ns = clock::own_cpu();
            control.publish(self.stats);
        };
        self.stats.elapsed_ns = clock::now() - start;
        Ok(self.finish(end, started_unix_ns))
    }

    fn finish(mut self, end: EndReason, started_unix_ns: u64) -> Recording {
        for thread in self.threads.values_mut() {
            thread.settle(&mut self.profile);
        }
        let names = &self.options.thread_names;
        let profile = self.profile.finish(|thread| names.is_empty() || names.contains(&thread.name));
        let stats = self.stats;
        Recording { profile, stats, end, started_unix_ns, python_version: self.process.version.to_string() }
    }

    /// One look at the process; its result is in `self.looks`.
    fn look(&mut self) -> std::io::Result<()> {
        let threads = &mut self.threads;
        for thread in threads.values_mut() {
            thread.ask_whether_it_ran();
        }
        let reads = self.process.reader.main_reads();
        self.process.reader.look(|address| threads.get(&address).is_some_and(SampledThread::rests))?;
        self.stats.extra_reads += (self.process.reader.main_reads() - reads).saturating_sub(1);
        // A program that has replaced itself can have an interpreter in the very same place.
        if !self.process.handle.has_same_memory() {
            return Err(std::io::Error::from_raw_os_error(nix::libc::ESRCH));
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

    /// Adds what the last look saw.
    fn add(&mut self, moment: Moment) {
        let looks = std::mem::take(&mut self.looks);
        if looks.len() != self.threads.len() || looks.iter().any(|look| !self.knows(look)) {
            self.meet(&looks);
        } else if moment.time >= self.names_at + NAMES_EVERY {
            self.refresh_names(moment.time);
        }
        for look in &looks {
            self.add_thread(look, moment);
        }
        self.looks = looks;
    }

    fn knows(&self, look: &Look) -> bool {
        self.threads.get(&look.address).is_some_and(|thread| thread.is(look.header))
    }

    /// New threads, and threads that are gone.
    fn meet(&mut self, looks: &[Look]) {
        self.threads.retain(|address, thread| {
            let stays = looks.iter().any(|look| look.address == *address && thread.is(look.header));
            if !stays {
                thread.settle(&mut self.profile);
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
            let index = self.profile.thread(ThreadInfo { pid, tid, python_id, name });
            self.threads.insert(look.address, SampledThread::new(pid, tid, look.header, index));
        }
    }

    fn refresh_names(&mut self, now: u64) {
        self.names_at = now;
        self.names = self.process.thread_names();
        for thread in self.threads.values() {
            if let Some(name) = self.names.get(&thread.python_id()) {
                self.profile.rename(thread.index(), name);
            }
        }
    }

    fn add_thread(&mut self, look: &Look, moment: Moment) {
        let stack = match look.outcome {
            Outcome::NoFrames => None,
            Outcome::Stack(Verdict::Whole) => Some(false),
            Outcome::Stack(Verdict::Cut) => Some(true),
            Outcome::Stack(Verdict::Lost) | Outcome::Again | Outcome::Gone => {
                self.stats.failed += 1;
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
                Some((self.intern(&look.stack, cut), cut))
            }
        };
        let Some(thread) = self.threads.get_mut(&look.address) else { return };
        thread.add(stack, look.holds_gil, moment, &self.options, &mut self.profile, &mut self.stats);
    }

    /// The id of a stack, markers and the interpreter's own frames left out.
    fn intern(&mut self, stack: &[RawFrame], cut: bool) -> StackId {
        let mut id = crate::profile::EMPTY_STACK;
        for raw in stack.iter().filter(|frame| !frame.is_marker()) {
            let frame = match self.process.codes.get(raw.code) {
                Some(CachedCode { code: None, .. }) => continue,
                Some(known) => {
                    let key = (known.serial, raw.instruction);
                    match self.frame_ids.get(&key) {
                        Some(&frame) => frame,
                        None => self.new_frame(raw, key),
                    }
                }
                None => self.unknown_frame(),
            };
            id = self.profile.stack(id, frame);
        }
        if cut {
            let missing = self.profile.missing_frame();
            id = self.profile.stack(id, missing);
        }
        id
    }

    fn new_frame(&mut self, raw: &RawFrame, key: (u64, u64)) -> u32 {
        let Some(code) = self.process.codes.get(raw.code).and_then(|known| known.code.as_ref()) else {
            return self.unknown_frame();
        };
        let position = code.position(raw.instruction);
        let frame = Frame {
            kind: FrameKind::Python,
            name: self.profile.string(&code.qualified_name),
            file: self.profile.string(&code.file),
            first_line: code.first_line,
            line: position.line,
            end_line: position.end_line,
            column: position.column,
            end_column: position.end_column,
        };
        let id = self.profile.frame(frame);
        if self.frame_ids.len() >= MAX_FRAME_IDS {
            self.frame_ids.clear();
        }
        self.frame_ids.insert(key, id);
        id
    }

    fn unknown_frame(&mut self) -> u32 {
        let (name, file) = (self.profile.string(UNKNOWN_FUNCTION), self.profile.string(""));
        self.profile.frame(Frame {
            kind: FrameKind::Python,
            name,
            file,
            first_line: 0,
            line: 0,
            end_line: 0,
            column: 0,
            end_column: 0,
        })
    }

    /// What a failed look means for the recording: `None`, it goes on.
    fn judge(&mut self, error: &std::io::Error, control: &Control) -> Result<Option<EndReason>> {
        if self.process.handle.fate() == Fate::Replaced {
            let pid = self.process.handle.pid();
            let Ok(process) = wait::attach(pid, REPLACED_WAIT, control) else {
                let exited = self.process.handle.has_exited();
                let stopped = control.stop_requested();
                return Ok(Some(match (exited, stopped) {
                    (true, _) => EndReason::Exited,
                    (_, true) => EndReason::Stopped,
                    _ => EndReason::Replaced,
                }));
            };
            for thread in self.threads.values_mut() {
                thread.settle(&mut self.profile);
            }
            self.threads.clear();
            self.frame_ids.clear();
            self.process = process;
            return Ok(None);
        }
        match self.process.judge(error) {
            None => Ok(None),
            Some(Error::ProcessExited { .. }) => Ok(Some(EndReason::Exited)),
            // Rights can be lost half-way (a target that changes its user): what was seen is kept.
            Some(_) if self.stats.samples > 0 => Ok(Some(EndReason::Denied)),
            Some(error) => Err(error),
        }
    }
}
