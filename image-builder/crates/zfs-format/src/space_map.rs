//! Space maps: which ranges of a metaslab are allocated, as a log of allocations and frees.
//!
//! Source: `space_map.h`. One word an entry: offset in 47 bits from 16, a bit that says free, length less one in
//! 15 bits; both in units of `1 << shift` from the start of the metaslab. A word that begins with the bits `10`
//! tells who wrote what follows; one that begins with `11` is the first of two, for longer runs.

/// Bytes of the header without a histogram: `SPACE_MAP_SIZE_V0`.
pub const HEADER_BYTES: usize = 24;
/// Bytes of the header with one, feature `spacemap_histogram`.
pub const HEADER_BYTES_HISTOGRAM: usize = 320;
/// Where the histogram is in the header.
const HISTOGRAM: usize = 64;
/// Units of the longest run of one word.
const RUN_MAX: u64 = 1 << 15;
/// Offsets of one word are below this many units.
const OFFSET_MAX: u64 = 1 << 47;

/// `space_map_phys_t`: the bonus of a space map's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceMapPhys {
    /// The object that it is the bonus of.
    pub object: u64,
    /// Bytes of entries.
    pub length: u64,
    /// Bytes that the entries leave allocated.
    pub allocated: i64,
    /// Free segments by the binary logarithm of their units, with the feature `spacemap_histogram`.
    pub histogram: Option<[u64; 32]>,
}

/// A run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First byte, from where block addresses count.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// What an entry says of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is allocated.
    Allocate,
    /// It is free.
    Free,
}

/// Bytes that are no space map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceMapError {
    /// The header is too short.
    #[error("the header of a space map has {0} bytes; it takes 24")]
    Short(usize),
    /// The last entry is cut.
    #[error("a space map ends inside an entry")]
    Cut,
    /// A run is beyond any device.
    #[error("entry {index} of a space map is beyond any device")]
    Range {
        /// Which word, from 0.
        index: usize,
    },
}

impl SpaceMapPhys {
    /// The header as it is on disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let size = if self.histogram.is_some() { HEADER_BYTES_HISTOGRAM } else { HEADER_BYTES };
        let mut bytes = Vec::with_capacity(size);
        for word in [self.object, self.length, u64::from_ne_bytes(self.allocated.to_ne_bytes())] {
            bytes.extend(word.to_le_bytes());
        }
        if let Some(histogram) = &self.histogram {
            bytes.resize(HISTOGRAM, 0);
            bytes.extend(histogram.iter().flat_map(|count| count.to_le_bytes()));
        }
        bytes
    }

    /// Reads a header; one that is long enough has a histogram.
    ///
    /// # Errors
    /// When it is too short.
    pub fn decode(bytes: &[u8]) -> Result<Self, SpaceMapError> {
        if bytes.len() < HEADER_BYTES {
            return Err(SpaceMapError::Short(bytes.len()));
        }
        let words: Vec<u64> = words(bytes).collect();
        let counts = words.get(HISTOGRAM / 8..HISTOGRAM / 8 + 32);
        let histogram = counts.and_then(|counts| <[u64; 32]>::try_from(counts).ok());
        Ok(Self {
            object: words[0],
            length: words[1],
            allocated: i64::from_ne_bytes(words[2].to_ne_bytes()),
            histogram,
        })
    }
}

/// The entries for `ranges`, behind the word that tells transaction group and pass, as `space_map_write` makes them.
///
/// Ranges are whole units of `1 << shift` bytes, at or behind `start`; no entry at all for no range.
#[must_use]
pub fn encode_entries(ranges: &[Range], action: Action, start: u64, shift: u8, txg: u64) -> Vec<u8> {
    let free = action == Action::Free;
    let mut bytes = Vec::new();
    if !ranges.is_empty() {
        let debug = 1_u64 << 63 | u64::from(free) << 60 | 1 << 50 | (txg & ((1 << 50) - 1));
        bytes.extend(debug.to_le_bytes());
    }
    for range in ranges {
        let (mut offset, mut left) = ((range.start - start) >> shift, range.len >> shift);
        debug_assert!(offset + left <= OFFSET_MAX, "a metaslab is smaller than one-word entries reach");
        while left > 0 {
            let run = left.min(RUN_MAX);
            let entry = offset << 16 | u64::from(free) << 15 | (run - 1);
            bytes.extend(entry.to_le_bytes());
            offset += run;
            left -= run;
        }
    }
    bytes
}

