//! Frames that are not Python's, each named once.

use std::sync::Arc;

use pyprof_core::profile::FrameKind;
use pyprof_core::sampler::engine::OtherFrame;
use rustc_hash::FxHashMap;

use crate::kernel::Kernel;
use crate::merge::plumbing;
use crate::symbols::{NativeSymbol, Symbolizer};
use crate::unwind::{NativeFrame, Unwinder};

/// More frames than this are all shown as one: code made at run time can have addresses without end.
const MAX_FRAMES: usize = 1 << 18;
/// What is shown for them, and for kernel functions whose addresses the kernel hides.
const TOO_MANY: &str = "[too many native frames]";
const HIDDEN: &str = "[kernel]";
/// The module of the kernel itself.
const KERNEL: &str = "kernel";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Named {
    kind: FrameKind,
    name: String,
    file: String,
    line: u32,
    module: String,
}

/// The table. A number always means the same frame.
#[derive(Debug, Default)]
pub struct Table {
    frames: Vec<Named>,
    numbers: FxHashMap<Named, u32>,
    /// By file and address in it: the function there and what is inlined into it, outermost first
    native: FxHashMap<(usize, u64), Vec<u32>>,
    kernel: FxHashMap<u64, u32>,
    symbolizer: Symbolizer,
}

impl Table {
    /// What a number means.
    #[must_use]
    pub fn get(&self, number: u32) -> OtherFrame<'_> {
        let Some(frame) = self.frames.get(number as usize) else {
            return OtherFrame { kind: FrameKind::Native, name: "", file: "", line: 0, module: "" };
        };
        OtherFrame {
            kind: frame.kind,
            name: &frame.name,
            file: &frame.file,
            line: frame.line,
            module: &frame.module,
        }
    }

    /// The numbers of a native frame, outermost first; none for one that leads from Python to Python only.
    /// `interpreter`: the file that holds the interpreter.
    pub fn native(&mut self, frame: &NativeFrame, unwinder: &Unwinder, interpreter: &str) -> &[u32] {
        let place = unwinder.place(frame);
        // The symbolizer keeps the file alive, so its address is its own.
        let file = place.library.as_ref().map_or(0, |library| Arc::as_ptr(library) as usize);
        let key = (file, place.address);
        if !self.native.contains_key(&key) {
            let symbols = self.symbolizer.symbols(unwinder, frame);
            let shown = symbols
                .iter()
                .filter(|symbol| !plumbing::hides(symbol.name.as_deref(), symbol.module == interpreter));
            let numbers = shown.map(|symbol| self.number(named(symbol))).collect();
            if self.native.len() >= MAX_FRAMES {
                self.native.clear();
            }
            self.native.insert(key, numbers);
        }
        self.native.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The number of a kernel address.
    pub fn kernel(&mut self, address: u64, kernel: Option<&Kernel>) -> u32 {
        if let Some(&number) = self.kernel.get(&address) {
            return number;
        }
        let (name, module) = match kernel.and_then(|kernel| kernel.symbol(address)) {
            Some(symbol) => (symbol.name.to_owned(), symbol.module.unwrap_or(KERNEL)),
            None if kernel.is_some() => (format!("{address:#x}"), KERNEL),
            None => (HIDDEN.to_owned(), KERNEL),
        };
        let number = self.kernel_function(&name, module);
        if self.kernel.len() >= MAX_FRAMES {
            self.kernel.clear();
        }
        self.kernel.insert(address, number);
        number
    }

    /// The number of a kernel function of this name.
    pub fn kernel_function(&mut self, name: &str, module: &str) -> u32 {
        let (name, file, module) = (name.to_owned(), String::new(), module.to_owned());
        self.number(Named { kind: FrameKind::Kernel, name, file, line: 0, module })
    }

    fn number(&mut self, named: Named) -> u32 {
        if let Some(&number) = self.numbers.get(&named) {
            return number;
        }
        if self.frames.len() > MAX_FRAMES {
            let name = TOO_MANY.to_owned();
            let (file, module) = (String::new(), String::new());
            let all = Named { kind: FrameKind::Native, name, file, line: 0, module };
            if let Some(&number) = self.numbers.get(&all) {
                return number;
            }
            return self.add(all);
        }
        self.add(named)
    }

    fn add(&mut self, named: Named) -> u32 {
        let number = self.frames.len() as u32;
        self.frames.push(named.clone());
        self.numbers.insert(named, number);
        number
    }
}

fn named(symbol: &NativeSymbol) -> Named {
    Named {
        kind: FrameKind::Native,
        name: symbol.name.clone().unwrap_or_else(|| symbol.place.clone()),
        file: symbol.file.clone().unwrap_or_default(),
        line: symbol.line,
        module: symbol.module.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_frames_have_one_number() {
        let mut table = Table::default();
        let one = table.kernel_function("read", "kernel");
        assert_eq!(table.kernel_function("read", "kernel"), one);
        let two = table.kernel_function("read", "ext4");
        assert_ne!(one, two);
        assert_eq!((table.get(two).name, table.get(two).module), ("read", "ext4"));
        let hidden = table.kernel(0xffff_ffff_8000_0000, None);
        assert_eq!(table.kernel(0xffff_ffff_8000_0040, None), hidden);
        assert_eq!(table.get(12345).name, "");
    }
}
