//! A thread's registers in user space, as far as they are known.

/// Registers of the largest supported architecture, by DWARF number: x0 to x30 and sp of arm64.
pub const REGISTERS: usize = 33;

/// User registers at one moment. Which are needed depends on the code that runs: instruction and stack pointer always,
/// the callee-saved ones where a function keeps its frame address in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRegs {
    /// Address of the instruction that runs next
    pub ip: u64,
    /// Stack pointer
    pub sp: u64,
    /// By DWARF number (x86-64: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 8 to 15 r8 to r15; arm64: x0 to x30);
    /// `None` for what is not known
    pub others: [Option<u64>; REGISTERS],
}

impl UserRegs {
    /// Of a blocked thread, of which the kernel tells no more than this.
    #[must_use]
    pub fn new(ip: u64, sp: u64) -> Self {
        Self { ip, sp, others: [None; REGISTERS] }
    }

    /// The register with this DWARF number.
    #[must_use]
    pub fn get(&self, register: u16) -> Option<u64> {
        self.others.get(usize::from(register)).copied().flatten()
    }

    /// Says what the register with this DWARF number holds; numbers that do not exist are left alone.
    pub fn set(&mut self, register: u16, value: Option<u64>) {
        if let Some(slot) = self.others.get_mut(usize::from(register)) {
            *slot = value;
        }
    }
}
