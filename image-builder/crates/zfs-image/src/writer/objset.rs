//! Writing object sets: dnodes in order, the accounts of users and groups, and the root of it all.

use std::collections::BTreeMap;

use zfs_format::block::BlockPointer;
use zfs_format::checksum::ChecksumKind;
use zfs_format::compress::Compression;
use zfs_format::dnode::{DNODE_BYTES, Dnode, flags};
use zfs_format::object::{MAX_OBJECT_SHIFT, ObjectType, ObjsetType};
use zfs_format::objset::{ObjsetForm, ObjsetPhys, objset_flags};
use zfs_format::zap::{self, Options, ZapEntry};

use super::indirect::{Assembler, Usage};
use super::object::{INDIRECT_SHIFT, Object, Policies, write_level, write_objects};
use super::pipeline::{Block, Fault, Pipeline, Source};

/// `DNODE_BLOCK_SIZE`: bytes of a block of dnodes.
pub(super) const DNODE_BLOCK_BYTES: usize = 16 << 10;
/// Dnodes in such a block.
pub(super) const DNODES_PER_BLOCK: u64 = (DNODE_BLOCK_BYTES / DNODE_BYTES) as u64;
/// Blocks of dnodes that are collected before they are written.
const BLOCKS_AT_A_TIME: usize = 256;

/// Builds the dnodes of an object set into blocks.
#[derive(Debug)]
pub(super) struct DnodeBlocks {
    /// The block in work.
    open: Vec<u8>,
    fill: u64,
    /// The next object number.
    next: u64,
}

impl DnodeBlocks {
    /// No objects; number 0 is that of the dnodes themselves and has no slot in use.
    pub(super) fn new() -> Self {
        Self { open: vec![0; DNODE_BYTES], fill: 0, next: 1 }
    }

    /// Adds an object with a number above all before. Answers the blocks, with their fill counts, that are full.
    pub(super) fn add(&mut self, number: u64, dnode: &Dnode) -> Result<Vec<(Vec<u8>, u64)>, Fault> {
        let bytes = dnode.encode().map_err(|error| Fault::Format(format!("object {number}: {error}")))?;
        let mut full = Vec::new();
        while self.next < number {
            self.slot(&[0; DNODE_BYTES], 0, &mut full);
        }
        self.slot(&bytes, 1, &mut full);
        Ok(full)
    }

    fn slot(&mut self, bytes: &[u8], fill: u64, full: &mut Vec<(Vec<u8>, u64)>) {
        self.open.extend_from_slice(bytes);
        self.fill += fill;
        self.next += 1;
        if self.open.len() == DNODE_BLOCK_BYTES {
            full.extend(self.finish());
        }
    }

    /// The last block, if there is one.
    pub(super) fn finish(&mut self) -> Option<(Vec<u8>, u64)> {
        let open = std::mem::take(&mut self.open);
        let fill = std::mem::take(&mut self.fill);
        (!open.is_empty()).then_some((open, fill))
    }
}

/// The object set of a file system as it is being written.
pub(super) struct ObjsetWriter<'p, 'a> {
    pipeline: &'p Pipeline<'a>,
    policies: Policies,
    dnodes: DnodeBlocks,
    waiting: Vec<(Vec<u8>, u64)>,
    assembler: Assembler,
    blocks: u64,
    objects: u64,
    usage: Usage,
    users: BTreeMap<u64, u64>,
    groups: BTreeMap<u64, u64>,
}

/// An object set that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenObjset {
    /// The pointer that the dataset keeps.
    pub(super) root: BlockPointer,
    /// All its blocks, that of the root included.
    pub(super) usage: Usage,
    /// How many objects it has, without those of the accounts.
    pub(super) objects: u64,
}

