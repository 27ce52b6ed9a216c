//! Building a ZAP of all its entries at once.

use super::fat::{header, leaf};
use super::{
    BLOCK_TYPE_HEADER, BLOCK_TYPE_LEAF, FAT_BLOCK_SHIFT, HEADER_MAGIC, Hasher, LEAF_MAGIC, MICRO_BYTES_MAX, NAME_MAX,
    VALUE_BYTES_MAX, Value, ZapEntry, ZapError, lossy, micro,
};

/// How a ZAP is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Blocks of a fat ZAP have two to this bytes.
    pub fat_block_shift: u8,
    /// The largest micro ZAP in bytes; 0 makes every ZAP fat.
    pub micro_bytes_max: usize,
    /// The Unicode normalization that the ZAP says it has. The names have to be normalized already.
    pub normalization: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { fat_block_shift: FAT_BLOCK_SHIFT, micro_bytes_max: MICRO_BYTES_MAX, normalization: 0 }
    }
}

/// The blocks of a ZAP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zap {
    /// The blocks of the object, from 0, all of one size.
    pub blocks: Vec<Vec<u8>>,
    /// That size in bytes: 512 to 128 KiB in steps of 512 for a micro ZAP, 16 KiB for a fat one.
    pub block_bytes: usize,
}

/// Builds a ZAP with `entries`, micro if ZFS would have it so, and hashed with `salt`, which is made odd as ZFS
/// makes it. The same entries in the same order give the same bytes.
///
/// # Errors
/// A name or value that no ZAP can hold, or a name twice.
pub fn encode(entries: &[ZapEntry], salt: u64, options: &Options) -> Result<Zap, ZapError> {
    let hasher = Hasher::new(salt | 1);
    let hashed = hash_all(entries, hasher)?;
    if micro::fits(entries, options.micro_bytes_max) {
        let mut cds = vec![0; entries.len()];
        hashed.iter().for_each(|entry| cds[entry.index] = entry.cd);
        let block = micro::encode(entries, &cds, hasher.salt, options.normalization);
        return Ok(Zap { block_bytes: block.len(), blocks: vec![block] });
    }
    encode_fat(entries, &hashed, hasher, options)
}

/// An entry with its hash; `cd` tells entries of the same hash apart.
struct Hashed {
    hash: u64,
    cd: u32,
    index: usize,
    chunks: usize,
}

/// Checks and hashes all entries; the result is sorted by hash and differentiator.
fn hash_all(entries: &[ZapEntry], hasher: Hasher) -> Result<Vec<Hashed>, ZapError> {
    let mut hashed = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        check(entry)?;
        let value_bytes = entry.value.len() * entry.value.integer_bytes();
        let chunks = 1 + (entry.name.len() + 1).div_ceil(leaf::ARRAY_BYTES) + value_bytes.div_ceil(leaf::ARRAY_BYTES);
        hashed.push(Hashed { hash: hasher.hash(&entry.name), cd: 0, index, chunks });
    }
    hashed.sort_unstable_by_key(|entry| (entry.hash, entry.index));
    for start in 1..hashed.len() {
        let (before, rest) = hashed.split_at_mut(start);
        let (Some(last), Some(this)) = (before.last(), rest.first_mut()) else { continue };
        if last.hash != this.hash {
            continue;
        }
        this.cd = last.cd + 1;
        let same_hash = before.iter().rev().take_while(|other| other.hash == this.hash);
        if same_hash.into_iter().any(|other| entries[other.index].name == entries[this.index].name) {
            return Err(ZapError::Duplicate(lossy(&entries[this.index].name)));
        }
    }
    Ok(hashed)
}

fn check(entry: &ZapEntry) -> Result<(), ZapError> {
    if entry.name.is_empty() || entry.name.len() > NAME_MAX || entry.name.contains(&0) {
        return Err(ZapError::Name(lossy(&entry.name)));
    }
    let bytes = entry.value.len() * entry.value.integer_bytes();
    if bytes > VALUE_BYTES_MAX {
        return Err(ZapError::Value { name: lossy(&entry.name), bytes });
    }
    Ok(())
}

/// A leaf to be: the entries `from..to` of the sorted ones, all with the first `prefix_len` bits of `prefix`.
struct Bucket {
    from: usize,
    to: usize,
    prefix: u64,
    prefix_len: u32,
}

