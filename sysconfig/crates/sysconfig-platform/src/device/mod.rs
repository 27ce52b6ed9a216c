//! Disks, partitions and files that are to be used as a whole: which they are, how large, and whether they hold anything.
//!
//! A device is known by its name without what the system adds to it, and by the guid that ZFS has written on it.
//! Nothing here writes.

mod content;
mod devid;
mod identity;
mod label;
mod looks;
mod lun;
mod maps;
mod part;
mod table;
mod usage;

pub use content::Finding;
pub use identity::{Names, is_kernel_name, names};
pub use label::{Label, LabelState};
pub use looks::Looks;
pub use lun::Lun;
pub use part::Part;
#[cfg(any(test, feature = "fake"))]
pub(crate) use table::zfs_table;

use crate::{Host, Invocation, System};
use content::{Ends, REGION};
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// A device as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its path as it is configured.
    pub path: String,
    /// What else it is called.
    pub names: Names,
    /// What is there.
    pub presence: Presence,
}

/// What there is to say about a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// There is no such device.
    Absent,
    /// It is there, but cannot be looked at, so nothing is known.
    Unreadable(String),
    /// It was read.
    Read(Content),
}

/// What a device is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// The label of ZFS on it, or on the partition that ZFS makes on a whole disk.
    pub label: Option<Label>,
    /// What it holds; nothing when its ends, and samples between them, are all zeros.
    pub findings: Vec<Finding>,
    /// What its partitions and slices hold, where it has a table; those that are blank are left out.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Whether there is nothing on it but the table that ZFS puts on a whole disk before it makes a vdev of it.
    #[serde(default)]
    pub is_prepared: bool,
    /// Tells whether what was read has changed.
    pub fingerprint: String,
    /// What uses it, as far as the system tells.
    pub used: Option<String>,
}

impl Content {
    /// What is of a known kind, beside the label. What is unknown, or text, may be what a swap area has left.
    pub fn recognised(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|found| !content::VAGUE.contains(&found.what.as_str()))
    }

    /// What it holds, for people; `None` when it is blank. A label stands for the table and the bytes around it.
    #[must_use]
    pub fn description(&self) -> Option<String> {
        let label = self.label.as_ref();
        let found = content::words(&self.findings, label.is_some());
        let parts = self.parts.iter().filter_map(|part| part.description(label));
        let all: Vec<_> = label.map(ToString::to_string).into_iter().chain(found).chain(parts).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl Device {
    /// The label on it, if it was read and has one.
    #[must_use]
    pub fn label(&self) -> Option<&Label> {
        self.content()?.label.as_ref()
    }

    /// What it is like, if it was read.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match &self.presence {
            Presence::Read(content) => Some(content),
            Presence::Absent | Presence::Unreadable(_) => None,
        }
    }
}

/// Looks at a device.
#[must_use]
pub fn look(host: &Host, path: &str) -> Device {
    Looks::new(host).look(path)
}

/// What uses a disk by another path than this one, which the kernel does not know: whoever mounted it by both would destroy what
/// is on it.
///
/// # Errors
/// When another path cannot be asked about.
pub fn used_by_other_path(host: &Host, path: &str) -> io::Result<Option<String>> {
    match host.system() {
        System::Linux => usage::used_by_other_path(host, &names(host, path)),
        System::Illumos => usage::used_by_other_path_of_illumos(&Looks::new(host), path),
    }
}

/// The label that ZFS has written at this very path, and not on a part of it.
#[must_use]
pub fn label_at(host: &Host, path: &str) -> Option<Label> {
    let looks = Looks::new(host);
    let (mut file, bytes) = looks.open_first(&identity::places(host, path)).ok()??;
    label::read(&mut file, bytes).ok().flatten()
}

