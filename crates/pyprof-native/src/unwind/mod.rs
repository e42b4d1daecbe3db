//! From registers and stack bytes to native frames, by the unwind information of the code.
//!
//! All registers that functions give back are followed, not the frame pointer alone, and one that is not known stays
//! unknown: of a blocked thread the kernel tells no more than instruction and stack pointer. Where code has no unwind
//! information, or where a frame pointer is needed that nobody knows, [`calls`] looks for proof on the stack.

// Each twin's tests run everywhere.
#[cfg(any(target_arch = "aarch64", test))]
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
mod aarch64;
mod calls;
mod cfi;
mod rule;
#[cfg(any(target_arch = "x86_64", test))]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod x86_64;

use std::io;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

pub use cfi::CfiTable;

#[cfg(target_arch = "aarch64")]
use aarch64 as arch;
#[cfg(target_arch = "x86_64")]
use x86_64 as arch;

use crate::modules::{Code, Libraries, Modules};
use crate::regs::UserRegs;
use crate::stack::StackCopy;
use calls::Calls;
use cfi::CfiContext;
use rule::Rule;

/// Frames of one stack: what fits into 8 MiB with 16 bytes each.
const MAX_FRAMES: usize = 1 << 19;
/// Rules that are kept; when there are more, all are forgotten.
const MAX_RULES: usize = 1 << 17;
/// The mappings are read again for an unknown address, but not more often than this.
const REFRESH_PAUSE: Duration = Duration::from_millis(500);
/// Values of a lost frame pointer that are followed in one stack.
const MAX_GUESSES: usize = 64;
/// How far above the stack pointer a frame pointer may be, in bytes.
const MAX_SEARCH: u64 = 64 << 10;
/// Callee-saved registers of the largest supported architecture.
pub const KEPT: usize = 11;

/// One native frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeFrame {
    /// Where it is: the next instruction of the innermost frame, a return address in all others
    pub ip: u64,
    /// `ip` is a return address: the call that goes on is the instruction before it
    pub is_return_address: bool,
    /// Its stack pointer
    pub sp: u64,
    /// Its canonical frame address: the caller's stack pointer. What lies in `sp..cfa` belongs to this frame
    pub cfa: u64,
    /// First address of its function, from the unwind information; 0 when unknown
    pub function: u64,
    /// Callee-saved registers as this frame had them, 0 for what is unknown
    pub kept: [u64; KEPT],
    /// One of them is unknown: no frame below has put it away
    pub keeps_unknown: bool,
}

impl NativeFrame {
    /// An address inside the instruction that runs: a return address can already belong to the next function.
    #[must_use]
    pub fn lookup(&self) -> u64 {
        self.ip.saturating_sub(u64::from(self.is_return_address))
    }
}

/// Why unwinding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    /// Where the thread began
    Root,
    /// A word is needed that the copy of the stack does not hold
    Unread(u64),
    /// A register (by DWARF number) is needed that is not known
    NeedsRegister(u16),
    /// Nothing is known about the code at this address
    NoRule(u64),
    /// The stack makes no sense
    #[default]
    Nonsense,
}

/// A native stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwound {
    /// Leaf first
    pub frames: Vec<NativeFrame>,
    /// The last frame is where the thread began
    pub complete: bool,
    /// Why there are no more frames
    pub stop: Stop,
}

/// What is known of the evaluation function's frames besides the unwind information.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// Addresses of the entry markers on this stack, ascending
    pub markers: &'a [u64],
    /// A frame of the evaluation function, from another stack of this process: where its marker was in it
    pub evaluation: Option<Evaluation>,
}

/// The shape of the evaluation function's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// An address inside the function, past its prologue
    pub lookup: u64,
    /// From the entry marker to the canonical frame address: the same in all its frames
    pub marker_to_cfa: u64,
}

/// Unwinds the threads of one process.
#[derive(Debug)]
pub struct Unwinder {
    modules: Modules,
    calls: Calls,
    context: CfiContext,
    rules: FxHashMap<u64, Option<Rule>>,
    refreshed: Instant,
}

