//! Debug information in a file of its own, as distributions ship it.

use std::path::{Path, PathBuf};

use pyprof_core::process::root::{ReadAt, TargetRoot};

use crate::modules::{Library, Source};

/// The longest name or path in a link, in bytes.
const MAX_LINK: u64 = 4096;
/// A file without build id is only used when its checksum is right; larger ones are not summed, in bytes.
const MAX_SUMMED: u64 = 256 << 20;

/// The debug information of `library`: by build id, then by the name in `.gnu_debuglink`. Looked for where the target
/// would find it, and where we would.
pub(super) fn find(library: &Library) -> Option<Library> {
    let id = library.elf.build_id(&library.source);
    let fits = |file: &Library| id.is_none() || file.elf.build_id(&file.source) == id;
    let by_id = id.as_deref().and_then(by_build_id).and_then(|path| open(library, &path));
    if let Some(file) = by_id.filter(fits) {
        return Some(file);
    }
    let (name, sum) = debuglink(library)?;
    let folder = Path::new(&library.path).parent()?;
    let inner = folder.strip_prefix("/").unwrap_or(folder);
    let places = [
        folder.join(&name),
        folder.join(".debug").join(&name),
        Path::new("/usr/lib/debug").join(inner).join(&name),
    ];
    places
        .iter()
        .filter(|path| path.as_path() != Path::new(&library.path))
        .filter_map(|path| open(library, path))
        .find(|file| if id.is_some() { fits(file) } else { checksum(file) == Some(sum) })
}

/// The file with what several debug files have in common (`.gnu_debugaltlink`, made by dwz).
pub(super) fn shared(library: &Library) -> Option<Library> {
    let section = library.elf.section_in_file(".gnu_debugaltlink")?;
    let bytes = read(library, section.offset, section.size)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (path, id) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]);
    let path = Path::new(&library.path).parent()?.join(path);
    open(library, &path).filter(|file| file.elf.build_id(&file.source).as_deref() == Some(id))
}

fn open(library: &Library, path: &Path) -> Option<Library> {
    let path = plain(path);
    let ours = TargetRoot::open(std::process::id() as i32);
    let file = library.root.open_path(&path).or_else(|| ours.open_path(&path))?;
    Library::new(path.to_string_lossy().into_owned(), Source::File(file), library.root.clone())
}

/// Without `..`: the links in debug files are relative.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn by_build_id(id: &[u8]) -> Option<PathBuf> {
    let hex: Vec<String> = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, rest) = hex.split_first()?;
    Some(format!("/usr/lib/debug/.build-id/{first}/{}.debug", rest.concat()).into())
}

/// A name, padded to four bytes, and the CRC-32 of the file it names.
fn debuglink(library: &Library) -> Option<(String, u32)> {
    let section = library.elf.section_in_file(".gnu_debuglink")?;
    let bytes = read(library, section.offset, section.size)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&bytes[..end]).ok()?;
    let sum = bytes.get((end + 1).next_multiple_of(4)..)?.first_chunk()?;
    // A name, no path: it must stay in the folders looked at.
    (!name.is_empty() && !name.contains('/')).then(|| (name.to_owned(), u32::from_le_bytes(*sum)))
}

fn read(library: &Library, offset: u64, size: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size.min(MAX_LINK) as usize];
    library.source.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

/// CRC-32 (IEEE 802.3), as `.gnu_debuglink` has it.
fn checksum(file: &Library) -> Option<u32> {
    let size = file.source.size();
    if size > MAX_SUMMED {
        return None;
    }
    let mut sum = crc32fast::Hasher::new();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    while at < size {
        let len = (size - at).min(buf.len() as u64) as usize;
        file.source.read_exact_at(&mut buf[..len], at).ok()?;
        sum.update(&buf[..len]);
        at += len as u64;
    }
    Some(sum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_debug_files() {
        let path = by_build_id(&[0xab, 0xcd, 0x01]).unwrap();
        assert_eq!(path, Path::new("/usr/lib/debug/.build-id/ab/cd01.debug"));
        assert_eq!(
            plain(Path::new("/usr/lib/debug/.build-id/ab/../../.dwz/x")),
            Path::new("/usr/lib/debug/.dwz/x")
        );
        assert_eq!(plain(Path::new("/../../etc")), Path::new("/etc"));
    }
}
