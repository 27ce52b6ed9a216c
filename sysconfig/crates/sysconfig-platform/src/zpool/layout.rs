//! What a pool is made of.

use serde::{Deserialize, Serialize};

/// What a vdev is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A disk, partition or file.
    Device,
    /// The same on each member.
    Mirror,
    /// Members of which any one, two or three may be lost.
    Raidz(u8),
    /// A member and the one that takes its place; it ends when all is copied.
    Replacing,
    /// A member and the spare that stands in for it.
    Spare,
    /// Another kind, which is left alone: `indirect-0`, `draid2-0`.
    Other,
}

impl Kind {
    /// The kind of a vdev by the name that the status prints; old systems print none of the numbers.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let (word, number) = name.split_once('-').unwrap_or((name, "0"));
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
            return if word.starts_with("draid") { Self::Other } else { Self::Device };
        }
        match word {
            "mirror" => Self::Mirror,
            "raidz" | "raidz1" => Self::Raidz(1),
            "raidz2" => Self::Raidz(2),
            "raidz3" => Self::Raidz(3),
            "replacing" => Self::Replacing,
            "spare" => Self::Spare,
            "indirect" | "root" | "missing" | "hole" => Self::Other,
            word if word.starts_with("draid") => Self::Other,
            _ => Self::Device,
        }
    }

    /// The word for people, and for `zpool` where it takes one.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Device => "single device",
            Self::Mirror => "mirror",
            Self::Raidz(1) => "raidz1",
            Self::Raidz(2) => "raidz2",
            Self::Raidz(_) => "raidz3",
            Self::Replacing => "replacing",
            Self::Spare => "spare",
            Self::Other => "vdev of another kind",
        }
    }
}

/// A vdev as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vdev {
    /// What it is.
    pub kind: Kind,
    /// The path of a device; its guid where the system cannot find it; or the name of a group: `mirror-0`.
    pub name: String,
    /// `ONLINE`, `DEGRADED`, `FAULTED`, `OFFLINE`, `REMOVED`, `UNAVAIL`; of spares `AVAIL` and `INUSE`. Empty when none is shown.
    pub state: String,
    /// What stands behind the counters: `was /dev/dsk/c1t1d0s0`.
    pub note: String,
    /// The members of a group.
    pub members: Vec<Vdev>,
}

impl Vdev {
    /// The devices in it, itself if it is one, in order.
    #[must_use]
    pub fn devices(&self) -> Vec<&Vdev> {
        match self.members.is_empty() {
            true => vec![self],
            false => self.members.iter().flat_map(Self::devices).collect(),
        }
    }

    /// The guid of a device that the system shows by guid, because it cannot find it.
    #[must_use]
    pub fn shown_guid(&self) -> Option<u64> {
        self.name.parse().ok()
    }

    /// Where a device is, or was when it was last seen; as far as the status tells.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self.shown_guid() {
            None => Some(&self.name),
            // What is being done with it stands behind that.
            Some(_) => self.note.strip_prefix("was ").map(without_doings),
        }
    }
}

/// How the words in parentheses begin that the status puts behind a device, beside those with a percentage.
const DOINGS: &[&str] = &[
    "resilvering",
    "repairing",
    "awaiting resilver",
    "initializing",
    "uninitialized",
    "trimming",
    "untrimmed",
    "trim unsupported",
    "removing",
    "non-allocating",
];

/// A path without what is being done with the device; files may have parentheses in their names.
fn without_doings(text: &str) -> &str {
    let is_doing = |words: &str| {
        let percentage = words.trim_start_matches(|c: char| c.is_ascii_digit());
        DOINGS.iter().any(|doing| words.starts_with(doing))
            || (percentage.len() < words.len() && percentage.starts_with("% "))
    };
    let cut = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    match cut.filter(|(_, words)| is_doing(words)) {
        Some((before, _)) => without_doings(before),
        None => text,
    }
}

/// The vdevs of a pool by what they are for, each in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Where data is.
    pub data: Vec<Vdev>,
    /// The intent log.
    pub logs: Vec<Vdev>,
    /// The second level of the read cache.
    pub cache: Vec<Vdev>,
    /// Hot spares.
    pub spares: Vec<Vdev>,
    /// Allocation classes: `special`, `dedup`.
    pub classes: Vec<Vdev>,
}

