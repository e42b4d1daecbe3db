//! Looks at a process, or a tree of them, again and again on a thread of its own, adds up what it saw and streams
//! it to whoever wants every sample.

mod clock;
mod control;
mod cpu;
pub mod engine;
mod follow;
mod frames;
mod member;
mod offcpu;
mod others;
mod priority;
mod resting;
mod run;
mod sink;
pub mod stream;
mod thread;
mod wait;

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::profile::Profile;
use crate::{Error, Result};

pub use control::Control;
pub use engine::{Engine, EngineKind};
pub use stream::Wake;

/// Which time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Elapsed time
    #[default]
    Wall,
    /// Time on a CPU
    Cpu,
    /// Elapsed time of the thread that holds the GIL
    Gil,
}

/// How to sample.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "switches, each with a meaning of its own")]
pub struct Options {
    /// Samples a second, above 0
    pub rate: f64,
    /// How far a sample may be moved from its place in time, in periods, 0 to 1: against programs with a period of
    /// their own
    pub jitter: f64,
    /// Stop after this much time; `None`: until the target ends or [`Session::stop`]
    pub duration: Option<Duration>,
    /// Which time counts, and so which samples are kept
    pub mode: Mode,
    /// Keep samples of threads that wait in the kernel too (sleep, I/O, locks)
    pub idle: bool,
    /// Keep only threads with one of these names; empty: all
    pub thread_names: Vec<String>,
    /// Keep the samples' order in [`Profile::timeline`], up to its bound
    pub timeline: bool,
    /// How long to wait for the interpreter when the process is still starting; zero: do not wait
    pub wait: Duration,
    /// Follow children, from their start on, and theirs; the session ends with the last of them
    pub subprocesses: bool,
    /// Keep up to this many samples and events for [`Control::drain`]; `None`: no stream
    pub stream: Option<usize>,
    /// Sees more than looks do; `None`: looks alone
    pub engine: Option<Arc<dyn Engine>>,
    /// Blocked time from switch to switch, which the engine must tell; threads that wait are kept then
    pub offcpu: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: 1000.0,
            jitter: 0.0,
            duration: None,
            mode: Mode::Wall,
            idle: false,
            thread_names: Vec::new(),
            timeline: false,
            wait: Duration::ZERO,
            subprocesses: false,
            stream: None,
            engine: None,
            offcpu: false,
        }
    }
}

/// Looks a second that no machine could take.
const MAX_RATE: f64 = 1e6;

impl Options {
    fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.jitter) {
            let text = format!("the jitter must be from 0 to 1 periods, not {}", self.jitter);
            return Err(Error::InvalidArgument(text));
        }
        if self.offcpu && self.mode == Mode::Cpu {
            let text = "off-CPU time is none on a CPU; use mode wall or gil".to_owned();
            return Err(Error::InvalidArgument(text));
        }
        if self.offcpu && self.engine.is_none() {
            let text = "off-CPU time needs the exact engine".to_owned();
            return Err(Error::InvalidArgument(text));
        }
        if self.rate > 0.0 && self.rate <= MAX_RATE {
            return Ok(());
        }
        let text =
            format!("the rate must be above 0 and at most {MAX_RATE} samples a second, not {}", self.rate);
        Err(Error::InvalidArgument(text))
    }
}

/// The sampler's own health.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// Elapsed time in ns since the first deadline
    pub elapsed_ns: u64,
    /// Deadlines that were met, each with a look at every process
    pub rounds: u64,
    /// Deadlines that had passed before they could be met; skipped, never made up for
    pub missed: u64,
    /// Looks that brought nothing back
    pub failed: u64,
    /// Stacks of threads that were kept
    pub samples: u64,
    /// Kept stacks that had to be cut short
    pub cut: u64,
    /// Stacks left out because their thread was idle (or not in the mode asked for)
    pub idle: u64,
    /// Thread time in ns that was left out with them
    pub idle_ns: u64,
    /// CPU time of the sampling thread in ns
    pub cpu_ns: u64,
    /// Looks that needed more than one main read
    pub extra_reads: u64,
    /// Processes being sampled at the moment
    pub processes: u64,
    /// Threads with a Python state at the moment
    pub threads: u64,
    /// Samples of the stream that were dropped because nobody took them
    pub lost: u64,
    /// Interrupts of threads that were lost because the sampler came too late
    pub lost_interrupts: u64,
    /// Stacks whose native side could not be followed, or not be merged with Python's
    pub unmerged: u64,
    /// Where the stacks come from; with several processes the least of their engines
    pub engine: EngineKind,
    /// Blocked time is measured from switch to switch, in all processes
    pub offcpu: bool,
    /// Times that a thread was blocked, if that is measured
    pub waits: u64,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The duration was over
    Duration,
    /// [`Session::stop`]
    Stopped,
    /// The target exited, and every process that was followed
    Exited,
    /// The target replaced itself by a program that is not Python
    Replaced,
    /// The target changed so that it may not be read any more
    Denied,
}

