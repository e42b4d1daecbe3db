//! Whether an address on the stack is one that a call returns to.

use rustc_hash::FxHashMap;

use super::arch::{self, Call};
use crate::modules::Modules;

/// Answers that are kept; when there are more, all are forgotten.
const MAX_KNOWN: usize = 1 << 16;

/// Calls by the address they return to, read from the code itself.
#[derive(Debug, Default)]
pub struct Calls {
    known: FxHashMap<u64, Option<Call>>,
}

impl Calls {
    /// The call that returns to `address`; `None` when there is none.
    pub fn find(&mut self, modules: &Modules, address: u64) -> Option<Call> {
        let code = modules.at(address.checked_sub(1)?)?;
        let start = address.checked_sub(arch::CALL_BYTES as u64).filter(|start| *start >= code.start)?;
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        *self.known.entry(address).or_insert_with(|| {
            let mut before = [0; arch::CALL_BYTES];
            modules.memory().read_exact(start, &mut before).ok()?;
            arch::call(before, address)
        })
    }

    /// Whether that call can have called `function`: a direct one must go there, or to a stub that jumps there.
    pub fn may_call(&mut self, modules: &Modules, address: u64, function: u64) -> bool {
        match self.find(modules, address) {
            None => false,
            Some(Call::Indirect) => true,
            Some(Call::Direct(target)) if target == function => true,
            Some(Call::Direct(target)) => {
                let mut code = [0; 16];
                let slot = modules.memory().read_exact(target, &mut code).ok();
                let slot = slot.and_then(|()| arch::stub_slot(&code, target));
                slot.is_some_and(|slot| modules.memory().read_u64(slot).is_ok_and(|there| there == function))
            }
        }
    }
}
