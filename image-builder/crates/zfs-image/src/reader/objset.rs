//! Object sets: from object numbers to dnodes, from block numbers to blocks.

use std::sync::Arc;

use zfs_format::block::{BLOCK_POINTER_BYTES, BlockPointer};
use zfs_format::dnode::{DNODE_BYTES, Dnode};
use zfs_format::objset::ObjsetPhys;
use zfs_format::zap::{self, Value, ZapEntry};

use super::{Pool, ReadError};

/// An object set of an open pool.
#[derive(Debug, Clone)]
pub struct Objset<'p> {
    pool: &'p Pool<'p>,
    phys: ObjsetPhys,
    root: BlockPointer,
}

/// What the caller of [`Objset::for_each_pointer`] wants of the blocks below a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// To see them too.
    Descend,
    /// To leave them out.
    Skip,
}

impl<'p> Objset<'p> {
    pub(super) fn new(pool: &'p Pool<'_>, phys: ObjsetPhys, root: BlockPointer) -> Self {
        Self { pool, phys, root }
    }

    /// Opens the object set that a dataset's pointer leads to.
    pub(super) fn open(pool: &'p Pool<'_>, root: BlockPointer) -> Result<Self, ReadError> {
        let phys = ObjsetPhys::decode(&pool.read_block(&root)?)?;
        Ok(Self::new(pool, phys, root))
    }

    /// The pool that it is in.
    #[must_use]
    pub fn pool(&self) -> &'p Pool<'p> {
        self.pool
    }

    /// The object set's own block.
    #[must_use]
    pub fn phys(&self) -> &ObjsetPhys {
        &self.phys
    }

    /// The pointer that leads to it.
    #[must_use]
    pub fn root(&self) -> &BlockPointer {
        &self.root
    }

    /// The dnode of an object.
    ///
    /// # Errors
    /// There is no such object, or it cannot be read.
    pub fn dnode(&self, object: u64) -> Result<Dnode, ReadError> {
        let meta = &self.phys.meta_dnode;
        let missing = || ReadError::NoObject(object);
        if object == 0 || meta.data_block_bytes == 0 {
            return Err(missing());
        }
        let per_block = u64::from(meta.data_block_bytes) / DNODE_BYTES as u64;
        if per_block == 0 {
            return Err(missing());
        }
        let block = self.block(meta, object / per_block)?.ok_or_else(missing)?;
        let offset = (object % per_block) as usize * DNODE_BYTES;
        let bytes = block.get(offset..).ok_or_else(missing)?;
        Dnode::decode(bytes)?.ok_or_else(missing)
    }

    /// The content of a block; none for a hole, which reads as zeros.
    ///
    /// # Errors
    /// It, or an indirect block above it, cannot be read.
    pub fn block(&self, dnode: &Dnode, number: u64) -> Result<Option<Arc<[u8]>>, ReadError> {
        let pointer = self.pointer(dnode, number)?;
        if pointer.is_hole() {
            return Ok(None);
        }
        self.checked_block(dnode, &pointer, 0).map(Some)
    }

    /// The pointer to a block of level 0.
    pub(super) fn pointer(&self, dnode: &Dnode, number: u64) -> Result<BlockPointer, ReadError> {
        let shift = pointer_shift(dnode);
        let mut level = u32::from(dnode.levels.saturating_sub(1));
        let index = number.checked_shr(shift * level).unwrap_or(0);
        let top = usize::try_from(index).ok().and_then(|index| dnode.pointers.get(index));
        let mut pointer = top.copied().unwrap_or(BlockPointer::ABSENT);
        while level > 0 {
            if pointer.is_hole() {
                return Ok(pointer);
            }
            let block = self.checked_block(dnode, &pointer, level as u8)?;
            level -= 1;
            let index = number.checked_shr(shift * level).unwrap_or(0) & ((1 << shift) - 1);
            pointer = decode_pointer(&block, index as usize)?;
        }
        Ok(pointer)
    }

    /// Reads a block of an object and checks that its size is what the dnode says, so that nobody counts on more.
    pub(super) fn checked_block(
        &self,
        dnode: &Dnode,
        pointer: &BlockPointer,
        level: u8,
    ) -> Result<Arc<[u8]>, ReadError> {
        let expected = match level {
            0 => dnode.data_block_bytes as usize,
            _ => 1_usize << dnode.indirect_shift.min(31),
        };
        let block = self.pool.read_block(pointer)?;
        if block.len() != expected {
            let what = format!("a block of level {level} has {} bytes instead of {expected}", block.len());
            return Err(ReadError::Structure { object: 0, what });
        }
        Ok(block)
    }

    /// Calls `visit` with level, number and pointer of everything below a dnode that is no hole, in order.
    ///
    /// # Errors
    /// What `visit` returns, an indirect block that cannot be read, and more blocks than the device can hold.
    pub fn for_each_pointer(
        &self,
        dnode: &Dnode,
        mut visit: impl FnMut(u8, u64, &BlockPointer) -> Result<Visit, ReadError>,
    ) -> Result<(), ReadError> {
        // Pointers that lead to the same blocks over and over could go on for ages.
        let mut left = self.pool.blocks_max();
        let level = dnode.levels.saturating_sub(1);
        for (index, pointer) in dnode.pointers.iter().enumerate() {
            self.walk(dnode, level, index as u64, pointer, &mut left, &mut visit)?;
        }
        Ok(())
    }

