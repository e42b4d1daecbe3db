//! What code a process has mapped, and which files it comes from.

mod image;
mod library;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use pyprof_core::memory::{ProcessMemory, RemoteMemory};
use pyprof_core::process::maps::{self, Mapping};
use pyprof_core::process::root::TargetRoot;
use rustc_hash::FxHashMap;

pub use image::Source;
pub use library::Library;

/// More executable mappings than this are left out.
const MAX_CODE: usize = 1 << 16;
/// Files whose tables are kept, by all processes of a session together; more are forgotten when nobody uses them.
const MAX_LIBRARIES: usize = 4096;

/// What identifies a file as long as it is mapped: device, inode, and the path for mappings without an inode.
type FileKey = (u64, u64, Option<std::path::PathBuf>);

/// The files of a session, each read once, whichever processes map it.
#[derive(Debug, Default, Clone)]
pub struct Libraries {
    known: Arc<Mutex<FxHashMap<FileKey, Arc<Library>>>>,
}

/// One executable mapping.
#[derive(Debug, Clone)]
pub struct Code {
    /// First address
    pub start: u64,
    /// First address behind it
    pub end: u64,
    /// What to add to the file's addresses
    pub bias: u64,
    /// The file; `None` for code that was made at run time
    pub library: Option<Arc<Library>>,
}

/// The executable mappings of one process.
#[derive(Debug)]
pub struct Modules {
    pid: i32,
    memory: ProcessMemory,
    root: Arc<TargetRoot>,
    libraries: Libraries,
    /// By address
    code: Vec<Code>,
}

impl Modules {
    /// Reads what `pid` has mapped now.
    pub fn read(pid: i32, libraries: &Libraries) -> io::Result<Self> {
        let mut modules = Self {
            pid,
            memory: ProcessMemory::new(pid),
            root: Arc::new(TargetRoot::open(pid)),
            libraries: libraries.clone(),
            code: Vec::new(),
        };
        modules.refresh()?;
        Ok(modules)
    }

    /// Reads it again; says whether anything changed.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let mappings = maps::read(self.pid)?;
        let executable = |mapping: &&Mapping| mapping.permissions.execute && mapping.permissions.read;
        let code: Vec<Code> = mappings
            .iter()
            .filter(executable)
            .take(MAX_CODE)
            .map(|mapping| self.understand(mapping, &mappings))
            .collect();
        let same = |(a, b): (&Code, &Code)| (a.start, a.end, a.bias) == (b.start, b.end, b.bias);
        let changed = code.len() != self.code.len() || !code.iter().zip(&self.code).all(same);
        self.code = code;
        Ok(changed)
    }

    /// The executable mapping that holds `address`.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<&Code> {
        let index = self.code.partition_point(|code| code.start <= address).checked_sub(1)?;
        self.code.get(index).filter(|code| address < code.end)
    }

    /// The target's memory.
    #[must_use]
    pub fn memory(&self) -> &dyn RemoteMemory {
        &self.memory
    }

    fn understand(&self, mapping: &Mapping, all: &[Mapping]) -> Code {
        let library = self.library(mapping, all);
        let bias = library.as_ref().and_then(|library| library.elf.code_bias(mapping.start, mapping.offset));
        Code {
            start: mapping.start,
            end: mapping.end,
            bias: bias.unwrap_or(0),
            library: library.filter(|_| bias.is_some()),
        }
    }

    fn library(&self, mapping: &Mapping, all: &[Mapping]) -> Option<Arc<Library>> {
        let is_vdso = mapping.path.as_deref().is_some_and(|path| path.as_os_str() == "[vdso]");
        if mapping.file().is_none() && !is_vdso {
            return None;
        }
        let key = (mapping.device, mapping.inode, mapping.path.clone());
        if let Some(library) = self.libraries.get(&key) {
            return Some(library);
        }
        let source = match self.root.open_mapped(mapping) {
            Some(file) => Source::File(file),
            None => Source::memory(self.memory, mapping, all),
        };
        let path =
            mapping.path.as_deref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let library = Arc::new(Library::new(path, source, Arc::clone(&self.root))?);
        self.libraries.insert(key, &library);
        Some(library)
    }
}

impl Libraries {
    fn get(&self, key: &FileKey) -> Option<Arc<Library>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn insert(&self, key: FileKey, library: &Arc<Library>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_LIBRARIES {
            known.retain(|_, library| Arc::strong_count(library) > 1);
        }
        if known.len() < MAX_LIBRARIES {
            known.insert(key, Arc::clone(library));
        }
    }
}
