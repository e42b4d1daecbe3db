//! The sampling loop.

use std::time::Duration;

use nix::sys::prctl::set_timerslack;

use super::clock::{self, Deadlines, Woken};
use super::engine::{EngineKind, Probe};
use super::follow::{self, News, Word};
use super::member::Member;
use super::sink::Sink;
use super::stream::{EventKind, Stream, Wake};
use super::{Control, EndReason, Mode, Options, Recording, Stats, priority, wait};
use crate::attach::Attached;
use crate::process::children::command_line;
use crate::process::exit::{Fate, ProcessHandle};
use crate::process::stat::Stat;
use crate::profile::ProcessSeen;
use crate::{Error, Result};

/// A program that replaces itself is given this long to become Python again, in ns.
const REPLACED_WAIT: u64 = 2_000_000_000;

/// Where every switch is told, what has come is taken this often, in ns, however seldom looks are: with native frames a
/// buffer of the kernel takes 130 switches.
const SWITCHES_EVERY: u64 = 2_000_000;

/// How often the session's own CPU time is read, in ns.
const CPU_EVERY: u64 = 5_000_000;

/// A session under way.
#[derive(Debug)]
pub struct Run {
    root: i32,
    options: Options,
    sink: Sink,
    stats: Stats,
    members: Vec<Member>,
    /// Index in the profile of every process that lives, by pid
    indices: rustc_hash::FxHashMap<i32, u32>,
    follower: follow::Line,
    python_version: String,
    engine: Option<EngineKind>,
    engine_advice: Option<String>,
    started_unix_ns: u64,
    /// Session time is counted from here
    start: u64,
    /// When the only process replaced its program
    replaced_at: Option<u64>,
}

impl Run {
    /// Attaches to the root.
    pub fn open(pid: i32, options: Options, control: &Control, wake: Option<Wake>) -> Result<Self> {
        let tree = options.subprocesses;
        // The root of a tree can be a shell. If it becomes Python, that is noticed later.
        let wait = if tree { Duration::ZERO } else { options.wait };
        let attached = match wait::attach(pid, wait, control) {
            Err(Error::NotPython { .. } | Error::NotReady { .. } | Error::Unreadable { .. }) if tree => None,
            attached => Some(attached?),
        };
        let without_gil = attached.as_ref().is_some_and(|process| !process.has_gil());
        if options.mode == Mode::Gil && without_gil && !tree {
            let text = format!(
                "process {pid} is a free-threaded Python without a GIL that could be held; use mode wall or cpu"
            );
            return Err(Error::InvalidArgument(text));
        }
        let handle = ProcessHandle::open(pid)?;
        let stream = options.stream.map(|capacity| Stream::new(capacity, control.outlet(), wake));
        let follower = follow::start(handle, attached.is_some(), tree)?;
        let mut run = Self {
            root: pid,
            sink: Sink::new(options.timeline, stream, options.thread_names.clone()),
            options,
            stats: Stats::default(),
            members: Vec::new(),
            indices: rustc_hash::FxHashMap::default(),
            follower,
            python_version: String::new(),
            engine: None,
            engine_advice: None,
            started_unix_ns: clock::unix_time(),
            start: clock::now(),
            replaced_at: None,
        };
        let ppid = Stat::read(pid).map_or(0, |stat| stat.parent);
        run.found(pid, ppid, command_line(pid), 0);
        if let Some(mut process) = attached {
            let probe = run.probe(&mut process)?;
            // Setting up the engine is no part of the recording.
            (run.start, run.started_unix_ns) = (clock::now(), clock::unix_time());
            run.ready(process, probe, 0);
        }
        // Who asks right after the start learns the engine.
        control.publish(run.stats);
        Ok(run)
    }

