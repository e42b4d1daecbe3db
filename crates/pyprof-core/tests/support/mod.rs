//! Real Python processes to look at, for every integration test.
//!
//! A target says `ready ...` on its standard output once it is where the test wants it; it is killed when its
//! [`Target`] goes out of scope, and kills itself after five minutes should the test die first.
#![allow(dead_code, unused_imports, reason = "every test program uses its own part")]

mod actor;
mod files;
mod inspect;
mod profiles;
mod pythons;
mod target;

pub use actor::{Fate, NOBODY, act, forbid};
pub use files::{Directory, compile};
pub use inspect::Inspected;
pub use profiles::{frames, names};
pub use pythons::{
    Interpreter, debug_builds, free_threaded, in_other_root, interpreters, libpython, pyenv, system_python,
};
pub use target::{PRELUDE, Target};

/// Says which test could not run here, so that a green result is not read as more than it is.
pub fn skipped(what: &str, reason: &str) {
    eprintln!("skipped: {what} ({reason})");
}
