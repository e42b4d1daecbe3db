//! As much of an ELF file as finding an interpreter takes: segments, a few sections, a few symbols.
//!
//! The file belongs to the target: tables are read in bounded parts, every offset is checked, and nothing is
//! mapped.

use object::LittleEndian;
use object::elf::{
    ELFCLASS64, ELFDATA2LSB, ELFMAG, ET_DYN, ET_EXEC, FileHeader64, PF_W, PF_X, PT_GNU_EH_FRAME, PT_LOAD,
    PT_NOTE, ProgramHeader64, SHF_COMPRESSED, SHN_UNDEF, SHT_DYNSYM, SHT_NOBITS, SHT_STRTAB, SHT_SYMTAB,
    SectionHeader64, SectionType, Sym64,
};
use object::pod::{self, Pod};

use crate::process::root::ReadAt;

const E: LittleEndian = LittleEndian;
/// A file has about a dozen segments and forty sections; ones with a section for each function have thousands.
const MAX_SEGMENTS: u16 = 256;
const MAX_SECTIONS: u16 = 16_384;
/// Symbols and names of one table, in bytes. Chromium-sized binaries stay below.
const MAX_TABLE_BYTES: u64 = 128 << 20;
const MAX_NAME_BYTES: u64 = 1 << 20;
/// Notes are short: a build id, an ABI tag, some properties.
const MAX_NOTE_BYTES: u64 = 64 << 10;

/// A `PT_LOAD` segment, in addresses of the file (add [`Elf::bias`] for those of a process).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies in the file, in bytes
    pub offset: u64,
    /// First address
    pub address: u64,
    /// Bytes taken from the file
    pub file_size: u64,
    /// Bytes in memory; what the file does not fill is zero at start (.bss)
    pub memory_size: u64,
    /// Writable
    pub writable: bool,
    /// Executable
    pub executable: bool,
}

/// A range of addresses of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First address
    pub address: u64,
    /// Length in bytes
    pub size: u64,
}

/// A section as it lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSection {
    /// Where its bytes start in the file
    pub offset: u64,
    /// Length in bytes, of what the file holds
    pub size: u64,
    /// Its address in the process image (of the file); 0 when it is not part of it
    pub address: u64,
    /// The bytes are compressed (`SHF_COMPRESSED`)
    pub compressed: bool,
}

/// One symbol that stands for code or data of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// Address (of the file)
    pub address: u64,
    /// Bytes, 0 when the file does not say
    pub size: u64,
    /// Where its name starts in the file; it ends with a zero byte
    pub name: u64,
    /// The low four bits of `st_info`: 1 data, 2 function, 10 indirect function
    pub kind: u8,
    /// Visible outside of its object file
    pub global: bool,
}

/// Symbols of one part of a table are read at a time, so that a large table takes no more memory than what is kept
/// of it.
const SYMBOLS_AT_ONCE: u64 = 4096;

#[derive(Debug, Clone)]
struct Section {
    name: Vec<u8>,
    kind: SectionType,
    compressed: bool,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
}

/// What an ELF file says about itself.
#[derive(Debug, Clone)]
pub struct Elf {
    /// `PT_LOAD` segments in the file's order
    pub segments: Vec<Segment>,
    /// `e_machine`: 62 x86-64, 183 arm64
    pub machine: u16,
    sections: Vec<Section>,
    eh_frame_hdr: Option<Range>,
    /// `PT_NOTE` segments, in the file
    notes: Vec<(u64, u64)>,
}

