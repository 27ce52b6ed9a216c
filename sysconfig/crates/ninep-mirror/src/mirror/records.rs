//! What in the destination belongs to the mirror, and which version of it: in memory and in a file.
//!
//! # The file
//!
//! `.ninep-mirror/state`: records, each ended by a NUL byte, because nothing else cannot be in a path. Fields have one
//! space between them, and the path is the last.
//!
//! | record | meaning |
//! | --- | --- |
//! | `ninep-mirror 1 GENERATION` | the first: format, and how often the content changed |
//! | `d PATH` | a directory that the mirror made |
//! | `? PATH` | a file or link that is the mirror's, in a version that is not known |
//! | `f MODE SIZE MTIME NS CTIME NS NUMBER PATH` | a file; the mode in octal, times in seconds and nanoseconds |
//! | `l MODE SIZE MTIME NS CTIME NS NUMBER PATH` | a symbolic link |
//!
//! A path is recorded before anything is made there. So after a crash the mirror still knows what it may remove.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Bound;

use super::destination::Destination;
use super::error::DestinationError;
use super::version::{EntryKind, Version};
use crate::path::SharePath;
use crate::selection::OWN_DIRECTORY;

const FILE: &str = "state";
const MAGIC: &str = "ninep-mirror 1 ";
/// More than the largest mirror needs.
const LARGEST_FILE_BYTES: u64 = 128 << 20;

/// What the mirror made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    entries: BTreeMap<SharePath, Option<Version>>,
    directories: BTreeSet<SharePath>,
    /// The sum of the known sizes; a sum of 64-bit numbers fits.
    bytes: u128,
    /// Counts the changes of the destination's content, over all runs.
    pub generation: u64,
}

impl Records {
    /// Reads the records of a destination; none are there at the first time.
    ///
    /// # Errors
    ///
    /// [`DestinationError::Damaged`] when the file makes no sense.
    pub fn load(destination: &Destination) -> Result<Self, DestinationError> {
        let Some(file) = destination.read_own(FILE)? else { return Ok(Self::default()) };
        let path = destination.path().join(OWN_DIRECTORY).join(FILE);
        let mut bytes = Vec::new();
        let read = file.take(LARGEST_FILE_BYTES).read_to_end(&mut bytes);
        read.map_err(|source| DestinationError::Io { operation: "read", path: path.clone(), source })?;
        Self::parse(&bytes).ok_or(DestinationError::Damaged { path })
    }

    /// Stores the records.
    ///
    /// # Errors
    ///
    /// When they cannot be written; the stored ones are whole then.
    pub fn save(&self, destination: &Destination) -> Result<(), DestinationError> {
        destination.replace_own(FILE, &self.format(), true)
    }

    /// The recorded version of a path: `None` when the path is not the mirror's, `Some(None)` when the version is not
    /// known.
    #[must_use]
    pub fn get(&self, path: &SharePath) -> Option<Option<&Version>> {
        self.entries.get(path).map(Option::as_ref)
    }

    /// Records that a path is the mirror's, in an unknown version unless there is a record. Whether this is new.
    pub fn claim(&mut self, path: &SharePath) -> bool {
        if self.entries.contains_key(path) {
            return false;
        }
        self.insert(path.clone(), None);
        true
    }

    /// Records what is in place now.
    pub fn set(&mut self, path: &SharePath, version: Version) {
        self.insert(path.clone(), Some(version));
    }

    /// Forgets a file or link.
    pub fn forget(&mut self, path: &SharePath) {
        self.bytes -= size(self.entries.remove(path));
    }

    fn insert(&mut self, path: SharePath, version: Option<Version>) {
        self.bytes += size(Some(version));
        self.bytes -= size(self.entries.insert(path, version));
    }

    /// Records that the mirror made a directory. Whether this is new.
    pub fn add_directory(&mut self, path: &SharePath) -> bool {
        self.directories.insert(path.clone())
    }

    /// Forgets a directory.
    pub fn forget_directory(&mut self, path: &SharePath) {
        self.directories.remove(path);
    }

    /// Whether the mirror made this directory.
    #[must_use]
    pub fn has_directory(&self, path: &SharePath) -> bool {
        self.directories.contains(path)
    }

    /// The files and links, sorted by path.
    pub fn paths(&self) -> impl DoubleEndedIterator<Item = &SharePath> {
        self.entries.keys()
    }

    /// The files and links in a directory, at any depth; `None` is the root.
    pub fn inside<'a>(&'a self, directory: Option<&'a SharePath>) -> impl Iterator<Item = &'a SharePath> {
        let start = directory.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.entries.range::<SharePath, _>((start, Bound::Unbounded)).map(|(path, _)| path);
        // Between a directory and what is in it, names like `directory-2` are sorted.
        range
            .take_while(move |path| directory.is_none_or(|it| path.as_bytes().starts_with(it.as_bytes())))
            .filter(move |path| directory.is_none_or(|it| path.is_inside(it)))
    }

    /// How many files and links there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of all files in a known version.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }

