//! The tree as a tar stream, in the form that `genext2fs` understands best.
//!
//! GNU tar's format: names are bytes there, so that no locale can spoil them,
//! and long ones have entries of their own. Layout as in the GNU tar manual,
//! "Basic Tar Format". Numbers too large for the fields of an inode of
//! `genext2fs` are cut here and mended later (`repair.rs`).

use std::io::{self, Read, Write};

use image_tree::{Content, ImagePath, Node, NodeKind, Store, Tree, WalkEntry};

use super::Ext4Error;

const RECORD_BYTES: usize = 512;
/// Bytes of a name or target that fit into the header itself.
const SHORT_NAME_BYTES: usize = 100;

/// Writes the tree to the standard input of `genext2fs`.
///
/// # Errors
/// Of the writer as they are; those of the store are kept in `failure`, and the writing ends.
pub(super) fn write(
    tree: &Tree,
    store: &Store,
    output: &mut dyn Write,
    failure: &mut Option<Ext4Error>,
) -> io::Result<()> {
    let mut output = io::BufWriter::with_capacity(256 * 1024, output);
    for entry in tree.walk() {
        // The root and `lost+found` are there already.
        if entry.path.is_root() || is_lost_and_found(&entry.path) {
            continue;
        }
        if let Some(error) = write_entry(&entry, store, &mut output)? {
            *failure = Some(error);
            break;
        }
    }
    // Also after a failure: genext2fs never ends when an archive does not end as it should.
    output.write_all(&[0; 2 * RECORD_BYTES])?;
    output.flush()
}

pub(super) fn is_lost_and_found(path: &ImagePath) -> bool {
    path.as_bytes() == b"/lost+found"
}

/// Answers what is wrong with the content, if anything; the archive is well-formed all the same.
fn write_entry(entry: &WalkEntry<'_>, store: &Store, output: &mut impl Write) -> io::Result<Option<Ext4Error>> {
    let name = member_name(&entry.path);
    let node = entry.node;
    if let Some(links) = entry.links.filter(|links| *links.first() != entry.path) {
        let target = member_name(links.first());
        return write_header(&Header::new(b'1'), &name, &target, node, output).map(|()| None);
    }
    let (header, target) = match &node.kind {
        NodeKind::Regular(content) => return write_file(entry, content, store, output),
        NodeKind::Directory => (Header::new(b'5'), b"".as_slice()),
        NodeKind::Symlink(target) => (Header::new(b'2'), target.as_slice()),
        NodeKind::CharDevice { major, minor } => (Header::device(b'3', *major, *minor), b"".as_slice()),
        NodeKind::BlockDevice { major, minor } => (Header::device(b'4', *major, *minor), b"".as_slice()),
        NodeKind::Fifo => (Header::new(b'6'), b"".as_slice()),
    };
    write_header(&header, &name, target, node, output).map(|()| None)
}

fn write_file(
    entry: &WalkEntry<'_>,
    content: &Content,
    store: &Store,
    output: &mut impl Write,
) -> io::Result<Option<Ext4Error>> {
    let path = || entry.path.to_string();
    let mut reader = match store.open_content(content) {
        Ok(reader) => reader,
        Err(error) => {
            return Ok(Some(Ext4Error::Content { path: path(), source: Box::new(error) }));
        }
    };
    let header = Header { length: content.len(), ..Header::new(b'0') };
    write_header(&header, &member_name(&entry.path), b"", entry.node, output)?;
    let mut failure = None;
    let mut buffer = vec![0; 64 * 1024];
    let mut left = content.len();
    while left > 0 {
        let want = left.min(buffer.len() as u64) as usize;
        if failure.is_none() {
            // Read exactly: a content that is too short must not shift what follows.
            if let Err(source) = reader.read_exact(&mut buffer[..want]) {
                failure = Some(Ext4Error::CopyContent { path: path(), source });
            }
        }
        output.write_all(&buffer[..want])?;
        left -= want as u64;
    }
    write_padding(content.len(), output)?;
    Ok(failure)
}

/// `genext2fs` looks a member's directory up by its name; `./` is what it expects of a root.
fn member_name(path: &ImagePath) -> Vec<u8> {
    let mut name = b".".to_vec();
    name.extend_from_slice(path.as_bytes());
    name
}

/// What differs between members besides names and metadata.
struct Header {
    kind: u8,
    length: u64,
    device: (u32, u32),
}

impl Header {
    fn new(kind: u8) -> Self {
        Self { kind, length: 0, device: (0, 0) }
    }

    fn device(kind: u8, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(kind) }
    }
}

fn write_header(header: &Header, name: &[u8], target: &[u8], node: &Node, output: &mut impl Write) -> io::Result<()> {
    write_long(b'K', target, output)?;
    write_long(b'L', name, output)?;
    let metadata = &node.metadata;
    let mut record = [0; RECORD_BYTES];
    put_bytes(&mut record[0..100], name);
    put_number(&mut record[100..108], u64::from(metadata.mode));
    put_number(&mut record[108..116], u64::from(metadata.uid & 0xffff));
    put_number(&mut record[116..124], u64::from(metadata.gid & 0xffff));
    put_number(&mut record[124..136], header.length);
    // The 32 bits that an inode of ext2 has; times before 1970 come out right.
    put_number(&mut record[136..148], metadata.mtime.secs as u64 & 0xffff_ffff);
    record[156] = header.kind;
    put_bytes(&mut record[157..257], target);
    record[257..265].copy_from_slice(b"ustar  \0");
    put_number(&mut record[329..337], u64::from(header.device.0 & 0xff));
    put_number(&mut record[337..345], u64::from(header.device.1 & 0xff));
    seal(&mut record);
    output.write_all(&record)
}

/// A member that holds the name (`L`) or target (`K`) of the next one, when it is too long for a header.
fn write_long(kind: u8, text: &[u8], output: &mut impl Write) -> io::Result<()> {
    if text.len() <= SHORT_NAME_BYTES {
        return Ok(());
    }
    let mut record = [0; RECORD_BYTES];
    put_bytes(&mut record[0..100], b"././@LongLink");
    for field in [100..108, 108..116, 116..124, 136..148] {
        put_number(&mut record[field], 0);
    }
    let length = text.len() as u64 + 1;
    put_number(&mut record[124..136], length);
    record[156] = kind;
    record[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut record);
    output.write_all(&record)?;
    output.write_all(text)?;
    output.write_all(&[0])?;
    write_padding(length, output)
}

fn write_padding(length: u64, output: &mut impl Write) -> io::Result<()> {
    let record = RECORD_BYTES as u64;
    let padding = (length.next_multiple_of(record) - length) as usize;
    output.write_all(&[0; RECORD_BYTES][..padding])
}

fn put_bytes(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Octal with a final NUL, or binary with its first bit set where that does not do.
fn put_number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let octal = format!("{value:0digits$o}");
    if octal.len() == digits {
        field[..digits].copy_from_slice(octal.as_bytes());
    } else {
        let at = field.len() - 8;
        field[at..].copy_from_slice(&value.to_be_bytes());
        field[0] = 0x80;
    }
}

/// Puts the checksum in: the sum of all bytes, with spaces in its own place.
fn seal(record: &mut [u8; RECORD_BYTES]) {
    record[148..156].fill(b' ');
    let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
    let octal = format!("{sum:06o}\0");
    record[148..155].copy_from_slice(octal.as_bytes());
}
