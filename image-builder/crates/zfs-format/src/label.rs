//! The vdev label: 256 KiB, four times on every device.
//!
//! Source: `vdev_impl.h` and `vdev_label.c`. 8 KiB that ZFS never writes (a partition's own boot sector), 8 KiB of
//! boot environment, 112 KiB of configuration, and a ring of uberblocks of 128 KiB. Each part ends in a checksum
//! over itself and its place on the device. Labels 0 and 1 are at the beginning, followed by 3.5 MiB for boot
//! blocks; labels 2 and 3 are at the end, of the device cut to whole 256 KiB.

use crate::checksum::{EMBEDDED_CHECKSUM_BYTES, check_embedded, seal_embedded};
use crate::nvlist::{NvError, NvList, decode_xdr};
use crate::uberblock::Uberblock;

/// Bytes of a label.
pub const LABEL_BYTES: u64 = 256 << 10;
/// `VDEV_LABEL_START_SIZE`: two labels and the boot area; block addresses count from here.
pub const START_BYTES: u64 = 4 << 20;
/// `VDEV_LABEL_END_SIZE`: the two labels at the end.
pub const END_BYTES: u64 = 2 * LABEL_BYTES;
/// Where boot blocks go: `VDEV_BOOT_OFFSET`, behind labels 0 and 1.
pub const BOOT_AREA: std::ops::Range<u64> = 2 * LABEL_BYTES..START_BYTES;
/// Bytes at the beginning of a label that ZFS never writes.
pub const PAD_BYTES: usize = 8 << 10;

const BOOT_ENVIRONMENT: std::ops::Range<usize> = PAD_BYTES..16 << 10;
const CONFIG: std::ops::Range<usize> = 16 << 10..128 << 10;
const UBERBLOCKS: std::ops::Range<usize> = 128 << 10..256 << 10;

/// Where the four labels of a device are, in bytes.
///
/// A device below 1 MiB has no room for them, and the answer is then of no use.
#[must_use]
pub fn label_offsets(device_bytes: u64) -> [u64; 4] {
    let end = device_bytes / LABEL_BYTES * LABEL_BYTES;
    [0, LABEL_BYTES, end.saturating_sub(2 * LABEL_BYTES), end.saturating_sub(LABEL_BYTES)]
}

/// `asize`: the bytes of a device that blocks can use; 0 when there is no room for any.
#[must_use]
pub fn usable_bytes(device_bytes: u64) -> u64 {
    (device_bytes / LABEL_BYTES * LABEL_BYTES).saturating_sub(START_BYTES + END_BYTES)
}

/// `VDEV_UBERBLOCK_SIZE`: bytes of a slot in the ring of a vdev with that `ashift`.
#[must_use]
pub fn uberblock_slot_bytes(ashift: u8) -> usize {
    1 << ashift.clamp(10, 13)
}

/// `VDEV_UBERBLOCK_COUNT`: slots in the ring.
#[must_use]
pub fn uberblock_slots(ashift: u8) -> usize {
    UBERBLOCKS.len() / uberblock_slot_bytes(ashift)
}

/// A label cannot be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The configuration is longer than its place.
    #[error("the configuration takes {bytes} bytes, and a label holds {}", CONFIG.len() - EMBEDDED_CHECKSUM_BYTES)]
    TooLong {
        /// Bytes of the configuration.
        bytes: usize,
    },
    /// Too few bytes for a label.
    #[error("a label has {LABEL_BYTES} bytes, not {0}")]
    Short(usize),
    /// The configuration is damaged, or not where it was written.
    #[error("the checksum of the configuration is wrong")]
    Checksum,
    /// The configuration cannot be read.
    #[error("the configuration is damaged")]
    Config(#[source] NvError),
}

/// What a label says.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// Pool and vdev.
    pub config: &'a NvList,
    /// The uberblocks, each for the slot of its own transaction group.
    pub uberblocks: &'a [Uberblock],
    /// Binary logarithm of the smallest block.
    pub ashift: u8,
}

/// Writes the label whose place on the device is `offset` bytes; its first 8 KiB are zeros.
///
/// # Errors
/// When the configuration is too long.
pub fn encode_label(label: &Label<'_>, offset: u64) -> Result<Vec<u8>, LabelError> {
    let mut bytes = vec![0; LABEL_BYTES as usize];
    // A boot environment of zeros with a good checksum is an empty one.
    seal_embedded(&mut bytes[BOOT_ENVIRONMENT], offset + BOOT_ENVIRONMENT.start as u64);
    let config = label.config.encode_xdr();
    if config.len() > CONFIG.len() - EMBEDDED_CHECKSUM_BYTES {
        return Err(LabelError::TooLong { bytes: config.len() });
    }
    bytes[CONFIG.start..CONFIG.start + config.len()].copy_from_slice(&config);
    seal_embedded(&mut bytes[CONFIG], offset + CONFIG.start as u64);
    let slot_bytes = uberblock_slot_bytes(label.ashift);
    for uberblock in label.uberblocks {
        let slot = (uberblock.txg % uberblock_slots(label.ashift) as u64) as usize;
        let at = UBERBLOCKS.start + slot * slot_bytes;
        let encoded = uberblock.encode();
        bytes[at..at + encoded.len()].copy_from_slice(&encoded);
        seal_embedded(&mut bytes[at..at + slot_bytes], offset + at as u64);
    }
    Ok(bytes)
}

