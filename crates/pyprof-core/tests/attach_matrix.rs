//! Every way a Python can come to run: the interpreter must be found, and be the right one.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use pyprof_core::memory::ProcessMemory;
use pyprof_core::python::locate::locate;
use pyprof_core::python::located::LocatedRuntime;
use support::{Directory, Interpreter, Target, skipped};

/// Prints the version and, where ctypes exists, the true address of `_PyRuntime`.
const TRUTH: &str = "
def truth():
    import sys
    v = sys.version_info
    level = {'final': '', 'alpha': 'a%d', 'beta': 'b%d', 'candidate': 'rc%d'}[v[3]]
    version = '%d.%d.%d' % v[:3] + (level % v[4] if level else '')
    try:
        import ctypes
        address = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, '_PyRuntime'))
    except Exception:
        address = 0
    ready(version, address)
";
const IDLE: &str = "truth(); wait()";

fn truth_script(rest: &str) -> String {
    format!("{TRUTH}{rest}")
}

fn find(pid: i32) -> pyprof_core::Result<Vec<LocatedRuntime>> {
    locate(pid, &ProcessMemory::new(pid))
}

/// Exactly one runtime, of the version and at the address that the target itself names.
#[track_caller]
fn assert_found(target: &Target, what: &str) -> LocatedRuntime {
    let found = find(target.pid).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(found.len(), 1, "{what}: {found:?}");
    let runtime = found[0].clone();
    assert_eq!(runtime.version.to_string(), target.words[0], "{what}");
    let address: u64 = target.words[1].parse().unwrap();
    if address == 0 {
        skipped(&format!("address of {what}"), "no ctypes there");
    } else {
        assert_eq!(runtime.address, address, "{what}");
    }
    runtime
}

fn idle(command: Command) -> Target {
    Target::script(command, &truth_script(IDLE))
}

macro_rules! need {
    ($what:expr, $name:expr, $reason:expr) => {
        match $what {
            Some(value) => value,
            None => return skipped($name, $reason),
        }
    };
}

/// A Python whose libpython is `library`, through the loader's preload list.
fn with_library(python: &Interpreter, library: &Path) -> Command {
    let mut command = python.command();
    command.env("LD_PRELOAD", library);
    command
}

#[test]
fn every_interpreter() {
    let all = support::interpreters();
    assert!(!all.is_empty(), "no Python at all");
    for python in all {
        let target = idle(python.command());
        let runtime = assert_found(&target, &python.name);
        assert_eq!((runtime.version.major, runtime.version.minor), python.version);
        assert_eq!(runtime.found_by, "symbol", "{}", python.name);
        assert!(runtime.size.is_some_and(|size| size > 500), "{}", python.name);
    }
}

#[test]
fn other_pid_and_mount_namespace() {
    let python = need!(support::pyenv(10), "namespaces", "no pyenv 3.10");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]).args(&python.argv);
    let script = truth_script("truth(); ready(os.getpid(), threading.get_native_id()); wait()");
    let mut target = Target::script(command, &script);
    let inner = target.line();
    let target = target.descend();
    assert_found(&target, "namespaces");
    assert_eq!(inner[0], "1");
    let threads = pyprof_core::process::threads::TidMap::read(target.pid).unwrap();
    assert_eq!(threads.outer(inner[1].parse().unwrap()), Some(target.pid));
    assert_eq!(threads.outer(target.pid), None);
}

#[test]
fn binary_deleted_or_replaced() {
    let python = need!(support::system_python(), "deleted binary", "no /usr/bin/python3.N");
    for replaced in [false, true] {
        let directory = Directory::new();
        let path = directory.join("python-copy");
        fs::copy(python.path().unwrap(), &path).unwrap();
        let mut command = Command::new(&path);
        command.env("PYTHONHOME", "/usr");
        let target = idle(command);
        fs::remove_file(&path).unwrap();
        if replaced {
            fs::write(&path, "not even a program").unwrap();
        }
        assert_found(&target, "deleted binary");
    }
}

#[test]
fn library_deleted_replaced_or_a_fifo() {
    let python = need!(support::pyenv(12), "deleted libpython", "no pyenv 3.12");
    let library = support::libpython(12).unwrap();
    for replacement in ["", "fifo", "other version"] {
        let directory = Directory::new();
        let path = directory.join("libpython3.12.so.1.0");
        fs::copy(&library, &path).unwrap();
        let target = idle(with_library(&python, &path));
        fs::remove_file(&path).unwrap();
        match replacement {
            "fifo" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            "other version" => {
                fs::copy(need!(support::libpython(9), "other version", "no pyenv 3.9"), &path).unwrap();
            }
            _ => {}
        }
        let runtime = assert_found(&target, replacement);
        assert!(runtime.file.starts_with(directory.path().to_str().unwrap()), "{}", runtime.file);
    }
}

#[test]
fn virtual_environments() {
    let python = need!(support::pyenv(11), "venv", "no pyenv 3.11");
    for kind in ["--symlinks", "--copies"] {
        let directory = Directory::new();
        let made =
            python.command().args(["-m", "venv", "--without-pip", kind]).arg(directory.join("v")).status();
        assert!(made.unwrap().success());
        assert_found(&idle(Command::new(directory.join("v/bin/python"))), kind);
    }
}

