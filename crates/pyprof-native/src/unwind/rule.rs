//! One step from a frame to its caller.

use gimli::{Encoding, EndianSlice, Evaluation, EvaluationResult, LittleEndian, Location, Value};

use super::{Stop, arch};
use crate::regs::UserRegs;
use crate::stack::StackCopy;

/// Steps of one expression; those of real binaries have fewer than twenty.
const MAX_STEPS: u32 = 1000;

/// Where the canonical frame address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A register and an offset
    Register(u16, i64),
    /// A DWARF expression
    Expression(Box<[u8]>),
}

/// How the caller's value of a register is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// It was not touched
    Same,
    /// It is lost
    Unknown,
    /// In memory, at this distance from the canonical frame address
    At(i64),
    /// It is the canonical frame address and this
    Value(i64),
    /// In another register
    Register(u16),
    /// In memory where an expression says
    AtExpression(Box<[u8]>),
    /// What an expression says
    ValueOfExpression(Box<[u8]>),
    /// This
    Constant(u64),
}

/// What finds the caller of a frame that stands at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// First address of the function (of the file)
    pub function: u64,
    /// The canonical frame address
    pub cfa: Base,
    /// `None`: it has no rule
    pub return_address: Option<Restore>,
    /// Registers that the function has put away
    pub kept: Vec<(u16, Restore)>,
    /// Code that the kernel returns to from a signal handler: what called it was interrupted, it did not call
    pub is_signal: bool,
    /// How expressions are encoded
    pub encoding: Encoding,
}

impl Rule {
    /// The canonical frame address with these registers.
    pub fn cfa(&self, regs: &UserRegs, stack: &StackCopy) -> Result<u64, Stop> {
        match &self.cfa {
            Base::Register(register, offset) => Ok(get(regs, *register)?.wrapping_add_signed(*offset)),
            Base::Expression(bytes) => self.evaluate(bytes, None, regs, stack),
        }
    }

    /// The caller's registers; `cfa` as [`Rule::cfa`] says.
    pub fn caller(&self, cfa: u64, regs: &UserRegs, stack: &StackCopy) -> Result<UserRegs, Stop> {
        let return_address = match &self.return_address {
            None if arch::RETURNS_BY_REGISTER => get(regs, arch::RETURN_ADDRESS)?,
            Some(Restore::Same) => get(regs, arch::RETURN_ADDRESS)?,
            None | Some(Restore::Unknown) => return Err(Stop::Root),
            Some(restore) => self.restore(restore, cfa, arch::RETURN_ADDRESS, regs, stack)?,
        };
        let mut caller = UserRegs::new(arch::plain(return_address), cfa);
        for register in arch::KEPT {
            let rule = self.kept.iter().find(|(kept, _)| *kept == register);
            let value = match rule {
                None => regs.get(register),
                // A register that cannot be had matters only when somebody needs it.
                Some((_, restore)) => self.restore(restore, cfa, register, regs, stack).ok(),
            };
            caller.set(register, value);
        }
        Ok(caller)
    }

    /// The lowest address at which the function has put a register away.
    pub fn lowest(&self, cfa: u64) -> u64 {
        let at = |restore: &Restore| match restore {
            Restore::At(offset) => Some(cfa.wrapping_add_signed(*offset)),
            _ => None,
        };
        self.kept.iter().filter_map(|(_, restore)| at(restore)).min().unwrap_or(cfa)
    }

    fn restore(
        &self,
        restore: &Restore,
        cfa: u64,
        register: u16,
        regs: &UserRegs,
        stack: &StackCopy,
    ) -> Result<u64, Stop> {
        let word = |address| stack.word(address).ok_or(Stop::Unread(address));
        match restore {
            Restore::Same => get(regs, register),
            Restore::Unknown => Err(Stop::NeedsRegister(register)),
            Restore::At(offset) => word(cfa.wrapping_add_signed(*offset)),
            Restore::Value(offset) => Ok(cfa.wrapping_add_signed(*offset)),
            Restore::Register(other) => get(regs, *other),
            Restore::AtExpression(bytes) => word(self.evaluate(bytes, Some(cfa), regs, stack)?),
            Restore::ValueOfExpression(bytes) => self.evaluate(bytes, Some(cfa), regs, stack),
            Restore::Constant(value) => Ok(*value),
        }
    }

    fn evaluate(
        &self,
        bytes: &[u8],
        initial: Option<u64>,
        regs: &UserRegs,
        stack: &StackCopy,
    ) -> Result<u64, Stop> {
        let mut evaluation = Evaluation::new(EndianSlice::new(bytes, LittleEndian), self.encoding);
        evaluation.set_max_iterations(MAX_STEPS);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut result = evaluation.evaluate();
        loop {
            result = match result.map_err(|_| Stop::Nonsense)? {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(get(regs, register.0)?))
                }
                EvaluationResult::RequiresMemory { address, size: 8, space: None, .. } => {
                    let word = stack.word(address).ok_or(Stop::Unread(address))?;
                    evaluation.resume_with_memory(Value::Generic(word))
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    evaluation.resume_with_call_frame_cfa(initial.ok_or(Stop::Nonsense)?)
                }
                _ => return Err(Stop::Nonsense),
            };
        }
        match evaluation.as_result() {
            [piece] => match piece.location {
                Location::Address { address } => Ok(address),
                Location::Value { value } => value.to_u64(!0).map_err(|_| Stop::Nonsense),
                _ => Err(Stop::Nonsense),
            },
            _ => Err(Stop::Nonsense),
        }
    }
}

fn get(regs: &UserRegs, register: u16) -> Result<u64, Stop> {
    match register {
        arch::SP => Ok(regs.sp),
        arch::RETURN_ADDRESS if !arch::RETURNS_BY_REGISTER => Ok(regs.ip),
        register => regs.get(register).ok_or(Stop::NeedsRegister(register)),
    }
}
