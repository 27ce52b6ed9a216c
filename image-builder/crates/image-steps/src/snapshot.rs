//! Snapshots of datasets: the states that templates leave for others to begin with.

use crate::context::Context;
use crate::engine::{self, Beginning, Ran, cache};
use crate::error::BuildError;
use crate::lineage::Lineage;
use crate::session::Session;
use crate::state::{ImageState, SavedState};
use crate::wanted::{Wanted, snapshot_name, wanted_snapshot};
use serde::{Deserialize, Serialize};
use template::{Target, Template};

/// Where the snapshots are, by their names.
pub(crate) const SNAPSHOT: &str = "snapshot";
/// Where the steps are that have led to each.
pub(crate) const LINEAGE: &str = "lineage";

/// What is kept of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    #[serde(flatten)]
    pub(crate) state: SavedState,
    /// Bytes in the files of its root: a plan need not read all of it to tell. None in records of versions that did
    /// not keep it.
    #[serde(default)]
    files: Option<u64>,
}

impl Session<'_> {
    /// What the steps of a template begin with: its input snapshot, else nothing.
    pub(crate) fn beginning(
        &self,
        group: &str,
        template: &Template,
        context: &Context<'_>,
    ) -> Result<Beginning, BuildError> {
        if let Some(Wanted::Snapshot(key)) = wanted_snapshot(template, group) {
            let read = |namespace| self.store.record_get(namespace, key.as_bytes()).map_err(cache("read"));
            if let Some(Snapshot { state, files }) =
                read(SNAPSHOT)?.and_then(|bytes| serde_json::from_slice(&bytes).ok())
            {
                // A plan has no use for it, and along a chain of snapshots each is as long as all before it.
                let lineage = if context.dry { None } else { read(LINEAGE)? };
                let lineage = lineage.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let files = files.or_else(|| engine::bytes_of(&state, context));
                return Ok(Beginning { saved: state, files, lineage: lineage.unwrap_or_default() });
            }
        }
        let saved = ImageState::empty().save(context.store).map_err(cache("write"))?;
        Ok(Beginning { saved, files: Some(0), lineage: Lineage::new() })
    }

    pub(crate) fn keep_snapshot(
        &self,
        group: &str,
        template: &Template,
        ran: &Ran,
        context: &Context<'_>,
    ) -> Result<(), BuildError> {
        let Target::Dataset(dataset) = &template.target else { return Ok(()) };
        let Some(snapshot) = &dataset.output_snapshot else { return Ok(()) };
        let key = snapshot_name(group, &dataset.name, snapshot);
        let lineage = serde_json::to_vec(&ran.lineage).expect("hashes and names are JSON");
        let files = ran.files.or_else(|| engine::bytes_of(&ran.saved, context));
        let snapshot = Snapshot { state: ran.saved.clone(), files };
        let saved = serde_json::to_vec(&snapshot).expect("hashes, names and numbers are JSON");
        for (namespace, value) in [(LINEAGE, lineage), (SNAPSHOT, saved)] {
            self.store.record_put(namespace, key.as_bytes(), &value).map_err(cache("write"))?;
        }
        Ok(())
    }
}
