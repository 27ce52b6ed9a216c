//! Which files git tracks, from `.git/index`: there is no git in the guest, and none is needed.
//!
//! The format is gitformat-index(5): a header, entries sorted by path, extensions, a checksum. Versions 2 to 4 are in
//! use. Of an entry only mode and path matter here. The checksum is not verified: git replaces the file by a rename,
//! and whoever reads it looks whether it changed meanwhile.

use std::io::{self, Read};

use crate::path::SharePath;

const SIGNATURE: &[u8; 4] = b"DIRC";
/// Times, device, inode, mode, owner, group and size.
const STAT_BYTES: usize = 40;
/// Where the mode is in these.
const MODE_OFFSET: usize = 24;
/// The flag of version 3 that two more bytes of flags follow.
const EXTENDED: u16 = 0x4000;
/// The length of the path in the flags; longer ones have all bits set.
const NAME_MASK: u16 = 0x0FFF;
/// Paths that are longer cannot be used anyhow; this bounds memory.
const LONGEST_PATH_BYTES: usize = 8192;
/// Signature and size of an extension.
const EXTENSION_HEADER_BYTES: usize = 8;
/// Mode bits: the type of a regular file and of a symbolic link.
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const TYPE_MASK: u32 = 0o170_000;

/// What an index lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackedFiles {
    /// Files and symbolic links in the order of the index, each once.
    pub paths: Vec<SharePath>,
    /// Entries that are not used: submodules, directories of a sparse index, paths that are no paths.
    pub passed_over: usize,
}

/// An index cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// It cannot be read to its end.
    #[error("cannot read the index")]
    Read(#[from] io::Error),
    /// It is not an index.
    #[error("it does not begin as an index does")]
    Signature,
    /// A version of the format from before or after these.
    #[error("version {version} of the format is not known")]
    Version {
        /// The version.
        version: u32,
    },
    /// An entry makes no sense: damaged, or a repository with another hash.
    #[error("entry {number} makes no sense")]
    Entry {
        /// Counted from 1.
        number: u32,
    },
    /// More entries than are mirrored.
    #[error("it has {count} entries, more than {limit}")]
    TooMany {
        /// How many.
        count: u32,
        /// What is allowed.
        limit: usize,
    },
    /// The other half of it is in another file.
    #[error("it is a split index (git update-index --no-split-index makes it whole)")]
    Split,
}

/// Reads an index of a repository whose object names have `hash_bytes` bytes: 20 for SHA-1, 32 for SHA-256.
///
/// # Errors
///
/// When it cannot be read, is none, is split, or has more than `limit` entries.
pub fn read_index(input: &mut impl Read, hash_bytes: usize, limit: usize) -> Result<TrackedFiles, IndexError> {
    let mut header = [0; 12];
    input.read_exact(&mut header)?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if &header[..4] != SIGNATURE {
        return Err(IndexError::Signature);
    }
    let (version, count) = (word(4), word(8));
    if !(2..=4).contains(&version) {
        return Err(IndexError::Version { version });
    }
    if usize::try_from(count).is_ok_and(|count| count > limit) {
        return Err(IndexError::TooMany { count, limit });
    }
    let mut tracked = TrackedFiles::default();
    let mut entries = Entries { input, version, hash_bytes, path: Vec::new() };
    for number in 1..=count {
        let mode = entries.next().map_err(|error| in_entry(error, number))?;
        take(&mut tracked, mode, &entries.path);
    }
    refuse_split(input, hash_bytes)?;
    Ok(tracked)
}

fn in_entry(error: Option<io::Error>, number: u32) -> IndexError {
    error.map_or(IndexError::Entry { number }, IndexError::Read)
}

/// Adds an entry. A path in conflict has up to three entries, one after the other.
fn take(tracked: &mut TrackedFiles, mode: u32, path: &[u8]) {
    let usable = matches!(mode & TYPE_MASK, REGULAR | LINK);
    match SharePath::parse(path) {
        Ok(path) if usable && tracked.paths.last() != Some(&path) => tracked.paths.push(path),
        Ok(_) if usable => {}
        _ => tracked.passed_over += 1,
    }
}