    /// Samples until the duration is over, the target has ended or `control` says stop.
    pub fn run(mut self, control: &Control) -> Result<Recording> {
        // Without it the kernel may wake us 50 us late. Where it is refused, it will.
        let _ = set_timerslack(1);
        priority::ask_for_short_slice();
        let result = self.sample(control);
        let now = self.now();
        self.stats.elapsed_ns = now;
        self.stats.cpu_ns = clock::own_cpu();
        let (end, options) = ((now, self.start), &self.options);
        self.members
            .iter_mut()
            .for_each(|member| member.settle(end, options, &mut self.sink, &mut self.stats));
        let end = *result.as_ref().unwrap_or(&EndReason::Denied);
        self.stats.lost = self.sink.publish(now, Some(end));
        control.publish(self.stats);
        let end = result?;
        Ok(Recording {
            profile: self.sink.finish(),
            stats: self.stats,
            end: Some(end),
            started_unix_ns: self.started_unix_ns,
            python_version: self.python_version,
            engine_advice: self.engine_advice,
        })
    }

    fn now(&self) -> u64 {
        clock::now() - self.start
    }

    fn sample(&mut self, control: &Control) -> Result<EndReason> {
        let end_at = self.options.duration.map_or(u64::MAX, |duration| {
            self.start.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
        });
        let mut cpu_read_at = 0;
        let mut deadlines = Deadlines::new(self.start, self.options.rate, self.options.jitter);
        loop {
            let deadline = deadlines.next(clock::now());
            loop {
                let nap = if self.options.offcpu { SWITCHES_EVERY } else { clock::NAP };
                match clock::sleep_until(deadline.min(end_at), nap, deadlines.spins(), control) {
                    Woken::Due => break,
                    Woken::Nap => {
                        self.drain();
                        if let Some(end) = self.chores(control) {
                            return Ok(end);
                        }
                    }
                    Woken::Stopped => return Ok(EndReason::Stopped),
                }
            }
            if deadline > end_at {
                return Ok(EndReason::Duration);
            }
            self.stats.rounds += 1;
            self.stats.missed = deadlines.missed();
            if let Some(end) = self.look_at_all()? {
                return Ok(end);
            }
            self.stats.elapsed_ns = self.now();
            // A system call, unlike the other clock.
            if self.stats.elapsed_ns >= cpu_read_at + CPU_EVERY {
                cpu_read_at = self.stats.elapsed_ns;
                self.stats.cpu_ns = clock::own_cpu();
            }
            if let Some(end) = self.chores(control) {
                return Ok(end);
            }
        }
    }

    /// One sample of every process.
    fn look_at_all(&mut self) -> Result<Option<EndReason>> {
        let mut index = 0;
        while index < self.members.len() {
            let now = self.now();
            let member = &mut self.members[index];
            let moment = (now, self.start);
            let Err(error) = member.sample(moment, &self.options, &mut self.sink, &mut self.stats) else {
                index += 1;
                continue;
            };
            let process = member.process();
            let pid = process.handle.pid();
            let replaced = process.handle.fate() == Fate::Replaced;
            let verdict = if replaced { Some(Error::ProcessExited { pid }) } else { process.judge(&error) };
            let Some(error) = verdict else {
                self.stats.failed += 1;
                index += 1;
                continue;
            };
            self.members.swap_remove(index).close(moment, &self.options, &mut self.sink, &mut self.stats);
            let lost = matches!(error, Error::ProcessExited { .. });
            self.follower.tell(Word::Lost(pid));
            if self.options.subprocesses {
                continue;
            }
            if replaced {
                self.replaced_at = Some(now);
            } else if lost {
                self.exited(pid, now);
                return Ok(Some(EndReason::Exited));
            } else if self.stats.samples == 0 {
                return Err(error);
            } else {
                // Rights can be lost half-way (a target that changes its user): what was seen is kept.
                return Ok(Some(EndReason::Denied));
            }
        }
        self.stats.processes = self.members.len() as u64;
        self.stats.threads = self.members.iter().map(|member| member.thread_count() as u64).sum();
        Ok(None)
    }

    /// Takes what the engines have brought since the last sample.
    fn drain(&mut self) {
        for member in &mut self.members {
            let now = clock::now() - self.start;
            member.drain((now, self.start), &self.options, &mut self.sink, &mut self.stats);
        }
    }

