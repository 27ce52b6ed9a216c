//! The objects of the meta object set, while they are being collected.

use std::collections::BTreeMap;

use zfs_format::dsl::{BPOBJ_BYTES, BpobjPhys, DeadlistPhys, HistoryPhys};
use zfs_format::feature::FeatureSet;
use zfs_format::nvlist::NvList;
use zfs_format::object::{ObjectType, POOL_DIRECTORY_OBJECT, pool_directory};
use zfs_format::zap::{ZapEntry, ZapError};

use super::object::Object;
use super::pipeline::Fault;
use super::seed::Seed;
use super::zpl::zap_object;

/// `SPA_VERSION_FEATURES`: pools whose features are told by name.
pub(super) const POOL_VERSION: u64 = 5000;
/// `TXG_INITIAL`: the transaction group in which a pool is created.
pub(super) const CREATION_TXG: u64 = 4;
/// `SPA_OLD_MAXBLOCKSIZE`.
const LARGE_BLOCK_BYTES: u32 = 128 << 10;
/// `SPA_CONFIG_BLOCKSIZE`.
const CONFIG_BLOCK_BYTES: u32 = 16 << 10;
/// `DMU_OT_DSL_DATASET` and others ask for no block size and get this one.
pub(super) const BLOCK_BYTES_MIN: u32 = 512;

/// Objects that refer to each other by number: a number can be had before the object is made.
pub(super) struct Mos<'s> {
    seed: Seed<'s>,
    features: &'s FeatureSet,
    next: u64,
    objects: BTreeMap<u64, Object<'static>>,
    directory: Vec<ZapEntry>,
    /// The bpobj that all empty lists share, with the feature `empty_bpobj`.
    empty_bpobj: Option<u64>,
    /// How often each feature is in use, by full name.
    counts: BTreeMap<&'static str, u64>,
    feature_zaps: FeatureZaps,
}

/// The objects that tell of the features; they are numbered first and filled last.
struct FeatureZaps {
    for_read: u64,
    for_write: u64,
    descriptions: u64,
    enabled_txg: Option<u64>,
}

impl<'s> Mos<'s> {
    pub(super) fn new(seed: Seed<'s>, features: &'s FeatureSet) -> Self {
        let counts = features.iter().map(|feature| (feature.guid, u64::from(feature.active_when_enabled))).collect();
        let first = POOL_DIRECTORY_OBJECT + 1;
        let enabled_txg = features.contains("enabled_txg").then_some(first + 3);
        let feature_zaps = FeatureZaps { for_read: first, for_write: first + 1, descriptions: first + 2, enabled_txg };
        Self {
            seed,
            features,
            next: first + 3 + u64::from(enabled_txg.is_some()),
            feature_zaps,
            objects: BTreeMap::new(),
            directory: Vec::new(),
            empty_bpobj: None,
            counts,
        }
    }

