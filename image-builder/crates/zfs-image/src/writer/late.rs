//! The last blocks of a pool: those that say what is allocated, and so depend on where they are themselves.
//!
//! They are stored uncompressed, so that their sizes are known before their content: first they all get their
//! places, then the space maps can be written, which account for these places too.

use std::collections::BTreeSet;

use zfs_format::block::{BlockPointer, ByteOrder, DataBlock, Dva};
use zfs_format::checksum::{ChecksumKind, fletcher4};
use zfs_format::compress::Compression;
use zfs_format::dnode::{Dnode, flags};
use zfs_format::object::{ObjectType, ObjsetType};
use zfs_format::objset::{ObjsetForm, ObjsetPhys};
use zfs_format::space_map::{Action, SpaceMapPhys, encode_entries};

use super::allocate::{Allocator, Geometry};
use super::indirect::{Assembler, Upper, Usage, height};
use super::object::Object;
use super::objset::{DNODE_BLOCK_BYTES, DNODES_PER_BLOCK, DnodeBlocks, meta_dnode};
use super::pipeline::{Fault, Pipeline};

/// `space_map_blksz`: the smallest block of a space map in bytes. Each here is one block, as large as it has to be.
const SPACE_MAP_BYTES_MIN: usize = 4096;
/// Bytes of the largest block that every pool reads.
const BLOCK_BYTES_MAX: usize = 128 << 10;
/// Bytes of an indirect block of the meta object set's dnodes, which are few; binary logarithm.
const INDIRECT_SHIFT: u8 = 14;
/// Copies of everything in the meta object set.
const COPIES: usize = 3;
/// The form of the meta object set, which has no accounts but is as long as if it had.
const FORM: ObjsetForm = ObjsetForm::Accounts;
/// Entries of a space map that are kept free for the places of the last blocks, which make its run longer.
const SPARE_ENTRIES: usize = 64;
/// Units of the longest run of an entry.
const RUN_UNITS: u64 = 1 << 15;

/// A space map that will be written. Every metaslab has one, so that their number does not depend on what is
/// allocated; that of an empty metaslab has no block.
#[derive(Debug, Clone)]
struct SpaceMap {
    metaslab: u64,
    object: u64,
    bytes: u32,
    place: Option<[Dva; 3]>,
}

/// The places of the last blocks.
#[derive(Debug, Clone)]
pub(super) struct Late {
    array_object: u64,
    array_bytes: u32,
    array_place: [Dva; 3],
    space_maps: Vec<SpaceMap>,
    dnodes: Vec<[Dva; 3]>,
    /// By level, from 1 on.
    indirect: Vec<Vec<[Dva; 3]>>,
    root: [Dva; 3],
    birth: u64,
    has_histogram: bool,
}

impl Late {
    /// Gives the last blocks their places. Objects from `next` on are the metaslab array and the space maps.
    pub(super) fn reserve(
        allocator: &mut Allocator,
        next: u64,
        birth: u64,
        has_histogram: bool,
    ) -> Result<Self, Fault> {
        let mut mapped = touched(allocator);
        loop {
            let mut attempt = allocator.clone();
            let late = Self::attempt(&mut attempt, &mapped, next, birth, has_histogram).ok_or(Fault::Full)?;
            late.check()?;
            if late.space_maps.iter().all(|map| map.fits(&attempt)) {
                *allocator = attempt;
                return Ok(late);
            }
            mapped.extend(touched(&attempt));
        }
    }

