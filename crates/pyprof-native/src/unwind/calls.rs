//! Whether an address on the stack is one that a call returns to.

use rustc_hash::FxHashMap;

use super::arch::{self, Call};
use crate::modules::Modules;

/// Answers that are kept; when there are more, all are forgotten.
const MAX_KNOWN: usize = 1 << 16;

/// A function of unknown length is taken to be no longer than this, in bytes.
const MAX_FUNCTION: u64 = 64 << 10;

/// Calls by the address they return to, read from the code itself.
#[derive(Debug, Default)]
pub struct Calls {
    known: FxHashMap<u64, Option<Call>>,
    /// Where the code at an address has the address that it jumps to, if that is all it does
    stubs: FxHashMap<u64, Option<u64>>,
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
        self.goes(modules, address, |target| target == function)
    }

    /// Whether that call can have called a function that holds `ip`, of which only that is known.
    pub fn may_reach(&mut self, modules: &Modules, address: u64, ip: u64) -> bool {
        self.goes(modules, address, |target| ip.checked_sub(target).is_some_and(|into| into < MAX_FUNCTION))
    }

    fn goes(&mut self, modules: &Modules, address: u64, fits: impl Fn(u64) -> bool) -> bool {
        match self.find(modules, address) {
            None => false,
            Some(Call::Indirect) => true,
            Some(Call::Direct(target)) if fits(target) => true,
            Some(Call::Direct(target)) => self.behind(modules, target).is_some_and(fits),
        }
    }

    /// Where a stub at `target` jumps to; `None` when there is none.
    fn behind(&mut self, modules: &Modules, target: u64) -> Option<u64> {
        if self.stubs.len() >= MAX_KNOWN {
            self.stubs.clear();
        }
        let slot = *self.stubs.entry(target).or_insert_with(|| {
            let mut code = [0; 16];
            modules.memory().read_exact(target, &mut code).ok()?;
            arch::stub_slot(&code, target)
        });
        modules.memory().read_u64(slot?).ok()
    }
}
