//! `Session`: sampling that runs until it is told to end, asked and drained meanwhile.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{Function, PromiseRaw};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use pyprof_core::Error;
use pyprof_core::sampler::{self, Control, EngineKind, Mode, Options, Recording, Wake};
use pyprof_native::engine::{EngineOptions, NativeEngine};

use crate::batch::RawBatch;
use crate::error::Failure;
use crate::pack::{RawEndReason, RawProfile};
use crate::promise;
use crate::stats::RawStats;

/// Which time counts.
#[napi(string_enum = "lowercase")]
pub enum RawMode {
    Wall,
    Cpu,
    Gil,
}

/// How to sample.
#[napi(object)]
#[allow(clippy::struct_excessive_bools, reason = "switches, each with a name in JavaScript")]
pub struct RawSessionOptions {
    /// Samples a second
    pub rate: f64,
    /// How far a sample may be moved from its place, in periods, 0 to 1
    pub jitter: f64,
    /// ms; absent: until the target ends or `stop()`
    pub duration_ms: Option<f64>,
    pub mode: RawMode,
    pub idle: bool,
    pub thread_names: Vec<String>,
    pub timeline: bool,
    /// ms to wait for an interpreter that is still starting
    pub wait_ms: f64,
    pub subprocesses: bool,
    /// Samples and events kept for `drain()`; absent: no stream
    pub stream: Option<u32>,
    /// Show native frames
    pub native: bool,
    /// Show kernel frames
    pub kernel: bool,
    /// Measure blocked time from switch to switch
    pub offcpu: bool,
    /// `exact`, `perf` or `snapshot`; absent: the best for what is shown
    pub engine: Option<String>,
}

impl TryFrom<RawSessionOptions> for Options {
    type Error = Error;

    fn try_from(raw: RawSessionOptions) -> Result<Self, Error> {
        Ok(Self {
            rate: raw.rate,
            jitter: raw.jitter,
            duration: raw.duration_ms.map(|ms| milliseconds("duration", ms)).transpose()?,
            mode: match raw.mode {
                RawMode::Wall => Mode::Wall,
                RawMode::Cpu => Mode::Cpu,
                RawMode::Gil => Mode::Gil,
            },
            idle: raw.idle,
            thread_names: raw.thread_names,
            timeline: raw.timeline,
            wait: milliseconds("wait", raw.wait_ms)?,
            subprocesses: raw.subprocesses,
            stream: raw.stream.map(|capacity| capacity as usize),
            engine: NativeEngine::of(EngineOptions {
                native: raw.native,
                kernel: raw.kernel,
                offcpu: raw.offcpu,
                forced: raw.engine.as_deref().map(engine).transpose()?,
            }),
            offcpu: raw.offcpu,
        })
    }
}

fn engine(name: &str) -> Result<EngineKind, Error> {
    name.parse().map_err(|()| Error::InvalidArgument(format!("no engine {name}")))
}

fn milliseconds(name: &str, ms: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(ms / 1e3)
        .map_err(|_| Error::InvalidArgument(format!("{name} must be a number of milliseconds, not {ms}")))
}