impl Unwinder {
    /// Reads what `pid` has mapped. Unwind information is read when an address needs it.
    pub fn new(pid: i32) -> io::Result<Self> {
        Self::with_libraries(pid, &Libraries::default())
    }

    /// The same, sharing what is known of files with other processes.
    pub fn with_libraries(pid: i32, libraries: &Libraries) -> io::Result<Self> {
        Ok(Self {
            modules: Modules::read(pid, libraries)?,
            calls: Calls::default(),
            context: CfiContext::default(),
            rules: FxHashMap::default(),
            refreshed: Instant::now(),
        })
    }

    /// Reads the mappings again. [`Unwinder::unwind`] does so by itself for an unknown address, though seldom.
    pub fn refresh_maps(&mut self) -> io::Result<()> {
        self.refreshed = Instant::now();
        if self.modules.refresh()? {
            self.rules.clear();
            self.calls = Calls::default();
        }
        Ok(())
    }

    /// What code the process has mapped.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// The frames of a thread with these registers and this stack.
    pub fn unwind(&mut self, regs: &UserRegs, stack: &StackCopy) -> Unwound {
        self.unwind_with(regs, stack, Hints::default())
    }

    /// The same, with what is known about the evaluation function: it leads through code made at run time.
    pub fn unwind_with(&mut self, regs: &UserRegs, stack: &StackCopy, hints: Hints<'_>) -> Unwound {
        let mut walk = Walk { frames: Vec::new(), regs: *regs, called: false, guessed: false };
        let mut stop = self.walk(&mut walk, stack, hints);
        if stop == Stop::NeedsRegister(arch::FRAME_POINTER) {
            stop = self.find_frame_pointer(&mut walk, stack, hints).unwrap_or(stop);
        }
        Unwound { frames: walk.frames, complete: stop == Stop::Root, stop }
    }

    /// Whether the call that returns to `address` can have led to `ip`, which no unwind information knows: into a
    /// function that begins shortly before it.
    pub fn may_have_called(&mut self, address: u64, ip: u64) -> bool {
        self.calls.may_reach(&self.modules, address, ip)
    }

