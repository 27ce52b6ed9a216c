//! Sparse files in archives: GNU tar's old format (entry type `S`) and its three pax formats.
//!
//! GNU tar manual, "Storing Sparse Files". In all of them the archive holds the data of the extents, one
//! after the other, as the store does.

use super::error::TarErrorKind;
use super::header::{self, BLOCK_BYTES, Block, FieldSpan};
use super::pax::decimal;
use crate::hash::BlobHash;
use crate::node::{Content, Extent};

/// A file's extents and its length with holes.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseMap {
    extents: Vec<Extent>,
    real_size: u64,
}

/// What the `GNU.sparse.*` keywords of pax headers say.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseKeywords {
    pub(super) name: Option<Vec<u8>>,
    real_size: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    /// Offsets and lengths in turn, from the formats 0.0 and 0.1.
    numbers: Option<Vec<u64>>,
}

/// Where the map of a sparse file described by pax headers is.
pub(super) enum PaxSparse {
    /// The entry is an ordinary file.
    No,
    /// In the headers.
    Map(SparseMap),
    /// In front of the data (format 1.0); this is the length of the file.
    InData(u64),
}

impl SparseMap {
    pub(super) fn new(real_size: u64) -> Self {
        Self { extents: Vec::new(), real_size }
    }

    /// Appends an extent; empty ones, which mark the end of a file with a hole there, say nothing new.
    pub(super) fn push(&mut self, offset: u64, len: u64) {
        if len > 0 {
            self.extents.push(Extent { offset, len });
        }
    }

    /// The content with this map and this data, which has to be as long as the extents together.
    pub(super) fn content(&self, data: BlobHash, data_len: u64) -> Result<Content, TarErrorKind> {
        let content = Content::sparse(data, self.real_size, &self.extents).ok();
        content.filter(|content| content.data_len() == data_len).ok_or(TarErrorKind::Field("map of a sparse file"))
    }

    /// Reads the pairs of an old GNU header or of a block that follows it.
    pub(super) fn push_gnu(&mut self, block: &Block, map: FieldSpan) -> Result<(), TarErrorKind> {
        for pair in header::field(block, map).chunks_exact(24) {
            if pair[0] == 0 {
                break;
            }
            let number = |bytes| header::number(bytes).and_then(|number| u64::try_from(number).ok());
            let (offset, len) = (number(&pair[..12]), number(&pair[12..]));
            let (Some(offset), Some(len)) = (offset, len) else {
                return Err(TarErrorKind::Field("map of a sparse file"));
            };
            self.push(offset, len);
        }
        Ok(())
    }
}

impl SparseKeywords {
    pub(super) fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), TarErrorKind> {
        let number = |value| decimal::<u64>(value, "number about a sparse file");
        match keyword {
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.real_size = number(value)?,
            b"GNU.sparse.major" => self.major = number(value)?,
            b"GNU.sparse.minor" => self.minor = number(value)?,
            b"GNU.sparse.numblocks" => drop(self.numbers.get_or_insert_default()),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.numbers.get_or_insert_default().extend(number(value)?);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|text| !text.is_empty());
                let numbers: Result<Vec<_>, _> = numbers.map(number).collect();
                self.numbers = Some(numbers?.into_iter().flatten().collect());
            }
            _ => {
                return Err(TarErrorKind::Unsupported("a sparse file of an unknown format"));
            }
        }
        Ok(())
    }

    pub(super) fn interpret(&self) -> Result<PaxSparse, TarErrorKind> {
        let size = self.real_size.ok_or(TarErrorKind::Field("length of a sparse file"));
        match (self.major, self.minor, &self.numbers) {
            (None, _, None) if self.real_size.is_none() => Ok(PaxSparse::No),
            (Some(1), Some(0), _) => Ok(PaxSparse::InData(size?)),
            (None | Some(0), _, Some(numbers)) if numbers.len() % 2 == 0 => {
                let mut map = SparseMap::new(size?);
                numbers.chunks_exact(2).for_each(|pair| map.push(pair[0], pair[1]));
                Ok(PaxSparse::Map(map))
            }
            _ => Err(TarErrorKind::Unsupported("a sparse file of an unknown format")),
        }
    }
}

/// The map in front of the data (format 1.0): the number of extents, then offset and length of each, every
/// number on a line; whole blocks.
pub(super) fn format_map(extents: &[Extent], real_size: u64) -> Vec<u8> {
    // As GNU tar does, a hole at the end is marked by an empty extent.
    let ends_in_hole = extents.last().is_none_or(|last| last.offset + last.len < real_size);
    let end = ends_in_hole.then_some(Extent { offset: real_size, len: 0 });
    let all: Vec<&Extent> = extents.iter().chain(&end).collect();
    let mut map = format!("{}\n", all.len());
    for extent in all {
        map.push_str(&format!("{}\n{}\n", extent.offset, extent.len));
    }
    let mut map = map.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK_BYTES), 0);
    map
}

/// Reads a map of format 1.0 block by block. `next_block` yields the blocks of the entry's data. Returns the
/// map and how many bytes it occupies.
pub(super) fn read_map(
    real_size: u64,
    mut next_block: impl FnMut() -> Result<Block, TarErrorKind>,
) -> Result<(SparseMap, u64), TarErrorKind> {
    let (mut block, mut position, mut blocks) = (next_block()?, 0, 1);
    let mut next_number = || {
        let mut digits = Vec::new();
        loop {
            if position == BLOCK_BYTES {
                (block, position, blocks) = (next_block()?, 0, blocks + 1);
            }
            let byte = block[position];
            position += 1;
            match byte {
                b'\n' => break,
                _ if digits.len() < 20 => digits.push(byte),
                _ => return Err(TarErrorKind::Field("map of a sparse file")),
            }
        }
        decimal::<u64>(&digits, "map of a sparse file")?.ok_or(TarErrorKind::Field("map of a sparse file"))
    };
    let mut map = SparseMap::new(real_size);
    for _ in 0..next_number()? {
        let (offset, len) = (next_number()?, next_number()?);
        map.push(offset, len);
    }
    Ok((map, blocks * BLOCK_BYTES as u64))
}
