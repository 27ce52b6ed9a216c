//! Datasets, snapshots and their properties.

use std::collections::{BTreeMap, HashSet};

use zfs_format::block::BlockPointer;
use zfs_format::dsl::{DslDatasetPhys, DslDirPhys};
use zfs_format::object::{ObjectType, pool_directory};
use zfs_format::property;
use zfs_format::zap::Value;

use super::{Objset, Pool, ReadError};

/// As deep as ZFS lets datasets be, and room for the internal ones.
const DEPTH_MAX: usize = zfs_format::name::NESTING_MAX + 2;

/// A DSL directory with what it holds.
#[derive(Debug, Clone)]
pub struct Directory {
    /// The name with the pool's.
    pub name: String,
    /// Its object in the meta object set.
    pub object: u64,
    /// What is stored of it.
    pub phys: DslDirPhys,
    /// Its dataset; internal directories may have none.
    pub head: Option<Dataset>,
    /// The snapshots of the dataset, oldest first.
    pub snapshots: Vec<Dataset>,
}

/// A file system, volume or snapshot.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The full name: `pool/dataset` or `pool/dataset@snapshot`.
    pub name: String,
    /// Its object in the meta object set.
    pub object: u64,
    /// What is stored of it.
    pub phys: DslDatasetPhys,
}

impl Dataset {
    /// The pointer to the object set.
    ///
    /// # Errors
    /// The pointer has no meaning.
    pub fn pointer(&self) -> Result<BlockPointer, ReadError> {
        Ok(BlockPointer::decode(&self.phys.block_pointer)?)
    }

    /// Whether this is a snapshot.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.name.contains('@')
    }
}

