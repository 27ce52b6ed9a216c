//! Maps from pairs. `collect` sorts the pairs first, and std has that code, some 5 KiB of it, in a program once for each type
//! of pair; inserting one after the other is there in any case.

use std::collections::BTreeMap;

/// As `collect` makes one: of pairs with the same key the last counts.
pub fn map<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_map_is_what_collect_makes() {
        let pairs = [("b", 1), ("a", 2), ("b", 3)];
        assert_eq!(super::map(pairs), pairs.into_iter().collect());
    }
}
