//! Putting the parts of a pool together.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use image_tree::{NodeKind, Store, Tree};
use zfs_format::block::BlockPointer;
use zfs_format::compress::Compression;
use zfs_format::dnode::Dnode;
use zfs_format::label::usable_bytes;
use zfs_format::nvlist::NvList;
use zfs_format::object::{ObjectType, pool_directory};
use zfs_format::property::{EncodedProperty, Storage};
use zfs_format::uberblock::Uberblock;
use zfs_format::zap::ZapEntry;

use super::allocate::{Allocator, Geometry};
use super::dsl::{Device, Dsl, Written};
use super::error::WriteError;
use super::indirect::Usage;
use super::labels::{self, Identity};
use super::late::Late;
use super::limits;
use super::mos::{CREATION_TXG, Mos, POOL_VERSION};
use super::object::write_objects;
use super::output::Output;
use super::pipeline::{Fault, Pipeline};
use super::plan::Plan;
use super::report::{DatasetReport, PoolReport};
use super::seed::Seed;
use super::settings::{self, RECORD_BYTES_DEFAULT, Settings};
use super::size::{self, Need};
use super::spec::{DatasetSpec, PoolSpec};
use super::zpl::{FileSystem, write_file_system};

/// How to write; nothing here changes a byte of the pool.
#[derive(Clone, Copy)]
pub struct WriteOptions<'p> {
    /// How many threads compress, checksum and write; none is as many as the machine has.
    pub threads: Option<NonZeroUsize>,
    /// Is told, from any thread, of so many more bytes of content that are written.
    pub progress: &'p (dyn Fn(u64) + Sync),
    /// Whether [`check_size`] has found the device large enough already; that may take as long as writing.
    pub size_is_checked: bool,
}

impl std::fmt::Debug for WriteOptions<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WriteOptions").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Default for WriteOptions<'_> {
    fn default() -> Self {
        Self { threads: None, progress: &|_| {}, size_is_checked: false }
    }
}

/// Writes the pool into `output`, a window of `bytes` bytes that reads as zeros. The boot area between the labels and
/// the first 8 KiB of each label are left as they are.
///
/// # Errors
/// The description is wrong, the device too small, the store or the output fails. The output then holds no pool.
pub fn write_pool(
    spec: &PoolSpec,
    store: &Store,
    output: &dyn Output,
    bytes: u64,
    options: &WriteOptions<'_>,
) -> Result<PoolReport, WriteError> {
    spec.validate()?;
    if !options.size_is_checked {
        check_size(spec, store, bytes, options)?;
    }
    let geometry = Geometry::new(usable_bytes(bytes), spec.ashift);
    let pipeline = Pipeline::new(store, output, threads(options), Allocator::new(geometry), options.progress);
    let writer = PoolWriter { spec, pipeline: &pipeline, geometry, bytes };
    writer.write().map_err(|fault| writer.error(fault))
}

/// Whether a device of so many bytes is large enough, which is known at once if it is as nothing compressed. Otherwise
/// everything is compressed to see what it takes, and nothing is written.
///
/// # Errors
/// The description is wrong, the device too small, or the store fails.
pub fn check_size(spec: &PoolSpec, store: &Store, bytes: u64, options: &WriteOptions<'_>) -> Result<(), WriteError> {
    spec.validate()?;
    limits::check_reserved(spec, bytes, Geometry::new(usable_bytes(bytes), spec.ashift).capacity())?;
    if size::estimate(spec)?.fits(bytes) {
        return Ok(());
    }
    let need = measure(spec, store, threads(options))?;
    if need.fits(bytes) {
        return Ok(());
    }
    Err(WriteError::TooSmall { pool: spec.name.clone(), bytes, needed: need.device_bytes() })
}

