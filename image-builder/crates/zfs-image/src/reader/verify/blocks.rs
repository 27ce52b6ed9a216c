//! Every reachable block, once.

use std::sync::Arc;

use zfs_format::block::{BLOCK_POINTER_BYTES, BlockPointer, DataBlock, Dva, Embedded};
use zfs_format::compress::Compression;
use zfs_format::dnode::{DNODE_BYTES, Dnode, flags};
use zfs_format::dsl::BpobjPhys;
use zfs_format::object::{ObjectType, pool_directory};
use zfs_format::objset::ObjsetPhys;

use super::super::blocks::{GANG_DEPTH_MAX, place as address_of, unpack};
use super::super::objset::{decode_pointer, dnodes, pointer_shift};
use super::accounts::Space;
use super::{Place, ProblemKind, Verifier};

/// Where the pointer of the intent log is in an object set: `zh_log` of the `zil_header_t` at 512.
const INTENT_LOG_POINTER: usize = 512 + 16;
/// Lists of block pointers inside each other; ZFS itself makes one level.
const BPOBJ_DEPTH_MAX: usize = 4;

/// An object while its blocks are met.
struct Walk<'a> {
    place: &'a Place,
    dnode: &'a Dnode,
    min_txg: u64,
    /// Space of the object set.
    total: Space,
    /// Space of this object.
    own: Space,
    /// Blocks were left out, because an older snapshot has them.
    shared: bool,
    /// This is the object that holds the dnodes of its object set.
    is_meta: bool,
}

/// What a pointer has to say of its block.
struct Expected {
    level: u8,
    kind: ObjectType,
    /// None if only the pointer itself says it.
    logical_bytes: Option<u32>,
}

