//! Whole stacks of one process: Python's frames, native ones and the kernel's in their true order.

use std::sync::Arc;

use pyprof_core::attach::Attached;
use pyprof_core::memory::ProcessMemory;
use pyprof_core::python::frame::RawFrame;
use pyprof_core::sampler::engine::Place;
use rustc_hash::FxHashMap;

use super::EngineOptions;
use super::table::Table;
use crate::blocked::{WaitingThread, read_stack};
use crate::kernel::Kernel;
use crate::look::Caught;
use crate::merge::{Merged, Merger, Problem, Slot};
use crate::perf::Interrupt;
use crate::regs::UserRegs;
use crate::stack::StackCopy;
use crate::unwind::{Hints, KEPT, NativeFrame, Stop, Unwinder, Unwound};
use crate::waits;

/// Bytes of an instruction with its inline caches (`Include/internal/pycore_opcode_metadata.h`: at most 9 of 2 bytes).
const LONGEST_INSTRUCTION: u64 = 20;
/// A function without unwind information whose caller lies within so many words may have left its registers alone.
const LEAF_WORDS: u64 = 16;
/// Nothing of a program lies outside of these.
const PAGE: u64 = 4096;
const USER_END: u64 = 1 << 48;
/// Return addresses that are tried for the caller of such a function.
const LEAF_TRIES: u32 = 6;
/// Bytes of the stack of a blocked thread that are read where the kernel's copy is too short.
const LONG_STACK: usize = 256 << 10;
/// Blocked threads whose files are kept open.
const MAX_WAITING: usize = 1024;

/// Makes stacks of one process.
#[derive(Debug)]
pub struct Stacks {
    options: EngineOptions,
    pid: i32,
    memory: ProcessMemory,
    /// `None` when native frames are not asked for
    unwinder: Option<Unwinder>,
    merger: Merger,
    table: Table,
    kernel: Option<Arc<Kernel>>,
    waiting: FxHashMap<i32, WaitingThread>,
    /// 3.8 to 3.10: merging proves every frame by its address, which belongs to one function
    frames_are_objects: bool,
    /// Stacks whose two sides could not be merged
    unmerged: u64,
}

impl Stacks {
    /// For `process`. `kernel`: its symbols, where they may be known.
    pub fn new(
        process: &Attached,
        options: EngineOptions,
        kernel: Option<Arc<Kernel>>,
    ) -> std::io::Result<Self> {
        let pid = process.handle.pid();
        Ok(Self {
            options,
            pid,
            memory: ProcessMemory::new(pid),
            unwinder: if options.native { Some(Unwinder::new(pid)?) } else { None },
            merger: Merger::new(process.reader.layout()),
            table: Table::new(process.interpreter_file.clone())?,
            kernel,
            waiting: FxHashMap::default(),
            frames_are_objects: process.reader.layout().version < (3, 11),
            unmerged: 0,
        })
    }

    /// The frames' names.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Takes the names that have come.
    pub fn collect_names(&mut self) {
        self.table.collect();
    }

    /// Waits for the names that have not come yet.
    pub fn complete_names(&mut self) {
        self.table.complete();
    }

    /// Stacks that could not be merged so far.
    #[must_use]
    pub fn unmerged(&self) -> u64 {
        self.unmerged
    }

    /// A thread at its interrupt. `python`: root first; `cframe`: see [`Merger::merge`]; `leaves`: it leaves its CPU, and
    /// the scheduler's own frames are not shown.
    pub fn interrupted(
        &mut self,
        interrupt: &Interrupt,
        python: &[RawFrame],
        cframe: Option<u64>,
        leaves: bool,
    ) -> Vec<Place> {
        let mut places = Vec::with_capacity(python.len() + 8);
        let merged = self
            .unwinder
            .as_mut()
            .and_then(|unwinder| merge(interrupt, unwinder, &mut self.merger, python, cframe));
        let short = |merged: &Merged| merged.problem == Some(Problem::NativeCut);
        let merged = match &merged {
            Some((_, Some(half))) if leaves && short(half) => {
                self.merge_more(interrupt, python, cframe).or(merged)
            }
            _ => merged,
        };
        match merged {
            Some((native, merged)) => {
                self.push_native(python, &native, merged.as_ref(), &mut places);
            }
            None => push_python(python, &mut places),
        }
        if self.options.kernel {
            let kernel = self.kernel.as_deref().filter(|_| leaves);
            let schedules = |address: &u64| kernel.is_some_and(|kernel| kernel.schedules(*address));
            let scheduler = interrupt.kernel.iter().take_while(|address| schedules(address)).count();
            self.push_kernel(&interrupt.kernel[scheduler..], &mut places);
        }
        places
    }

