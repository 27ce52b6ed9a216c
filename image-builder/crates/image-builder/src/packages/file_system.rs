//! File systems with an image in them, as trees: directories of this host, and the pools of disk images.

use crate::inspect::{DiskImage, Found, ImagePlace, walk_below};
use image_tree::{Content, ImagePath, Metadata, Node, Store, Timestamp, Tree, TreeError};
use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zfs_image::reader::{File, FileSystem, ReadError};

type Failed = Box<dyn Error + Send + Sync>;

/// How much of a file system is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// What the image knows of itself: enough to say which packages there are.
    Metadata,
    /// Everything, to be compared with what packages deliver.
    Everything,
}

/// Where an image keeps what it knows of itself, from the root.
const METADATA: &[u8] = b"var/pkg";

impl Extent {
    /// Whether something is read, by its path from the root without a leading slash.
    fn has(self, path: &[u8]) -> bool {
        let (shorter, longer) = if path.len() < METADATA.len() { (path, METADATA) } else { (METADATA, path) };
        let is_on_the_way = longer.starts_with(shorter) && matches!(longer.get(shorter.len()), None | Some(b'/'));
        self == Self::Everything || is_on_the_way
    }
}

/// A tree that grows.
struct Growing<'s> {
    tree: Tree,
    store: &'s Store,
    /// The first name of each file, by its device and number: further ones are hard links.
    files: HashMap<(u64, u64), ImagePath>,
}

impl<'s> Growing<'s> {
    fn new(root: Metadata, store: &'s Store) -> Self {
        Self { tree: Tree::new(root), store, files: HashMap::new() }
    }

    /// Adds a file, or another name of one; `content` is asked for once.
    fn add_regular(
        &mut self,
        path: &[u8],
        identity: (u64, u64),
        metadata: Metadata,
        content: impl FnOnce(&Self) -> Result<Content, Failed>,
    ) -> Result<(), Failed> {
        let at = ImagePath::from_relative(path)?;
        if let Some(first) = self.files.get(&identity) {
            return Ok(self.tree.hard_link(first, &at).map(drop)?);
        }
        let node = Node::regular(content(self)?, metadata);
        self.files.insert(identity, at);
        self.add(path, node)
    }

    fn add(&mut self, path: &[u8], node: Node) -> Result<(), Failed> {
        let path = ImagePath::from_relative(path)?;
        self.tree.insert(&path, node).map(drop).map_err(|source: TreeError| source.into())
    }

    fn keep(&self, content: impl Read) -> Result<Content, Failed> {
        Ok(self.store.put_reader(content)?)
    }
}

/// The tree below a directory of this host. Devices and sockets are left out: no package delivers any.
pub(super) fn of_directory(root: &Path, store: &Store, extent: Extent) -> Result<Tree, Failed> {
    let metadata = |found: &fs::Metadata| Metadata {
        mtime: Timestamp { secs: found.mtime(), nanos: 0 },
        ..Metadata::new(found.uid(), found.gid(), mode_bits(u64::from(found.mode())))
    };
    let mut growing = Growing::new(metadata(&fs::metadata(root)?), store);
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let below = path.strip_prefix(root)?.as_os_str().as_bytes().to_vec();
            if !extent.has(&below) {
                continue;
            }
            let found = fs::symlink_metadata(&path)?;
            let kind = found.file_type();
            let node = if kind.is_dir() {
                open.push(path);
                Node::directory(metadata(&found))
            } else if kind.is_symlink() {
                Node::symlink(fs::read_link(&path)?.as_os_str().as_bytes(), metadata(&found))
            } else if kind.is_file() {
                growing.add_regular(&below, (found.dev(), found.ino()), metadata(&found), |growing| {
                    growing.keep(fs::File::open(&path).map_err(|error| named(&path, &error))?)
                })?;
                continue;
            } else {
                continue;
            };
            growing.add(&below, node)?;
        }
    }
    Ok(growing.tree)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Only the bits that are permissions.
fn mode_bits(mode: u64) -> u16 {
    u16::try_from(mode & u64::from(image_tree::MODE_MASK)).unwrap_or(image_tree::MODE_MASK)
}

/// The tree in the dataset that a disk image boots, or that was named.
pub(super) fn of_disk_image(place: &ImagePlace, store: &Store, extent: Extent) -> Result<Tree, Failed> {
    let image = DiskImage::open_in_spite_of_damage(place)?;
    let pool = image.pool()?;
    let dataset = image.dataset(&pool, place.dataset.as_deref())?;
    let files = image.file_system(&pool, &dataset)?;
    let root = files.file(files.root())?;
    let mut growing = Growing::new(metadata_of(&root), store);
    // Whole directories that are not wanted are passed by, and not entered to find that out.
    let mut starts = vec![Found { path: b"/".to_vec(), file: root }];
    if extent == Extent::Metadata {
        starts = on_the_way(&files, &mut growing)?;
    }
    for start in starts {
        walk_below(&files, &start, &mut |found| growing.add_file(&files, found))?;
    }
    Ok(growing.tree)
}

/// The directory of the metadata, with those above it in the tree; nothing if it is not there.
fn on_the_way(files: &FileSystem<'_>, growing: &mut Growing<'_>) -> Result<Vec<Found>, Failed> {
    let mut path = Vec::new();
    for name in METADATA.split(|byte| *byte == b'/') {
        path = crate::inspect::join(if path.is_empty() { b"/" } else { &path }, name);
        let file = match files.lookup(&path, false) {
            Ok(file) if file.is_directory() => file,
            Ok(_) | Err(ReadError::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        growing.add(&path[1..], Node::directory(metadata_of(&file)))?;
    }
    Ok(vec![Found { file: files.lookup(&path, false)?, path }])
}

impl Growing<'_> {
    fn add_file(&mut self, files: &FileSystem<'_>, found: &Found) -> Result<(), Failed> {
        let Found { path, file } = found;
        let metadata = metadata_of(file);
        let node = if file.is_directory() {
            Node::directory(metadata)
        } else if file.is_symlink() {
            Node::symlink(files.read_link(file)?, metadata)
        } else if file.is_regular() {
            let content = |growing: &Self| growing.keep(FileReader { files, file, at: 0 });
            return self.add_regular(&path[1..], (0, file.object), metadata, content);
        } else {
            return Ok(());
        };
        self.add(&path[1..], node)
    }
}

fn metadata_of(file: &File) -> Metadata {
    let owner = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Metadata::new(owner(file.znode.uid), owner(file.znode.gid), mode_bits(file.znode.mode))
}

/// The content of a file in a pool, from its beginning.
struct FileReader<'f, 'p> {
    files: &'f FileSystem<'p>,
    file: &'f File,
    at: u64,
}

impl Read for FileReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.files.read_at(self.file, buffer, self.at).map_err(io::Error::other)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_what_is_below_one_directory_and_the_way_to_it() {
        for (path, expected) in [
            ("var", true),
            ("var/pkg", true),
            ("var/pkg/pkg5.image", true),
            ("va", false),
            ("var/pkgs", false),
            ("var/log", false),
            ("etc", false),
        ] {
            assert_eq!(Extent::Metadata.has(path.as_bytes()), expected, "{path}");
            assert!(Extent::Everything.has(path.as_bytes()));
        }
    }
}
