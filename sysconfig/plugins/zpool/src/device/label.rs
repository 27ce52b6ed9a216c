//! The label of ZFS on a device: which pool it belongs to, and as what.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io;
use zfs_format::label::{LABEL_BYTES, decode_config, label_offsets};
use zfs_format::nvlist::NvList;

/// What a label says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The pool's name when it was written; empty on spares and cache devices.
    pub pool: String,
    /// The pool; 0 on spares and cache devices.
    pub pool_guid: u64,
    /// The device itself.
    pub guid: u64,
    /// What the device is for, or how it was left.
    pub state: LabelState,
}

/// `pool_state_t` in `sys/fs/zfs.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelState {
    /// Imported, or was when its machine ended.
    Active,
    /// Let go of.
    Exported,
    /// Destroyed; its data may still be there.
    Destroyed,
    /// A hot spare.
    Spare,
    /// A cache.
    Cache,
    /// One that is not known.
    Other,
}

impl LabelState {
    fn of(number: u64) -> Self {
        match number {
            0 => Self::Active,
            1 => Self::Exported,
            2 => Self::Destroyed,
            3 => Self::Spare,
            4 => Self::Cache,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, pool_guid, .. } = self;
        match self.state {
            LabelState::Active | LabelState::Other => write!(f, "a member of the pool {pool} ({pool_guid})"),
            LabelState::Exported => write!(f, "a member of the exported pool {pool} ({pool_guid})"),
            LabelState::Destroyed => write!(f, "a member of the destroyed pool {pool} ({pool_guid})"),
            LabelState::Spare => f.write_str("a hot spare of a pool"),
            LabelState::Cache => f.write_str("a cache device of a pool"),
        }
    }
}

/// Where in a label the configuration begins, in bytes.
const CONFIG_AT: usize = 16 << 10;

/// Reads the label of the latest transaction group among the four; `None` when none is whole.
pub(super) fn read(file: &mut File, bytes: u64) -> io::Result<Option<Label>> {
    // Below this a device has no room for four labels.
    if bytes < 4 * LABEL_BYTES {
        return Ok(None);
    }
    let mut best: Option<(u64, Label)> = None;
    for offset in label_offsets(bytes) {
        let raw = super::region(file, offset, LABEL_BYTES)?;
        // A list begins with how it is encoded; on a blank device there is nothing to sum.
        if raw[CONFIG_AT..CONFIG_AT + 4] == [0; 4] {
            continue;
        }
        let Ok(config) = decode_config(&raw, offset) else { continue };
        let txg = config.u64("txg").unwrap_or(0);
        if best.as_ref().is_none_or(|(known, _)| txg > *known) {
            best = Some((txg, of_config(&config)));
        }
    }
    Ok(best.map(|(_, label)| label))
}

fn of_config(config: &NvList) -> Label {
    Label {
        pool: config.string("name").unwrap_or_default().to_owned(),
        pool_guid: config.u64("pool_guid").unwrap_or(0),
        guid: config.u64("guid").unwrap_or(0),
        state: LabelState::of(config.u64("state").unwrap_or(u64::MAX)),
    }
}
