//! A block pointer in its 128 bytes.

use super::{
    BLOCK_BYTES_MAX, BLOCK_POINTER_BYTES, BlockError, BlockPointer, ByteOrder, DataBlock, Dva, EMBEDDED_BYTES_MAX,
    Embedded, Hole, SECTOR_BYTES,
};
use crate::checksum::ChecksumKind;
use crate::compress::Compression;
use crate::object::ObjectType;

const PROPERTIES: usize = 48;
const PHYSICAL_BIRTH: usize = 72;
const BIRTH: usize = 80;
const FILL: usize = 88;
const CHECKSUM: usize = 96;

/// The runs of bytes that embedded data fills, in order: all but the property word and the birth.
const PAYLOAD_RUNS: [(usize, usize); 3] = [(0, 48), (56, 80), (88, 128)];

const EMBEDDED_BIT: u64 = 1 << 39;
const ENCRYPTED_BIT: u64 = 1 << 61;
const DEDUP_BIT: u64 = 1 << 62;
const LITTLE_ENDIAN_BIT: u64 = 1 << 63;
const GANG_BIT: u64 = 1 << 63;

impl Dva {
    fn words(&self) -> [u64; 2] {
        let size = u64::from(self.asize / SECTOR_BYTES);
        let offset = self.offset / u64::from(SECTOR_BYTES);
        [u64::from(self.vdev) << 32 | size, offset | if self.gang { GANG_BIT } else { 0 }]
    }

    fn from_words(words: [u64; 2]) -> Result<Self, BlockError> {
        let vdev = bits(words[0], 32, 24) as u32;
        let asize = u32::try_from(bits(words[0], 0, 24) * u64::from(SECTOR_BYTES)).map_err(|_| BlockError::Address)?;
        let sectors = words[1] & !GANG_BIT;
        let offset = sectors.checked_mul(u64::from(SECTOR_BYTES)).ok_or(BlockError::Address)?;
        Ok(Self { vdev, offset, asize, gang: words[1] & GANG_BIT != 0 })
    }
}

impl BlockPointer {
    /// The pointer as it is on disk.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOCK_POINTER_BYTES] {
        let mut bytes = [0; BLOCK_POINTER_BYTES];
        match self {
            Self::Hole(hole) => encode_hole(hole, &mut bytes),
            Self::Embedded(embedded) => encode_embedded(embedded, &mut bytes),
            Self::Data(block) => encode_data(block, &mut bytes),
        }
        bytes
    }

    /// Reads a pointer.
    ///
    /// # Errors
    /// When a field has no meaning; see [`BlockError`].
    pub fn decode(bytes: &[u8; BLOCK_POINTER_BYTES]) -> Result<Self, BlockError> {
        let properties = get(bytes, PROPERTIES);
        let birth = get(bytes, BIRTH);
        if properties & EMBEDDED_BIT != 0 {
            return decode_embedded(bytes, properties, birth).map(Self::Embedded);
        }
        if get(bytes, 0) == 0 && get(bytes, 8) == 0 {
            let absent = properties == 0 && birth == 0;
            let logical_bytes = if absent { 0 } else { sectors(properties, 0)? };
            let (kind, level) = kind_and_level(properties);
            return Ok(Self::Hole(Hole { kind, level, logical_bytes, birth }));
        }
        decode_data(bytes, properties, birth).map(Self::Data)
    }
}

fn encode_hole(hole: &Hole, bytes: &mut [u8; BLOCK_POINTER_BYTES]) {
    if *hole == Hole::ABSENT {
        return;
    }
    put(bytes, PROPERTIES, sector_field(hole.logical_bytes) | kind_field(hole.kind, hole.level));
    put(bytes, BIRTH, hole.birth);
}

