//! The blocks of fat ZAPs, as read from disk: `zap_phys_t`, `zap_table_phys_t` and `zap_leaf_phys_t`.

use super::micro::word;
use super::{BLOCK_TYPE_HEADER, BLOCK_TYPE_LEAF, HEADER_MAGIC, Hasher, LEAF_MAGIC, Value, ZapEntry, ZapError};

/// Where the fields of the header stand.
pub(super) mod header {
    pub(crate) const MAGIC: usize = 8;
    pub(crate) const TABLE_BLOCK: usize = 16;
    pub(crate) const TABLE_BLOCKS: usize = 24;
    pub(crate) const TABLE_SHIFT: usize = 32;
    pub(crate) const TABLE_NEXT_BLOCK: usize = 40;
    pub(crate) const TABLE_BLOCKS_COPIED: usize = 48;
    pub(crate) const FREE_BLOCK: usize = 56;
    pub(crate) const LEAVES: usize = 64;
    pub(crate) const ENTRIES: usize = 72;
    pub(crate) const SALT: usize = 80;
    pub(crate) const NORMALIZATION: usize = 88;
    pub(crate) const FLAGS: usize = 96;
}

/// Where the fields of a leaf stand, and its chunks.
pub(super) mod leaf {
    pub(crate) const PREFIX: usize = 16;
    pub(crate) const MAGIC: usize = 24;
    pub(crate) const FREE_CHUNKS: usize = 28;
    pub(crate) const ENTRIES: usize = 30;
    pub(crate) const PREFIX_LEN: usize = 32;
    pub(crate) const FREE_LIST: usize = 34;
    pub(crate) const HASH: usize = 48;
    /// `ZAP_LEAF_CHUNKSIZE`.
    pub(crate) const CHUNK_BYTES: usize = 24;
    /// `ZAP_LEAF_ARRAY_BYTES`: payload of a chunk.
    pub(crate) const ARRAY_BYTES: usize = 21;
    /// `CHAIN_END`.
    pub(crate) const CHAIN_END: u16 = 0xffff;
    pub(crate) const CHUNK_FREE: u8 = 253;
    pub(crate) const CHUNK_ENTRY: u8 = 252;
    pub(crate) const CHUNK_ARRAY: u8 = 251;

    /// How many entries the hash table of a leaf has.
    pub(crate) fn hash_entries(block_bytes: usize) -> usize {
        block_bytes / 32
    }

    /// How many chunks a leaf has.
    pub(crate) fn chunks(block_bytes: usize) -> usize {
        (block_bytes - 2 * hash_entries(block_bytes)) / CHUNK_BYTES - 2
    }

    /// Where the chunks begin.
    pub(crate) fn chunks_offset(block_bytes: usize) -> usize {
        HASH + 2 * hash_entries(block_bytes)
    }
}

/// Where the pointers to the leaves are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointerTable {
    /// The first block of the table; 0 while it is embedded in the second half of the header.
    pub block: u64,
    /// How many blocks it has; 0 while it is embedded.
    pub blocks: u64,
    /// There are two to this pointers.
    pub shift: u32,
}

/// The header of a fat ZAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FatHeader {
    /// The pointer table.
    pub table: PointerTable,
    /// The first block that is not in use.
    pub free_block: u64,
    /// How many leaves there are.
    pub leaves: u64,
    /// How many entries there are.
    pub entries: u64,
    /// The salt of the hash.
    pub salt: u64,
    /// The Unicode normalization of names; 0 is none.
    pub normalization: u64,
    /// `ZAP_FLAG_*`: 1 = 48 bits of hash count, 2 = names are integers, 4 = names are hashes already.
    pub flags: u64,
    block_shift: u32,
}

