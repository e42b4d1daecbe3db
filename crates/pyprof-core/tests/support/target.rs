//! Real processes to look at.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::pythons::Interpreter;

/// What every script starts with: `ready(...)` prints the handshake, `wait()` blocks until the test is over.
pub const PRELUDE: &str = "
import os, sys, time, signal, threading
if threading.current_thread() is threading.main_thread():
    try: signal.alarm(300)
    except Exception: pass
def ready(*what):
    os.write(1, (' '.join(map(str, ('ready',) + what)) + '\\n').encode())
def wait():
    while True: time.sleep(3600)
";

/// A process that is killed and reaped when this goes out of scope.
#[derive(Debug)]
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// The Python's pid, as we count it
    pub pid: i32,
    /// What it printed behind `ready`
    pub words: Vec<String>,
    /// The lines it printed before `ready`
    pub lines: Vec<String>,
}

impl Target {
    /// Runs `script` (after [`PRELUDE`]) and waits until it calls `ready()`.
    pub fn python(interpreter: &Interpreter, script: &str) -> Self {
        Self::script(interpreter.command(), script)
    }

    /// Adds `-c SCRIPT` to `command`.
    pub fn script(mut command: Command, script: &str) -> Self {
        command.arg("-c").arg(format!("{PRELUDE}{script}"));
        Self::start(command)
    }

    /// Runs `command` and waits for its ready line.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
                panic!("{command:?}: {error}");
            });
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (pid, stdin) = (child.id() as i32, child.stdin.take());
        let mut target = Self { child, stdin, stdout, pid, words: Vec::new(), lines: Vec::new() };
        target.words = target.line();
        target
    }

    /// Waits for the next `ready` line and returns its words; what comes before goes to [`Target::lines`].
    pub fn line(&mut self) -> Vec<String> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = self.stdout.read_until(b'\n', &mut line).expect("readable output");
            assert!(n > 0, "the target ended before it was ready");
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\n');
            if let Some(rest) = text.strip_prefix("ready") {
                return rest.split_whitespace().map(str::to_owned).collect();
            }
            self.lines.push(text.to_owned());
        }
    }

    /// Writes a line to the target's standard input and waits for the `ready` line that answers it.
    pub fn ask(&mut self, line: &str) -> Vec<String> {
        let stdin = self.stdin.as_mut().expect("open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the target reads");
        self.line()
    }

    /// The target's standard input: close it or write to it to tell a script to go on.
    pub fn stdin(&mut self) -> &mut Option<ChildStdin> {
        &mut self.stdin
    }

    /// The only child of the process that was started, for `unshare --fork` and its like.
    pub fn descend(mut self) -> Self {
        let path = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = std::fs::read_to_string(path).expect("children");
        self.pid = children.split_whitespace().next().expect("a child").parse().expect("a pid");
        self
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), signal).expect("it is ours");
    }

    /// Waits until `/proc/PID/stat` gives this state letter.
    pub fn await_state(&self, state: char) {
        let stat = format!("/proc/{}/stat", self.pid);
        let wanted = format!(") {state} ");
        while !std::fs::read_to_string(&stat).expect("not reaped").contains(&wanted) {
            std::thread::yield_now();
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it but leaves it a zombie until this goes out of scope.
    pub fn kill_unreaped(&mut self) {
        let _ = self.child.kill();
        // The pipe closes when the process has let go of everything.
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut self.stdout, &mut rest);
        self.await_state('Z');
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.pid != self.child.id() as i32 {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(self.pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        self.kill();
    }
}
