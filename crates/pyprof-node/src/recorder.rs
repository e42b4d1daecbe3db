//! `Recorder`: a recording that runs until it is told to end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use pyprof_core::Error;
use pyprof_core::sampler::{self, Control, Mode, Options};

use crate::error::Failure;
use crate::pack::RawProfile;
use crate::promise;
use crate::stats::RawStats;

/// Which time counts.
#[napi(string_enum = "lowercase")]
pub enum RawMode {
    Wall,
    Cpu,
    Gil,
}

/// How to record.
#[napi(object)]
pub struct RawRecordOptions {
    /// Samples a second
    pub rate: f64,
    /// ms; absent: until the target ends or `stop()`
    pub duration_ms: Option<f64>,
    pub mode: RawMode,
    pub idle: bool,
    pub thread_names: Vec<String>,
    pub timeline: bool,
    /// ms to wait for an interpreter that is still starting
    pub wait_ms: f64,
}

impl TryFrom<RawRecordOptions> for Options {
    type Error = Error;

    fn try_from(raw: RawRecordOptions) -> Result<Self, Error> {
        Ok(Self {
            rate: raw.rate,
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
            ..Self::default()
        })
    }
}

fn milliseconds(name: &str, ms: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(ms / 1e3)
        .map_err(|_| Error::InvalidArgument(format!("{name} must be a number of milliseconds, not {ms}")))
}

/// A recording that runs on its own thread.
#[napi]
pub struct Recorder {
    running: Arc<Mutex<Option<sampler::Session>>>,
    control: Control,
}

#[napi]
impl Recorder {
    /// Attaches to `pid` and starts; resolves once the target has been understood.
    #[napi(catch_unwind, ts_return_type = "Promise<Recorder>")]
    pub fn start(env: &Env, pid: i32, options: RawRecordOptions) -> napi::Result<PromiseRaw<'_, Recorder>> {
        promise::run(env, move || {
            let recorder = sampler::Session::start(pid, options.try_into()?, None)?;
            let control = recorder.control();
            Ok(Self { running: Arc::new(Mutex::new(Some(recorder))), control })
        })
    }

    /// How it goes so far.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn stats(&self) -> RawStats {
        self.control.stats().into()
    }

    /// Asks the recording to end; `finish()` settles soon after.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Waits for the end and resolves with what was collected. Once only.
    #[napi(catch_unwind, ts_return_type = "Promise<RawProfile>")]
    pub fn finish<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, RawProfile>> {
        let running = Arc::clone(&self.running);
        promise::run(env, move || {
            let recorder = running.lock().unwrap_or_else(PoisonError::into_inner).take();
            let recording = recorder.ok_or_else(Failure::already_finished)?.finish()?;
            Ok(RawProfile::from(recording))
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Garbage collected without finish(), or its Node environment is going down.
        self.control.stop();
    }
}