impl Layout {
    /// Every device.
    #[must_use]
    pub fn devices(&self) -> Vec<&Vdev> {
        let all = [&self.data, &self.logs, &self.cache, &self.spares, &self.classes];
        all.into_iter().flatten().flat_map(Vdev::devices).collect()
    }

    /// Reads the lines below `config:`, without the one of titles: each of a depth, and columns.
    pub(super) fn assemble(rows: Vec<Row>) -> Self {
        let mut layout = Self::default();
        let mut section = Section::Data;
        let mut pending: Vec<(usize, Vdev)> = Vec::new();
        let mut rows = rows.into_iter();
        // The first row is the pool itself.
        rows.next();
        for row in rows {
            if row.depth == 0 {
                layout.close(&mut pending, 0, section);
                section = Section::of(&row.vdev.name);
                continue;
            }
            layout.close(&mut pending, row.depth, section);
            // What a vdev has left that was removed is no device, and nothing is compared with it.
            if row.vdev.kind != Kind::Other || !row.vdev.name.starts_with("indirect-") {
                pending.push((row.depth, row.vdev));
            }
        }
        layout.close(&mut pending, 0, section);
        layout
    }

    /// Ends every vdev that is at least as deep as a row that follows.
    fn close(&mut self, pending: &mut Vec<(usize, Vdev)>, depth: usize, section: Section) {
        while pending.last().is_some_and(|(open, _)| *open >= depth) {
            let Some((_, vdev)) = pending.pop() else { return };
            match pending.last_mut() {
                Some((_, parent)) => parent.members.push(vdev),
                None => self.section(section).push(vdev),
            }
        }
    }

    fn section(&mut self, section: Section) -> &mut Vec<Vdev> {
        match section {
            Section::Data => &mut self.data,
            Section::Logs => &mut self.logs,
            Section::Cache => &mut self.cache,
            Section::Spares => &mut self.spares,
            Section::Classes => &mut self.classes,
        }
    }
}

#[derive(Clone, Copy)]
enum Section {
    Data,
    Logs,
    Cache,
    Spares,
    Classes,
}

impl Section {
    fn of(word: &str) -> Self {
        match word {
            "logs" | "log" => Self::Logs,
            "cache" => Self::Cache,
            "spares" => Self::Spares,
            // An unknown section holds nothing that is known, so it is left alone like the classes.
            _ => Self::Classes,
        }
    }
}

/// A row of the configuration.
pub(super) struct Row {
    pub(super) depth: usize,
    pub(super) vdev: Vdev,
}

impl Row {
    /// Reads a row behind its tab. With titles, the names are as wide as these say, so that they may hold spaces; without, as in
    /// the list of what can be imported, two spaces end a name.
    pub(super) fn parse(line: &str, name_width: Option<usize>) -> Option<Self> {
        let text = line.trim_start_matches(' ');
        let depth = (line.len() - text.len()) / 2;
        let end = match name_width {
            Some(width) if line.is_char_boundary(width.min(line.len())) => width.min(line.len()),
            _ => line.len() - text.len() + text.find("  ").unwrap_or(text.len()),
        };
        let name = line.get(line.len() - text.len()..end)?.trim_end();
        let mut rest = line[end..].split_whitespace();
        let state = rest.next().unwrap_or_default().to_owned();
        let counters = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
        let rest: Vec<_> = rest.collect();
        // READ, WRITE and CKSUM, which a spare has none of.
        let skipped = rest.iter().take(3).take_while(|word| counters(word)).count();
        let note = rest[skipped..].join(" ");
        let vdev = Vdev { kind: Kind::of(name), name: name.to_owned(), state, note, members: Vec::new() };
        (!name.is_empty()).then_some(Self { depth, vdev })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_lost_device_was() {
        for (note, expected) in [
            ("was /dev/dsk/c1t1d0s0 (awaiting resilver)", "/dev/dsk/c1t1d0s0"),
            ("was /dev/sdb1 (resilvering) (42% initialized, started at Mon Jan 1 00:00:00 2024)", "/dev/sdb1"),
            ("was /srv/disk (1).img", "/srv/disk (1).img"),
            ("was /srv/disk (1)", "/srv/disk (1)"),
            ("was /srv/disk (1).img (untrimmed)", "/srv/disk (1).img"),
        ] {
            let row = Row::parse(&format!("    42  UNAVAIL      0     0     0  {note}"), None).unwrap();
            assert_eq!(row.vdev.path(), Some(expected));
        }
    }
}