impl Elf {
    /// Reads the headers; `None` when it is no 64-bit little-endian program or library.
    #[must_use]
    pub fn parse<F: ReadAt + ?Sized>(file: &F) -> Option<Self> {
        let header: FileHeader64<LittleEndian> = read_pod(file, 0)?;
        let ident = &header.e_ident;
        let is_ours = ident.magic == ELFMAG && ident.class == ELFCLASS64 && ident.data == ELFDATA2LSB;
        if !is_ours || ![ET_EXEC, ET_DYN].contains(&header.e_type.get(E)) {
            return None;
        }
        let program_headers: Vec<ProgramHeader64<LittleEndian>> =
            read_table(file, header.e_phoff.get(E), u64::from(header.e_phnum.get(E).min(MAX_SEGMENTS)))?;
        let segments = program_headers
            .iter()
            .filter(|header| header.p_type.get(E) == PT_LOAD)
            .map(|header| Segment {
                offset: header.p_offset.get(E),
                address: header.p_vaddr.get(E),
                file_size: header.p_filesz.get(E),
                memory_size: header.p_memsz.get(E),
                writable: header.p_flags.get(E).0 & PF_W.0 != 0,
                executable: header.p_flags.get(E).0 & PF_X.0 != 0,
            })
            .collect();
        let eh_frame_hdr = program_headers.iter().find(|header| header.p_type.get(E) == PT_GNU_EH_FRAME);
        let notes = program_headers.iter().filter(|header| header.p_type.get(E) == PT_NOTE);
        Some(Self {
            segments,
            machine: header.e_machine.get(E).0,
            // A file without usable section headers still has its segments.
            sections: read_sections(file, &header).unwrap_or_default(),
            eh_frame_hdr: eh_frame_hdr
                .map(|header| Range { address: header.p_vaddr.get(E), size: header.p_memsz.get(E) }),
            notes: notes.map(|header| (header.p_offset.get(E), header.p_filesz.get(E))).collect(),
        })
    }

    /// The index of the unwind information (`.eh_frame_hdr`), which the program headers name too.
    #[must_use]
    pub fn eh_frame_hdr(&self) -> Option<Range> {
        self.eh_frame_hdr
    }

    /// The section `name` as it lies in the file; `None` too when only another file has its bytes.
    #[must_use]
    pub fn section_in_file(&self, name: &str) -> Option<FileSection> {
        let section = self.sections.iter().find(|section| section.name == name.as_bytes())?;
        (section.kind != SHT_NOBITS).then_some(FileSection {
            offset: section.offset,
            size: section.size,
            address: section.address,
            compressed: section.compressed,
        })
    }

