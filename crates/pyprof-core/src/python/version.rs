//! Which `CPython` a runtime belongs to, from what lies about in its memory and its file.

use super::located::Version;

/// Oldest and newest minor version of Python 3 whose structures are known.
pub const SUPPORTED: std::ops::RangeInclusive<u8> = 8..=15;

/// Is it one of 3.8 to 3.15?
#[must_use]
pub fn is_supported(version: Version) -> bool {
    version.major == 3 && SUPPORTED.contains(&version.minor)
}

/// From `PY_VERSION_HEX` when it is one that a Python 2 or 3 could have.
#[must_use]
pub fn from_hex(hex: u64) -> Option<Version> {
    let version = Version::from_hex(u32::try_from(hex).ok()?);
    let level_exists = [0xa, 0xb, 0xc, 0xf].contains(&(version.level >> 4));
    ((2..=3).contains(&version.major) && version.minor < 64 && level_exists).then_some(version)
}

/// Finds what `sys.version` is made of, `3.10.13 (main, Aug 24 2026, 12:00:00) [GCC 12.2.0]`, in memory.
///
/// `Py_GetVersion` (`Python/getversion.c`) keeps it in a static buffer, filled early at start-up.
#[must_use]
pub fn find_banner(memory: &[u8]) -> Option<Version> {
    memory.windows(2).enumerate().filter(|(_, pair)| matches!(*pair, [b'2' | b'3', b'.'])).find_map(
        |(at, _)| {
            if at > 0 && memory[at - 1] != 0 {
                return None;
            }
            let (version, rest) = parse(&memory[at..])?;
            let rest = rest.strip_prefix(b" (")?;
            let text = &rest[..rest.iter().take(240).position(|&byte| byte == 0)?];
            (text.contains(&b')') && text.contains(&b'[')).then_some(version)
        },
    )
}

/// Finds the string `3.10.13`, whole, among constants. Weaker than [`find_banner`]: other libraries have
/// versions too, so only micro releases of supported versions count.
#[must_use]
pub fn find_constant(memory: &[u8]) -> Option<Version> {
    memory.windows(3).enumerate().filter(|(_, head)| *head == b"\x003.").find_map(|(at, _)| {
        let (version, rest) = parse(&memory[at + 1..])?;
        (rest.first() == Some(&0) && is_supported(version) && version.micro.is_some()).then_some(version)
    })
}

/// From the name of a library or program: `libpython3.8.so.1.0`, `libpython3.13t.so`, `python3.11`.
#[must_use]
pub fn from_file_name(name: &str) -> Option<Version> {
    let after = &name[name.find("python")? + "python".len()..];
    let (version, _) = parse_minor(after.as_bytes())?;
    Some(version)
}

/// `3.8.18`, `3.14.0a7`, `3.15.0rc1+` and what follows.
fn parse(text: &[u8]) -> Option<(Version, &[u8])> {
    let (minor, rest) = parse_minor(text)?;
    let (micro, rest) = number(rest.strip_prefix(b".")?)?;
    let (level, rest) = [(&b"rc"[..], 0xc0), (b"a", 0xa0), (b"b", 0xb0)]
        .into_iter()
        .find_map(|(name, level)| {
            let (serial, rest) = number(rest.strip_prefix(name)?)?;
            (serial < 16).then_some((level | serial, rest))
        })
        .unwrap_or((0xf0, rest));
    let rest = rest.strip_prefix(b"+").unwrap_or(rest);
    Some((Version { micro: Some(micro), level, ..minor }, rest))
}

fn parse_minor(text: &[u8]) -> Option<(Version, &[u8])> {
    let (major, rest) = number(text)?;
    let (minor, rest) = number(rest.strip_prefix(b".")?)?;
    let plausible = (2..=3).contains(&major) && minor < 64;
    plausible.then_some((Version { major, minor, micro: None, level: 0xf0 }, rest))
}

fn number(text: &[u8]) -> Option<(u8, &[u8])> {
    let digits = text.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let value = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((value, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(version: Option<Version>) -> String {
        version.map_or("none".to_owned(), |version| version.to_string())
    }

    #[test]
    fn banners_are_found_whole() {
        let banner = |text: &str| shown(find_banner(format!("junk\0{text}\0").as_bytes()));
        assert_eq!(banner("3.10.13 (main, May  9 2026, 07:40:00) \n[GCC 12.2.0]"), "3.10.13");
        assert_eq!(banner("3.14.0a7+ (main, May  9 2026) [Clang 18]"), "3.14.0a7");
        assert_eq!(banner("3.15.0rc1 (x) [GCC]"), "3.15.0rc1");
        assert_eq!(banner("2.7.18 (default) [GCC]"), "2.7.18");
        assert_eq!(banner("3.10.13 is our favourite (so far)"), "none");
        assert_eq!(banner("13.10.13 (main) [GCC]"), "none");
        assert_eq!(shown(find_banner(b"3.9.1 (cut off [")), "none");
    }

    #[test]
    fn constants_must_be_python_versions() {
        assert_eq!(shown(find_constant(b"\x003.2.0\x003.9.18\x00")), "3.9.18");
        assert_eq!(shown(find_constant(b"\x003.2.0\x00 3.9.18\x00")), "none");
        assert_eq!(shown(find_constant(b"\x003.9\x00")), "none");
    }

    #[test]
    fn file_names_tell_the_minor_version() {
        for (name, version) in [
            ("libpython3.8.so.1.0", "3.8"),
            ("libpython3.13t.so.1.0", "3.13"),
            ("python3.11", "3.11"),
            ("libpython2.7.so", "2.7"),
            ("python3", "none"),
            ("libpython3.so", "none"),
            ("bash", "none"),
        ] {
            assert_eq!(shown(from_file_name(name)), version, "{name}");
        }
    }

    #[test]
    fn hex_versions_are_checked() {
        assert_eq!(shown(from_hex(0x030d_00f0)), "3.13.0");
        assert_eq!(shown(from_hex(0x030d_0010)), "none");
        assert_eq!(shown(from_hex(0x1_030d_00f0)), "none");
        assert_eq!(shown(from_hex(0)), "none");
    }
}
