//! Reads true Python stacks out of running `CPython` processes.
//!
//! The target is never stopped, never written to, and its binary is never run: all that happens to it is
//! `process_vm_readv`. Memory of the target is hostile input: every pointer, length and depth is bounded.

pub mod attach;
pub mod elf;
pub mod error;
pub mod memory;
pub mod process;
pub mod profile;
pub mod python;
pub mod sampler;
pub mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::{Error, Result};
