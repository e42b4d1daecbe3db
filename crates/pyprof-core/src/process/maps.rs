//! `/proc/PID/maps`: what a process has mapped, where, and from which file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// No more of a maps file is read than this, in bytes: a hundred times what `vm.max_map_count` allows by
/// default with short names, and a bound for a target that maps without end.
const MAX_MAPS_BYTES: u64 = 64 << 20;

/// One line of `/proc/PID/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address
    pub start: u64,
    /// First address behind it
    pub end: u64,
    /// What the target may do there
    pub permissions: Permissions,
    /// Where in the file it starts, in bytes
    pub offset: u64,
    /// Device of the file, as `makedev` packs it; 0 for memory without a file
    pub device: u64,
    /// Inode of the file; 0 for memory without a file
    pub inode: u64,
    /// The file, `[heap]` and the like, or `None` for anonymous memory
    pub path: Option<PathBuf>,
    /// The file has been unlinked or replaced since it was mapped
    pub deleted: bool,
}

/// The letters `rwxp` of a maps line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)] // four letters, four flags
pub struct Permissions {
    /// `r`
    pub read: bool,
    /// `w`
    pub write: bool,
    /// `x`
    pub execute: bool,
    /// `s` instead of `p`
    pub shared: bool,
}

impl Mapping {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Never true for what [`parse_line`] returns; here because [`Mapping::len`] is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Does `address` lie in it?
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The path when a file of the file system is behind this mapping (not `[heap]`, not anonymous memory).
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref().filter(|path| self.inode != 0 && path.is_absolute())
    }
}

/// What `pid` has mapped, by address. Empty for kernel threads and zombies.
pub fn read(pid: i32) -> io::Result<Vec<Mapping>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?.take(MAX_MAPS_BYTES).read_to_end(&mut text)?;
    Ok(parse(&text))
}

/// Parses a maps file; lines that do not look like one are left out.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mapping> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

/// `START-END rwxp OFFSET MAJOR:MINOR INODE   PATH`
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let (range, rest) = word(line)?;
    let (permissions, rest) = word(rest)?;
    let (offset, rest) = word(rest)?;
    let (device, rest) = word(rest)?;
    let (inode, rest) = word(rest)?;
    let (start, end) = pair(range, '-')?;
    let (major, minor) = pair(device, ':')?;
    let [read, write, execute, sharing, ..] = *permissions.as_bytes() else { return None };
    let name = rest.trim_ascii_start();
    let (name, deleted) = match name.strip_suffix(b" (deleted)") {
        Some(name) if name.starts_with(b"/") => (name, true),
        _ => (name, false),
    };
    (start < end).then_some(())?;
    Some(Mapping {
        start,
        end,
        permissions: Permissions {
            read: read == b'r',
            write: write == b'w',
            execute: execute == b'x',
            shared: sharing == b's',
        },
        offset: u64::from_str_radix(offset, 16).ok()?,
        device: nix::sys::stat::makedev(major, minor),
        inode: inode.parse().ok()?,
        path: (!name.is_empty()).then(|| unescape(name)),
        deleted,
    })
}

/// The first word of a line, and what follows the space behind it.
fn word(line: &[u8]) -> Option<(&str, &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let word = std::str::from_utf8(&line[..end]).ok().filter(|word| !word.is_empty())?;
    Some((word, line.get(end + 1..).unwrap_or_default()))
}

fn pair(text: &str, separator: char) -> Option<(u64, u64)> {
    let (a, b) = text.split_once(separator)?;
    Some((u64::from_str_radix(a, 16).ok()?, u64::from_str_radix(b, 16).ok()?))
}

/// The kernel writes a line feed in a path as `\012` and leaves every other byte, even a backslash, alone.
fn unescape(name: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(br"\012") {
            out.push(b'\n');
            rest = tail;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

/// The last component of a path as text for comparing; empty when it has none.
#[must_use]
pub fn file_name(path: &Path) -> String {
    path.file_name().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_understood() {
        let text = br"00400000-0041f000 r--p 00001000 fe:01 42                         /usr/bin/with a space
7f00-7f10 rw-s 00000000 00:05 7   /tmp/line\012feed (deleted)
7f10-7f20 rw-p 00000000 00:00 0
7f20-7f30 rw-p 00000000 00:00 0          [heap]
rubbish
7f40-7f30 rw-p 00000000 00:00 0
zz-7f30 rw-p 00000000 00:00 0
";
        let maps = parse(text);
        assert_eq!(maps.len(), 4);
        assert_eq!((maps[0].start, maps[0].end, maps[0].offset), (0x40_0000, 0x41_f000, 0x1000));
        assert_eq!((maps[0].device, maps[0].inode), (nix::sys::stat::makedev(0xfe, 1), 42));
        assert_eq!(maps[0].file(), Some(Path::new("/usr/bin/with a space")));
        assert!(maps[0].permissions.read && !maps[0].permissions.write && !maps[0].permissions.shared);
        assert_eq!(maps[1].path.as_deref(), Some(Path::new("/tmp/line\nfeed")));
        assert!(maps[1].deleted && maps[1].permissions.shared);
        assert_eq!(maps[2].path, None);
        assert_eq!(maps[3].path.as_deref(), Some(Path::new("[heap]")));
        assert_eq!(maps[3].file(), None);
    }

    #[test]
    fn our_own_maps_hold_this_function_in_this_binary() {
        let address = our_own_maps_hold_this_function_in_this_binary as *const () as u64;
        let maps = read(std::process::id() as i32).unwrap();
        let here = maps.iter().find(|mapping| mapping.contains(address)).unwrap();
        assert!(here.permissions.execute);
        assert_eq!(here.file(), Some(std::env::current_exe().unwrap().as_path()));
    }
}
