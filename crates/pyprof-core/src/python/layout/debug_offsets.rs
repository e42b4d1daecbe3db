//! The target's own `_Py_DebugOffsets`: read whole, and trusted field by field only.

use crate::memory::RemoteMemory;
use crate::python::located::{LocatedRuntime, Version};
use crate::{Error, Result};

/// First eight bytes of `_PyRuntime` from 3.13 on.
const COOKIE: &[u8; 8] = b"xdebugpy";

/// No structure of `CPython` comes near this size in bytes; `PyInterpreterState`, the largest, has 0.3 MiB.
const MAX_STRUCT: u64 = 4 << 20;

/// One target's table, with the names of its fields.
pub(super) struct DebugOffsets {
    pid: i32,
    /// As the table itself says
    pub version: Version,
    /// As the table itself says
    pub free_threaded: bool,
    names: &'static [&'static str],
    values: Vec<u64>,
}

impl DebugOffsets {
    /// Reads the table at the start of `_PyRuntime`. `names` are its fields, cookie first, in their order.
    pub fn read(
        memory: &dyn RemoteMemory,
        pid: i32,
        runtime: &LocatedRuntime,
        names: &'static [&'static str],
    ) -> Result<Self> {
        let bytes = memory
            .read_vec(runtime.address, names.len() * 8)
            .map_err(|error| unreadable(pid, format!("its debug offsets cannot be read: {error}")))?;
        if !bytes.starts_with(COOKIE) {
            // The table is part of the initialised data: where it is missing, this is not `_PyRuntime`.
            return Err(unreadable(pid, format!("no debug offsets at {:#x}", runtime.address)));
        }
        let values: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|word| word.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b)))
            .collect();
        let hex = u32::try_from(values[1])
            .map_err(|_| unreadable(pid, "debug offsets without a version".into()))?;
        if values[2] > 1 {
            return Err(unreadable(pid, "debug offsets with an unknown threading model".into()));
        }
        Ok(Self { pid, version: Version::from_hex(hex), free_threaded: values[2] == 1, names, values })
    }

    /// The field's raw value, `None` when this minor version has no such field.
    pub fn raw(&self, name: &str) -> Option<u64> {
        self.names.iter().position(|field| *field == name).map(|at| self.values[at])
    }

    /// An offset inside `structure` of a field of `width` bytes, aligned and within the structure's size.
    pub fn field(&self, structure: &str, field: &str, width: u64) -> Result<u64> {
        let size = self.size(structure)?;
        let name = format!("{structure}.{field}");
        let offset = self.raw(&name).ok_or_else(|| self.nonsense(&name))?;
        let fits = offset.checked_add(width).is_some_and(|end| end <= size);
        if fits && offset.is_multiple_of(width) { Ok(offset) } else { Err(self.nonsense(&name)) }
    }

    /// As [`Self::field`], for fields that not every minor version has.
    pub fn optional(&self, structure: &str, field: &str, width: u64) -> Result<Option<u64>> {
        match self.raw(&format!("{structure}.{field}")) {
            Some(_) => self.field(structure, field, width).map(Some),
            None => Ok(None),
        }
    }

    /// The size of a structure in bytes, bounded.
    pub fn size(&self, structure: &str) -> Result<u64> {
        let name = format!("{structure}.size");
        let size = self.raw(&name).ok_or_else(|| self.nonsense(&name))?;
        if (8..=MAX_STRUCT).contains(&size) { Ok(size) } else { Err(self.nonsense(&name)) }
    }

    /// The error for a value that cannot be.
    pub fn nonsense(&self, name: &str) -> Error {
        unreadable(self.pid, format!("its debug offsets hold an impossible value for {name}"))
    }
}

fn unreadable(pid: i32, detail: String) -> Error {
    Error::Unreadable { pid, detail }
}
