//! Writing archives: the same tree always makes the same bytes.
//!
//! The format is pax, with extended headers only where ustar cannot hold something. Entries come in path
//! order, names begin with `./`, ids are numbers only.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::error::WriteTarError;
use super::header::{self, Block, HeaderBlock, octal_max};
use super::pax::{format_time, push_record, push_xattr};
use super::sparse::format_map;
use crate::acl::format_acl;
use crate::node::{Content, Metadata, NodeKind};
use crate::path::ImagePath;
use crate::store::Store;
use crate::tree::{LinkId, Tree, WalkEntry};

/// Archives are padded to records of this many bytes, as POSIX asks.
const RECORD_BYTES: u64 = 20 * header::BLOCK_BYTES as u64;

/// How much content is copied at once.
const COPY_BYTES: usize = 256 << 10;

/// How to write an archive.
#[derive(Default)]
pub struct WriteTarOptions<'a> {
    /// The gzip level (0–9) if the archive shall be compressed.
    pub gzip: Option<u32>,
    /// The paths to write, each with everything below it; empty means the whole tree. Parents are not written.
    pub include: Vec<ImagePath>,
    /// Called now and then with the number of (uncompressed) bytes of the archive that were made since.
    pub progress: Option<&'a mut dyn FnMut(u64)>,
}

impl std::fmt::Debug for WriteTarOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut options = f.debug_struct("WriteTarOptions");
        options.field("gzip", &self.gzip).field("include", &self.include).finish_non_exhaustive()
    }
}

/// Writes `tree`, with contents from `store`, as an archive, and returns the writer, not flushed.
///
/// # Errors
/// The writer fails, a content is missing in the store, or a path to include does not exist.
pub fn write_tar<W: Write>(
    tree: &Tree,
    store: &Store,
    writer: W,
    options: WriteTarOptions<'_>,
) -> Result<W, WriteTarError> {
    let WriteTarOptions { gzip, include, progress } = options;
    let output = Output::new(writer, gzip, progress);
    let mut archive = Writer { store, output, linked: HashMap::new(), buffer: vec![0; COPY_BYTES] };
    for path in outermost(include) {
        if tree.get(&path).is_none() {
            return Err(WriteTarError::NotFound { path });
        }
        for entry in tree.walk_from(&path) {
            archive.entry(&entry)?;
        }
    }
    let end = |source| WriteTarError::Write { path: ImagePath::root(), source };
    archive.output.finish().map_err(end)
}

/// The paths in path order, without those that are below others.
fn outermost(mut include: Vec<ImagePath>) -> Vec<ImagePath> {
    if include.is_empty() {
        include.push(ImagePath::root());
    }
    include.sort_unstable();
    include.dedup_by(|path, before| path.starts_with(before));
    include
}

struct Writer<'s, 'p, W: Write> {
    store: &'s Store,
    output: Output<'p, W>,
    /// Under which path each hard-linked node was written.
    linked: HashMap<LinkId, ImagePath>,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<'_, '_, W> {
    fn entry(&mut self, entry: &WalkEntry<'_>) -> Result<(), WriteTarError> {
        let path = &entry.path;
        let mut header = EntryHeader::new(entry);
        if let Some(links) = entry.links {
            if let Some(first) = self.linked.get(&links.id()) {
                header.block = HeaderBlock::new(b'1');
                header.link_name(&archive_name(first, false));
                return self.header(header, entry);
            }
            self.linked.insert(links.id(), path.clone());
        }
        match &entry.node.kind {
            NodeKind::Regular(content) => return self.regular(header, entry, content),
            NodeKind::Symlink(target) => header.link_name(target),
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                header.block.number(header::DEV_MAJOR, u64::from(*major));
                header.block.number(header::DEV_MINOR, u64::from(*minor));
            }
            NodeKind::Directory | NodeKind::Fifo => {}
        }
        self.header(header, entry)
    }

