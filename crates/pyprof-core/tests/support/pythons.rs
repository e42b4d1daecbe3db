//! The Pythons of this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::skipped;

/// A `CPython` to run targets with.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// For messages: `3.12 (/path/bin/python3.12)`
    pub name: String,
    pub version: (u8, u8),
    /// `sys.abiflags`: `t` without the GIL, `d` a debug build
    pub abi: String,
    /// Program and leading arguments; with `chroot DIR python3.14` the program lies in another root
    pub argv: Vec<OsString>,
    /// It runs in another root: paths of ours mean nothing to it
    pub other_root: bool,
    /// Directory with `Python.h`, as we see it, when there is one
    pub headers: Option<PathBuf>,
}

impl Interpreter {
    /// The 12 of 3.12.
    pub fn minor(&self) -> u8 {
        self.version.1
    }

    /// Its threads run without the GIL.
    pub fn free_threaded(&self) -> bool {
        self.abi.contains('t')
    }

    /// What a snapshot says of a thread that holds the GIL or does not: nothing where there is none.
    pub fn gil(&self, held: bool) -> Option<bool> {
        (!self.free_threaded()).then_some(held)
    }

    /// A command that runs it; add arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]);
        command
    }

    /// The program's path, when it is in our root.
    pub fn path(&self) -> Option<&Path> {
        (!self.other_root).then(|| Path::new(&self.argv[0]))
    }
}

/// Every Python of this machine: those in `PYPROF_TEST_PYTHONS` (paths, separated by colons) when it is set,
/// else pyenv's 3.8 to 3.15, Debian's own, those in the root directory `PYPROF_TEST_ROOT`, those without the GIL,
/// and those in `PYPROF_PYTHONS`.
pub fn interpreters() -> Vec<Interpreter> {
    if let Some(only) = listed("PYPROF_TEST_PYTHONS") {
        return only;
    }
    let mut found = Vec::new();
    for minor in 8..=15 {
        let known = found.len();
        found.extend(pyenv(minor));
        let system = PathBuf::from(format!("/usr/bin/python3.{minor}"));
        found.extend(system.exists().then(|| interpreter(system, minor, "")));
        found.extend(in_other_root(minor));
        if found.len() == known {
            skipped(&format!("python3.{minor}"), "not installed");
        }
    }
    found.extend(free_threaded());
    found.extend(listed("PYPROF_PYTHONS").unwrap_or_default());
    found
}

/// The paths, separated by colons, in an environment variable.
fn listed(variable: &str) -> Option<Vec<Interpreter>> {
    let list = std::env::var(variable).ok()?;
    let paths = list.split(':').filter(|path| !path.is_empty());
    Some(
        paths
            .map(|path| asked(PathBuf::from(path)).unwrap_or_else(|| panic!("{path} is no Python")))
            .collect(),
    )
}

/// Those without the GIL, where `scripts/free-threaded.mjs` puts them.
pub fn free_threaded() -> Vec<Interpreter> {
    let path = |minor| PathBuf::from(format!("/opt/pyprof-python-3.{minor}t/bin/python3.{minor}t"));
    let mut found = Vec::new();
    for minor in 13..=15 {
        let path = path(minor);
        if path.exists() {
            found.push(interpreter(path, minor, "t"));
        } else {
            skipped(&format!("CPython 3.{minor}t"), "no such build here, see scripts/free-threaded.mjs");
        }
    }
    found
}

/// Debug builds: Debian's, here and in the other root.
pub fn debug_builds() -> Vec<Interpreter> {
    let mut found = Vec::new();
    for minor in 8..=15 {
        let path = PathBuf::from(format!("/usr/bin/python3.{minor}d"));
        found.extend(path.exists().then(|| interpreter(path, minor, "d")));
        found.extend(in_root(minor, "d"));
    }
    found
        .extend(listed("PYPROF_PYTHONS").unwrap_or_default().into_iter().filter(|one| one.abi.contains('d')));
    found
}

/// pyenv's newest 3.`minor`: a shared build with symbols.
pub fn pyenv(minor: u8) -> Option<Interpreter> {
    let home = std::env::var("HOME").unwrap_or_default();
    let root = std::env::var("PYENV_ROOT").unwrap_or(format!("{home}/.pyenv"));
    let mut paths: Vec<PathBuf> = std::fs::read_dir(format!("{root}/versions"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Not `3.13.1t`.
            name.strip_prefix(&format!("3.{minor}.")).is_some_and(|micro| micro.parse::<u32>().is_ok())
        })
        .map(|path| path.join(format!("bin/python3.{minor}")))
        .filter(|path| path.exists())
        .collect();
    paths.sort();
    paths.pop().map(|path| interpreter(path, minor, ""))
}

/// The shared library of a pyenv Python.
pub fn libpython(minor: u8) -> Option<PathBuf> {
    let interpreter = pyenv(minor)?;
    let lib = interpreter.path()?.parent()?.parent()?.join(format!("lib/libpython3.{minor}.so.1.0"));
    lib.exists().then_some(lib)
}

/// Debian's own Python: static, stripped.
pub fn system_python() -> Option<Interpreter> {
    (8..=15).find_map(|minor| {
        let path = PathBuf::from(format!("/usr/bin/python3.{minor}"));
        path.exists().then(|| interpreter(path, minor, ""))
    })
}

/// One that runs by `chroot` in another root directory; needs root.
pub fn in_other_root(minor: u8) -> Option<Interpreter> {
    in_root(minor, "")
}

fn in_root(minor: u8, abi: &str) -> Option<Interpreter> {
    let root = std::env::var("PYPROF_TEST_ROOT").unwrap_or("/opt/pyprof-sid".into());
    let program = format!("python3.{minor}{abi}");
    if !Path::new(&root).join("usr/bin").join(&program).exists() || !nix::unistd::geteuid().is_root() {
        return None;
    }
    let name = format!("3.{minor}{abi} (chroot {root})");
    let headers = Some(Path::new(&root).join("usr/include").join(&program));
    let headers = headers.filter(|path| path.join("Python.h").exists());
    let argv = vec!["chroot".into(), root.into(), program.into()];
    Some(Interpreter { name, version: (3, minor), abi: abi.into(), argv, other_root: true, headers })
}

fn interpreter(path: PathBuf, minor: u8, abi: &str) -> Interpreter {
    let name = format!("3.{minor}{abi} ({})", path.display());
    // `bin/python3.N` and `include/python3.N` lie side by side.
    let headers =
        path.parent().and_then(Path::parent).map(|root| root.join(format!("include/python3.{minor}{abi}")));
    let headers = headers.filter(|path| path.join("Python.h").exists());
    Interpreter {
        name,
        version: (3, minor),
        abi: abi.into(),
        argv: vec![path.into()],
        other_root: false,
        headers,
    }
}

fn asked(path: PathBuf) -> Option<Interpreter> {
    let script = "import sys; print(sys.version_info[1], sys.abiflags)";
    let output = Command::new(&path).args(["-c", script]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.split_whitespace();
    let minor = words.next()?.parse().ok()?;
    Some(interpreter(path, minor, words.next().unwrap_or_default()))
}
