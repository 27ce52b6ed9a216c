//! Opening a pool: labels, uberblock, meta object set, features.

use std::fmt;
use std::sync::Mutex;

use zfs_format::block::BlockPointer;
use zfs_format::feature;
use zfs_format::label::{self, LABEL_BYTES, LabelError};
use zfs_format::nvlist::{NvList, decode_xdr};
use zfs_format::object::{ObjsetType, POOL_DIRECTORY_OBJECT, pool_directory};
use zfs_format::objset::ObjsetPhys;
use zfs_format::uberblock::Uberblock;
use zfs_format::zap::ZapEntry;

use super::blocks::Cache;
use super::{Objset, ReadAt, ReadError};

/// The features that the reader knows how to read when they are active.
const READABLE: &[&str] = &[
    "allocation_classes",
    "async_destroy",
    "bookmark_v2",
    "bookmarks",
    "embedded_data",
    "empty_bpobj",
    "enabled_txg",
    "extensible_dataset",
    "filesystem_limits",
    "hole_birth",
    "large_blocks",
    "large_dnode",
    "lz4_compress",
    "multi_vdev_crash_dump",
    "project_quota",
    "resilver_defer",
    "spacemap_histogram",
    "spacemap_v2",
    "userobj_accounting",
    "zpool_checkpoint",
];

/// What one of the four labels holds.
#[derive(Debug)]
pub struct LabelState {
    /// Where it is, in bytes from the start of the device.
    pub offset: u64,
    /// Its configuration, or what is wrong with it.
    pub config: Result<NvList, LabelError>,
    /// The valid uberblocks of its ring, each with its slot.
    pub uberblocks: Vec<(usize, Uberblock)>,
    /// Whether the block for the boot loader's variables is whole.
    pub has_boot_environment: bool,
}

/// The one top-level vdev of a pool that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vdev {
    /// Its guid.
    pub guid: u64,
    /// Binary logarithm of the smallest block.
    pub ashift: u8,
    /// Bytes that blocks can use; addresses are below it.
    pub asize: u64,
    /// Object of the space maps by metaslab, in the meta object set.
    pub metaslab_array: u64,
    /// Binary logarithm of the bytes of a metaslab.
    pub metaslab_shift: u64,
}

/// A pool that is open for reading.
pub struct Pool<'s> {
    pub(super) source: Box<dyn ReadAt + 's>,
    pub(super) cache: Mutex<Cache>,
    pub(super) vdev: Vdev,
    /// Bytes of the device that is there.
    device_bytes: u64,
    labels: Vec<LabelState>,
    config: NvList,
    uberblock: Uberblock,
    mos: ObjsetPhys,
    pub(super) tamper: Option<Tamper<'s>>,
}

/// Changes the content of a block after its checksum was verified: for tests that reach behind the checksums.
pub(super) type Tamper<'s> = Box<dyn Fn(&BlockPointer, &mut [u8]) + Send + Sync + 's>;

impl fmt::Debug for Pool<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("uberblock", &self.uberblock).field("vdev", &self.vdev).finish()
    }
}

impl<'s> Pool<'s> {
    /// Opens the pool whose device is the first `len` bytes of `source`.
    ///
    /// # Errors
    /// There is no pool, it is damaged above its datasets, or it uses what is not supported here.
    pub fn open(source: impl ReadAt + 's, len: u64) -> Result<Self, ReadError> {
        Self::open_with(Box::new(source), len, None)
    }

