//! The label of ZFS on a device: which pool it belongs to, and as what.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io;
use zfs_format::label::{LABEL_BYTES, decode_config, label_offsets};
use zfs_format::nvlist::NvList;

/// What a label says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The pool's name when it was written; empty on spares and cache devices.
    pub pool: String,
    /// The pool; 0 on spares and cache devices.
    pub pool_guid: u64,
    /// The device itself.
    pub guid: u64,
    /// What the device is for, or how it was left.
    pub state: LabelState,
}

/// `pool_state_t` in `sys/fs/zfs.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelState {
    /// Imported, or was when its machine ended.
    Active,
    /// Let go of.
    Exported,
    /// Destroyed; its data may still be there.
    Destroyed,
    /// A hot spare.
    Spare,
    /// A cache.
    Cache,
    /// One that is not known.
    Other,
}

impl LabelState {
    fn of(number: u64) -> Self {
        match number {
            0 => Self::Active,
            1 => Self::Exported,
            2 => Self::Destroyed,
            3 => Self::Spare,
            4 => Self::Cache,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, pool_guid, .. } = self;
        match self.state {
            LabelState::Active | LabelState::Other => write!(f, "a member of the pool {pool} ({pool_guid})"),
            LabelState::Exported => write!(f, "a member of the exported pool {pool} ({pool_guid})"),
            LabelState::Destroyed => write!(f, "a member of the destroyed pool {pool} ({pool_guid})"),
            LabelState::Spare => f.write_str("a hot spare of a pool"),
            LabelState::Cache => f.write_str("a cache device of a pool"),
        }
    }
}

/// Where in a label the configuration begins, in bytes.
const CONFIG_AT: usize = 16 << 10;

/// Reads the label of the latest transaction group among the four; `None` when none is whole.
pub(super) fn read(file: &mut File, bytes: u64) -> io::Result<Option<Label>> {
    read_at(file, 0, bytes)
}

/// As [`read`], of the `bytes` bytes from `at` on.
pub(super) fn read_at(file: &mut File, at: u64, bytes: u64) -> io::Result<Option<Label>> {
    Ok(latest(file, at, bytes)?.map(|config| of_config(&config)))
}

/// As [`read`], but only of a member that was given to its pool as a whole disk.
pub(super) fn read_of_whole_disk(file: &mut File, bytes: u64) -> io::Result<Option<Label>> {
    Ok(latest(file, 0, bytes)?.filter(is_of_whole_disk).map(|config| of_config(&config)))
}

/// Whether the label says of its own device that it is a whole disk (`ZPOOL_CONFIG_WHOLE_DISK` in `sys/fs/zfs.h`).
fn is_of_whole_disk(config: &NvList) -> bool {
    fn find(vdev: &NvList, guid: u64) -> bool {
        let is_it = vdev.u64("guid") == Some(guid) && vdev.u64("whole_disk") == Some(1);
        is_it || vdev.lists("children").is_some_and(|children| children.iter().any(|child| find(child, guid)))
    }
    config.u64("guid").zip(config.list("vdev_tree")).is_some_and(|(guid, tree)| find(tree, guid))
}

fn latest(file: &mut File, at: u64, bytes: u64) -> io::Result<Option<NvList>> {
    // Below this a device has no room for four labels.
    if bytes < 4 * LABEL_BYTES {
        return Ok(None);
    }
    let mut best: Option<(u64, NvList)> = None;
    for offset in label_offsets(bytes) {
        let raw = super::region(file, at + offset, LABEL_BYTES)?;
        // A list begins with how it is encoded; on a blank device there is nothing to sum.
        if raw[CONFIG_AT..CONFIG_AT + 4] == [0; 4] {
            continue;
        }
        let Ok(config) = decode_config(&raw, offset) else { continue };
        let txg = config.u64("txg").unwrap_or(0);
        if best.as_ref().is_none_or(|(known, _)| txg > *known) {
            best = Some((txg, config));
        }
    }
    Ok(best.map(|(_, config)| config))
}