/// Splits the sorted entries by one more bit of their hash until every part fits into a leaf.
fn split(hashed: &[Hashed], room: usize, bits_max: u32) -> Result<Vec<Bucket>, ZapError> {
    let mut done = Vec::new();
    let mut open = vec![Bucket { from: 0, to: hashed.len(), prefix: 0, prefix_len: 0 }];
    while let Some(bucket) = open.pop() {
        let entries = &hashed[bucket.from..bucket.to];
        if entries.iter().map(|entry| entry.chunks).sum::<usize>() <= room {
            done.push(bucket);
            continue;
        }
        let prefix_len = bucket.prefix_len + 1;
        if prefix_len > bits_max {
            return Err(ZapError::Collisions);
        }
        let bit = 1 << (64 - prefix_len);
        let middle = bucket.from + entries.partition_point(|entry| entry.hash & bit == 0);
        let prefix = bucket.prefix << 1;
        // The lower half is done first, so that leaves stand in the order of their prefixes.
        open.push(Bucket { from: middle, to: bucket.to, prefix: prefix | 1, prefix_len });
        open.push(Bucket { from: bucket.from, to: middle, prefix, prefix_len });
    }
    Ok(done)
}

fn encode_fat(entries: &[ZapEntry], hashed: &[Hashed], hasher: Hasher, options: &Options) -> Result<Zap, ZapError> {
    let block_bytes = 1_usize << options.fat_block_shift;
    // zap_grow_ptrtbl refuses to grow the table to the last two bits of the hash.
    let buckets = split(hashed, leaf::chunks(block_bytes), hasher.bits - 2)?;
    let embedded_shift = u32::from(options.fat_block_shift) - 4;
    let longest = buckets.iter().map(|bucket| bucket.prefix_len).max().unwrap_or(0);
    let shift = longest.max(embedded_shift);
    let table_blocks = if shift == embedded_shift { 0 } else { 1_usize << (shift - embedded_shift - 1) };

    // The header, the table if it stands outside, and the leaves.
    let first_leaf = 1 + table_blocks;
    let mut blocks = vec![vec![0; block_bytes]; first_leaf];
    let mut pointer = 0;
    for (number, bucket) in (first_leaf as u64..).zip(&buckets) {
        let count = 1_usize << (shift - bucket.prefix_len);
        for index in pointer..pointer + count {
            let byte = index * 8;
            let (block, offset) = match table_blocks {
                0 => (0, block_bytes / 2 + byte),
                _ => (1 + byte / block_bytes, byte % block_bytes),
            };
            blocks[block][offset..offset + 8].copy_from_slice(&number.to_le_bytes());
        }
        pointer += count;
        blocks.push(encode_leaf(entries, &hashed[bucket.from..bucket.to], bucket, block_bytes));
    }

    let mut put = |offset: usize, value: u64| blocks[0][offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    put(0, BLOCK_TYPE_HEADER);
    put(header::MAGIC, HEADER_MAGIC);
    put(header::TABLE_BLOCK, u64::from(table_blocks > 0));
    put(header::TABLE_BLOCKS, table_blocks as u64);
    put(header::TABLE_SHIFT, u64::from(shift));
    put(header::TABLE_NEXT_BLOCK, 0);
    put(header::TABLE_BLOCKS_COPIED, 0);
    put(header::FREE_BLOCK, (first_leaf + buckets.len()) as u64);
    put(header::LEAVES, buckets.len() as u64);
    put(header::ENTRIES, entries.len() as u64);
    put(header::SALT, hasher.salt);
    put(header::NORMALIZATION, options.normalization);
    put(header::FLAGS, 0);
    Ok(Zap { blocks, block_bytes })
}

fn encode_leaf(entries: &[ZapEntry], hashed: &[Hashed], bucket: &Bucket, block_bytes: usize) -> Vec<u8> {
    let mut leaf = LeafWriter::new(block_bytes, bucket.prefix_len);
    hashed.iter().for_each(|entry| leaf.add(&entries[entry.index], entry));
    leaf.finish(bucket, hashed.len())
}

/// Fills a leaf from its first chunk on, as ZFS fills a new one.
struct LeafWriter {
    block: Vec<u8>,
    chunks: usize,
    next_chunk: u16,
    prefix_len: u32,
    /// The last entry in each hash chain, so that a chain stays in the order of the differentiators.
    tails: Vec<u16>,
}

impl LeafWriter {
    fn new(block_bytes: usize, prefix_len: u32) -> Self {
        let mut block = vec![0; block_bytes];
        block[leaf::HASH..leaf::chunks_offset(block_bytes)].fill(0xff);
        let tails = vec![leaf::CHAIN_END; leaf::hash_entries(block_bytes)];
        Self { block, chunks: leaf::chunks(block_bytes), next_chunk: 0, prefix_len, tails }
    }

    fn chunk_offset(&self, chunk: u16) -> usize {
        leaf::chunks_offset(self.block.len()) + usize::from(chunk) * leaf::CHUNK_BYTES
    }

    fn take_chunk(&mut self) -> (u16, usize) {
        let chunk = self.next_chunk;
        self.next_chunk += 1;
        (chunk, self.chunk_offset(chunk))
    }

    fn put_half(&mut self, offset: usize, value: u16) {
        self.block[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn add(&mut self, entry: &ZapEntry, hashed: &Hashed) {
        let (chunk, at) = self.take_chunk();
        let mut name = entry.name.clone();
        name.push(0);
        let name_chunk = self.add_array(&name);
        let mut value = Vec::new();
        entry.value.push_big_endian(&mut value);
        let value_chunk = self.add_array(&value);

        self.block[at] = leaf::CHUNK_ENTRY;
        self.block[at + 1] = entry.value.integer_bytes() as u8;
        self.put_half(at + 2, leaf::CHAIN_END);
        self.put_half(at + 4, name_chunk);
        self.put_half(at + 6, name.len() as u16);
        self.put_half(at + 8, value_chunk);
        self.put_half(at + 10, entry.value.len() as u16);
        self.block[at + 12..at + 16].copy_from_slice(&hashed.cd.to_le_bytes());
        self.block[at + 16..at + 24].copy_from_slice(&hashed.hash.to_le_bytes());

        let bits = self.tails.len().trailing_zeros() + self.prefix_len;
        let slot = (hashed.hash >> (64 - bits)) as usize & (self.tails.len() - 1);
        let link = match self.tails[slot] {
            leaf::CHAIN_END => leaf::HASH + 2 * slot,
            tail => self.chunk_offset(tail) + 2,
        };
        self.put_half(link, chunk);
        self.tails[slot] = chunk;
    }

    fn add_array(&mut self, bytes: &[u8]) -> u16 {
        let first = if bytes.is_empty() { leaf::CHAIN_END } else { self.next_chunk };
        let count = bytes.len().div_ceil(leaf::ARRAY_BYTES);
        for (index, part) in bytes.chunks(leaf::ARRAY_BYTES).enumerate() {
            let (chunk, at) = self.take_chunk();
            self.block[at] = leaf::CHUNK_ARRAY;
            self.block[at + 1..at + 1 + part.len()].copy_from_slice(part);
            let next = if index + 1 == count { leaf::CHAIN_END } else { chunk + 1 };
            self.put_half(at + 1 + leaf::ARRAY_BYTES, next);
        }
        first
    }

    fn finish(mut self, bucket: &Bucket, entries: usize) -> Vec<u8> {
        let used = usize::from(self.next_chunk);
        for chunk in used..self.chunks {
            let at = self.chunk_offset(chunk as u16);
            self.block[at] = leaf::CHUNK_FREE;
            let next = if chunk + 1 == self.chunks { leaf::CHAIN_END } else { chunk as u16 + 1 };
            self.put_half(at + 1 + leaf::ARRAY_BYTES, next);
        }
        self.block[..8].copy_from_slice(&BLOCK_TYPE_LEAF.to_le_bytes());
        self.block[leaf::PREFIX..leaf::PREFIX + 8].copy_from_slice(&bucket.prefix.to_le_bytes());
        self.block[leaf::MAGIC..leaf::MAGIC + 4].copy_from_slice(&LEAF_MAGIC.to_le_bytes());
        self.put_half(leaf::FREE_CHUNKS, (self.chunks - used) as u16);
        self.put_half(leaf::ENTRIES, entries as u16);
        self.put_half(leaf::PREFIX_LEN, bucket.prefix_len as u16);
        let free_list = if used == self.chunks { leaf::CHAIN_END } else { self.next_chunk };
        self.put_half(leaf::FREE_LIST, free_list);
        self.block
    }
}

impl Zap {
    /// The bytes of all blocks together.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        (self.blocks.len() * self.block_bytes) as u64
    }
}

/// How long the value of an entry is in a leaf; for callers that choose what to store.
impl Value {
    /// The bytes of the value on disk.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.len() * self.integer_bytes()
    }
}
