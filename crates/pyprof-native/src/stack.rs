//! A copy of a thread's stack, from its stack pointer upwards.

/// Bytes of a stack at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackCopy {
    /// Address of the first byte
    pub sp: u64,
    /// What was there, lowest address first
    pub bytes: Vec<u8>,
}

impl StackCopy {
    /// The little-endian word at `address`; `None` outside the copy.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        let start = usize::try_from(address.checked_sub(self.sp)?).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// First address behind the copy.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.sp.saturating_add(self.bytes.len() as u64)
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        (self.sp..self.end()).contains(&address)
    }
}
