//! Reading archives: one pass, contents into the store, everything else into a tree.

use std::collections::BTreeMap;
use std::io::Read;

use super::attribute::{self, AttributeHeader, Attributes};
use super::error::{TarError, TarErrorKind, TarWarning, TarWarningKind, WarningList};
use super::fields::{device, header_name, link_name, metadata, unsigned, until_nul};
use super::header::{self, Block};
use super::input::{Input, read_error};
use super::pax::{Overrides, announced_name};
use super::place::place;
use super::sparse::{EXTENTS_MAX, PaxSparse, SparseMap, read_map};
use crate::node::{Content, Metadata, Node, NodeKind, XATTR_BYTES_MAX};
use crate::path::ImagePath;
use crate::store::{Appender, Store, StoreError};
use crate::tree::{Follow, Tree, TreeError};

/// The largest extended header that is accepted. What `write_tar` makes of one node has room in it: values, and names with what
/// stands beside them.
const EXTENDED_BYTES_MAX: u64 = 2 * XATTR_BYTES_MAX;

/// So much is kept of what global headers say.
const GLOBAL_BYTES_MAX: u64 = 256 << 10;

/// So many bytes of extended attributes do entries together get from global headers: a node has a copy of its own.
const INHERITED_BYTES_MAX: u64 = 64 << 20;

/// Content up to this size is read whole before it is stored.
const WHOLE_BYTES_MAX: u64 = 4 << 20;

/// How to read an archive.
#[derive(Default)]
pub struct ReadTarOptions<'a> {
    /// The tree that the archive is unpacked into; by default an empty one.
    pub into: Tree,
    /// Called now and then with the number of bytes of the (compressed) archive that were read since.
    pub progress: Option<&'a mut dyn FnMut(u64)>,
}

impl std::fmt::Debug for ReadTarOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadTarOptions").field("into", &self.into).finish_non_exhaustive()
    }
}

/// What an archive was turned into.
#[derive(Debug)]
pub struct Unpacked {
    /// The tree with everything from the archive in it.
    pub tree: Tree,
    /// The number of entries.
    pub entries: u64,
    /// Bytes of file content in the archive.
    pub content_bytes: u64,
    /// What the archive holds that the tree cannot, for the user to see.
    pub warnings: Vec<TarWarning>,
}

/// Streams an archive (v7, ustar, pax, GNU or illumos tar, plain or gzip) into `store` and a tree.
///
/// Names are taken relative to the root of the image, and symbolic links on the way are followed inside it.
/// Parents that the archive does not have are made, mode 0755 of root. An entry replaces what is at its
/// path, except that a directory over a directory keeps what is in it, and that only an empty
/// directory can become something else. The owner is the numeric one; times other than that of the modification
/// are not kept.
///
/// # Errors
/// See [`TarErrorKind`]; names with `..` are errors, and so is an archive without an end mark.
pub fn read_tar<'a>(archive: impl Read + 'a, store: &Store, options: ReadTarOptions<'a>) -> Result<Unpacked, TarError> {
    let ReadTarOptions { into, progress } = options;
    let error = |kind| TarError { entry: 1, name: Vec::new(), offset: 0, kind };
    let input = Input::new(archive, progress).map_err(error)?;
    let unpacked = Unpacked { tree: into, entries: 0, content_bytes: 0, warnings: Vec::new() };
    std::thread::scope(|scope| {
        let mut reader = Reader {
            input,
            store,
            contents: Some(Appender::new(store, scope)),
            unpacked,
            warnings: BTreeMap::new(),
            global: Overrides::default(),
            inherited_bytes: 0,
            attributes: Attributes::default(),
            extents_left: EXTENTS_MAX,
            sized_link: None,
            announced: Vec::new(),
            name: None,
            offset: 0,
        };
        match reader.read_all().and_then(|()| reader.store_all()) {
            Ok(()) => Ok(reader.finish()),
            Err(kind) => Err(reader.error(kind)),
        }
    })
}

