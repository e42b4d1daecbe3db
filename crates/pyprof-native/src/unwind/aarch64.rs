//! arm64: DWARF register numbers (AADWARF64) and what a call looks like.

/// sp
pub const SP: u16 = 31;
/// x30, the link register
pub const RETURN_ADDRESS: u16 = 30;
/// x29, where code with frame pointers keeps them
pub const FRAME_POINTER: u16 = 29;
/// Registers that a function gives back as it found them: x19 to x29
pub const KEPT: [u16; 11] = [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29];
/// A return address without a rule is still in the link register.
pub const RETURNS_BY_REGISTER: bool = true;
/// Bytes before a return address that tell whether it is one
pub const CALL_BYTES: usize = 4;

/// Without the signature of pointer authentication: user addresses have at most 48 bits where it is in use.
pub fn plain(address: u64) -> u64 {
    address & ((1 << 48) - 1)
}

/// How the instruction before `return_address` calls, if it is a call.
pub fn call(before: [u8; CALL_BYTES], return_address: u64) -> Option<Call> {
    let word = u32::from_le_bytes(before);
    if word >> 26 == 0b10_0101 {
        let distance = i64::from((word << 6).cast_signed() >> 6) * 4;
        return Some(Call::Direct(return_address.wrapping_sub(4).wrapping_add_signed(distance)));
    }
    // BLR, and the forms that check a signature.
    (word & 0xffff_fc1f == 0xd63f_0000 || word & 0xfeff_f800 == 0xd63f_0800).then_some(Call::Indirect)
}

/// A call instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// To this address: a function, or a stub that jumps to one
    Direct(u64),
    /// To where a register says
    Indirect,
}

/// The pointer that a stub jumps through; not read out of its three instructions here, so unknown.
pub fn stub_slot(_code: &[u8; 16], _address: u64) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_bytes() {
        let call = |word: u32| super::call(word.to_le_bytes(), 0x1000);
        assert_eq!(call(0x9400_0004), Some(Call::Direct(0x100c))); // bl .+16
        assert_eq!(call(0x97ff_ffff), Some(Call::Direct(0xff8))); // bl .-4
        assert_eq!(call(0xd63f_0100), Some(Call::Indirect)); // blr x8
        assert_eq!(call(0xd73f_0909), Some(Call::Indirect)); // blraa x8, x9
        assert_eq!(call(0xd63f_091f), Some(Call::Indirect)); // blraaz x8
        assert_eq!(call(0xd65f_03c0), None, "ret");
        assert_eq!(call(0x1400_0004), None, "a branch");
        assert_eq!(plain(0x00aa_ffff_8000_1234), 0xffff_8000_1234);
    }
}
