//! Forgetting what nothing needs any more: `gc`, and `clean`.

use crate::engine::{ENDS, cache, recorded};
use crate::error::BuildError;
use crate::evidence::EVIDENCE;
use crate::history::{History, OutputKey};
use crate::inputs::MADE;
use crate::lineage::{ARCHIVE, Lineage};
use crate::lock::WorkspaceLock;
use crate::makers::MAKERS;
use crate::progress::Progress;
use crate::session::open_store;
use crate::snapshot::{LINEAGE, SNAPSHOT, Snapshot};
use crate::state::SavedState;
use crate::target::TARGET;
use crate::workspace::{Location, Workspace, WorkspaceError};
use image_tree::{GcRoots, Record, Store, StoreError};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Results of steps that no newest build is made of.
    pub forgotten_steps: usize,
    /// Results of steps that remain.
    pub kept_steps: usize,
    /// Contents that were removed from the store.
    pub removed_contents: usize,
    /// Contents that remain.
    pub kept_contents: usize,
    /// Bytes of the store before.
    pub bytes_before: u64,
    /// Bytes of the store after.
    pub bytes_after: u64,
}

/// Removes from the workspace what the newest build of each output is not made of. A later one that failed or was killed
/// keeps what it has done, too.
///
/// # Errors
/// When there is no workspace, somebody works in it, or the store cannot be read or written; it is whole then, too.
pub fn collect(location: &Location, progress: &Arc<dyn Progress>) -> Result<Collected, BuildError> {
    let workspace = Workspace::find(location)?;
    let _lock = WorkspaceLock::acquire_in_between(&workspace)?;
    let mut store = open_store(&workspace, progress)?;
    let mut collected = Collected { bytes_before: bytes(&store)?, ..Collected::default() };
    let roots = forget_steps(&store, &mut collected).map_err(cache("tidy up"))?;
    let report = store.gc(&roots).map_err(cache("tidy up"))?;
    collected.removed_contents = report.removed_blobs;
    collected.kept_contents = report.kept_blobs;
    collected.bytes_after = bytes(&store)?;
    Ok(collected)
}

fn bytes(store: &Store) -> Result<u64, BuildError> {
    Ok(store.disk_use().map_err(cache("measure"))?.total())
}

/// Removes the records of steps that are in no history; answers what the others, snapshots among them, need.
fn forget_steps(store: &Store, collected: &mut Collected) -> Result<GcRoots, StoreError> {
    History::forget_other_versions(store)?;
    for namespace in [EVIDENCE, TARGET] {
        for record in store.records(namespace)?.iter().filter(|record| !OutputKey::is_one(&record.key)) {
            store.record_remove(namespace, &record.key)?;
        }
    }
    let needed = History::all_keys(store)?;
    let mut roots = GcRoots::default();
    let mut keep = |state: &SavedState, store: &Store| {
        // A state that is not whole any more is made again when it is wanted; its record is of no use.
        let is_whole = state.trees().all(|tree| image_tree::Tree::load(store, tree).is_ok());
        roots.trees.extend(state.trees().filter(|_| is_whole));
        is_whole
    };
    let mut blobs = BTreeSet::new();
    for record in store.records("step")? {
        let state = recorded(&record.value).filter(|_| needed.contains(&record.key));
        match state.filter(|(state, _)| keep(state, store)) {
            Some((_, traces)) => {
                collected.kept_steps += 1;
                blobs.extend(traces.blobs());
            }
            None => {
                collected.forgotten_steps += 1;
                store.record_remove("step", &record.key)?;
            }
        }
    }
    for record in store.records(SNAPSHOT)? {
        let snapshot = serde_json::from_slice::<Snapshot>(&record.value).ok();
        if !snapshot.is_some_and(|snapshot| keep(&snapshot.state, store)) {
            store.record_remove(SNAPSHOT, &record.key)?;
        }
    }
    let lineage = |record: &Record| serde_json::from_slice::<Lineage>(&record.value).unwrap_or_default();
    let lineages: Vec<Lineage> = store.records(LINEAGE)?.iter().map(lineage).collect();
    let lineages = keep_archives(store, &lineages)?;
    blobs.extend(lineages.iter().flatten().flat_map(|step| step.traces.blobs()));
    for record in store.records("file")? {
        let path = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&record.key));
        if !path.exists() {
            store.record_remove("file", &record.key)?;
        }
    }
    // Archives of the boot files are made again in a moment, and their records are of no use without them. Where rows of
    // steps ended saves doing some of them again.
    for namespace in ["boot-archive", ENDS] {
        for record in store.records(namespace)? {
            store.record_remove(namespace, &record.key)?;
        }
    }
    // Nothing that was fetched is fetched again, as with the packages of Debian roots.
    blobs.extend(ips_client::kept_contents(store)?);
    roots.blobs = blobs.into_iter().filter(|blob| store.contains(*blob)).collect();
    Ok(roots)
}

/// Removes what is known of the steps that led to archives, unless an archive is in the output directory, or was read by a
/// build that is kept or on the way to `lineages`. Answers those that remain, and `lineages`.
fn keep_archives(store: &Store, lineages: &[Lineage]) -> Result<Vec<Lineage>, StoreError> {
    let mut needed = History::all_inputs(store)?;
    needed.extend(store.records(MADE)?.into_iter().filter_map(|record| String::from_utf8(record.value).ok()));
    let mut known: BTreeMap<String, Lineage> = BTreeMap::new();
    for record in store.records(ARCHIVE)? {
        let hash = String::from_utf8_lossy(&record.key).into_owned();
        known.insert(hash, serde_json::from_slice(&record.value).unwrap_or_default());
    }
    let unpacked =
        |lineage: &Lineage| -> Vec<String> { lineage.iter().filter_map(|step| step.unpacked.clone()).collect() };
    let mut kept = lineages.to_vec();
    let mut wanted: Vec<String> = needed.into_iter().chain(lineages.iter().flat_map(unpacked)).collect();
    while let Some(hash) = wanted.pop() {
        if let Some(lineage) = known.remove(&hash) {
            wanted.extend(unpacked(&lineage));
            kept.push(lineage);
        }
    }
    known.keys().try_for_each(|hash| store.record_remove(ARCHIVE, hash.as_bytes()))?;
    Ok(kept)
}

/// Removes the cache of a workspace. Images, archives, and the packages of Debian roots with their locks stay.
///
/// Answers the bytes that are free now.
///
/// # Errors
/// When somebody works in the workspace, when it is none, or something cannot be removed.
pub fn clean(location: &Location) -> Result<u64, BuildError> {
    let workspace = Workspace::find(location)?;
    let _lock = WorkspaceLock::acquire(&workspace)?;
    let directory = workspace.store();
    let open = || {
        let path = directory.clone();
        Store::open(&directory).map_err(|source| BuildError::Store { path, source })
    };
    let store = open()?;
    let freed = bytes(&store)?;
    // What builds have made stays, and so it stays known whose it is: else it would count as put there by hand.
    let mut kept = Vec::new();
    for namespace in [MADE, MAKERS] {
        let records = store.records(namespace).map_err(cache("read"))?;
        kept.extend(records.into_iter().map(|record| (namespace, record)));
    }
    drop(store);
    let failed = |source| WorkspaceError::Directory { operation: "remove", path: directory.clone(), source };
    fs::remove_dir_all(&directory).map_err(failed)?;
    if !kept.is_empty() {
        let store = open()?;
        for (namespace, record) in kept {
            store.record_put(namespace, &record.key, &record.value).map_err(cache("write"))?;
        }
    }
    Ok(freed)
}
