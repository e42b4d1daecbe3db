//! From the kernel's order of registers to DWARF's numbers.

use super::Interrupt;
use crate::regs::UserRegs;
use crate::stack::StackCopy;

impl Interrupt {
    /// The program's registers and its stack at the interrupt; `None` when they were not asked for, and for a thread
    /// without a user side.
    #[must_use]
    pub fn user_side(&self) -> Option<(UserRegs, StackCopy)> {
        let regs = self.user_regs()?;
        Some((regs, StackCopy { sp: regs.sp, bytes: self.stack.clone() }))
    }

    /// The program's registers alone.
    #[must_use]
    pub fn user_regs(&self) -> Option<UserRegs> {
        Some(in_dwarf_order(self.registers.as_ref()?))
    }

    /// What the program has in the register of a system call's first argument.
    #[must_use]
    pub fn first_argument(&self) -> u64 {
        self.registers.as_ref().and_then(|registers| registers.get(FIRST_ARGUMENT)).copied().unwrap_or(0)
    }
}

/// rdi, x0
#[cfg(target_arch = "x86_64")]
const FIRST_ARGUMENT: usize = 5;
#[cfg(target_arch = "aarch64")]
const FIRST_ARGUMENT: usize = 0;

/// `PERF_REG_X86_*`: ax bx cx dx si di bp sp ip, r8 to r15 (`arch/x86/include/uapi/asm/perf_regs.h`).
#[cfg(target_arch = "x86_64")]
fn in_dwarf_order(registers: &[u64]) -> UserRegs {
    const DWARF: [u16; 7] = [0, 3, 2, 1, 4, 5, 6];
    let at = |index: usize| registers.get(index).copied();
    let mut regs = UserRegs::new(at(8).unwrap_or(0), at(7).unwrap_or(0));
    for (index, register) in DWARF.iter().enumerate() {
        regs.set(*register, at(index));
    }
    for register in 8..16 {
        regs.set(register, at(usize::from(register) + 1));
    }
    regs
}

/// `PERF_REG_ARM64_*`: x0 to x29, lr, sp, pc (`arch/arm64/include/uapi/asm/perf_regs.h`).
#[cfg(target_arch = "aarch64")]
fn in_dwarf_order(registers: &[u64]) -> UserRegs {
    let at = |index: usize| registers.get(index).copied();
    let mut regs = UserRegs::new(at(32).unwrap_or(0), at(31).unwrap_or(0));
    for register in 0..31 {
        regs.set(register, at(usize::from(register)));
    }
    regs
}