    fn format(&self) -> Vec<u8> {
        let mut out = format!("{MAGIC}{}\0", self.generation).into_bytes();
        for path in &self.directories {
            put(&mut out, "d", path);
        }
        for (path, version) in &self.entries {
            let Some(version) = version else {
                put(&mut out, "?", path);
                continue;
            };
            let letter = if version.kind == EntryKind::File { 'f' } else { 'l' };
            let Version { mode, size, mtime, ctime, file_number, .. } = version;
            let times = format!("{} {} {} {}", mtime.0, mtime.1, ctime.0, ctime.1);
            put(&mut out, &format!("{letter} {mode:o} {size} {times} {file_number}"), path);
        }
        out
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let header = std::str::from_utf8(lines.next()?).ok()?;
        let mut records = Self { generation: header.strip_prefix(MAGIC)?.parse().ok()?, ..Self::default() };
        lines.try_for_each(|line| records.parse_line(line))?;
        Some(records)
    }

    fn parse_line(&mut self, line: &[u8]) -> Option<()> {
        let (letter, rest) = line.split_first_chunk::<2>()?;
        match letter {
            b"d " => {
                self.directories.insert(SharePath::parse(rest).ok()?);
            }
            b"? " => {
                self.insert(SharePath::parse(rest).ok()?, None);
            }
            b"f " | b"l " => {
                let kind = if letter == b"f " { EntryKind::File } else { EntryKind::Link };
                let (version, path) = parse_version(kind, rest)?;
                self.insert(SharePath::parse(path).ok()?, Some(version));
            }
            _ => return None,
        }
        Some(())
    }
}

/// What an entry adds to the sum.
fn size(entry: Option<Option<Version>>) -> u128 {
    entry.flatten().map_or(0, |version| version.size.into())
}

fn put(out: &mut Vec<u8>, fields: &str, path: &SharePath) {
    out.extend_from_slice(fields.as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    out.push(0);
}

fn parse_version(kind: EntryKind, line: &[u8]) -> Option<(Version, &[u8])> {
    let mut fields = line.splitn(8, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let mode = u32::from_str_radix(text()?, 8).ok()?;
    let mut number = || text()?.parse::<u64>().ok();
    let size = number()?;
    let mtime = (number()?, number()?);
    let ctime = (number()?, number()?);
    let file_number = number()?;
    Some((Version { kind, mode, size, mtime, ctime, file_number }, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> SharePath {
        SharePath::parse(text.as_bytes()).unwrap()
    }

    fn version() -> impl Strategy<Value = Version> {
        let kind = prop_oneof![Just(EntryKind::File), Just(EntryKind::Link)];
        let fields = (kind, 0..0o10_000_u32, any::<[u64; 6]>());
        fields.prop_map(|(kind, mode, [size, mtime, mtime_ns, ctime, ctime_ns, file_number])| Version {
            kind,
            mode,
            size,
            mtime: (mtime, mtime_ns),
            ctime: (ctime, ctime_ns),
            file_number,
        })
    }

    fn records() -> impl Strategy<Value = Records> {
        let paths = || "[a-c \n]{1,3}(/[a-c]{1,2}){0,2}".prop_map(|text| path(&text));
        let entries = proptest::collection::btree_map(paths(), proptest::option::of(version()), 0..8);
        let directories = proptest::collection::btree_set(paths(), 0..4);
        (entries, directories, any::<u64>()).prop_map(|(entries, directories, generation)| {
            let bytes = entries.values().flatten().map(|version: &Version| u128::from(version.size)).sum();
            Records { entries, directories, bytes, generation }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in records()) {
            prop_assert_eq!(Records::parse(&records.format()), Some(records));
        }

        #[test]
        fn a_cut_file_is_never_taken_for_a_whole_one(records in records(), part in 0.0..1.0_f64) {
            let whole = records.format();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a test's fraction")]
            let cut = &whole[..(whole.len() as f64 * part) as usize];
            // A cut between two records reads as fewer of them, which only means more copying.
            prop_assert!(Records::parse(cut).is_none_or(|read| read.entries.len() <= records.entries.len()));
        }
    }

    #[test]
    fn the_format_is_what_the_documentation_says() {
        let mut records = Records { generation: 7, ..Records::default() };
        records.add_directory(&path("a"));
        records.claim(&path("a/b"));
        let kind = EntryKind::File;
        records
            .set(&path("a/c d"), Version { kind, mode: 0o755, size: 1, mtime: (2, 3), ctime: (4, 5), file_number: 6 });
        assert_eq!(records.format(), b"ninep-mirror 1 7\0d a\0? a/b\0f 755 1 2 3 4 5 6 a/c d\0");
    }

    #[test]
    fn damage_is_found() {
        for text in [
            "",
            "x\0",
            "ninep-mirror 2 0\0",
            "ninep-mirror 1 0\0x a\0",
            "ninep-mirror 1 0\0d ../a\0",
            "ninep-mirror 1 0\0f 8 1 2 3 4 5 6 a\0",
            "ninep-mirror 1 0\0f 7 1 2 3 4 a\0",
        ] {
            assert_eq!(Records::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_inside_a_directory() {
        let mut records = Records::default();
        for name in ["a", "a-b", "a/x", "a/y/z", "ab", "b/x"] {
            records.claim(&path(name));
        }
        let a = path("a");
        assert_eq!(records.inside(Some(&a)).collect::<Vec<_>>(), [&path("a/x"), &path("a/y/z")]);
        assert_eq!(records.inside(None).count(), 6);
    }
}