    fn regular(
        &mut self,
        mut header: EntryHeader,
        entry: &WalkEntry<'_>,
        content: &Content,
    ) -> Result<(), WriteTarError> {
        let path = &entry.path;
        let map = content.extents().map(|extents| format_map(extents, content.len())).unwrap_or_default();
        let size = map.len() as u64 + content.data_len();
        if content.extents().is_some() {
            header.sparse(entry, content.len());
        }
        header.number(header::SIZE, "size", size);
        // The content is opened first, so that a missing one is noticed before its header is written.
        let blob = self.store.open_blob(content.blob());
        let mut reader = blob.map_err(|source| WriteTarError::Content { path: path.clone(), source })?;
        self.header(header, entry)?;
        let write_error = |source| WriteTarError::Write { path: path.clone(), source };
        self.output.write_all(&map).map_err(write_error)?;
        let mut left = content.data_len();
        while left > 0 {
            let wanted = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read_error = |source| crate::store::StoreError::ReadBlob { hash: content.blob(), source };
            let content_error = |source| WriteTarError::Content { path: path.clone(), source: read_error(source) };
            reader.read_exact(&mut self.buffer[..wanted]).map_err(content_error)?;
            self.output.write_all(&self.buffer[..wanted]).map_err(write_error)?;
            left -= wanted as u64;
        }
        self.output.pad(size).map_err(write_error)
    }

    /// Writes the header of an entry behind the extended header that it needs, if any.
    fn header(&mut self, mut header: EntryHeader, entry: &WalkEntry<'_>) -> Result<(), WriteTarError> {
        header.name(&entry.path, entry.node.is_directory());
        header.metadata(&entry.node.metadata);
        let (block, records) = (header.block.finish(), header.records);
        let mut write = || {
            if !records.is_empty() {
                self.output.write_all(&extended_header(&entry.path, records.len() as u64))?;
                self.output.write_all(&records)?;
                self.output.pad(records.len() as u64)?;
            }
            self.output.write_all(&block)
        };
        write().map_err(|source| WriteTarError::Write { path: entry.path.clone(), source })
    }
}

/// A header and the extended records for what it cannot hold.
struct EntryHeader {
    block: HeaderBlock,
    records: Vec<u8>,
    /// The name in the header, if it is not that of the path.
    placeholder: Option<Vec<u8>>,
}

impl EntryHeader {
    fn new(entry: &WalkEntry<'_>) -> Self {
        Self { block: HeaderBlock::new(entry.node.kind.type_flag()), records: Vec::new(), placeholder: None }
    }

    fn name(&mut self, path: &ImagePath, is_directory: bool) {
        let is_sparse = self.placeholder.is_some();
        let name = self.placeholder.take().unwrap_or_else(|| archive_name(path, is_directory));
        match split_name(&name) {
            Some((prefix, name)) => {
                self.block.put(header::PREFIX, prefix);
                self.block.put(header::NAME, name);
            }
            None => {
                self.block.put(header::NAME, &name);
                if !is_sparse {
                    push_record(&mut self.records, b"path", &name);
                }
            }
        }
    }

    fn link_name(&mut self, target: &[u8]) {
        self.block.put(header::LINK_NAME, target);
        if target.len() > header::LINK_NAME.1 {
            push_record(&mut self.records, b"linkpath", target);
        }
    }

    fn metadata(&mut self, metadata: &Metadata) {
        let Metadata { uid, gid, mode, mtime, xattrs, acl } = metadata;
        self.block.number(header::MODE, u64::from(*mode));
        self.number(header::UID, "uid", u64::from(*uid));
        self.number(header::GID, "gid", u64::from(*gid));
        let seconds = u64::try_from(mtime.secs).ok().filter(|secs| *secs <= octal_max(header::MTIME));
        self.block.number(header::MTIME, seconds.unwrap_or(0));
        if seconds.is_none() || mtime.nanos != 0 {
            push_record(&mut self.records, b"mtime", format_time(*mtime).as_bytes());
        }
        xattrs.iter().for_each(|(name, value)| push_xattr(&mut self.records, name, value));
        let text = acl.as_ref().map(|acl| format_acl(acl));
        text.iter().for_each(|text| push_record(&mut self.records, b"SCHILY.acl.ace", text.as_bytes()));
    }

