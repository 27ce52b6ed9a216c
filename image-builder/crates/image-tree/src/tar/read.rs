//! Reading archives: one pass, contents into the store, everything else into a tree.

use std::collections::BTreeMap;
use std::io::Read;

use super::error::{TarError, TarErrorKind, TarWarning, TarWarningKind};
use super::header::{self, Block, USTAR_MAGIC};
use super::input::{Input, read_error};
use super::pax::Overrides;
use super::place::place;
use super::sparse::{PaxSparse, SparseMap, read_map};
use crate::node::{Content, MODE_MASK, Metadata, Node, NodeKind, Timestamp};
use crate::path::ImagePath;
use crate::store::{Appender, Store, StoreError};
use crate::tree::Tree;

/// The largest extended header that is accepted: file systems limit extended attributes to far less.
const EXTENDED_BYTES_MAX: u64 = 8 << 20;

/// Content up to this size is read whole before it is stored.
const WHOLE_BYTES_MAX: u64 = 4 << 20;

/// So many kinds of warnings are told apart.
const WARNING_KINDS_MAX: usize = 100;

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
            name: Vec::new(),
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
    /// The name of the entry being read, and where it begins.
    name: Vec<u8>,
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
                self.name.clear();
            }
            let block = self.input.block()?;
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            if !header::checksum_is_right(&block) {
                return Err(TarErrorKind::Checksum);
            }
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
        if self.input.drain()? {
            self.warn(TarWarningKind::AfterEnd);
        }
        Ok(())
    }

    /// Reads the header if it is one that says something about others; false if it is an entry.
    fn extend(&mut self, block: &Block, overrides: &mut Overrides) -> Result<bool, TarErrorKind> {
        match block[header::TYPE_FLAG] {
            b'x' | b'X' => overrides.apply(&self.extended(block)?)?,
            b'g' => {
                let records = self.extended(block)?;
                self.global.apply(&records)?;
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
        let size = unsigned(block, header::SIZE, "size")?;
        if size > EXTENDED_BYTES_MAX {
            return Err(TarErrorKind::TooLarge(size));
        }
        let mut content = vec![0; usize::try_from(size).map_err(|_| TarErrorKind::TooLarge(size))?];
        self.input.read_exact(&mut content)?;
        self.input.skip_padding(size)?;
        Ok(content)
    }

    fn entry(&mut self, block: &Block, mut overrides: Overrides) -> Result<(), TarErrorKind> {
        self.unpacked.entries += 1;
        self.name = overrides.sparse.name.take().or(overrides.path.take()).unwrap_or_else(|| header_name(block));
        std::mem::take(&mut overrides.warnings).into_iter().for_each(|kind| self.warn(kind));
        let size = overrides.size.map_or_else(|| unsigned(block, header::SIZE, "size"), Ok)?;
        let type_flag = match block[header::TYPE_FLAG] {
            b'\0' | b'0' | b'7' if self.name.ends_with(b"/") => b'5',
            type_flag => type_flag,
        };
        let left_out = match type_flag {
            b'E' => TarWarningKind::AttributeFile,
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
            _ => NodeKind::Regular(match overrides.sparse.interpret()? {
                PaxSparse::No => self.content(size)?,
                PaxSparse::Map(map) => self.sparse_content(&map, size)?,
                PaxSparse::InData(real_size) => {
                    let (map, map_bytes) = read_map(real_size, || self.input.block())?;
                    let size = size.checked_sub(map_bytes).ok_or(TarErrorKind::Field("map of a sparse file"))?;
                    self.sparse_content(&map, size)?
                }
            }),
        })
    }

    fn gnu_sparse(&mut self, block: &Block, size: u64) -> Result<Content, TarErrorKind> {
        let mut map = SparseMap::new(unsigned(block, header::GNU_SPARSE_REAL_SIZE, "length of a sparse file")?);
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
        let data = self.content(size)?;
        map.content(data.blob(), size)
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
        let path = ImagePath::from_relative(&self.name).map_err(TarErrorKind::Path)?;
        let metadata = metadata(block, overrides)?;
        place(&mut self.unpacked.tree, &path, Node { kind, metadata }).map_err(TarErrorKind::Tree)
    }

    /// The content of a hard link is that of its target. Old archives say the target's size without having
    /// its content again, and nobody we know of writes it twice.
    fn hard_link(&mut self, block: &Block, overrides: &Overrides) -> Result<(), TarErrorKind> {
        if overrides.size.is_some_and(|size| size > 0) {
            return Err(TarErrorKind::Unsupported("a hard link with content"));
        }
        let path = ImagePath::from_relative(&self.name).map_err(TarErrorKind::Path)?;
        let target = ImagePath::from_relative(link_name(block, overrides)).map_err(TarErrorKind::Path)?;
        super::place::hard_link(&mut self.unpacked.tree, &target, &path).map_err(TarErrorKind::Tree)
    }

    fn warn(&mut self, kind: TarWarningKind) {
        let is_full = self.warnings.len() >= WARNING_KINDS_MAX && !self.warnings.contains_key(&kind);
        let kind = if is_full { TarWarningKind::UnknownKeyword("…".to_owned()) } else { kind };
        let first = || TarWarning {
            kind: kind.clone(),
            count: 0,
            first_entry: self.unpacked.entries,
            first_name: self.name.clone(),
        };
        self.warnings.entry(kind.clone()).or_insert_with(first).count += 1;
    }

    fn error(self, kind: TarErrorKind) -> TarError {
        // Before the first header of the next entry is complete, that entry has no name yet.
        let entry = self.unpacked.entries + u64::from(self.name.is_empty());
        TarError { entry, name: self.name, offset: self.offset, kind }
    }

    fn finish(mut self) -> Unpacked {
        self.unpacked.warnings = self.warnings.into_values().collect();
        self.unpacked
    }
}

