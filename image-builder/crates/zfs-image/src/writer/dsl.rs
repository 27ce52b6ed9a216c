//! Directories, datasets and snapshots in the meta object set, and how their space adds up.

use std::collections::BTreeMap;

use zfs_format::block::BlockPointer;
use zfs_format::dsl::{
    DATASET_FLAG_UNIQUE_ACCURATE, DIR_FLAG_USED_BREAKDOWN, DslDatasetPhys, DslDirPhys, UsedBreakdown, internal_dir,
};
use zfs_format::object::{ObjectType, pool_directory};
use zfs_format::property::{EncodedProperty, Storage};
use zfs_format::zap::ZapEntry;

use super::error::SpecError;
use super::indirect::Usage;
use super::limits::{Limits, available};
use super::mos::{CREATION_TXG, Mos};
use super::object::Object;
use super::objset::WrittenObjset;
use super::pipeline::Fault;
use super::seed::Seed;
use super::settings::Settings;
use super::zpl::zap_object;

/// The origin snapshot is older than everything else.
const ORIGIN_TXG: u64 = 1;

/// A dataset that is written, with what the DSL has to know of it.
pub(super) struct Written<'s> {
    pub(super) name: &'s str,
    pub(super) snapshots: &'s [String],
    pub(super) settings: &'s Settings,
    pub(super) objset: WrittenObjset,
    /// Whether it has blocks above 128 KiB.
    pub(super) has_large_blocks: bool,
}

impl Written<'_> {
    /// What nothing but the dataset itself reaches: snapshots have all that it has.
    fn unique_bytes(&self) -> u64 {
        if self.snapshots.is_empty() { self.objset.usage.used } else { 0 }
    }

    /// What does not depend on the other datasets, of the snapshot of that index, or behind them of the dataset.
    fn phys(&self, index: usize, seed: Seed<'_>) -> DslDatasetPhys {
        let purpose = format!("dataset@{}", self.snapshots.get(index).map_or("", String::as_str));
        DslDatasetPhys {
            referenced_bytes: self.objset.usage.used,
            compressed_bytes: self.objset.usage.compressed,
            uncompressed_bytes: self.objset.usage.uncompressed,
            unique_bytes: self.unique_bytes(),
            fsid_guid: seed.fsid(&purpose),
            guid: seed.guid(&purpose),
            flags: DATASET_FLAG_UNIQUE_ACCURATE,
            block_pointer: self.objset.root.encode(),
            ..DslDatasetPhys::default()
        }
    }
}

/// A directory while it is being put together.
struct Dir {
    number: u64,
    /// Index of the one above; none for the root.
    above: Option<usize>,
    phys: DslDirPhys,
    own: Usage,
    unique: u64,
    /// Of the dataset, and its name; internal directories have neither.
    limits: Limits,
    name: String,
    children: Vec<ZapEntry>,
}

/// The DSL of a pool.
pub(super) struct Dsl {
    dirs: Vec<Dir>,
    mos_dir: usize,
    /// The datasets' objects by name.
    pub(super) datasets: BTreeMap<String, u64>,
}

/// What the pool is written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    pub(super) bytes: u64,
    /// Bytes for blocks.
    pub(super) capacity: u64,
}

/// What all datasets have in common.
struct Common<'s> {
    seed: &'s [u8; 32],
    time: u64,
    /// The origin snapshot.
    origin: u64,
}