    /// The most that all these blocks take on such a device, and the longest of them, in bytes.
    pub(super) fn bytes_max(geometry: &Geometry, next: u64) -> (u64, u32) {
        let blocks = (next + 1 + geometry.metaslabs).div_ceil(DNODES_PER_BLOCK);
        let indirect: u64 = (1..height(blocks, 3, INDIRECT_SHIFT)).map(|level| indirect_blocks(blocks, level)).sum();
        let units = 1_u64 << (geometry.metaslab_shift - geometry.ashift);
        // A word before the entries, and one entry more where the runs do not end with the metaslab.
        let entries = 8 * (units.div_ceil(RUN_UNITS) + 2 + SPARE_ENTRIES as u64);
        let map = entries.next_power_of_two().max(SPACE_MAP_BYTES_MIN as u64);
        let all = [
            (1 << INDIRECT_SHIFT, indirect),
            ((geometry.metaslabs * 8).next_multiple_of(512), 1),
            (DNODE_BLOCK_BYTES as u64, blocks),
            (FORM.bytes() as u64, 1),
            (map, geometry.metaslabs),
        ];
        let place = |bytes: u64| bytes.next_multiple_of(1 << geometry.ashift);
        let bytes = all.iter().map(|(bytes, count)| place(*bytes) * count * COPIES as u64).sum();
        let longest = all.iter().map(|(bytes, _)| place(*bytes)).max().unwrap_or(0);
        (bytes, u32::try_from(longest).unwrap_or(u32::MAX))
    }

    fn attempt(
        allocator: &mut Allocator,
        mapped: &BTreeSet<u64>,
        next: u64,
        birth: u64,
        has_histogram: bool,
    ) -> Option<Self> {
        let geometry = allocator.geometry();
        let mut place = |bytes: u32| allocator.allocate(geometry.asize(bytes), COPIES);
        let array_bytes = u32::try_from(geometry.metaslabs * 8).ok()?.next_multiple_of(512);
        let objects = next + 1 + geometry.metaslabs;
        let blocks = objects.div_ceil(DNODES_PER_BLOCK);
        let mut indirect = Vec::new();
        for level in 1..height(blocks, 3, INDIRECT_SHIFT) {
            let count = indirect_blocks(blocks, level);
            indirect.push((0..count).map(|_| place(1 << INDIRECT_SHIFT)).collect::<Option<Vec<_>>>()?);
        }
        let array_place = place(array_bytes)?;
        let dnodes = (0..blocks).map(|_| place(DNODE_BLOCK_BYTES as u32)).collect::<Option<_>>()?;
        let root = place(FORM.bytes() as u32)?;
        let mut space_maps = Vec::new();
        for (object, metaslab) in (next + 1..).zip(0..geometry.metaslabs) {
            let (mut bytes, mut place) = (SPACE_MAP_BYTES_MIN as u32, None);
            if mapped.contains(&metaslab) {
                let used = entries(allocator, metaslab, birth).len() + 8 * SPARE_ENTRIES;
                bytes = u32::try_from(used.next_power_of_two()).ok()?.max(bytes);
                place = Some(allocator.allocate(geometry.asize(bytes), COPIES)?);
            }
            space_maps.push(SpaceMap { metaslab, object, bytes, place });
        }
        let array_object = next;
        Some(Self { array_object, array_bytes, array_place, space_maps, dnodes, indirect, root, birth, has_histogram })
    }

    /// Refuses blocks that are too long, for which the pool would have to be of a size that no image has.
    fn check(&self) -> Result<(), Fault> {
        let longest = self.space_maps.iter().map(|map| map.bytes).chain([self.array_bytes]).max().unwrap_or(0);
        if longest as usize > BLOCK_BYTES_MAX {
            return Err(Fault::Format("the list of its metaslabs, or the map of one, is too long".to_owned()));
        }
        Ok(())
    }

    /// The object of the metaslab array, which the configuration names.
    pub(super) fn array_object(&self) -> u64 {
        self.array_object
    }

    /// How many objects there are, the dnodes' own not counted.
    pub(super) fn objects(&self) -> u64 {
        self.array_object + self.space_maps.len() as u64
    }