    /// Goes on until there is no way on.
    fn walk(&mut self, walk: &mut Walk, stack: &StackCopy, hints: Hints<'_>) -> Stop {
        loop {
            match self.step(walk, stack, hints) {
                Ok(()) if walk.frames.len() >= MAX_FRAMES => return Stop::Nonsense,
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
    }

    /// Adds the frame that `walk` has come to and goes to its caller.
    fn step(&mut self, walk: &mut Walk, stack: &StackCopy, hints: Hints<'_>) -> Result<(), Stop> {
        let regs = walk.regs;
        let mut frame = NativeFrame {
            ip: regs.ip,
            is_return_address: walk.called,
            sp: regs.sp,
            cfa: regs.sp,
            function: 0,
            kept: [0; KEPT],
            keeps_unknown: arch::KEPT.iter().any(|register| regs.get(*register).is_none()),
        };
        for (slot, register) in frame.kept.iter_mut().zip(arch::KEPT) {
            *slot = regs.get(register).unwrap_or(0);
        }
        let lookup = frame.lookup();
        let Some((rule, bias)) = self.rule(lookup) else {
            walk.frames.push(frame);
            return self.leave_unknown(walk, stack, hints).ok_or(Stop::NoRule(lookup));
        };
        frame.function = rule.function.wrapping_add(bias);
        let cfa = rule.cfa(&regs, stack);
        frame.cfa = cfa.ok().filter(|cfa| *cfa >= regs.sp).unwrap_or(regs.sp);
        walk.frames.push(frame);
        if rule.return_address.is_none() && !arch::RETURNS_BY_REGISTER {
            return Err(Stop::Root);
        }
        let caller = match rule.return_address {
            Some(rule::Restore::Unknown) => return Err(Stop::Root),
            _ => rule.caller(cfa?, &regs, stack)?,
        };
        let is_leaf = walk.frames.len() == 1;
        if caller.sp < regs.sp || (caller.sp == regs.sp && (!is_leaf || caller.ip == regs.ip)) {
            return Err(Stop::Nonsense);
        }
        // Where a thread begins there is no caller, and some C libraries say so by a zero.
        if caller.ip == 0 {
            return Err(if walk.guessed { Stop::Nonsense } else { Stop::Root });
        }
        walk.called = !rule.is_signal;
        walk.regs = caller;
        Ok(())
    }

    /// The rule at an address, and its module's bias.
    fn rule(&mut self, address: u64) -> Option<(&Rule, u64)> {
        if self.modules.at(address).is_none() && self.refreshed.elapsed() > REFRESH_PAUSE {
            let _ = self.refresh_maps();
        }
        let Code { bias, library, .. } = self.modules.at(address)?;
        let bias = *bias;
        if self.rules.len() >= MAX_RULES {
            self.rules.clear();
        }
        let context = &mut self.context;
        let read = || library.as_ref()?.cfi()?.rule(address.wrapping_sub(bias), context);
        self.rules.entry(address).or_insert_with(read).as_ref().map(|rule| (rule, bias))
    }

    /// From code without unwind information to a caller that is proven: the frame of the evaluation function whose
    /// marker comes next, or the one that the frame pointer leads to when a call returns there.
    fn leave_unknown(&mut self, walk: &mut Walk, stack: &StackCopy, hints: Hints<'_>) -> Option<()> {
        let regs = walk.regs;
        let made_at_run_time = self.modules.at(regs.ip).is_some_and(|code| code.library.is_none());
        let caller = if let (true, Some(evaluation)) = (made_at_run_time, hints.evaluation) {
            let marker = *hints.markers.get(hints.markers.partition_point(|marker| *marker < regs.sp))?;
            let cfa = marker.checked_add(evaluation.marker_to_cfa)?;
            let (rule, _) = self.rule(evaluation.lookup)?;
            rule.caller(cfa, &regs, stack).ok()?
        } else {
            let frame = regs.get(arch::FRAME_POINTER).filter(|frame| *frame >= regs.sp)?;
            caller_by_frame_pointer(frame, &regs, stack)?
        };
        self.calls.find(&self.modules, caller.ip)?;
        walk.frames.last_mut()?.cfa = caller.sp;
        walk.regs = caller;
        walk.called = true;
        Some(())
    }

    /// The last frame of `walk` needs a frame pointer that nobody knows. Values are tried, the nearest first: what the
    /// function has put away must lie in its frame, the return address that the value leads to must be that of a call
    /// to this function, and the way on must reach the thread's root.
    fn find_frame_pointer(&mut self, walk: &mut Walk, stack: &StackCopy, hints: Hints<'_>) -> Option<Stop> {
        let last = walk.frames.pop()?;
        let (rule, _) = self.rule(last.lookup())?;
        let rule = rule.clone();
        let mut guesses = 0;
        let mut address = last.sp.next_multiple_of(8);
        while stack.contains(address) && address - last.sp < MAX_SEARCH && guesses < MAX_GUESSES {
            let mut regs = walk.regs;
            regs.set(arch::FRAME_POINTER, Some(address));
            address += 8;
            let Ok(cfa) = rule.cfa(&regs, stack) else { continue };
            if cfa <= last.sp || rule.lowest(cfa) < last.sp {
                continue;
            }
            let Ok(caller) = rule.caller(cfa, &regs, stack) else { continue };
            if !self.calls.may_call(&self.modules, caller.ip, last.function) {
                continue;
            }
            guesses += 1;
            let mut attempt = walk.clone();
            attempt.regs = regs;
            attempt.guessed = true;
            let stop = self.walk(&mut attempt, stack, hints);
            if stop == Stop::Root {
                *walk = attempt;
                return Some(stop);
            }
        }
        walk.frames.push(last);
        None
    }
}

/// A walk that has come to a frame with these registers.
#[derive(Debug, Clone)]
struct Walk {
    frames: Vec<NativeFrame>,
    regs: UserRegs,
    called: bool,
    /// It rests on a guess
    guessed: bool,
}

/// The caller's frame pointer and the return address lie side by side where the frame pointer points to.
fn caller_by_frame_pointer(frame: u64, regs: &UserRegs, stack: &StackCopy) -> Option<UserRegs> {
    let mut caller = *regs;
    caller.ip = arch::plain(stack.word(frame.checked_add(8)?)?);
    caller.sp = frame.checked_add(16)?;
    caller.set(arch::FRAME_POINTER, stack.word(frame));
    // The code may have used all others for itself.
    for register in arch::KEPT.into_iter().filter(|register| *register != arch::FRAME_POINTER) {
        caller.set(register, None);
    }
    Some(caller)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blocked::read_stack;

    fn ourselves() -> Unwinder {
        Unwinder::new(std::process::id() as i32).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_stack_of_lies_ends(
            words in prop::collection::vec(any::<u64>(), 0..512),
            small in prop::collection::vec(0u64..4096, 0..512),
            skip in 0u64..64,
        ) {
            let mut unwinder = ourselves();
            let code = a_stack_of_lies_ends as *const () as u64;
            let sp = 0x7000_0000_0000u64;
            // Words that look like addresses of this very stack and of our own code.
            let near = small.iter().flat_map(|word| [sp + word * 8, code + word]);
            let bytes: Vec<u8> = words.iter().copied().chain(near).flat_map(u64::to_le_bytes).collect();
            let stack = StackCopy { sp, bytes };
            for ip in [code + skip, 0, u64::MAX, sp] {
                let mut regs = UserRegs::new(ip, sp + skip);
                let unwound = unwinder.unwind(&regs, &stack);
                prop_assert!(unwound.frames.windows(2).all(|pair| pair[0].sp <= pair[1].sp));
                for register in 0..33 {
                    regs.set(register, Some(sp.wrapping_add(skip * u64::from(register))));
                }
                let markers = [sp + 64, sp + 128];
                let evaluation = Some(Evaluation { lookup: code + 32, marker_to_cfa: skip * 8 });
                unwinder.unwind_with(&regs, &stack, Hints { markers: &markers, evaluation });
            }
        }
    }

    #[test]
    fn the_same_rules_come_from_a_file_and_from_memory() {
        let unwinder = ourselves();
        let maps = pyprof_core::process::maps::read(std::process::id() as i32).unwrap();
        let here = ourselves as *const () as u64;
        let mapping = maps.iter().find(|mapping| mapping.contains(here)).unwrap();
        let code = unwinder.modules().at(here).unwrap();
        let library = code.library.as_ref().unwrap();
        let memory = pyprof_core::memory::ProcessMemory::new(std::process::id() as i32);
        let image = crate::modules::Source::memory(memory, mapping, &maps);
        let image = crate::modules::Library::new(String::new(), image, library.root.clone()).unwrap();
        let mut context = CfiContext::default();
        let address = here - code.bias;
        let rule = library.cfi().unwrap().rule(address, &mut context);
        assert!(rule.is_some());
        assert_eq!(image.cfi().unwrap().rule(address, &mut context), rule);
        assert_eq!(image.elf.code_bias(mapping.start, mapping.offset), Some(code.bias));
    }

    #[test]
    fn a_copy_that_is_too_short_says_which_word_is_missing() {
        let mut unwinder = ourselves();
        let here = 0u64;
        let sp = (&raw const here) as u64 & !15;
        let whole = read_stack(unwinder.modules().memory(), sp, 1 << 20);
        let code = ourselves as *const () as u64;
        let stack = StackCopy { sp, bytes: whole.bytes[..16].to_vec() };
        let unwound = unwinder.unwind(&UserRegs::new(code + 64, sp), &stack);
        assert!(!unwound.complete);
        assert_eq!(unwound.frames.len(), 1);
        assert!(matches!(unwound.stop, Stop::Unread(_) | Stop::NeedsRegister(_)), "{:?}", unwound.stop);
    }
}