fn threads(options: &WriteOptions<'_>) -> usize {
    options.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// Does all that writing does without writing, and answers how much room it takes.
fn measure(spec: &PoolSpec, store: &Store, threads: usize) -> Result<Need, WriteError> {
    let pipeline = Pipeline::measuring(store, threads, spec.ashift);
    let geometry = pipeline.allocator().geometry();
    let writer = PoolWriter { spec, pipeline: &pipeline, geometry, bytes: u64::MAX };
    let (first_late, reserved) = writer.measure().map_err(|fault| writer.error(fault))?;
    let need = Need::measured(&pipeline.allocator(), first_late, reserved);
    Ok(need)
}

/// The pool's own objects that are written.
struct PoolObjects {
    dsl: Dsl,
    /// The number of the first object that is not.
    array_object: u64,
    dnodes: BTreeMap<u64, Dnode>,
    usage: Usage,
}

struct PoolWriter<'w, 'a> {
    spec: &'w PoolSpec,
    pipeline: &'w Pipeline<'a>,
    geometry: Geometry,
    bytes: u64,
}

impl PoolWriter<'_, '_> {
    fn write(&self) -> Result<PoolReport, Fault> {
        self.with_datasets(|written, identity| {
            let objects = self.write_objects(written, identity)?;
            self.write_meta(written, identity, objects)
        })
    }

    /// As [`Self::write`], but for the blocks that depend on where all others are. Answers the number of their first
    /// object, and what is reserved and not used.
    fn measure(&self) -> Result<(u64, u64), Fault> {
        self.with_datasets(|written, identity| {
            let mut objects = self.write_objects(written, identity)?;
            Ok((objects.array_object, objects.dsl.add_up(objects.usage)))
        })
    }

    /// Writes all datasets, and what follows.
    fn with_datasets<T>(
        &self,
        follows: impl FnOnce(&[Written<'_>], &Identity) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let spec = self.spec;
        let all = settings::resolve(spec).map_err(|error| Fault::Refused(Box::new(error.into())))?;
        let root = DatasetSpec { name: spec.name.clone(), properties: Vec::new(), tree: None, snapshots: Vec::new() };
        let described = spec.datasets.iter().find(|dataset| dataset.name == spec.name);
        let others = spec.datasets.iter().filter(|dataset| dataset.name != spec.name);
        let mut written = Vec::new();
        for dataset in std::iter::once(described.unwrap_or(&root)).chain(others) {
            let settings = all.get(&dataset.name).ok_or_else(|| Fault::Format(dataset.name.clone()))?;
            written.push(self.write_dataset(dataset, settings)?);
        }
        let snapshots = written.iter().map(|dataset| dataset.snapshots.len() as u64).max().unwrap_or(0);
        follows(&written, &Identity::new(spec, CREATION_TXG + snapshots + 1))
    }

    fn write_dataset<'s>(&self, dataset: &'s DatasetSpec, settings: &'s Settings) -> Result<Written<'s>, Fault> {
        let empty = Tree::new(image_tree::Metadata { mtime: self.spec.time, ..image_tree::Metadata::new(0, 0, 0o755) });
        let plan = Plan::new(dataset.tree.as_ref().unwrap_or(&empty));
        let file_system = FileSystem {
            dataset: &dataset.name,
            policies: settings::policies(&settings.storing, &self.spec.features, CREATION_TXG),
            record_bytes: settings.storing.record_bytes,
            devices: self.spec.devices,
            seed: Seed::new(&self.spec.seed, &dataset.name),
            generation: CREATION_TXG,
        };
        let objset = write_file_system(self.pipeline, &file_system, &plan).map_err(|fault| match fault {
            Fault::Content { object, source } => {
                let (dataset, path) = (dataset.name.clone(), plan.path(object).to_string());
                Fault::Refused(Box::new(WriteError::Content { dataset, path, source }))
            }
            Fault::Read { object, source } => {
                let (dataset, path) = (dataset.name.clone(), plan.path(object).to_string());
                Fault::Refused(Box::new(WriteError::Read { dataset, path, source }))
            }
            other => other,
        })?;
        let large = |len: u64| len > u64::from(RECORD_BYTES_DEFAULT);
        let has_large_blocks = large(u64::from(settings.storing.record_bytes))
            && plan.nodes.iter().any(|planned| match &planned.node.kind {
                NodeKind::Regular(content) => large(content.len()) && content.data_len() > 0,
                _ => planned.node.metadata.xattrs.values().any(|value| large(value.len() as u64)),
            });
        Ok(Written { name: &dataset.name, snapshots: &dataset.snapshots, settings, objset, has_large_blocks })
    }

    /// Writes the pool's own objects, but for those that tell what is allocated.
    fn write_objects(&self, written: &[Written<'_>], identity: &Identity) -> Result<PoolObjects, Fault> {
        let spec = self.spec;
        let mut mos = Mos::new(Seed::new(&spec.seed, "MOS"), &spec.features);
        let config_object = mos.number();
        let dsl = Dsl::build(&mut mos, &spec.seed, self.time(), written)?;
        self.add_pool_objects(&mut mos, &dsl, config_object)?;
        // The array of the metaslabs, which the configuration names, comes behind all these objects.
        let array_object = mos.end();
        mos.put_config(config_object, &labels::config(spec, identity, &self.geometry, array_object));
        let objects = mos.finish(self.geometry.metaslabs)?;
        let (mut dnodes, mut usage) = (BTreeMap::new(), Usage::default());
        let mut policies = settings::pool_policies(&spec.features, identity.txg);
        if self.pipeline.is_measuring() {
            // How they compress depends on the size of the device.
            policies.data.compression = Compression::Off;
            policies.metadata.compression = Compression::Off;
        }
        write_objects(self.pipeline, &policies, objects.into_values().map(Ok::<_, Fault>), |number, dnode, used| {
            usage.add(used);
            dnodes.insert(number, dnode);
            Ok(())
        })?;
        Ok(PoolObjects { dsl, array_object, dnodes, usage })
    }

    /// Writes what makes the objects a pool.
    fn write_meta(
        &self,
        written: &[Written<'_>],
        identity: &Identity,
        objects: PoolObjects,
    ) -> Result<PoolReport, Fault> {
        let spec = self.spec;
        let PoolObjects { mut dsl, array_object, mut dnodes, mut usage } = objects;
        let has_histogram = spec.features.contains("spacemap_histogram");
        let late = Late::reserve(&mut self.pipeline.allocator(), array_object, identity.txg, has_histogram)?;
        usage.add(late.usage());
        let allocator = self.pipeline.allocator().clone();
        dnodes.extend(late.write_space_maps(self.pipeline, &allocator)?);
        let report = self.report(written, identity, &dsl, (&allocator, usage, late.objects()));
        let reserved = dsl.add_up(usage);
        let device = Device { bytes: self.bytes, capacity: self.geometry.capacity() };
        dsl.check_limits(reserved, device).map_err(|error| Fault::Refused(Box::new(error.into())))?;
        for (number, bonus) in dsl.directories() {
            if let Some(dnode) = dnodes.get_mut(&number) {
                dnode.bonus = bonus;
            }
        }
        let root = late.write_root(self.pipeline, dnodes.iter().map(|(number, dnode)| (*number, dnode)))?;
        self.write_labels(identity, late.array_object(), root)?;
        Ok(report)
    }

    /// The time of creation, in seconds since 1970.
    fn time(&self) -> u64 {
        u64::try_from(self.spec.time.secs).unwrap_or(0)
    }

    fn write_labels(&self, identity: &Identity, array_object: u64, root: BlockPointer) -> Result<(), Fault> {
        let uberblock = Uberblock {
            version: POOL_VERSION,
            txg: identity.txg,
            guid_sum: identity.guid_sum(),
            timestamp: self.time(),
            root,
            software_version: POOL_VERSION,
            checkpoint_txg: 0,
        };
        let place = (&self.geometry, array_object);
        labels::write_labels(self.pipeline, self.spec, identity, place, (self.bytes, uberblock))
    }

    fn report(
        &self,
        written: &[Written<'_>],
        identity: &Identity,
        dsl: &Dsl,
        (allocator, usage, objects): (&Allocator, Usage, u64),
    ) -> PoolReport {
        let dataset = |dataset: &Written<'_>| DatasetReport {
            name: dataset.name.to_owned(),
            object: dsl.datasets.get(dataset.name).copied().unwrap_or(0),
            objects: dataset.objset.objects,
            referenced_bytes: dataset.objset.usage.used,
            compressed_bytes: dataset.objset.usage.compressed,
            uncompressed_bytes: dataset.objset.usage.uncompressed,
        };
        PoolReport {
            pool_guid: identity.pool_guid,
            vdev_guid: identity.vdev_guid,
            txg: identity.txg,
            capacity_bytes: self.geometry.capacity(),
            allocated_bytes: allocator.allocated(),
            blocks: allocator.blocks(),
            metadata_bytes: usage.used,
            metadata_objects: objects,
            datasets: written.iter().map(dataset).collect(),
        }
    }

    /// What is in a pool beside its datasets.
    fn add_pool_objects(&self, mos: &mut Mos<'_>, dsl: &Dsl, config: u64) -> Result<(), Fault> {
        let spec = self.spec;
        mos.name(pool_directory::CONFIG, config);
        for name in [pool_directory::SYNC_BPOBJ, pool_directory::FREE_BPOBJ] {
            let bpobj = mos.add_bpobj();
            mos.name(name, bpobj);
        }
        mos.name(pool_directory::DEFLATE, 1);
        mos.name(pool_directory::CREATION_VERSION, POOL_VERSION);
        let record = NvList::new()
            .with("history command", format!("zpool create {}", spec.name))
            .with("history time", self.time())
            .with("history zone", "global")
            .with("history who", 0_u64);
        let history = mos.add_history(&record, self.geometry.capacity());
        mos.name(pool_directory::HISTORY, history);
        let properties = spec.pool_properties().map_err(|error| Fault::Refused(Box::new(error.into())))?;
        let stored = |property: &&EncodedProperty| matches!(property.storage, Storage::Zap);
        let mut entries: Vec<ZapEntry> = properties.iter().filter(stored).map(EncodedProperty::zap_entry).collect();
        if let Some(object) = spec.bootfs.as_ref().and_then(|bootfs| dsl.datasets.get(bootfs)) {
            entries.push(ZapEntry::integer("bootfs", *object));
        }
        if !entries.is_empty() {
            let object = mos.add_zap(ObjectType::POOL_PROPS, &entries)?;
            mos.name(pool_directory::PROPS, object);
        }
        Ok(())
    }

    fn error(&self, fault: Fault) -> WriteError {
        let pool = self.spec.name.clone();
        match fault {
            Fault::Refused(error) => *error,
            Fault::Full => {
                let reason = format!("a device of {} bytes was found to suffice, and does not", self.bytes);
                WriteError::Format { pool, reason }
            }
            Fault::Output { position, bytes, source } => WriteError::Output { pool, position, bytes, source },
            Fault::Format(reason) => WriteError::Format { pool, reason },
            Fault::Content { source, .. } => WriteError::Content { dataset: pool, path: "/".to_owned(), source },
            Fault::Read { source, .. } => WriteError::Read { dataset: pool, path: "/".to_owned(), source },
        }
    }
}