fn header_name(block: &Block) -> Vec<u8> {
    let name = header::text(block, header::NAME);
    let prefix = header::text(block, header::PREFIX);
    if header::field(block, header::MAGIC) == USTAR_MAGIC && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

fn link_name(block: &Block, overrides: &Overrides) -> Vec<u8> {
    overrides.link_path.clone().unwrap_or_else(|| header::text(block, header::LINK_NAME).to_vec())
}

fn metadata(block: &Block, overrides: Overrides) -> Result<Metadata, TarErrorKind> {
    let id = |given: Option<u32>, span, field| given.map_or_else(|| small(block, span, field), Ok);
    let mode = unsigned(block, header::MODE, "mode")? & u64::from(MODE_MASK);
    let mtime = header::number(header::field(block, header::MTIME)).map(|secs| Timestamp { secs, nanos: 0 });
    Ok(Metadata {
        uid: id(overrides.uid, header::UID, "uid")?,
        gid: id(overrides.gid, header::GID, "gid")?,
        mode: u16::try_from(mode).expect("masked to 12 bits"),
        mtime: overrides.mtime.or(mtime).ok_or(TarErrorKind::Field("time"))?,
        xattrs: overrides.xattrs,
        acl: overrides.acl,
    })
}

fn device(block: &Block, overrides: &Overrides) -> Result<(u32, u32), TarErrorKind> {
    let number = |given: Option<u32>, span| given.map_or_else(|| small(block, span, "device number"), Ok);
    Ok((number(overrides.dev_major, header::DEV_MAJOR)?, number(overrides.dev_minor, header::DEV_MINOR)?))
}

fn unsigned(block: &Block, span: header::FieldSpan, field: &'static str) -> Result<u64, TarErrorKind> {
    let number = header::number(header::field(block, span));
    number.and_then(|number| u64::try_from(number).ok()).ok_or(TarErrorKind::Field(field))
}

fn small(block: &Block, span: header::FieldSpan, field: &'static str) -> Result<u32, TarErrorKind> {
    u32::try_from(unsigned(block, span, field)?).map_err(|_| TarErrorKind::Field(field))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}
