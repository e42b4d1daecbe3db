//! One process: is it Python, may we read it, how deep, and what is unusual about it.

use std::fs::{File, metadata, read_link};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pyprof_core::Error;
use pyprof_core::attach::Attached;
use pyprof_core::memory::ProcessMemory;
use pyprof_core::process::access::{denial, user_name};
use pyprof_core::process::children::command_line;
use pyprof_core::process::maps::{self, Mapping, file_name};
use pyprof_core::process::rights::remedy::Remedy;
use pyprof_core::process::rights::surroundings::Namespace;
use pyprof_core::process::stat::{Stat, Status};
use pyprof_core::python::locate::locate;
use pyprof_core::python::located::LocatedRuntime;
use pyprof_core::sampler::EngineKind;

use crate::rights::Rights;

/// What was found out about a process.
#[derive(Debug, Clone)]
pub struct Target {
    /// As asked
    pub pid: i32,
    /// Owner's name; `None` when the process is gone
    pub user: Option<String>,
    /// The file behind `/proc/PID/exe`; `None` when it may not be seen
    pub executable: Option<String>,
    /// Arguments, the program's name first
    pub command: Vec<String>,
    /// The interpreter, when it was found
    pub python: Option<Python>,
    /// The best engine for it; `None` when it cannot be profiled
    pub engine: Option<EngineKind>,
    /// Why it cannot be profiled: the error's code and text
    pub obstacle: Option<(&'static str, String)>,
    /// What would lift the obstacle, the way at hand first
    pub remedies: Vec<Remedy>,
    /// Native frames of its blocked threads can be read
    pub has_blocked_stacks: bool,
    /// Kernel frames of its blocked threads can be read
    pub has_kernel_stacks: bool,
    /// What is unusual about it
    pub notes: Vec<Note>,
}

/// An interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// For example `3.12.1`
    pub version: String,
    /// The file that holds it, as the target names it
    pub file: String,
    /// `symbol`, `section` or `scan`
    pub found_by: &'static str,
    /// Built without a GIL
    pub free_threaded: bool,
    /// Threads with a Python state
    pub threads: u32,
}

/// Something that explains what a profile will show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable name
    pub id: &'static str,
    /// A sentence
    pub text: String,
}

impl Target {
    /// Looks at `pid` as a recording would.
    pub(super) fn examine(pid: i32, rights: &Rights) -> Self {
        let executable = read_link(format!("/proc/{pid}/exe")).ok();
        let mut target = Self {
            pid,
            user: owner(pid),
            executable: executable.as_ref().map(|path| path.to_string_lossy().into_owned()),
            command: command_line(pid),
            python: None,
            engine: None,
            obstacle: None,
            remedies: Vec::new(),
            has_blocked_stacks: is_readable(&format!("/proc/{pid}/syscall")),
            has_kernel_stacks: is_readable(&format!("/proc/{pid}/stack")),
            notes: Vec::new(),
        };
        let memory = ProcessMemory::new(pid);
        match locate(pid, &memory).and_then(|runtimes| Ok((Attached::open(pid)?, runtimes))) {
            Ok((attached, runtimes)) => {
                target.python = Some(python(&attached, &runtimes));
                target.engine = rights.engine();
                target.notes.extend(runtime_notes(&runtimes, executable.as_deref()));
            }
            Err(error) => {
                if matches!(error, Error::Permission { .. }) {
                    target.remedies = denial(pid, &rights.ourselves).remedies;
                }
                target.obstacle = Some((error.code(), error.to_string()));
            }
        }
        target.notes.extend(process_notes(pid, rights));
        target
    }
}

fn python(attached: &Attached, runtimes: &[LocatedRuntime]) -> Python {
    let runtime = runtimes.iter().find(|runtime| runtime.version == attached.version);
    Python {
        version: attached.version.to_string(),
        file: runtime.map_or_else(String::new, |runtime| runtime.file.clone()),
        found_by: runtime.map_or("scan", |runtime| runtime.found_by),
        free_threaded: attached.reader.layout().free_threaded,
        threads: attached.reader.threads().count() as u32,
    }
}

