//! Debug information read in pages: a section can have a gigabyte, of which one place needs some kilobytes.
//!
//! Never mapped: a file that is cut short while it is mapped would kill us.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use gimli::{Error, LittleEndian, Reader, ReaderOffsetId, Result};
use object::read::{CompressedData, CompressionFormat};
use pyprof_core::elf::FileSection;
use pyprof_core::process::root::ReadAt;
use rustc_hash::FxHashMap;

use crate::modules::Library;

const PAGE: u64 = 16 << 10;
/// Pages of one section that are kept; when there are more, all are forgotten.
const MAX_PAGES: usize = 1024;
/// A compressed section is unpacked whole; larger ones are left alone, in bytes.
const MAX_UNPACKED: u64 = 256 << 20;
/// A string or block that is wanted in one piece, in bytes.
const MAX_PIECE: u64 = 64 << 20;

/// One section.
#[derive(Debug)]
struct Section {
    library: Arc<Library>,
    offset: u64,
    size: u64,
    pages: Mutex<FxHashMap<u64, Arc<[u8]>>>,
    /// All of it, when it was compressed
    unpacked: Option<Arc<[u8]>>,
}

/// A part of a section.
#[derive(Clone)]
pub(super) struct PagedReader {
    section: Arc<Section>,
    at: u64,
    end: u64,
    /// The page read last, and where it starts
    page: Option<(u64, Arc<[u8]>)>,
}

impl std::fmt::Debug for PagedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}..{:#x}", self.at, self.end)
    }
}

impl PagedReader {
    /// A section of a file; empty when there is none.
    pub fn open(library: &Arc<Library>, section: Option<FileSection>) -> Self {
        let section = section.filter(|section| {
            section.offset.checked_add(section.size).is_some_and(|end| end <= library.source.size())
        });
        let (offset, size) = section.map_or((0, 0), |section| (section.offset, section.size));
        let mut whole = Section {
            library: Arc::clone(library),
            offset,
            size,
            pages: Mutex::new(FxHashMap::default()),
            unpacked: None,
        };
        if section.is_some_and(|section| section.compressed) {
            let unpacked = unpack(library, offset, size).unwrap_or_default();
            whole.size = unpacked.len() as u64;
            whole.unpacked = Some(unpacked.into());
        }
        Self { end: whole.size, section: Arc::new(whole), at: 0, page: None }
    }

    /// Copies bytes from `at` on.
    fn copy(&mut self, mut at: u64, buf: &mut [u8]) -> Result<()> {
        if at.checked_add(buf.len() as u64).is_none_or(|end| end > self.end) {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        // Nearly all reads are of a few bytes within the page at hand.
        if let Some((start, page)) = &self.page
            && let Some(from) = at.checked_sub(*start)
            && let Some(bytes) = page.get(from as usize..from as usize + buf.len())
        {
            buf.copy_from_slice(bytes);
            return Ok(());
        }
        let mut done = 0;
        while done < buf.len() {
            let (start, page) = self.page_at(at)?;
            let from = (at - start) as usize;
            let len = (buf.len() - done).min(page.len().saturating_sub(from));
            if len == 0 {
                return Err(Error::Io);
            }
            buf[done..done + len].copy_from_slice(&page[from..from + len]);
            done += len;
            at += len as u64;
        }
        Ok(())
    }

    fn page_at(&mut self, at: u64) -> Result<(u64, &[u8])> {
        let known =
            self.page.as_ref().is_some_and(|(start, page)| (*start..start + page.len() as u64).contains(&at));
        if !known {
            self.page = Some(self.section.page(at)?);
        }
        let (start, page) = self.page.as_ref().ok_or(Error::Io)?;
        Ok((*start, page))
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let len = self.end - self.at;
        if len > MAX_PIECE {
            return Err(Error::Io);
        }
        let mut bytes = vec![0; len as usize];
        self.clone().copy(self.at, &mut bytes)?;
        Ok(bytes)
    }
}

impl Section {
    fn page(&self, at: u64) -> Result<(u64, Arc<[u8]>)> {
        if let Some(unpacked) = &self.unpacked {
            return Ok((0, Arc::clone(unpacked)));
        }
        let start = at / PAGE * PAGE;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.get(&start) {
            return Ok((start, Arc::clone(page)));
        }
        let mut bytes = vec![0; PAGE.min(self.size.saturating_sub(start)) as usize];
        self.library.source.read_exact_at(&mut bytes, self.offset + start).map_err(|_| Error::Io)?;
        if pages.len() >= MAX_PAGES {
            pages.clear();
        }
        let page: Arc<[u8]> = bytes.into();
        pages.insert(start, Arc::clone(&page));
        Ok((start, page))
    }
}

/// `Elf64_Chdr`: kind (1 zlib, 2 zstd), reserved, size, alignment, then the packed bytes.
fn unpack(library: &Library, offset: u64, size: u64) -> Option<Vec<u8>> {
    if size > MAX_UNPACKED {
        return None;
    }
    let mut packed = vec![0; size as usize];
    library.source.read_exact_at(&mut packed, offset).ok()?;
    let format = match u32::from_le_bytes(*packed.first_chunk()?) {
        1 => CompressionFormat::Zlib,
        2 => CompressionFormat::Zstandard,
        _ => return None,
    };
    let uncompressed_size = u64::from_le_bytes(*packed.get(8..)?.first_chunk()?);
    let data = packed.get(24..).filter(|_| uncompressed_size <= MAX_UNPACKED)?;
    Some(CompressedData { format, data, uncompressed_size }.decompress().ok()?.into_owned())
}

impl Reader for PagedReader {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        (self.end - self.at) as usize
    }