    /// Where the bytes of `address` are in the file, and how many follow in the same segment.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> Option<(u64, u64)> {
        self.segments.iter().find_map(|segment| {
            let skip = address.checked_sub(segment.address)?;
            let rest = segment.file_size.checked_sub(skip).filter(|rest| *rest > 0)?;
            Some((segment.offset.checked_add(skip)?, rest))
        })
    }

    /// What to add to the file's addresses where its executable part from `offset` on is mapped at `start`.
    #[must_use]
    pub fn code_bias(&self, start: u64, offset: u64) -> Option<u64> {
        let holds = |segment: &&Segment| {
            segment.executable
                && (segment.offset & !0xffff..segment.offset.saturating_add(segment.file_size))
                    .contains(&offset)
        };
        let segment = self.segments.iter().find(holds)?;
        Some(start.wrapping_sub(segment.address.wrapping_add(offset).wrapping_sub(segment.offset)))
    }

    /// `NT_GNU_BUILD_ID`: names this very build of the file.
    #[must_use]
    pub fn build_id<F: ReadAt + ?Sized>(&self, file: &F) -> Option<Vec<u8>> {
        let section =
            self.section_in_file(".note.gnu.build-id").map(|section| (section.offset, section.size));
        self.notes.iter().copied().chain(section).find_map(|(offset, size)| {
            let bytes = read_bytes(file, offset, size.min(MAX_NOTE_BYTES), MAX_TABLE_BYTES)?;
            build_id_in(&bytes)
        })
    }

    /// Gives every symbol of `.symtab` and `.dynsym` that has an address to `take`, until it returns false.
    pub fn each_symbol<F: ReadAt + ?Sized>(&self, file: &F, mut take: impl FnMut(Symbol) -> bool) {
        for kind in [SHT_SYMTAB, SHT_DYNSYM] {
            for table in self.sections.iter().filter(|section| section.kind == kind).take(2) {
                let strings = self.sections.get(table.link as usize);
                let Some(strings) = strings.filter(|section| section.kind == SHT_STRTAB) else { continue };
                if !each_symbol_of(file, table, strings, &mut take) {
                    return;
                }
            }
        }
    }

    /// What to add to the file's addresses in a process that has mapped its part from `offset` at `start`;
    /// `None` when `offset` is not where the first segment starts. 0 for a program at fixed addresses.
    #[must_use]
    pub fn bias(&self, start: u64, offset: u64) -> Option<u64> {
        const PAGE: u64 = 0xfff;
        let first = self.segments.first()?;
        (first.offset & !PAGE == offset).then(|| start.wrapping_sub(first.address & !PAGE))
    }

    /// The section `name`, when it is part of the process image.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Range> {
        let section = self.sections.iter().find(|section| section.name == name.as_bytes())?;
        (section.address != 0).then_some(Range { address: section.address, size: section.size })
    }

    /// Where variables lie: .data, .bss and their relatives.
    pub fn writable(&self) -> impl Iterator<Item = Range> + '_ {
        self.segments
            .iter()
            .filter(|segment| segment.writable)
            .map(|segment| Range { address: segment.address, size: segment.memory_size })
    }

    /// Where constants lie: .rodata, or the segments that may hold it.
    #[must_use]
    pub fn constants(&self) -> Vec<Range> {
        if let Some(range) = self.section(".rodata") {
            return vec![range];
        }
        let constant = |segment: &&Segment| !segment.writable && !segment.executable;
        let range = |segment: &Segment| Range { address: segment.address, size: segment.memory_size };
        self.segments.iter().filter(constant).map(range).collect()
    }

    /// The values of `names`, from the dynamic symbols, or from the others, which are many more, when the
    /// first name is not among the dynamic ones.
    #[must_use]
    pub fn symbols<const N: usize, F: ReadAt + ?Sized>(
        &self,
        file: &F,
        names: [&str; N],
    ) -> [Option<Range>; N] {
        let mut found = [None; N];
        for kind in [SHT_DYNSYM, SHT_SYMTAB] {
            for table in self.sections.iter().filter(|section| section.kind == kind).take(2) {
                if found.first() == Some(&None) {
                    self.search(file, table, names, &mut found);
                }
            }
        }
        found
    }

    fn search<const N: usize, F: ReadAt + ?Sized>(
        &self,
        file: &F,
        table: &Section,
        names: [&str; N],
        found: &mut [Option<Range>; N],
    ) -> Option<()> {
        let strings = self.sections.get(table.link as usize).filter(|section| section.kind == SHT_STRTAB)?;
        let strings = read_bytes(file, strings.offset, strings.size, MAX_TABLE_BYTES)?;
        let count = table.size / size_of::<Sym64<LittleEndian>>() as u64;
        let symbols: Vec<Sym64<LittleEndian>> = read_table(file, table.offset, count)?;
        for symbol in symbols.iter().filter(|symbol| symbol.st_shndx.get(E) != SHN_UNDEF) {
            let name = strings.get(symbol.st_name.get(E) as usize..).unwrap_or_default();
            for (wanted, slot) in names.iter().zip(found.iter_mut()) {
                let matches =
                    name.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
                if matches && slot.is_none() {
                    *slot = Some(Range { address: symbol.st_value.get(E), size: symbol.st_size.get(E) });
                }
            }
        }
        Some(())
    }
}

/// Goes through one table; false when `take` has had enough.
fn each_symbol_of<F: ReadAt + ?Sized>(
    file: &F,
    table: &Section,
    strings: &Section,
    take: &mut impl FnMut(Symbol) -> bool,
) -> bool {
    let entry = size_of::<Sym64<LittleEndian>>() as u64;
    let count = table.size.min(file.size()) / entry;
    for first in (0..count).step_by(SYMBOLS_AT_ONCE as usize) {
        let part = SYMBOLS_AT_ONCE.min(count - first);
        let Some(offset) = table.offset.checked_add(first * entry) else { return true };
        let Some(symbols) = read_table::<Sym64<LittleEndian>, F>(file, offset, part) else { return true };
        for symbol in symbols.iter().filter(|symbol| symbol.st_shndx.get(E) != SHN_UNDEF) {
            let name = u64::from(symbol.st_name.get(E));
            if symbol.st_value.get(E) == 0 || name == 0 || name >= strings.size {
                continue;
            }
            let symbol = Symbol {
                address: symbol.st_value.get(E),
                size: symbol.st_size.get(E),
                name: strings.offset.saturating_add(name),
                kind: symbol.st_info.0 & 0xf,
                global: symbol.st_info.0 >> 4 != 0,
            };
            if !take(symbol) {
                return false;
            }
        }
    }
    true
}

