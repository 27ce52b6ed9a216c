//! What the plugin remembers of its own doing.
//!
//! Whose a dataset is tells a property of the dataset itself; whose a mount or a row is, nothing does. The record is
//! written before the machine is changed, so it may name what was never made, and never misses what was; a mount counts
//! as ours only when it is what the record says.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::boot_table::BootRow;
use sysconfig_platform::mount_table::Mount;
use sysconfig_platform::mounting::MountRequest;
use sysconfig_platform::{FileError, Host, files};
use sysconfig_plugin::record;

const DIRECTORY: &str = "/var/lib/sysconfig";
pub(crate) const PATH: &str = "/var/lib/sysconfig/filesystem.json";

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Record {
    /// Mounts of ours, by mount point.
    pub(crate) mounts: BTreeMap<String, OurMount>,
    /// Mount points whose row in the boot table is ours.
    pub(crate) rows: BTreeSet<String>,
    /// What those rows mount; while one is changed, before and afterwards. Early versions have not written it down.
    pub(crate) row_of: BTreeMap<String, Vec<Mounted>>,
    /// Datasets that are being mounted, and so may not be shared yet: whoever looks cannot tell.
    pub(crate) unshared: BTreeSet<String>,
    /// Whether a dataset was ever made or taken over.
    pub(crate) datasets: bool,
    /// Whether what the disk has cannot be read.
    #[serde(skip)]
    pub(crate) is_damaged: bool,
}

/// What a row of the boot table mounts. Its options may drift, and are put right; with another device it is another row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mounted {
    device: String,
    fstype: String,
}

impl Mounted {
    fn by(row: &BootRow) -> Self {
        Self { device: row.device.clone(), fstype: row.fstype.clone() }
    }

    fn of(mount: &Mount) -> Self {
        Self { device: mount.device.clone(), fstype: mount.fstype.clone() }
    }
}

/// A mount of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct OurMount {
    /// As it was mounted last.
    pub(crate) request: MountRequest,
    /// The topmost of the directories that were made for it.
    pub(crate) made_directory: Option<String>,
    /// Whether it hides something.
    #[serde(default)]
    pub(crate) covers: bool,
    /// What has come of it; not known from the moment before it is mounted until it is.
    #[serde(default)]
    pub(crate) seen: Option<Seen>,
}

/// A mount as the table has shown it when it was mounted, or when its options were changed. The kernel and servers have words and
/// values of their own for what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Seen {
    /// Which mount that was; one in the same place after the next boot is another one.
    instance: String,
    options: Vec<String>,
    /// Linux: which directory of it is seen.
    #[serde(default)]
    directory: Option<String>,
    /// Linux: of which file system, because numbers are given out again.
    #[serde(default)]
    file_system: Option<Mounted>,
}

impl OurMount {
    /// Whether it is a bind mount of the very directory that was shown there in this boot, whatever its source is by now.
    pub(crate) fn shows(&self, mount: &Mount, boot: &str) -> bool {
        let is_directory = |seen: &Seen| {
            seen.directory.is_some()
                && seen.file_system == Some(Mounted::of(mount))
                && seen.directory.as_ref() == mount.place.as_ref().map(|(_, directory)| directory)
                && seen.options_of(mount, boot).is_some()
        };
        self.request.fstype == "bind" && self.seen.as_ref().is_some_and(is_directory)
    }
}

/// Where Linux tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Which boot this is; nothing where the system does not tell.
pub(crate) fn boot(host: &Host) -> String {
    files::read_text(&host.root, BOOT_ID).ok().flatten().unwrap_or_default().trim().to_owned()
}

impl Seen {
    /// What is seen of a mount in this boot.
    pub(crate) fn of(mount: &Mount, boot: &str) -> Self {
        let directory = mount.place.as_ref().map(|(_, directory)| directory.clone());
        let file_system = directory.is_some().then(|| Mounted::of(mount));
        Self { instance: Self::instance(mount, boot), options: mount.options.clone(), directory, file_system }
    }

    /// Linux numbers what it mounts, and illumos shows the number among the options.
    fn instance(mount: &Mount, boot: &str) -> String {
        let number = mount.place.as_ref().map(|(number, _)| number.as_str());
        let number = number.or_else(|| mount.options.iter().find_map(|option| option.strip_prefix("dev=")));
        format!("{boot} {}", number.unwrap_or_default())
    }

    /// The options, when it is the same mount still.
    pub(crate) fn options_of(&self, mount: &Mount, boot: &str) -> Option<&[String]> {
        (self.instance == Self::instance(mount, boot)).then_some(&self.options)
    }
}

impl Record {
    /// Reads the record; an empty one when there is none, or it is damaged, in which case nothing is ours.
    pub(crate) fn load(host: &Host) -> Result<Self, FileError> {
        let Some(content) = files::read(&host.root, PATH)? else { return Ok(Self::default()) };
        Ok(record::read(&content).unwrap_or_else(|| Self { is_damaged: true, ..Self::default() }))
    }

    /// Whether a row of the boot table is one of ours, and not what somebody has put in its place.
    pub(crate) fn has_row(&self, point: &str, row: &BootRow) -> bool {
        self.rows.contains(point) && self.row_of.get(point).is_none_or(|all| all.contains(&Mounted::by(row)))
    }

    /// Notes the rows that may be there about a mount point from now on; none when there is none of ours.
    pub(crate) fn set_rows(&mut self, point: &str, rows: &[&BootRow]) {
        if rows.is_empty() {
            self.rows.remove(point);
            self.row_of.remove(point);
        } else {
            self.rows.insert(point.to_owned());
            self.row_of.insert(point.to_owned(), rows.iter().map(|row| Mounted::by(row)).collect());
        }
    }

    /// Changes the record on the disk; a damaged one is kept beside it.
    pub(crate) fn update(host: &Host, change: impl FnOnce(&mut Self)) -> Result<(), FileError> {
        let mut record = Self::load(host)?;
        let before = record.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        files::make_directory(&host.root, DIRECTORY)?;
        if before.is_damaged {
            let content = files::read(&host.root, PATH)?.unwrap_or_default();
            files::replace(&host.root, format!("{PATH}.damaged"), &content)?;
        }
        let content = record::write(&record);
        files::replace(&host.root, PATH, &content).map(drop)
    }
}
