//! `CPython` seen from outside: where its state lies, which version it is, and what its structures mean.

pub mod bytecode;
pub mod code;
pub mod code_cache;
pub mod exceptions;
pub mod frame;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_reader;
pub mod layout;
pub mod lines;
pub mod locals;
pub mod locate;
pub mod located;
pub mod objects;
pub mod opcodes;
pub mod reader;
pub mod shared;
pub mod stack;
pub mod thread_names;
pub mod unicode;
pub mod version;