    fn walk(
        &self,
        dnode: &Dnode,
        level: u8,
        number: u64,
        pointer: &BlockPointer,
        left: &mut u64,
        visit: &mut impl FnMut(u8, u64, &BlockPointer) -> Result<Visit, ReadError>,
    ) -> Result<(), ReadError> {
        if pointer.is_hole() {
            return Ok(());
        }
        let limit = self.pool.blocks_max();
        *left = left.checked_sub(1).ok_or(ReadError::Limit { what: "blocks in an object", limit })?;
        if visit(level, number, pointer)? == Visit::Skip || level == 0 {
            return Ok(());
        }
        let block = self.checked_block(dnode, pointer, level)?;
        for index in 0..block.len() / BLOCK_POINTER_BYTES {
            let below = decode_pointer(&block, index)?;
            let number = number.checked_shl(pointer_shift(dnode)).unwrap_or(u64::MAX).saturating_add(index as u64);
            self.walk(dnode, level - 1, number, &below, left, visit)?;
        }
        Ok(())
    }

    /// Calls `visit` with every object and its dnode, in the order of their numbers.
    ///
    /// # Errors
    /// What `visit` returns, and the first block of dnodes or dnode that cannot be read.
    pub fn for_each_dnode(&self, mut visit: impl FnMut(u64, Dnode) -> Result<(), ReadError>) -> Result<(), ReadError> {
        let meta = &self.phys.meta_dnode;
        self.for_each_pointer(meta, |level, number, pointer| {
            if level > 0 {
                return Ok(Visit::Descend);
            }
            let block = self.checked_block(meta, pointer, 0)?;
            for (slot, dnode) in dnodes(&block) {
                let per_block = block.len() as u64 / DNODE_BYTES as u64;
                visit(number.saturating_mul(per_block).saturating_add(slot), dnode?)?;
            }
            Ok(Visit::Descend)
        })
    }

    /// Fills `buffer` with the bytes of an object from `offset` on; what is a hole, or beyond the end, is zeros.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn read_exact(&self, dnode: &Dnode, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let block_bytes = u64::from(dnode.data_block_bytes.max(1));
        let mut done = 0;
        while done < buffer.len() {
            let at = offset.saturating_add(done as u64);
            let within = (at % block_bytes) as usize;
            let len = (block_bytes as usize - within).min(buffer.len() - done);
            let part = &mut buffer[done..done + len];
            match self.block(dnode, at / block_bytes)? {
                Some(block) => part.copy_from_slice(&block[within..within + len]),
                None => part.fill(0),
            }
            done += len;
        }
        Ok(())
    }

    /// All entries of a ZAP, in its own order.
    ///
    /// # Errors
    /// It cannot be read, or contradicts itself.
    pub fn zap_entries(&self, object: u64) -> Result<Vec<ZapEntry>, ReadError> {
        let mut entries = Vec::new();
        self.for_each_zap_entry(object, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Calls `visit` with every entry of a ZAP.
    ///
    /// # Errors
    /// What `visit` returns; the ZAP cannot be read, or contradicts itself.
    pub fn for_each_zap_entry(
        &self,
        object: u64,
        visit: impl FnMut(ZapEntry) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let dnode = self.zap_dnode(object)?;
        zap::for_each(|number| self.zap_block(&dnode, object, number), visit)
    }

    /// The value of a name in a ZAP; none if it is not there.
    ///
    /// # Errors
    /// The ZAP cannot be read, or contradicts itself.
    pub fn zap_lookup(&self, object: u64, name: &[u8]) -> Result<Option<Value>, ReadError> {
        let dnode = self.zap_dnode(object)?;
        zap::lookup(|number| self.zap_block(&dnode, object, number), name)
    }

    fn zap_dnode(&self, object: u64) -> Result<Dnode, ReadError> {
        let dnode = self.dnode(object)?;
        if !dnode.kind.is_zap() {
            let what = format!("an object of type `{}` is no ZAP", dnode.kind);
            return Err(ReadError::Structure { object, what });
        }
        Ok(dnode)
    }

    fn zap_block(&self, dnode: &Dnode, object: u64, number: u64) -> Result<Arc<[u8]>, ReadError> {
        let missing = || ReadError::Structure { object, what: format!("block {number} of a ZAP is a hole") };
        self.block(dnode, number)?.ok_or_else(missing)
    }
}

impl Pool<'_> {
    /// More blocks than this cannot be in the pool: a sector each, and those embedded in them.
    pub(super) fn blocks_max(&self) -> u64 {
        (self.vdev.asize >> 9).saturating_mul(8).saturating_add(1 << 10)
    }
}

/// How many bits of a block's number choose the pointer in an indirect block.
pub(super) fn pointer_shift(dnode: &Dnode) -> u32 {
    u32::from(dnode.indirect_shift.clamp(7, 31)) - 7
}

/// The pointer of that index in an indirect block; a hole beyond its end.
pub(super) fn decode_pointer(block: &[u8], index: usize) -> Result<BlockPointer, ReadError> {
    let bytes = block.get(index * BLOCK_POINTER_BYTES..).and_then(<[u8]>::first_chunk);
    Ok(bytes.map_or(Ok(BlockPointer::ABSENT), BlockPointer::decode)?)
}

/// The dnodes of a block with their slots; slots that a longer dnode covers are passed over.
pub(super) fn dnodes(block: &[u8]) -> impl Iterator<Item = (u64, Result<Dnode, ReadError>)> + '_ {
    let mut slot = 0;
    std::iter::from_fn(move || {
        loop {
            let bytes = block.get(slot * DNODE_BYTES..).filter(|bytes| bytes.len() >= DNODE_BYTES)?;
            let this = slot as u64;
            slot += 1;
            match Dnode::decode(bytes) {
                Ok(None) => {}
                Ok(Some(dnode)) => {
                    slot += usize::from(dnode.extra_slots);
                    return Some((this, Ok(dnode)));
                }
                Err(error) => return Some((this, Err(error.into()))),
            }
        }
    })
}
