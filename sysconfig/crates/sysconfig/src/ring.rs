//! The last entries of something that never ends.

use std::collections::VecDeque;

use crate::text::json_bytes;

/// Bytes that an answer's entries may have together, as JSON; far below the longest line of the protocol.
const ANSWER_BYTES: usize = 1024 * 1024;

/// The newest entries, numbered from 1. Older ones are forgotten.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    entries: VecDeque<T>,
    /// The number of the newest entry.
    last: u64,
    capacity: usize,
}

impl<T: Clone + serde::Serialize> Ring<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), last: 0, capacity }
    }

    /// Adds what `make` makes of the entry's number.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> T) {
        self.last += 1;
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(make(self.last));
    }

    /// The number of the newest entry; 0 when there never was one.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The newest entries that are wanted and fit into an answer, the oldest of them first: those with numbers above
    /// `after`, at most `limit`.
    pub(crate) fn select(&self, after: u64, limit: usize, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let fresh = usize::try_from(self.last.saturating_sub(after)).unwrap_or(usize::MAX);
        let mut left = ANSWER_BYTES;
        let newest = self.entries.iter().rev().take(fresh).filter(|entry| wanted(entry)).take(limit);
        let fitting = newest.take_while(|entry| {
            let size = json_bytes(*entry);
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let mut entries: Vec<T> = fitting.cloned().collect();
        entries.reverse();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_found_by_number() {
        let mut ring = Ring::new(3);
        assert_eq!((ring.last(), ring.select(0, 9, |_| true)), (0, vec![]));
        for _ in 0..5 {
            ring.push(|number| number);
        }
        assert_eq!(ring.select(0, 9, |_| true), [3, 4, 5]);
        assert_eq!(ring.select(4, 9, |_| true), [5]);
        assert_eq!(ring.select(5, 9, |_| true), [0_u64; 0]);
        assert_eq!(ring.select(99, 9, |_| true), [0_u64; 0], "of a daemon that was restarted meanwhile");
        assert_eq!(ring.select(0, 2, |_| true), [4, 5], "the newest have precedence");
        assert_eq!(ring.select(0, 9, |number| *number != 4), [3, 5]);
        assert_eq!(ring.last(), 5);
    }

    #[test]
    fn an_answer_stays_far_below_the_longest_line() {
        let mut ring = Ring::new(10);
        for _ in 0..10 {
            ring.push(|_| "x".repeat(ANSWER_BYTES / 4));
        }
        assert_eq!(ring.select(0, 10, |_| true).len(), 3);
    }
}
