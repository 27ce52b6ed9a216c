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

    /// The fields, separated by colons, of the lines that are entries; those with another number of fields, and those that
    /// begin with `+` or `-` (they refer to a name service), are none.
    pub(super) fn entries(&self, fields: usize) -> impl Iterator<Item = Vec<&str>> {
        self.lines().filter(|line| !line.starts_with(['+', '-'])).filter_map(move |line| {
            let entry: Vec<&str> = line.split(':').collect();
            (entry.len() == fields).then_some(entry)
        })
    }
}

/// The lowest number below 100 that is not among `taken`.
pub(super) fn lowest_free<'a>(taken: impl Iterator<Item = &'a str>) -> Option<u32> {
    let taken: std::collections::BTreeSet<&str> = taken.collect();
    (0..100).find(|id: &u32| !taken.contains(id.to_string().as_str()))
}