    /// A number that an extended record holds if the header cannot; the header then has the largest it can.
    fn number(&mut self, span: header::FieldSpan, keyword: &str, number: u64) {
        self.block.number(span, number.min(octal_max(span)));
        if number > octal_max(span) {
            push_record(&mut self.records, keyword.as_bytes(), number.to_string().as_bytes());
        }
    }

    /// Marks a sparse file in GNU's pax format 1.0. Programs that do not know it see, under another
    /// name, a file that begins with a map.
    fn sparse(&mut self, entry: &WalkEntry<'_>, real_size: u64) {
        let name = archive_name(&entry.path, false);
        push_record(&mut self.records, b"GNU.sparse.major", b"1");
        push_record(&mut self.records, b"GNU.sparse.minor", b"0");
        push_record(&mut self.records, b"GNU.sparse.name", &name);
        push_record(&mut self.records, b"GNU.sparse.realsize", real_size.to_string().as_bytes());
        self.placeholder = Some(beside(&entry.path, b"GNUSparseFile.0"));
    }
}

/// The name of an entry in the archive.
fn archive_name(path: &ImagePath, is_directory: bool) -> Vec<u8> {
    let slash: &[u8] = if is_directory && !path.is_root() { b"/" } else { b"" };
    [b"./", path.relative_bytes(), slash].concat()
}

/// A name for something that belongs to an entry but is none: in a directory of its own, and short.
fn beside(path: &ImagePath, directory: &[u8]) -> Vec<u8> {
    let name = path.file_name().unwrap_or(b"root");
    [b"./", directory, b"/", &name[..name.len().min(80)]].concat()
}

/// Divides a name between the fields for prefix and name; none if it does not fit.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix_max, name_max) = (header::PREFIX.1, header::NAME.1);
    if name.len() <= name_max {
        return Some((b"", name));
    }
    // The slash between the two is in neither, and neither may be empty.
    let first = name.len().checked_sub(name_max + 1)?.max(1);
    let last = prefix_max.min(name.len().checked_sub(2)?);
    let slash = (first..=last).find(|index| name[*index] == b'/')?;
    Some((&name[..slash], &name[slash + 1..]))
}

fn extended_header(path: &ImagePath, size: u64) -> Block {
    let mut block = HeaderBlock::new(b'x');
    block.put(header::NAME, &beside(path, b"PaxHeaders"));
    block.number(header::MODE, 0o644);
    block.number(header::SIZE, size);
    block.finish()
}

/// The archive being written, compressed if asked for.
struct Output<'a, W: Write> {
    sink: Sink<W>,
    written: u64,
    progress: Option<&'a mut dyn FnMut(u64)>,
}

enum Sink<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
}

impl<'a, W: Write> Output<'a, W> {
    fn new(writer: W, gzip: Option<u32>, progress: Option<&'a mut dyn FnMut(u64)>) -> Self {
        let sink = match gzip {
            // No time and no operating system (255 is "unknown"): the archive says nothing about its maker.
            Some(level) => {
                let builder = GzBuilder::new().mtime(0).operating_system(255);
                Sink::Gzip(builder.write(writer, Compression::new(level.min(9))))
            }
            None => Sink::Plain(writer),
        };
        Self { sink, written: 0, progress }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(writer) => writer.write_all(bytes)?,
            Sink::Gzip(encoder) => encoder.write_all(bytes)?,
        }
        self.written += bytes.len() as u64;
        if let Some(progress) = &mut self.progress {
            progress(bytes.len() as u64);
        }
        Ok(())
    }

    /// Pads content of this length to whole blocks.
    fn pad(&mut self, length: u64) -> io::Result<()> {
        self.write_all(&[0; header::BLOCK_BYTES][..header::padding(length)])
    }

    fn finish(mut self) -> io::Result<W> {
        let end = (self.written + 2 * header::BLOCK_BYTES as u64).next_multiple_of(RECORD_BYTES);
        while self.written < end {
            self.write_all(&[0; header::BLOCK_BYTES])?;
        }
        match self.sink {
            Sink::Plain(writer) => Ok(writer),
            Sink::Gzip(encoder) => encoder.finish(),
        }
    }
}
