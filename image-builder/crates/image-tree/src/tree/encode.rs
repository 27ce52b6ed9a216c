//! The stored form of directories and trees: `docs/formats/content-store.md`, "Objects".
//!
//! One value has exactly one encoding, so that equal trees have equal hashes; the decoder refuses all others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::directory::{Directory, Entry};
use crate::acl::{ACL_ENTRIES_MAX, AclEntry, AclKind, AclWho};
use crate::hash::BlobHash;
use crate::node::{Content, Extent, MODE_MASK, Metadata, Node, NodeKind, Timestamp};
use crate::path::ImagePath;

const DIRECTORY_MAGIC: &[u8; 8] = b"imgdir\0\x01";
const TREE_MAGIC: &[u8; 8] = b"imgtree\x01";

/// The bit of a stored mode that says that an access control list follows.
const MODE_HAS_ACL: u16 = 0x8000;

const KIND_DIRECTORY: u8 = 1;
const KIND_REGULAR: u8 = 2;
const KIND_SYMLINK: u8 = 3;
const KIND_CHAR_DEVICE: u8 = 4;
const KIND_BLOCK_DEVICE: u8 = 5;
const KIND_FIFO: u8 = 6;

/// Bytes that are not the encoding of a directory or a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {object} object: {what} at byte {offset}")]
pub struct FormatError {
    /// `directory` or `tree`.
    pub object: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// Where decoding stopped.
    pub offset: usize,
}

/// A decoded directory object, whose subdirectories are still only hashes.
#[derive(Debug)]
pub(super) struct DirectoryObject {
    pub(super) metadata: Metadata,
    pub(super) entries: BTreeMap<Arc<[u8]>, EntryObject>,
}

#[derive(Debug)]
pub(super) enum EntryObject {
    Directory(BlobHash),
    Leaf(Node),
}

impl EntryObject {
    /// The address of the directory, if it is one.
    pub(super) fn directory(&self) -> Option<BlobHash> {
        match self {
            Self::Directory(hash) => Some(*hash),
            Self::Leaf(_) => None,
        }
    }
}

/// A decoded tree object.
#[derive(Debug)]
pub(super) struct TreeObject {
    pub(super) root: BlobHash,
    pub(super) links: Vec<BTreeSet<ImagePath>>,
}

pub(super) fn encode_directory(directory: &Directory) -> Vec<u8> {
    let mut out = DIRECTORY_MAGIC.to_vec();
    put_metadata(&mut out, &directory.node.metadata);
    put_count(&mut out, directory.entries.len());
    for (name, entry) in &directory.entries {
        match entry {
            Entry::Directory(below) => {
                put_name(&mut out, KIND_DIRECTORY, name);
                out.extend_from_slice(below.hash().as_bytes());
            }
            Entry::Leaf(node) => put_leaf(&mut out, name, node),
        }
    }
    out
}

pub(super) fn encode_tree(root: &BlobHash, links: &[&BTreeSet<ImagePath>]) -> Vec<u8> {
    let mut out = TREE_MAGIC.to_vec();
    out.extend_from_slice(root.as_bytes());
    put_count(&mut out, links.len());
    for paths in links {
        put_count(&mut out, paths.len());
        paths.iter().for_each(|path| put_bytes(&mut out, path.as_bytes()));
    }
    out
}

fn put_leaf(out: &mut Vec<u8>, name: &[u8], node: &Node) {
    let kind = match node.kind {
        NodeKind::Directory => unreachable!("directories have objects of their own"),
        NodeKind::Regular(_) => KIND_REGULAR,
        NodeKind::Symlink(_) => KIND_SYMLINK,
        NodeKind::CharDevice { .. } => KIND_CHAR_DEVICE,
        NodeKind::BlockDevice { .. } => KIND_BLOCK_DEVICE,
        NodeKind::Fifo => KIND_FIFO,
    };
    put_name(out, kind, name);
    put_metadata(out, &node.metadata);
    match &node.kind {
        NodeKind::Directory | NodeKind::Fifo => {}
        NodeKind::Regular(content) => put_content(out, content),
        NodeKind::Symlink(target) => put_bytes(out, target),
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            out.extend_from_slice(&major.to_le_bytes());
            out.extend_from_slice(&minor.to_le_bytes());
        }
    }
}

