//! A part of a test played by a process with other rights: this test program itself, run again.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::libc;

use super::files::Directory;

/// Another user, without any capability.
pub const NOBODY: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Runs the test `act_when_told` of this test program, copied to where everybody may run it, behind `prefix`. It finds
/// `told` in `PYPROF_ACT`; what it prints behind `says: ` comes back.
pub fn act(prefix: &[&str], told: &str) -> String {
    let directory = Directory::new();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.join("actor");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = match prefix {
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
        [] => Command::new(&program),
    };
    command.args(["--exact", "act_when_told", "--nocapture"]).env("PYPROF_ACT", told);
    // Another test that starts a program just now can hold the copy open for writing, until its child has begun.
    let output = loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let said = text.lines().filter_map(|line| line.split_once("says: ")).map(|(_, said)| said);
    said.collect::<Vec<_>>().join("\n")
}

/// What a seccomp filter does to a call.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// This errno, as Docker's does
    Errno(i32),
    /// The end of the process, as systemd's does
    Kill,
}

/// Installs a seccomp filter on this thread and its children.
pub fn forbid(call: libc::c_long, fate: Fate) {
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let action = match fate {
        Fate::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        Fate::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    let mut program = [
        statement((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: call as u32,
        },
        statement(libc::BPF_RET as u16, action),
        statement(libc::BPF_RET as u16, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter and its program live until the kernel has copied them.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