impl Verifier<'_> {
    /// Meets all blocks of an object set that were born after `min_txg`. Answers the space that they take.
    pub(super) fn objset(&mut self, place: &Place, root: &BlockPointer, min_txg: u64) -> Space {
        let mut space = Space::default();
        if root.is_hole() || root.birth() <= min_txg {
            return space;
        }
        let expected = Expected { level: 0, kind: ObjectType::OBJSET, logical_bytes: None };
        let Some(content) = self.block(place, root, &expected, &mut space) else { return space };
        let phys = match ObjsetPhys::decode(&content) {
            Ok(phys) => phys,
            Err(error) => {
                self.structure(place, error.to_string());
                return space;
            }
        };
        let fill = phys.meta_dnode.pointers.iter().fold(0_u64, |sum, pointer| sum.wrapping_add(pointer.fill()));
        self.number(place, "the fill count of the object set", root.fill(), fill);
        self.intent_log(place, &content);
        self.object(&place.object(0), &phys.meta_dnode, min_txg, true, &mut space);
        for account in [&phys.user_used, &phys.group_used, &phys.project_used].into_iter().flatten() {
            self.object(place, account, min_txg, false, &mut space);
        }
        space
    }

    /// An image has no intent log: nothing was running when it was made.
    fn intent_log(&mut self, place: &Place, objset: &[u8]) {
        let bytes = objset.get(INTENT_LOG_POINTER..).and_then(<[u8]>::first_chunk);
        if bytes.map(BlockPointer::decode).is_some_and(|log| log.is_ok_and(|log| !log.is_hole())) {
            self.structure(place, "the intent log is not empty; its blocks were not verified");
        }
    }

    /// Meets the blocks of an object. Of the object that holds the dnodes of its object set, also the blocks of those.
    fn object(&mut self, place: &Place, dnode: &Dnode, min_txg: u64, is_meta: bool, total: &mut Space) {
        if !dnode.kind.is_valid() {
            self.structure(place, format!("the object has the type {}", dnode.kind.0));
        }
        let mut walk = Walk { place, dnode, min_txg, total: *total, own: Space::default(), shared: false, is_meta };
        let level = dnode.levels.saturating_sub(1);
        for (index, pointer) in dnode.pointers.iter().enumerate() {
            self.subtree(&mut walk, level, index as u64, pointer);
        }
        if let Some(spill) = &dnode.spill {
            let expected = Expected { level: 0, kind: ObjectType::SA, logical_bytes: None };
            if spill.birth() > min_txg {
                self.block(place, spill, &expected, &mut walk.own);
            } else {
                walk.shared = true;
            }
        }
        if !walk.shared && !self.is_full() {
            let unit = if dnode.flags & flags::USED_BYTES == 0 { 512 } else { 1 };
            self.number(place, "the space used by the object", dnode.used.saturating_mul(unit), walk.own.allocated);
        }
        *total = walk.total.plus(&walk.own);
    }

    fn subtree(&mut self, walk: &mut Walk<'_>, level: u8, number: u64, pointer: &BlockPointer) {
        if pointer.is_hole() || self.is_full() {
            return;
        }
        if pointer.birth() <= walk.min_txg {
            walk.shared = true;
            return;
        }
        let shift = pointer_shift(walk.dnode) * u32::from(level);
        let first_block = number.checked_shl(shift).filter(|first| first >> shift == number).unwrap_or(u64::MAX);
        let offset = first_block.saturating_mul(u64::from(walk.dnode.data_block_bytes));
        let place = walk.place.offset(offset);
        if first_block > walk.dnode.max_block {
            self.structure(&place, format!("a block beyond the last one, which is number {}", walk.dnode.max_block));
        }
        let bytes = if level == 0 { walk.dnode.data_block_bytes } else { 1 << walk.dnode.indirect_shift.min(31) };
        let expected = Expected { level, kind: walk.dnode.kind, logical_bytes: Some(bytes) };
        let Some(content) = self.block(&place, pointer, &expected, &mut walk.own) else { return };
        let fill = match (level, walk.dnode.kind) {
            (0, ObjectType::DNODE) => self.dnodes(walk, &place, number, &content),
            (0, _) => 1,
            _ => self.indirect(walk, &place, level, number, &content),
        };
        self.number(&place, "the fill count", pointer.fill(), fill);
    }

    /// Objects are met as soon as their dnode is: a small image can claim so many that a list of them had no room.
    fn dnodes(&mut self, walk: &mut Walk<'_>, place: &Place, number: u64, content: &[u8]) -> u64 {
        let per_block = (content.len() / DNODE_BYTES) as u64;
        let mut count = 0;
        for (slot, dnode) in dnodes(content) {
            count += 1;
            match dnode {
                Ok(dnode) if walk.is_meta && !self.is_full() => {
                    let object = walk.place.object(number.saturating_mul(per_block).saturating_add(slot));
                    self.object(&object, &dnode, walk.min_txg, false, &mut walk.total);
                }
                Ok(_) => {}
                Err(error) => self.unreadable(place, &error),
            }
        }
        count
    }

    fn indirect(&mut self, walk: &mut Walk<'_>, place: &Place, level: u8, number: u64, content: &[u8]) -> u64 {
        let mut fill = 0_u64;
        let count = content.len() / BLOCK_POINTER_BYTES;
        for index in 0..count {
            match decode_pointer(content, index) {
                Ok(below) => {
                    fill = fill.wrapping_add(below.fill());
                    let number = number.saturating_mul(count as u64).saturating_add(index as u64);
                    self.subtree(walk, level - 1, number, &below);
                }
                Err(error) => self.unreadable(place, &error),
            }
        }
        fill
    }

    /// Checks a pointer and all copies of its block. Answers the content; none if there is none, or if the block
    /// was met before.
    fn block(
        &mut self,
        place: &Place,
        pointer: &BlockPointer,
        expected: &Expected,
        space: &mut Space,
    ) -> Option<Arc<[u8]>> {
        let txg = self.pool.uberblock().txg;
        if pointer.birth() == 0 || pointer.birth() > txg {
            self.structure(place, format!("a block born in {}, in a pool at {txg}", pointer.birth()));
        }
        match pointer {
            BlockPointer::Hole(_) => None,
            BlockPointer::Embedded(embedded) => self.embedded(place, embedded, expected, space),
            BlockPointer::Data(block) => self.data(place, block, expected, space),
        }
    }

    fn embedded(
        &mut self,
        place: &Place,
        embedded: &Embedded,
        expected: &Expected,
        space: &mut Space,
    ) -> Option<Arc<[u8]>> {
        self.shape(place, expected, embedded.level, embedded.kind, embedded.logical_bytes);
        self.report.blocks.embedded += 1;
        self.report.blocks.logical_bytes += u64::from(embedded.logical_bytes);
        // ZFS counts neither the payload nor, for metadata, the content.
        if embedded.level == 0 && !embedded.kind.is_metadata() {
            space.uncompressed += u64::from(embedded.logical_bytes);
        }
        match unpack(embedded.compression, embedded.payload(), embedded.logical_bytes) {
            Ok(content) => Some(content),
            Err(reason) => {
                self.problem(place, ProblemKind::Unreadable(reason));
                None
            }
        }
    }

    fn shape(&mut self, place: &Place, expected: &Expected, level: u8, kind: ObjectType, logical_bytes: u32) {
        self.number(place, "the level of a block", u64::from(level), u64::from(expected.level));
        self.number(place, "the type of a block", u64::from(kind.0), u64::from(expected.kind.0));
        if let Some(bytes) = expected.logical_bytes {
            self.number(place, "the size of a block", u64::from(logical_bytes), u64::from(bytes));
        }
    }

    fn data(&mut self, place: &Place, block: &DataBlock, expected: &Expected, space: &mut Space) -> Option<Arc<[u8]>> {
        self.shape(place, expected, block.level, block.kind, block.logical_bytes);
        if block.physical_bytes > block.logical_bytes
            || (block.compression == Compression::Off && block.physical_bytes != block.logical_bytes)
        {
            let (physical, logical) = (block.physical_bytes, block.logical_bytes);
            self.structure(
                place,
                format!("a block of {logical} bytes, stored with {} in {physical}", block.compression),
            );
        }
        let mut content = None;
        let mut allocated = 0;
        for (copy, dva) in block.dvas.iter().enumerate().filter(|(_, dva)| !dva.is_empty()) {
            if !self.reach(place, block, dva, GANG_DEPTH_MAX) {
                return None;
            }
            allocated += u64::from(dva.asize);
            let read = self.pool.read_copy(block, dva).map_err(|error| error.to_string());
            let unpacked = read.and_then(|stored| match &content {
                None => unpack(block.compression, &stored, block.logical_bytes).map(Some),
                Some(_) => Ok(None),
            });
            match unpacked {
                Ok(unpacked) => content = unpacked.or(content),
                Err(reason) => self.problem(place, ProblemKind::Copy { copy, reason }),
            }
        }
        let metadata = block.level > 0 || block.kind.is_metadata();
        space.allocated += allocated;
        space.compressed += u64::from(block.physical_bytes);
        space.uncompressed += u64::from(if metadata { block.physical_bytes } else { block.logical_bytes });
        self.count(block);
        let mut content = content?;
        self.pool.tamper(&BlockPointer::Data(*block), &mut content);
        Some(content)
    }

    fn count(&mut self, block: &DataBlock) {
        let counts = &mut self.report.blocks;
        counts.blocks += 1;
        counts.logical_bytes += u64::from(block.logical_bytes);
        counts.physical_bytes += u64::from(block.physical_bytes);
        counts.allocated_bytes += block.dvas.iter().map(|dva| u64::from(dva.asize)).sum::<u64>();
    }

    /// Marks the bytes of a copy as used. Answers whether they are new.
    fn reach(&mut self, place: &Place, block: &DataBlock, dva: &Dva, depth_left: u8) -> bool {
        let sector = 1_u64 << self.pool.vdev().ashift;
        let stored = u64::from(block.physical_bytes).next_multiple_of(sector);
        if dva.offset % sector != 0 || (!dva.gang && u64::from(dva.asize) != stored) {
            let address = address_of(dva);
            self.structure(place, format!("the address {address} does not fit {stored:#x} bytes in whole sectors"));
        }
        let outside = |end: u64| dva.vdev != 0 || end > self.pool.vdev().asize;
        let len = if dva.gang { sector } else { u64::from(dva.asize) };
        if len == 0 || dva.offset.checked_add(len).is_none_or(outside) {
            self.structure(place, format!("the address {} is outside of the device", address_of(dva)));
            return false;
        }
        if let Err((start, len)) = self.reached.insert(dva.offset, len) {
            if !block.dedup {
                self.problem(place, ProblemKind::DoubleAllocation { start, len });
            }
            return false;
        }
        if !dva.gang {
            return true;
        }
        let Some(deeper) = depth_left.checked_sub(1) else {
            self.structure(place, "gang blocks are too deep inside each other");
            return false;
        };
        match self.pool.gang_pointers(block, dva) {
            Ok(members) => self.reach_members(place, &members, deeper),
            Err(error) => {
                self.structure(place, error.to_string());
                true
            }
        }
    }

    fn reach_members(&mut self, place: &Place, members: &[BlockPointer], depth_left: u8) -> bool {
        let blocks = members.iter().filter_map(|member| match member {
            BlockPointer::Data(block) => Some(*block),
            _ => None,
        });
        let mut new = true;
        for member in blocks.collect::<Vec<_>>() {
            for dva in member.dvas.iter().filter(|dva| !dva.is_empty()) {
                new &= self.reach(place, &member, dva, depth_left);
            }
        }
        new
    }

    /// Blocks that are to be freed are still allocated: `sync_bplist` and `free_bpobj`.
    pub(super) fn deferred_frees(&mut self) {
        for name in [pool_directory::SYNC_BPOBJ, pool_directory::FREE_BPOBJ] {
            match self.pool.directory_object(name) {
                Ok(Some(object)) => self.bpobj(object, BPOBJ_DEPTH_MAX),
                Ok(None) => {}
                Err(error) => self.unreadable(&Place::default(), &error),
            }
        }
    }

    fn bpobj(&mut self, object: u64, depth_left: usize) {
        let place = Place::default().object(object);
        let pool = self.pool;
        let mos = pool.mos();
        let dnode = match mos.dnode(object) {
            Ok(dnode) => dnode,
            Err(error) => return self.unreadable(&place, &error),
        };
        let Some(header) = BpobjPhys::decode(&dnode.bonus) else {
            return self.structure(&place, "the header of a list of blocks is too short");
        };
        for index in 0..header.block_pointers {
            if !self.spend(&place, 1) {
                return;
            }
            let mut bytes = [0; BLOCK_POINTER_BYTES];
            let read = mos.read_exact(&dnode, &mut bytes, index.saturating_mul(BLOCK_POINTER_BYTES as u64));
            match read.map(|()| BlockPointer::decode(&bytes)) {
                Ok(Ok(BlockPointer::Data(block))) => {
                    for dva in block.dvas.iter().filter(|dva| !dva.is_empty()) {
                        self.reach(&place, &block, dva, GANG_DEPTH_MAX);
                    }
                    self.count(&block);
                }
                Ok(Ok(_)) => self.structure(&place, "a list of blocks to be freed holds a hole"),
                Ok(Err(error)) => self.structure(&place, error.to_string()),
                Err(error) => self.unreadable(&place, &error),
            }
            if self.is_full() {
                return;
            }
        }
        if header.subobjects == 0 || header.subobject_count == 0 {
            return;
        }
        if depth_left == 0 {
            return self.structure(&place, "lists of blocks are too deep inside each other");
        }
        let Ok(list) = mos.dnode(header.subobjects) else {
            return self.structure(&place, "a list of blocks lost its parts");
        };
        for index in 0..header.subobject_count {
            if !self.spend(&place, 1) {
                return;
            }
            let mut bytes = [0; 8];
            match mos.read_exact(&list, &mut bytes, index.saturating_mul(8)) {
                Ok(()) => self.bpobj(u64::from_le_bytes(bytes), depth_left - 1),
                Err(error) => self.unreadable(&place, &error),
            }
            if self.is_full() {
                return;
            }
        }
    }
}
