//! What of a merged stack is shown, and under which names.
//!
//! Frames can be kept as [`Item`]s while sampling and named later: nothing here needs the process any more.

use crate::merge::{Slot, plumbing};
use crate::symbols::{NativeSymbol, Place, Symbolizer};
use crate::unwind::{NativeFrame, Unwinder};

/// One place in a merged stack, free of the process.
#[derive(Debug, Clone)]
pub enum Item {
    /// Index into the Python frames
    Python(usize),
    /// Where a native frame is
    Native(Place),
}

/// A frame to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Index into the Python frames
    Python(usize),
    /// A native function
    Native(NativeSymbol),
}

impl Item {
    /// A merged stack's places; they stay true when the process unmaps a file.
    #[must_use]
    pub fn of(slots: &[Slot], native: &[NativeFrame], unwinder: &Unwinder) -> Vec<Self> {
        let item = |slot: &Slot| match slot {
            Slot::Python(index) => Self::Python(*index),
            Slot::Native(index) => Self::Native(unwinder.place(&native[*index])),
        };
        slots.iter().map(item).collect()
    }
}

/// The frames to show of a merged stack, root first, without plumbing. `interpreter`: the file that holds the
/// interpreter, as the target names it.
#[must_use]
pub fn show(items: &[Item], symbolizer: &mut Symbolizer, interpreter: &str) -> Vec<Shown> {
    let mut shown = Vec::with_capacity(items.len());
    let mut after_python = false;
    for item in items {
        match item {
            Item::Python(index) => {
                shown.push(Shown::Python(*index));
                after_python = true;
            }
            // What the interpreter's own compiler made of the Python function.
            Item::Native(Place { library: None, .. }) if after_python => {}
            Item::Native(place) => {
                after_python = false;
                let is_root = shown.is_empty();
                for symbol in symbolizer.symbols_at(place).iter() {
                    let hidden = plumbing::hides(symbol.name.as_deref(), symbol.module == interpreter)
                        || is_root && symbol.name.is_none() && plumbing::is_c_library(&symbol.module);
                    if !hidden {
                        shown.push(Shown::Native(symbol.clone()));
                    }
                }
            }
        }
    }
    shown
}
