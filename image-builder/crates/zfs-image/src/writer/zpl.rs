//! From a tree to the objects of a file system: files, directories, links, devices and extended attributes.

use std::collections::{BTreeMap, VecDeque};

use image_tree::{Content, Metadata, NodeKind};
use zfs_format::acl;
use zfs_format::dnode::flags;
use zfs_format::object::{MASTER_NODE_OBJECT, ObjectType, master_node};
use zfs_format::sa::{self, DeviceNumbers, Layouts, Time, Znode};
use zfs_format::zap::{self, Options, ZapEntry, ZapError};

use super::error::WriteError;
use super::object::{Data, Object, Policies, write_objects};
use super::objset::{ObjsetWriter, WrittenObjset};
use super::pipeline::{Fault, Pipeline};
use super::plan::{DELETE_QUEUE_OBJECT, Plan, Planned, ROOT_OBJECT, entry_value, type_bits};
use super::seed::Seed;
use crate::acl::to_aces;

/// `ZPL_VERSION_SA`.
const ZPL_VERSION: u64 = 5;
/// What `dmu_object_alloc` gives an object that asks for no size.
const BLOCK_BYTES_MIN: u32 = 512;
/// `DN_OLD_MAX_BONUSLEN`.
const BONUS_BYTES_MAX: usize = 320;

/// What a file system is made of, beside its tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileSystem<'s> {
    /// The dataset's name, for messages.
    pub(super) dataset: &'s str,
    pub(super) policies: Policies,
    /// Bytes of a block of files that have more than one.
    pub(super) record_bytes: u32,
    pub(super) devices: DeviceNumbers,
    pub(super) seed: Seed<'s>,
    /// The transaction group of creation of all files.
    pub(super) generation: u64,
}

/// Writes the object set of a file system with what is in `plan`.
pub(super) fn write_file_system(
    pipeline: &Pipeline<'_>,
    file_system: &FileSystem<'_>,
    plan: &Plan<'_>,
) -> Result<WrittenObjset, Fault> {
    let mut objset = ObjsetWriter::new(pipeline, file_system.policies);
    let attributes = plan.end;
    let fixed = file_system.fixed_objects(attributes)?;
    let mut nodes = Nodes { file_system, plan, next: 0, ready: VecDeque::new(), layouts: Layouts::default() };
    let policies = &file_system.policies;
    write_objects(pipeline, policies, fixed.into_iter().map(Ok::<_, Fault>), |number, dnode, usage| {
        objset.add(number, &dnode, usage, None)
    })?;
    write_objects(pipeline, policies, &mut nodes, |number, dnode, usage| {
        let owner = plan.node(number).map(|planned| &planned.node.metadata);
        objset.add(number, &dnode, usage, owner.map(|owner| (u64::from(owner.uid), u64::from(owner.gid))))
    })?;
    let attributes = file_system.attribute_objects(attributes, &nodes.layouts)?;
    write_objects(pipeline, policies, attributes.into_iter().map(Ok::<_, Fault>), |number, dnode, usage| {
        objset.add(number, &dnode, usage, None)
    })?;
    objset.finish()
}

impl FileSystem<'_> {
    /// The master node and the delete queue. `attributes` is the object of the attributes.
    fn fixed_objects(&self, attributes: u64) -> Result<Vec<Object<'static>>, Fault> {
        let master = [
            // Properties that cannot be changed after creation; all are the default.
            ZapEntry::integer(master_node::NORMALIZATION, 0),
            ZapEntry::integer(master_node::UTF8_ONLY, 0),
            ZapEntry::integer(master_node::CASE_SENSITIVITY, 0),
            ZapEntry::integer(master_node::VERSION, ZPL_VERSION),
            ZapEntry::integer(master_node::SA_ATTRS, attributes),
            ZapEntry::integer(master_node::DELETE_QUEUE, DELETE_QUEUE_OBJECT),
            ZapEntry::integer(master_node::ROOT, ROOT_OBJECT),
        ];
        Ok(vec![
            self.zap(MASTER_NODE_OBJECT, ObjectType::MASTER_NODE, &master)?,
            self.zap(DELETE_QUEUE_OBJECT, ObjectType::UNLINKED_SET, &[])?,
        ])
    }

    /// The attributes' master node, registry and layouts, with three numbers from `first` on.
    fn attribute_objects(&self, first: u64, layouts: &Layouts) -> Result<Vec<Object<'static>>, Fault> {
        let master = [
            ZapEntry::integer(master_node::SA_REGISTRY, first + 1),
            ZapEntry::integer(master_node::SA_LAYOUTS, first + 2),
        ];
        Ok(vec![
            self.zap(first, ObjectType::SA_MASTER_NODE, &master)?,
            self.zap(first + 1, ObjectType::SA_ATTR_REGISTRATION, &sa::registry_entries())?,
            self.zap(first + 2, ObjectType::SA_ATTR_LAYOUTS, &layouts.zap_entries())?,
        ])
    }

    fn zap(&self, number: u64, kind: ObjectType, entries: &[ZapEntry]) -> Result<Object<'static>, Fault> {
        zap_object(number, kind, entries, self.seed)
            .map_err(|error| Fault::Format(format!("object {number} of `{}`: {error}", self.dataset)))
    }
}

