//! What `genext2fs` cannot write, as commands for `debugfs`.
//!
//! `genext2fs` 1.5 cuts user and group ids to 16 bits, device numbers to 8,
//! times to 32 bits and whole seconds; it knows no extended attributes, fills
//! holes in an existing image, and leaves the root as `mke2fs` made it. All of
//! that is put right afterwards, inode by inode.

use std::fmt::Write as _;

use image_tree::{Content, ImagePath, Metadata, NodeKind, Tree, WalkEntry};

use super::Ext4Error;
use super::archive::is_lost_and_found;
use super::size::BLOCK_BYTES;

/// Bytes of an inode beyond the first 128 that hold fields: all that Linux knows.
const EXTRA_INODE_BYTES: u32 = 32;
/// The widths of Linux' device numbers.
const MAJOR_BITS: u32 = 12;
const MINOR_BITS: u32 = 20;
/// Linux' limit for a symbolic link; a longer target needs more than a block.
const SYMLINK_BYTES: usize = 4095;
/// What the 34 bits of an ext4 time can hold, from 1901 to 2446.
const TIMES: std::ops::Range<i64> = -(1 << 31)..(1 << 34) - (1 << 31);
/// A file has at most 2³² blocks.
const FILE_BYTES: u64 = (1 << 32) * BLOCK_BYTES;

/// An extended attribute whose value `debugfs` reads from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) value: Vec<u8>,
}

/// Everything that is to be put right.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// Commands for `debugfs`, a line each.
    pub(super) commands: Vec<u8>,
    /// Extended attributes; paths are quoted for `debugfs`.
    pub(super) attributes: Vec<Attribute>,
}

impl Repairs {
    /// Finds out what has to be put right for a tree, and what cannot be.
    pub(super) fn of(tree: &Tree) -> Result<Self, Ext4Error> {
        let mut repairs = Self::default();
        for entry in tree.walk() {
            check(&entry)?;
            let is_further_name = entry.links.is_some_and(|links| *links.first() != entry.path);
            if is_further_name || is_lost_and_found(&entry.path) {
                continue;
            }
            let fields = fields(&entry);
            let holes = entry.node.content().map_or_else(Vec::new, holes);
            let metadata = &entry.node.metadata;
            if fields.is_empty() && holes.is_empty() && metadata.xattrs.is_empty() {
                continue;
            }
            let path = quote(&entry.path)?;
            for field in fields {
                repairs.command(&[b"set_inode_field ", &path, b" ", field.as_bytes()]);
            }
            for (first, last) in holes {
                repairs.command(&[b"punch ", &path, format!(" {first} {last}").as_bytes()]);
            }
            repairs.add_attributes(&entry.path, &path, metadata)?;
        }
        Ok(repairs)
    }

    fn command(&mut self, parts: &[&[u8]]) {
        self.commands.extend(parts.concat());
        self.commands.push(b'\n');
    }

    fn add_attributes(&mut self, path: &ImagePath, quoted: &[u8], metadata: &Metadata) -> Result<(), Ext4Error> {
        for (name, value) in &metadata.xattrs {
            let printable = name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
            let (Ok(name), Ok(quoted), true) = (std::str::from_utf8(name), std::str::from_utf8(quoted), printable)
            else {
                return Err(unsupported(path, "an extended attribute, or its path, is not plain text"));
            };
            // One block holds all attributes of an inode; debugfs would fail without a word.
            if value.len() as u64 > BLOCK_BYTES / 2 {
                return Err(unsupported(path, "an extended attribute has more than 2 KiB"));
            }
            let (path, name) = (quoted.to_owned(), name.to_owned());
            self.attributes.push(Attribute { path, name, value: value.clone() });
        }
        Ok(())
    }
}

/// Refuses what ext4 has no place for.
fn check(entry: &WalkEntry<'_>) -> Result<(), Ext4Error> {
    let metadata = &entry.node.metadata;
    if !TIMES.contains(&metadata.mtime.secs) {
        return Err(unsupported(&entry.path, "its time is before 1901 or after 2446"));
    }
    match &entry.node.kind {
        NodeKind::Symlink(target) if target.is_empty() || target.len() > SYMLINK_BYTES => {
            Err(unsupported(&entry.path, "a symbolic link's target has 1 to 4095 bytes"))
        }
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor }
            if *major >> MAJOR_BITS != 0 || *minor >> MINOR_BITS != 0 =>
        {
            Err(unsupported(&entry.path, "Linux has no such device number"))
        }
        NodeKind::Regular(content) if content.len() > FILE_BYTES => {
            Err(unsupported(&entry.path, "a file has at most 16 TiB"))
        }
        kind if is_lost_and_found(&entry.path) && *kind != NodeKind::Directory => {
            Err(unsupported(&entry.path, "the file system has a directory of that name"))
        }
        _ => Ok(()),
    }
}

fn unsupported(path: &ImagePath, problem: &str) -> Ext4Error {
    Ext4Error::Unsupported { path: path.to_string(), problem: problem.to_owned() }
}

