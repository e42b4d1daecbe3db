//! Names, files and lines of native frames.
//!
//! Kept out of the sampling path: a sample keeps the [`Place`] of each frame, and each distinct place is named once,
//! later. A file's symbols are read when the first place in it is named, its debug information in pages, as far as a
//! place needs it.

mod cython;
mod debug_file;
mod lines;
mod names;
mod paged;
mod table;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::modules::Library;
use crate::unwind::{NativeFrame, Unwinder};
use lines::Lines;
use table::SymbolTable;

/// Places whose symbols are kept; when there are more, all are forgotten.
const MAX_PLACES: usize = 1 << 18;
/// Files whose symbols are kept at the same time.
const MAX_FILES: usize = 1024;
/// Stands for code that no file holds: a just-in-time compiler's, a trampoline.
const NO_FILE: &str = "[code made at run time]";

/// Where a frame is in its file: stays true when the process has unmapped it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file; `None` for code that was made at run time
    pub library: Option<Arc<Library>>,
    /// Address (of the file) inside the instruction that runs
    pub address: u64,
    /// First address (of the file) of the function, 0 when unknown
    pub function: u64,
}

/// What is known of one native frame; an inlined function has one of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeSymbol {
    /// Demangled; `None` when nothing names the address
    pub name: Option<String>,
    /// `FILE+0xOFFSET` of the function: what stands for it where it has no name
    pub place: String,
    /// The file that holds the code, as the target names it; empty for code of no file
    pub module: String,
    /// Source file, where debug information exists
    pub file: Option<String>,
    /// Source line, 0 when unknown
    pub line: u32,
    /// Inlined into the frame before it
    pub inlined: bool,
}

/// Names frames.
#[derive(Debug, Default)]
pub struct Symbolizer {
    /// By the file's address in our memory; the record keeps the file alive
    files: FxHashMap<usize, FileSymbols>,
    places: FxHashMap<(usize, u64), Arc<[NativeSymbol]>>,
}

#[derive(Debug)]
struct FileSymbols {
    library: Arc<Library>,
    table: SymbolTable,
    lines: Option<Lines>,
}

impl Unwinder {
    /// Where a frame is in its file.
    #[must_use]
    pub fn place(&self, frame: &NativeFrame) -> Place {
        let address = frame.lookup();
        match self.modules().at(address) {
            Some(code) => Place {
                library: code.library.clone(),
                address: address.wrapping_sub(code.bias),
                function: if frame.function == 0 { 0 } else { frame.function.wrapping_sub(code.bias) },
            },
            None => Place { library: None, address, function: 0 },
        }
    }
}

impl Symbolizer {
    /// The symbols of a frame: the function first, then what is inlined into it at this place, outermost first.
    pub fn symbols(&mut self, unwinder: &Unwinder, frame: &NativeFrame) -> Arc<[NativeSymbol]> {
        self.symbols_at(&unwinder.place(frame))
    }

    /// The same of a place.
    pub fn symbols_at(&mut self, place: &Place) -> Arc<[NativeSymbol]> {
        let Some(library) = &place.library else {
            let symbol = NativeSymbol { place: NO_FILE.to_owned(), ..NativeSymbol::default() };
            return Arc::new([symbol]);
        };
        let file = Arc::as_ptr(library) as usize;
        if let Some(symbols) = self.places.get(&(file, place.address)) {
            return Arc::clone(symbols);
        }
        if self.files.len() >= MAX_FILES && !self.files.contains_key(&file) {
            self.files.clear();
            self.places.clear();
        }
        let known = self.files.entry(file).or_insert_with(|| FileSymbols::read(library));
        let symbols: Arc<[NativeSymbol]> = known.at(place).into();
        if self.places.len() >= MAX_PLACES {
            self.places.clear();
        }
        self.places.insert((file, place.address), Arc::clone(&symbols));
        symbols
    }
}

impl FileSymbols {
    fn read(library: &Arc<Library>) -> Self {
        let debug = debug_file::find(library);
        let (table, lines) = match debug {
            Some(debug) => {
                let debug = Arc::new(debug);
                let mut table = SymbolTable::read(&debug);
                table.add(library);
                let lines = Lines::open(&debug).or_else(|| Lines::open(library));
                (table, lines)
            }
            None => (SymbolTable::read(library), Lines::open(library)),
        };
        Self { library: Arc::clone(library), table, lines }
    }

    fn at(&mut self, place: &Place) -> Vec<NativeSymbol> {
        let start = if place.function == 0 { place.address } else { place.function };
        let base = NativeSymbol {
            place: format!("{}+{start:#x}", self.library.file_name()),
            module: self.library.path.clone(),
            ..NativeSymbol::default()
        };
        let mut symbols: Vec<NativeSymbol> = Vec::new();
        for frame in self.lines.as_ref().map(|lines| lines.frames(place.address)).unwrap_or_default() {
            symbols.push(NativeSymbol {
                name: frame.name.map(|name| names::readable(&name)),
                file: frame.file,
                line: frame.line,
                inlined: !symbols.is_empty(),
                ..base.clone()
            });
        }
        if symbols.is_empty() {
            symbols.push(base);
        }
        // The C library's debug information names a function by one of its private aliases.
        if symbols[0].name.as_deref().is_none_or(|name| name.starts_with('_')) {
            let name = self.table.name(place.address, place.function);
            symbols[0].name = name.map(|name| names::readable(&name)).or(symbols[0].name.take());
        }
        // A function that was split in two is inlined into itself.
        symbols.dedup_by(|inner, outer| {
            let same = inner.inlined && inner.name == outer.name && inner.file == outer.file;
            if same {
                outer.line = inner.line;
            }
            same
        });
        symbols
    }
}
