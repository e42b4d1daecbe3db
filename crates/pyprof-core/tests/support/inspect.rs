//! A target with its interpreter found, for tests of what reads single structures.

use std::process::Command;

use pyprof_core::memory::{ProcessMemory, RemoteMemory};
use pyprof_core::python::layout::{FrameRoot, Layout, for_runtime};
use pyprof_core::python::locate::locate;
use pyprof_core::python::located::LocatedRuntime;

use super::pythons::Interpreter;
use super::target::Target;

/// A frame's own words.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame {
    pub address: u64,
    pub code: u64,
    pub instruction: u64,
    pub owner: u8,
}

/// A running Python whose interpreter has been found.
#[derive(Debug)]
pub struct Inspected {
    target: Target,
    pub memory: ProcessMemory,
    pub layout: Layout,
    pub runtime: LocatedRuntime,
}

impl Inspected {
    /// Runs `script`, which must print `ready` on a line of its own and then wait for its standard input to end.
    /// Returns the lines before `ready` with it.
    pub fn start(python: &Interpreter, script: &str) -> (Self, Vec<String>) {
        Self::start_with(python, script, &[])
    }

    /// As [`Self::start`], with arguments for the script.
    pub fn start_with(python: &Interpreter, script: &str, arguments: &[&str]) -> (Self, Vec<String>) {
        let mut command: Command = python.command();
        command.args(["-X", "utf8", "-c", script]).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut target = Target::start(command);
        let memory = ProcessMemory::new(target.pid);
        let name = &python.name;
        let found = locate(target.pid, &memory).unwrap_or_else(|error| panic!("{name}: {error}"));
        let runtime = found.into_iter().next().expect("one at least");
        let layout = for_runtime(&memory, target.pid, &runtime).unwrap_or_else(|e| panic!("{name}: {e}"));
        let lines = std::mem::take(&mut target.lines);
        (Self { target, memory, layout, runtime }, lines)
    }

    /// The address of the main interpreter's state.
    pub fn main_interpreter(&self) -> u64 {
        let at = self.layout.runtime.interpreters_main.expect("every version has it");
        self.memory.read_u64(self.runtime.address + at).expect("readable")
    }

    /// The frames of the Python thread `ident`, leaf first. It reads as a textbook would, one word at a time:
    /// the thread must not call or return meanwhile.
    pub fn stack(&self, ident: u64) -> Vec<RawFrame> {
        let layout = &self.layout;
        let read = |at: u64| self.memory.read_u64(at).expect("readable");
        let mut thread = read(self.main_interpreter() + layout.interpreter.threads_head);
        while read(thread + layout.thread.thread_id) != ident {
            thread = read(thread + layout.thread.next);
        }
        let mut frame = match layout.thread.frame_root {
            FrameRoot::FrameObject(at) | FrameRoot::CurrentFrame(at) => read(thread + at),
            FrameRoot::CFrame(cframe, current) => read(read(thread + cframe) + current),
        };
        let mut frames = Vec::new();
        while frame != 0 {
            let owner =
                layout.frame.owner.map_or(0, |at| read(frame + (at & !7)).to_le_bytes()[(at & 7) as usize]);
            // Frames of the C stack and of the interpreter run no Python code.
            if owner < 3 {
                let code = read(frame + layout.frame.code) & !3;
                let instruction = read(frame + layout.frame.instruction);
                frames.push(RawFrame { address: frame, code, instruction, owner });
            }
            frame = read(frame + layout.frame.previous);
        }
        frames
    }
}