impl Pool<'_> {
    /// All DSL directories, parents before children, children by name; with the internal ones such as `$MOS`.
    ///
    /// # Errors
    /// A directory, dataset or snapshot cannot be read, or they lead in circles.
    pub fn directories(&self) -> Result<Vec<Directory>, ReadError> {
        let root = self.directory_object(pool_directory::ROOT_DATASET)?.ok_or(ReadError::Config("root_dataset"))?;
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        // Taken from the end, so children are pushed in the reverse of their order.
        let mut open = vec![(self.name().to_owned(), root, 0)];
        while let Some((name, object, depth)) = open.pop() {
            if !seen.insert(object) || depth > DEPTH_MAX {
                return Err(ReadError::Structure { object, what: format!("the directory {name} is met twice") });
            }
            let directory = self.read_directory(name, object)?;
            if directory.phys.child_map != 0 {
                let children = self.names(directory.phys.child_map)?;
                let below = children.into_iter().rev();
                open.extend(below.map(|(child, object)| (format!("{}/{child}", directory.name), object, depth + 1)));
            }
            found.push(directory);
        }
        Ok(found)
    }

    fn read_directory(&self, name: String, object: u64) -> Result<Directory, ReadError> {
        let dnode = self.mos().dnode(object)?;
        let phys = DslDirPhys::decode(&dnode.bonus).filter(|_| dnode.bonus_kind == ObjectType::DSL_DIR);
        let phys = phys.ok_or_else(|| ReadError::Structure { object, what: format!("{name} is no DSL directory") })?;
        let head = match phys.head_dataset {
            0 => None,
            object => Some(self.read_dataset(name.clone(), object)?),
        };
        let mut snapshots = Vec::new();
        if let Some(names) = head.as_ref().map(|head| head.phys.snapshot_names).filter(|names| *names != 0) {
            for (snapshot, object) in self.names(names)? {
                snapshots.push(self.read_dataset(format!("{name}@{snapshot}"), object)?);
            }
        }
        snapshots.sort_by_key(|snapshot| snapshot.phys.creation_txg);
        Ok(Directory { name, object, phys, head, snapshots })
    }

    fn read_dataset(&self, name: String, object: u64) -> Result<Dataset, ReadError> {
        let dnode = self.mos().dnode(object)?;
        let phys = DslDatasetPhys::decode(&dnode.bonus).filter(|_| dnode.bonus_kind == ObjectType::DSL_DATASET);
        let phys = phys.ok_or_else(|| ReadError::Structure { object, what: format!("{name} is no dataset") })?;
        Ok(Dataset { name, object, phys })
    }

    /// A ZAP of names and object numbers, sorted.
    fn names(&self, zap: u64) -> Result<BTreeMap<String, u64>, ReadError> {
        let mut names = BTreeMap::new();
        self.mos().for_each_zap_entry(zap, |entry| {
            let value = entry.value.as_u64().ok_or_else(|| ReadError::Structure {
                object: zap,
                what: format!("{:?} has a value that is no number", String::from_utf8_lossy(&entry.name)),
            })?;
            names.insert(String::from_utf8_lossy(&entry.name).into_owned(), value);
            Ok(())
        })?;
        Ok(names)
    }

    /// All file systems and volumes, parents before children, children by name.
    ///
    /// # Errors
    /// A directory, dataset or snapshot cannot be read.
    pub fn datasets(&self) -> Result<Vec<Dataset>, ReadError> {
        let heads = self.directories()?.into_iter().filter(|directory| !directory.is_internal());
        Ok(heads.filter_map(|directory| directory.head).collect())
    }

    /// All snapshots, in the order of [`Pool::datasets`], the oldest of each first.
    ///
    /// # Errors
    /// A directory, dataset or snapshot cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Dataset>, ReadError> {
        let directories = self.directories()?.into_iter().filter(|directory| !directory.is_internal());
        Ok(directories.flat_map(|directory| directory.snapshots).collect())
    }

    /// The dataset or snapshot of that full name.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn dataset(&self, name: &str) -> Result<Dataset, ReadError> {
        let all =
            self.directories()?.into_iter().flat_map(|directory| directory.head.into_iter().chain(directory.snapshots));
        let mut all = all;
        all.find(|dataset| dataset.name == name).ok_or_else(|| ReadError::NotFound(format!("the dataset {name}")))
    }

    /// The properties that are set on a directory itself, by name, as text; nothing that is inherited.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn properties(&self, directory: &Directory) -> Result<BTreeMap<String, String>, ReadError> {
        self.property_zap(directory.phys.props, property::dataset_properties())
    }

    /// The pool's properties, by name, as text; `bootfs` is the number of its dataset.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn pool_properties(&self) -> Result<BTreeMap<String, String>, ReadError> {
        let object = self.directory_object(pool_directory::PROPS)?.unwrap_or(0);
        self.property_zap(object, property::pool_properties())
    }

    fn property_zap(&self, object: u64, table: &[property::Property]) -> Result<BTreeMap<String, String>, ReadError> {
        let mut properties = BTreeMap::new();
        if object == 0 {
            return Ok(properties);
        }
        self.mos().for_each_zap_entry(object, |entry| {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            let value = property::display(table, &name, &entry.value);
            properties.insert(name, value);
            Ok(())
        })?;
        Ok(properties)
    }

    /// The dataset that the pool boots, if there is one.
    ///
    /// # Errors
    /// The pool's properties or the datasets cannot be read.
    pub fn boot_dataset(&self) -> Result<Option<Dataset>, ReadError> {
        let Some(object) = self.directory_object(pool_directory::PROPS)? else { return Ok(None) };
        let value = self.mos().zap_lookup(object, b"bootfs")?.as_ref().and_then(Value::as_u64);
        Ok(self.datasets()?.into_iter().find(|dataset| Some(dataset.object) == value))
    }

    /// The object set of a dataset.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn objset(&self, dataset: &Dataset) -> Result<Objset<'_>, ReadError> {
        Objset::open(self, dataset.pointer()?)
    }
}

impl Directory {
    /// Whether ZFS keeps the directory for itself: `$MOS`, `$ORIGIN`, `$FREE`, `$LEAK`.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.name.rsplit('/').next().is_some_and(|last| last.starts_with('$'))
    }
}
