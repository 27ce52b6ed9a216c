//! Sets of byte ranges.

use std::collections::BTreeMap;

/// A set of bytes as ranges; neighbours are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds a range. If a part of it is in the set already, nothing is added, and that part's beginning and length
    /// are the answer.
    pub(super) fn insert(&mut self, start: u64, len: u64) -> Result<(), (u64, u64)> {
        let (mut start, mut end) = (start, start.saturating_add(len));
        let before = self.ranges.range(..=start).next_back().map(|(start, end)| (*start, *end));
        if let Some((_, before_end)) = before.filter(|(_, before_end)| *before_end > start) {
            return Err((start, before_end.min(end) - start));
        }
        if let Some((next_start, next_end)) = self.ranges.range(start..).next().map(|(start, end)| (*start, *end)) {
            if next_start < end {
                return Err((next_start, next_end.min(end) - next_start));
            }
            if next_start == end {
                self.ranges.remove(&next_start);
                end = next_end;
            }
        }
        if let Some((before_start, _)) = before.filter(|(_, before_end)| *before_end == start) {
            start = before_start;
        }
        self.ranges.insert(start, end);
        Ok(())
    }

    /// Takes a range out. If a part of it is not in the set, nothing is taken out, and the answer is false.
    pub(super) fn remove(&mut self, start: u64, len: u64) -> bool {
        let end = start.saturating_add(len);
        let around = self.ranges.range(..=start).next_back().map(|(start, end)| (*start, *end));
        let Some((first, last)) = around.filter(|(_, last)| *last >= end) else { return false };
        self.ranges.remove(&first);
        if first < start {
            self.ranges.insert(first, start);
        }
        if end < last {
            self.ranges.insert(end, last);
        }
        true
    }

    /// The ranges in order, each with its length.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(start, end)| (*start, end - start))
    }

    /// What is here and not in `other`, in order.
    pub(super) fn without(&self, other: &Self) -> Vec<(u64, u64)> {
        let mut left = Vec::new();
        for (start, end) in &self.ranges {
            let mut at = *start;
            let before = other.ranges.range(..=at).next_back();
            let after = other.ranges.range(at + 1..*end);
            for (other_start, other_end) in before.into_iter().chain(after) {
                if *other_start > at {
                    left.push((at, other_start - at));
                }
                at = at.max(*other_end);
            }
            if at < *end {
                left.push((at, end - at));
            }
        }
        left
    }

    /// How many bytes are in the set.
    pub(super) fn bytes(&self) -> u64 {
        self.iter().map(|(_, len)| len).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A set of ranges does what a set of bytes does.
        #[test]
        fn ranges_are_sets_of_bytes(steps in proptest::collection::vec((any::<bool>(), 0_u64..60, 1_u64..12), 0..60)) {
            let (mut ranges, mut bytes) = (RangeSet::default(), std::collections::BTreeSet::new());
            let mut other = (RangeSet::default(), std::collections::BTreeSet::new());
            for (insert, start, len) in steps {
                let range = start..start + len;
                if insert {
                    let taken: Vec<u64> = range.clone().filter(|byte| bytes.contains(byte)).collect();
                    let run = taken.iter().zip(taken.first().copied().unwrap_or(0)..).take_while(|(a, b)| **a == *b).count();
                    match ranges.insert(start, len) {
                        Ok(()) => { prop_assert!(taken.is_empty()); bytes.extend(range); }
                        Err((at, len)) => { prop_assert_eq!((at, len), (taken[0], run as u64)); }
                    }
                } else {
                    let all = range.clone().all(|byte| bytes.contains(&byte));
                    prop_assert_eq!(ranges.remove(start, len), all);
                    if all {
                        bytes.retain(|byte| !range.contains(byte));
                        if other.0.insert(start, len).is_ok() {
                            other.1.extend(range);
                        }
                    }
                }
                prop_assert_eq!(ranges.bytes(), bytes.len() as u64);
            }
            let expand = |ranges: Vec<(u64, u64)>| ranges.into_iter().flat_map(|(start, len)| start..start + len).collect::<Vec<_>>();
            prop_assert_eq!(expand(ranges.iter().collect()), bytes.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(expand(ranges.without(&other.0)), bytes.difference(&other.1).copied().collect::<Vec<_>>());
        }
    }
}