impl<'p, 'a> ObjsetWriter<'p, 'a> {
    pub(super) fn new(pipeline: &'p Pipeline<'a>, mut policies: Policies) -> Self {
        if pipeline.is_measuring() {
            // How dnodes and accounts compress depends on where everything else is.
            policies.metadata.compression = Compression::Off;
        }
        Self {
            pipeline,
            policies,
            dnodes: DnodeBlocks::new(),
            waiting: Vec::new(),
            assembler: Assembler::new(ObjectType::DNODE, INDIRECT_SHIFT, levels_of_all_objects()),
            blocks: 0,
            objects: 0,
            usage: Usage::default(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Adds an object with a number above all before. `owner` are the user and group whose account it is on.
    pub(super) fn add(
        &mut self,
        number: u64,
        dnode: &Dnode,
        usage: Usage,
        owner: Option<(u64, u64)>,
    ) -> Result<(), Fault> {
        self.usage.add(usage);
        self.objects += 1;
        if let Some((user, group)) = owner {
            // `do_userquota_update`: what the blocks take, and the dnode itself.
            let bytes = usage.used + DNODE_BYTES as u64;
            *self.users.entry(user).or_default() += bytes;
            *self.groups.entry(group).or_default() += bytes;
        }
        self.waiting.extend(self.dnodes.add(number, dnode)?);
        if self.waiting.len() >= BLOCKS_AT_A_TIME { self.flush(false) } else { Ok(()) }
    }

    /// Writes the blocks of dnodes that are full, and the indirect blocks that are full with them.
    fn flush(&mut self, end: bool) -> Result<(), Fault> {
        let policy = self.policies.metadata;
        let waiting = std::mem::take(&mut self.waiting);
        let block = |(bytes, fill): (Vec<u8>, u64)| Block {
            source: Source::Bytes(bytes),
            logical_bytes: DNODE_BLOCK_BYTES as u32,
            kind: ObjectType::DNODE,
            level: 0,
            fill,
            policy,
        };
        let blocks: Vec<Block<'_>> = waiting.into_iter().map(block).collect();
        self.blocks += blocks.len() as u64;
        for pointer in self.pipeline.write(&blocks)? {
            self.assembler.push(0, pointer);
        }
        (1..self.assembler.height()).try_for_each(|level| {
            write_level(self.pipeline, policy, level, std::iter::once((end, &mut self.assembler)))
        })
    }

    /// Writes what is left, the accounts, and the root.
    pub(super) fn finish(mut self) -> Result<WrittenObjset, Fault> {
        self.waiting.extend(self.dnodes.finish());
        self.flush(true)?;
        let user_used = self.account(u64::MAX, &self.users.clone())?;
        let group_used = self.account(u64::MAX - 1, &self.groups.clone())?;
        let levels = self.assembler.height();
        let (pointers, usage) = self.assembler.finish(3);
        self.usage.add(usage);
        let fill = pointers.iter().map(BlockPointer::fill).sum();
        let objset = ObjsetPhys {
            meta_dnode: meta_dnode(levels, INDIRECT_SHIFT, pointers, self.blocks, usage),
            kind: ObjsetType::Zfs,
            flags: objset_flags::USERACCOUNTING_COMPLETE,
            user_used,
            group_used,
            project_used: None,
        };
        let form = ObjsetForm::Accounts;
        let bytes = objset.encode(form).map_err(|error| Fault::Format(format!("object set: {error}")))?;
        let block = Block {
            source: Source::Bytes(bytes),
            logical_bytes: form.bytes() as u32,
            kind: ObjectType::OBJSET,
            level: 0,
            fill,
            policy: self.policies.metadata,
        };
        let root = self.pipeline.write(&[block])?.into_iter().next().unwrap_or_default();
        self.usage.add(Usage::of(&root));
        Ok(WrittenObjset { root, usage: self.usage, objects: self.objects })
    }

    /// Writes an account: ids in hexadecimal, and bytes. `number` is the object's, counted back from the highest.
    fn account(&mut self, number: u64, bytes_by_id: &BTreeMap<u64, u64>) -> Result<Option<Dnode>, Fault> {
        let entries: Vec<ZapEntry> = bytes_by_id.iter().map(|(id, bytes)| ZapEntry::integer_key(*id, *bytes)).collect();
        let zap = zap::encode(&entries, number, &Options::default())
            .map_err(|error| Fault::Format(format!("account of space: {error}")))?;
        let object = Object::of_blocks(number, ObjectType::USERGROUP_USED, zap.block_bytes as u32, zap.blocks);
        let mut written = None;
        write_objects(self.pipeline, &self.policies, [Ok::<_, Fault>(object)], |_, dnode, usage| {
            self.usage.add(usage);
            written = Some(dnode);
            Ok(())
        })?;
        Ok(written)
    }
}

/// The dnode of the dnodes.
pub(super) fn meta_dnode(
    levels: u8,
    indirect_shift: u8,
    pointers: Vec<BlockPointer>,
    blocks: u64,
    usage: Usage,
) -> Dnode {
    Dnode {
        kind: ObjectType::DNODE,
        indirect_shift,
        levels,
        bonus_kind: ObjectType::NONE,
        checksum: ChecksumKind::Inherit,
        compression: Compression::Inherit,
        flags: flags::USED_BYTES,
        data_block_bytes: DNODE_BLOCK_BYTES as u32,
        max_block: blocks.saturating_sub(1),
        used: usage.used,
        pointers,
        ..Dnode::default()
    }
}

/// As many levels as the highest object number needs: the kernel cannot add one to a dataset's dnodes later
/// (`dmu_objset_create_impl_dnstats`).
fn levels_of_all_objects() -> u8 {
    let blocks = (1_u64 << MAX_OBJECT_SHIFT) / DNODES_PER_BLOCK;
    super::indirect::height(blocks, 3, INDIRECT_SHIFT)
}
