//! Walking and searching a ZAP of any kind, over a function that reads its blocks.

use super::fat::{FatHeader, Leaf};
use super::micro::{Micro, word};
use super::{BLOCK_TYPE_HEADER, BLOCK_TYPE_MICRO, Value, ZapEntry, ZapError};

/// What kind of ZAP an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One block of slots.
    Micro,
    /// A hash table.
    Fat,
}

/// The kind, by the first block.
///
/// # Errors
/// The block begins no ZAP.
pub fn kind(block: &[u8]) -> Result<Kind, ZapError> {
    match word(block, 0) {
        BLOCK_TYPE_MICRO => Ok(Kind::Micro),
        BLOCK_TYPE_HEADER => Ok(Kind::Fat),
        found => Err(ZapError::BlockType { block: 0, found }),
    }
}

/// Calls `visit` with every entry. `read` gets a block number of the object and returns the block.
///
/// Every leaf is read once, however the pointers are; what the header and the pointers say of the leaves is
/// checked on the way.
///
/// # Errors
/// What `read` and `visit` return, and every contradiction in the ZAP.
pub fn for_each<B: AsRef<[u8]>, E: From<ZapError>>(
    mut read: impl FnMut(u64) -> Result<B, E>,
    mut visit: impl FnMut(ZapEntry) -> Result<(), E>,
) -> Result<(), E> {
    let first = read(0)?;
    if kind(first.as_ref())? == Kind::Micro {
        let entries = Micro::new(first.as_ref())?;
        return entries.entries().try_for_each(|(name, value)| visit(ZapEntry::integer(name, value)));
    }
    let header = FatHeader::new(first.as_ref())?;
    let mut index = 0;
    let mut found = 0;
    let mut table = first;
    let mut table_block = 0;
    while index < 1_u64 << header.table.shift {
        let (block, offset) = header.pointer_place(index);
        if block != table_block {
            table = read(block)?;
            table_block = block;
        }
        let number = word(table.as_ref(), offset);
        if number == 0 || number >= header.free_block {
            return Err(ZapError::Field { block, what: "a pointer to a leaf", found: number }.into());
        }
        let leaf_block = read(number)?;
        let leaf = Leaf::new(leaf_block.as_ref(), number)?;
        let covered = covered(&header, &leaf, index, number)?;
        leaf.for_each(header.has_integer_names(), |entry| {
            found += 1;
            visit(entry)
        })?;
        index += covered;
    }
    if found != header.entries {
        return Err(ZapError::Count { said: header.entries, found }.into());
    }
    Ok(())
}

/// How many pointers lead to the leaf that the first of them, `index`, leads to. Its prefix has to be that of the
/// pointers, so that no leaf can be met again.
fn covered(header: &FatHeader, leaf: &Leaf<'_>, index: u64, number: u64) -> Result<u64, ZapError> {
    let wrong = |what, found| ZapError::Field { block: number, what, found };
    let len = leaf.prefix_len();
    let unused = header.table.shift.checked_sub(len).ok_or(wrong("the length of a prefix", u64::from(len)))?;
    if index != leaf.prefix() << unused || leaf.prefix() >> len != 0 {
        return Err(wrong("a leaf's prefix", leaf.prefix()));
    }
    Ok(1 << unused)
}

/// The value of `name`; none if it is not there. `read` gets a block number and returns the block.
///
/// # Errors
/// What `read` returns, and every contradiction on the way.
pub fn lookup<B: AsRef<[u8]>, E: From<ZapError>>(
    mut read: impl FnMut(u64) -> Result<B, E>,
    name: &[u8],
) -> Result<Option<Value>, E> {
    let first = read(0)?;
    if kind(first.as_ref())? == Kind::Micro {
        return Ok(Micro::new(first.as_ref())?.get(name).map(|value| Value::U64(vec![value])));
    }
    let header = FatHeader::new(first.as_ref())?;
    let hash = header.hasher().hash(name);
    let (block, offset) = header.pointer_place(hash >> (64 - header.table.shift));
    let number = if block == 0 { word(first.as_ref(), offset) } else { word(read(block)?.as_ref(), offset) };
    if number == 0 || number >= header.free_block {
        return Err(ZapError::Field { block, what: "a pointer to a leaf", found: number }.into());
    }
    let leaf = read(number)?;
    Ok(Leaf::new(leaf.as_ref(), number)?.get(name, hash)?)
}