    /// What there is to do beside sampling.
    fn chores(&mut self, control: &Control) -> Option<EndReason> {
        let now = self.now();
        let mut end = None;
        while let Some(news) = self.follower.hear() {
            end = end.or(self.hear(news, now));
        }
        if self.replaced_at.is_some_and(|at| now >= at + REPLACED_WAIT) {
            end = end.or(Some(EndReason::Replaced));
        }
        self.stats.lost = self.sink.publish(now, None);
        control.publish(self.stats);
        if control.is_asked() {
            for member in &mut self.members {
                member.add_rests(&self.options, &mut self.sink);
            }
            control.answer(|| self.so_far());
        }
        end
    }

    fn so_far(&self) -> Recording {
        Recording {
            profile: self.sink.so_far(),
            stats: self.stats,
            end: None,
            started_unix_ns: self.started_unix_ns,
            python_version: self.python_version.clone(),
            engine_advice: self.engine_advice.clone(),
        }
    }

    fn hear(&mut self, news: News, now: u64) -> Option<EndReason> {
        match news {
            News::Found { pid, ppid, command } => self.found(pid, ppid, command, now),
            News::Command { pid, command } => {
                if let Some(&index) = self.indices.get(&pid) {
                    self.sink.change_process(index, |info| info.command = command);
                }
            }
            News::Exec { pid, command } => {
                if let Some(&index) = self.indices.get(&pid) {
                    self.sink.change_process(index, |info| {
                        info.command = command;
                        info.python_version = None;
                    });
                    self.sink.process_event(EventKind::ProcessExec, index, now);
                }
            }
            News::Ready(mut process) => {
                // A child for which the engine has no rights is looked at without: the result says so.
                let probe = self.probe(&mut process).unwrap_or(None);
                self.ready(*process, probe, now);
            }
            News::Exited { pid } => self.exited(pid, now),
            News::Nobody => return Some(EndReason::Exited),
        }
        None
    }

    fn found(&mut self, pid: i32, ppid: i32, command: Vec<String>, now: u64) {
        let info = ProcessSeen { id: 0, pid, ppid, python_version: None, command, ended: false };
        let index = self.sink.process(info, now);
        self.indices.insert(pid, index);
    }

    /// The engine's view of a process, when there is an engine.
    fn probe(&self, process: &mut Attached) -> Result<Option<Box<dyn Probe>>> {
        self.options.engine.as_ref().map(|engine| engine.probe(process, self.options.rate)).transpose()
    }

    fn ready(&mut self, process: Attached, probe: Option<Box<dyn Probe>>, now: u64) {
        let pid = process.handle.pid();
        let Some(&index) = self.indices.get(&pid) else { return };
        let version = process.version.to_string();
        if pid == self.root {
            self.python_version.clone_from(&version);
            self.replaced_at = None;
        }
        self.sink.change_process(index, |info| info.python_version = Some(version));
        let tells = self.options.offcpu && probe.as_ref().is_some_and(|probe| probe.counts_waits());
        self.stats.offcpu = tells && (self.stats.offcpu || self.engine.is_none());
        let kind = probe.as_ref().map_or(EngineKind::Snapshot, |probe| probe.kind());
        if self.engine.is_none_or(|known| kind < known) {
            self.engine = Some(kind);
            self.stats.engine = kind;
            self.engine_advice = probe.as_ref().and_then(|probe| probe.advice()).map(str::to_owned);
        }
        self.members.push(Member::new(process, probe, index, now));
    }

    fn exited(&mut self, pid: i32, now: u64) {
        if let Some(at) = self.members.iter().position(|member| member.process().handle.pid() == pid) {
            let moment = (now, self.start);
            self.members.swap_remove(at).close(moment, &self.options, &mut self.sink, &mut self.stats);
        }
        if let Some(index) = self.indices.remove(&pid) {
            self.sink.change_process(index, |info| info.ended = true);
            self.sink.process_event(EventKind::ProcessExit, index, now);
        }
    }
}
