//! Stacks that really happened, out of memory that keeps changing.

pub mod base;
pub mod call_site;
pub mod chunks;
pub mod climb;
pub mod copies;
pub mod look;
pub mod loose;
pub mod named_call;
pub mod objects;
pub mod pairs;
pub mod pieces;
pub mod prove;
pub mod roots;
pub mod thread;
pub mod window;
