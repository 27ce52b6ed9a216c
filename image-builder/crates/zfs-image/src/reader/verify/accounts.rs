//! The space accounts of datasets and directories.

use std::collections::HashMap;

use zfs_format::dsl::{
    BpobjPhys, DATASET_FLAG_UNIQUE_ACCURATE, DIR_FLAG_USED_BREAKDOWN, DeadlistPhys, DslDatasetPhys, DslDirPhys,
};
use zfs_format::object::ObjectType;

use super::super::{Dataset, Directory, ReadError};
use super::{Place, Verifier, datasets};

/// Space in the three ways in which ZFS counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Space {
    /// Bytes on the device, all copies together.
    pub(super) allocated: u64,
    /// Bytes after compression.
    pub(super) compressed: u64,
    /// Bytes before compression; of metadata after it.
    pub(super) uncompressed: u64,
}

impl Space {
    pub(super) fn plus(&self, other: &Self) -> Self {
        self.combine(other, u64::wrapping_add)
    }

    fn minus(&self, other: &Self) -> Self {
        self.combine(other, u64::wrapping_sub)
    }

    fn combine(&self, other: &Self, operation: fn(u64, u64) -> u64) -> Self {
        Self {
            allocated: operation(self.allocated, other.allocated),
            compressed: operation(self.compressed, other.compressed),
            uncompressed: operation(self.uncompressed, other.uncompressed),
        }
    }

    fn referenced(phys: &DslDatasetPhys) -> Self {
        Self {
            allocated: phys.referenced_bytes,
            compressed: phys.compressed_bytes,
            uncompressed: phys.uncompressed_bytes,
        }
    }
}

impl Verifier<'_> {
    pub(super) fn accounts(&mut self, directories: &[Directory]) {
        let by_object: HashMap<u64, &Dataset> =
            datasets(directories).map(|dataset| (dataset.object, dataset)).collect();
        for dataset in datasets(directories) {
            if let Err(error) = self.dataset_account(dataset, &by_object) {
                self.unreadable(&dataset_place(dataset), &error);
            }
        }
        let internal: Vec<u64> = directories.iter().filter(|one| one.is_internal()).map(|one| one.object).collect();
        for directory in directories.iter().filter(|directory| !internal.contains(&directory.object)) {
            self.directory_account(directory, directories, &by_object);
        }
    }

    /// What a dataset reaches is what the snapshot before reaches, and what was born since, without what died.
    fn dataset_account(&mut self, dataset: &Dataset, by_object: &HashMap<u64, &Dataset>) -> Result<(), ReadError> {
        let phys = &dataset.phys;
        let place = dataset_place(dataset);
        let born = self.spaces.get(&dataset.object).copied().unwrap_or_default();
        let before = match by_object.get(&phys.previous_snapshot) {
            Some(snapshot) => Space::referenced(&snapshot.phys),
            None => Space::default(),
        };
        let dead = self.deadlist(phys.deadlist)?;
        let found = before.plus(&born).minus(&dead);
        self.number(&place, "`referenced`", phys.referenced_bytes, found.allocated);
        self.number(&place, "`referenced` after compression", phys.compressed_bytes, found.compressed);
        self.number(&place, "`referenced` before compression", phys.uncompressed_bytes, found.uncompressed);
        if !dataset.is_snapshot() && phys.flags & DATASET_FLAG_UNIQUE_ACCURATE != 0 {
            self.number(&place, "the bytes that no snapshot shares", phys.unique_bytes, born.allocated);
        }
        Ok(())
    }

    /// The header of a deadlist, which was a plain list of blocks before version 26.
    fn deadlist(&self, object: u64) -> Result<Space, ReadError> {
        if object == 0 {
            return Ok(Space::default());
        }
        let dnode = self.pool.mos().dnode(object)?;
        let wrong = || ReadError::Structure { object, what: "a deadlist without a header".to_owned() };
        if dnode.bonus_kind == ObjectType::BPOBJ_HDR {
            let list = BpobjPhys::decode(&dnode.bonus).ok_or_else(wrong)?;
            let (compressed, uncompressed) = (list.compressed_bytes, list.uncompressed_bytes);
            return Ok(Space { allocated: list.bytes, compressed, uncompressed });
        }
        let list = DeadlistPhys::decode(&dnode.bonus).ok_or_else(wrong)?;
        let (compressed, uncompressed) = (list.compressed_bytes, list.uncompressed_bytes);
        Ok(Space { allocated: list.used_bytes, compressed, uncompressed })
    }

    fn directory_account(
        &mut self,
        directory: &Directory,
        directories: &[Directory],
        by_object: &HashMap<u64, &Dataset>,
    ) {
        let place = Place { dataset: Some(directory.name.as_str().into()), ..Place::default() };
        let phys = &directory.phys;
        let own = directory.snapshots.iter().chain(&directory.head).fold(Space::default(), |sum, dataset| {
            sum.plus(&self.spaces.get(&dataset.object).copied().unwrap_or_default())
        });
        let children = || directories.iter().filter(|child| child.phys.parent == directory.object);
        let sum =
            |field: fn(&DslDirPhys) -> u64| children().fold(0_u64, |sum, child| sum.wrapping_add(field(&child.phys)));
        let kept = sum(|child| child.reserved.saturating_sub(child.used_bytes));
        let used = phys.used_breakdown;
        if phys.flags & DIR_FLAG_USED_BREAKDOWN != 0 {
            let parts = [used.head, used.snapshots, used.children, used.child_reservations, used.reference_reservation];
            let total = parts.into_iter().fold(0, u64::wrapping_add);
            self.number(&place, "the used bytes of the directory", phys.used_bytes, total);
            self.number(
                &place,
                "the bytes of head and snapshots",
                used.head.wrapping_add(used.snapshots),
                own.allocated,
            );
            self.number(&place, "the bytes of the children", used.children, sum(|child| child.used_bytes));
            self.number(&place, "the bytes kept for children", used.child_reservations, kept);
            if let Some(head) = directory.head.as_ref().filter(|_| !is_clone(directory, by_object)) {
                self.number(&place, "the bytes of the head", used.head, head.phys.referenced_bytes);
            }
        }
        let compressed = own.compressed.wrapping_add(sum(|child| child.compressed_bytes));
        self.number(&place, "the compressed bytes of the directory", phys.compressed_bytes, compressed);
        let uncompressed = own.uncompressed.wrapping_add(sum(|child| child.uncompressed_bytes));
        self.number(&place, "the uncompressed bytes of the directory", phys.uncompressed_bytes, uncompressed);
    }
}

/// Whether the dataset began as a clone of a real snapshot, not of the empty one that all begin with.
fn is_clone(directory: &Directory, by_object: &HashMap<u64, &Dataset>) -> bool {
    by_object.get(&directory.phys.origin).is_some_and(|origin| origin.phys.referenced_bytes > 0)
}

fn dataset_place(dataset: &Dataset) -> Place {
    Place { dataset: Some(dataset.name.as_str().into()), ..Place::default() }
}
