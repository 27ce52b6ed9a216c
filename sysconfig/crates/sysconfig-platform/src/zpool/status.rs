//! `zpool status`.

use super::layout::{Layout, Row};
use crate::Host;
use crate::StorageError;
use crate::zfs::invocation;
use serde::{Deserialize, Serialize};

/// How a pool is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// `ONLINE`, `DEGRADED`, `FAULTED`, `OFFLINE`, `REMOVED`, `UNAVAIL`, `SUSPENDED`.
    pub state: String,
    /// What is wrong, in the system's words; empty when nothing is.
    pub status: String,
    /// What the last or present scrub or resilver is about.
    pub scan: String,
    /// Its vdevs.
    pub layout: Layout,
}

impl PoolStatus {
    /// Whether it can be worked with: one that is suspended keeps everybody waiting who asks what is in it. illumos shows such a one as
    /// its devices are.
    #[must_use]
    pub fn answers(&self) -> bool {
        matches!(self.state.as_str(), "ONLINE" | "DEGRADED") && !self.status.contains("in response to IO failures")
    }

    /// Whether data is being copied onto a new or returned member.
    #[must_use]
    pub fn is_resilvering(&self) -> bool {
        self.scan.starts_with("resilver") && self.scan.contains(" in progress")
    }
}

/// The state of every pool that is imported.
///
/// # Errors
/// [`StorageError`].
pub fn statuses(host: &Host) -> Result<Vec<PoolStatus>, StorageError> {
    let operation = "look at the pools";
    let invocation = invocation(host, "zpool", ["status", "-P"]);
    let output = host.run(&invocation).map_err(StorageError::command(operation))?.stdout;
    parse_status(operation, &output)
}

/// Reads `zpool status -P` of any number of pools.
///
/// # Errors
/// [`StorageError::Answer`] when a pool has no configuration.
pub fn parse_status(operation: &str, output: &str) -> Result<Vec<PoolStatus>, StorageError> {
    let blocks = blocks(output);
    let status = |block: Block| {
        if block.rows.is_empty() {
            return Err(StorageError::answer(operation, format!("pool: {}", block.field("pool"))));
        }
        let scan = if block.field("scan").is_empty() { "scrub" } else { "scan" };
        Ok(PoolStatus {
            name: block.field("pool").to_owned(),
            state: block.field("state").to_owned(),
            status: block.field("status").to_owned(),
            scan: block.field(scan).to_owned(),
            layout: Layout::assemble(block.rows),
        })
    };
    blocks.into_iter().map(status).collect()
}

/// The words about one pool, of `zpool status` and of `zpool import`.
#[derive(Default)]
pub(super) struct Block {
    fields: Vec<(String, String)>,
    pub(super) rows: Vec<Row>,
}

impl Block {
    pub(super) fn field(&self, key: &str) -> &str {
        self.fields.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }
}

/// Cuts an output at its `pool:` lines. A line of `key: value` begins a field, one that starts with a tab goes on with it,
/// and those behind `config:` are the configuration.
pub(super) fn blocks(output: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut in_config = false;
    let mut name_width = None;
    for line in output.lines() {
        let field = (!line.starts_with('\t')).then(|| line.split_once(':')).flatten();
        if let Some((key, value)) = field.filter(|(key, _)| is_key(key)) {
            if key.trim() == "pool" {
                blocks.push(Block::default());
                name_width = None;
            }
            in_config = key.trim() == "config";
            if let Some(block) = blocks.last_mut() {
                block.fields.push((key.trim().to_owned(), value.trim().to_owned()));
            }
            continue;
        }
        let (Some(block), Some(text)) = (blocks.last_mut(), line.strip_prefix('\t')) else { continue };
        if !in_config {
            if let Some((_, value)) = block.fields.last_mut() {
                *value = format!("{value} {}", text.trim()).trim().to_owned();
            }
        } else if block.rows.is_empty() && text.starts_with("NAME") {
            name_width = text.find("STATE");
        } else {
            block.rows.extend(Row::parse(text, name_width));
        }
    }
    blocks
}

fn is_key(key: &str) -> bool {
    let known = [
        "pool",
        "id",
        "state",
        "status",
        "action",
        "see",
        "scan",
        "scrub",
        "config",
        "errors",
        "comment",
        "remove",
        "checkpoint",
    ];
    known.contains(&key.trim())
}