/// An object that is a ZAP.
pub(super) fn zap_object(
    number: u64,
    kind: ObjectType,
    entries: &[ZapEntry],
    seed: Seed<'_>,
) -> Result<Object<'static>, ZapError> {
    let mut attempt = 0;
    loop {
        let salt = seed.word("salt", number << 8 | attempt);
        match zap::encode(entries, salt, &Options::default()) {
            Ok(zap) => return Ok(Object::of_blocks(number, kind, zap.block_bytes as u32, zap.blocks)),
            // Names of different lengths part with another salt. The hashes of names of one length differ by the same bits
            // with every salt, because a CRC is linear: such names ZFS could not store either (`zap_grow_ptrtbl`, ENOSPC).
            Err(ZapError::Collisions) if attempt < 16 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Yields the objects of all nodes in the order of their numbers.
struct Nodes<'n, 't> {
    file_system: &'n FileSystem<'n>,
    plan: &'n Plan<'t>,
    next: usize,
    ready: VecDeque<Object<'t>>,
    layouts: Layouts,
}

impl<'t> Iterator for Nodes<'_, 't> {
    type Item = Result<Object<'t>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(object) = self.ready.pop_front() {
            return Some(Ok(object));
        }
        let planned = *self.plan.nodes.get(self.next)?;
        self.next += 1;
        match self.objects(&planned) {
            Ok(object) => Some(Ok(object)),
            Err(reason) => Some(Err(Fault::Refused(Box::new(WriteError::Node {
                dataset: self.file_system.dataset.to_owned(),
                path: self.plan.path(planned.number),
                reason,
            })))),
        }
    }
}

