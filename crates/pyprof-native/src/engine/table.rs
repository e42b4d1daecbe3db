//! Frames that are not Python's, by number: each place once. Names come later, see [`super::names`].

use std::sync::Arc;
use std::time::Instant;

use pyprof_core::profile::FrameKind;
use pyprof_core::sampler::engine::OtherFrame;
use rustc_hash::FxHashMap;

use super::names::{Answer, Names, PATIENCE};
use crate::kernel::Kernel;
use crate::merge::plumbing;
use crate::modules::Library;
use crate::symbols::NativeSymbol;
use crate::unwind::{NativeFrame, Unwinder};

/// More places than this are all shown as one: code made at run time can have addresses without end.
const MAX_PLACES: usize = 1 << 18;
/// What is shown for them, for kernel functions whose addresses the kernel hides, and for names that came too late.
const TOO_MANY: &str = "[too many native frames]";
const HIDDEN: &str = "[kernel]";
const UNNAMED: &str = "[name not found in time]";
/// The module of the kernel itself.
const KERNEL: &str = "kernel";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    kind: FrameKind,
    name: String,
    file: String,
    line: u32,
    module: String,
}

/// What a number means.
#[derive(Debug)]
enum Entry {
    /// Not known yet
    Asked,
    /// A function and what is inlined into it, outermost first; none for a frame that is not shown
    Frames(Vec<Named>),
}

/// The table. A number always means the same.
#[derive(Debug)]
pub struct Table {
    entries: Vec<Entry>,
    /// By file and address in it
    native: FxHashMap<(usize, u64), u32>,
    /// Kept, so that no other file takes the address of one
    files: FxHashMap<usize, Arc<Library>>,
    kernel: FxHashMap<u64, u32>,
    functions: FxHashMap<(String, String), u32>,
    too_many: Option<u32>,
    names: Names,
    /// The file that holds the interpreter
    interpreter: String,
}

impl Table {
    /// An empty one. `interpreter`: the file that holds the interpreter.
    pub fn new(interpreter: String) -> std::io::Result<Self> {
        Ok(Self {
            entries: Vec::new(),
            native: FxHashMap::default(),
            files: FxHashMap::default(),
            kernel: FxHashMap::default(),
            functions: FxHashMap::default(),
            too_many: None,
            names: Names::start()?,
            interpreter,
        })
    }

    /// What a number means: a function and what is inlined into it, outermost first. `None`: not known yet.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<Vec<OtherFrame<'_>>> {
        match self.entries.get(number as usize)? {
            Entry::Asked => None,
            Entry::Frames(frames) => Some(frames.iter().map(shown).collect()),
        }
    }

    /// Takes the names that have come.
    pub fn collect(&mut self) {
        while let Some(answer) = self.names.hear() {
            self.answer(answer);
        }
    }

    /// Waits for the names that are still open; what does not come is named so.
    pub fn complete(&mut self) {
        let end = Instant::now() + PATIENCE;
        while let Some(answer) = self.names.wait(end) {
            self.answer(answer);
        }
        for entry in self.entries.iter_mut().filter(|entry| matches!(entry, Entry::Asked)) {
            *entry = Entry::Frames(vec![plain(FrameKind::Native, UNNAMED, "")]);
        }
    }

    fn answer(&mut self, (number, symbols): Answer) {
        let shown = symbols
            .iter()
            .filter(|symbol| !plumbing::hides(symbol.name.as_deref(), symbol.module == self.interpreter));
        let frames = shown.map(named).collect();
        if let Some(entry) = self.entries.get_mut(number as usize) {
            *entry = Entry::Frames(frames);
        }
    }

    /// The number of a native frame.
    pub fn native(&mut self, frame: &NativeFrame, unwinder: &Unwinder) -> u32 {
        let place = unwinder.place(frame);
        let file = place.library.as_ref().map_or(0, |library| Arc::as_ptr(library) as usize);
        let key = (file, place.address);
        if let Some(&number) = self.native.get(&key) {
            return number;
        }
        if self.entries.len() >= MAX_PLACES {
            return self.too_many();
        }
        if let Some(library) = &place.library {
            self.files.entry(file).or_insert_with(|| Arc::clone(library));
        }
        let number = self.add(Entry::Asked);
        self.native.insert(key, number);
        self.names.ask(number, place);
        number
    }

    /// The number of a kernel address.
    pub fn kernel(&mut self, address: u64, kernel: Option<&Kernel>) -> u32 {
        if let Some(&number) = self.kernel.get(&address) {
            return number;
        }
        let number = match kernel.and_then(|kernel| kernel.symbol(address)) {
            Some(symbol) => self.kernel_function(symbol.name, symbol.module.unwrap_or(KERNEL)),
            None if kernel.is_some() => self.kernel_function(&format!("{address:#x}"), KERNEL),
            None => self.kernel_function(HIDDEN, KERNEL),
        };
        if self.kernel.len() >= MAX_PLACES {
            self.kernel.clear();
        }
        self.kernel.insert(address, number);
        number
    }

    /// The number of a kernel function of this name.
    pub fn kernel_function(&mut self, name: &str, module: &str) -> u32 {
        let key = (name.to_owned(), module.to_owned());
        if let Some(&number) = self.functions.get(&key) {
            return number;
        }
        if self.entries.len() >= MAX_PLACES {
            return self.too_many();
        }
        let number = self.add(Entry::Frames(vec![plain(FrameKind::Kernel, name, module)]));
        self.functions.insert(key, number);
        number
    }

    fn too_many(&mut self) -> u32 {
        if let Some(number) = self.too_many {
            return number;
        }
        let number = self.add(Entry::Frames(vec![plain(FrameKind::Native, TOO_MANY, "")]));
        self.too_many = Some(number);
        number
    }

    fn add(&mut self, entry: Entry) -> u32 {
        self.entries.push(entry);
        self.entries.len() as u32 - 1
    }
}

fn plain(kind: FrameKind, name: &str, module: &str) -> Named {
    Named { kind, name: name.to_owned(), file: String::new(), line: 0, module: module.to_owned() }
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

fn shown(frame: &Named) -> OtherFrame<'_> {
    OtherFrame {
        kind: frame.kind,
        name: &frame.name,
        file: &frame.file,
        line: frame.line,
        module: &frame.module,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_frames_have_one_number() {
        let mut table = Table::new(String::new()).unwrap();
        let one = table.kernel_function("read", "kernel");
        assert_eq!(table.kernel_function("read", "kernel"), one);
        let two = table.kernel_function("read", "ext4");
        assert_ne!(one, two);
        let frames = table.get(two).unwrap();
        assert_eq!((frames[0].name, frames[0].module), ("read", "ext4"));
        let hidden = table.kernel(0xffff_ffff_8000_0000, None);
        assert_eq!(table.kernel(0xffff_ffff_8000_0040, None), hidden);
        assert!(table.get(12345).is_none());
    }

    #[test]
    fn names_come_later() {
        let pid = std::process::id() as i32;
        let unwinder = Unwinder::new(pid).unwrap();
        let mut table = Table::new(String::new()).unwrap();
        let ip = names_come_later as *const () as u64 + 1;
        let regs = crate::UserRegs::new(ip, 0);
        let frame = Unwinder::new(pid).unwrap().unwind(&regs, &crate::StackCopy::default()).frames[0];
        let number = table.native(&frame, &unwinder);
        assert_eq!(table.native(&frame, &unwinder), number);
        table.complete();
        let frames = table.get(number).expect("it has waited");
        assert!(frames.iter().any(|frame| frame.name.contains("names_come_later")), "{frames:?}");
    }
}
