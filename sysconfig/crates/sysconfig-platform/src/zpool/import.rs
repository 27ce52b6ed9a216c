//! `zpool import` without a pool: what could be imported.

use super::layout::Layout;
use super::status::blocks;
use crate::Host;
use crate::StorageError;
use crate::zfs::invocation;
use serde::{Deserialize, Serialize};

/// A pool that is on the machine's disks and not imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Importable {
    /// Its name; several may have the same.
    pub name: String,
    /// What it really is known by.
    pub guid: u64,
    /// Its state when it would be imported.
    pub state: String,
    /// What is wrong, in the system's words; empty when nothing is.
    pub status: String,
    /// What the system says can be done.
    pub action: String,
    /// Its vdevs.
    pub layout: Layout,
}

impl Importable {
    /// Whether the system would import it only by force, because another machine may use it.
    #[must_use]
    pub fn needs_force(&self) -> bool {
        self.action.contains("'-f'")
            || self.action.contains("-f flag")
            || self.status.contains("last accessed by another system")
    }

    /// Whether another machine says that it is using it now (`multihost` in zpoolprops(7)), so that no force would help.
    #[must_use]
    pub fn is_imported_elsewhere(&self) -> bool {
        self.status.contains("currently imported by another system")
    }

    /// Whether it would work.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.state.as_str(), "ONLINE" | "DEGRADED")
    }
}

/// The pools that could be imported, from the usual places of devices, or from `directories`.
///
/// # Errors
/// [`StorageError`].
pub fn importable(host: &Host, directories: &[String]) -> Result<Vec<Importable>, StorageError> {
    let operation = "look for pools that can be imported";
    let present = those_present(host, directories);
    if present.is_empty() && !directories.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = vec!["import"];
    args.extend(present.iter().flat_map(|directory| ["-d", directory]));
    let invocation = invocation(host, "zpool", args);
    let completed = host.run_any(&invocation).map_err(StorageError::command(operation))?;
    // With nothing to import some versions answer 1; what counts is whether there are pools.
    if completed.code == 0 || completed.stderr.contains("no pools available") || completed.stderr.trim().is_empty() {
        return parse_importable(operation, &completed.stdout);
    }
    completed.success(&invocation).map_err(StorageError::command(operation)).map(|_| Vec::new())
}

/// Those directories that are there: `zpool import` looks into none when one is missing.
pub(super) fn those_present<'a>(host: &Host, directories: &'a [String]) -> Vec<&'a str> {
    let is_there = |directory: &&str| host.root.exists(directory).unwrap_or(true);
    directories.iter().map(String::as_str).filter(is_there).collect()
}

/// Reads `zpool import`.
///
/// # Errors
/// [`StorageError::Answer`] when a pool has no guid.
pub fn parse_importable(operation: &str, output: &str) -> Result<Vec<Importable>, StorageError> {
    let blocks = blocks(output).into_iter();
    let importable = |block: super::status::Block| {
        let guid = block
            .field("id")
            .parse()
            .map_err(|_| StorageError::answer(operation, format!("id: {}", block.field("id"))))?;
        Ok(Importable {
            name: block.field("pool").to_owned(),
            guid,
            // A destroyed pool is "ONLINE (DESTROYED)", and never asked for.
            state: block.field("state").to_owned(),
            status: block.field("status").to_owned(),
            action: block.field("action").to_owned(),
            layout: Layout::assemble(block.rows),
        })
    };
    blocks.map(importable).collect()
}
