//! Readable names: C++, Rust and Cython.

use std::fmt::{self, Write};

use cpp_demangle::{BorrowedSymbol, DemangleOptions};

use super::cython;

/// Longer names are shown as they are: a crafted one can stand for gigabytes of text.
const MAX_MANGLED: usize = 2048;
const MAX_READABLE: usize = 4096;

/// The name as its source has it.
pub(super) fn readable(name: &str) -> String {
    if name.len() > MAX_MANGLED {
        return name.chars().take(MAX_MANGLED).collect();
    }
    cython::readable(name).or_else(|| rust(name)).or_else(|| cpp(name)).unwrap_or_else(|| name.to_owned())
}

fn rust(name: &str) -> Option<String> {
    // Old Rust names look like C++ names; only those with a hash are Rust's.
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut out = Bounded(String::new());
    write!(out, "{demangled:#}").ok()?;
    Some(out.0)
}

fn cpp(name: &str) -> Option<String> {
    // The parts into which compilers split functions are named after the whole.
    let base = name.split('.').next().filter(|base| base.starts_with("_Z"))?;
    let (symbol, _) = BorrowedSymbol::with_tail(base.as_bytes()).ok()?;
    let mut out = Bounded(String::new());
    symbol.structured_demangle(&mut out, &DemangleOptions::new().no_params().no_return_type()).ok()?;
    (!out.0.is_empty()).then_some(out.0)
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_READABLE {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_languages() {
        assert_eq!(readable("_ZN5torch8autograd6Engine7executeEv"), "torch::autograd::Engine::execute");
        assert_eq!(readable("_ZN3foo3barEi.cold"), "foo::bar");
        assert_eq!(readable("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(
            readable("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"),
            "core::fmt::Write::write_fmt"
        );
        assert_eq!(readable("PyObject_Call"), "PyObject_Call");
        assert_eq!(readable("_Zbroken"), "_Zbroken");
        assert_eq!(readable(&"x".repeat(10_000)).len(), MAX_MANGLED);
    }

    #[test]
    fn a_name_that_stands_for_endless_text_stays_as_it_is() {
        // Each parameter repeats the ones before it twice.
        let mut bomb = "_Z1fIiE".to_owned();
        bomb.push_str("1aI");
        for level in 0..30 {
            let _ = write!(bomb, "S{level}_S{level}_");
        }
        bomb.push('E');
        assert!(readable(&bomb).len() <= MAX_READABLE);
    }
}