    /// A number for an object that is made later.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// One more than the highest number.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    pub(super) fn put(&mut self, object: Object<'static>) {
        self.objects.insert(object.number, object);
    }

    pub(super) fn put_zap(&mut self, number: u64, kind: ObjectType, entries: &[ZapEntry]) -> Result<(), Fault> {
        let object = zap_object(number, kind, entries, self.seed).map_err(|error| zap_fault(number, &error))?;
        self.put(object);
        Ok(())
    }

    /// A new ZAP.
    pub(super) fn add_zap(&mut self, kind: ObjectType, entries: &[ZapEntry]) -> Result<u64, Fault> {
        let number = self.number();
        self.put_zap(number, kind, entries)?;
        Ok(number)
    }

    /// An object that is only a bonus.
    pub(super) fn put_bonus(&mut self, number: u64, kind: ObjectType, bonus: &[u8]) {
        let object = Object::of_blocks(number, kind, BLOCK_BYTES_MIN, Vec::new());
        self.put(Object { bonus_kind: kind, bonus: bonus.to_vec(), ..object });
    }

    /// Names an object in the object directory.
    pub(super) fn name(&mut self, name: &str, value: u64) {
        self.directory.push(ZapEntry::integer(name, value));
    }

    /// Counts that a feature is in use once more, if it is enabled. Answers whether it is.
    pub(super) fn use_feature(&mut self, guid: &str, times: u64) -> bool {
        match self.counts.get_mut(guid) {
            Some(count) => {
                *count += times;
                true
            }
            None => false,
        }
    }

    /// An empty list of block pointers of its own.
    pub(super) fn add_bpobj(&mut self) -> u64 {
        let number = self.number();
        let object = Object::of_blocks(number, ObjectType::BPOBJ, LARGE_BLOCK_BYTES, Vec::new());
        let bonus: [u8; BPOBJ_BYTES] = BpobjPhys::default().encode();
        self.put(Object { bonus_kind: ObjectType::BPOBJ_HDR, bonus: bonus.to_vec(), ..object });
        number
    }

    /// A list for a deadlist: the shared one if the pool has it (`bpobj_alloc_empty`).
    fn empty_bpobj(&mut self) -> u64 {
        if !self.use_feature("com.delphix:empty_bpobj", 1) {
            return self.add_bpobj();
        }
        if let Some(shared) = self.empty_bpobj {
            return shared;
        }
        let shared = self.add_bpobj();
        self.name(pool_directory::EMPTY_BPOBJ, shared);
        self.empty_bpobj = Some(shared);
        shared
    }

    /// A deadlist without blocks, that has a list for each of the transaction groups `keys`.
    pub(super) fn add_deadlist(&mut self, keys: &[u64]) -> Result<u64, Fault> {
        let entries: Vec<ZapEntry> = keys.iter().map(|key| ZapEntry::integer_key(*key, self.empty_bpobj())).collect();
        let number = self.number();
        let object = zap_object(number, ObjectType::DEADLIST, &entries, self.seed);
        let object = object.map_err(|error| zap_fault(number, &error))?;
        let bonus = DeadlistPhys::default().encode().to_vec();
        self.put(Object { bonus_kind: ObjectType::DEADLIST_HDR, bonus, ..object });
        Ok(number)
    }

    /// The configuration of the pool.
    pub(super) fn put_config(&mut self, number: u64, config: &NvList) {
        let packed = config.encode_xdr();
        let bonus = (packed.len() as u64).to_le_bytes().to_vec();
        let blocks = packed.chunks(CONFIG_BLOCK_BYTES as usize).map(<[u8]>::to_vec).collect();
        let object = Object::of_blocks(number, ObjectType::PACKED_NVLIST, CONFIG_BLOCK_BYTES, blocks);
        self.put(Object { bonus_kind: ObjectType::PACKED_NVLIST_SIZE, bonus, ..object });
    }

    /// The history, with one record: that the pool was created. `capacity` is the pool's size in bytes.
    pub(super) fn add_history(&mut self, record: &NvList, capacity: u64) -> u64 {
        let number = self.number();
        let packed = record.encode_xdr();
        let mut block = (packed.len() as u64).to_le_bytes().to_vec();
        block.extend(packed);
        let length = block.len() as u64;
        // `spa_history_create_obj`: a thousandth of the pool, 128 KiB to 1 GiB.
        let physical_max = (capacity / 1000).clamp(u64::from(LARGE_BLOCK_BYTES), 1 << 30);
        let header =
            HistoryPhys { pool_create_bytes: length, physical_max, begin: length, end: length, records_lost: 0 };
        let object = Object::of_blocks(number, ObjectType::SPA_HISTORY, LARGE_BLOCK_BYTES, vec![block]);
        let bonus = header.encode().to_vec();
        self.put(Object { bonus_kind: ObjectType::SPA_HISTORY_OFFSETS, bonus, ..object });
        number
    }

    /// Fills the ZAPs of the features, and the object directory that leads to everything. `space_maps` is how many
    /// space maps there will be.
    pub(super) fn finish(mut self, space_maps: u64) -> Result<BTreeMap<u64, Object<'static>>, Fault> {
        self.use_feature("com.delphix:spacemap_histogram", space_maps);
        let features: Vec<_> = self.features.iter().collect();
        if let Some(object) = self.feature_zaps.enabled_txg {
            // `feature_enable_sync` counts a use for every feature whose group it records.
            self.use_feature("com.delphix:enabled_txg", features.len() as u64);
            let entries: Vec<ZapEntry> =
                features.iter().map(|feature| ZapEntry::integer(feature.guid, CREATION_TXG)).collect();
            self.put_zap(object, ObjectType::OTN_ZAP_METADATA, &entries)?;
            self.name(pool_directory::FEATURE_ENABLED_TXG, object);
        }
        for (name, object, readonly_compatible) in [
            (pool_directory::FEATURES_FOR_READ, self.feature_zaps.for_read, false),
            (pool_directory::FEATURES_FOR_WRITE, self.feature_zaps.for_write, true),
        ] {
            let listed = features.iter().filter(|feature| feature.readonly_compatible == readonly_compatible);
            let count = |guid| self.counts.get(guid).copied().unwrap_or(0);
            let entries: Vec<ZapEntry> =
                listed.map(|feature| ZapEntry::integer(feature.guid, count(feature.guid))).collect();
            self.put_zap(object, ObjectType::OTN_ZAP_METADATA, &entries)?;
            self.name(name, object);
        }
        let texts: Vec<ZapEntry> =
            features.iter().map(|feature| ZapEntry::text(feature.guid, feature.description)).collect();
        let object = self.feature_zaps.descriptions;
        self.put_zap(object, ObjectType::OTN_ZAP_METADATA, &texts)?;
        self.name(pool_directory::FEATURE_DESCRIPTIONS, object);
        let directory = std::mem::take(&mut self.directory);
        self.put_zap(POOL_DIRECTORY_OBJECT, ObjectType::OBJECT_DIRECTORY, &directory)?;
        Ok(self.objects)
    }
}

fn zap_fault(number: u64, error: &ZapError) -> Fault {
    Fault::Format(format!("object {number} of the meta object set: {error}"))
}
