//! One file of code: what it says about itself, read when it is first needed.

use std::sync::{Arc, OnceLock};

use pyprof_core::elf::Elf;
use pyprof_core::process::root::TargetRoot;

use super::image::Source;
use crate::unwind::CfiTable;

/// A program or shared library.
#[derive(Debug)]
pub struct Library {
    /// As the first target that mapped it names it
    pub path: String,
    /// Its headers
    pub elf: Elf,
    /// Its bytes
    pub source: Source,
    /// Where its neighbours are found: debug information in a file of its own
    pub root: Arc<TargetRoot>,
    cfi: OnceLock<Option<CfiTable>>,
}

impl Library {
    /// `None` when it is no program or library.
    #[must_use]
    pub fn new(path: String, source: Source, root: Arc<TargetRoot>) -> Option<Self> {
        Some(Self { path, elf: Elf::parse(&source)?, source, root, cfi: OnceLock::new() })
    }

    /// Its unwind information; `None` when it has none.
    #[must_use]
    pub fn cfi(&self) -> Option<&CfiTable> {
        self.cfi.get_or_init(|| CfiTable::read(&self.elf, &self.source)).as_ref()
    }

    /// The last part of its path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}
