//! Directories: in the order of the path table, and as records.

use super::{Boot, CATALOG_NAME, File, IsoImage, Placed};
use crate::el_torito::{BootImage, CATALOG_BYTES};
use crate::names;
use crate::record::{Extent, PARENT, Record, SELF};
use crate::rock_ridge::{self, CONTINUATION_BYTES};
use crate::{IsoError, SECTOR_BYTES};
use image_tree::{Content, ImagePath, Metadata, Node, Timestamp, Tree};
use std::borrow::Cow;

/// A directory and where it is.
#[derive(Debug)]
pub(crate) struct Directory<'a> {
    path: ImagePath,
    node: Cow<'a, Node>,
    /// The name of its row in the path table.
    pub(crate) name: Vec<u8>,
    /// Index of the parent; the root is its own.
    pub(crate) parent: usize,
    entries: Vec<Entry<'a>>,
    pub(crate) extent: Extent,
    /// Where the system use entries are that its records have no room for.
    pub(crate) continued_lba: u32,
}

#[derive(Debug)]
struct Entry<'a> {
    path: ImagePath,
    /// The name in the record.
    name: Vec<u8>,
    node: Cow<'a, Node>,
    links: u32,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Directory(usize),
    File(usize),
    Catalog,
    /// Nothing but its record.
    Nothing,
}

/// Everything in a tree.
pub(crate) struct Contents<'a> {
    /// The root first, then level by level.
    pub(crate) directories: Vec<Directory<'a>>,
    pub(crate) files: Vec<File<'a>>,
    /// For each boot image, its file.
    pub(crate) boot_files: Vec<usize>,
}

/// Path tables number directories with 16 bits.
const DIRECTORIES_MAX: usize = u16::MAX as usize;

pub(super) fn collect<'a>(tree: &'a Tree, boot: &Boot, time: Timestamp) -> Result<Contents<'a>, IsoError> {
    let root = ImagePath::root();
    let node = Node::directory(tree.root_metadata().clone());
    let mut collector = Collector { tree, boot, files: Vec::new(), placed: Placed::new(), boot_files: Vec::new() };
    collector.boot_files.resize(boot.images.len(), usize::MAX);
    let mut directories = vec![Directory::new(root.clone(), Cow::Owned(node), SELF.to_vec(), 0)];
    let mut index = 0;
    // Level by level, which is the order of the path table.
    while index < directories.len() {
        let mut entries = collector.entries(&directories[index].path)?;
        if index == 0 && !boot.images.is_empty() {
            entries.push(catalog_entry(&root, &entries, time)?);
        }
        entries.sort_by(|first, second| first.name.cmp(&second.name));
        for entry in &mut entries {
            if let What::Directory(number) = &mut entry.what {
                *number = directories.len();
                let (path, name) = (entry.path.clone(), entry.name.clone());
                directories.push(Directory::new(path, entry.node.clone(), name, index));
            }
        }
        directories[index].entries = entries;
        index += 1;
    }
    if directories.len() > DIRECTORIES_MAX {
        return Err(IsoError::TooManyDirectories { count: directories.len() });
    }
    Ok(Contents { directories, files: collector.files, boot_files: collector.boot_files })
}

fn catalog_entry<'a>(root: &ImagePath, others: &[Entry<'a>], time: Timestamp) -> Result<Entry<'a>, IsoError> {
    let path = root.join(CATALOG_NAME).expect("a constant name");
    if others.iter().any(|entry| entry.path == path || entry.name == CATALOG_NAME) {
        return Err(IsoError::CatalogName { path });
    }
    let metadata = Metadata { mtime: time, ..Metadata::new(0, 0, 0o444) };
    let node = Node::regular(Content::empty(), metadata);
    Ok(Entry { path, name: CATALOG_NAME.to_vec(), node: Cow::Owned(node), links: 1, what: What::Catalog })
}

struct Collector<'a, 'b> {
    tree: &'a Tree,
    boot: &'b Boot,
    files: Vec<File<'a>>,
    placed: Placed<'a>,
    boot_files: Vec<usize>,
}

impl<'a> Collector<'a, '_> {
    fn entries(&mut self, directory: &ImagePath) -> Result<Vec<Entry<'a>>, IsoError> {
        let listed: Vec<(&[u8], &Node)> = self.tree.read_dir(directory).into_iter().flatten().collect();
        let names = names::assign(listed.iter().map(|(name, _)| *name));
        let mut entries = Vec::with_capacity(listed.len());
        for ((name, node), short) in listed.into_iter().zip(names) {
            let path = directory.join(name).expect("a name that is in a tree");
            let what = match node.content() {
                Some(content) => What::File(self.file(&path, content)),
                // Its number is known when it is its turn.
                None if node.is_directory() => What::Directory(0),
                None => What::Nothing,
            };
            let links = if node.is_directory() {
                2 + self.tree.read_dir(&path).into_iter().flatten().filter(|(_, node)| node.is_directory()).count()
            } else {
                self.tree.links(&path).map_or(1, |links| links.count())
            };
            let links = u32::try_from(links).unwrap_or(u32::MAX);
            entries.push(Entry { path, name: short, node: Cow::Borrowed(node), links, what });
        }
        Ok(entries)
    }

    /// The file of a content; a boot image for a BIOS is changed, and so has a copy of its own.
    fn file(&mut self, path: &ImagePath, content: &'a Content) -> usize {
        let boot = self.boot;
        let booted = || (0..boot.images.len()).filter(|image| boot.images[*image].1 == *path);
        let has_table = booted().any(|image| boot.images[image].0 == BootImage::Bios);
        let number = match self.placed.get(content) {
            Some(number) if !has_table => *number,
            _ => {
                self.files.push(File { path: path.clone(), content, lba: 0, has_table });
                let number = self.files.len() - 1;
                if !has_table {
                    self.placed.insert(content, number);
                }
                number
            }
        };
        for image in booted() {
            self.boot_files[image] = number;
        }
        number
    }
}

