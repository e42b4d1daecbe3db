//! Native and kernel frames for the Python stacks of `pyprof-core`, merged in their true order.
//!
//! The target is not stopped here either. What this crate is given are the registers and a copy of the stack of a
//! thread at one moment: of a blocked thread from `/proc` ([`blocked`]), of a running one from its own interrupt. It
//! unwinds them ([`unwind`]), puts Python's frames in by address ([`merge`]) and names what is native ([`symbols`])
//! and the kernel's ([`kernel`]).
//!
//! Files and memory of the target are hostile input: nothing is mapped, everything is bounded.

pub mod blocked;
pub mod bpf;
pub mod doctor;
pub mod dump;
pub mod engine;
pub mod interrupts;
pub mod kernel;
pub mod look;
pub mod merge;
pub mod modules;
pub mod perf;
pub mod present;
pub mod regs;
pub mod rights;
pub mod stack;
pub mod symbols;
pub mod unwind;
pub mod waits;

pub use kernel::Kernel;
pub use merge::{Merged, Merger, Problem, Slot};
pub use modules::Libraries;
pub use regs::UserRegs;
pub use rights::Rights;
pub use stack::StackCopy;
pub use symbols::{NativeSymbol, Symbolizer};
pub use unwind::{Hints, NativeFrame, Unwinder, Unwound};
