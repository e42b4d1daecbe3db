//! One engine at work on one process.

use pyprof_core::attach::Attached;
use pyprof_core::python::frame::RawFrame;
use pyprof_core::sampler::EngineKind;
use pyprof_core::sampler::engine::{self, OtherFrame, Place, Seen, What};
use rustc_hash::FxHashMap;

use super::EngineOptions;
use super::stacks::Stacks;
use crate::interrupts::{Interrupted, Interrupts};
use crate::merge::Merger;

/// Threads whose last interrupt is remembered, for engines without a walker.
const MAX_LAST: usize = 4096;

/// Everything an engine needs of one process.
#[derive(Debug)]
pub struct EngineProbe {
    pub(super) kind: EngineKind,
    pub(super) advice: Option<String>,
    pub(super) options: EngineOptions,
    pub(super) stacks: Stacks,
    /// `None`: looks alone
    pub(super) interrupts: Option<Interrupts>,
    /// Without a walker: a thread's last interrupt, and its Python stack in the look before
    pub(super) last: FxHashMap<i32, (Option<Interrupted>, Vec<RawFrame>)>,
}

impl EngineProbe {
    /// Python's frames of an interrupt, root first, and whether they reach the root.
    fn python(process: &Attached, one: &Interrupted) -> (Vec<RawFrame>, bool) {
        let Some(walk) = &one.walk else { return (Vec::new(), false) };
        let python: Vec<RawFrame> = walk.frames.iter().rev().copied().collect();
        let whole = !walk.broken && python.first().is_none_or(|root| is_root(process, root));
        (python, whole)
    }
}

/// Whether a stack can begin with this frame: a generator that has just yielded has no caller either.
fn is_root(process: &Attached, frame: &RawFrame) -> bool {
    match process.reader.layout().version.1 {
        // Native code enters the interpreter through a marker...
        12.. => frame.is_marker(),
        // ...or with a frame that says so.
        11 => frame.is_entry,
        _ => true,
    }
}

impl engine::Probe for EngineProbe {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    fn threads_changed(&mut self, process: &mut Attached) {
        if let Some(interrupts) = &mut self.interrupts {
            // The walker finds threads by itself that it is not told of.
            let _ = interrupts.learn_threads(process);
            let _ = interrupts.cover();
        }
    }

    fn interrupts(&mut self, process: &Attached, into: &mut Vec<engine::Interrupt>) {
        self.stacks.collect_names();
        let Some(interrupts) = &mut self.interrupts else { return };
        let exact = interrupts.walks();
        for one in interrupts.take() {
            let what = one.what;
            if !matches!(what, What::Ran | What::Left { .. }) {
                let (tid, time_ns) = (one.interrupt.tid, one.interrupt.time);
                into.push(engine::Interrupt { what, tid, time_ns, ..engine::Interrupt::default() });
                continue;
            }
            if !exact {
                if self.last.len() >= MAX_LAST {
                    self.last.clear();
                }
                let tid = one.interrupt.tid;
                self.last.entry(tid).or_default().0 = Some(one);
                continue;
            }
            let (python, whole) = Self::python(process, &one);
            let cframe = one.walk.as_ref().map(|walk| walk.cframe).filter(|cframe| *cframe != 0);
            let (state, holds_gil) =
                one.walk.as_ref().map_or((0, false), |walk| (walk.state, walk.holds_gil));
            let mut places = if whole || python.is_empty() {
                self.stacks.interrupted(&one.interrupt, &python, cframe, what != What::Ran)
            } else {
                let mut places = vec![Place::Missing];
                let shown = python.iter().enumerate().filter(|(_, frame)| !frame.is_marker());
                places.extend(shown.map(|(index, _)| Place::Python(index)));
                places
            };
            if one.walk.is_none() {
                // Its Python frames were lost: native ones alone would look like a thread without Python.
                places = vec![Place::Missing];
            }
            into.push(engine::Interrupt {
                what,
                tid: one.interrupt.tid,
                state,
                time_ns: one.interrupt.time,
                cpu_ns: if what == What::Ran { one.interrupt.period } else { 0 },
                argument: one.interrupt.first_argument(),
                holds_gil,
                python,
                places,
            });
        }
    }

    fn covers(&self, tid: i32) -> bool {
        self.interrupts.as_ref().is_some_and(|interrupts| interrupts.walks() && interrupts.covers(tid))
    }

    fn counts_waits(&self) -> bool {
        self.interrupts.as_ref().is_some_and(|interrupts| interrupts.walks() && interrupts.tells_switches())
    }

    fn extend(&mut self, process: &Attached, thread: Seen, python: &[RawFrame]) -> Option<Vec<Place>> {
        if !self.options.native && !self.options.kernel {
            return None;
        }
        let cframe = Merger::cframe_field(process.reader.layout()).and_then(|field| {
            let state = Some(thread.state).filter(|state| *state != 0)?;
            process.reader.memory().read_u64(state.wrapping_add(field)).ok()
        });
        if thread.rests {
            return self.stacks.blocked(thread.tid, python, cframe);
        }
        // Without a walker a running thread's native frames belong to another moment than the look. They are shown
        // where the look before and this one saw the same Python stack at the same place, and the interrupted thread
        // proves that it was there in between.
        let (interrupt, before) = self.last.get_mut(&thread.tid)?;
        let stood_still = before == python;
        python.clone_into(before);
        let interrupt = interrupt.take().filter(|_| stood_still)?;
        self.stacks.interrupted_unwalked(&interrupt.interrupt, python, cframe)
    }

    fn shows_all_threads(&self) -> bool {
        self.options.native && self.kind == EngineKind::Exact
    }

    fn other(&self, number: u32) -> Option<Vec<OtherFrame<'_>>> {
        self.stacks.table().get(number)
    }

    fn complete(&mut self) {
        self.stacks.complete_names();
    }

    fn unmerged(&self) -> u64 {
        self.stacks.unmerged()
    }

    fn lost(&self) -> u64 {
        self.interrupts.as_ref().map_or(0, Interrupts::lost)
    }
}
