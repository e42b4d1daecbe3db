//! Finds `_PyRuntime` in a process.
//!
//! Files are looked at in the order in which they are likely to hold it: the program, what is called python,
//! then everything else. Each find is checked against live memory: an interpreter in use has a thread state
//! that points back at it.

use std::fs::read_link;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::located::{LocatedRuntime, Version};
use super::version;
use crate::elf::{Elf, Range};
use crate::memory::RemoteMemory;
use crate::process::access::explain_denied;
use crate::process::maps::{self, Mapping};
use crate::process::rights::filter::reading_is_deadly;
use crate::process::root::{ReadAt, TargetFile, TargetRoot};
use crate::process::stat::Stat;
use crate::{Error, Result};

/// Other files than the program and those called python that are opened when nothing was found in these.
const MAX_OTHER_FILES: usize = 512;
/// Memory of one file that is searched for a version or a pointer, in bytes.
const MAX_SEARCH_BYTES: u64 = 16 << 20;
/// Interpreters of a process that are followed.
const MAX_INTERPRETERS: usize = 256;
/// `_Py_DebugOffsets.cookie` (`Include/internal/pycore_debug_offsets.h`, 3.13+)
const COOKIE: &[u8; 8] = b"xdebugpy";
/// `PyThreadState.interp` follows `prev` and `next` in every version (`Include/cpython/pystate.h`).
const THREAD_INTERP: u64 = 16;

/// How far a runtime has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    /// Never started, or finished
    Unused,
    /// Has an interpreter, no thread yet
    Starting,
    /// A thread state points back at its interpreter
    Running,
}

/// Where a runtime keeps what tells its life: offsets in bytes.
#[derive(Debug, Clone, Copy)]
struct Anchors {
    interpreters_head: u64,
    interpreter_next: u64,
    threads_head: u64,
}

/// One mapped ELF file.
struct Image<'a> {
    name: String,
    file: Box<dyn ReadAt + 'a>,
    elf: Elf,
    bias: u64,
}

/// The beginning of a file that cannot be opened any more (an upgraded library, without the right to use
/// `map_files`): its program headers are still in memory, and lead to where its variables lie.
struct FirstPages<'a> {
    memory: &'a dyn RemoteMemory,
    mapping: &'a Mapping,
}

impl ReadAt for FirstPages<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(buf.len() as u64) > self.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.memory.read_exact(self.mapping.start + offset, buf)
    }

    fn size(&self) -> u64 {
        if self.mapping.offset == 0 { self.mapping.len() } else { 0 }
    }
}

/// All running `CPython` runtimes of `pid`, the one in use first.
///
/// # Errors
/// [`Error::NoSuchProcess`], [`Error::ProcessExited`], [`Error::Permission`], [`Error::NotPython`],
/// [`Error::NotReady`] while the interpreter starts, [`Error::UnsupportedVersion`] outside 3.8 to 3.15.
pub fn locate(pid: i32, memory: &dyn RemoteMemory) -> Result<Vec<LocatedRuntime>> {
    let maps = readable(pid, memory)?;
    let root = TargetRoot::open(pid);
    let executable = read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let executable = match executable.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => PathBuf::from(path),
        None => executable,
    };
    let (likely, others) = candidates(&maps, &executable);
    let mut search = Search { memory, maps: &maps, root, found: Vec::new() };
    search.symbols(&likely);
    if search.found.is_empty() {
        search.symbols(&others[..others.len().min(MAX_OTHER_FILES)]);
    }
    if search.best() < Some(Life::Running) {
        search.scan(&likely);
    }
    if search.found.is_empty() {
        search.scan(&others[..others.len().min(MAX_OTHER_FILES)]);
    }
    search.finish(pid, &executable, &likely)
}

/// The memory map of a process whose memory we may read.
///
/// # Errors
/// [`Error::NoSuchProcess`], [`Error::ProcessExited`], [`Error::Permission`], [`Error::NotPython`] for a thread of the
/// kernel.
pub fn readable(pid: i32, memory: &dyn RemoteMemory) -> Result<Vec<Mapping>> {
    if reading_is_deadly() {
        return Err(explain_denied(pid));
    }
    let maps = maps::read(pid).map_err(|error| refused(pid, &error, "reading its memory map"))?;
    if maps.is_empty() {
        return Err(without_memory(pid));
    }
    match probe(pid, memory, &maps) {
        Some(error) => Err(error),
        None => Ok(maps),
    }
}

