//! Which layout fits a located runtime.

use super::debug_offsets::DebugOffsets;
use super::from_target::{self, Minor};
use super::{
    Layout, python3_8, python3_9, python3_10, python3_11, python3_12, python3_13, python3_14, python3_15,
    traced_refs,
};
use crate::memory::RemoteMemory;
use crate::python::located::{LocatedRuntime, Version};
use crate::{Error, Result};

/// Release level of a final release in [`Version::level`].
const FINAL: u8 = 0xf;
/// Release level of a release candidate; the layout is frozen with the first one.
const CANDIDATE: u8 = 0xc;

/// The layout of the interpreter at `runtime`.
///
/// From 3.13 on, reads the target's debug offsets; before, picks a table and looks whether objects are as it says.
///
/// # Errors
/// [`Error::UnsupportedVersion`] for minor versions, pre-releases and builds it has no layout for,
/// [`Error::Unreadable`] when the debug offsets are missing or contradict themselves.
pub fn for_runtime(memory: &dyn RemoteMemory, pid: i32, runtime: &LocatedRuntime) -> Result<Layout> {
    supported(pid, runtime.version)?;
    let layout = match runtime.version.minor {
        8 => python3_8::LAYOUT,
        9 => python3_9::LAYOUT,
        10 => python3_10::LAYOUT,
        11 => python3_11::LAYOUT,
        12 => python3_12::LAYOUT,
        13 => return from_debug_offsets(memory, pid, runtime, &python3_13::MINOR),
        14 => return from_debug_offsets(memory, pid, runtime, &python3_14::MINOR),
        _ => return from_debug_offsets(memory, pid, runtime, &python3_15::MINOR),
    };
    // Other debug builds keep everything that is read here where it is.
    if traced_refs::has_them(memory, &layout, runtime.address) {
        return Err(Error::UnsupportedVersion {
            pid,
            version: runtime.version.to_string(),
            detail: "it was built with Py_TRACE_REFS, which up to 3.12 makes every object longer".to_owned(),
        });
    }
    Ok(layout)
}

fn from_debug_offsets(
    memory: &dyn RemoteMemory,
    pid: i32,
    runtime: &LocatedRuntime,
    minor: &Minor,
) -> Result<Layout> {
    let table = DebugOffsets::read(memory, pid, runtime, minor.fields)?;
    if (table.version.major, table.version.minor) != (3, minor.number) {
        let detail = format!(
            "{} looked like {}, but its debug offsets say {}",
            runtime.file, runtime.version, table.version
        );
        return Err(Error::Unreadable { pid, detail });
    }
    // The file name may have told no more than the minor version; the table knows the release level.
    supported(pid, table.version)?;
    from_target::layout(&table, minor)
}

/// Refuses versions whose structures are not known for certain.
fn supported(pid: i32, version: Version) -> Result<()> {
    let refuse = |detail: &str| {
        Err(Error::UnsupportedVersion { pid, version: version.to_string(), detail: detail.to_owned() })
    };
    match (version.major, version.minor) {
        (3, 8..=15) => {}
        (3, 16..) | (4.., _) => return refuse("3.8 to 3.15 are; a newer pyprof-rs may know it"),
        _ => return refuse("3.8 to 3.15 are"),
    }
    // Where only the minor version is known (`micro` is None) the level says nothing.
    let level = version.level >> 4;
    if version.micro.is_some() && level != FINAL && level != CANDIDATE {
        return refuse(
            "alpha and beta releases change their structures from one to the next; use a final release",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeMemory;

    const AT: u64 = 0x10_0000;

    fn runtime(minor: u8, micro: Option<u8>, level: u8) -> LocatedRuntime {
        let version = Version { major: 3, minor, micro, level };
        LocatedRuntime { address: AT, size: None, version, file: "libpython".into(), found_by: "symbol" }
    }

    /// Debug offsets of 3.14.0 final with every value 8, under a version of choice.
    fn table(hex: u64) -> Vec<u8> {
        let mut words = vec![8u64; python3_14::MINOR.fields.len()];
        words[0] = u64::from_le_bytes(*b"xdebugpy");
        words[1] = hex;
        words[2] = 0;
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn with_table(bytes: Vec<u8>) -> Result<Layout> {
        let mut memory = FakeMemory::default();
        memory.map(AT, bytes);
        for_runtime(&memory, 7, &runtime(14, None, 0))
    }

    #[test]
    fn old_versions_have_a_table() {
        for minor in 8..=12 {
            let layout = for_runtime(&FakeMemory::default(), 7, &runtime(minor, None, 0)).unwrap();
            assert_eq!(layout.version, (3, minor));
        }
    }

    #[test]
    fn unknown_versions_are_refused_by_name() {
        for (minor, micro, level, name) in [
            (7, Some(16), 0xf0, "3.7.16"),
            (16, Some(0), 0xf0, "3.16.0"),
            (15, Some(0), 0xa3, "3.15.0a3"),
            (12, Some(0), 0xb1, "3.12.0b1"),
        ] {
            let error = for_runtime(&FakeMemory::default(), 7, &runtime(minor, micro, level)).unwrap_err();
            assert_eq!(error.code(), "UNSUPPORTED_VERSION");
            assert!(error.to_string().contains(&format!("CPython {name},")), "{error}");
        }
    }

    #[test]
    fn debug_offsets_that_cannot_be_are_refused() {
        let code = |bytes| with_table(bytes).unwrap_err().code();
        // A pre-release that only the table tells of.
        assert_eq!(code(table(0x030e_00a1)), "UNSUPPORTED_VERSION");
        // Another minor version than the symbol's file.
        assert_eq!(code(table(0x030d_00f0)), "UNREADABLE");
        // All structures eight bytes long.
        assert_eq!(code(table(0x030e_00f0)), "UNREADABLE");
        let mut without_cookie = table(0x030e_00f0);
        without_cookie[0] = b'y';
        assert_eq!(code(without_cookie), "UNREADABLE");
        let mut short = table(0x030e_00f0);
        short.truncate(100);
        assert_eq!(code(short), "UNREADABLE");
    }
}
