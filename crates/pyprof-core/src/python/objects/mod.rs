//! Python objects as bounded text, read from outside: nothing of the target's code runs for it.

mod dict;
mod instance;
mod number;
mod reader;
mod repr;
mod text;

pub(crate) use dict::{entries, find};
pub(crate) use instance::attribute;
pub(crate) use reader::{Kind, Reader};
pub(crate) use repr::Representer;
pub use repr::{Limits, represent};
