//! x86-64: DWARF register numbers (System V ABI, figure 3.36) and what a call looks like.

/// rsp
pub const SP: u16 = 7;
/// The return address' column
pub const RETURN_ADDRESS: u16 = 16;
/// rbp, where code with frame pointers keeps them
pub const FRAME_POINTER: u16 = 6;
/// Registers that a function gives back as it found them: rbx, rbp, r12 to r15
pub const KEPT: [u16; 6] = [3, 6, 12, 13, 14, 15];
/// A return address without a rule was never stored: the thread began here.
pub const RETURNS_BY_REGISTER: bool = false;
/// Bytes before a return address that tell whether it is one
pub const CALL_BYTES: usize = 7;

/// Addresses carry no marks.
pub fn plain(address: u64) -> u64 {
    address
}

/// How the instruction that ends where `before` ends calls, if it is a call.
pub fn call(before: [u8; CALL_BYTES], return_address: u64) -> Option<Call> {
    if before[2] == 0xe8 {
        let distance = i32::from_le_bytes([before[3], before[4], before[5], before[6]]);
        return Some(Call::Direct(return_address.wrapping_add_signed(i64::from(distance))));
    }
    // FF /2 with each way to say where: register, [register], [register + 8 bits], + 32 bits, [rip + 32 bits], with an
    // index.
    let indirect = |at: usize, forms: &[u8]| before[at] == 0xff && forms.contains(&(before[at + 1] & 0xf8));
    let sib = |at: usize, form: u8| before[at] == 0xff && before[at + 1] == form;
    let is_call = indirect(5, &[0xd0, 0x10])
        || indirect(4, &[0x50])
        || sib(4, 0x14)
        || sib(3, 0x54)
        || indirect(1, &[0x90])
        || before[1] == 0xff && before[2] == 0x15
        || sib(0, 0x94)
        || sib(0, 0x14);
    is_call.then_some(Call::Indirect)
}

/// A call instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// To this address: a function, or a stub that jumps to one
    Direct(u64),
    /// To where a register or memory says
    Indirect,
}

/// The pointer that a stub of the procedure linkage table jumps through: `[endbr64] [bnd] jmp *offset(%rip)`.
pub fn stub_slot(code: &[u8; 16], address: u64) -> Option<u64> {
    let mut at = if code.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) { 4 } else { 0 };
    at += usize::from(code[at] == 0xf2);
    let [0xff, 0x25, a, b, c, d] = code[at..at + 6] else { return None };
    let next = address.wrapping_add(at as u64 + 6);
    Some(next.wrapping_add_signed(i64::from(i32::from_le_bytes([a, b, c, d]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_bytes() {
        let call = |code: &[u8]| {
            let mut before = [0x90; CALL_BYTES];
            before[CALL_BYTES - code.len()..].copy_from_slice(code);
            super::call(before, 0x1000)
        };
        assert_eq!(call(&[0xe8, 0x10, 0, 0, 0]), Some(Call::Direct(0x1010)));
        assert_eq!(call(&[0xe8, 0xf0, 0xff, 0xff, 0xff]), Some(Call::Direct(0xff0)));
        let indirect: [&[u8]; 9] = [
            &[0xff, 0xd0],                   // call *%rax
            &[0x41, 0xff, 0xd4],             // call *%r12
            &[0xff, 0x13],                   // call *(%rbx)
            &[0xff, 0x50, 0x18],             // call *0x18(%rax)
            &[0xff, 0x54, 0x24, 0x18],       // call *0x18(%rsp)
            &[0xff, 0x14, 0xc8],             // call *(%rax,%rcx,8)
            &[0xff, 0x90, 0, 1, 0, 0],       // call *0x100(%rax)
            &[0xff, 0x15, 0, 1, 0, 0],       // call *0x100(%rip)
            &[0xff, 0x94, 0x24, 0, 1, 0, 0], // call *0x100(%rsp)
        ];
        for code in indirect {
            assert_eq!(call(code), Some(Call::Indirect), "{code:x?}");
        }
        assert_eq!(call(&[0xc3]), None);
        assert_eq!(call(&[0xff, 0xe0]), None, "a jump");
    }

    #[test]
    fn stubs_name_the_pointer_they_jump_through() {
        let mut code = [0; 16];
        code[..6].copy_from_slice(&[0xff, 0x25, 0x10, 0, 0, 0]);
        assert_eq!(stub_slot(&code, 0x1000), Some(0x1016));
        code[..11].copy_from_slice(&[0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0x10, 0, 0, 0]);
        assert_eq!(stub_slot(&code, 0x1000), Some(0x101b));
        assert_eq!(stub_slot(&[0x90; 16], 0x1000), None);
    }
}
