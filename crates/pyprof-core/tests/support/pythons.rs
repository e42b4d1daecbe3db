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
/// else pyenv's 3.8 to 3.15, Debian's own, and those in the root directory `PYPROF_TEST_ROOT`.
pub fn interpreters() -> Vec<Interpreter> {
    if let Ok(list) = std::env::var("PYPROF_TEST_PYTHONS") {
        let paths = list.split(':').filter(|path| !path.is_empty());
        return paths
            .map(|path| asked(PathBuf::from(path)).unwrap_or_else(|| panic!("{path} is no Python")))
            .collect();
    }
    let mut found = Vec::new();
    for minor in 8..=15 {
        let known = found.len();
        found.extend(pyenv(minor));
        let system = PathBuf::from(format!("/usr/bin/python3.{minor}"));
        found.extend(system.exists().then(|| interpreter(system, minor)));
        found.extend(in_other_root(minor));
        if found.len() == known {
            skipped(&format!("python3.{minor}"), "not installed");
        }
    }
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
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("3.{minor}.")))
        })
        .map(|path| path.join(format!("bin/python3.{minor}")))
        .filter(|path| path.exists())
        .collect();
    paths.sort();
    paths.pop().map(|path| interpreter(path, minor))
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
        path.exists().then(|| interpreter(path, minor))
    })
}

/// One that runs by `chroot` in another root directory; needs root.
pub fn in_other_root(minor: u8) -> Option<Interpreter> {
    let root = std::env::var("PYPROF_TEST_ROOT").unwrap_or("/opt/pyprof-sid".into());
    if !Path::new(&root).join(format!("usr/bin/python3.{minor}")).exists()
        || !nix::unistd::geteuid().is_root()
    {
        return None;
    }
    let name = format!("3.{minor} (chroot {root})");
    let headers = Some(Path::new(&root).join(format!("usr/include/python3.{minor}")));
    let argv = vec!["chroot".into(), root.into(), format!("python3.{minor}").into()];
    let headers = headers.filter(|path| path.exists());
    Some(Interpreter { name, version: (3, minor), argv, other_root: true, headers })
}

fn interpreter(path: PathBuf, minor: u8) -> Interpreter {
    let name = format!("3.{minor} ({})", path.display());
    // `bin/python3.N` and `include/python3.N` lie side by side.
    let headers =
        path.parent().and_then(Path::parent).map(|root| root.join(format!("include/python3.{minor}")));
    let headers = headers.filter(|path| path.join("Python.h").exists());
    Interpreter { name, version: (3, minor), argv: vec![path.into()], other_root: false, headers }
}

fn asked(path: PathBuf) -> Option<Interpreter> {
    let output = Command::new(&path).args(["-c", "import sys; print(sys.version_info[1])"]).output().ok()?;
    let minor = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(interpreter(path, minor))
}
