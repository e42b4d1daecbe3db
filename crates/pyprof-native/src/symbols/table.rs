//! A file's functions by address. Names stay in the file until one is wanted.

use std::sync::Arc;

use pyprof_core::process::root::ReadAt;

use crate::modules::Library;

/// `STT_NOTYPE`: hand-written assembly often has no better; `STT_FUNC`; `STT_GNU_IFUNC`
const CODE: [u8; 3] = [0, 2, 10];
/// Functions of one file. Chromium has a million.
const MAX_SYMBOLS: usize = 1 << 22;
/// Of a name no more is read, in bytes.
const MAX_NAME: usize = 4096;
/// Symbols that may lie within the one that holds an address.
const MAX_NESTED: usize = 64;
/// Names of one address that are compared.
const MAX_ALIASES: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Function {
    address: u64,
    size: u32,
    global: bool,
    /// Which of the table's files has the name
    file: u8,
    /// Where it is there
    name: u64,
}

/// Functions of one file, and of its separate debug information.
#[derive(Debug)]
pub(super) struct SymbolTable {
    files: Vec<Arc<Library>>,
    /// By address
    functions: Vec<Function>,
}

impl SymbolTable {
    /// Reads those of a file.
    pub fn read(library: &Arc<Library>) -> Self {
        let mut table = Self { files: Vec::new(), functions: Vec::new() };
        table.add(library);
        table
    }

    /// Adds those of another file with the same addresses.
    pub fn add(&mut self, library: &Arc<Library>) {
        let file = self.files.len() as u8;
        let functions = &mut self.functions;
        library.elf.each_symbol(&library.source, |symbol| {
            if CODE.contains(&symbol.kind) && (symbol.kind != 0 || symbol.size != 0 || symbol.global) {
                functions.push(Function {
                    address: symbol.address,
                    size: u32::try_from(symbol.size).unwrap_or(u32::MAX),
                    global: symbol.global,
                    file,
                    name: symbol.name,
                });
            }
            functions.len() < MAX_SYMBOLS
        });
        functions.sort_unstable_by_key(|function| (function.address, function.file, function.name));
        functions.shrink_to_fit();
        self.files.push(Arc::clone(library));
    }

    /// The name of the function that holds `address`. The nearest symbol below it is none unless it says that it
    /// reaches that far; one without a size must start where the unwind information says that the function does.
    pub fn name(&self, address: u64, function: u64) -> Option<String> {
        let after = self.functions.partition_point(|known| known.address <= address);
        let holds = |known: &&Function| {
            address - known.address < u64::from(known.size)
                || known.size == 0 && (known.address == function || known.address == address)
        };
        let found = self.functions[..after].iter().rev().take(MAX_NESTED).find(holds)?;
        let first = self.functions.partition_point(|known| known.address < found.address);
        let aliases = self.functions[first..after].iter().filter(holds).take(MAX_ALIASES);
        let names = aliases.filter_map(|known| Some((known.global, self.read_name(known)?)));
        // Of several names the plainest: `clock_nanosleep`, not `__GI___clock_nanosleep`.
        names
            .min_by_key(|(global, name)| {
                let underscores = name.bytes().take_while(|byte| *byte == b'_').count();
                (underscores, !global, name.len())
            })
            .map(|(_, name)| name)
    }

    fn read_name(&self, function: &Function) -> Option<String> {
        let source = &self.files.get(usize::from(function.file))?.source;
        let mut bytes = Vec::new();
        for part in [64, 512, MAX_NAME] {
            let len = (part as u64).min(source.size().checked_sub(function.name)?) as usize;
            bytes.resize(len, 0);
            source.read_exact_at(&mut bytes, function.name).ok()?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                bytes.truncate(end);
                break;
            }
        }
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}