/// Fields of the inode that are not yet what they should be, as `debugfs` sets them.
fn fields(entry: &WalkEntry<'_>) -> Vec<String> {
    let metadata = &entry.node.metadata;
    let mut fields = Vec::new();
    let mut set = |name: &str, value: u64| fields.push(format!("{name} {value}"));
    let is_root = entry.path.is_root();
    if is_root {
        set("mode", 0o040_000 | u64::from(metadata.mode));
    }
    for (name, id) in [("uid", metadata.uid), ("gid", metadata.gid)] {
        if is_root || id > 0xffff {
            set(name, u64::from(id));
        }
    }
    if let NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } = &entry.node.kind {
        if *major > 0xff || *minor > 0xff {
            set("block[0]", 0);
            set("block[1]", u64::from(encode_device(*major, *minor)));
        }
    }
    let extra = extra_time(metadata);
    if is_root || extra != 0 || !metadata.xattrs.is_empty() {
        set("extra_isize", u64::from(EXTRA_INODE_BYTES));
    }
    if is_root {
        fields.push(format!("mtime @{}", metadata.mtime.secs as u64 & 0xffff_ffff));
    }
    if is_root || extra != 0 {
        fields.push(format!("mtime_extra {extra}"));
    }
    fields
}

/// The 32 bits by which ext4 extends a time: two of seconds, thirty of nanoseconds.
fn extra_time(metadata: &Metadata) -> u32 {
    let seconds = metadata.mtime.secs;
    // What remains beyond the 32 bits, which are read as a signed number.
    let epoch = (seconds - i64::from(seconds as i32)) >> 32;
    metadata.mtime.nanos << 2 | (epoch & 3) as u32
}

/// Linux' encoding for device numbers of more than 8 bits (`new_encode_dev`).
fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

/// Whole blocks of a file that are in no data extent: first and last, inclusive.
fn holes(content: &Content) -> Vec<(u64, u64)> {
    let Some(extents) = content.extents() else {
        return Vec::new();
    };
    let ends = extents.iter().map(|extent| extent.offset).chain([content.len()]);
    let starts = std::iter::once(0).chain(extents.iter().map(|extent| extent.offset + extent.len));
    starts
        .zip(ends)
        .filter_map(|(start, end)| {
            let first = start.div_ceil(BLOCK_BYTES);
            // The rest of the last block of a file is nobody's.
            let past = if end == content.len() { end.div_ceil(BLOCK_BYTES) } else { end / BLOCK_BYTES };
            (first < past).then(|| (first, past - 1))
        })
        .collect()
}

/// A path as one word of a `debugfs` command: in quotes, with quotes doubled.
fn quote(path: &ImagePath) -> Result<Vec<u8>, Ext4Error> {
    let bytes = path.as_bytes();
    if bytes.contains(&b'\n') {
        let problem = "a name with a line feed, on a file whose owner, time, device number, holes \
                       or attributes debugfs would have to set";
        return Err(unsupported(path, problem));
    }
    let mut quoted = vec![b'"'];
    for byte in bytes {
        if *byte == b'"' {
            quoted.push(b'"');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    Ok(quoted)
}

/// Commands that set attributes whose values are in files named by their numbers in `directory`.
pub(super) fn attribute_commands(attributes: &[Attribute], directory: &str) -> String {
    let mut commands = String::new();
    for (number, attribute) in attributes.iter().enumerate() {
        let Attribute { path, name, .. } = attribute;
        // Writing to a string cannot fail.
        let _ = writeln!(commands, "ea_set -f \"{directory}/{number}\" {path} {name}");
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_tree::{BlobHash, Extent, Timestamp};

    #[test]
    fn times_beyond_32_bits_and_parts_of_seconds_go_into_the_extra_field() {
        for (secs, nanos, expected) in [
            (0, 0, 0),
            (-1, 0, 0),
            (i64::from(i32::MAX), 0, 0),
            (i64::from(i32::MAX) + 1, 0, 1),
            (1 << 32, 0, 1),
            (1, 999_999_999, 999_999_999 << 2),
            (TIMES.end - 1, 5, 5 << 2 | 3),
        ] {
            let mtime = Timestamp { secs, nanos };
            let metadata = Metadata { mtime, ..Metadata::default() };
            assert_eq!(extra_time(&metadata), expected, "{secs}.{nanos}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let tree_with = |len| {
            let content = Content::sparse(BlobHash::of(b""), len, &[]).unwrap();
            let mut tree = Tree::default();
            let path = ImagePath::new("/huge").unwrap();
            tree.insert(&path, image_tree::Node::regular(content, Metadata::default())).unwrap();
            tree
        };
        assert!(Repairs::of(&tree_with(FILE_BYTES)).is_ok());
        let error = Repairs::of(&tree_with(FILE_BYTES + 1)).unwrap_err();
        assert!(matches!(error, Ext4Error::Unsupported { path, .. } if path == "/huge"));
    }

    #[test]
    fn holes_are_whole_blocks_between_the_data() {
        let data = |offset, len| Extent { offset, len };
        let holes_of = |len, extents: &[Extent]| holes(&Content::sparse(BlobHash::of(b""), len, extents).unwrap());
        assert_eq!(holes_of(8192, &[]), [(0, 1)]);
        assert_eq!(holes_of(8193, &[]), [(0, 2)]);
        assert_eq!(holes_of(40960, &[data(0, 1), data(12000, 100)]), [(1, 1), (3, 9)]);
        assert_eq!(holes_of(4096, &[data(0, 4096)]), []);
        assert_eq!(holes(&Content::plain(BlobHash::of(b""), 8192)), []);
    }
}