/// Notes are (name length, content length, type, name, content), name and content padded to four bytes.
fn build_id_in(notes: &[u8]) -> Option<Vec<u8>> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let mut rest = notes;
    loop {
        let word = |at: usize| Some(u32::from_le_bytes(*rest.get(at..)?.first_chunk()?));
        let (name, content, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let start = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = start.checked_add(content)?;
        let bytes = rest.get(start..end)?;
        if kind == NT_GNU_BUILD_ID && rest.get(12..16) == Some(b"GNU\0") {
            return (!bytes.is_empty() && bytes.len() <= 64).then(|| bytes.to_vec());
        }
        rest = rest.get(end.checked_next_multiple_of(4)?..)?;
    }
}

fn read_sections<F: ReadAt + ?Sized>(file: &F, header: &FileHeader64<LittleEndian>) -> Option<Vec<Section>> {
    let count = u64::from(header.e_shnum.get(E).min(MAX_SECTIONS));
    let headers: Vec<SectionHeader64<LittleEndian>> = read_table(file, header.e_shoff.get(E), count)?;
    let names = headers.get(usize::from(header.e_shstrndx.get(E).0))?;
    let size = names.sh_size.get(E).min(MAX_NAME_BYTES);
    let names = read_bytes(file, names.sh_offset.get(E), size, MAX_NAME_BYTES)?;
    let section = |header: &SectionHeader64<LittleEndian>| {
        let name = names.get(header.sh_name.get(E) as usize..).unwrap_or_default();
        let end = name.iter().take(64).position(|&byte| byte == 0).unwrap_or(0);
        Section {
            name: name[..end].to_vec(),
            kind: header.sh_type.get(E),
            compressed: header.sh_flags.get(E).0 & SHF_COMPRESSED.0 != 0,
            address: header.sh_addr.get(E),
            offset: header.sh_offset.get(E),
            size: header.sh_size.get(E),
            link: header.sh_link.get(E),
        }
    };
    Some(headers.iter().map(section).collect())
}

fn read_pod<T: Pod + Copy, F: ReadAt + ?Sized>(file: &F, offset: u64) -> Option<T> {
    read_table(file, offset, 1)?.first().copied()
}

fn read_table<T: Pod + Copy, F: ReadAt + ?Sized>(file: &F, offset: u64, count: u64) -> Option<Vec<T>> {
    let bytes = read_bytes(file, offset, count.checked_mul(size_of::<T>() as u64)?, MAX_TABLE_BYTES)?;
    Some(pod::slice_from_all_bytes(&bytes).ok()?.to_vec())
}