impl<'a> Directory<'a> {
    fn new(path: ImagePath, node: Cow<'a, Node>, name: Vec<u8>, parent: usize) -> Self {
        let (entries, extent, continued_lba) = (Vec::new(), Extent::default(), 0);
        Self { path, node, name, parent, entries, extent, continued_lba }
    }

    /// The record of this directory under a name.
    pub(crate) fn record<'n>(&self, name: &'n [u8]) -> Record<'n> {
        let time = self.node.metadata.mtime;
        Record { name, extent: self.extent, time, is_directory: true, has_more: false }
    }

    fn links(&self) -> u32 {
        let below = self.entries.iter().filter(|entry| matches!(entry.what, What::Directory(_))).count();
        u32::try_from(2 + below).unwrap_or(u32::MAX)
    }
}

impl IsoImage<'_> {
    /// The records of a directory, filled up to whole sectors, and the system use entries that go on elsewhere.
    pub(crate) fn encode_directory(&self, index: usize) -> Result<(Vec<u8>, Vec<u8>), IsoError> {
        let directory = &self.directories[index];
        let mut area = Continued { lba: directory.continued_lba, bytes: Vec::new() };
        let mut records = Records::default();

        let mut own = rock_ridge::entries(&directory.node, directory.links(), None);
        if index == 0 {
            own.insert(0, rock_ridge::sharing_protocol());
            own.push(rock_ridge::extension());
        }
        records.push(&directory.record(SELF), &area.fit(own, SELF, &directory.path)?);
        let parent = &self.directories[directory.parent];
        let above = rock_ridge::entries(&parent.node, parent.links(), None);
        records.push(&parent.record(PARENT), &area.fit(above, PARENT, &directory.path)?);

        for entry in &directory.entries {
            let name = entry.path.file_name().unwrap_or_default();
            let system_use = rock_ridge::entries(&entry.node, entry.links, Some(name));
            let system_use = area.fit(system_use, &entry.name, &entry.path)?;
            let sections = self.sections(entry);
            let is_directory = matches!(entry.what, What::Directory(_));
            for (number, extent) in sections.iter().enumerate() {
                let has_more = number + 1 < sections.len();
                let (name, time) = (entry.name.as_slice(), entry.node.metadata.mtime);
                records.push(&Record { name, extent: *extent, time, is_directory, has_more }, &system_use);
            }
        }
        Ok((records.finish(), area.bytes))
    }

    fn sections(&self, entry: &Entry<'_>) -> Vec<Extent> {
        match entry.what {
            What::Directory(index) => vec![self.directories[index].extent],
            What::File(index) => self.files[index].sections(),
            What::Catalog => {
                let lba = self.catalog.as_ref().map_or(0, |catalog| catalog.lba);
                vec![Extent { lba, bytes: CATALOG_BYTES as u32 }]
            }
            What::Nothing => vec![Extent::default()],
        }
    }
}

/// The records of a directory; none crosses the end of a sector.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    fn push(&mut self, record: &Record<'_>, system_use: &[u8]) {
        const SECTOR: usize = SECTOR_BYTES as usize;
        let encoded = record.encode(system_use);
        if self.0.len() % SECTOR + encoded.len() > SECTOR {
            self.0.resize(self.0.len().next_multiple_of(SECTOR), 0);
        }
        self.0.extend(encoded);
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(SECTOR_BYTES as usize), 0);
        self.0
    }
}

/// Where system use entries go on that a record has no room for.
struct Continued {
    lba: u32,
    bytes: Vec<u8>,
}

impl Continued {
    /// What stands in the record itself; the rest is put here, in one piece that does not cross a sector, as
    /// readers want it.
    fn fit(&mut self, entries: Vec<Vec<u8>>, name: &[u8], path: &ImagePath) -> Result<Vec<u8>, IsoError> {
        const SECTOR: usize = SECTOR_BYTES as usize;
        let room = Record::room(name);
        let total: usize = entries.iter().map(Vec::len).sum();
        if total <= room {
            return Ok(entries.concat());
        }
        let (mut here, mut rest) = (Vec::new(), Vec::new());
        for entry in entries {
            if rest.is_empty() && here.len() + entry.len() + CONTINUATION_BYTES <= room {
                here.extend(entry);
            } else {
                rest.extend(entry);
            }
        }
        if rest.len() > SECTOR {
            return Err(IsoError::LinkTooLong { path: path.clone() });
        }
        if self.bytes.len() % SECTOR + rest.len() > SECTOR {
            self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR), 0);
        }
        let (sector, offset) = (self.bytes.len() / SECTOR, self.bytes.len() % SECTOR);
        here.extend(rock_ridge::continuation(self.lba + sector as u32, offset as u32, rest.len() as u32));
        self.bytes.extend(rest);
        Ok(here)
    }
}
