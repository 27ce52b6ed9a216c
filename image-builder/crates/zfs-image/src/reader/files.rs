//! Files and directories of a file system.

use std::collections::BTreeMap;
use std::sync::Arc;

use image_tree::{AclEntry, XATTR_BYTES_MAX};
use zfs_format::dnode::Dnode;
use zfs_format::object::{MASTER_NODE_OBJECT, ObjectType, ObjsetType, master_node};
use zfs_format::sa::{self, Registry, Znode};
use zfs_format::zap::Value;

use super::{Dataset, Objset, Pool, ReadError};
use crate::acl;

/// The object number in the value of a directory entry.
pub(super) const ENTRY_OBJECT_MASK: u64 = (1 << 48) - 1;
/// Symbolic links followed on one path.
const LINKS_MAX: usize = 40;
/// A path longer than this is no path.
const SYMLINK_BYTES_MAX: u64 = 64 << 10;

/// A file system of an open pool.
#[derive(Debug, Clone)]
pub struct FileSystem<'p> {
    objset: Objset<'p>,
    registry: Registry,
    root: u64,
    delete_queue: Option<u64>,
    shares: Option<u64>,
}

/// A file, directory or anything else with attributes.
#[derive(Debug, Clone)]
pub struct File {
    /// Its object number, which is its inode number.
    pub object: u64,
    /// Its attributes.
    pub znode: Znode,
    /// Where its content is.
    pub dnode: Dnode,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: Vec<u8>,
    /// The object that it leads to.
    pub object: u64,
    /// The type as the entry has it: the upper four bits of a mode.
    pub kind: u8,
}

impl File {
    /// The type: `S_IFMT` of the mode.
    #[must_use]
    pub fn kind(&self) -> u64 {
        self.znode.mode & 0o170_000
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == 0o040_000
    }

    /// The access control list; none if it says no more than the mode.
    ///
    /// # Errors
    /// It is malformed, or about numbers that no tree holds.
    pub fn acl(&self) -> Result<Option<Arc<[AclEntry]>>, ReadError> {
        let malformed = |what: &str| ReadError::Structure { object: self.object, what: what.to_owned() };
        acl::from_znode(&self.znode).map_err(malformed)
    }

    /// Whether this is a regular file.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.kind() == 0o100_000
    }

    /// Whether this is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.kind() == 0o120_000
    }
}

impl Pool<'_> {
    /// The files of a dataset or snapshot.
    ///
    /// # Errors
    /// It is a volume, or its master node cannot be read.
    pub fn file_system(&self, dataset: &Dataset) -> Result<FileSystem<'_>, ReadError> {
        FileSystem::new(self.objset(dataset)?, &dataset.name)
    }
}

impl<'p> FileSystem<'p> {
    fn new(objset: Objset<'p>, name: &str) -> Result<Self, ReadError> {
        if objset.phys().kind != ObjsetType::Zfs {
            return Err(ReadError::WrongKind { path: name.to_owned(), wanted: "file system" });
        }
        let number = |key: &str| -> Result<Option<u64>, ReadError> {
            let value = objset.zap_lookup(MASTER_NODE_OBJECT, key.as_bytes())?;
            Ok(value.as_ref().and_then(Value::as_u64))
        };
        let missing = |key: &str| ReadError::Structure {
            object: MASTER_NODE_OBJECT,
            what: format!("the master node of {name} has no {key}"),
        };
        let root = number(master_node::ROOT)?.ok_or_else(|| missing(master_node::ROOT))?;
        let delete_queue = number(master_node::DELETE_QUEUE)?;
        let shares = number(master_node::SHARES)?;
        let registry = match number(master_node::SA_ATTRS)? {
            Some(attributes) => {
                let zap = |key: &str| -> Result<_, ReadError> {
                    let value = objset.zap_lookup(attributes, key.as_bytes())?;
                    objset.zap_entries(value.as_ref().and_then(Value::as_u64).ok_or_else(|| missing(key))?)
                };
                Registry::from_entries(&zap(master_node::SA_REGISTRY)?, &zap(master_node::SA_LAYOUTS)?)?
            }
            None => Registry::default(),
        };
        Ok(Self { objset, registry, root, delete_queue, shares })
    }

