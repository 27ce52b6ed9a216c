//! Taking a whole file system out of a pool, as a tree and contents in a store.

use std::collections::HashMap;
use std::io::{self, Read};

use image_tree::{Content, Extent, ImagePath, Metadata, Node, NodeKind, Store, Timestamp, Tree};
use zfs_format::sa::{DeviceNumbers, Time};

use super::{Dataset, File, FileSystem, Pool, ReadError, Visit};

/// What is taken out at most, so that an image which promises more than it holds does not fill a disk.
#[derive(Debug, Clone, Copy)]
pub struct TreeLimits {
    /// Files, directories and so on.
    pub nodes: u64,
    /// Bytes of content, holes left out.
    pub content_bytes: u64,
}

impl Default for TreeLimits {
    /// A hundred million nodes, a tebibyte.
    fn default() -> Self {
        Self { nodes: 100_000_000, content_bytes: 1 << 40 }
    }
}

/// The tree of a dataset, with the contents of its files put into `store`. Blocks that are not there become holes.
///
/// # Errors
/// Anything in the file system cannot be read or is more than the limits allow, or the store cannot take it.
pub fn tree(
    pool: &Pool<'_>,
    dataset: &Dataset,
    store: &Store,
    devices: DeviceNumbers,
    limits: &TreeLimits,
) -> Result<Tree, ReadError> {
    let files = pool.file_system(dataset)?;
    let root = files.file(files.root())?;
    let mut reader = Reader {
        tree: Tree::new(metadata(&files, &root)?),
        files,
        store,
        devices,
        limits: *limits,
        nodes: 0,
        content_bytes: 0,
        pointers_left: pool.blocks_max(),
        names: HashMap::from([(root.object, ImagePath::root())]),
    };
    let mut open = vec![(ImagePath::root(), root)];
    while let Some((path, directory)) = open.pop() {
        reader.directory(&path, &directory, &mut open)?;
    }
    Ok(reader.tree)
}

struct Reader<'a> {
    tree: Tree,
    files: FileSystem<'a>,
    store: &'a Store,
    devices: DeviceNumbers,
    limits: TreeLimits,
    nodes: u64,
    content_bytes: u64,
    /// Files do not share blocks, so that all together have no more pointers than the pool has blocks.
    pointers_left: u64,
    /// The first path of every object that may have more, and of every directory.
    names: HashMap<u64, ImagePath>,
}

impl Reader<'_> {
    fn directory(
        &mut self,
        path: &ImagePath,
        directory: &File,
        open: &mut Vec<(ImagePath, File)>,
    ) -> Result<(), ReadError> {
        let files = self.files.clone();
        files.for_each_entry(directory, |entry| {
            self.nodes += 1;
            if self.nodes > self.limits.nodes {
                return Err(ReadError::Limit { what: "files", limit: self.limits.nodes });
            }
            let path = path.join(&entry.name)?;
            if let Some(first) = self.names.get(&entry.object) {
                self.tree.hard_link(first, &path)?;
                return Ok(());
            }
            let file = files.file(entry.object)?;
            let node = Node { kind: self.kind(&file)?, metadata: metadata(&files, &file)? };
            self.tree.insert(&path, node)?;
            if file.is_directory() || file.znode.links > 1 {
                self.names.insert(file.object, path.clone());
            }
            if file.is_directory() {
                open.push((path, file));
            }
            Ok(())
        })
    }

    fn kind(&mut self, file: &File) -> Result<NodeKind, ReadError> {
        let (major, minor) = self.devices.decode(file.znode.rdev.unwrap_or(0));
        Ok(match file.kind() {
            0o040_000 => NodeKind::Directory,
            0o100_000 => NodeKind::Regular(self.content(file)?),
            0o120_000 => NodeKind::Symlink(self.files.read_link(file)?),
            0o020_000 => NodeKind::CharDevice { major, minor },
            0o060_000 => NodeKind::BlockDevice { major, minor },
            0o010_000 => NodeKind::Fifo,
            other => {
                let what = format!("a file of type {other:#o} is nothing that an image holds");
                return Err(ReadError::Structure { object: file.object, what });
            }
        })
    }

    fn content(&mut self, file: &File) -> Result<Content, ReadError> {
        let (extents, pointers) = extents(&self.files, file)?;
        let limit = ReadError::Limit { what: "blocks in files", limit: self.files.objset().pool().blocks_max() };
        self.pointers_left = self.pointers_left.checked_sub(pointers).ok_or(limit)?;
        let bytes = extents.iter().fold(0_u64, |sum, extent| sum.saturating_add(extent.len));
        self.content_bytes = self.content_bytes.saturating_add(bytes);
        if self.content_bytes > self.limits.content_bytes {
            return Err(ReadError::Limit { what: "bytes of content", limit: self.limits.content_bytes });
        }
        let mut reader = ExtentReader { files: &self.files, file, extents: &extents, done: 0, failed: None };
        let stored = self.store.put_reader(&mut reader);
        if let Some(error) = reader.failed {
            return Err(error);
        }
        let blob = stored?.blob();
        let content = Content::sparse(blob, file.znode.size, &extents);
        content.map_err(|error| ReadError::Structure { object: file.object, what: error.to_string() })
    }
}

/// The runs of blocks that are there, cut at the end of the file, and how many pointers led to them.
pub(super) fn extents(files: &FileSystem<'_>, file: &File) -> Result<(Vec<Extent>, u64), ReadError> {
    let block_bytes = u64::from(file.dnode.data_block_bytes);
    let mut extents: Vec<Extent> = Vec::new();
    let mut pointers = 0;
    files.objset().for_each_pointer(&file.dnode, |level, number, _| {
        pointers += 1;
        let offset = number.saturating_mul(block_bytes);
        if level > 0 || offset >= file.znode.size {
            return Ok(Visit::Descend);
        }
        let len = block_bytes.min(file.znode.size - offset);
        match extents.last_mut() {
            Some(last) if last.offset + last.len == offset => last.len += len,
            _ => extents.push(Extent { offset, len }),
        }
        Ok(Visit::Descend)
    })?;
    Ok((extents, pointers))
}

/// The data of a file without its holes, as the store wants it.
struct ExtentReader<'a> {
    files: &'a FileSystem<'a>,
    file: &'a File,
    extents: &'a [Extent],
    /// Bytes of the first extent that were read.
    done: u64,
    failed: Option<ReadError>,
}

impl Read for ExtentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = self.extents.split_first() else { return Ok(0) };
        let left = usize::try_from(first.len - self.done).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        let objset = self.files.objset();
        if let Err(error) = objset.read_exact(&self.file.dnode, &mut buffer[..len], first.offset + self.done) {
            // The store knows errors of the system only; the caller looks here first.
            self.failed = Some(error);
            return Err(io::Error::other("a block cannot be read"));
        }
        self.done += len as u64;
        if self.done == first.len {
            self.extents = rest;
            self.done = 0;
        }
        Ok(len)
    }
}

fn metadata(files: &FileSystem<'_>, file: &File) -> Result<Metadata, ReadError> {
    let znode = &file.znode;
    let id = |id: u64, what: &str| {
        u32::try_from(id).map_err(|_| ReadError::Structure { object: file.object, what: format!("{what} {id}") })
    };
    Ok(Metadata {
        uid: id(znode.uid, "the user number")?,
        gid: id(znode.gid, "the group number")?,
        mode: (znode.mode & 0o7777) as u16,
        mtime: timestamp(znode.mtime),
        xattrs: files.xattrs(file)?,
        acl: file.acl()?,
    })
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp { secs: time.secs, nanos: time.nanos.min(999_999_999) }
}