    /// What all these blocks take.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        let mut add = |bytes: u32, places: &[[Dva; 3]]| {
            for place in places {
                usage.add(Usage {
                    used: place.iter().map(|dva| u64::from(dva.asize)).sum(),
                    compressed: u64::from(bytes),
                    uncompressed: u64::from(bytes),
                });
            }
        };
        add(self.array_bytes, &[self.array_place]);
        add(DNODE_BLOCK_BYTES as u32, &self.dnodes);
        self.indirect.iter().for_each(|level| add(1 << INDIRECT_SHIFT, level));
        add(FORM.bytes() as u32, &[self.root]);
        self.space_maps.iter().for_each(|map| add(map.bytes, map.place.as_slice()));
        usage
    }

    /// Writes the metaslab array and the space maps, and answers their dnodes.
    pub(super) fn write_space_maps(
        &self,
        pipeline: &Pipeline<'_>,
        allocator: &Allocator,
    ) -> Result<Vec<(u64, Dnode)>, Fault> {
        let mut array = vec![0; self.array_bytes as usize];
        for map in &self.space_maps {
            let at = map.metaslab as usize * 8;
            array[at..at + 8].copy_from_slice(&map.object.to_le_bytes());
        }
        let block = self.block(ObjectType::OBJECT_ARRAY, 0, 1);
        let pointer = write_block(pipeline, &block, &array, self.array_place)?;
        let object = Object::of_blocks(self.array_object, ObjectType::OBJECT_ARRAY, self.array_bytes, Vec::new());
        let mut dnodes = vec![(self.array_object, dnode(&object, pointer))];
        for map in &self.space_maps {
            dnodes.push((map.object, self.write_space_map(pipeline, allocator, map)?));
        }
        Ok(dnodes)
    }

    fn write_space_map(&self, pipeline: &Pipeline<'_>, allocator: &Allocator, map: &SpaceMap) -> Result<Dnode, Fault> {
        let mut block = entries(allocator, map.metaslab, self.birth);
        let header = SpaceMapPhys {
            object: map.object,
            length: block.len() as u64,
            allocated: allocator.allocated_in(map.metaslab).iter().map(|range| range.len as i64).sum(),
            histogram: self.has_histogram.then(|| allocator.free_histogram(map.metaslab)),
        };
        let mut pointer = BlockPointer::ABSENT;
        if let Some(place) = map.place {
            block.resize(map.bytes as usize, 0);
            pointer = write_block(pipeline, &self.block(ObjectType::SPACE_MAP, 0, 1), &block, place)?;
        }
        let object = Object::of_blocks(map.object, ObjectType::SPACE_MAP, map.bytes, Vec::new());
        let object = Object { bonus_kind: ObjectType::SPACE_MAP_HEADER, bonus: header.encode(), ..object };
        Ok(dnode(&object, pointer))
    }

    /// Writes the blocks of dnodes, their indirect blocks, and the object set. `dnodes` are all objects in order.
    pub(super) fn write_root<'d>(
        &self,
        pipeline: &Pipeline<'_>,
        dnodes: impl Iterator<Item = (u64, &'d Dnode)>,
    ) -> Result<BlockPointer, Fault> {
        let mut builder = DnodeBlocks::new();
        let mut blocks = Vec::new();
        for (number, dnode) in dnodes {
            blocks.extend(builder.add(number, dnode)?);
        }
        blocks.extend(builder.finish());
        let mut assembler =
            Assembler::new(ObjectType::DNODE, INDIRECT_SHIFT, height(self.dnodes.len() as u64, 3, INDIRECT_SHIFT));
        for ((bytes, fill), place) in blocks.into_iter().zip(&self.dnodes) {
            let mut bytes = bytes;
            bytes.resize(DNODE_BLOCK_BYTES, 0);
            assembler.push(0, write_block(pipeline, &self.block(ObjectType::DNODE, 0, fill), &bytes, *place)?);
        }
        for (level, places) in (1..).zip(&self.indirect) {
            let mut places = places.iter();
            for upper in assembler.cut(level - 1, true) {
                let Upper::Block(mut bytes, fill) = upper else { continue };
                bytes.resize(1 << INDIRECT_SHIFT, 0);
                let place = places.next().copied().ok_or(Fault::Full)?;
                let block = self.block(ObjectType::DNODE, level, fill);
                assembler.push(level, write_block(pipeline, &block, &bytes, place)?);
            }
        }
        let levels = assembler.height();
        let (pointers, usage) = assembler.finish(3);
        let fill = pointers.iter().map(BlockPointer::fill).sum();
        let objset = ObjsetPhys {
            meta_dnode: meta_dnode(levels, INDIRECT_SHIFT, pointers, self.dnodes.len() as u64, usage),
            kind: ObjsetType::Meta,
            flags: 0,
            user_used: None,
            group_used: None,
            project_used: None,
        };
        let bytes = objset.encode(FORM).map_err(|error| Fault::Format(format!("meta object set: {error}")))?;
        write_block(pipeline, &self.block(ObjectType::OBJSET, 0, fill), &bytes, self.root)
    }

    /// A block of the meta object set without addresses and checksum.
    fn block(&self, kind: ObjectType, level: u8, fill: u64) -> DataBlock {
        DataBlock {
            dvas: [Dva::default(); 3],
            kind,
            level,
            compression: Compression::Off,
            checksum: ChecksumKind::Fletcher4,
            logical_bytes: 0,
            physical_bytes: 0,
            dedup: false,
            encrypted: false,
            birth: self.birth,
            physical_birth: 0,
            fill,
            digest: [0; 4],
            byte_order: ByteOrder::Little,
        }
    }
}

