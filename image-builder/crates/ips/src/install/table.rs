//! Line-oriented tables below `/etc`, edited in place: what is not touched keeps its bytes and its place.

/// The lines of a file, without their newlines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    lines: Vec<String>,
    is_changed: bool,
}

impl Table {
    pub(super) fn new(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect(), is_changed: false }
    }

    pub(super) fn of_lines(lines: Vec<String>, is_changed: bool) -> Self {
        Self { lines, is_changed }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub(super) fn push(&mut self, line: String) {
        self.lines.push(line);
        self.is_changed = true;
    }

    /// Adds a line unless the very same is there.
    pub(super) fn push_new(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.push(line);
        }
    }

    /// Removes all lines that `is_gone` says.
    pub(super) fn remove(&mut self, is_gone: impl Fn(&str) -> bool) {
        let before = self.lines.len();
        self.lines.retain(|line| !is_gone(line));
        self.is_changed |= self.lines.len() != before;
    }

    /// Replaces the lines for which `change` has another text.
    pub(super) fn rewrite(&mut self, change: impl Fn(&str) -> Option<String>) {
        for line in &mut self.lines {
            if let Some(new) = change(line).filter(|new| new != line) {
                *line = new;
                self.is_changed = true;
            }
        }
    }

    /// The fields, separated by colons, of the line for `name`; lines with another number of fields, and those that
    /// begin with `+` or `-` (they refer to a name service), are no entries.
    pub(super) fn entry(&self, name: &str, fields: usize) -> Option<Vec<&str>> {
        self.entries(fields).find(|entry| entry[0] == name)
    }

    pub(super) fn entries(&self, fields: usize) -> impl Iterator<Item = Vec<&str>> {
        self.lines().filter(|line| !line.starts_with(['+', '-'])).filter_map(move |line| {
            let entry: Vec<&str> = line.split(':').collect();
            (entry.len() == fields).then_some(entry)
        })
    }

    /// Replaces the entry with the same name in its place, or adds one at the end.
    pub(super) fn set_entry(&mut self, entry: &[&str]) {
        let line = entry.join(":");
        let is_same = |old: &str| {
            let old: Vec<&str> = old.split(':').collect();
            old.len() == entry.len() && old[0] == entry[0]
        };
        match self.lines.iter_mut().find(|old| is_same(old)) {
            Some(old) if *old == line => return,
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
        self.is_changed = true;
    }

    pub(super) fn remove_entry(&mut self, name: &str, fields: usize) {
        self.remove(|line| line.split(':').count() == fields && line.split(':').next() == Some(name));
    }
}

/// The lowest number below 100 that is not among `taken`.
pub(super) fn lowest_free<'a>(taken: impl Iterator<Item = &'a str>) -> Option<u32> {
    let taken: std::collections::BTreeSet<&str> = taken.collect();
    (0..100).find(|id: &u32| !taken.contains(id.to_string().as_str()))
}