/// What an error of the kernel at our first touch of a process means.
fn refused(pid: i32, error: &io::Error, operation: &str) -> Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Error::NoSuchProcess { pid },
        Some(Errno::ESRCH) => without_memory(pid),
        Some(Errno::EACCES | Errno::EPERM | Errno::ENOSYS) => explain_denied(pid),
        _ => Error::System {
            operation: format!("{operation} (process {pid})"),
            source: io::Error::from(error.kind()),
        },
    }
}

/// A process without memory is a zombie, a kernel thread, or just gone.
fn without_memory(pid: i32) -> Error {
    if Stat::read(pid).is_ok_and(|stat| stat.is_kernel) {
        let detail = "it is a thread of the kernel".to_owned();
        return Error::NotPython { pid, exe: "kernel".to_owned(), detail };
    }
    Error::ProcessExited { pid }
}

/// Maps can be readable where memory is not (another process's rule); find that out before searching.
fn probe(pid: i32, memory: &dyn RemoteMemory, maps: &[Mapping]) -> Option<Error> {
    let readable = maps.iter().find(|mapping| mapping.permissions.read && mapping.file().is_some())?;
    let error = memory.read_exact(readable.start, &mut [0]).err()?;
    match error.raw_os_error().map(Errno::from_raw) {
        // Unmapped since, or behind the end of its file: says nothing about our rights.
        Some(Errno::EFAULT) => None,
        _ => Some(refused(pid, &error, "reading its memory")),
    }
}

/// The first mapping of each mapped file: likely ones and others, each in the order of their addresses.
fn candidates<'a>(maps: &'a [Mapping], executable: &Path) -> (Vec<&'a Mapping>, Vec<&'a Mapping>) {
    let mut likely = Vec::new();
    let mut others = Vec::new();
    let mut previous = None;
    for mapping in maps {
        let Some(path) = mapping.file() else { continue };
        // A file mapped twice (dlmopen) starts twice.
        let starts = mapping.offset == 0 || previous != Some((mapping.device, mapping.inode));
        previous = Some((mapping.device, mapping.inode));
        let name = maps::file_name(path);
        if !starts || !mapping.permissions.read || mapping.permissions.shared {
            continue;
        }
        let is_program = path == executable || executable.as_os_str().is_empty();
        if is_program || name.starts_with("libpython") || name.starts_with("python") {
            likely.push(mapping);
        } else {
            others.push(mapping);
        }
    }
    (likely, others)
}

struct Search<'a> {
    memory: &'a dyn RemoteMemory,
    maps: &'a [Mapping],
    root: TargetRoot,
    found: Vec<(Life, LocatedRuntime)>,
}

impl<'a> Search<'a> {
    fn best(&self) -> Option<Life> {
        self.found.iter().map(|(life, _)| *life).max()
    }

    fn open(&self, mapping: &'a Mapping) -> Option<Image<'a>> {
        let file = self.root.open_mapped(mapping);
        let file = file.filter(|file| file.exact || self.same_contents(file, mapping));
        let file: Box<dyn ReadAt + 'a> = match file {
            Some(file) => Box::new(file),
            None => Box::new(FirstPages { memory: self.memory, mapping }),
        };
        let elf = Elf::parse(&*file)?;
        let bias = elf.bias(mapping.start, mapping.offset)?;
        let name = mapping.file()?.to_string_lossy().into_owned();
        Some(Image { name, file, elf, bias })
    }

    /// Compares the first page, which holds the headers and most often the build id.
    fn same_contents(&self, file: &TargetFile, mapping: &Mapping) -> bool {
        let len = file.size().min(mapping.len()).min(4096) as usize;
        let mut ours = vec![0; len];
        let Ok(theirs) = self.memory.read_vec(mapping.start, len) else { return false };
        file.read_exact_at(&mut ours, mapping.offset).is_ok() && ours == theirs
    }