struct Reader<'a, 'scope, 'env> {
    input: Input<'a>,
    store: &'env Store,
    /// Contents that are read whole; there until the end of the archive.
    contents: Option<Appender<'scope, 'env>>,
    unpacked: Unpacked,
    warnings: BTreeMap<TarWarningKind, TarWarning>,
    global: Overrides,
    inherited_bytes: u64,
    attributes: Attributes,
    extents_left: usize,
    /// The entry before, if it is a hard link whose header says that it has content: its name, and where it begins.
    sized_link: Option<(Vec<u8>, u64)>,
    /// The name of the entry to come, as far as the headers before it tell it, or else that of these headers.
    announced: Vec<u8>,
    /// The name of the entry being read, none before its own header is there, and where it begins.
    name: Option<Vec<u8>>,
    offset: u64,
}

impl Reader<'_, '_, '_> {
    fn read_all(&mut self) -> Result<(), TarErrorKind> {
        // What headers before an entry say about it.
        let mut overrides = None;
        let mut is_new_entry = true;
        loop {
            if is_new_entry {
                self.offset = self.input.offset();
                self.name = None;
                self.announced = Vec::new();
            }
            let block = self.input.block()?;
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            if !header::checksum_is_right(&block) {
                return Err(self.no_header());
            }
            self.sized_link = None;
            let pending = overrides.get_or_insert_with(|| self.global.clone());
            is_new_entry = !self.extend(&block, pending)?;
            if is_new_entry {
                let overrides = overrides.take().unwrap_or_default();
                self.entry(&block, overrides)?;
            }
        }
        if !is_new_entry {
            return Err(TarErrorKind::Extended("no entry follows it"));
        }
        if self.attributes.next.take().is_some() {
            self.warn(TarWarningKind::AttributeFile);
        }
        if self.input.drain()? {
            if self.sized_link.is_some() {
                return Err(self.no_header());
            }
            self.warn(TarWarningKind::AfterEnd);
        }
        Ok(())
    }

    /// Something else stands where a header was to be: the content of a hard link, if there may be one.
    fn no_header(&mut self) -> TarErrorKind {
        let Some((name, offset)) = self.sized_link.take() else { return TarErrorKind::Checksum };
        (self.name, self.offset) = (Some(name), offset);
        TarErrorKind::Unsupported("a hard link with content")
    }

    /// Reads the header if it is one that says something about others; false if it is an entry.
    fn extend(&mut self, block: &Block, overrides: &mut Overrides) -> Result<bool, TarErrorKind> {
        match block[header::TYPE_FLAG] {
            b'x' | b'X' => overrides.apply(&self.extended(block)?)?,
            b'g' => {
                let records = self.extended(block)?;
                self.global.apply(&records)?;
                let weight = self.global.weight();
                if weight > GLOBAL_BYTES_MAX {
                    return Err(TarErrorKind::GlobalTooLarge(weight));
                }
                overrides.apply(&records)?;
            }
            b'A' => {
                let records = self.extended(block)?;
                overrides.apply_ancillary(&records);
            }
            b'L' => overrides.path = Some(until_nul(self.extended(block)?)),
            b'K' => overrides.link_path = Some(until_nul(self.extended(block)?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn extended(&mut self, block: &Block) -> Result<Vec<u8>, TarErrorKind> {
        if self.announced.is_empty() {
            self.announced = header_name(block);
        }
        let size = unsigned(block, header::SIZE, "size")?;
        if size > EXTENDED_BYTES_MAX {
            return Err(TarErrorKind::TooLarge(size));
        }
        let content = self.input.short_content(size)?;
        match block[header::TYPE_FLAG] {
            b'x' | b'X' => self.announced = announced_name(&content).unwrap_or(std::mem::take(&mut self.announced)),
            b'L' => self.announced = until_nul(content.clone()),
            _ => {}
        }
        Ok(content)
    }

    fn entry(&mut self, block: &Block, mut overrides: Overrides) -> Result<(), TarErrorKind> {
        self.unpacked.entries += 1;
        let name = overrides.sparse.name.take().or(overrides.path.take()).unwrap_or_else(|| header_name(block));
        let is_named_directory = name.ends_with(b"/");
        self.name = Some(name);
        std::mem::take(&mut overrides.warnings).into_iter().for_each(|(kind, count)| self.warn_of(kind, count));
        let size = overrides.size.map_or_else(|| unsigned(block, header::SIZE, "size"), Ok)?;
        let type_flag = match block[header::TYPE_FLAG] {
            b'\0' | b'0' | b'7' if is_named_directory => b'5',
            type_flag => type_flag,
        };
        // Only attributes are archived under this name.
        if type_flag == b'E' || (self.attributes.next.is_some() && self.name().starts_with(b"/dev/null/")) {
            return self.attribute(size);
        }
        if self.attributes.next.take().is_some() {
            self.warn(TarWarningKind::AttributeFile);
        }
        let left_out = match type_flag {
            b'V' | b'N' => TarWarningKind::BackupData,
            b'M' => return Err(TarErrorKind::Unsupported("an archive of several volumes")),
            b'D' => {
                self.warn(TarWarningKind::BackupData);
                self.input.skip_content(size)?;
                return self.put(block, overrides, NodeKind::Directory);
            }
            b'1' => return self.hard_link(block, &overrides),
            b'\0' | b'0'..=b'7' | b'S' => {
                let kind = self.kind(type_flag, block, &overrides, size)?;
                return self.put(block, overrides, kind);
            }
            unknown => TarWarningKind::UnknownType(unknown),
        };
        self.warn(left_out);
        self.input.skip_content(size)
    }

    /// Types other than regular files have no content, whatever their size says.
    fn kind(
        &mut self,
        type_flag: u8,
        block: &Block,
        overrides: &Overrides,
        size: u64,
    ) -> Result<NodeKind, TarErrorKind> {
        Ok(match type_flag {
            b'2' => NodeKind::Symlink(link_name(block, overrides)),
            b'3' => {
                let (major, minor) = device(block, overrides)?;
                NodeKind::CharDevice { major, minor }
            }
            b'4' => {
                let (major, minor) = device(block, overrides)?;
                NodeKind::BlockDevice { major, minor }
            }
            b'5' => NodeKind::Directory,
            b'6' => NodeKind::Fifo,
            b'S' => NodeKind::Regular(self.gnu_sparse(block, size)?),
            _ => NodeKind::Regular(match overrides.sparse.interpret(self.extents_left)? {
                PaxSparse::No => self.content(size)?,
                PaxSparse::Map(map) => self.sparse_content(&map, size)?,
                PaxSparse::InData(real_size) => {
                    let mut map = SparseMap::new(real_size, self.extents_left)?;
                    let map_bytes = read_map(&mut map, size, || self.input.block())?;
                    self.sparse_content(&map, size - map_bytes)?
                }
            }),
        })
    }

    fn gnu_sparse(&mut self, block: &Block, size: u64) -> Result<Content, TarErrorKind> {
        let real_size = unsigned(block, header::GNU_SPARSE_REAL_SIZE, "length of a sparse file")?;
        let mut map = SparseMap::new(real_size, self.extents_left)?;
        map.push_gnu(block, header::GNU_SPARSE_MAP)?;
        let mut is_extended = block[header::GNU_SPARSE_EXTENDED] != 0;
        while is_extended {
            let block = self.input.block()?;
            map.push_gnu(&block, header::GNU_SPARSE_BLOCK_MAP)?;
            is_extended = block[header::GNU_SPARSE_BLOCK_EXTENDED] != 0;
        }
        self.sparse_content(&map, size)
    }

    fn sparse_content(&mut self, map: &SparseMap, size: u64) -> Result<Content, TarErrorKind> {
        map.check_data(size)?;
        self.extents_left = self.extents_left.saturating_sub(map.len());
        let data = self.content(size)?;
        map.content(data.blob())
    }

    fn content(&mut self, size: u64) -> Result<Content, TarErrorKind> {
        let content = match (usize::try_from(size), &mut self.contents) {
            (Ok(length), Some(contents)) if size <= WHOLE_BYTES_MAX => {
                contents.put(length, |room| self.input.read_exact(room), TarErrorKind::Store)?
            }
            _ => self.store.put_reader(self.input.by_ref().take(size)).map_err(|error| match error {
                StoreError::Source { source } => read_error(source),
                error => TarErrorKind::Store(error),
            })?,
        };
        if content.len() < size {
            return Err(TarErrorKind::Truncated);
        }
        self.input.skip_padding(size)?;
        self.unpacked.content_bytes += size;
        Ok(content)
    }

    /// Waits until every content is in the store.
    fn store_all(&mut self) -> Result<(), TarErrorKind> {
        self.contents.take().map_or(Ok(()), Appender::finish).map_err(TarErrorKind::Store)
    }

    fn put(&mut self, block: &Block, overrides: Overrides, kind: NodeKind) -> Result<(), TarErrorKind> {
        if self.name().is_empty() && kind != NodeKind::Directory {
            return Err(TarErrorKind::NoName(kind.name()));
        }
        let path = ImagePath::from_relative(self.name()).map_err(TarErrorKind::Path)?;
        self.inherited_bytes += self.global.xattr_weight();
        if self.inherited_bytes > INHERITED_BYTES_MAX {
            return Err(TarErrorKind::GlobalTooLarge(self.inherited_bytes));
        }
        let metadata = metadata(block, overrides)?;
        place(&mut self.unpacked.tree, &path, Node { kind, metadata }).map_err(TarErrorKind::Tree)
    }

    /// The content of a hard link is that of its target. Old archives say the target's size without having
    /// its content again, and nobody we know of writes it twice.
    fn hard_link(&mut self, block: &Block, overrides: &Overrides) -> Result<(), TarErrorKind> {
        if overrides.size.is_some_and(|size| size > 0) {
            return Err(TarErrorKind::Unsupported("a hard link with content"));
        }
        if unsigned(block, header::SIZE, "size")? > 0 {
            self.sized_link = Some((self.name().to_vec(), self.offset));
        }
        if self.name().is_empty() {
            return Err(TarErrorKind::NoName("hard link"));
        }
        let path = ImagePath::from_relative(self.name()).map_err(TarErrorKind::Path)?;
        let target = ImagePath::from_relative(link_name(block, overrides)).map_err(TarErrorKind::Path)?;
        if let Err(TreeError::NotFound { .. }) = self.unpacked.tree.lookup(&target, Follow::No) {
            return Err(TarErrorKind::LinkTarget { is_itself: target == path, target });
        }
        super::place::hard_link(&mut self.unpacked.tree, &target, &path).map_err(TarErrorKind::Tree)
    }

    /// One of the two entries of an extended attribute of illumos.
    fn attribute(&mut self, size: u64) -> Result<(), TarErrorKind> {
        let Some(expected) = self.attributes.next.take() else {
            if size <= attribute::HEADER_BYTES_MAX {
                self.attributes.next = attribute::parse(&self.input.short_content(size)?);
            } else {
                self.input.skip_content(size)?;
            }
            if self.attributes.next.is_none() {
                self.warn(TarWarningKind::AttributeFile);
            }
            return Ok(());
        };
        let owner = match &expected {
            AttributeHeader::Value { owner, .. } => self.attributes.owner(&self.unpacked.tree, owner, size)?,
            AttributeHeader::Directory | AttributeHeader::Other => None,
        };
        if let (Some(owner), AttributeHeader::Value { name, .. }) = (owner, &expected) {
            let value = self.input.short_content(size)?;
            let add = |metadata: &mut Metadata| drop(metadata.xattrs.insert(name.clone(), value));
            return self.unpacked.tree.update_metadata(&owner, Follow::No, add).map(drop).map_err(TarErrorKind::Tree);
        }
        if expected != AttributeHeader::Directory {
            self.warn(TarWarningKind::AttributeFile);
        }
        self.input.skip_content(size)
    }

    fn name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or_default()
    }

    fn warn(&mut self, kind: TarWarningKind) {
        self.warn_of(kind, 1);
    }

    fn warn_of(&mut self, kind: TarWarningKind, count: u64) {
        let kind = self.warnings.kind_of(kind);
        let first = || TarWarning {
            kind: kind.clone(),
            count: 0,
            first_entry: self.unpacked.entries,
            first_name: self.name.clone().unwrap_or_default(),
        };
        self.warnings.entry(kind.clone()).or_insert_with(first).count += count;
    }

    fn error(self, kind: TarErrorKind) -> TarError {
        // Before the first header of the next entry is complete, that entry has no name yet.
        let entry = self.unpacked.entries + u64::from(self.name.is_none());
        TarError { entry, name: self.name.unwrap_or(self.announced), offset: self.offset, kind }
    }

    fn finish(mut self) -> Unpacked {
        self.unpacked.warnings = self.warnings.into_values().collect();
        self.unpacked
    }
}
