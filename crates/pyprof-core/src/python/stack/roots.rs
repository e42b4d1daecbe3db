//! The frames a thread's stack stands on.
//!
//! A frame without a caller is not always a root: a generator that just yielded has none either, nor has a
//! frame object that just returned. So a root must be known.

/// A candidate becomes a root once it was seen in this many looks in a row in which no known root was reached.
const ADOPT_AFTER: u32 = 3;
/// Native threads that call into Python again and again alternate between a few roots.
const MAX_KNOWN: usize = 8;

/// Addresses of known roots, most recently used first.
#[derive(Debug, Default)]
pub struct Roots {
    known: Vec<u64>,
    candidate: u64,
    seen: u32,
}

impl Roots {
    /// Whether stacks are known to stand on `address`.
    #[must_use]
    pub fn knows(&self, address: u64) -> bool {
        self.known.contains(&address)
    }

    /// A known root was reached.
    pub fn reached(&mut self, address: u64) {
        if let Some(index) = self.known.iter().position(|&root| root == address) {
            self.known[..=index].rotate_right(1);
        }
        self.seen = 0;
    }

    /// Both moments of a look ended in `address`, which stood still, and none ended in a known root.
    /// Says whether it counts as a root from now on.
    pub fn offer(&mut self, address: u64) -> bool {
        self.seen = if self.candidate == address { self.seen + 1 } else { 1 };
        self.candidate = address;
        if !self.known.is_empty() && self.seen < ADOPT_AFTER {
            return false;
        }
        self.known.insert(0, address);
        self.known.truncate(MAX_KNOWN);
        self.seen = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Roots;

    #[test]
    fn first_root_is_taken_at_once_and_later_ones_only_after_several_looks() {
        let mut roots = Roots::default();
        assert!(roots.offer(0x10));
        assert!(roots.knows(0x10));
        assert!(!roots.offer(0x20));
        assert!(!roots.offer(0x30));
        assert!(!roots.offer(0x20));
        assert!(!roots.offer(0x20));
        assert!(roots.offer(0x20));
        roots.reached(0x10);
        assert!(roots.knows(0x10) && roots.knows(0x20) && !roots.knows(0x30));
    }
}