fn of_config(config: &NvList) -> Label {
    Label {
        pool: config.string("name").unwrap_or_default().to_owned(),
        pool_guid: config.u64("pool_guid").unwrap_or(0),
        guid: config.u64("guid").unwrap_or(0),
        state: LabelState::of(config.u64("state").unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};
    use zfs_format::label::{Label as Written, encode_label};

    const BYTES: u64 = 2 << 20;

    /// A device with a label of each transaction group in its four places.
    fn device(txgs: [u64; 4]) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(BYTES).unwrap()];
        for (offset, txg) in label_offsets(BYTES).into_iter().zip(txgs) {
            let config = NvList::new().with("name", format!("at{txg}").as_str()).with("state", 1_u64).with("txg", txg);
            let config = config.with("pool_guid", 5_u64).with("guid", txg);
            let label = encode_label(&Written { config: &config, uberblocks: &[], ashift: 9 }, offset).unwrap();
            let at = usize::try_from(offset).unwrap();
            bytes[at..at + label.len()].copy_from_slice(&label);
        }
        bytes
    }

    fn look(bytes: &[u8]) -> Option<Label> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).and_then(|()| file.seek(SeekFrom::Start(0))).unwrap();
        read(&mut file, bytes.len() as u64).unwrap()
    }

    #[test]
    fn the_latest_whole_label_counts() {
        assert_eq!(look(&device([4, 9, 7, 4])).unwrap().to_string(), "a member of the exported pool at9 (5)");
        let mut bytes = device([4, 9, 7, 4]);
        bytes[(256 << 10) + CONFIG_AT + 20] ^= 1;
        assert_eq!(look(&bytes).unwrap().pool, "at7");
        assert_eq!(look(&vec![0; 2 << 20]), None);
        assert_eq!(look(&device([4, 9, 7, 4])[..(1 << 20) - 1]), None);
    }

    /// The disk of a boot pool: an EFI system partition, and then the slice for data.
    #[test]
    fn a_whole_disk_that_illumos_boots_from_is_known_by_its_second_slice() {
        let label = |whole_disk: u64| {
            let own = NvList::new().with("guid", 7_u64).with("whole_disk", whole_disk);
            let other = NvList::new().with("guid", 8_u64).with("whole_disk", 1_u64);
            let tree = NvList::new().with("guid", 9_u64).with("children", vec![other, own]);
            let config = NvList::new().with("name", "rpool").with("state", 0_u64).with("txg", 4_u64);
            let config = config.with("pool_guid", 5_u64).with("guid", 7_u64).with("vdev_tree", tree);
            let mut bytes = vec![0; usize::try_from(BYTES).unwrap()];
            let label = encode_label(&Written { config: &config, uberblocks: &[], ashift: 9 }, 0).unwrap();
            bytes[..label.len()].copy_from_slice(&label);
            bytes
        };
        for (whole_disk, expected) in [(1, Some(7)), (0, None)] {
            let (_root, host, _machine) = crate::fake::Machine::start(crate::System::Illumos);
            let directory = host.root.locate("/dev/rdsk");
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("c1t0d0s0"), vec![0; 2 << 20]).unwrap();
            std::fs::write(directory.join("c1t0d0s1"), label(whole_disk)).unwrap();
            let guid = |path: &str| super::super::Looks::new(&host).member_label(path).map(|label| label.guid);
            assert_eq!(guid("/dev/dsk/c1t0d0"), expected, "{whole_disk}");
            assert_eq!(guid("/dev/dsk/c1t0d0s1"), Some(7), "by its own name it is what it is");
            assert_eq!(guid("/dev/dsk/c1t0d0s3"), None);
        }
    }

    #[test]
    fn fuzz_labels() {
        let whole = device([4, 9, 7, 4]);
        test_judge::fuzz(30, |random| {
            let mut bytes = whole.clone();
            for _ in 0..20 {
                let at = random.below(4) * (256 << 10) + CONFIG_AT + random.below(400);
                bytes[at] = random.next_u64().to_le_bytes()[0];
            }
            if let Some(label) = look(&bytes) {
                assert!(["at4", "at7", "at9"].contains(&label.pool.as_str()), "a damaged label is none");
            }
        });
    }
}