    /// As [`Pool::open`], with every block changed by `tamper` after it was read.
    pub(super) fn open_with(
        source: Box<dyn ReadAt + 's>,
        len: u64,
        tamper: Option<Tamper<'s>>,
    ) -> Result<Self, ReadError> {
        let labels = read_labels(source.as_ref(), len);
        let config = best_config(&labels)?.clone();
        let vdev = vdev_of(&config, len)?;
        let newest = labels.iter().flat_map(|label| &label.uberblocks).map(|(_, uberblock)| *uberblock);
        let uberblock = newest.max_by_key(|one| (one.txg, one.timestamp)).ok_or(ReadError::NoUberblock)?;
        if !matches!(uberblock.version, 1..=28 | 5000) {
            return Err(ReadError::Version(uberblock.version));
        }
        check_features(
            config
                .list("features_for_read")
                .map_or(Vec::new(), |list| list.pairs().iter().map(|(name, _)| name.clone()).collect()),
        )?;
        // The meta object set can only be read through a pool, so that one begins without it.
        let (cache, mos) = (Mutex::default(), empty_objset());
        let mut pool = Self { source, cache, vdev, device_bytes: len, labels, config, uberblock, mos, tamper };
        let root = pool.read_block(&uberblock.root)?;
        pool.mos = ObjsetPhys::decode(&root)?;
        if pool.mos.kind != ObjsetType::Meta {
            return Err(ReadError::Structure {
                object: 0,
                what: "the uberblock leads to no meta object set".to_owned(),
            });
        }
        pool.check_active_features()?;
        Ok(pool)
    }

    /// Nothing but blocks on a device with `asize` usable bytes.
    #[cfg(test)]
    pub(super) fn over_blocks(source: impl ReadAt + 's, asize: u64) -> Self {
        Self {
            source: Box::new(source),
            cache: Mutex::default(),
            vdev: Vdev { guid: 1, ashift: 9, asize, metaslab_array: 0, metaslab_shift: 20 },
            device_bytes: whole_device(asize),
            labels: Vec::new(),
            config: NvList::new(),
            uberblock: Uberblock {
                version: 5000,
                txg: 4,
                guid_sum: 0,
                timestamp: 0,
                root: BlockPointer::ABSENT,
                software_version: 5000,
                checkpoint_txg: 0,
            },
            mos: empty_objset(),
            tamper: None,
        }
    }

    /// The pool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.config.string("name").unwrap_or_default()
    }

    /// The pool's guid.
    #[must_use]
    pub fn guid(&self) -> u64 {
        self.config.u64("pool_guid").unwrap_or(0)
    }

    /// The configuration of the best label.
    #[must_use]
    pub fn label_config(&self) -> &NvList {
        &self.config
    }

    /// The four labels.
    #[must_use]
    pub fn labels(&self) -> &[LabelState] {
        &self.labels
    }

    /// The uberblock that everything was read from.
    #[must_use]
    pub fn uberblock(&self) -> &Uberblock {
        &self.uberblock
    }

    /// The pool's one top-level vdev.
    #[must_use]
    pub fn vdev(&self) -> &Vdev {
        &self.vdev
    }

    /// Bytes of the device that is there, and of the one that the pool was made for, which is larger if the end of
    /// the device is lost. Such a pool can be read as long as only labels are.
    pub(super) fn device_bytes(&self) -> (u64, u64) {
        (self.device_bytes, whole_device(self.vdev.asize))
    }

    /// The meta object set.
    #[must_use]
    pub fn mos(&self) -> Objset<'_> {
        Objset::new(self, self.mos.clone(), self.uberblock.root)
    }

    /// The object directory of the meta object set, in the order of the ZAP.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn object_directory(&self) -> Result<Vec<ZapEntry>, ReadError> {
        self.mos().zap_entries(POOL_DIRECTORY_OBJECT)
    }

    /// The number that stands under `name` in the object directory, nearly always an object.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn directory_object(&self, name: &str) -> Result<Option<u64>, ReadError> {
        let value = self.mos().zap_lookup(POOL_DIRECTORY_OBJECT, name.as_bytes())?;
        Ok(value.and_then(|value| value.as_u64()))
    }

    /// The configuration in the meta object set, which an import uses once it has found it by a label.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn config(&self) -> Result<NvList, ReadError> {
        let object = self.directory_object(pool_directory::CONFIG)?.ok_or(ReadError::Config("config"))?;
        let mos = self.mos();
        let dnode = mos.dnode(object)?;
        // The bonus says how many bytes are packed; a configuration has some kilobytes.
        let size = dnode.bonus.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let size = usize::try_from(size).ok().filter(|size| *size <= 16 << 20).ok_or(ReadError::Config("config"))?;
        let mut packed = vec![0; size];
        mos.read_exact(&dnode, &mut packed, 0)?;
        Ok(decode_xdr(&packed)?)
    }

    fn check_active_features(&self) -> Result<(), ReadError> {
        let Some(object) = self.directory_object(pool_directory::FEATURES_FOR_READ)? else { return Ok(()) };
        let mut active = Vec::new();
        self.mos().for_each_zap_entry(object, |entry| {
            if entry.value.as_u64() != Some(0) {
                active.push(String::from_utf8_lossy(&entry.name).into_owned());
            }
            Ok(())
        })?;
        check_features(active)
    }
}