/// Looks through the extensions for the one that names a shared index.
fn refuse_split(input: &mut impl Read, hash_bytes: usize) -> Result<(), IndexError> {
    let mut rest = Window::new(input, hash_bytes);
    while let Some(header) = rest.take_header()? {
        let [a, b, c, d, size @ ..] = header;
        if &[a, b, c, d] == b"link" {
            return Err(IndexError::Split);
        }
        rest.skip(u64::from(u32::from_be_bytes(size)))?;
    }
    Ok(())
}

/// What follows the entries: extensions, and the checksum, which is known only by its distance from the end.
struct Window<'a, R> {
    input: &'a mut R,
    hash_bytes: usize,
    /// Read ahead, at most a header and a checksum.
    ahead: Vec<u8>,
}

impl<'a, R: Read> Window<'a, R> {
    fn new(input: &'a mut R, hash_bytes: usize) -> Self {
        Self { input, hash_bytes, ahead: Vec::new() }
    }

    /// The header of the next extension; none when only the checksum is left.
    fn take_header(&mut self) -> io::Result<Option<[u8; EXTENSION_HEADER_BYTES]>> {
        let wanted = EXTENSION_HEADER_BYTES + self.hash_bytes;
        let missing = u64::try_from(wanted - self.ahead.len()).unwrap_or(0);
        self.input.take(missing).read_to_end(&mut self.ahead)?;
        if self.ahead.len() < wanted {
            return Ok(None);
        }
        let header = self.ahead.first_chunk().copied();
        self.ahead.drain(..EXTENSION_HEADER_BYTES);
        Ok(header)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let from_ahead = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.ahead.len());
        self.ahead.drain(..from_ahead);
        let rest = bytes - u64::try_from(from_ahead).unwrap_or(bytes);
        io::copy(&mut self.input.take(rest), &mut io::sink())?;
        Ok(())
    }
}

/// The entries, each of which may build on the path of the one before.
struct Entries<'a, R> {
    input: &'a mut R,
    version: u32,
    hash_bytes: usize,
    path: Vec<u8>,
}