impl SpaceMap {
    /// Whether what is allocated now can be told in the room there is.
    fn fits(&self, allocator: &Allocator) -> bool {
        let room = if self.place.is_some() { self.bytes as usize } else { 0 };
        entries(allocator, self.metaslab, 0).len() <= room
    }
}

/// How many indirect blocks of a level there are over so many blocks.
fn indirect_blocks(blocks: u64, level: u8) -> u64 {
    let entries_shift = u32::from(INDIRECT_SHIFT) - 7;
    blocks.div_ceil(1 << (entries_shift * u32::from(level)))
}

/// The metaslabs that have something in them.
fn touched(allocator: &Allocator) -> BTreeSet<u64> {
    (0..allocator.geometry().metaslabs).filter(|index| !allocator.allocated_in(*index).is_empty()).collect()
}

/// The entries for what is allocated in a metaslab.
fn entries(allocator: &Allocator, metaslab: u64, txg: u64) -> Vec<u8> {
    let geometry = allocator.geometry();
    let start = geometry.metaslab(metaslab).start;
    encode_entries(&allocator.allocated_in(metaslab), Action::Allocate, start, geometry.ashift, txg)
}

fn write_block(
    pipeline: &Pipeline<'_>,
    block: &DataBlock,
    bytes: &[u8],
    dvas: [Dva; 3],
) -> Result<BlockPointer, Fault> {
    for dva in dvas.iter().filter(|dva| !dva.is_empty()) {
        pipeline.write_at(bytes, dva.offset)?;
    }
    let length = bytes.len() as u32;
    let digest = fletcher4(bytes);
    Ok(BlockPointer::Data(DataBlock { dvas, logical_bytes: length, physical_bytes: length, digest, ..*block }))
}

/// The dnode of an object whose only block is written.
fn dnode(object: &Object<'_>, pointer: BlockPointer) -> Dnode {
    let mut pointers = vec![pointer];
    pointers.resize(object.pointers(), BlockPointer::ABSENT);
    Dnode {
        kind: object.kind,
        indirect_shift: super::object::INDIRECT_SHIFT,
        levels: 1,
        bonus_kind: object.bonus_kind,
        flags: flags::USED_BYTES,
        data_block_bytes: object.block_bytes,
        used: Usage::of(&pointer).used,
        pointers,
        bonus: object.bonus.clone(),
        ..Dnode::default()
    }
}