fn check_features(active: Vec<String>) -> Result<(), ReadError> {
    let readable = |name: &String| feature::find(name).is_some_and(|found| READABLE.contains(&found.name));
    let unknown: Vec<String> = active.into_iter().filter(|name| !readable(name)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(ReadError::Features(unknown)) }
}

fn read_labels(source: &dyn ReadAt, len: u64) -> Vec<LabelState> {
    let mut labels = Vec::with_capacity(4);
    for offset in label::label_offsets(len) {
        let mut bytes = vec![0; LABEL_BYTES as usize];
        if source.read_exact_at(&mut bytes, offset).is_err() {
            let (config, uberblocks) = (Err(LabelError::Short(0)), Vec::new());
            labels.push(LabelState { offset, config, uberblocks, has_boot_environment: false });
            continue;
        }
        let config = label::decode_config(&bytes, offset);
        let ashift = config.as_ref().ok().and_then(|config| config.list("vdev_tree")?.u64("ashift"));
        let ashift = ashift.and_then(|ashift| u8::try_from(ashift).ok()).unwrap_or(9);
        let uberblocks = label::uberblocks(&bytes, offset, ashift).collect();
        let has_boot_environment = label::is_boot_environment_whole(&bytes, offset);
        labels.push(LabelState { offset, config, uberblocks, has_boot_environment });
    }
    labels
}

fn best_config(labels: &[LabelState]) -> Result<&NvList, ReadError> {
    let readable = labels.iter().filter_map(|label| label.config.as_ref().ok());
    let best = readable.max_by_key(|config| config.u64("txg"));
    best.ok_or_else(|| {
        let first = labels.iter().find_map(|label| label.config.as_ref().err());
        ReadError::NoLabel(first.map_or_else(String::new, ToString::to_string))
    })
}

fn vdev_of(config: &NvList, len: u64) -> Result<Vdev, ReadError> {
    let tree = config.list("vdev_tree").ok_or(ReadError::Config("vdev_tree"))?;
    let children = config.u64("vdev_children").unwrap_or(1);
    if children != 1 {
        return Err(ReadError::Vdev(format!("{children} top-level vdevs")));
    }
    let kind = tree.string("type").ok_or(ReadError::Config("vdev_tree.type"))?;
    if !matches!(kind, "disk" | "file") {
        return Err(ReadError::Vdev(format!("a vdev of type `{kind}`")));
    }
    let number = |name: &'static str| tree.u64(name).ok_or(ReadError::Config(name));
    let ashift = u8::try_from(number("ashift")?).ok().filter(|ashift| (9..=16).contains(ashift));
    let asize = number("asize")?;
    if asize > len.saturating_sub(label::START_BYTES) {
        return Err(ReadError::CutShort { bytes: len, wanted: whole_device(asize) });
    }
    Ok(Vdev {
        guid: number("guid")?,
        ashift: ashift.ok_or(ReadError::Config("ashift"))?,
        asize,
        metaslab_array: number("metaslab_array")?,
        metaslab_shift: number("metaslab_shift")?,
    })
}

/// Bytes of the smallest device with so many that blocks can use.
fn whole_device(asize: u64) -> u64 {
    asize.saturating_add(label::START_BYTES + label::END_BYTES)
}

fn empty_objset() -> ObjsetPhys {
    ObjsetPhys {
        meta_dnode: zfs_format::dnode::Dnode::default(),
        kind: ObjsetType::Meta,
        flags: 0,
        user_used: None,
        group_used: None,
        project_used: None,
    }
}
