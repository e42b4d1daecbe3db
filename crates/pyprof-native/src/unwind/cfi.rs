//! A module's unwind information: from an address to the rule that finds the caller.

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, FrameDescriptionEntry,
    LittleEndian, Register, RegisterRule, UnwindContext, UnwindOffset, UnwindSection, UnwindTableRow,
};
use pyprof_core::elf::{Elf, read_bytes};
use pyprof_core::process::root::ReadAt;

use super::arch;
use super::rule::{Base, Restore, Rule};

/// Unwind information of one module, in bytes. libtorch has about 30 MiB.
const MAX_BYTES: u64 = 256 << 20;
/// Functions in an index that is made here.
const MAX_FUNCTIONS: usize = 1 << 22;
/// Registers in the unwind information's numbering, whose expressions have addresses of this size
const ADDRESS_SIZE: u8 = 8;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Unwind information as it lies in the file.
#[derive(Debug)]
pub struct CfiTable {
    bytes: Vec<u8>,
    eh_frame_address: u64,
    bases: BaseAddresses,
    finder: Finder,
}

#[derive(Debug)]
enum Finder {
    /// `.eh_frame_hdr`: sorted, made by the linker
    Linker(Vec<u8>),
    /// Functions' first addresses and their entries' offsets, sorted, of `.eh_frame`
    Own(Vec<(u64, usize)>),
    /// The same of `.debug_frame`
    OwnOfDebugFrame(Vec<(u64, usize)>),
}

/// Scratch memory for reading rules.
#[derive(Debug)]
pub struct CfiContext(UnwindContext<usize>);

impl Default for CfiContext {
    fn default() -> Self {
        Self(UnwindContext::new())
    }
}

impl CfiTable {
    /// Reads the tables of a file.
    pub fn read<F: ReadAt + ?Sized>(elf: &Elf, file: &F) -> Option<Self> {
        let text = elf.section(".text").map_or(0, |section| section.address);
        let got = elf.section(".got").map_or(0, |section| section.address);
        let bases = BaseAddresses::default().set_text(text).set_got(got);
        if let Some(table) = Self::with_header(elf, file, bases.clone()) {
            return Some(table);
        }
        if let Some(section) = elf.section_in_file(".eh_frame") {
            let bytes = read_bytes(file, section.offset, section.size, MAX_BYTES)?;
            let bases = bases.set_eh_frame(section.address);
            let mut frames = EhFrame::new(&bytes, LittleEndian);
            frames.set_address_size(ADDRESS_SIZE);
            let finder = Finder::Own(index(&frames, &bases));
            return Some(Self { bytes, eh_frame_address: section.address, bases, finder });
        }
        let section = elf.section_in_file(".debug_frame").filter(|section| !section.compressed)?;
        let bytes = read_bytes(file, section.offset, section.size, MAX_BYTES)?;
        let mut frames = DebugFrame::new(&bytes, LittleEndian);
        frames.set_address_size(ADDRESS_SIZE);
        let finder = Finder::OwnOfDebugFrame(index(&frames, &bases));
        Some(Self { bytes, eh_frame_address: 0, bases, finder })
    }

    /// Both tables as the program headers name them: they are there even when all section headers are gone.
    fn with_header<F: ReadAt + ?Sized>(elf: &Elf, file: &F, bases: BaseAddresses) -> Option<Self> {
        let range = elf.eh_frame_hdr()?;
        let (offset, rest) = elf.offset_of(range.address)?;
        let header = read_bytes(file, offset, range.size.min(rest), MAX_BYTES)?;
        let bases = bases.set_eh_frame_hdr(range.address);
        let parsed = EhFrameHdr::new(&header, LittleEndian).parse(&bases, ADDRESS_SIZE).ok()?;
        parsed.table()?;
        let address = parsed.eh_frame_ptr().direct().ok()?;
        let (offset, rest) = elf.offset_of(address)?;
        // Without its section header the end is not known; what follows is never looked at.
        let section = elf.section_in_file(".eh_frame").filter(|section| section.address == address);
        let size = section.map_or(rest, |section| section.size.min(rest));
        let bytes = read_bytes(file, offset, size, MAX_BYTES)?;
        let bases = bases.set_eh_frame(address);
        Some(Self { bytes, eh_frame_address: address, bases, finder: Finder::Linker(header) })
    }

    /// The rule at `address` (of the file); `None` where no function is described.
    pub fn rule(&self, address: u64, context: &mut CfiContext) -> Option<Rule> {
        match &self.finder {
            Finder::Linker(header) => {
                let header = EhFrameHdr::new(header, LittleEndian).parse(&self.bases, ADDRESS_SIZE).ok()?;
                let frames = self.eh_frame();
                let entry = header.table()?.lookup(address, &self.bases).ok()?.direct().ok()?;
                // Where an entry is said to be is the file's word: it may be anywhere.
                let offset = entry.checked_sub(self.eh_frame_address)?;
                let offset = usize::try_from(offset).ok().filter(|offset| *offset < self.bytes.len())?;
                let entry =
                    frames.fde_from_offset(&self.bases, offset.into(), EhFrame::cie_from_offset).ok()?;
                self.read_rule(&frames, &entry, address, context)
            }
            Finder::Own(index) => self.indexed(&self.eh_frame(), index, address, context),
            Finder::OwnOfDebugFrame(index) => {
                let mut frames = DebugFrame::new(&self.bytes, LittleEndian);
                frames.set_address_size(ADDRESS_SIZE);
                self.indexed(&frames, index, address, context)
            }
        }
    }