    /// The kernel copies a stack up to its first page that was never touched, and `select` leaves such pages in the middle.
    /// While the thread is still blocked in that place, all of it can be read from outside.
    fn merge_more(
        &mut self,
        interrupt: &Interrupt,
        python: &[RawFrame],
        cframe: Option<u64>,
    ) -> Option<(Unwound, Option<Merged>)> {
        let regs = interrupt.user_regs()?;
        let waiting = WaitingThread::open(self.pid, interrupt.tid).ok()?;
        let blocked = waiting.look().ok()??;
        if (blocked.regs.ip, blocked.regs.sp) != (regs.ip, regs.sp) {
            return None;
        }
        let stack = read_stack(&self.memory, regs.sp, LONG_STACK).bytes;
        let whole = Interrupt { stack, ..interrupt.clone() };
        let merged = merge(&whole, self.unwinder.as_mut()?, &mut self.merger, python, cframe);
        merged.filter(|_| waiting.stayed(&blocked))
    }

    /// A thread at an interrupt without a walk. `python`: what looks saw before and after it, which is believed where
    /// the interrupted thread itself proves it; `None` where it does not.
    pub fn interrupted_unwalked(
        &mut self,
        interrupt: &Interrupt,
        python: &[RawFrame],
        cframe: Option<u64>,
    ) -> Option<Vec<Place>> {
        let unwinder = self.unwinder.as_mut()?;
        let (native, merged) = merge(interrupt, unwinder, &mut self.merger, python, cframe)?;
        let merged = merged.filter(Merged::is_complete)?;
        if !self.frames_are_objects && !runs(&native, python.last()?) {
            return None;
        }
        let mut places = Vec::with_capacity(merged.slots.len());
        self.push_native(python, &native, Some(&merged), &mut places);
        if self.options.kernel {
            self.push_kernel(&interrupt.kernel, &mut places);
        }
        Some(places)
    }

    fn push_native(
        &mut self,
        python: &[RawFrame],
        native: &Unwound,
        merged: Option<&Merged>,
        places: &mut Vec<Place>,
    ) {
        let Some(unwinder) = &self.unwinder else { return push_python(python, places) };
        let Some(merged) = merged else {
            // A thread without Python: what is below its last known frame is missing.
            if !native.complete {
                self.unmerged += 1;
                places.push(Place::Missing);
            }
            for frame in native.frames.iter().rev() {
                places.push(Place::Other(self.table.native(frame, unwinder)));
            }
            return;
        };
        if merged.problem.is_some() {
            self.unmerged += 1;
            push_python(python, places);
            places.push(Place::Missing);
            return;
        }
        for slot in &merged.slots {
            match *slot {
                Slot::Python(index) => places.push(Place::Python(index)),
                Slot::Native(index) => {
                    places.push(Place::Other(self.table.native(&native.frames[index], unwinder)));
                }
            }
        }
    }

    /// `addresses`: leaf first.
    fn push_kernel(&mut self, addresses: &[u64], places: &mut Vec<Place>) {
        let kernel = self.kernel.as_deref();
        let mut last = None;
        for address in addresses.iter().rev() {
            let number = self.table.kernel(*address, kernel);
            // Where names are hidden one frame says all there is.
            if kernel.is_some() || last != Some(number) {
                places.push(Place::Other(number));
            }
            last = Some(number);
        }
    }

    /// A thread that is blocked, and was all through the look that saw `python`; `None` when it is not any more, or
    /// its two sides cannot be merged.
    pub fn blocked(&mut self, tid: i32, python: &[RawFrame], cframe: Option<u64>) -> Option<Vec<Place>> {
        if !self.waiting.contains_key(&tid) {
            if self.waiting.len() >= MAX_WAITING {
                self.waiting.clear();
            }
            self.waiting.insert(tid, WaitingThread::open(self.pid, tid).ok()?);
        }
        let places = self.look_at_blocked(tid, python, cframe);
        if places.is_none() {
            // The thread may have ended, and another one have its number now.
            self.waiting.remove(&tid);
        }
        places
    }

    fn look_at_blocked(&mut self, tid: i32, python: &[RawFrame], cframe: Option<u64>) -> Option<Vec<Place>> {
        let waiting = self.waiting.remove(&tid)?;
        let mut places = Vec::with_capacity(python.len() + 8);
        let held = {
            let mut caught = Caught::begin(&waiting, &self.memory)?;
            match &mut self.unwinder {
                Some(unwinder) if python.is_empty() => {
                    let native = caught.unwind(unwinder, &self.memory, Hints::default());
                    self.push_native(python, &native, None, &mut places);
                }
                Some(unwinder) => {
                    let (native, merged) =
                        caught.merge(unwinder, &mut self.merger, &self.memory, python, cframe);
                    if merged.problem.is_some() {
                        self.unmerged += 1;
                        return None;
                    }
                    self.push_native(python, &native, Some(&merged), &mut places);
                }
                None => push_python(python, &mut places),
            }
            if self.options.kernel {
                let wait = waits::describe(self.pid, tid, &caught.blocked.call);
                for frame in waits::kernel_frames(self.pid, tid, &wait).0 {
                    let number = self.table.kernel_function(&frame.name, &frame.module);
                    places.push(Place::Other(number));
                }
            }
            caught.held()
        };
        self.waiting.insert(tid, waiting);
        held.then_some(places)
    }
}

