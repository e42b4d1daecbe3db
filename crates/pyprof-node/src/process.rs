//! `processes()`.

use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use pyprof_core::process;

use crate::promise;

/// A Python process of this host.
#[napi(object)]
pub struct RawProcess {
    pub pid: i32,
    /// `null` when not known
    pub python_version: Option<String>,
    pub uid: u32,
    pub user: String,
    pub threads: u32,
    /// CPU time since the start, ns
    pub cpu_ns: f64,
    /// Time since the start, ns
    pub uptime_ns: f64,
    pub executable: String,
    pub command: Vec<String>,
    /// Why it cannot be profiled
    pub obstacle: Option<RawObstacle>,
}

/// Why a process cannot be profiled.
#[napi(object)]
pub struct RawObstacle {
    /// `ERR_PYPROF_...`
    pub code: String,
    pub message: String,
}

impl RawObstacle {
    /// `code` as the core names it.
    #[must_use]
    pub fn new(code: &str, message: String) -> Self {
        Self { code: format!("ERR_PYPROF_{code}"), message }
    }
}

impl From<process::ProcessInfo> for RawProcess {
    fn from(info: process::ProcessInfo) -> Self {
        Self {
            pid: info.pid,
            python_version: info.python_version,
            uid: info.uid,
            user: info.user,
            threads: info.threads,
            cpu_ns: info.cpu_ns as f64,
            uptime_ns: info.uptime_ns as f64,
            executable: info.executable,
            command: info.command,
            obstacle: info.obstacle.map(|obstacle| RawObstacle::new(obstacle.code, obstacle.message)),
        }
    }
}

/// The Python processes of this host, by pid.
#[napi(catch_unwind, ts_return_type = "Promise<Array<RawProcess>>")]
pub fn processes(env: &Env) -> napi::Result<PromiseRaw<'_, Vec<RawProcess>>> {
    promise::run(env, || Ok(process::list()?.into_iter().map(RawProcess::from).collect()))
}

/// A process of a tree.
#[napi(object)]
pub struct RawKin {
    pub pid: i32,
    /// 0 for the root
    pub ppid: i32,
    pub command: Vec<String>,
}

/// `pid` and all its descendants, parents before their children.
#[napi(catch_unwind, ts_return_type = "Promise<Array<RawKin>>")]
pub fn process_tree(env: &Env, pid: i32) -> napi::Result<PromiseRaw<'_, Vec<RawKin>>> {
    promise::run(env, move || {
        let tree = process::children::tree(pid);
        Ok(tree
            .into_iter()
            .map(|kin| RawKin {
                pid: kin.pid,
                ppid: kin.ppid,
                command: process::children::command_line(kin.pid),
            })
            .collect())
    })
}
