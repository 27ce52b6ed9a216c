//! What lies in the partitions and slices of a device.

use super::content::{self, Finding};
use super::label::{self, Label};
use super::table::{self, Entry};
use super::{Looks, Read, read_at};
use crate::System;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;

/// What a partition or slice holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is called: `partition 3`, `slice 0`.
    pub name: String,
    /// The label of ZFS in it.
    pub label: Option<Label>,
    /// What it holds.
    pub findings: Vec<Finding>,
}

/// The partitions of a device.
#[derive(Default)]
pub(super) struct Parts {
    /// Those that are not blank.
    pub(super) held: Vec<Part>,
    /// Whether the device has the table that ZFS puts on whole disks.
    pub(super) is_of_zfs: bool,
    /// Tells whether anything in them has changed.
    pub(super) fingerprints: Vec<String>,
}

/// illumos: how many slices a disk can have nodes of.
const SLICES: u32 = 16;
/// How many partitions of a table are looked into. Nobody has more, and each costs as much as a disk.
const MOST: usize = 32;
/// Of a table of slices, the one that is the whole disk by custom.
const WHOLE_SLICE: u32 = 2;

/// Looks into each partition, and on illumos into each slice, of what has a table.
pub(super) fn look(
    looks: &Looks<'_>,
    path: &str,
    file: &mut File,
    whole: &Read,
    findings: &[Finding],
) -> io::Result<Parts> {
    let system = looks.host.system();
    let is = |what: &str| findings.iter().any(|finding| finding.what.ends_with(what));
    let has_guids = is("GUID partition table");
    // A boot sector may have a table whatever else is known of the disk, as that of an image that is a disk and a disc.
    let entries = match has_guids {
        true => table::guid_entries(&whole.head, whole.bytes),
        false => table::boot_sector_entries(&whole.head, whole.bytes),
    };
    let mut parts = Parts { is_of_zfs: table::is_of_zfs(&whole.head, &entries), ..Parts::default() };
    for Entry { number, at, bytes, .. } in entries.iter().take(MOST) {
        let name = match system {
            System::Illumos if has_guids => format!("slice {}", number - 1),
            _ => format!("partition {number}"),
        };
        let read = read_at(file, *at, *bytes)?;
        parts.add(name, &read, label::read_at(file, *at, *bytes)?);
    }
    if let more @ 1.. = entries.len().saturating_sub(MOST) {
        let what = "what was not looked at".to_owned();
        let findings = vec![Finding { what, at: entries[MOST].at }];
        parts.held.push(Part { name: format!("{more} more partitions"), label: None, findings });
    }
    if system == System::Illumos && !has_guids && (!entries.is_empty() || is("boot sector") || is("disk label")) {
        slices(looks, path, &mut parts)?;
    }
    Ok(parts)
}

/// The slices of a disk without a GUID partition table lie where its own label says, so they are read through their nodes.
fn slices(looks: &Looks<'_>, path: &str, parts: &mut Parts) -> io::Result<()> {
    let names = looks.names(path);
    if !path.starts_with("/dev/") || names.any_disk.as_ref() != Some(&names.own) {
        return Ok(());
    }
    for number in (0..SLICES).filter(|number| *number != WHOLE_SLICE) {
        let node = format!("/dev/rdsk/{}s{number}", names.own);
        let Some((mut file, bytes)) = looks.open_first(&[node]).or_else(no_slice)? else { continue };
        if bytes > 0 {
            let read = read_at(&mut file, 0, bytes)?;
            parts.add(format!("slice {number}"), &read, label::read_at(&mut file, 0, bytes)?);
        }
    }
    Ok(())
}

/// illumos says EIO for the node of a slice that has no sectors.
fn no_slice(error: io::Error) -> io::Result<Option<(File, u64)>> {
    if error.raw_os_error() == Some(5) { Ok(None) } else { Err(error) }
}

impl Parts {
    fn add(&mut self, name: String, read: &Read, label: Option<Label>) {
        self.fingerprints.push(read.fingerprint());
        let findings = read.findings();
        if label.is_some() || !findings.is_empty() {
            self.held.push(Part { name, label, findings });
        }
    }
}

impl Part {
    /// Whether it is the first one, which a disk that is given to a pool as a whole has for its data.
    #[must_use]
    pub fn is_first(&self) -> bool {
        ["partition 1", "slice 0"].contains(&self.name.as_str())
    }

    /// What it holds, for people; nothing when that is only the label that is told of the whole.
    pub(super) fn description(&self, of_whole: Option<&Label>) -> Option<String> {
        let label = self.label.as_ref();
        let found = content::words(&self.findings, label.is_some());
        let label = label.filter(|label| Some(*label) != of_whole).map(ToString::to_string);
        let all: Vec<_> = label.into_iter().chain(found).collect();
        (!all.is_empty()).then(|| format!("in {} {}", self.name, all.join(", ")))
    }
}
