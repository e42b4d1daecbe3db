//! From frames as they were read to frames as they are shown, each made once.

use rustc_hash::FxHashMap;

use super::engine::{OtherFrame, Place, Probe};
use super::sink::Sink;
use crate::profile::{EMPTY_STACK, Frame, FrameKind, StackId, UNKNOWN_FUNCTION};
use crate::python::code_cache::{CachedCode, CodeCache};
use crate::python::frame::RawFrame;

/// More frames than this are interned anew: a program that makes functions without end.
const MAX_FRAME_IDS: usize = 1 << 18;

/// The frames of one process that are in the profile already.
#[derive(Debug, Default)]
pub struct Frames {
    /// By the serial of the code object and the instruction
    python: FxHashMap<(u64, u64), u32>,
    /// By the engine's number
    others: FxHashMap<u32, Vec<u32>>,
}

impl Frames {
    /// The id of a stack with Python frames on top of it, markers and the interpreter's own frames left out.
    pub fn stack(
        &mut self,
        below: StackId,
        frames: &[RawFrame],
        codes: &CodeCache,
        sink: &mut Sink,
    ) -> StackId {
        let frames = frames.iter().filter(|frame| !frame.is_marker());
        frames.fold(below, |id, raw| self.push(id, raw, codes, sink))
    }

    /// The id of a stack that was cut here.
    pub fn missing(below: StackId, sink: &mut Sink) -> StackId {
        let missing = sink.profile.missing_frame();
        sink.profile.stack(below, missing)
    }

    /// The ids of Python frames; `None` for markers and the interpreter's own, which are not shown.
    pub fn python(&mut self, frames: &[RawFrame], codes: &CodeCache, sink: &mut Sink) -> Vec<Option<u32>> {
        let id = |raw: &RawFrame| if raw.is_marker() { None } else { self.frame(raw, codes, sink) };
        frames.iter().map(id).collect()
    }

    /// Whether it is known what all `places` mean; asks for those that are new here.
    pub fn are_known(&mut self, places: &[Place], probe: &dyn Probe, sink: &mut Sink) -> bool {
        if self.others.len() >= MAX_FRAME_IDS {
            self.others.clear();
        }
        for place in places {
            let Place::Other(number) = *place else { continue };
            if self.others.contains_key(&number) {
                continue;
            }
            let Some(frames) = probe.other(number) else { return false };
            let frames = frames.into_iter().map(|frame| new_other(frame, sink)).collect();
            self.others.insert(number, frames);
        }
        true
    }

    /// The id of a stack with frames of every kind. `python`: see [`Frames::python`]; the others must be known.
    pub fn mixed_stack(&self, python: &[Option<u32>], places: &[Place], sink: &mut Sink) -> StackId {
        let mut id = EMPTY_STACK;
        for place in places {
            match *place {
                Place::Python(index) => {
                    if let Some(Some(frame)) = python.get(index) {
                        id = sink.profile.stack(id, *frame);
                    }
                }
                Place::Other(number) => {
                    for frame in self.others.get(&number).into_iter().flatten() {
                        id = sink.profile.stack(id, *frame);
                    }
                }
                Place::Missing => id = Self::missing(id, sink),
            }
        }
        id
    }

    fn push(&mut self, stack: StackId, raw: &RawFrame, codes: &CodeCache, sink: &mut Sink) -> StackId {
        self.frame(raw, codes, sink).map_or(stack, |frame| sink.profile.stack(stack, frame))
    }

    fn frame(&mut self, raw: &RawFrame, codes: &CodeCache, sink: &mut Sink) -> Option<u32> {
        match codes.get(raw.code) {
            Some(CachedCode { code: None, .. }) => None,
            Some(known) => {
                let key = (known.serial, raw.instruction);
                match self.python.get(&key) {
                    Some(&frame) => Some(frame),
                    None => Some(self.new_python(known, key, sink)),
                }
            }
            None => Some(unknown_frame(sink)),
        }
    }

    fn new_python(&mut self, known: &CachedCode, key: (u64, u64), sink: &mut Sink) -> u32 {
        let Some(code) = known.code.as_ref() else { return unknown_frame(sink) };
        let position = code.position(key.1);
        let frame = Frame {
            kind: FrameKind::Python,
            name: sink.profile.string(&code.qualified_name),
            file: sink.profile.string(&code.file),
            module: sink.profile.string(""),
            first_line: code.first_line,
            line: position.line,
            end_line: position.end_line,
            column: position.column,
            end_column: position.end_column,
        };
        let id = sink.profile.frame(frame);
        if self.python.len() >= MAX_FRAME_IDS {
            self.python.clear();
        }
        self.python.insert(key, id);
        id
    }
}

fn new_other(other: OtherFrame<'_>, sink: &mut Sink) -> u32 {
    let frame = Frame {
        kind: other.kind,
        name: sink.profile.string(other.name),
        file: sink.profile.string(other.file),
        module: sink.profile.string(other.module),
        first_line: 0,
        line: other.line,
        end_line: 0,
        column: 0,
        end_column: 0,
    };
    sink.profile.frame(frame)
}

fn unknown_frame(sink: &mut Sink) -> u32 {
    let (name, nothing) = (sink.profile.string(UNKNOWN_FUNCTION), sink.profile.string(""));
    sink.profile.frame(Frame {
        kind: FrameKind::Python,
        name,
        file: nothing,
        module: nothing,
        first_line: 0,
        line: 0,
        end_line: 0,
        column: 0,
        end_column: 0,
    })
}
