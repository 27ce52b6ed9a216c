//! The last word about each subject, for somebody who comes for it when he can.
//!
//! The engine may be in one call for minutes. What plugins say and what the watch finds meanwhile must not pile up, and of
//! either only the last counts.

use std::sync::{Arc, Mutex, PoisonError};

/// Shared between who says it and who takes it.
#[derive(Debug)]
pub(super) struct Latest<K, V>(Arc<Mutex<Vec<(K, V)>>>);

impl<K: PartialEq, V> Latest<K, V> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Takes the place of what was last said about the same. Answers whether there was nothing at all, so that somebody has
    /// to be told.
    pub(super) fn put(&self, subject: K, word: V) -> bool {
        self.with(|words| {
            let was_empty = words.is_empty();
            words.retain(|(other, _)| *other != subject);
            words.push((subject, word));
            was_empty
        })
    }

    /// Everything, the oldest first.
    pub(super) fn take(&self) -> Vec<(K, V)> {
        self.with(std::mem::take)
    }

    /// The oldest, and whether there is more.
    pub(super) fn take_one(&self) -> Option<(V, bool)> {
        self.with(|words| {
            let oldest = if words.is_empty() { None } else { Some(words.remove(0).1) };
            oldest.map(|word| (word, !words.is_empty()))
        })
    }

    fn with<T>(&self, action: impl FnOnce(&mut Vec<(K, V)>) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K, V> Clone for Latest<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_about_each_subject_waits() {
        let latest = Latest::new();
        assert_eq!(latest.take_one(), None);
        assert!(latest.put("a", 1), "somebody has to be told");
        for number in 2..1000 {
            assert!(!latest.put("b", number));
        }
        assert!(!latest.put("a", 1000));
        assert_eq!(latest.take_one(), Some((999, true)));
        assert_eq!(latest.take(), [("a", 1000)]);
        assert!(latest.put("a", 1001));
        assert_eq!(latest.take_one(), Some((1001, false)));
    }
}
