//! `snapshot()`.

use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use pyprof_core::profile::FrameKind;
use pyprof_core::snapshot::{FrameSnapshot, Local, NativeLook, Snapshot, ThreadSnapshot, Wait};
use pyprof_native::dump::{self, DumpOptions};

use crate::promise;

/// All threads at one moment.
#[napi(object)]
pub struct RawSnapshot {
    pub pid: i32,
    pub python_version: String,
    pub executable: String,
    pub command: Vec<String>,
    pub threads: Vec<RawThreadSnapshot>,
}

/// One thread and its stack.
#[napi(object)]
pub struct RawThreadSnapshot {
    pub interpreter: f64,
    pub name: String,
    pub python_id: f64,
    /// 0 when unknown
    pub tid: i32,
    pub is_main: bool,
    pub on_cpu: bool,
    /// `null` without a GIL
    pub holds_gil: Option<bool>,
    pub complete: bool,
    /// Root first
    pub frames: Vec<RawFrameSnapshot>,
    /// Unless native or kernel frames were asked for, `null`
    pub native: Option<RawNativeLook>,
}

/// How far a thread was seen below Python.
#[napi(object)]
pub struct RawNativeLook {
    pub complete: bool,
    pub note: String,
    pub has_python: bool,
    pub waits_in: Option<RawWait>,
}

/// What a blocked thread waits in.
#[napi(object)]
pub struct RawWait {
    pub number: Option<f64>,
    pub call: String,
    pub arguments: Vec<String>,
    pub channel: String,
}

/// What to show besides Python's frames.
#[napi(object)]
pub struct RawSnapshotOptions {
    pub locals: bool,
    pub native: bool,
    pub kernel: bool,
}

/// One frame; lines and columns are 0 when unknown, columns are UTF-8 bytes plus 1.
#[napi(object)]
pub struct RawFrameSnapshot {
    /// 0 Python, 1 missing, 2 native, 3 kernel
    pub kind: u32,
    pub name: String,
    pub qualified_name: String,
    pub file: String,
    pub module: String,
    pub first_line: u32,
    pub line: u32,
    pub end_line: u32,
    pub column: u32,
    pub end_column: u32,
    pub is_async: bool,
    pub locals: Option<Vec<RawLocal>>,
}

/// A local variable as text.
#[napi(object)]
pub struct RawLocal {
    pub name: String,
    pub is_argument: bool,
    pub value: String,
}

/// The number that stands for a kind of frame in JavaScript.
#[must_use]
pub fn kind(kind: FrameKind) -> u32 {
    u32::from(kind as u8)
}

impl From<Snapshot> for RawSnapshot {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            pid: snapshot.pid,
            python_version: snapshot.python_version,
            executable: snapshot.executable,
            command: snapshot.command,
            threads: snapshot.threads.into_iter().map(RawThreadSnapshot::from).collect(),
        }
    }
}

impl From<ThreadSnapshot> for RawThreadSnapshot {
    fn from(thread: ThreadSnapshot) -> Self {
        Self {
            interpreter: thread.interpreter as f64,
            name: thread.name,
            python_id: thread.python_id as f64,
            tid: thread.tid,
            is_main: thread.is_main,
            on_cpu: thread.on_cpu,
            holds_gil: thread.holds_gil,
            complete: thread.complete,
            frames: thread.frames.into_iter().map(RawFrameSnapshot::from).collect(),
            native: thread.native.map(RawNativeLook::from),
        }
    }
}

impl From<NativeLook> for RawNativeLook {
    fn from(look: NativeLook) -> Self {
        Self {
            complete: look.complete,
            note: look.note,
            has_python: look.has_python,
            waits_in: look.waits_in.map(RawWait::from),
        }
    }
}

impl From<Wait> for RawWait {
    fn from(wait: Wait) -> Self {
        Self {
            number: wait.number.map(|number| number as f64),
            call: wait.call,
            arguments: wait.arguments,
            channel: wait.channel,
        }
    }
}

impl From<FrameSnapshot> for RawFrameSnapshot {
    fn from(frame: FrameSnapshot) -> Self {
        Self {
            kind: kind(frame.kind),
            name: frame.name,
            qualified_name: frame.qualified_name,
            file: frame.file,
            module: frame.module,
            first_line: frame.first_line,
            line: frame.line,
            end_line: frame.end_line,
            column: frame.column,
            end_column: frame.end_column,
            is_async: frame.is_async,
            locals: frame.locals.map(|locals| locals.into_iter().map(RawLocal::from).collect()),
        }
    }
}

impl From<Local> for RawLocal {
    fn from(local: Local) -> Self {
        Self { name: local.name, is_argument: local.is_argument, value: local.value }
    }
}

impl From<RawSnapshotOptions> for DumpOptions {
    fn from(options: RawSnapshotOptions) -> Self {
        Self { locals: options.locals, native: options.native, kernel: options.kernel }
    }
}

/// Looks once at every thread of `pid`.
#[napi(catch_unwind, ts_return_type = "Promise<RawSnapshot>")]
pub fn snapshot(
    env: &Env,
    pid: i32,
    options: RawSnapshotOptions,
) -> napi::Result<PromiseRaw<'_, RawSnapshot>> {
    promise::run(env, move || Ok(dump::take(pid, options.into())?.into()))
}
