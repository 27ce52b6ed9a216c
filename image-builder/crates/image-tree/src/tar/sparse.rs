//! Sparse files in archives: GNU tar's old format (entry type `S`) and its three pax formats.
//!
//! GNU tar manual, "Storing Sparse Files". In all of them the archive holds the data of the extents, one
//! after the other, as the store does.

use super::error::TarErrorKind;
use super::header::{self, BLOCK_BYTES, Block, FieldSpan};
use super::pax::decimal;
use crate::hash::BlobHash;
use crate::node::{Content, Extent, FILE_BYTES_MAX};

/// So many extents are kept of all sparse files of an archive: 16 MiB in a tree.
pub(super) const EXTENTS_MAX: usize = 1 << 20;

/// A file's extents and its length with holes.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseMap {
    /// In order, within the file, and none touches the next.
    extents: Vec<Extent>,
    real_size: u64,
    extents_max: usize,
}

/// The map contradicts itself, the file's length or the data's.
const MAP: TarErrorKind = TarErrorKind::Field("map of a sparse file");

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
    /// A file of `real_size` bytes that may have up to `extents_max` extents.
    pub(super) fn new(real_size: u64, extents_max: usize) -> Result<Self, TarErrorKind> {
        if real_size > FILE_BYTES_MAX {
            return Err(TarErrorKind::Field("length of a sparse file"));
        }
        Ok(Self { extents: Vec::new(), real_size, extents_max })
    }

    /// How many extents there are. Those that touch are one.
    pub(super) fn len(&self) -> usize {
        self.extents.len()
    }

    /// Appends an extent; empty ones, which mark the end of a file with a hole there, say nothing new.
    pub(super) fn push(&mut self, offset: u64, len: u64) -> Result<(), TarErrorKind> {
        if len == 0 {
            return Ok(());
        }
        let end = self.extents.last().map_or(0, |last| last.offset + last.len);
        let is_within = offset.checked_add(len).is_some_and(|past| past <= self.real_size);
        if offset < end || !is_within {
            return Err(MAP);
        }
        let is_full = self.len() >= self.extents_max;
        match self.extents.last_mut() {
            Some(last) if offset == end => last.len += len,
            _ if is_full => return Err(TarErrorKind::TooManyExtents(EXTENTS_MAX)),
            _ => self.extents.push(Extent { offset, len }),
        }
        Ok(())
    }

    /// Refuses a map of other than so many bytes of data.
    pub(super) fn check_data(&self, data_len: u64) -> Result<(), TarErrorKind> {
        // The extents are within 64 bits, one after the other.
        let wanted: u64 = self.extents.iter().map(|extent| extent.len).sum();
        if wanted == data_len { Ok(()) } else { Err(MAP) }
    }

    /// The content with this map and this data.
    pub(super) fn content(&self, data: BlobHash) -> Result<Content, TarErrorKind> {
        Content::sparse(data, self.real_size, &self.extents).map_err(|_| MAP)
    }

    /// Reads the pairs of an old GNU header or of a block that follows it.
    pub(super) fn push_gnu(&mut self, block: &Block, map: FieldSpan) -> Result<(), TarErrorKind> {
        for pair in header::field(block, map).chunks_exact(24) {
            if pair[0] == 0 {
                break;
            }
            let number = |bytes| header::number(bytes).and_then(|number| u64::try_from(number).ok());
            let (offset, len) = (number(&pair[..12]), number(&pair[12..]));
            let (Some(offset), Some(len)) = (offset, len) else { return Err(MAP) };
            self.push(offset, len)?;
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
        // Several headers may belong to one entry, and each is bounded.
        match &self.numbers {
            Some(numbers) if numbers.len() > 2 * EXTENTS_MAX => Err(TarErrorKind::TooManyExtents(EXTENTS_MAX)),
            _ => Ok(()),
        }
    }

    /// About how many bytes of memory the numbers take.
    pub(super) fn weight(&self) -> u64 {
        self.numbers.as_deref().map_or(0, |numbers| size_of_val(numbers) as u64)
    }

    pub(super) fn interpret(&self, extents_max: usize) -> Result<PaxSparse, TarErrorKind> {
        let size = self.real_size.ok_or(TarErrorKind::Field("length of a sparse file"));
        match (self.major, self.minor, &self.numbers) {
            (None, _, None) if self.real_size.is_none() => Ok(PaxSparse::No),
            (Some(1), Some(0), _) => Ok(PaxSparse::InData(size?)),
            (None | Some(0), _, Some(numbers)) if numbers.len() % 2 == 0 => {
                let mut map = SparseMap::new(size?, extents_max)?;
                numbers.chunks_exact(2).try_for_each(|pair| map.push(pair[0], pair[1]))?;
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

/// Reads a map of format 1.0 into `map` block by block. `next_block` yields the blocks of the entry's `size` bytes of map and
/// data. Returns how many bytes the map occupies, which is no more than those.
pub(super) fn read_map(
    map: &mut SparseMap,
    size: u64,
    mut next_block: impl FnMut() -> Result<Block, TarErrorKind>,
) -> Result<u64, TarErrorKind> {
    let (mut block, mut position, mut map_bytes) = ([0; BLOCK_BYTES], BLOCK_BYTES, 0);
    let mut next_number = || {
        let mut digits = Vec::new();
        loop {
            if position == BLOCK_BYTES {
                map_bytes += BLOCK_BYTES as u64;
                if map_bytes > size {
                    return Err(MAP);
                }
                (block, position) = (next_block()?, 0);
            }
            let byte = block[position];
            position += 1;
            match byte {
                b'\n' => break,
                _ if digits.len() < 20 => digits.push(byte),
                _ => return Err(MAP),
            }
        }
        decimal::<u64>(&digits, "map of a sparse file")?.ok_or(MAP)
    };
    for _ in 0..next_number()? {
        let (offset, len) = (next_number()?, next_number()?);
        map.push(offset, len)?;
    }
    Ok(map_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Extents are refused where they are read, not when all of them are in memory.
    #[test]
    fn maps_are_checked_as_they_grow() {
        let push_all = |extents: &[(u64, u64)]| {
            let mut map = SparseMap::new(100, 2).unwrap();
            extents.iter().try_for_each(|(offset, len)| map.push(*offset, *len)).map(|()| map.len())
        };
        assert_eq!(push_all(&[(0, 10), (10, 10), (20, 10), (50, 50), (100, 0)]).unwrap(), 2, "touching ones are one");
        for wrong in [vec![(10, 5), (9, 1)], vec![(10, 5), (14, 5)], vec![(99, 2)], vec![(u64::MAX, 2)]] {
            assert!(matches!(push_all(&wrong), Err(TarErrorKind::Field(_))), "{wrong:?}");
        }
        assert!(matches!(push_all(&[(0, 1), (2, 1), (4, 1)]), Err(TarErrorKind::TooManyExtents(_))));
        assert!(SparseMap::new(FILE_BYTES_MAX, 1).is_ok() && SparseMap::new(FILE_BYTES_MAX + 1, 1).is_err());
    }

    #[test]
    fn a_map_ends_with_its_entry() {
        let mut blocks = 0;
        let mut map = SparseMap::new(u64::from(u32::MAX), EXTENTS_MAX).unwrap();
        let read = read_map(&mut map, 1000, || {
            blocks += 1;
            Ok(*[b"99999999999\n".as_slice(), &b"0\n".repeat(250)].concat().first_chunk().unwrap())
        });
        assert!(matches!(read, Err(TarErrorKind::Field(_))), "{read:?}");
        assert_eq!(blocks, 1);
        let whole =
            read_map(&mut map, 512, || Ok(*[b"1\n4\n5\n".as_slice(), &[0; 506]].concat().first_chunk().unwrap()));
        assert_eq!((whole.unwrap(), map.extents), (512, vec![Extent { offset: 4, len: 5 }]));
    }
}
