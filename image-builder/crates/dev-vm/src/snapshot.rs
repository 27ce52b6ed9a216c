//! `snapshot` and `restore`: states of a stopped machine's disk, kept under a name.
//!
//! A machine with a 9P share cannot be saved while it runs: QEMU blocks that as
//! long as the share is mounted. So a snapshot is of the disk and the
//! firmware's variables of a stopped machine.
//!
//! Taking one renames nothing and copies nothing: the overlay gets a second
//! name, `snapshot-NAME.qcow2`, and the machine goes on with a new, empty
//! overlay on top. That second name is the moment at which the snapshot exists;
//! when we are killed right after it, the overlay and the snapshot are one
//! file, which is noticed and ended before anybody writes to it.

use crate::Vm;
use crate::config::{Config, FORMAT};
use crate::error::{LaunchError, StateError};
use crate::files::{self, remove_file, write_file};
use crate::firmware::Firmware;
use crate::image::ImageIdentity;
use crate::name::VmName;
use crate::overlay;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = "snapshot-";
const DISK: &str = ".qcow2";

/// What is kept beside a snapshot's disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    image: ImageIdentity,
    firmware: Option<Firmware>,
}

/// One snapshot, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotInfo {
    /// Its name.
    pub name: String,
    /// The snapshot that it was taken on top of.
    pub parent: Option<String>,
    /// What it takes on the host's disk, in bytes.
    pub bytes: u64,
    /// Why it cannot be restored any more.
    pub image_changed: Option<String>,
}

impl Vm {
    /// Keeps the present state of the disk under `name`; the machine has to be stopped.
    ///
    /// # Errors
    /// [`StateError::Running`], [`StateError::SnapshotExists`], and what file operations give.
    pub fn snapshot(&self, name: &VmName) -> Result<(), LaunchError> {
        self.directory.require()?;
        let _stopped = self.lock_stopped()?.ok_or_else(|| self.running("a snapshot"))?;
        self.finish_interrupted_snapshot()?;
        let path = self.snapshot_path(name, DISK);
        if path.exists() {
            return Err(StateError::SnapshotExists { name: name.clone() }.into());
        }
        let config = self.config()?;
        let overlay = self.directory.overlay();
        let Some(image) = config.overlay_of.filter(|_| overlay.exists()) else {
            return Err(StateError::io("find", &overlay, std::io::ErrorKind::NotFound.into()).into());
        };
        let record = Record { format: FORMAT, image, firmware: config.firmware };
        self.copy_if_there(&self.directory.firmware_variables(), &self.snapshot_path(name, ".fd"))?;
        files::store(&self.snapshot_path(name, ".json"), &record)?;
        fs::hard_link(&overlay, &path).map_err(|error| StateError::io("create", &path, error))?;
        self.finish_interrupted_snapshot()
    }

    /// Puts the disk back to a snapshot; what was written since is lost. The machine has to be stopped.
    ///
    /// # Errors
    /// [`StateError::Running`], [`StateError::NoSnapshot`], [`crate::image::ImageError::Changed`],
    /// and what file operations give.
    pub fn restore(&self, name: &VmName) -> Result<(), LaunchError> {
        self.directory.require()?;
        let _stopped = self.lock_stopped()?.ok_or_else(|| self.running("restoring"))?;
        self.finish_interrupted_snapshot()?;
        let record = self.snapshot_record(name)?;
        let now = ImageIdentity::of(&record.image.path)?;
        if let Some(change) = record.image.change_to(&now) {
            return Err(StateError::SnapshotStale { name: name.clone(), change }.into());
        }
        let mut config = self.config()?;
        self.copy_if_there(&self.snapshot_path(name, ".fd"), &self.directory.firmware_variables())?;
        overlay::create_on_snapshot(&self.directory, &file_name(name.as_str()))?;
        config.image.clone_from(&record.image.path);
        config.overlay_of = Some(record.image);
        config.firmware = record.firmware;
        // The guest had other host keys before its first boot had ended.
        remove_file(&self.directory.known_hosts())?;
        Ok(config.store(&self.directory)?)
    }