fn put_name(out: &mut Vec<u8>, kind: u8, name: &[u8]) {
    // Names have at most 255 bytes, which `ImagePath` sees to.
    out.push(kind);
    out.push(u8::try_from(name.len()).expect("a name within NAME_BYTES_MAX"));
    out.extend_from_slice(name);
}

fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    out.extend_from_slice(&metadata.uid.to_le_bytes());
    out.extend_from_slice(&metadata.gid.to_le_bytes());
    let acl_bit = if metadata.acl.is_some() { MODE_HAS_ACL } else { 0 };
    out.extend_from_slice(&(metadata.mode | acl_bit).to_le_bytes());
    out.extend_from_slice(&metadata.mtime.secs.to_le_bytes());
    out.extend_from_slice(&metadata.mtime.nanos.to_le_bytes());
    put_count(out, metadata.xattrs.len());
    for (name, value) in &metadata.xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
    metadata.acl.iter().for_each(|acl| put_acl(out, acl));
}

fn put_acl(out: &mut Vec<u8>, acl: &[AclEntry]) {
    put_count(out, acl.len());
    for entry in acl {
        let (who, id) = match entry.who {
            AclWho::Owner => (0, 0),
            AclWho::Group => (1, 0),
            AclWho::Everyone => (2, 0),
            AclWho::User(id) => (3, id),
            AclWho::NamedGroup(id) => (4, id),
        };
        out.extend_from_slice(&[who, entry.kind as u8]);
        out.extend_from_slice(&entry.flags.to_le_bytes());
        out.extend_from_slice(&entry.mask.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
}

fn put_content(out: &mut Vec<u8>, content: &Content) {
    out.extend_from_slice(content.blob().as_bytes());
    out.extend_from_slice(&content.len().to_le_bytes());
    let Some(extents) = content.extents() else {
        return out.push(0);
    };
    out.push(1);
    put_count(out, extents.len());
    for extent in extents {
        out.extend_from_slice(&extent.offset.to_le_bytes());
        out.extend_from_slice(&extent.len.to_le_bytes());
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // A count of 2³² entries or bytes would mean an object of many GiB, which does not fit in memory first.
    out.extend_from_slice(&u32::try_from(count).expect("fewer than 2^32 parts").to_le_bytes());
}

pub(super) fn decode_directory(bytes: &[u8]) -> Result<DirectoryObject, FormatError> {
    let mut input = Input::new("directory", bytes);
    input.magic(DIRECTORY_MAGIC)?;
    let metadata = input.metadata()?;
    let mut entries: BTreeMap<Arc<[u8]>, EntryObject> = BTreeMap::new();
    for _ in 0..input.u32()? {
        let kind = input.u8()?;
        let length = usize::from(input.u8()?);
        let name: Arc<[u8]> = input.take(length)?.into();
        if matches!(&*name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(input.error("an impossible name"));
        }
        if entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(input.error("names out of order"));
        }
        let entry = match kind {
            KIND_DIRECTORY => EntryObject::Directory(input.hash()?),
            _ => EntryObject::Leaf(input.leaf(kind)?),
        };
        entries.insert(name, entry);
    }
    input.end()?;
    Ok(DirectoryObject { metadata, entries })
}

pub(super) fn decode_tree(bytes: &[u8]) -> Result<TreeObject, FormatError> {
    let mut input = Input::new("tree", bytes);
    input.magic(TREE_MAGIC)?;
    let root = input.hash()?;
    let mut links: Vec<BTreeSet<ImagePath>> = Vec::new();
    let mut all = BTreeSet::new();
    for _ in 0..input.u32()? {
        let mut set = BTreeSet::new();
        for _ in 0..input.u32()? {
            let path = ImagePath::new(input.bytes()?).map_err(|_| input.error("an impossible path"))?;
            if set.last().is_some_and(|last| *last >= path) || !all.insert(path.clone()) {
                return Err(input.error("paths out of order or repeated"));
            }
            set.insert(path);
        }
        if set.len() < 2 || links.last().is_some_and(|last| last.first() >= set.first()) {
            return Err(input.error("a set of links that is too small or out of order"));
        }
        links.push(set);
    }
    input.end()?;
    Ok(TreeObject { root, links })
}

/// What is left to decode.
struct Input<'a> {
    object: &'static str,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Input<'a> {
    fn new(object: &'static str, bytes: &'a [u8]) -> Self {
        Self { object, bytes, offset: 0 }
    }

    fn error(&self, what: &'static str) -> FormatError {
        FormatError { object: self.object, what, offset: self.offset }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.offset..];
        let taken = rest.get(..count).ok_or_else(|| self.error("a premature end"))?;
        self.offset += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    fn magic(&mut self, magic: &[u8; 8]) -> Result<(), FormatError> {
        if self.array::<8>()? == *magic { Ok(()) } else { Err(self.error("an unknown kind or version")) }
    }

    fn end(&self) -> Result<(), FormatError> {
        if self.offset == self.bytes.len() { Ok(()) } else { Err(self.error("bytes after the end")) }
    }

    fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn hash(&mut self) -> Result<BlobHash, FormatError> {
        Ok(BlobHash::from_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let count = self.u32()?;
        self.take(usize::try_from(count).map_err(|_| self.error("an impossible length"))?)
    }

    fn leaf(&mut self, kind: u8) -> Result<Node, FormatError> {
        let metadata = self.metadata()?;
        let kind = match kind {
            KIND_REGULAR => NodeKind::Regular(self.content()?),
            KIND_SYMLINK => NodeKind::Symlink(self.bytes()?.to_vec()),
            KIND_CHAR_DEVICE => NodeKind::CharDevice { major: self.u32()?, minor: self.u32()? },
            KIND_BLOCK_DEVICE => NodeKind::BlockDevice { major: self.u32()?, minor: self.u32()? },
            KIND_FIFO => NodeKind::Fifo,
            _ => return Err(self.error("an unknown kind of node")),
        };
        Ok(Node { kind, metadata })
    }

    fn metadata(&mut self) -> Result<Metadata, FormatError> {
        let (uid, gid) = (self.u32()?, self.u32()?);
        let stored_mode = u16::from_le_bytes(self.array()?);
        let mode = stored_mode & !MODE_HAS_ACL;
        let mtime = Timestamp { secs: i64::from_le_bytes(self.array()?), nanos: self.u32()? };
        if mode & !MODE_MASK != 0 || mtime.nanos >= 1_000_000_000 {
            return Err(self.error("an impossible mode or time"));
        }
        let mut xattrs: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for _ in 0..self.u32()? {
            let name = self.bytes()?;
            if xattrs.last_key_value().is_some_and(|(last, _)| last.as_slice() >= name) {
                return Err(self.error("extended attributes out of order"));
            }
            xattrs.insert(name.to_vec(), self.bytes()?.to_vec());
        }
        let acl = if stored_mode & MODE_HAS_ACL == 0 { None } else { Some(self.acl()?) };
        Ok(Metadata { uid, gid, mode, mtime, xattrs, acl })
    }

    fn acl(&mut self) -> Result<Arc<[AclEntry]>, FormatError> {
        let mut entries = Vec::new();
        for _ in 0..self.u32()? {
            let [who, kind] = self.array()?;
            let (flags, mask, id) = (u16::from_le_bytes(self.array()?), self.u32()?, self.u32()?);
            let who = match (who, id) {
                (0, 0) => AclWho::Owner,
                (1, 0) => AclWho::Group,
                (2, 0) => AclWho::Everyone,
                (3, id) => AclWho::User(id),
                (4, id) => AclWho::NamedGroup(id),
                _ => return Err(self.error("an entry about nobody in an access control list")),
            };
            let kind = AclKind::from_number(u16::from(kind)).ok_or_else(|| self.error("an unknown kind of entry"))?;
            let entry = AclEntry { who, kind, flags, mask };
            if !entry.is_valid() || entries.len() == ACL_ENTRIES_MAX {
                return Err(self.error("an impossible access control list"));
            }
            entries.push(entry);
        }
        if entries.is_empty() { Err(self.error("an empty access control list")) } else { Ok(entries.into()) }
    }

    fn content(&mut self) -> Result<Content, FormatError> {
        let (blob, len) = (self.hash()?, self.u64()?);
        match self.u8()? {
            0 => Ok(Content::plain(blob, len)),
            1 => {
                let mut extents = Vec::new();
                for _ in 0..self.u32()? {
                    extents.push(Extent { offset: self.u64()?, len: self.u64()? });
                }
                let content = Content::sparse(blob, len, &extents).ok();
                let is_canonical = |content: &Content| content.extents() == Some(&extents);
                content.filter(is_canonical).ok_or_else(|| self.error("an impossible list of extents"))
            }
            _ => Err(self.error("an unknown form of content")),
        }
    }
}