#[test]
fn embedded_in_a_program() {
    let python = need!(support::pyenv(12), "embedded", "no pyenv 3.12");
    let home = python.path().unwrap().parent().unwrap().parent().unwrap();
    let directory = Directory::new();
    let host = directory.join("host");
    let source = "#include <Python.h>
        int main(int argc, char **argv) { Py_Initialize(); return PyRun_SimpleString(argv[1]); }";
    let lib = home.join("lib");
    let flags = [
        format!("-I{}", home.join("include/python3.12").display()),
        format!("-L{}", lib.display()),
        "-lpython3.12".to_owned(),
        format!("-Wl,-rpath,{}", lib.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    need!(support::compile(source, &host, &flags), "embedded", "no C compiler");
    let mut command = Command::new(&host);
    command.env("PYTHONHOME", home).arg(format!("{}{}", support::PRELUDE, truth_script(IDLE)));
    let target = Target::start(command);
    assert_found(&target, "embedded");
    let listed = pyprof_core::process::list().unwrap();
    assert!(listed.iter().any(|process| process.pid == target.pid && process.obstacle.is_none()));
}

#[test]
fn uwsgi() {
    if Command::new("uwsgi").arg("--version").output().is_err() {
        return skipped("uwsgi", "not installed");
    }
    let directory = Directory::new();
    let app = directory.join("app.py");
    let rest = "truth()\ndef application(environ, start): return []\n";
    fs::write(&app, format!("{}{}", support::PRELUDE, truth_script(rest))).unwrap();
    let mut command = Command::new("uwsgi");
    command.args(["--plugin", "python3", "--enable-threads", "--socket"]).arg(directory.join("socket"));
    command.arg("--wsgi-file").arg(&app).stderr(std::process::Stdio::null());
    assert_found(&Target::start(command), "uwsgi");
}

#[test]
fn sub_interpreters_share_the_runtime() {
    let python = need!(support::pyenv(12), "sub-interpreters", "no pyenv 3.12");
    let script = "
import _xxsubinterpreters as interpreters
ids = [interpreters.create() for _ in range(3)]
def run(): interpreters.run_string(ids[0], 'import time; time.sleep(300)')
threading.Thread(target=run, daemon=True).start()
truth()
wait()
";
    assert_found(&Target::python(&python, &truth_script(script)), "sub-interpreters");
}

#[test]
fn a_second_libpython_is_not_the_one_in_use() {
    for (minor, second) in [(12, 9), (9, 12), (13, 8), (8, 13)] {
        let python = need!(support::pyenv(minor), "second libpython", "a pyenv version is missing");
        let library = need!(support::libpython(second), "second libpython", "a pyenv version is missing");
        let script = format!("import ctypes; ctypes.CDLL({library:?}); {IDLE}");
        let target = Target::python(&python, &truth_script(&script));
        assert_found(&target, &format!("3.{minor} with the library of 3.{second}"));
    }
}

#[test]
fn stripped_library() {
    for minor in [8, 10, 13] {
        let python = need!(support::pyenv(minor), "stripped libpython", "a pyenv version is missing");
        let directory = Directory::new();
        let path = directory.join(&format!("libpython3.{minor}.so.1.0"));
        fs::copy(support::libpython(minor).unwrap(), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let stripped = Command::new("strip").arg(&path).status();
        if stripped.is_err() {
            return skipped("stripped libpython", "no strip");
        }
        assert!(stripped.unwrap().success());
        assert_found(&idle(with_library(&python, &path)), "stripped libpython");
    }
}

/// Without section headers there is neither a symbol table nor a `.PyRuntime` section.
#[test]
fn library_without_sections() {
    for minor in 8..=13 {
        let python = need!(support::pyenv(minor), "libpython without sections", "a pyenv version is missing");
        let directory = Directory::new();
        let path = directory.join(&format!("libpython3.{minor}.so.1.0"));
        let mut bytes = fs::read(support::libpython(minor).unwrap()).unwrap();
        bytes[0x28..0x30].fill(0); // e_shoff
        bytes[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
        fs::write(&path, &bytes).unwrap();
        assert_found(&idle(with_library(&python, &path)), &format!("3.{minor} without sections"));
    }
}

#[test]
fn an_interpreter_that_is_still_starting() {
    for minor in [8, 12, 13] {
        let python = need!(support::pyenv(minor), "starting", "a pyenv version is missing");
        let directory = Directory::new();
        let library = directory.join("stop.so");
        let source = "#include <unistd.h>
            __attribute__((constructor)) static void stop(void) { alarm(300); write(1, \"ready\\n\", 6); pause(); }";
        need!(support::compile(source, &library, &["-shared", "-fPIC"]), "starting", "no C compiler");
        let target = Target::start(with_library(&python, &library));
        assert_eq!(find(target.pid).unwrap_err().code(), "NOT_READY", "3.{minor}");
    }
}

#[test]
fn what_is_not_a_supported_python() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo ready; read line"]);
    let mut shell = Target::start(shell);
    assert_eq!(find(shell.pid).unwrap_err().code(), "NOT_PYTHON");
    shell.kill_unreaped();
    assert_eq!(find(shell.pid).unwrap_err().code(), "PROCESS_EXITED");
    shell.kill();
    assert_eq!(find(shell.pid).unwrap_err().code(), "NO_SUCH_PROCESS");
    // Pid 2 is the parent of all kernel threads, unless this is a pid namespace of its own.
    match fs::read_to_string("/proc/2/comm") {
        Ok(name) if name.trim() == "kthreadd" => assert_eq!(find(2).unwrap_err().code(), "NOT_PYTHON"),
        _ => skipped("kernel thread", "none is visible"),
    }
    let old = need!(support::pyenv(7), "3.7", "no pyenv 3.7");
    let target = idle(old.command());
    let error = find(target.pid).unwrap_err();
    assert_eq!(error.code(), "UNSUPPORTED_VERSION");
    assert!(error.to_string().contains("CPython 3.7."), "{error}");
}
