//! What is known of an interpreter before its first structure is read.

use std::fmt;

/// A `CPython` version as `PY_VERSION_HEX` spells it (`Include/patchlevel.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 3
    pub major: u8,
    /// 8 to 15
    pub minor: u8,
    /// The micro release; `None` when only the minor version could be found (a library's file name).
    pub micro: Option<u8>,
    /// Release level and serial: `0xf0` is final, `0xa1` alpha 1, `0xb2` beta 2, `0xc1` candidate 1.
    pub level: u8,
}

impl Version {
    /// From `PY_VERSION_HEX`: 0x030d00f0 is 3.13.0 final.
    #[must_use]
    pub fn from_hex(hex: u32) -> Self {
        let [major, minor, micro, level] = hex.to_be_bytes();
        Self { major, minor, micro: Some(micro), level }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if let Some(micro) = self.micro {
            write!(f, ".{micro}")?;
        }
        match self.level >> 4 {
            0xa => write!(f, "a{}", self.level & 0xf),
            0xb => write!(f, "b{}", self.level & 0xf),
            0xc => write!(f, "rc{}", self.level & 0xf),
            _ => Ok(()),
        }
    }
}

/// One `_PyRuntime` in a process. A process can hold several: a second libpython, an embedded copy.
#[derive(Debug, Clone)]
pub struct LocatedRuntime {
    /// Address of `_PyRuntime` in the target.
    pub address: u64,
    /// Size in bytes of the symbol or of the `.PyRuntime` section; `None` when only a scan found it.
    pub size: Option<u64>,
    /// Which `CPython` it belongs to.
    pub version: Version,
    /// The file that holds it, as the target names it.
    pub file: String,
    /// How it was found, for `doctor` and error messages: `symbol`, `section`, `scan`.
    pub found_by: &'static str,
}
