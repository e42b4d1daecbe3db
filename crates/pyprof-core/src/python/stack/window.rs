//! Which part of a stack has moved lately: the part worth copying twice within a microsecond.

/// Looks after which a movement is forgotten, at the earliest.
const MEMORY: u32 = 64;

/// Extremes of the last [`MEMORY`] to twice as many looks, kept in two buckets that take turns.
#[derive(Debug, Clone, Default)]
pub struct Window {
    current: Option<(u64, u64)>,
    before: Option<(u64, u64)>,
    age: u32,
}

impl Window {
    /// Forgets every movement: the stack is another one now.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// One look is over: `lowest` is where the stack moved at its lowest, `highest` where it ended.
    pub fn observe(&mut self, lowest: u64, highest: u64) {
        let (low, high) = self.current.unwrap_or((lowest, highest));
        self.current = Some((low.min(lowest), high.max(highest)));
        self.age += 1;
        if self.age == MEMORY {
            self.before = self.current.take();
            self.age = 0;
        }
    }

    /// The range that moved, `None` before the first look.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        match (self.current, self.before) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MEMORY, Window};

    #[test]
    fn movement_is_remembered_for_a_while_and_then_forgotten() {
        let mut window = Window::default();
        assert_eq!(window.range(), None);
        window.observe(100, 200);
        for _ in 0..MEMORY {
            window.observe(150, 180);
            assert_eq!(window.range(), Some((100, 200)));
        }
        for _ in 0..2 * MEMORY {
            window.observe(150, 180);
        }
        assert_eq!(window.range(), Some((150, 180)));
    }
}
