//! How often lines of a table are looked at. Tests judge it, because the time must not grow with the square of the lines.

#[cfg(test)]
use std::cell::Cell;

/// Counts in tests, and is nothing elsewhere.
#[derive(Debug, Default)]
pub(super) struct Looks {
    #[cfg(test)]
    count: Cell<usize>,
}

impl Looks {
    /// Notes one more.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "it counts in tests only"))]
    pub(super) fn note(&self) {
        #[cfg(test)]
        self.count.set(self.count.get() + 1);
    }

    #[cfg(test)]
    pub(super) fn so_far(&self) -> usize {
        self.count.get()
    }
}
