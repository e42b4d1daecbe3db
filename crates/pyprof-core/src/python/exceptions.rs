//! Whether a thread handles an exception: `sys.exc_info()` from outside.
//!
//! From 3.11 on a thread state points to the innermost `_PyErr_StackItem` (`exc_info`): its own (`exc_state`) or a
//! generator's. Its `exc_value` is null or `None` when no exception is being handled (`Python/errors.c`,
//! `_PyErr_GetTopmostException`).

use super::layout::Layout;
use super::objects::{Kind, Reader};
use crate::memory::RemoteMemory;

/// What it takes to learn one object's type.
const MAX_READS: usize = 4;

/// Tells exceptions from `None`, whose address it finds out.
#[derive(Debug, Default)]
pub struct Exceptions {
    none: u64,
    /// The last value that was one
    last: u64,
}

impl Exceptions {
    /// Whether one of `values`, each an `exc_value`, is an exception.
    pub fn any(&mut self, memory: &dyn RemoteMemory, layout: &Layout, values: [u64; 2]) -> bool {
        values.into_iter().any(|value| self.is_one(memory, layout, value))
    }

    fn is_one(&mut self, memory: &dyn RemoteMemory, layout: &Layout, value: u64) -> bool {
        if value == 0 || value == self.none {
            return false;
        }
        if self.none != 0 || value == self.last {
            return true;
        }
        match Reader::new(memory, layout, MAX_READS).type_of(value) {
            Ok((_, of)) if of.kind == Kind::None && !of.derived => {
                self.none = value;
                false
            }
            Ok(_) => {
                self.last = value;
                true
            }
            // Torn, or freed meanwhile.
            Err(_) => false,
        }
    }
}