    fn empty(&mut self) {
        self.end = self.at;
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        let end = self.at.checked_add(len as u64).filter(|end| *end <= self.end);
        self.end = end.ok_or_else(|| Error::UnexpectedEof(self.offset_id()))?;
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.at.saturating_sub(base.at) as usize
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.at)
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        (self.at..=self.end).contains(&id.0).then(|| (id.0 - self.at) as usize)
    }

    fn find(&self, byte: u8) -> Result<usize> {
        let mut reader = self.clone();
        let mut at = self.at;
        while at < self.end {
            let end = self.end;
            let (start, page) = reader.page_at(at)?;
            let from = (at - start) as usize;
            let until = page.len().min((end - start) as usize);
            if from >= until {
                return Err(Error::Io);
            }
            if let Some(found) = page[from..until].iter().position(|other| *other == byte) {
                return Ok((at - self.at) as usize + found);
            }
            at = start + until as u64;
        }
        Err(Error::UnexpectedEof(self.offset_id()))
    }

    fn skip(&mut self, len: usize) -> Result<()> {
        let at = self.at.checked_add(len as u64).filter(|at| *at <= self.end);
        self.at = at.ok_or_else(|| Error::UnexpectedEof(self.offset_id()))?;
        Ok(())
    }

    fn split(&mut self, len: usize) -> Result<Self> {
        let mut first = self.clone();
        first.truncate(len)?;
        self.skip(len)?;
        Ok(first)
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Owned(self.bytes()?))
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        String::from_utf8(self.bytes()?).map(Cow::Owned).map_err(|_| Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        Ok(Cow::Owned(String::from_utf8_lossy(&self.bytes()?).into_owned()))
    }

    fn read_slice(&mut self, buf: &mut [u8]) -> Result<()> {
        self.copy(self.at, buf)?;
        self.at += buf.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::unwind::Unwinder;

    /// This test program, and the debug information in it.
    fn ourselves() -> (PagedReader, Vec<u8>) {
        let unwinder = Unwinder::new(std::process::id() as i32).unwrap();
        let code = unwinder.modules().at(ourselves as *const () as u64).unwrap();
        let library = code.library.clone().unwrap();
        let section = library.elf.section_in_file(".rodata").unwrap();
        let mut bytes = vec![0; section.size as usize];
        library.source.read_exact_at(&mut bytes, section.offset).unwrap();
        (PagedReader::open(&library, Some(section)), bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn pages_read_as_the_whole(places in prop::collection::vec((any::<u32>(), 0usize..40_000), 1..16)) {
            let (reader, bytes) = ourselves();
            prop_assert_eq!(reader.len(), bytes.len());
            for (at, len) in places {
                let at = at as usize % bytes.len();
                let len = len.min(bytes.len() - at);
                let mut part = reader.clone();
                part.skip(at).unwrap();
                prop_assert_eq!(part.offset_from(&reader), at);
                let mut piece = part.split(len).unwrap();
                prop_assert_eq!(&*piece.to_slice().unwrap(), &bytes[at..at + len]);
                prop_assert_eq!(part.len(), bytes.len() - at - len);
                let zero = bytes[at..at + len].iter().position(|byte| *byte == 0);
                prop_assert_eq!(piece.find(0).ok(), zero);
                if len >= 8 {
                    let word = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
                    prop_assert_eq!(piece.read_u64().unwrap(), word);
                }
                prop_assert!(piece.clone().skip(len + 1).is_err());
                piece.empty();
                prop_assert!(piece.is_empty() && piece.read_u8().is_err());
            }
        }
    }
}
