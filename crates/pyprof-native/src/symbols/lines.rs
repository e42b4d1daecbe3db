//! Source lines and inlined functions, from DWARF.

use std::sync::Arc;

use addr2line::Context;
use gimli::Dwarf;

use super::debug_file;
use super::paged::PagedReader;
use crate::modules::Library;

/// Functions inlined into each other at one place; a bound for files that lie.
const MAX_INLINED: usize = 64;

/// The debug information of one file.
pub(super) struct Lines {
    context: Context<PagedReader>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

/// One function at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LineFrame {
    /// As the linker knows it, where that is another name than the source's
    pub name: Option<String>,
    pub file: Option<String>,
    /// 0 when unknown
    pub line: u32,
}

impl Lines {
    /// `None` when the file has no debug information.
    pub fn open(library: &Arc<Library>) -> Option<Self> {
        library.elf.section_in_file(".debug_info").filter(|section| section.size > 0)?;
        let mut dwarf = load(library);
        if let Some(shared) = debug_file::shared(library) {
            dwarf.set_sup(load(&Arc::new(shared)));
        }
        Some(Self { context: Context::from_dwarf(dwarf).ok()? })
    }

    /// The functions at an address (of the file), the one that is in the program first, then what is inlined into it.
    pub fn frames(&self, address: u64) -> Vec<LineFrame> {
        let mut frames = Vec::new();
        let Ok(mut found) = self.context.find_frames(address).skip_all_loads() else { return frames };
        while let Ok(Some(frame)) = found.next() {
            let name = frame.function.as_ref().and_then(|name| name.raw_name().ok().map(String::from));
            let (file, line) = frame
                .location
                .map_or((None, 0), |location| (location.file.map(str::to_owned), location.line.unwrap_or(0)));
            frames.push(LineFrame { name, file, line });
            if frames.len() == MAX_INLINED {
                break;
            }
        }
        frames.reverse();
        frames
    }
}

fn load(library: &Arc<Library>) -> Dwarf<PagedReader> {
    let section = |id: gimli::SectionId| {
        Ok::<_, std::convert::Infallible>(PagedReader::open(library, library.elf.section_in_file(id.name())))
    };
    let Ok(dwarf) = Dwarf::load(section);
    dwarf
}
