//! Collection of what nothing refers to any more.

use std::collections::{BTreeSet, HashSet};
use std::sync::PoisonError;

use super::error::StoreError;
use super::index::{self, IndexEntry};
use super::lock::AdminLock;
use super::pack::{Pack, PackWriter};
use super::{Catalogue, Store, files};
use crate::hash::{BlobHash, TreeHash};
use crate::tree::collect_references;

/// What a collection has to keep.
#[derive(Debug, Clone, Default)]
pub struct GcRoots {
    /// Trees, each with everything it needs.
    pub trees: BTreeSet<TreeHash>,
    /// Single blobs.
    pub blobs: BTreeSet<BlobHash>,
}

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Bytes of disk space that are free now.
    pub freed_bytes: u64,
    /// Blobs that were removed.
    pub removed_blobs: usize,
    /// Blobs that remain.
    pub kept_blobs: usize,
}

impl Store {
    /// Removes every blob that `roots` do not need. Packs that hold some that are needed and some that are
    /// not are rewritten. Records are left alone: they are the caller's to remove.
    ///
    /// # Errors
    /// Another process (or another [`Store`] of this one) has the store open; something that the roots need is
    /// missing or damaged; the disk is full. After any error everything that was in the store still is.
    pub fn gc(&mut self, roots: &GcRoots) -> Result<GcReport, StoreError> {
        self.seal()?;
        let Some(lock) = self.lock.take().filter(|_| !self.is_dry) else {
            return Err(StoreError::Dry { dir: self.dir.clone() });
        };
        let admin = AdminLock::acquire(&self.dir)?;
        let result = lock.make_exclusive(&admin).and_then(|()| {
            let result = self.collect(roots, &admin);
            lock.share().and(result)
        });
        self.lock = Some(lock);
        result
    }

    fn collect(&mut self, roots: &GcRoots, admin: &AdminLock) -> Result<GcReport, StoreError> {
        self.remove_temporary_files()?;
        let found = self.reload(admin)?;
        let before = (self.disk_use()?, self.len());
        let live = self.live_blobs(roots)?;
        let (stale, moving) = self.sort_out(&live)?;
        if !moving.is_empty() {
            self.rewrite(&moving, admin)?;
        }
        stale.iter().try_for_each(|number| files::remove_pack(&self.dir, *number))?;
        self.reload(admin)?;
        self.recovered.extend(found);
        Ok(GcReport {
            freed_bytes: before.0.total().saturating_sub(self.disk_use()?.total()),
            removed_blobs: before.1 - self.len(),
            kept_blobs: self.len(),
        })
    }

    /// Forgets all packs and reads what there is.
    fn reload(&mut self, admin: &AdminLock) -> Result<Vec<super::Recovered>, StoreError> {
        *self.catalogue.get_mut().unwrap_or_else(PoisonError::into_inner) = Catalogue::default();
        self.take_up_all(admin)
    }

    fn live_blobs(&self, roots: &GcRoots) -> Result<HashSet<BlobHash>, StoreError> {
        let mut live = HashSet::new();
        for tree in &roots.trees {
            collect_references(self, *tree, &mut live)
                .map_err(|source| StoreError::Root { source: Box::new(source) })?;
        }
        live.extend(&roots.blobs);
        match live.iter().find(|hash| !self.contains(**hash)) {
            Some(hash) => Err(StoreError::Missing { hash: *hash }),
            None => Ok(live),
        }
    }

    /// The packs that have to go because they hold something that is not needed, and what in them is.
    fn sort_out(&self, live: &HashSet<BlobHash>) -> Result<(Vec<u32>, Vec<IndexEntry>), StoreError> {
        let catalogue = self.catalogue();
        let (mut stale, mut moving) = (Vec::new(), Vec::new());
        for (place, pack) in catalogue.packs.iter().enumerate() {
            let Some(index) = index::read(&self.dir, pack.number())? else {
                continue;
            };
            // Two processes may have stored the same blob; the one that the catalogue knows is kept.
            let is_needed = |entry: &IndexEntry| {
                let is_here = catalogue.blobs.get(&entry.hash).is_some_and(|known| known.pack == place);
                is_here && live.contains(&entry.hash)
            };
            let mut needed: Vec<IndexEntry> = index.entries().filter(is_needed).collect();
            if needed.len() < index.len() {
                // In the order of the pack, which is that of writing: objects stay behind what they refer to.
                needed.sort_unstable_by_key(|entry| entry.offset);
                moving.append(&mut needed);
                stale.push(pack.number());
            }
        }
        Ok((stale, moving))
    }

    fn rewrite(&self, moving: &[IndexEntry], admin: &AdminLock) -> Result<(), StoreError> {
        let (number, file) = files::create_pack(&self.dir, admin)?;
        let mut writer = PackWriter::new(Pack::with_file(&self.dir, number, file), 0)?;
        match moving.iter().try_for_each(|entry| self.copy(entry, &mut writer)) {
            Ok(()) => writer.seal(self.options),
            // The reason for giving up matters more than whether the rest could be removed: if not,
            // the next open takes it for the pack of a killed process.
            Err(error) => writer.discard().or(Ok(())).and(Err(error)),
        }
    }

    fn copy(&self, entry: &IndexEntry, writer: &mut PackWriter) -> Result<(), StoreError> {
        let mut buffer = Vec::new();
        let mut reader = self.open_blob(entry.hash)?;
        super::fill(&mut buffer, &mut reader).map_err(|source| StoreError::ReadBlob { hash: entry.hash, source })?;
        let (hash, offset, len) = writer.append_stream(&mut buffer, &mut reader)?;
        if hash != entry.hash {
            return Err(StoreError::Damaged { hash: entry.hash });
        }
        writer.commit(hash, offset, len);
        Ok(())
    }
}
