//! Tables whose lines are found by what they are about: a package may bring thousands of lines, and none of
//! them is to be compared with all others.

use super::looks::Looks;
use std::collections::{BTreeSet, HashMap};

use super::table::Table;

/// What a line is found by.
pub(super) type Keys = fn(&str) -> Vec<String>;

/// A table in which lines are looked up by keys. The lines stay in their order.
#[derive(Debug)]
pub(super) struct IndexedTable {
    /// None where a line was removed.
    lines: Vec<Option<String>>,
    keys: Keys,
    places: HashMap<String, BTreeSet<usize>>,
    is_changed: bool,
    /// How many lines were looked at, for tests of what that costs.
    looks: Looks,
}

impl IndexedTable {
    pub(super) fn new(table: &Table, keys: Keys) -> Self {
        let mut indexed =
            Self { lines: Vec::new(), keys, places: HashMap::new(), is_changed: false, looks: Looks::default() };
        table.lines().for_each(|line| indexed.add(line.to_owned()));
        indexed
    }

    pub(super) fn into_table(self) -> Table {
        Table::of_lines(self.lines.into_iter().flatten().collect(), self.is_changed)
    }

    /// All lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str).inspect(|_| self.looks.note())
    }

    /// The lines with a key, in order.
    pub(super) fn with(&self, key: &str) -> impl Iterator<Item = &str> {
        let places = self.places.get(key).into_iter().flatten();
        places.filter_map(|place| self.lines[*place].as_deref()).inspect(|_| self.looks.note())
    }

    pub(super) fn push(&mut self, line: String) {
        self.add(line);
        self.is_changed = true;
    }

    /// Adds a line unless the very same is there with this key.
    pub(super) fn push_new(&mut self, key: &str, line: String) {
        if !self.with(key).any(|old| old == line) {
            self.push(line);
        }
    }

    /// Removes the lines with a key that `is_gone` says.
    pub(super) fn remove(&mut self, key: &str, is_gone: impl Fn(&str) -> bool) {
        for place in self.places_of(key) {
            if self.lines[place].as_deref().is_some_and(&is_gone) {
                self.take(place);
                self.is_changed = true;
            }
        }
    }

    /// Puts `line` in the place of those with a key, or adds it if there is none.
    pub(super) fn replace_or_push(&mut self, key: &str, line: &str) {
        let places = self.places_of(key);
        if places.is_empty() {
            self.push(line.to_owned());
        }
        places.into_iter().for_each(|place| self.set(place, line.to_owned()));
    }

    /// Puts `line` in the place of the first one with a key, or adds it if there is none.
    pub(super) fn replace_first_or_push(&mut self, key: &str, line: String) {
        match self.places.get(key).and_then(BTreeSet::first).copied() {
            Some(place) => self.set(place, line),
            None => self.push(line),
        }
    }

    /// Replaces the lines with a key for which `change` has another text.
    pub(super) fn rewrite_with(&mut self, key: &str, change: impl Fn(&str) -> Option<String>) {
        for place in self.places_of(key) {
            if let Some(new) = self.lines[place].as_deref().and_then(&change) {
                self.set(place, new);
            }
        }
    }

    /// Replaces all lines for which `change` has another text.
    pub(super) fn rewrite(&mut self, change: impl Fn(&str) -> Option<String>) {
        for place in 0..self.lines.len() {
            self.looks.note();
            if let Some(new) = self.lines[place].as_deref().and_then(&change) {
                self.set(place, new);
            }
        }
    }

    fn places_of(&self, key: &str) -> Vec<usize> {
        self.places.get(key).into_iter().flatten().copied().inspect(|_| self.looks.note()).collect()
    }

    fn add(&mut self, line: String) {
        self.lines.push(None);
        self.put(self.lines.len() - 1, line);
    }

    fn set(&mut self, place: usize, line: String) {
        if self.lines[place].as_ref() != Some(&line) {
            self.take(place);
            self.put(place, line);
            self.is_changed = true;
        }
    }

    fn put(&mut self, place: usize, line: String) {
        for key in (self.keys)(&line) {
            self.places.entry(key).or_default().insert(place);
        }
        self.lines[place] = Some(line);
    }

    fn take(&mut self, place: usize) {
        for key in self.lines[place].take().iter().flat_map(|line| (self.keys)(line)) {
            if let Some(places) = self.places.get_mut(&key) {
                places.remove(&place);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks.so_far()
    }
}