impl FatHeader {
    /// Reads block 0 of a fat ZAP.
    ///
    /// # Errors
    /// The block is of another kind, or its pointer table cannot be.
    pub fn new(block: &[u8]) -> Result<Self, ZapError> {
        let wrong = |what, found| Err(ZapError::Field { block: 0, what, found });
        if word(block, 0) != BLOCK_TYPE_HEADER || !block.len().is_power_of_two() || block.len() < 512 {
            return Err(ZapError::BlockType { block: 0, found: word(block, 0) });
        }
        if word(block, header::MAGIC) != HEADER_MAGIC {
            return wrong("the magic", word(block, header::MAGIC));
        }
        let block_shift = block.len().trailing_zeros();
        let shift = word(block, header::TABLE_SHIFT);
        let table = PointerTable {
            block: word(block, header::TABLE_BLOCK),
            blocks: word(block, header::TABLE_BLOCKS),
            shift: u32::try_from(shift).unwrap_or(u32::MAX),
        };
        let expected = if table.blocks == 0 {
            u64::from(block_shift - 4)
        } else {
            u64::from(table.blocks.checked_ilog2().unwrap_or(0) + block_shift - 3)
        };
        // zap_grow_ptrtbl stops two bits before the hash ends, be it 28 or 48 bits long.
        if shift != expected || shift > 46 || (table.blocks != 0 && !table.blocks.is_power_of_two()) {
            return wrong("the size of the pointer table", shift);
        }
        if table.block.checked_add(table.blocks).is_none_or(|end| end > 1 << 48) {
            return wrong("the place of the pointer table", table.block);
        }
        Ok(Self {
            table,
            free_block: word(block, header::FREE_BLOCK),
            leaves: word(block, header::LEAVES),
            entries: word(block, header::ENTRIES),
            salt: word(block, header::SALT),
            normalization: word(block, header::NORMALIZATION),
            flags: word(block, header::FLAGS),
            block_shift,
        })
    }

    /// How names are hashed.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        Hasher { salt: self.salt, bits: if self.flags & 1 == 0 { 28 } else { 48 } }
    }

    /// Whether names are arrays of 64-bit integers (`ZAP_FLAG_UINT64_KEY`), as in deduplication tables.
    #[must_use]
    pub fn has_integer_names(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Where the pointer of the given index stands: the block of the ZAP, and the byte in it.
    #[must_use]
    pub fn pointer_place(&self, index: u64) -> (u64, usize) {
        let byte = index * 8;
        if self.table.blocks == 0 {
            return (0, (1 << (self.block_shift - 1)) + byte as usize);
        }
        let mask = (1_u64 << self.block_shift) - 1;
        (self.table.block + (byte >> self.block_shift), (byte & mask) as usize)
    }
}

/// A leaf in its block.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    block: &'a [u8],
    number: u64,
}

/// An entry of a leaf, not yet put together from its chunks.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeafEntry {
    pub(super) hash: u64,
    name_chunk: u16,
    name_len: u16,
    value_chunk: u16,
    value_len: u16,
    value_size: u8,
    next: u16,
}

impl<'a> Leaf<'a> {
    /// The leaf in `block`, which is number `number` of its object.
    ///
    /// # Errors
    /// The block is of another kind.
    pub fn new(block: &'a [u8], number: u64) -> Result<Self, ZapError> {
        let found = word(block, 0);
        if found != BLOCK_TYPE_LEAF || !block.len().is_power_of_two() || block.len() < 512 {
            return Err(ZapError::BlockType { block: number, found });
        }
        let leaf = Self { block, number };
        let magic = u32::from(leaf.half(leaf::MAGIC)) | u32::from(leaf.half(leaf::MAGIC + 2)) << 16;
        if magic != LEAF_MAGIC {
            return Err(leaf.wrong("the leaf's magic", u64::from(magic)));
        }
        Ok(leaf)
    }