/// What a session has collected.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What was seen
    pub profile: Profile,
    /// How well the sampler kept up
    pub stats: Stats,
    /// Why it ended; `None`: it goes on
    pub end: Option<EndReason>,
    /// Wall-clock start, ns since the epoch
    pub started_unix_ns: u64,
    /// `CPython` version of the target; empty while the root of a tree is not Python
    pub python_version: String,
    /// What would give a better engine, when something would
    pub engine_advice: Option<String>,
}

impl Stats {
    /// What happened since `earlier`; the numbers of the moment stay.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            elapsed_ns: self.elapsed_ns.saturating_sub(earlier.elapsed_ns),
            rounds: self.rounds.saturating_sub(earlier.rounds),
            missed: self.missed.saturating_sub(earlier.missed),
            failed: self.failed.saturating_sub(earlier.failed),
            samples: self.samples.saturating_sub(earlier.samples),
            cut: self.cut.saturating_sub(earlier.cut),
            idle: self.idle.saturating_sub(earlier.idle),
            idle_ns: self.idle_ns.saturating_sub(earlier.idle_ns),
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            extra_reads: self.extra_reads.saturating_sub(earlier.extra_reads),
            lost: self.lost.saturating_sub(earlier.lost),
            unmerged: self.unmerged.saturating_sub(earlier.unmerged),
            lost_interrupts: self.lost_interrupts.saturating_sub(earlier.lost_interrupts),
            processes: self.processes,
            threads: self.threads,
            engine: self.engine,
            offcpu: self.offcpu,
            waits: self.waits.saturating_sub(earlier.waits),
        }
    }
}

impl Recording {
    /// What was collected since `earlier`, a state of the same session.
    #[must_use]
    pub fn since(self, earlier: &Self) -> Self {
        Self {
            profile: self.profile.since(&earlier.profile, earlier.stats.elapsed_ns),
            stats: self.stats.since(earlier.stats),
            started_unix_ns: earlier.started_unix_ns + earlier.stats.elapsed_ns,
            ..self
        }
    }
}

/// Sampling that runs on its own thread.
#[derive(Debug)]
pub struct Session {
    control: Control,
    thread: Option<JoinHandle<Result<Recording>>>,
}

impl Session {
    /// Attaches to `pid` and starts. Returns once the target has been understood, before the first sample; the root
    /// of a tree need not be Python. `wake` is called when there is something to drain, once until it is.
    pub fn start(pid: i32, mut options: Options, wake: Option<Wake>) -> Result<Self> {
        options.check()?;
        options.idle |= options.offcpu;
        let control = Control::default();
        let (ready, attached) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("pyprof-sampler".to_owned())
            .spawn({
                let control = control.clone();
                move || {
                    let run = run::Run::open(pid, options, &control, wake);
                    let result = run.and_then(|run| {
                        // The owner may have given up meanwhile.
                        let _ = ready.send(());
                        run.run(&control)
                    });
                    control.close();
                    result
                }
            })
            .map_err(|source| Error::System {
                operation: "starting the sampling thread".to_owned(),
                source,
            })?;
        let session = Self { control, thread: Some(thread) };
        match attached.recv() {
            Ok(()) => Ok(session),
            // The thread ended before it was ready: its result says why.
            Err(_) => match session.finish() {
                Err(error) => Err(error),
                Ok(_) => Err(Error::NotReady { pid }),
            },
        }
    }

    /// A handle that watches, asks and ends this session while [`Session::finish`] waits on another thread.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// How it goes so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.control.stats()
    }

    /// Asks the thread to end; [`Session::finish`] collects the result.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Waits for the end and returns what was collected.
    ///
    /// # Panics
    /// When the session's thread panicked: a defect, passed on to whoever catches it.
    pub fn finish(mut self) -> Result<Recording> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Err(Error::InvalidArgument("this session has been collected already".to_owned())),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}