fn encode_embedded(embedded: &Embedded, bytes: &mut [u8; BLOCK_POINTER_BYTES]) {
    let properties = u64::from(embedded.logical_bytes.saturating_sub(1)) & 0x1ff_ffff
        | u64::from(embedded.physical_bytes.saturating_sub(1)) << 25
        | u64::from(embedded.compression.number()) << 32
        | EMBEDDED_BIT
        | u64::from(embedded.embedded_kind) << 40
        | kind_field(embedded.kind, embedded.level)
        | LITTLE_ENDIAN_BIT;
    let mut payload = &embedded.payload[..];
    for (start, end) in PAYLOAD_RUNS {
        let (run, rest) = payload.split_at(end - start);
        bytes[start..end].copy_from_slice(run);
        payload = rest;
    }
    put(bytes, PROPERTIES, properties);
    put(bytes, BIRTH, embedded.birth);
}

fn encode_data(block: &DataBlock, bytes: &mut [u8; BLOCK_POINTER_BYTES]) {
    for (index, dva) in block.dvas.iter().enumerate() {
        let words = dva.words();
        put(bytes, index * 16, words[0]);
        put(bytes, index * 16 + 8, words[1]);
    }
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    let properties = sector_field(block.logical_bytes)
        | sector_field(block.physical_bytes) << 16
        | u64::from(block.compression.number()) << 32
        | u64::from(block.checksum.number()) << 40
        | kind_field(block.kind, block.level)
        | flag(block.encrypted, ENCRYPTED_BIT)
        | flag(block.dedup, DEDUP_BIT)
        | flag(block.byte_order == ByteOrder::Little, LITTLE_ENDIAN_BIT);
    put(bytes, PROPERTIES, properties);
    put(bytes, PHYSICAL_BIRTH, block.physical_birth);
    put(bytes, BIRTH, block.birth);
    put(bytes, FILL, block.fill);
    for (index, word) in block.digest.iter().enumerate() {
        put(bytes, CHECKSUM + index * 8, *word);
    }
}

fn decode_embedded(bytes: &[u8; BLOCK_POINTER_BYTES], properties: u64, birth: u64) -> Result<Embedded, BlockError> {
    let physical_bytes = bits(properties, 25, 7) as u8 + 1;
    if usize::from(physical_bytes) > EMBEDDED_BYTES_MAX {
        return Err(BlockError::Embedded(physical_bytes));
    }
    let mut payload = [0; EMBEDDED_BYTES_MAX];
    let mut at = 0;
    for (start, end) in PAYLOAD_RUNS {
        payload[at..at + end - start].copy_from_slice(&bytes[start..end]);
        at += end - start;
    }
    let logical = bits(properties, 0, 25) + 1;
    let (kind, level) = kind_and_level(properties);
    Ok(Embedded {
        kind,
        level,
        compression: compression(properties)?,
        embedded_kind: bits(properties, 40, 8) as u8,
        logical_bytes: u32::try_from(logical)
            .ok()
            .filter(|size| *size <= BLOCK_BYTES_MAX)
            .ok_or(BlockError::Size(logical))?,
        physical_bytes,
        birth,
        payload,
    })
}

fn decode_data(bytes: &[u8; BLOCK_POINTER_BYTES], properties: u64, birth: u64) -> Result<DataBlock, BlockError> {
    let mut dvas = [Dva::default(); 3];
    for (index, dva) in dvas.iter_mut().enumerate() {
        *dva = Dva::from_words([get(bytes, index * 16), get(bytes, index * 16 + 8)])?;
    }
    let checksum = bits(properties, 40, 8) as u8;
    let (kind, level) = kind_and_level(properties);
    Ok(DataBlock {
        dvas,
        kind,
        level,
        compression: compression(properties)?,
        checksum: ChecksumKind::from_number(checksum).ok_or(BlockError::Checksum(checksum))?,
        logical_bytes: sectors(properties, 0)?,
        physical_bytes: sectors(properties, 16)?,
        dedup: properties & DEDUP_BIT != 0,
        encrypted: properties & ENCRYPTED_BIT != 0,
        birth,
        physical_birth: get(bytes, PHYSICAL_BIRTH),
        fill: get(bytes, FILL),
        digest: [0, 1, 2, 3].map(|index| get(bytes, CHECKSUM + index * 8)),
        byte_order: if properties & LITTLE_ENDIAN_BIT != 0 { ByteOrder::Little } else { ByteOrder::Big },
    })
}