    fn symbols(&mut self, mappings: &[&'a Mapping]) {
        for mapping in mappings {
            if let Some(image) = self.open(mapping) {
                self.by_symbol(&image);
            }
        }
    }

    fn by_symbol(&mut self, image: &Image<'_>) -> Option<()> {
        let [runtime, py_version] = image.elf.symbols(&*image.file, ["_PyRuntime", "Py_Version"]);
        let (range, found_by) = match (runtime, image.elf.section(".PyRuntime")) {
            (Some(range), _) => (range, "symbol"),
            (None, Some(range)) => (range, "section"),
            (None, None) => return None,
        };
        let address = image.bias.wrapping_add(range.address);
        let version = self.version(image, address, py_version)?;
        self.keep(image, address, Some(range.size), version, found_by);
        Some(())
    }

    fn keep(
        &mut self,
        image: &Image<'_>,
        address: u64,
        size: Option<u64>,
        version: Version,
        by: &'static str,
    ) {
        let life = self.anchors(address, version).map_or(Life::Unused, |anchors| self.life(address, anchors));
        let known = self.found.iter().any(|(_, runtime)| runtime.address == address);
        if !known {
            let size = size.filter(|&size| size > 0);
            let file = image.name.clone();
            self.found.push((life, LocatedRuntime { address, size, version, file, found_by: by }));
        }
    }

    /// From the surest source to the weakest.
    fn version(&self, image: &Image<'_>, runtime: u64, py_version: Option<Range>) -> Option<Version> {
        let debug_offsets = || {
            let cookie_and_version = self.memory.read_vec(runtime, 16).ok()?;
            let (cookie, hex) = cookie_and_version.split_first_chunk::<8>()?;
            let hex = u64::from_le_bytes(hex.try_into().ok()?);
            (cookie == COOKIE).then(|| version::from_hex(hex))?
        };
        let symbol = || {
            let address = image.bias.wrapping_add(py_version?.address);
            version::from_hex(self.memory.read_u64(address).ok()?)
        };
        debug_offsets().or_else(symbol).or_else(|| self.version_by_text(image))
    }

    fn version_by_text(&self, image: &Image<'_>) -> Option<Version> {
        let banner = || {
            let mut ranges = image.elf.writable();
            ranges.find_map(|range| version::find_banner(&self.read_range(image, range)))
        };
        let constant = || {
            let ranges = image.elf.constants();
            ranges.into_iter().find_map(|range| version::find_constant(&self.read_range(image, range)))
        };
        let name = || version::from_file_name(&maps::file_name(Path::new(&image.name)));
        banner().or_else(constant).or_else(name)
    }

    /// A bounded part of the target's memory; empty when it cannot be read.
    fn read_range(&self, image: &Image<'_>, range: Range) -> Vec<u8> {
        let start = image.bias.wrapping_add(range.address);
        let end = start.saturating_add(range.size.min(MAX_SEARCH_BYTES));
        // The file's word for its size is not taken: only what is mapped is read.
        let mut bytes = Vec::new();
        for mapping in self.maps.iter().filter(|mapping| mapping.start < end && start < mapping.end) {
            let (from, to) = (mapping.start.max(start), mapping.end.min(end));
            if bytes.len() as u64 != from - start {
                break;
            }
            let Ok(part) = self.memory.read_vec(from, (to - from) as usize) else { break };
            bytes.extend_from_slice(&part);
        }
        bytes
    }

    fn anchors(&self, runtime: u64, version: Version) -> Option<Anchors> {
        if version.major != 3 {
            return None;
        }
        // `struct _runtime_state` and `struct _is` (`Include/internal/pycore_runtime.h`, `pycore_interp.h`)
        let fixed = |interpreters_head, threads_head| {
            Some(Anchors { interpreters_head, interpreter_next: 0, threads_head })
        };
        match version.minor {
            8..=10 => fixed(32, 8),
            11 => fixed(40, 16),
            12 => fixed(40, 72),
            13.. => {
                // `_Py_DebugOffsets`: runtime_state.interpreters_head, interpreter_state.next, .threads_head
                let table =
                    self.memory.read_vec(runtime, 80).ok().filter(|table| table.starts_with(COOKIE))?;
                let field = |at: usize| {
                    let bytes = table.get(at..at + 8)?.try_into().ok()?;
                    Some(u64::from_le_bytes(bytes)).filter(|offset| *offset < 1 << 24 && offset % 8 == 0)
                };
                Some(Anchors {
                    interpreters_head: field(40)?,
                    interpreter_next: field(64)?,
                    threads_head: field(72)?,
                })
            }
            _ => None,
        }
    }

    fn life(&self, runtime: u64, anchors: Anchors) -> Life {
        let word =
            |address: u64| self.memory.read_u64(address).ok().filter(|&word| word != 0 && word % 8 == 0);
        let Some(mut interpreter) = word(runtime.wrapping_add(anchors.interpreters_head)) else {
            return Life::Unused;
        };
        // The newest interpreter comes first and may have no thread yet.
        for _ in 0..MAX_INTERPRETERS {
            let thread = word(interpreter.wrapping_add(anchors.threads_head));
            let back = thread.and_then(|thread| word(thread.wrapping_add(THREAD_INTERP)));
            if back == Some(interpreter) {
                return Life::Running;
            }
            match word(interpreter.wrapping_add(anchors.interpreter_next)) {
                Some(next) => interpreter = next,
                None => break,
            }
        }
        Life::Starting
    }

    fn finish(mut self, pid: i32, executable: &Path, likely: &[&Mapping]) -> Result<Vec<LocatedRuntime>> {
        let exe = executable.to_string_lossy().into_owned();
        // Stable: among equals the program's own, then the lowest address, comes first.
        self.found.sort_by_key(|(life, _)| std::cmp::Reverse(*life));
        let unsupported = |version: Version| Error::UnsupportedVersion {
            pid,
            version: version.to_string(),
            detail: "this build knows CPython 3.8 to 3.15".to_owned(),
        };
        let Some((life, first)) = self.found.first() else {
            let named = || {
                let names = likely.iter().filter_map(|mapping| mapping.file());
                names.map(maps::file_name).find_map(|name| version::from_file_name(&name))
            };
            if let Some(version) = named() {
                if version::is_supported(version) {
                    let detail = format!("it is called Python {version}, but no _PyRuntime was found in it");
                    return Err(Error::NotPython { pid, exe, detail });
                }
                return Err(unsupported(version));
            }
            let detail = "no _PyRuntime in any file it has mapped".to_owned();
            return Err(Error::NotPython { pid, exe, detail });
        };
        if !version::is_supported(first.version) {
            return Err(unsupported(first.version));
        }
        if *life < Life::Running {
            return Err(Error::NotReady { pid });
        }
        let running = self
            .found
            .into_iter()
            .filter(|(life, runtime)| *life == Life::Running && version::is_supported(runtime.version));
        Ok(running.map(|(_, runtime)| runtime).collect())
    }

    /// Looks for the debug offsets' cookie, or for a pointer to an interpreter that has a thread pointing back.
    fn scan(&mut self, mappings: &[&'a Mapping]) {
        for mapping in mappings {
            if let Some(image) = self.open(mapping) {
                self.scan_image(&image);
            }
        }
    }

    fn scan_image(&mut self, image: &Image<'_>) {
        for range in image.elf.writable() {
            let start = image.bias.wrapping_add(range.address);
            let bytes = self.read_range(image, range);
            // Fields are aligned in memory, not in the range.
            let skip = (start.wrapping_neg() % 8) as usize;
            let words: Vec<(u64, u64)> = bytes
                .get(skip..)
                .unwrap_or_default()
                .as_chunks::<8>()
                .0
                .iter()
                .enumerate()
                .map(|(i, word)| (start + (skip + i * 8) as u64, u64::from_le_bytes(*word)))
                .collect();
            for &(address, _) in words.iter().filter(|(_, word)| *word == u64::from_le_bytes(*COOKIE)) {
                if let Some(version) = self.version(image, address, None) {
                    self.keep(image, address, None, version, "scan");
                }
            }
            let Some(version) = self.version_by_text(image).filter(|version| version.major == 3) else {
                continue;
            };
            let Some(anchors) = self.anchors(start, version).filter(|_| version.minor < 13) else { continue };
            if let Some(head) = self.pointing_back(&words, anchors) {
                let runtime = head.wrapping_sub(anchors.interpreters_head);
                self.keep(image, runtime, None, version, "scan");
            }
        }
    }

    /// The first of `words` (address, value) that points to an interpreter with a thread that points back.
    fn pointing_back(&self, words: &[(u64, u64)], anchors: Anchors) -> Option<u64> {
        let writable: Vec<(u64, u64)> = self
            .maps
            .iter()
            .filter(|mapping| mapping.permissions.write && mapping.permissions.read)
            .map(|mapping| (mapping.start, mapping.end))
            .collect();
        let in_writable = |address: u64| {
            let at = writable.partition_point(|&(start, _)| start <= address);
            at > 0 && address.saturating_add(8) <= writable[at - 1].1
        };
        let word = |address: u64| {
            in_writable(address).then(|| self.memory.read_u64(address).ok())?.filter(|word| word % 8 == 0)
        };
        let points_back = |interpreter: u64| {
            let thread = word(interpreter.wrapping_add(anchors.threads_head));
            thread.and_then(|thread| word(thread.wrapping_add(THREAD_INTERP))) == Some(interpreter)
        };
        // `struct pyinterpreters` (`Include/internal/pycore_runtime.h`) is head, main, next_id; other variables
        // point to interpreters too.
        let mut triples = words.windows(3);
        triples.find_map(|triple| {
            let &[(address, head), (_, main), (_, next_id)] = triple else { return None };
            let pointers = [head, main].iter().all(|&value| value % 8 == 0 && in_writable(value));
            let plausible = pointers && (1..1 << 32).contains(&next_id);
            (plausible && points_back(main) && (head == main || points_back(head))).then_some(address)
        })
    }
}
