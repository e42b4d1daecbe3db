//! `doctor()`.

use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use pyprof_core::process::rights::remedy::Remedy;
use pyprof_native::doctor::{self, Check, Note, Python, Report, Target};
use pyprof_native::rights::{Verdict, gives};

use crate::process::RawObstacle;
use crate::promise;

/// What can be profiled here, and how deep.
#[napi(object)]
pub struct RawReport {
    pub checks: Vec<RawCheck>,
    /// Best first
    pub engines: Vec<RawVerdict>,
    /// The best one that works
    pub engine: Option<String>,
    pub target: Option<RawTarget>,
}

/// One question and its answer.
#[napi(object)]
pub struct RawCheck {
    pub id: String,
    pub value: String,
    /// `null`: neither good nor bad
    pub good: Option<bool>,
    pub remedies: Vec<RawRemedy>,
}

/// One way to a right.
#[napi(object)]
pub struct RawRemedy {
    /// `sudo`, `user`, `launch`, `sysctl`, `setcap`, `docker`, `kubernetes`, `systemd` or `other`
    pub means: String,
    pub text: String,
}

/// Whether an engine works.
#[napi(object)]
pub struct RawVerdict {
    pub engine: String,
    pub gives: String,
    /// Empty when it works
    pub missing: Vec<String>,
    pub remedies: Vec<RawRemedy>,
}

/// A process.
#[napi(object)]
pub struct RawTarget {
    pub pid: i32,
    pub user: Option<String>,
    pub executable: Option<String>,
    pub command: Vec<String>,
    pub python: Option<RawInterpreter>,
    pub engine: Option<String>,
    pub obstacle: Option<RawObstacle>,
    pub remedies: Vec<RawRemedy>,
    pub has_blocked_stacks: bool,
    pub has_kernel_stacks: bool,
    pub notes: Vec<RawNote>,
}

/// An interpreter.
#[napi(object)]
pub struct RawInterpreter {
    pub version: String,
    pub file: String,
    /// `symbol`, `section` or `scan`
    pub found_by: String,
    pub free_threaded: bool,
    pub threads: u32,
}

/// Something unusual.
#[napi(object)]
pub struct RawNote {
    pub id: String,
    pub text: String,
}

fn list<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

impl From<Report> for RawReport {
    fn from(report: Report) -> Self {
        Self {
            checks: list(report.checks),
            engines: list(report.engines),
            engine: report.engine.map(|engine| engine.name().to_owned()),
            target: report.target.map(RawTarget::from),
        }
    }
}

impl From<Check> for RawCheck {
    fn from(check: Check) -> Self {
        Self { id: check.id.to_owned(), value: check.value, good: check.good, remedies: list(check.remedies) }
    }
}

impl From<Remedy> for RawRemedy {
    fn from(remedy: Remedy) -> Self {
        Self { means: remedy.means.name().to_owned(), text: remedy.text }
    }
}

impl From<Verdict> for RawVerdict {
    fn from(verdict: Verdict) -> Self {
        Self {
            engine: verdict.engine.name().to_owned(),
            gives: gives(verdict.engine).to_owned(),
            missing: verdict.causes,
            remedies: list(verdict.remedies),
        }
    }
}

impl From<Target> for RawTarget {
    fn from(target: Target) -> Self {
        Self {
            pid: target.pid,
            user: target.user,
            executable: target.executable,
            command: target.command,
            python: target.python.map(RawInterpreter::from),
            engine: target.engine.map(|engine| engine.name().to_owned()),
            obstacle: target.obstacle.map(|(code, message)| RawObstacle::new(code, message)),
            remedies: list(target.remedies),
            has_blocked_stacks: target.has_blocked_stacks,
            has_kernel_stacks: target.has_kernel_stacks,
            notes: list(target.notes),
        }
    }
}

impl From<Python> for RawInterpreter {
    fn from(python: Python) -> Self {
        Self {
            version: python.version,
            file: python.file,
            found_by: python.found_by.to_owned(),
            free_threaded: python.free_threaded,
            threads: python.threads,
        }
    }
}

impl From<Note> for RawNote {
    fn from(note: Note) -> Self {
        Self { id: note.id.to_owned(), text: note.text }
    }
}

/// What can be profiled here, and when `pid` is given, of that process.
#[napi(catch_unwind, ts_return_type = "Promise<RawReport>")]
pub fn doctor(env: &Env, pid: Option<i32>) -> napi::Result<PromiseRaw<'_, RawReport>> {
    promise::run(env, move || Ok(doctor::examine(pid).into()))
}