    fn eh_frame(&self) -> EhFrame<Slice<'_>> {
        let mut frames = EhFrame::new(&self.bytes, LittleEndian);
        frames.set_address_size(ADDRESS_SIZE);
        frames
    }

    fn indexed<'a, S>(
        &self,
        frames: &S,
        index: &[(u64, usize)],
        address: u64,
        context: &mut CfiContext,
    ) -> Option<Rule>
    where
        S: UnwindSection<Slice<'a>>,
        S::Offset: UnwindOffset<usize>,
    {
        let at = index.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        let entry = frames.fde_from_offset(&self.bases, index[at].1.into(), S::cie_from_offset).ok()?;
        self.read_rule(frames, &entry, address, context)
    }

    fn read_rule<'a, S: UnwindSection<Slice<'a>>>(
        &self,
        frames: &S,
        entry: &FrameDescriptionEntry<Slice<'a>>,
        address: u64,
        context: &mut CfiContext,
    ) -> Option<Rule> {
        let row = entry.unwind_info_for_address(frames, &self.bases, &mut context.0, address).ok()?;
        let expression = |expression: &gimli::UnwindExpression<usize>| {
            expression.get(frames).ok().map(|expression| expression.0.slice().into())
        };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Base::Register(register.0, *offset),
            CfaRule::Expression(bytes) => Base::Expression(expression(bytes)?),
        };
        let restore = |register: u16| restore(frames, row, register);
        let kept = arch::KEPT.iter().filter_map(|&register| Some((register, restore(register)?)));
        Some(Rule {
            function: entry.initial_address(),
            cfa,
            return_address: restore(arch::RETURN_ADDRESS),
            kept: kept.collect(),
            is_signal: entry.is_signal_trampoline(),
            encoding: entry.cie().encoding(),
        })
    }
}

fn restore<'a, S: UnwindSection<Slice<'a>>>(
    frames: &S,
    row: &UnwindTableRow<usize>,
    register: u16,
) -> Option<Restore> {
    let bytes = |expression: gimli::UnwindExpression<usize>| {
        expression
            .get(frames)
            .map_or(Restore::Unknown, |expression| Restore::AtExpression(expression.0.slice().into()))
    };
    Some(match row.register(Register(register))? {
        RegisterRule::SameValue => Restore::Same,
        RegisterRule::Offset(offset) => Restore::At(offset),
        RegisterRule::ValOffset(offset) => Restore::Value(offset),
        RegisterRule::Register(other) => Restore::Register(other.0),
        RegisterRule::Expression(expression) => bytes(expression),
        RegisterRule::ValExpression(expression) => match bytes(expression) {
            Restore::AtExpression(bytes) => Restore::ValueOfExpression(bytes),
            other => other,
        },
        RegisterRule::Constant(value) => Restore::Constant(value),
        _ => Restore::Unknown,
    })
}

/// Every function of a section, sorted by address.
fn index<'a, S>(frames: &S, bases: &BaseAddresses) -> Vec<(u64, usize)>
where
    S: UnwindSection<Slice<'a>>,
{
    let mut functions = Vec::new();
    let mut entries = frames.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let gimli::CieOrFde::Fde(partial) = entry else { continue };
        let Ok(entry) = partial.parse(S::cie_from_offset) else { continue };
        functions.push((entry.initial_address(), entry.offset()));
        if functions.len() == MAX_FUNCTIONS {
            break;
        }
    }
    functions.sort_unstable();
    functions
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pyprof_core::memory::{ProcessMemory, RemoteMemory};
    use pyprof_core::process::maps;

    use super::*;

    /// A small program with unwind information that every process has: the kernel's.
    fn vdso() -> Vec<u8> {
        let pid = std::process::id() as i32;
        let maps = maps::read(pid).unwrap();
        let vdso =
            maps.iter().find(|map| map.path.as_deref().is_some_and(|path| path.as_os_str() == "[vdso]"));
        let vdso = vdso.unwrap();
        ProcessMemory::new(pid).read_vec(vdso.start, vdso.len() as usize).unwrap()
    }

    fn rules(bytes: &[u8]) -> Option<usize> {
        let elf = Elf::parse(bytes)?;
        let table = CfiTable::read(&elf, bytes)?;
        let mut context = CfiContext::default();
        let size = bytes.len() as u64;
        Some((0..size).step_by(16).filter(|address| table.rule(*address, &mut context).is_some()).count())
    }

    #[test]
    fn rules_are_found_with_the_linkers_index_and_without() {
        let mut bytes = vdso();
        let with = rules(&bytes).unwrap();
        assert!(with > 10);
        // The program header that names the index becomes one of no kind that is known.
        let elf = Elf::parse(&bytes[..]).unwrap();
        let address = elf.eh_frame_hdr().unwrap().address.to_le_bytes();
        let header = [address, address].concat(); // its offset and its address
        let at = bytes.windows(16).position(|window| window == header).unwrap();
        bytes[at - 8..at - 4].fill(0x66);
        assert!(Elf::parse(&bytes[..]).unwrap().eh_frame_hdr().is_none());
        assert_eq!(rules(&bytes), Some(with));
    }

    proptest! {
        #[test]
        fn no_lie_in_a_file_does_harm(
            changes in prop::collection::vec((0usize..8192, any::<u8>()), 1..200),
            length in 64usize..8192,
        ) {
            let mut bytes = vdso();
            let size = bytes.len();
            for (at, byte) in changes {
                if at >= 20 { bytes[at % size] = byte; }
            }
            let _ = rules(&bytes);
            bytes.truncate(length);
            let _ = rules(&bytes);
        }
    }
}