/// `size` bytes of a file; `None` when they are more than `most` or not all there. Nothing is allocated for bytes that
/// the file does not have.
#[must_use]
pub fn read_bytes<F: ReadAt + ?Sized>(file: &F, offset: u64, size: u64, most: u64) -> Option<Vec<u8>> {
    if size > most || offset.checked_add(size)? > file.size() {
        return None;
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ourselves() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    /// A program small enough to break in many ways: headers, two segments, five sections, one symbol.
    fn small() -> Vec<u8> {
        let mut file = vec![0; 0x400];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &3u16.to_le_bytes()); // ET_DYN
        put(32, &64u64.to_le_bytes()); // e_phoff
        put(40, &0x100u64.to_le_bytes()); // e_shoff
        put(54, &[56, 0, 2, 0, 64, 0, 5, 0, 4, 0]); // e_phentsize to e_shstrndx
        for (i, (flags, offset, address)) in [(5u32, 0u64, 0x1000u64), (6, 0x2000, 0x3000)].iter().enumerate()
        {
            let at = 64 + i * 56;
            put(at, &1u32.to_le_bytes());
            put(at + 4, &flags.to_le_bytes());
            put(at + 8, &offset.to_le_bytes());
            put(at + 16, &address.to_le_bytes());
            put(at + 40, &0x1000u64.to_le_bytes());
        }
        // name, type, address, offset, size, link
        let sections = [
            (1u32, 11u32, 0x10u64, 0x300u64, 24u64, 2u32),
            (9, 3, 0x20, 0x320, 12, 0),
            (17, 1, 0x3100, 0x2100, 64, 0),
            (28, 3, 0, 0x340, 64, 0),
        ];
        for (i, (name, kind, address, offset, size, link)) in sections.iter().enumerate() {
            let at = 0x140 + i * 64;
            put(at, &name.to_le_bytes());
            put(at + 4, &kind.to_le_bytes());
            put(at + 16, &address.to_le_bytes());
            put(at + 24, &offset.to_le_bytes());
            put(at + 32, &size.to_le_bytes());
            put(at + 40, &link.to_le_bytes());
        }
        put(0x300, &1u32.to_le_bytes());
        put(0x306, &[3, 0]);
        put(0x308, &0x3100u64.to_le_bytes());
        put(0x310, &64u64.to_le_bytes());
        put(0x320, b"\0_PyRuntime\0");
        put(0x340, b"\0.dynsym\0.dynstr\0.PyRuntime\0.shstrtab\0");
        file
    }

    #[test]
    fn a_small_program_is_read_whole() {
        let mut file = small();
        // The link of .dynsym names the second of the sections above.
        file[0x140 + 40] = 2;
        let elf = Elf::parse(&file[..]).unwrap();
        assert_eq!(elf.segments.len(), 2);
        assert_eq!(elf.section(".PyRuntime"), Some(Range { address: 0x3100, size: 64 }));
        assert_eq!(elf.section(".shstrtab"), None, "not part of the image");
        assert_eq!(elf.writable().collect::<Vec<_>>(), [Range { address: 0x3000, size: 0x1000 }]);
        let expected = [Some(Range { address: 0x3100, size: 64 }), None];
        assert_eq!(elf.symbols(&file[..], ["_PyRuntime", "_PyRun"]), expected);
        assert_eq!(elf.bias(0x7f00_0000_1000, 0), Some(0x7f00_0000_0000));
        assert_eq!(elf.bias(0x7f00_0000_1000, 0x2000), None);
    }

    #[test]
    fn what_the_linker_made_is_read_right() {
        let file = ourselves();
        let elf = Elf::parse(&file[..]).unwrap();
        assert!(elf.section(".rodata").is_some() && elf.writable().count() > 0);
        let [main] = elf.symbols(&file[..], ["main"]);
        let maps = crate::process::maps::read(std::process::id() as i32).unwrap();
        let exe = std::env::current_exe().unwrap();
        let first = maps.iter().find(|mapping| mapping.file() == Some(exe.as_path())).unwrap();
        let address = elf.bias(first.start, first.offset).unwrap() + main.unwrap().address;
        let there = maps.iter().find(|mapping| mapping.contains(address)).unwrap();
        assert!(there.permissions.execute && there.file() == Some(exe.as_path()));
    }

    #[test]
    fn other_files_are_refused() {
        assert!(Elf::parse(&b"#!/bin/sh\n"[..]).is_none());
        assert!(Elf::parse(&[][..]).is_none());
        let mut small = small();
        small[4] = 1; // 32 bits
        assert!(Elf::parse(&small[..]).is_none());
    }

    proptest! {
        #[test]
        fn no_lie_in_a_header_does_harm(
            changes in prop::collection::vec((0usize..0x400, any::<u8>()), 1..24),
            words in prop::collection::vec((0usize..0x7f, any::<u64>()), 0..4),
            length in 0usize..=0x400,
        ) {
            let mut file = small();
            for (at, byte) in changes {
                // The magic number stays: other files are refused at once.
                if at >= 7 { file[at] = byte; }
            }
            for (at, word) in words {
                let at = at * 8;
                if at >= 8 { file[at..at + 8].copy_from_slice(&word.to_le_bytes()); }
            }
            file.truncate(length.max(0x200));
            if let Some(elf) = Elf::parse(&file[..]) {
                let _ = elf.symbols(&file[..], ["_PyRuntime", "Py_Version"]);
                let _ = (elf.section(".PyRuntime"), elf.constants(), elf.writable().count());
                let _ = elf.bias(u64::MAX, 0);
            }
        }
    }
}