    /// Removes a snapshot that nothing builds on.
    ///
    /// # Errors
    /// [`StateError::NoSnapshot`], [`StateError::SnapshotNeeded`], and what file operations give.
    pub fn delete_snapshot(&self, name: &VmName) -> Result<(), LaunchError> {
        self.directory.require()?;
        let _operation = self.lock_operation()?;
        let path = self.existing_snapshot(name)?;
        let mut needed_by = Vec::new();
        let overlay = self.directory.overlay();
        let builds_on = |disk: &Path| {
            let below = overlay::backing_snapshot(disk)?;
            Ok::<_, LaunchError>(below == Some(file_name(name.as_str())))
        };
        if overlay.exists() && (builds_on(&overlay)? || same_file(&overlay, &path)) {
            needed_by.push("the machine's disk".to_owned());
        }
        for other in self.snapshot_names()? {
            if builds_on(&self.directory.path().join(file_name(&other)))? {
                needed_by.push(format!("the snapshot `{other}`"));
            }
        }
        if !needed_by.is_empty() {
            let name = name.clone();
            return Err(StateError::SnapshotNeeded { name, needed_by }.into());
        }
        for ending in [DISK, ".fd", ".json"] {
            remove_file(&self.snapshot_path(name, ending))?;
        }
        Ok(())
    }

    /// All snapshots by name.
    ///
    /// # Errors
    /// [`StateError::NoVm`], and what file operations give.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>, LaunchError> {
        self.directory.require()?;
        let mut snapshots = Vec::new();
        for name in self.snapshot_names()? {
            let path = self.directory.path().join(file_name(&name));
            let metadata = fs::metadata(&path).map_err(|e| StateError::io("read", &path, e))?;
            let parent = overlay::backing_snapshot(&path)?;
            let record: Option<Record> = files::load(&path.with_extension("json"))?;
            let image_changed = match record.map(|record| (ImageIdentity::of(&record.image.path), record)) {
                Some((Ok(now), record)) => record.image.change_to(&now),
                Some((Err(error), _)) => Some(error.to_string()),
                None => Some("what it was taken of is not known".to_owned()),
            };
            snapshots.push(SnapshotInfo {
                name,
                parent: parent.as_deref().and_then(name_of).map(str::to_owned),
                bytes: metadata.blocks() * 512,
                image_changed,
            });
        }
        Ok(snapshots)
    }

    /// The names of the snapshots, sorted.
    pub(crate) fn snapshot_names(&self) -> Result<Vec<String>, StateError> {
        let path = self.directory.path();
        let entries = fs::read_dir(path).map_err(|error| StateError::io("read", path, error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| StateError::io("read", path, error))?;
            let name = entry.file_name();
            names.extend(name.to_str().and_then(name_of).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Gives the machine an overlay of its own when it shares one with a snapshot.
    pub(crate) fn finish_interrupted_snapshot(&self) -> Result<(), LaunchError> {
        let overlay = self.directory.overlay();
        for name in self.snapshot_names()? {
            let file = file_name(&name);
            if same_file(&overlay, &self.directory.path().join(&file)) {
                overlay::create_on_snapshot(&self.directory, &file)?;
            }
        }
        Ok(())
    }

    fn snapshot_record(&self, name: &VmName) -> Result<Record, StateError> {
        self.existing_snapshot(name)?;
        let path = self.snapshot_path(name, ".json");
        let missing = || StateError::io("read", &path, std::io::ErrorKind::NotFound.into());
        files::load(&path)?.ok_or_else(missing)
    }

    fn existing_snapshot(&self, name: &VmName) -> Result<PathBuf, StateError> {
        let path = self.snapshot_path(name, DISK);
        if path.exists() {
            return Ok(path);
        }
        Err(StateError::NoSnapshot { name: name.clone(), known: self.snapshot_names()? })
    }

    fn snapshot_path(&self, name: &VmName, ending: &str) -> PathBuf {
        self.directory.path().join(format!("{PREFIX}{name}{ending}"))
    }

    fn copy_if_there(&self, from: &Path, to: &Path) -> Result<(), StateError> {
        match fs::read(from) {
            Ok(bytes) => write_file(to, &bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => remove_file(to),
            Err(error) => Err(StateError::io("read", from, error)),
        }
    }

    fn config(&self) -> Result<Config, StateError> {
        let path = self.directory.config();
        let missing = || StateError::io("read", &path, std::io::ErrorKind::NotFound.into());
        Config::load(&self.directory)?.ok_or_else(missing)
    }

    fn running(&self, what: &'static str) -> StateError {
        StateError::Running { name: self.directory.name().clone(), what }
    }
}

fn file_name(name: &str) -> String {
    format!("{PREFIX}{name}{DISK}")
}

fn name_of(file: &str) -> Option<&str> {
    let name = file.strip_prefix(PREFIX)?.strip_suffix(DISK)?;
    name.parse::<VmName>().is_ok().then_some(name)
}

fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|m: fs::Metadata| (m.dev(), m.ino())).ok();
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