impl Looks<'_> {
    /// Looks at a device.
    #[must_use]
    pub fn look(&self, path: &str) -> Device {
        let presence = match self.read(path) {
            Ok(Some(content)) => Presence::Read(content),
            Ok(None) => Presence::Absent,
            Err(error) => Presence::Unreadable(error.to_string()),
        };
        Device { path: path.to_owned(), names: self.names(path), presence }
    }

    /// The names of the device at a path.
    #[must_use]
    pub fn names(&self, path: &str) -> Names {
        identity::found(self, path)
    }

    /// The label that ZFS has written on a member of a pool, where it can be read.
    #[must_use]
    pub fn member_label(&self, path: &str) -> Option<Label> {
        let first = self.open_first(&identity::label_places(self, path)).ok()?;
        let first = first.and_then(|(mut file, bytes)| label::read(&mut file, bytes).ok().flatten());
        first.or_else(|| self.boot_disk_label(path))
    }

    /// The label on a whole disk that illumos boots from: there the first slice is the EFI system partition, and data is in the
    /// second one (`zpool create -B` in zpool(8)).
    fn boot_disk_label(&self, path: &str) -> Option<Label> {
        let names = self.names(path);
        let is_whole = names.any_disk.as_ref() == Some(&names.own);
        if self.host.system() != System::Illumos || !is_whole || !path.starts_with("/dev/") {
            return None;
        }
        let (mut file, bytes) = self.open_first(&[format!("/dev/rdsk/{}s1", names.own)]).ok()??;
        label::read_of_whole_disk(&mut file, bytes).ok().flatten()
    }

    /// The size of a member of a pool in bytes, where it can be told.
    #[must_use]
    pub fn member_bytes(&self, path: &str) -> Option<u64> {
        self.open_first(&identity::places(self.host, path)).ok()?.map(|(_, bytes)| bytes)
    }

    fn read(&self, path: &str) -> io::Result<Option<Content>> {
        let Some((mut file, bytes)) = self.open_first(&identity::places(self.host, path))? else { return Ok(None) };
        // What is below /dev is a device, also where a simulated one is a file.
        let is_file = file.metadata()?.is_file() && !path.starts_with("/dev/");
        let bytes = match bytes {
            0 if !is_file => size_by_listing(self.host, path).unwrap_or(0),
            bytes => bytes,
        };
        if bytes == 0 {
            return Err(io::Error::other("its size cannot be found out"));
        }
        let whole = read_at(&mut file, 0, bytes)?;
        let findings = whole.findings();
        let parts = part::look(self, path, &mut file, &whole, &findings)?;
        let is_table = |finding: &Finding| finding.what.ends_with("GUID partition table");
        let label = self.member_label(path);
        Ok(Some(Content {
            bytes,
            is_file,
            is_prepared: parts.is_of_zfs
                && parts.held.is_empty()
                && label.is_none()
                && findings.iter().all(is_table)
                && whole.samples.iter().all(|(_, sample)| sample.iter().all(|byte| *byte == 0)),
            label,
            findings,
            fingerprint: parts.fingerprints.iter().fold(whole.fingerprint(), |all, part| content::join(&all, part)),
            parts: parts.held,
            used: usage::used(self, path)?,
        }))
    }

    /// Opens the first of some places that exists; answers its size, 0 where the system does not say.
    fn open_first(&self, places: &[String]) -> io::Result<Option<(File, u64)>> {
        let mut first_error = None;
        for place in places {
            let located = locate(self, place)?;
            match open_device(&located) {
                Ok(mut file) => {
                    let bytes = file.seek(SeekFrom::End(0)).unwrap_or(0);
                    return Ok(Some((file, bytes)));
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(None), Err)
    }
}

/// What was read of a device, or of a part of one.
struct Read {
    head: Vec<u8>,
    tail: Vec<u8>,
    samples: Vec<(u64, Vec<u8>)>,
    bytes: u64,
}

impl Read {
    fn ends(&self) -> Ends<'_> {
        Ends { head: &self.head, tail: &self.tail, samples: &self.samples, bytes: self.bytes }
    }

    fn findings(&self) -> Vec<Finding> {
        content::findings(self.ends())
    }

    fn fingerprint(&self) -> String {
        content::fingerprint(self.ends())
    }
}

/// Reads the ends of `bytes` bytes from `at` on, and samples between them.
fn read_at(file: &mut File, at: u64, bytes: u64) -> io::Result<Read> {
    let head = region(file, at, REGION.min(bytes))?;
    // Character devices of illumos are read in whole sectors only.
    let tail_at = bytes.saturating_sub(REGION) / 4096 * 4096;
    let tail = region(file, at + tail_at, bytes - tail_at)?;
    let sample = |place: u64| Ok((place, region(file, at + place, content::SAMPLE)?));
    let samples = content::sample_places(bytes).into_iter().map(sample).collect::<io::Result<Vec<_>>>()?;
    Ok(Read { head, tail, samples, bytes })
}

fn region(file: &mut File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What is neither a file nor a device is refused before it is opened: a FIFO would block, and a tape would rewind.
fn open_device(path: &Path) -> io::Result<File> {
    let is_device = |metadata: &Metadata| {
        let kind = metadata.file_type();
        kind.is_file() || kind.is_block_device() || kind.is_char_device()
    };
    if !is_device(&std::fs::metadata(path)?) {
        return Err(io::Error::other("it is neither a disk nor a file"));
    }
    File::open(path)
}

/// illumos says ENXIO for the node of a disk that is gone.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(6)
}

fn locate(looks: &Looks<'_>, path: &str) -> io::Result<PathBuf> {
    if !path.starts_with("/dev/") {
        // A file may lie where whoever looks waits for a server.
        looks.places()?.check(path).map_err(io::Error::other)?;
    }
    let host = looks.host;
    host.root.resolve(path).map(|resolved| host.root.locate(resolved)).map_err(io::Error::other)
}

/// The size of a whole disk by `diskinfo`, for drivers that do not tell it otherwise. Its fields: type, disk, vendor,
/// product, size, removable, solid-state.
fn size_by_listing(host: &Host, path: &str) -> Option<u64> {
    if host.system() != System::Illumos {
        return None;
    }
    let completed = host.run(&Invocation::new("/usr/sbin/diskinfo", ["-pH"])).ok()?;
    let disk = path.rsplit('/').next()?;
    let row = completed
        .stdout
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .find(|row| row.get(1) == Some(&disk))?;
    row.get(4)?.parse().ok()
}