    /// The object set.
    #[must_use]
    pub fn objset(&self) -> &Objset<'p> {
        &self.objset
    }

    /// The attribute registry and the layouts.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The object of the root directory.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The object of the list of files without a name that are yet to be removed.
    #[must_use]
    pub fn delete_queue(&self) -> Option<u64> {
        self.delete_queue
    }

    /// The object of the directory of shares, which has no name.
    #[must_use]
    pub fn shares(&self) -> Option<u64> {
        self.shares
    }

    /// The file of that object number.
    ///
    /// # Errors
    /// There is none, or its attributes cannot be read.
    pub fn file(&self, object: u64) -> Result<File, ReadError> {
        let dnode = self.objset.dnode(object)?;
        let znode = self.znode(object, &dnode)?;
        Ok(File { object, znode, dnode })
    }

    /// The attributes in a dnode and its spill block.
    pub(super) fn znode(&self, object: u64, dnode: &Dnode) -> Result<Znode, ReadError> {
        match dnode.bonus_kind {
            ObjectType::SA => {
                let mut attributes = sa::decode(&dnode.bonus, &self.registry)?;
                if let Some(spill) = &dnode.spill {
                    attributes.extend(sa::decode(&self.objset.pool().read_block(spill)?, &self.registry)?);
                }
                Ok(Znode::from_attributes(&attributes)?)
            }
            ObjectType::ZNODE => Ok(Znode::from_legacy(&dnode.bonus)?),
            other => Err(ReadError::Structure { object, what: format!("an object with a bonus `{other}` is no file") }),
        }
    }

    /// The entries of a directory, in the order of its ZAP.
    ///
    /// # Errors
    /// It is no directory, or cannot be read.
    pub fn read_dir(&self, directory: &File) -> Result<Vec<DirEntry>, ReadError> {
        let mut entries = Vec::new();
        self.for_each_entry(directory, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Calls `visit` with every entry of a directory.
    ///
    /// # Errors
    /// What `visit` returns; it is no directory, or cannot be read.
    pub fn for_each_entry(
        &self,
        directory: &File,
        mut visit: impl FnMut(DirEntry) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.check_directory(directory)?;
        self.objset.for_each_zap_entry(directory.object, |entry| {
            let value = entry.value.as_u64().ok_or_else(|| ReadError::Structure {
                object: directory.object,
                what: format!("the entry {:?} is no number", String::from_utf8_lossy(&entry.name)),
            })?;
            visit(DirEntry { name: entry.name, object: value & ENTRY_OBJECT_MASK, kind: (value >> 60) as u8 })
        })
    }

    fn check_directory(&self, directory: &File) -> Result<(), ReadError> {
        if directory.is_directory() && directory.dnode.kind == ObjectType::DIRECTORY_CONTENTS {
            return Ok(());
        }
        Err(ReadError::WrongKind { path: format!("object {}", directory.object), wanted: "directory" })
    }

    /// The file of that name in a directory; none if there is no such name.
    ///
    /// # Errors
    /// The directory or the file cannot be read.
    pub fn entry(&self, directory: &File, name: &[u8]) -> Result<Option<File>, ReadError> {
        self.check_directory(directory)?;
        let value = self.objset.zap_lookup(directory.object, name)?;
        value.as_ref().and_then(Value::as_u64).map(|value| self.file(value & ENTRY_OBJECT_MASK)).transpose()
    }

    /// The file at a path from the root. Symbolic links on the way are followed inside the file system; the last
    /// component only if `follow` says so.
    ///
    /// # Errors
    /// There is no such path, links go round, or something on the way cannot be read.
    pub fn lookup(&self, path: &[u8], follow: bool) -> Result<File, ReadError> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let mut stack = vec![self.file(self.root)?];
        let mut rest: Vec<Vec<u8>> = components(path);
        let mut links_left = LINKS_MAX;
        while let Some(name) = rest.pop() {
            if name == b".." {
                stack.truncate((stack.len() - 1).max(1));
                continue;
            }
            let Some(current) = stack.last() else { break };
            if !current.is_directory() {
                return Err(ReadError::NotFound(shown()));
            }
            let found = self.entry(current, &name)?.ok_or_else(|| ReadError::NotFound(shown()))?;
            if !found.is_symlink() || (rest.is_empty() && !follow) {
                stack.push(found);
                continue;
            }
            links_left = links_left.checked_sub(1).ok_or_else(|| ReadError::NotFound(shown()))?;
            let target = self.read_link(&found)?;
            if target.starts_with(b"/") {
                stack.truncate(1);
            }
            rest.extend(components(&target));
        }
        stack.pop().ok_or_else(|| ReadError::NotFound(shown()))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn read_link(&self, link: &File) -> Result<Vec<u8>, ReadError> {
        let wrong = |what: &str| ReadError::Structure { object: link.object, what: what.to_owned() };
        if !link.is_symlink() {
            return Err(wrong("the object is no symbolic link"));
        }
        if let Some(target) = &link.znode.symlink {
            let len = usize::try_from(link.znode.size).unwrap_or(usize::MAX);
            return target.get(..len).map(<[u8]>::to_vec).ok_or_else(|| wrong("a link is shorter than its size"));
        }
        // File systems before version 5 keep long targets as content.
        if link.znode.size > SYMLINK_BYTES_MAX {
            return Err(wrong("a link is longer than any path"));
        }
        let mut target = vec![0; link.znode.size as usize];
        self.objset.read_exact(&link.dnode, &mut target, 0)?;
        Ok(target)
    }

    /// Reads from a regular file. Answers how many bytes there were before its end.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> Result<usize, ReadError> {
        let left = usize::try_from(file.znode.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        self.objset.read_exact(&file.dnode, &mut buffer[..len], offset)?;
        Ok(len)
    }

    /// The extended attributes of a file: those in its attribute directory.
    ///
    /// # Errors
    /// The directory or an attribute cannot be read, or they are longer together than a tree's may be.
    pub fn xattrs(&self, file: &File) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
        let mut values = BTreeMap::new();
        let mut left = XATTR_BYTES_MAX;
        self.for_each_attribute(file, |name, attribute| {
            let limit = ReadError::Limit { what: "bytes in extended attributes", limit: XATTR_BYTES_MAX };
            left = left.checked_sub(attribute.znode.size).ok_or(limit)?;
            let mut value = vec![0; attribute.znode.size as usize];
            self.objset.read_exact(&attribute.dnode, &mut value, 0)?;
            values.insert(name, value);
            Ok(())
        })?;
        Ok(values)
    }

    /// The names of a file's extended attributes, and how many bytes each has. None of them is read, however long it is.
    ///
    /// # Errors
    /// The directory or an attribute's attributes cannot be read.
    pub fn xattr_sizes(&self, file: &File) -> Result<BTreeMap<Vec<u8>, u64>, ReadError> {
        let mut sizes = BTreeMap::new();
        self.for_each_attribute(file, |name, attribute| {
            sizes.insert(name, attribute.znode.size);
            Ok(())
        })?;
        Ok(sizes)
    }

    fn for_each_attribute(
        &self,
        file: &File,
        mut visit: impl FnMut(Vec<u8>, File) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let Some(object) = file.znode.xattr else { return Ok(()) };
        let directory = self.file(object)?;
        self.for_each_entry(&directory, |entry| visit(entry.name, self.file(entry.object)?))
    }
}

/// The components of a path, last first; empty ones and `.` left out.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(<[u8]>::to_vec).collect()
}
