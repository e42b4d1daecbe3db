//! The compiled walker as clang leaves it: instructions, and the places where they point at maps.

use std::io;

use nix::libc;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

/// `BPF_LD | BPF_IMM | BPF_DW`: a 64-bit constant over two instructions, the only place where a map can stand.
const LOAD_CONSTANT: u8 = 0x18;
/// `BPF_PSEUDO_MAP_FD`: the constant is a map's descriptor.
const IS_MAP: u8 = 1;

/// The walker, where this build has it.
#[must_use]
pub fn embedded() -> Option<&'static [u8]> {
    #[cfg(bpf_walker)]
    return Some(include_bytes!(concat!(env!("OUT_DIR"), "/walker.o")));
    #[cfg(not(bpf_walker))]
    None
}

/// The instructions of `section` with every map in its place: `map` gives the descriptor of the map of a name.
pub fn instructions(object: &[u8], section: &str, map: impl Fn(&str) -> Option<i32>) -> io::Result<Vec<u8>> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("the BPF object: {what}"));
    let file = ElfFile64::<object::Endianness>::parse(object).map_err(|error| wrong(error.to_string()))?;
    let section =
        file.section_by_name(section).ok_or_else(|| wrong(format!("it has no section {section}")))?;
    let mut code = section.data().map_err(|error| wrong(error.to_string()))?.to_vec();
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            return Err(wrong("a relocation without a symbol".to_owned()));
        };
        let symbol = file.symbol_by_index(symbol).map_err(|error| wrong(error.to_string()))?;
        let name = symbol.name().map_err(|error| wrong(error.to_string()))?;
        let fd = map(name).ok_or_else(|| wrong(format!("it wants a map {name}")))?;
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let place = code.get_mut(at..).and_then(|rest| rest.get_mut(..16));
        let place = place.filter(|place| place[0] == LOAD_CONSTANT);
        let place = place.ok_or_else(|| wrong(format!("{name} is not loaded as a constant")))?;
        // Byte 1: destination register low, kind of constant high; bytes 4 to 7: the constant's lower half.
        place[1] = (place[1] & 0x0f) | IS_MAP << 4;
        place[4..8].copy_from_slice(&fd.to_le_bytes());
    }
    Ok(code)
}

/// What a build without clang says.
#[must_use]
pub fn not_in_this_build() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_put_in_their_places() {
        let Some(object) = embedded() else {
            eprintln!("skipped: BPF object: no clang when this was built");
            return;
        };
        let code = instructions(object, "program/walk", |_| Some(0x1234)).unwrap();
        let maps = code.chunks_exact(8).filter(|one| one[0] == LOAD_CONSTANT && one[1] >> 4 == IS_MAP);
        assert!(maps.filter(|one| one[4..8] == 0x1234_i32.to_le_bytes()).count() >= 5);
        let error = instructions(object, "program/walk", |_| None).unwrap_err();
        assert!(error.to_string().contains("it wants a map"), "{error}");
        assert!(instructions(object, "program/none", |_| None).is_err());
        assert!(instructions(&object[..100], "program/walk", |_| Some(1)).is_err());
    }
}