/// Reads the configuration of the label at `offset`.
///
/// # Errors
/// When it is damaged or was written for another place.
pub fn decode_config(label: &[u8], offset: u64) -> Result<NvList, LabelError> {
    let area = label.get(CONFIG).ok_or(LabelError::Short(label.len()))?;
    if !check_embedded(area, offset + CONFIG.start as u64) {
        return Err(LabelError::Checksum);
    }
    decode_xdr(&area[..area.len() - EMBEDDED_CHECKSUM_BYTES]).map_err(LabelError::Config)
}

/// Whether the block for the boot loader's variables in the label at `offset` is whole. Systems before it was thought of
/// left zeros there, without a checksum.
#[must_use]
pub fn is_boot_environment_whole(label: &[u8], offset: u64) -> bool {
    let block = label.get(BOOT_ENVIRONMENT).unwrap_or_default();
    check_embedded(block, offset + BOOT_ENVIRONMENT.start as u64)
        || (!block.is_empty() && block.iter().all(|byte| *byte == 0))
}

/// The slots of the ring that hold a whole uberblock, each with its number.
pub fn uberblocks(label: &[u8], offset: u64, ashift: u8) -> impl Iterator<Item = (usize, Uberblock)> + '_ {
    let slot_bytes = uberblock_slot_bytes(ashift);
    let ring = label.get(UBERBLOCKS).unwrap_or_default();
    ring.chunks_exact(slot_bytes).enumerate().filter_map(move |(index, slot)| {
        let at = UBERBLOCKS.start + index * slot_bytes;
        // Most slots are empty, and a look at the magic number is cheaper than a checksum.
        let uberblock = Uberblock::decode(slot).ok()?;
        check_embedded(slot, offset + at as u64).then_some((index, uberblock))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockPointer;

    fn uberblock(txg: u64) -> Uberblock {
        Uberblock {
            version: 5000,
            txg,
            guid_sum: 3,
            timestamp: 9,
            root: BlockPointer::ABSENT,
            software_version: 5000,
            checkpoint_txg: 0,
        }
    }

    #[test]
    fn labels_are_at_both_ends_of_whole_label_sizes() {
        let device = (64 << 20) + 1000;
        assert_eq!(label_offsets(device), [0, 256 << 10, (64 << 20) - (512 << 10), (64 << 20) - (256 << 10)]);
        assert_eq!(usable_bytes(device), (64 << 20) - (4 << 20) - (512 << 10));
        assert_eq!(usable_bytes(100), 0);
    }

    #[test]
    fn a_label_comes_back_from_its_own_place_only() {
        let config = NvList::new().with("name", "rpool").with("txg", 4_u64);
        for ashift in 9..=13 {
            let ring = [uberblock(4), uberblock(200)];
            let label = Label { config: &config, uberblocks: &ring, ashift };
            let bytes = encode_label(&label, LABEL_BYTES).unwrap();
            assert_eq!(decode_config(&bytes, LABEL_BYTES), Ok(config.clone()));
            assert_eq!(decode_config(&bytes, 0), Err(LabelError::Checksum));
            assert!(is_boot_environment_whole(&bytes, LABEL_BYTES) && !is_boot_environment_whole(&bytes, 0));
            let slots = uberblock_slots(ashift) as u64;
            let mut expected: Vec<_> = ring.iter().map(|one| ((one.txg % slots) as usize, *one)).collect();
            expected.sort_by_key(|(slot, _)| *slot);
            expected.dedup_by_key(|(slot, _)| *slot);
            let read: Vec<_> = uberblocks(&bytes, LABEL_BYTES, ashift).collect();
            assert_eq!(read.len(), expected.len(), "ashift {ashift}");
            assert_eq!(uberblocks(&bytes, 0, ashift).count(), 0);
        }
    }

    #[test]
    fn the_block_for_the_boot_loader_is_whole_or_of_zeros() {
        let config = NvList::new();
        let good = encode_label(&Label { config: &config, uberblocks: &[], ashift: 9 }, 0).unwrap();
        for at in [PAD_BYTES, PAD_BYTES + 100, (16 << 10) - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert!(!is_boot_environment_whole(&bytes, 0), "byte {at}");
        }
        assert!(is_boot_environment_whole(&vec![0; LABEL_BYTES as usize], 0));
        assert!(!is_boot_environment_whole(&[], 0));
    }

    #[test]
    fn a_configuration_that_is_too_long_is_refused() {
        let config = NvList::new().with("comment", "x".repeat(120 << 10).as_str());
        let label = Label { config: &config, uberblocks: &[], ashift: 9 };
        assert!(matches!(encode_label(&label, 0), Err(LabelError::TooLong { bytes }) if bytes > 120 << 10));
    }
}