impl<'t> Nodes<'_, 't> {
    /// The object of a node; those of its extended attributes are put into `ready`.
    fn objects(&mut self, planned: &Planned<'t>) -> Result<Object<'t>, String> {
        let node = planned.node;
        let mut znode = znode(&node.metadata, &node.kind, self.file_system.generation);
        znode.parent = planned.parent;
        znode.links = planned.links;
        znode.xattr = planned.xattr_directory();
        let mut object = match &node.kind {
            NodeKind::Directory => {
                let (object, entries) = self.directory(planned)?;
                znode.size = entries + 2;
                object
            }
            NodeKind::Regular(content) => {
                znode.size = content.len();
                self.file(planned.number, content.len(), Data::File(content))
            }
            NodeKind::Symlink(target) => {
                znode.size = target.len() as u64;
                znode.symlink = Some(target.clone());
                self.file(planned.number, 0, Data::Blocks(Vec::new()))
            }
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                let number = self.file_system.devices.encode(*major, *minor);
                let too_large = || format!("the device number {major}, {minor} is too large for the target");
                znode.rdev = Some(number.ok_or_else(too_large)?);
                self.file(planned.number, 0, Data::Blocks(Vec::new()))
            }
            NodeKind::Fifo => self.file(planned.number, 0, Data::Blocks(Vec::new())),
        };
        self.set_attributes(&mut object, &znode)?;
        if let Some(directory) = znode.xattr {
            self.xattrs(directory, planned.number, &node.metadata)?;
        }
        Ok(object)
    }

    fn directory(&self, planned: &Planned<'t>) -> Result<(Object<'t>, u64), String> {
        let directory = planned.directory.and_then(|index| self.plan.directories.get(index));
        let directory = directory.ok_or("a directory that was not planned")?;
        let names = self.plan.names(directory);
        let entries: Vec<ZapEntry> =
            names.zip(&directory.entries).map(|(name, value)| ZapEntry::integer(name, *value)).collect();
        let kind = ObjectType::DIRECTORY_CONTENTS;
        let object = zap_object(planned.number, kind, &entries, self.file_system.seed);
        Ok((object.map_err(|error| error.to_string())?, entries.len() as u64))
    }

    fn file(&self, number: u64, len: u64, data: Data<'t>) -> Object<'t> {
        Object { data, ..file_object(number, len, self.file_system.record_bytes) }
    }

    fn set_attributes(&mut self, object: &mut Object<'_>, znode: &Znode) -> Result<(), String> {
        let encoded = sa::encode(&znode.attributes(), BONUS_BYTES_MAX, &mut self.layouts);
        let encoded = encoded.map_err(|error| error.to_string())?;
        object.bonus_kind = ObjectType::SA;
        object.bonus = encoded.bonus;
        object.spill = encoded.spill;
        object.flags = flags::USERUSED_ACCOUNTED;
        Ok(())
    }

    /// The hidden directory of a node's extended attributes, and the files in it.
    fn xattrs(&mut self, directory: u64, owner: u64, metadata: &'t Metadata) -> Result<(), String> {
        // Each is a file of that name, which nobody could open.
        if let Some(name) =
            metadata.xattrs.keys().find(|name| name.contains(&b'/') || matches!(&name[..], b"." | b".."))
        {
            return Err(format!("ZFS has no extended attribute of the name `{}`", name.escape_ascii()));
        }
        let count = metadata.xattrs.len() as u64;
        let regular = NodeKind::Regular(Content::empty());
        let entries: Vec<ZapEntry> = metadata
            .xattrs
            .keys()
            .zip(directory + 1..)
            .map(|(name, number)| ZapEntry::integer(name.as_slice(), entry_value(&regular, number)))
            .collect();
        let named = |error: ZapError| format!("its extended attributes: {error}");
        let mut object =
            zap_object(directory, ObjectType::DIRECTORY_CONTENTS, &entries, self.file_system.seed).map_err(named)?;
        // Open to all, as `zfs_make_xattrdir` makes it: the owner's own permissions are what counts.
        let mut shared = Metadata { xattrs: BTreeMap::new(), acl: None, ..metadata.clone() };
        shared.mode = 0o1777;
        let mut znode = znode(&shared, &NodeKind::Directory, self.file_system.generation);
        (znode.parent, znode.links, znode.size) = (owner, 2, count + 2);
        znode.flags |= acl::flag::XATTR;
        self.set_attributes(&mut object, &znode)?;
        self.ready.push_back(object);
        shared.mode = 0o644;
        for (value, number) in metadata.xattrs.values().zip(directory + 1..) {
            let mut object = self.file(number, value.len() as u64, Data::Slice(value));
            let mut znode = self::znode(&shared, &regular, self.file_system.generation);
            (znode.parent, znode.links, znode.size) = (directory, 1, value.len() as u64);
            znode.flags |= acl::flag::XATTR;
            self.set_attributes(&mut object, &znode)?;
            self.ready.push_back(object);
        }
        Ok(())
    }
}

/// A file of `len` bytes: one block as long as it has to be, or blocks of the record size.
pub(super) fn file_object(number: u64, len: u64, record_bytes: u32) -> Object<'static> {
    let block_bytes = match u32::try_from(len) {
        Ok(len) if len <= record_bytes => len.next_multiple_of(512).max(BLOCK_BYTES_MIN),
        _ => record_bytes,
    };
    Object::of_blocks(number, ObjectType::PLAIN_FILE_CONTENTS, block_bytes, Vec::new())
}

/// The attributes that follow from metadata and kind; size, parent, links and the like are left at 0.
fn znode(metadata: &Metadata, kind: &NodeKind, generation: u64) -> Znode {
    let time = Time { secs: metadata.mtime.secs, nanos: metadata.mtime.nanos };
    // Links have no permissions of their own, whatever archives say. Boot loaders look for the target behind a list of
    // exactly three entries.
    let is_link = matches!(kind, NodeKind::Symlink(_));
    let mode = if is_link { 0o777 } else { u32::from(metadata.mode) };
    let is_dir = matches!(kind, NodeKind::Directory);
    let aces = match &metadata.acl {
        Some(entries) if !is_link => to_aces(entries),
        _ => acl::trivial(mode, is_dir),
    };
    Znode {
        mode: type_bits(kind) | u64::from(mode),
        generation,
        uid: u64::from(metadata.uid),
        gid: u64::from(metadata.gid),
        flags: acl::flags_of(&aces, mode, is_dir),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        ace_count: aces.len() as u64,
        aces: acl::encode(&aces),
        ..Znode::default()
    }
}