impl Dsl {
    /// Makes the objects of all datasets. The root comes first in `datasets`, and parents come before children.
    /// Those of the directories are only numbered: see [`Dsl::directories`].
    pub(super) fn build(
        mos: &mut Mos<'_>,
        seed: &[u8; 32],
        time: u64,
        datasets: &[Written<'_>],
    ) -> Result<Self, Fault> {
        let mut dsl = Self { dirs: Vec::new(), mos_dir: 1, datasets: BTreeMap::new() };
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let root = dsl.add_dir(mos, None, "", time, &[])?;
        mos.name(pool_directory::ROOT_DATASET, dsl.dirs[root].number);
        dsl.mos_dir = dsl.add_dir(mos, Some(root), internal_dir::MOS, time, &[])?;
        dsl.add_dir(mos, Some(root), internal_dir::FREE, time, &[])?;
        let origin_dir = dsl.add_dir(mos, Some(root), internal_dir::ORIGIN, time, &[])?;
        let common = Common { seed, time, origin: mos.number() };
        let origin_head = mos.number();
        let (mut clones, mut next_clones) = (Vec::new(), Vec::new());
        for dataset in datasets {
            let place = match dataset.name.rsplit_once('/') {
                None => root,
                Some((parent, component)) => {
                    let above = places.get(parent).copied().unwrap_or(root);
                    dsl.add_dir(mos, Some(above), component, time, &[])?
                }
            };
            places.insert(dataset.name, place);
            dsl.set_properties(mos, place, dataset)?;
            let (head, first) = dsl.add_dataset(mos, place, dataset, &common)?;
            clones.push(ZapEntry::member(head));
            next_clones.push(ZapEntry::member(first));
            dsl.datasets.insert(dataset.name.to_owned(), head);
        }
        dsl.add_origin(mos, origin_dir, origin_head, &common, (&clones, &next_clones))?;
        for dir in &dsl.dirs {
            mos.put_zap(dir.phys.child_map, ObjectType::DSL_DIR_CHILD_MAP, &dir.children)?;
            mos.put_bonus(dir.number, ObjectType::DSL_DIR, &dir.phys.encode());
        }
        Ok(dsl)
    }

    fn add_dir(
        &mut self,
        mos: &mut Mos<'_>,
        above: Option<usize>,
        component: &str,
        time: u64,
        properties: &[ZapEntry],
    ) -> Result<usize, Fault> {
        let number = mos.number();
        let phys = DslDirPhys {
            creation_time: time,
            parent: above.map_or(0, |above| self.dirs[above].number),
            child_map: mos.number(),
            props: mos.add_zap(ObjectType::DSL_PROPS, properties)?,
            flags: DIR_FLAG_USED_BREAKDOWN,
            ..DslDirPhys::default()
        };
        if let Some(above) = above {
            self.dirs[above].children.push(ZapEntry::integer(component, number));
        }
        let (own, limits, name, children) = Default::default();
        self.dirs.push(Dir { number, above, phys, own, unique: 0, limits, name, children });
        Ok(self.dirs.len() - 1)
    }

    fn set_properties(&mut self, mos: &mut Mos<'_>, place: usize, dataset: &Written<'_>) -> Result<(), Fault> {
        let stored = |property: &&EncodedProperty| !matches!(property.storage, Storage::Fixed);
        let entries: Vec<ZapEntry> =
            dataset.settings.own.iter().filter(stored).map(EncodedProperty::zap_entry).collect();
        let dir = &mut self.dirs[place];
        mos.put_zap(dir.phys.props, ObjectType::DSL_PROPS, &entries)?;
        dir.limits = Limits::of(dataset.settings);
        dir.name = dataset.name.to_owned();
        dir.phys.quota = dir.limits.quota;
        dir.phys.reserved = dir.limits.reservation;
        Ok(())
    }

    /// The dataset of a directory with its snapshots. Answers its object, and that of the oldest of them all.
    fn add_dataset(
        &mut self,
        mos: &mut Mos<'_>,
        place: usize,
        dataset: &Written<'_>,
        common: &Common<'_>,
    ) -> Result<(u64, u64), Fault> {
        let snapshots: Vec<u64> = dataset.snapshots.iter().map(|_| mos.number()).collect();
        let head = mos.number();
        let names: Vec<ZapEntry> = dataset
            .snapshots
            .iter()
            .zip(&snapshots)
            .map(|(name, object)| ZapEntry::integer(name.as_str(), *object))
            .collect();
        let snapshot_names = mos.add_zap(ObjectType::DSL_DS_SNAP_MAP, &names)?;
        let chain: Vec<u64> = snapshots.iter().copied().chain([head]).collect();
        // `dsl_dataset_snapshot_sync_impl`: the list of each has the groups of all snapshots but the last before it.
        let mut keys = vec![0];
        let (mut previous, mut previous_txg) = (common.origin, ORIGIN_TXG);
        for (index, object) in chain.iter().enumerate() {
            let is_head = *object == head;
            let creation_txg = CREATION_TXG + if is_head { 0 } else { index as u64 + 1 };
            let seed = Seed::new(common.seed, dataset.name);
            let phys = DslDatasetPhys {
                dir: self.dirs[place].number,
                previous_snapshot: previous,
                previous_snapshot_txg: previous_txg,
                next_snapshot: chain.get(index + 1).copied().unwrap_or(0),
                snapshot_names: if is_head { snapshot_names } else { 0 },
                children: u64::from(!is_head),
                creation_time: common.time,
                creation_txg,
                deadlist: mos.add_deadlist(&keys)?,
                ..dataset.phys(index, seed)
            };
            put_dataset(mos, *object, &phys, dataset.has_large_blocks, seed)?;
            keys.push(previous_txg);
            (previous, previous_txg) = (*object, creation_txg);
        }
        let dir = &mut self.dirs[place];
        dir.own = dataset.objset.usage;
        dir.unique = dataset.unique_bytes();
        dir.phys.head_dataset = head;
        dir.phys.origin = common.origin;
        Ok((head, chain[0]))
    }

    /// The empty dataset whose snapshot all others are clones of: `dsl_pool_create_origin`.
    fn add_origin(
        &mut self,
        mos: &mut Mos<'_>,
        place: usize,
        head: u64,
        common: &Common<'_>,
        (clones, next_clones): (&[ZapEntry], &[ZapEntry]),
    ) -> Result<(), Fault> {
        let snapshot = common.origin;
        let seed = Seed::new(common.seed, internal_dir::ORIGIN);
        let phys = DslDatasetPhys {
            dir: self.dirs[place].number,
            creation_time: common.time,
            flags: DATASET_FLAG_UNIQUE_ACCURATE,
            block_pointer: BlockPointer::ABSENT.encode(),
            ..DslDatasetPhys::default()
        };
        let head_phys = DslDatasetPhys {
            previous_snapshot: snapshot,
            previous_snapshot_txg: ORIGIN_TXG,
            snapshot_names: mos
                .add_zap(ObjectType::DSL_DS_SNAP_MAP, &[ZapEntry::integer(internal_dir::ORIGIN, snapshot)])?,
            creation_txg: CREATION_TXG,
            deadlist: mos.add_deadlist(&[0])?,
            fsid_guid: seed.fsid("head"),
            guid: seed.guid("head"),
            ..phys.clone()
        };
        let snapshot_phys = DslDatasetPhys {
            next_snapshot: head,
            children: 1 + clones.len() as u64,
            creation_txg: ORIGIN_TXG,
            deadlist: mos.add_deadlist(&[])?,
            fsid_guid: seed.fsid("snapshot"),
            guid: seed.guid("snapshot"),
            next_clones: mos.add_zap(ObjectType::NEXT_CLONES, next_clones)?,
            ..phys
        };
        put_dataset(mos, head, &head_phys, false, seed)?;
        put_dataset(mos, snapshot, &snapshot_phys, false, seed)?;
        self.dirs[place].phys.clones = mos.add_zap(ObjectType::DSL_CLONES, clones)?;
        self.dirs[place].phys.head_dataset = head;
        Ok(())
    }

    /// Adds up the space of all directories; `mos` is what the meta object set takes. Answers the bytes that are reserved
    /// and not used.
    pub(super) fn add_up(&mut self, mos: Usage) -> u64 {
        self.dirs[self.mos_dir].own = mos;
        self.dirs[self.mos_dir].unique = mos.used;
        let mut reserved = 0;
        // Parents stand before their children.
        for index in (0..self.dirs.len()).rev() {
            let dir = &mut self.dirs[index];
            let phys = &mut dir.phys;
            phys.used_breakdown.head = dir.own.used;
            phys.used_breakdown.reference_reservation = dir.limits.reference_reservation.saturating_sub(dir.unique);
            phys.used_bytes += dir.own.used + phys.used_breakdown.reference_reservation;
            phys.compressed_bytes += dir.own.compressed;
            phys.uncompressed_bytes += dir.own.uncompressed;
            let (child, above) = (dir.phys, dir.above);
            let beyond = child.reserved.saturating_sub(child.used_bytes);
            reserved += child.used_breakdown.reference_reservation + beyond;
            if let Some(above) = above {
                let parent = &mut self.dirs[above].phys;
                let UsedBreakdown { children, child_reservations, .. } = &mut parent.used_breakdown;
                *children += child.used_bytes;
                *child_reservations += beyond;
                parent.used_bytes += child.used_bytes + beyond;
                parent.compressed_bytes += child.compressed_bytes;
                parent.uncompressed_bytes += child.uncompressed_bytes;
            }
        }
        reserved
    }

    /// Whether ZFS would let the limits be set, when all is added up and `reserved` bytes of it are not used.
    ///
    /// # Errors
    /// A quota is smaller than what is there, or reservations are larger than what the device has room for.
    pub(super) fn check_limits(&self, reserved: u64, device: Device) -> Result<(), SpecError> {
        for dir in self.dirs.iter().rev() {
            if let Some((property, reason)) = dir.limits.contradiction(dir.own.used, dir.phys.used_bytes) {
                return Err(SpecError::Limit { dataset: dir.name.clone(), property, reason });
            }
        }
        let root = &self.dirs[0];
        let used = root.phys.used_bytes.max(root.phys.reserved);
        let available = available(device.capacity);
        if reserved == 0 || used <= available {
            return Ok(());
        }
        Err(SpecError::Reserved { pool: root.name.clone(), reserved: used, bytes: device.bytes, available })
    }

    /// The bonus buffers of all directories by object.
    pub(super) fn directories(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.dirs.iter().map(|dir| (dir.number, dir.phys.encode().to_vec()))
    }
}

/// A dataset's object; one that uses features of its own is a ZAP that names them.
fn put_dataset(
    mos: &mut Mos<'_>,
    number: u64,
    phys: &DslDatasetPhys,
    has_large_blocks: bool,
    seed: Seed<'_>,
) -> Result<(), Fault> {
    const LARGE_BLOCKS: &str = "org.open-zfs:large_blocks";
    let bonus = phys.encode();
    if !has_large_blocks {
        mos.put_bonus(number, ObjectType::DSL_DATASET, &bonus);
        return Ok(());
    }
    mos.use_feature(LARGE_BLOCKS, 1);
    mos.use_feature("com.delphix:extensible_dataset", 1);
    let entries = [ZapEntry::integer(LARGE_BLOCKS, 0)];
    let object = zap_object(number, ObjectType::OTN_ZAP_METADATA, &entries, seed)
        .map_err(|error| Fault::Format(format!("dataset {number}: {error}")))?;
    mos.put(Object { bonus_kind: ObjectType::DSL_DATASET, bonus: bonus.to_vec(), ..object });
    Ok(())
}