impl<R: Read> Entries<'_, R> {
    /// Reads an entry: its path into `self.path`, and its mode. `Err(None)` is nonsense.
    fn next(&mut self) -> Result<u32, Option<io::Error>> {
        let mut stat = [0; STAT_BYTES];
        self.input.read_exact(&mut stat)?;
        let mode = &stat[MODE_OFFSET..MODE_OFFSET + 4];
        let mode = u32::from_be_bytes([mode[0], mode[1], mode[2], mode[3]]);
        if !matches!(mode & TYPE_MASK, 0o040_000 | REGULAR | LINK | 0o160_000) || mode > 0o177_777 {
            return Err(None);
        }
        io::copy(&mut self.input.take(self.hash_bytes as u64), &mut io::sink())?;
        let flags = self.flags()?;
        let mut fixed_bytes = STAT_BYTES + self.hash_bytes + 2;
        if self.version >= 3 && flags & EXTENDED != 0 {
            self.flags()?;
            fixed_bytes += 2;
        }
        if self.version == 4 {
            self.compressed_path()?;
        } else {
            self.padded_path(fixed_bytes)?;
        }
        let said = usize::from(flags & NAME_MASK);
        let fits = if said == usize::from(NAME_MASK) { self.path.len() >= said } else { self.path.len() == said };
        if fits { Ok(mode) } else { Err(None) }
    }

    fn flags(&mut self) -> io::Result<u16> {
        let mut flags = [0; 2];
        self.input.read_exact(&mut flags)?;
        Ok(u16::from_be_bytes(flags))
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// Appends bytes up to a NUL, which is taken too.
    fn append_to_nul(&mut self) -> Result<(), Option<io::Error>> {
        loop {
            match self.byte()? {
                0 => return Ok(()),
                _ if self.path.len() >= LONGEST_PATH_BYTES => return Err(None),
                byte => self.path.push(byte),
            }
        }
    }

    /// Versions 2 and 3: the whole path, then NULs up to a multiple of eight bytes.
    fn padded_path(&mut self, fixed_bytes: usize) -> Result<(), Option<io::Error>> {
        self.path.clear();
        self.append_to_nul()?;
        let taken = fixed_bytes + self.path.len() + 1;
        for _ in taken..taken.next_multiple_of(8) {
            if self.byte()? != 0 {
                return Err(None);
            }
        }
        Ok(())
    }

    /// Version 4: how many bytes to cut from the path before, and what to append.
    fn compressed_path(&mut self) -> Result<(), Option<io::Error>> {
        let mut byte = self.byte()?;
        let mut cut = usize::from(byte & 0x7F);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            // More than this is cut from no path; it also keeps the number small.
            if cut > LONGEST_PATH_BYTES {
                return Err(None);
            }
            cut = ((cut + 1) << 7) | usize::from(byte & 0x7F);
        }
        let keep = self.path.len().checked_sub(cut).ok_or(None)?;
        self.path.truncate(keep);
        self.append_to_nul()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tracked: &TrackedFiles) -> Vec<String> {
        tracked.paths.iter().map(ToString::to_string).collect()
    }

    /// One entry of version 2 with a hash of 20 bytes.
    fn entry(mode: u32, path: &str) -> Vec<u8> {
        let mut bytes = vec![0; STAT_BYTES];
        bytes[MODE_OFFSET..MODE_OFFSET + 4].copy_from_slice(&mode.to_be_bytes());
        bytes.extend([0xAB; 20]);
        bytes.extend(u16::try_from(path.len()).unwrap().to_be_bytes());
        bytes.extend(path.as_bytes());
        bytes.resize((bytes.len() + 1).next_multiple_of(8), 0);
        bytes
    }

    fn index(entries: &[Vec<u8>], extensions: &[u8]) -> Vec<u8> {
        let count = u32::try_from(entries.len()).unwrap();
        [b"DIRC\0\0\0\x02", count.to_be_bytes().as_slice(), &entries.concat(), extensions, &[0xCD; 20]].concat()
    }

    #[test]
    fn files_and_links_are_taken_and_nothing_that_escapes() {
        let entries = [
            entry(0o100_644, "../evil"),
            entry(0o100_644, "/etc/passwd"),
            entry(0o100_644, "a"),
            entry(0o100_755, "b/c"),
            entry(0o100_755, "b/c"),
            entry(0o120_000, "link"),
            entry(0o160_000, "submodule"),
        ];
        let tracked = read_index(&mut index(&entries, b"TREE\0\0\0\x03abc").as_slice(), 20, 100).unwrap();
        assert_eq!(names(&tracked), ["a", "b/c", "link"]);
        assert_eq!(tracked.passed_over, 3);
    }

    #[test]
    fn what_is_no_index_is_told() {
        let whole = index(&[entry(0o100_644, "a")], b"");
        let read = |bytes: &[u8], limit| read_index(&mut &*bytes, 20, limit).unwrap_err().to_string();
        assert_eq!(read(b"nothing of the kind", 9), "it does not begin as an index does");
        assert_eq!(read(b"DIRC\0\0\0\x05\0\0\0\x01", 9), "version 5 of the format is not known");
        assert_eq!(read(b"DIRC\0\0\0\x02\xff\xff\xff\xff", 9), "it has 4294967295 entries, more than 9");
        assert_eq!(read(&whole[..40], 9), "cannot read the index");
        let link = index(&[entry(0o100_644, "a")], b"TREE\0\0\0\0link\0\0\0\x14");
        assert!(read(&link, 9).starts_with("it is a split index"));
        // With a hash of the wrong length the mode of the second entry is somewhere else.
        let two = index(&[entry(0o100_644, "a"), entry(0o100_644, "b")], b"");
        assert!(matches!(read_index(&mut two.as_slice(), 32, 9), Err(IndexError::Entry { .. })));
    }

    #[test]
    fn damage_is_never_more_than_an_error() {
        let whole = index(&[entry(0o100_644, "some/longer/path"), entry(0o100_755, "some/other")], b"TREE\0\0\0\0");
        for version in [2, 3, 4] {
            for at in 4..whole.len() {
                for value in [0, 1, 0x7F, 0x80, 0xFF] {
                    let mut bytes = whole.clone();
                    bytes[7] = version;
                    bytes[at] = value;
                    // Any result will do; the loop must end and nothing may panic or escape.
                    if let Ok(tracked) = read_index(&mut bytes.as_slice(), 20, 10) {
                        assert!(tracked.paths.iter().all(|path| path.names().all(|name| name != b"..")));
                    }
                }
            }
        }
    }
}