/// Whether the interrupted thread was running `leaf`, at the instruction where it was seen: the evaluation function keeps
/// the frame's address and that of the next instruction in registers that its callees give back.
fn runs(native: &Unwound, leaf: &RawFrame) -> bool {
    let kept = |fits: &dyn Fn(u64) -> bool| {
        native.frames.iter().any(|frame| frame.kept.iter().any(|value| fits(*value)))
    };
    let next = leaf.instruction..=leaf.instruction.saturating_add(LONGEST_INSTRUCTION);
    kept(&|value| value == leaf.address) && kept(&|value| next.contains(&value))
}

/// Unwinds what an interrupt brought and merges Python's frames in, if there are any; `None` when it brought no user
/// side. `python`: root first; `cframe`: see [`Merger::merge`].
pub fn merge(
    interrupt: &Interrupt,
    unwinder: &mut Unwinder,
    merger: &mut Merger,
    python: &[RawFrame],
    cframe: Option<u64>,
) -> Option<(Unwound, Option<Merged>)> {
    let (regs, stack) = interrupt.user_side()?;
    let mut hints = Hints { markers: &[], evaluation: merger.evaluation() };
    let mut native = unwinder.unwind_with(&regs, &stack, hints);
    if python.is_empty() {
        let lost = !native.complete && native.frames.len() == 1;
        let found = if lost { skip_leaf(&regs, &stack, unwinder, merger, python, cframe) } else { None };
        return Some(found.unwrap_or((native, None)));
    }
    let mut merged = merger.merge(unwinder.modules(), python, cframe, &native, &stack);
    if merged.problem == Some(Problem::NativeCut)
        && native.frames.len() == 1
        && let Some(found) = skip_leaf(&regs, &stack, unwinder, merger, python, cframe)
    {
        return Some(found);
    }
    // Code made at run time has no unwind information: the markers lead through it.
    if merged.problem == Some(Problem::NativeCut) && matches!(native.stop, Stop::NoRule(_)) {
        let markers = merger.markers(python, cframe, &stack);
        hints.markers = &markers;
        native = unwinder.unwind_with(&regs, &stack, hints);
        merged = merger.merge(unwinder.modules(), python, cframe, &native, &stack);
    }
    Some((native, Some(merged)))
}

/// Some functions have no unwind information: trampolines, hand-written assembly (`OpenBLAS` multiplies matrices in it, with
/// tens of KiB of stack). Where one is interrupted, its caller is looked for on the stack: a word that a call returns to
/// which can have gone there. What follows is the proof: a native stack to the thread's root in which every Python frame
/// finds its place.
fn skip_leaf(
    regs: &UserRegs,
    stack: &StackCopy,
    unwinder: &mut Unwinder,
    merger: &mut Merger,
    python: &[RawFrame],
    cframe: Option<u64>,
) -> Option<(Unwound, Option<Merged>)> {
    let mut tries = 0;
    for word in 0..stack.bytes.len() as u64 / 8 {
        let at = regs.sp.checked_add(8 * word)?;
        let ip = stack.word(at)?;
        // Most words are no addresses at all: numbers that are being multiplied.
        let address = (PAGE..USER_END).contains(&ip);
        if !address || unwinder.modules().at(ip - 1).is_none() || !unwinder.may_have_called(ip, regs.ip) {
            continue;
        }
        tries += 1;
        if tries > LEAF_TRIES {
            return None;
        }
        let sp = at + 8;
        let from = usize::try_from(sp - stack.sp).ok()?;
        let rest = StackCopy { sp, bytes: stack.bytes.get(from..)?.to_vec() };
        // A short one may not have touched what its caller keeps in registers; of others nothing is known.
        let untouched = (word < LEAF_WORDS).then_some(UserRegs { ip, sp, ..*regs });
        for caller in untouched.into_iter().chain([UserRegs::new(ip, sp)]) {
            let mut native = unwinder.unwind_with(&caller, &rest, Hints::default());
            if !native.complete {
                continue;
            }
            if let Some(first) = native.frames.first_mut() {
                first.is_return_address = true;
            }
            let leaf = NativeFrame {
                ip: regs.ip,
                is_return_address: false,
                sp: regs.sp,
                cfa: sp,
                function: 0,
                kept: [0; KEPT],
                keeps_unknown: true,
            };
            native.frames.insert(0, leaf);
            if python.is_empty() {
                return Some((native, None));
            }
            let merged = merger.merge(unwinder.modules(), python, cframe, &native, stack);
            if merged.is_complete() {
                return Some((native, Some(merged)));
            }
        }
    }
    None
}

fn push_python(python: &[RawFrame], places: &mut Vec<Place>) {
    let shown = python.iter().enumerate().filter(|(_, frame)| !frame.is_marker());
    places.extend(shown.map(|(index, _)| Place::Python(index)));
}