fn owner(pid: i32) -> Option<String> {
    Status::read(pid).ok()?.words("Uid").nth(1)?.parse().ok().map(user_name)
}

fn is_readable(path: &str) -> bool {
    File::open(path).and_then(|mut file| file.read(&mut [0])).is_ok_and(|count| count == 1)
}

fn note(id: &'static str, text: impl Into<String>) -> Note {
    Note { id, text: text.into() }
}

fn runtime_notes(runtimes: &[LocatedRuntime], executable: Option<&Path>) -> Vec<Note> {
    let mut notes = Vec::new();
    let program = executable.map(file_name).unwrap_or_default();
    let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
    if let Some(first) = runtimes.first() {
        if !program.is_empty() && !program.starts_with("python") {
            let text = format!("Python is embedded in {program}; it lies in {}", first.file);
            notes.push(note("embedded", text));
        }
        if first.found_by == "scan" {
            let text = "the interpreter has no symbols, or its file may not be read; it was found by searching \
                        its data";
            notes.push(note("no-symbols", text));
        }
    }
    if runtimes.len() > 1 {
        let text = format!("{} copies of CPython run in it; the first one is profiled", runtimes.len());
        notes.push(note("several-runtimes", text));
    }
    notes
}

/// What /proc tells without further rights.
fn process_notes(pid: i32, rights: &Rights) -> Vec<Note> {
    let mut notes = Vec::new();
    let ours = &rights.ourselves;
    let Ok(status) = Status::read(pid) else {
        if ours.surroundings.is_container() && ours.pid_namespace.is_some_and(|found| !found.is_initial()) {
            let text = "from inside this container only its own processes are seen; share the other's pid \
                        namespace (docker run --pid=container:NAME or --pid=host, Kubernetes \
                        shareProcessNamespace or hostPID) to see more";
            notes.push(note("pid-namespace-hides", text));
        }
        return notes;
    };
    let other = |name: &str, ours: Option<Namespace>| {
        let theirs = Namespace::of(pid, name);
        theirs.is_some() && ours.is_some() && theirs != ours
    };
    if other("pid", ours.pid_namespace) {
        let inner = status.words("NSpid").last().unwrap_or("?");
        let text = format!("it runs in another pid namespace, where its pid is {inner}; ids shown are ours");
        notes.push(note("other-pid-namespace", text));
    }
    if other("user", ours.user_namespace) {
        notes.push(note("other-user-namespace", "it runs in another user namespace"));
    }
    let identity = |path: &str| metadata(path).ok().map(|data| (data.dev(), data.ino()));
    if let (Some(theirs), Some(here)) = (identity(&format!("/proc/{pid}/root/")), identity("/"))
        && theirs != here
    {
        notes.push(note("other-root", "it has another root directory; paths shown are those it sees"));
    }
    if let Some(file) = deleted(&maps::read(pid).unwrap_or_default()) {
        let text =
            format!("{file} was deleted or replaced since the process started; restart it when you can");
        notes.push(note("deleted-file", text));
    }
    if status.number("TracerPid").is_some_and(|tracer| tracer != 0) {
        let tracer = status.number("TracerPid").unwrap_or_default();
        notes.push(note("traced", format!("process {tracer} traces it, so it may be stopped at any time")));
    }
    if Stat::read(pid).is_ok_and(|stat| matches!(stat.state, b'T' | b't')) {
        notes.push(note("stopped", "it is stopped; its stacks will not change until it goes on"));
    }
    notes
}

/// Program or interpreter library whose file is no longer there.
fn deleted(maps: &[Mapping]) -> Option<String> {
    let gone = maps.iter().filter(|mapping| mapping.deleted && mapping.permissions.execute);
    let named = gone.filter_map(|mapping| mapping.file()).map(|path| (file_name(path), path));
    let python = |name: &str| name.starts_with("python") || name.starts_with("libpython");
    named.filter(|(name, _)| python(name)).map(|(_, path)| path.to_string_lossy().into_owned()).next()
}