/// The 16-bit size field: whole sectors, less one.
fn sector_field(bytes: u32) -> u64 {
    u64::from((bytes / SECTOR_BYTES).saturating_sub(1)) & 0xffff
}

fn sectors(properties: u64, shift: u32) -> Result<u32, BlockError> {
    let bytes = (bits(properties, shift, 16) + 1) * u64::from(SECTOR_BYTES);
    u32::try_from(bytes).ok().filter(|bytes| *bytes <= BLOCK_BYTES_MAX).ok_or(BlockError::Size(bytes))
}

fn kind_field(kind: ObjectType, level: u8) -> u64 {
    u64::from(kind.0) << 48 | u64::from(level & 0x1f) << 56
}

fn kind_and_level(properties: u64) -> (ObjectType, u8) {
    (ObjectType(bits(properties, 48, 8) as u8), bits(properties, 56, 5) as u8)
}

fn compression(properties: u64) -> Result<Compression, BlockError> {
    let number = bits(properties, 32, 7) as u8;
    Compression::from_number(number).ok_or(BlockError::Compression(number))
}

fn bits(word: u64, low: u32, count: u32) -> u64 {
    word >> low & ((1 << count) - 1)
}

fn get(bytes: &[u8; BLOCK_POINTER_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn put(bytes: &mut [u8; BLOCK_POINTER_BYTES], at: usize, word: u64) {
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_absent_pointer_is_zeros() {
        assert_eq!(BlockPointer::ABSENT.encode(), [0; BLOCK_POINTER_BYTES]);
        assert_eq!(BlockPointer::decode(&[0; BLOCK_POINTER_BYTES]), Ok(BlockPointer::ABSENT));
    }

    /// A pointer that real ZFS wrote, field by field: `zdb` calls it
    /// `L0 PLAIN_FILE lz4 20000L/1000P fletcher4 LE birth=7 fill=1 DVA 0:402000:1000`.
    #[test]
    fn fields_are_where_zfs_has_them() {
        let block = DataBlock {
            dvas: [Dva { vdev: 0, offset: 0x40_2000, asize: 0x1000, gang: false }, Dva::default(), Dva::default()],
            kind: ObjectType::PLAIN_FILE_CONTENTS,
            level: 0,
            compression: Compression::Lz4,
            checksum: ChecksumKind::Fletcher4,
            logical_bytes: 0x20000,
            physical_bytes: 0x1000,
            dedup: false,
            encrypted: false,
            birth: 7,
            physical_birth: 0,
            fill: 1,
            digest: [1, 2, 3, 4],
            byte_order: ByteOrder::Little,
        };
        let bytes = BlockPointer::Data(block).encode();
        assert_eq!(get(&bytes, 0), 8);
        assert_eq!(get(&bytes, 8), 0x2010);
        assert_eq!(get(&bytes, 48), 0x8013_070f_0007_00ff);
        assert_eq!((get(&bytes, 80), get(&bytes, 88), get(&bytes, 120)), (7, 1, 4));
        assert_eq!(BlockPointer::decode(&bytes), Ok(BlockPointer::Data(block)));
    }

    proptest! {
        #[test]
        fn embedded_data_comes_back(payload in prop::collection::vec(any::<u8>(), 1..=112), logical in 1_u32..131_073) {
            let kind = ObjectType::PLAIN_FILE_CONTENTS;
            let embedded = Embedded::new(kind, 0, Compression::Lz4, logical, &payload, 9).unwrap();
            let read = BlockPointer::decode(&BlockPointer::Embedded(embedded).encode());
            prop_assert_eq!(read, Ok(BlockPointer::Embedded(embedded)));
            prop_assert_eq!(embedded.payload(), &payload[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 128)) {
            // A spare bit or a spare vdev byte is not kept, so only what decodes is compared.
            bytes[7] = 0;
            let bytes: [u8; 128] = bytes.try_into().unwrap();
            if let Ok(pointer) = BlockPointer::decode(&bytes) {
                prop_assert_eq!(BlockPointer::decode(&pointer.encode()), Ok(pointer));
            }
        }
    }
}