    /// The first bits of the hash of every name in the leaf.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        word(self.block, leaf::PREFIX)
    }

    /// How many bits the prefix has.
    #[must_use]
    pub fn prefix_len(&self) -> u32 {
        u32::from(self.half(leaf::PREFIX_LEN))
    }

    /// How many entries the leaf says it has.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        u64::from(self.half(leaf::ENTRIES))
    }

    /// Calls `visit` with every entry, in the order of the hash table.
    ///
    /// # Errors
    /// A chain of chunks leaves the block, goes round, or ends early.
    pub fn for_each<E: From<ZapError>>(
        &self,
        integer_names: bool,
        mut visit: impl FnMut(ZapEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut steps_left = leaf::chunks(self.block.len());
        for slot in 0..leaf::hash_entries(self.block.len()) {
            let mut chunk = self.half(leaf::HASH + 2 * slot);
            while chunk != leaf::CHAIN_END {
                steps_left =
                    steps_left.checked_sub(1).ok_or(self.wrong("a hash chain that goes round", slot as u64))?;
                let entry = self.entry(chunk)?;
                visit(self.assemble(&entry, integer_names)?)?;
                chunk = entry.next;
            }
        }
        Ok(())
    }

    /// The value of `name`, whose hash is `hash`.
    ///
    /// # Errors
    /// A chain of chunks leaves the block, goes round, or ends early.
    pub fn get(&self, name: &[u8], hash: u64) -> Result<Option<Value>, ZapError> {
        let entries = leaf::hash_entries(self.block.len());
        let bits = entries.trailing_zeros() + self.prefix_len();
        let slot = if bits > 64 { 0 } else { (hash >> (64 - bits)) as usize & (entries - 1) };
        let mut chunk = self.half(leaf::HASH + 2 * slot);
        for _ in 0..leaf::chunks(self.block.len()) {
            if chunk == leaf::CHAIN_END {
                return Ok(None);
            }
            let entry = self.entry(chunk)?;
            if entry.hash == hash && usize::from(entry.name_len) == name.len() + 1 {
                let found = self.assemble(&entry, false)?;
                if found.name == name {
                    return Ok(Some(found.value));
                }
            }
            chunk = entry.next;
        }
        Err(self.wrong("a hash chain that goes round", slot as u64))
    }

    fn entry(&self, chunk: u16) -> Result<LeafEntry, ZapError> {
        let at = self.chunk(chunk)?;
        if self.block[at] != leaf::CHUNK_ENTRY {
            return Err(self.wrong("the type of an entry's chunk", u64::from(self.block[at])));
        }
        Ok(LeafEntry {
            value_size: self.block[at + 1],
            next: self.half(at + 2),
            name_chunk: self.half(at + 4),
            name_len: self.half(at + 6),
            value_chunk: self.half(at + 8),
            value_len: self.half(at + 10),
            hash: word(self.block, at + 16),
        })
    }

    fn assemble(&self, entry: &LeafEntry, integer_names: bool) -> Result<ZapEntry, ZapError> {
        let name_bytes = usize::from(entry.name_len) * if integer_names { 8 } else { 1 };
        let mut name = self.array(entry.name_chunk, name_bytes)?;
        if !integer_names && name.pop() != Some(0) {
            return Err(self.wrong("a name without its NUL", u64::from(entry.name_len)));
        }
        let bytes = self.array(entry.value_chunk, usize::from(entry.value_len) * usize::from(entry.value_size))?;
        let value = Value::from_big_endian(entry.value_size, &bytes);
        let value = value.ok_or(self.wrong("the size of integers", u64::from(entry.value_size)))?;
        Ok(ZapEntry { name, value })
    }

    fn array(&self, mut chunk: u16, len: usize) -> Result<Vec<u8>, ZapError> {
        // No leaf has room for more, so a chain that goes round ends here.
        if len > leaf::chunks(self.block.len()) * leaf::ARRAY_BYTES {
            return Err(self.wrong("the length of an array", len as u64));
        }
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = self.chunk(chunk)?;
            if self.block[at] != leaf::CHUNK_ARRAY {
                return Err(self.wrong("the type of an array's chunk", u64::from(self.block[at])));
            }
            let wanted = leaf::ARRAY_BYTES.min(len - bytes.len());
            bytes.extend_from_slice(&self.block[at + 1..at + 1 + wanted]);
            chunk = self.half(at + 1 + leaf::ARRAY_BYTES);
        }
        Ok(bytes)
    }

    fn chunk(&self, chunk: u16) -> Result<usize, ZapError> {
        if usize::from(chunk) >= leaf::chunks(self.block.len()) {
            return Err(self.wrong("the number of a chunk", u64::from(chunk)));
        }
        Ok(leaf::chunks_offset(self.block.len()) + usize::from(chunk) * leaf::CHUNK_BYTES)
    }

    fn half(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.block[offset], self.block[offset + 1]])
    }

    fn wrong(&self, what: &'static str, found: u64) -> ZapError {
        ZapError::Field { block: self.number, what, found }
    }
}