/// The runs that entries of one or two words tell, in the order of the log.
///
/// # Errors
/// The first entry that cannot be one.
pub fn decode_entries(
    bytes: &[u8],
    start: u64,
    shift: u8,
) -> impl Iterator<Item = Result<(Action, Range), SpaceMapError>> + '_ {
    let mut entries = words(bytes).enumerate();
    std::iter::from_fn(move || {
        loop {
            let (index, word) = entries.next()?;
            let (offset, run, free) = match word >> 62 {
                0b10 => continue,
                0b11 => match entries.next() {
                    None => return Some(Err(SpaceMapError::Cut)),
                    Some((_, second)) => (second & !(1 << 63), (word >> 24 & ((1 << 36) - 1)) + 1, second >> 63 == 1),
                },
                _ => (word >> 16, (word & (RUN_MAX - 1)) + 1, word >> 15 & 1 == 1),
            };
            let action = if free { Action::Free } else { Action::Allocate };
            let range = in_bytes(offset, run, start, shift).ok_or(SpaceMapError::Range { index });
            return Some(range.map(|range| (action, range)));
        }
    })
}

fn in_bytes(offset: u64, run: u64, start: u64, shift: u8) -> Option<Range> {
    let unit = 1_u64.checked_shl(u32::from(shift))?;
    let first = offset.checked_mul(unit)?.checked_add(start)?;
    let len = run.checked_mul(unit)?;
    first.checked_add(len)?;
    Some(Range { start: first, len })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_come_back_with_and_without_histogram() {
        let plain = SpaceMapPhys { object: 40, length: 16, allocated: 4096, histogram: None };
        assert_eq!(plain.encode().len(), HEADER_BYTES);
        let mut counts = [0; 32];
        counts[5] = 2;
        let counted = SpaceMapPhys { histogram: Some(counts), ..plain };
        assert_eq!(counted.encode().len(), HEADER_BYTES_HISTOGRAM);
        for header in [plain, counted] {
            assert_eq!(SpaceMapPhys::decode(&header.encode()), Ok(header));
        }
        assert_eq!(SpaceMapPhys::decode(&[0; 8]), Err(SpaceMapError::Short(8)));
    }

    /// As `space_map_phys_t`'s comment draws it: offset 3, one unit short of two, allocated, in group 4 pass 1.
    #[test]
    fn bits_are_where_zfs_has_them() {
        let bytes = encode_entries(&[Range { start: 0x600, len: 0x400 }], Action::Allocate, 0, 9, 4);
        let read: Vec<u64> = words(&bytes).collect();
        assert_eq!(read, [0x8004_0000_0000_0004, 0x3_0001]);
    }

    #[test]
    fn two_words_hold_a_long_run() {
        let first = 0b11_u64 << 62 | ((1 << 20) - 1) << 24;
        let second = 1_u64 << 63 | 7;
        let bytes: Vec<u8> = [first, second].iter().flat_map(|word| word.to_le_bytes()).collect();
        let read: Vec<_> = decode_entries(&bytes, 1 << 30, 9).collect();
        assert_eq!(read, [Ok((Action::Free, Range { start: (1 << 30) + (7 << 9), len: 1 << 29 }))]);
        assert_eq!(decode_entries(&bytes[..8], 0, 9).collect::<Vec<_>>(), [Err(SpaceMapError::Cut)]);
    }

    proptest! {
        #[test]
        fn runs_come_back(runs in prop::collection::vec((1_u64..1000, 1_u64..200_000), 1..20), shift in 9_u8..14) {
            let (start, mut at, mut ranges) = (1_u64 << 34, 1_u64 << 34, Vec::new());
            for (gap, units) in runs {
                at += gap << shift;
                ranges.push(Range { start: at, len: units << shift });
                at += units << shift;
            }
            let bytes = encode_entries(&ranges, Action::Allocate, start, shift, 9);
            let mut joined: Vec<Range> = Vec::new();
            for entry in decode_entries(&bytes, start, shift) {
                let (action, range) = entry.unwrap();
                prop_assert_eq!(action, Action::Allocate);
                match joined.last_mut() {
                    Some(last) if last.start + last.len == range.start => last.len += range.len,
                    _ => joined.push(range),
                }
            }
            prop_assert_eq!(joined, ranges);
        }

        #[test]
        fn any_words_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), shift in 0_u8..=255) {
            for entry in decode_entries(&bytes, u64::MAX / 2, shift) {
                let _ = entry;
            }
        }
    }
}