/// What a session leaves, for whoever waits for it.
#[derive(Default)]
struct Outcome {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Running,
    /// Without a result when the session failed
    Over(Option<Arc<Recording>>),
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, result: Option<Arc<Recording>>) {
        *self.lock() = State::Over(result);
        self.changed.notify_all();
    }

    fn wait(&self) -> Option<Arc<Recording>> {
        let mut state = self.lock();
        loop {
            match &*state {
                State::Over(result) => return result.clone(),
                State::Running => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Sets the outcome however its holder ends: nobody waits for ever for a session that panicked.
struct Settle {
    outcome: Arc<Outcome>,
    result: Option<Arc<Recording>>,
}

impl Settle {
    fn with(&mut self, recording: Arc<Recording>) {
        self.result = Some(recording);
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        self.outcome.set(self.result.take());
    }
}

/// A moment of a session: `Session.profile()` can leave out what came before.
#[napi]
pub struct Mark {
    recording: Arc<Recording>,
}

/// How a session ended.
#[napi(object)]
pub struct RawEnd {
    pub reason: RawEndReason,
    pub stats: RawStats,
}

/// Sampling that runs on its own thread.
#[napi]
pub struct Session {
    running: Arc<Mutex<Option<sampler::Session>>>,
    control: Control,
    outcome: Arc<Outcome>,
}

#[napi]
impl Session {
    /// Attaches to `pid` and starts; resolves once the target has been understood. `wake` is called when there is
    /// something to drain, once until it is; it does not keep the event loop alive.
    #[napi(catch_unwind, ts_return_type = "Promise<Session>")]
    pub fn start<'env>(
        env: &'env Env,
        pid: i32,
        options: RawSessionOptions,
        wake: Option<Function<'env, (), ()>>,
    ) -> napi::Result<PromiseRaw<'env, Session>> {
        let wake = wake.map(make_wake).transpose()?;
        promise::run(env, move || {
            let session = sampler::Session::start(pid, options.try_into()?, wake)?;
            let control = session.control();
            let running = Arc::new(Mutex::new(Some(session)));
            Ok(Self { running, control, outcome: Arc::default() })
        })
    }

    /// How it goes so far.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn stats(&self) -> RawStats {
        self.control.stats().into()
    }

    /// Asks the session to end; `ended()` settles soon after.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        self.control.stop();
    }

    /// What came since the last time.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn drain(&self) -> RawBatch {
        self.control.drain().into()
    }

    /// Waits for the end. Once only, and always: `profile()` and `mark()` wait for it when the session is over.
    #[napi(catch_unwind, ts_return_type = "Promise<RawEnd>")]
    pub fn ended<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, RawEnd>> {
        let running = Arc::clone(&self.running);
        let mut settle = Settle { outcome: Arc::clone(&self.outcome), result: None };
        promise::run(env, move || {
            let session = running.lock().unwrap_or_else(PoisonError::into_inner).take();
            let recording = Arc::new(session.ok_or_else(Failure::already_awaited)?.finish()?);
            let end = RawEnd {
                reason: recording.end.map_or(RawEndReason::Stopped, RawEndReason::from),
                stats: recording.stats.into(),
            };
            settle.with(recording);
            Ok(end)
        })
    }

    /// What was collected so far, or since `mark`; the session goes on.
    #[napi(catch_unwind, ts_return_type = "Promise<RawProfile>")]
    pub fn profile<'env>(
        &self,
        env: &'env Env,
        mark: Option<&Mark>,
    ) -> napi::Result<PromiseRaw<'env, RawProfile>> {
        let (control, outcome) = (self.control.clone(), Arc::clone(&self.outcome));
        let mark = mark.map(|mark| Arc::clone(&mark.recording));
        promise::run(env, move || {
            let recording = so_far(&control, &outcome)?;
            Ok(match mark {
                None => RawProfile::from(&*recording),
                Some(earlier) => RawProfile::from(&Arc::unwrap_or_clone(recording).since(&earlier)),
            })
        })
    }

    /// This moment, for `profile()`.
    #[napi(catch_unwind, ts_return_type = "Promise<Mark>")]
    pub fn mark<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Mark>> {
        let (control, outcome) = (self.control.clone(), Arc::clone(&self.outcome));
        promise::run(env, move || Ok(Mark { recording: so_far(&control, &outcome)? }))
    }
}

fn so_far(control: &Control, outcome: &Outcome) -> Result<Arc<Recording>, Failure> {
    match control.so_far() {
        Some(recording) => Ok(Arc::new(recording)),
        None => outcome.wait().ok_or_else(Failure::nothing_collected),
    }
}

/// A full queue means that a call is under way already, and a closing one that nobody listens any more.
fn make_wake(function: Function<'_, (), ()>) -> napi::Result<Wake> {
    let call = function.build_threadsafe_function::<()>().weak::<true>().max_queue_size::<1>().build()?;
    Ok(Box::new(move || {
        call.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }))
}

impl Drop for Session {
    fn drop(&mut self) {
        // Garbage collected, or its Node environment is going down.
        self.control.stop();
    }
}
