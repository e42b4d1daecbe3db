//! Names of kernel addresses, from `/proc/kallsyms`.

use std::fs::File;
use std::io::Read;

/// The file has some 200,000 lines, 10 to 20 MB.
const MAX_BYTES: u64 = 256 << 20;
/// Behind the last symbol of the kernel or a module nothing says where its function ends.
const MAX_FUNCTION: u64 = 1 << 20;

/// The kernel's functions, by address.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Address, and where in `names` the name is
    symbols: Vec<(u64, u32)>,
    /// `NAME` or `NAME\t[MODULE]`, a line each
    names: String,
    /// Addresses of the functions that put a thread to sleep
    scheduler: std::ops::Range<u64>,
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
    /// Reads the symbols; `None` when the kernel hides their addresses (`kernel.kptr_restrict`, or no `CAP_SYSLOG`) or
    /// has none.
    #[must_use]
    pub fn load() -> Option<Self> {
        let mut text = Vec::new();
        File::open("/proc/kallsyms").ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// `ADDRESS KIND NAME[\t[MODULE]]`, a line each. Hidden addresses are all zero.
    fn parse(text: &str) -> Option<Self> {
        let mut kernel = Self::default();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            // Functions only: data and absolute symbols never stand for code.
            let Ok(address) = u64::from_str_radix(address, 16) else { continue };
            if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
                continue;
            }
            match name {
                "__sched_text_start" => kernel.scheduler.start = address,
                "__sched_text_end" => kernel.scheduler.end = address,
                _ => {}
            }
            kernel.symbols.push((address, kernel.names.len() as u32));
            kernel.names.push_str(name);
            kernel.names.push('\n');
        }
        kernel.symbols.sort_by_key(|(address, _)| *address);
        // Of several names the first stays: the global ones come first in the file.
        kernel.symbols.dedup_by_key(|(address, _)| *address);
        (!kernel.symbols.is_empty()).then_some(kernel)
    }

    /// Whether `address` lies in a function that puts a thread to sleep: `/proc/TID/stack` leaves those out as well.
    #[must_use]
    pub fn schedules(&self, address: u64) -> bool {
        self.scheduler.contains(&address)
    }

    /// The function that holds `address`.
    #[must_use]
    pub fn symbol(&self, address: u64) -> Option<KernelSymbol<'_>> {
        let index = self.symbols.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        let (start, name) = self.symbols[index];
        if self.symbols.get(index + 1).is_none() && address - start > MAX_FUNCTION {
            return None;
        }
        let line = self.names.get(name as usize..)?.lines().next()?;
        Some(split(line))
    }
}

/// A frame of `/proc/TID/stack`: `[<0>] NAME+0x10/0x20 [MODULE]`; `None` for a line of another kind.
#[must_use]
pub fn stack_line(line: &str) -> Option<KernelSymbol<'_>> {
    let rest = line.strip_prefix("[<")?.split_once(">] ")?.1;
    let (place, module) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = place.split('+').next().filter(|name| !name.is_empty() && !name.starts_with("0x"))?;
    Some(KernelSymbol { name, module: bracketed(module) })
}

fn split(line: &str) -> KernelSymbol<'_> {
    let (name, module) = line.split_once('\t').unwrap_or((line, ""));
    KernelSymbol { name, module: bracketed(module) }
}

fn bracketed(text: &str) -> Option<&str> {
    text.trim().strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_by_the_function_that_holds_them() {
        let text = "ffffffff81000000 T start\nffffffff81000000 t alias\nffffffff81000100 D data\n\
                    ffffffff81000200 t later\nffffffffc0000000 t of_module\t[ext4]\nbroken\n0000 t zero\n";
        let kernel = Kernel::parse(text).unwrap();
        let name = |address| kernel.symbol(address).map(|symbol| (symbol.name, symbol.module));
        assert_eq!(name(0xffff_ffff_8100_01ff), Some(("start", None)));
        assert_eq!(name(0xffff_ffff_8100_0200), Some(("later", None)));
        assert_eq!(name(0xffff_ffff_c000_0010), Some(("of_module", Some("ext4"))));
        assert_eq!(name(0xffff_ffff_ffff_f000), None, "far behind the last one");
        assert_eq!(name(0x1000), None);
        assert!(Kernel::parse("0000000000000000 T hidden\n").is_none());
    }

    #[test]
    fn lines_of_a_kernel_stack() {
        let symbol = |line| stack_line(line).map(|symbol| (symbol.name, symbol.module));
        assert_eq!(symbol("[<0>] do_nanosleep+0x6f/0x190"), Some(("do_nanosleep", None)));
        assert_eq!(symbol("[<0>] ext4_read+0x1/0x2 [ext4]"), Some(("ext4_read", Some("ext4"))));
        assert_eq!(symbol("[<0>] 0xffffffffffffffff"), None);
        assert_eq!(symbol(""), None);
    }
}
