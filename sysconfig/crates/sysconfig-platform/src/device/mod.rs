//! Disks, partitions and files that are to be used as a whole: which they are, how large, and whether they hold anything.
//!
//! A device is known by its name without what the system adds to it, and by the guid that ZFS has written on it.
//! Nothing here writes.

mod content;
mod identity;
mod label;

pub use content::Finding;
pub use identity::{Names, is_kernel_name, names};
pub use label::{Label, LabelState};

use crate::mount_table::{self, Mount};
use crate::{Host, Invocation, System};
use content::{Ends, REGION};
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
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
    /// Tells whether what was read has changed.
    pub fingerprint: String,
    /// What uses it, as far as the system tells.
    pub used: Option<String>,
}

impl Content {
    /// Whether it holds something of a known kind. What is unknown, or text, may be what a swap area has left.
    #[must_use]
    pub fn is_recognised(&self) -> bool {
        self.label.is_some() || self.findings.iter().any(|found| !content::VAGUE.contains(&found.what.as_str()))
    }

    /// What it holds, for people; `None` when it is blank.
    #[must_use]
    pub fn description(&self) -> Option<String> {
        if let Some(label) = &self.label {
            return Some(label.to_string());
        }
        let finding = |finding: &Finding| format!("{} (at byte {})", finding.what, finding.at);
        let all: Vec<_> = self.findings.iter().map(finding).collect();
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
    let names = names(host, path);
    let presence = match read(host, path) {
        Ok(Some(content)) => Presence::Read(content),
        Ok(None) => Presence::Absent,
        Err(error) => Presence::Unreadable(error.to_string()),
    };
    Device { path: path.to_owned(), names, presence }
}

/// The guid that ZFS has written on a member of a pool, where its label can be read.
#[must_use]
pub fn member_label(host: &Host, path: &str) -> Option<Label> {
    let (mut file, bytes) = open_first(host, &identity::label_places(host, path)).ok()??;
    label::read(&mut file, bytes).ok().flatten()
}

/// The size of a member of a pool in bytes, where it can be told.
#[must_use]
pub fn member_bytes(host: &Host, path: &str) -> Option<u64> {
    open_first(host, &identity::places(host, path)).ok()?.map(|(_, bytes)| bytes)
}

fn read(host: &Host, path: &str) -> io::Result<Option<Content>> {
    let Some((mut file, bytes)) = open_first(host, &identity::places(host, path))? else { return Ok(None) };
    // What is below /dev is a device, also where a simulated one is a file.
    let is_file = file.metadata()?.is_file() && !path.starts_with("/dev/");
    let bytes = match bytes {
        0 if !is_file => size_by_listing(host, path).unwrap_or(0),
        bytes => bytes,
    };
    if bytes == 0 {
        return Err(io::Error::other("its size cannot be found out"));
    }
    let head = region(&mut file, 0, REGION.min(bytes))?;
    // Character devices of illumos are read in whole sectors only.
    let tail_at = bytes.saturating_sub(REGION) / 4096 * 4096;
    let tail = region(&mut file, tail_at, bytes - tail_at)?;
    let sample = |at: u64| Ok((at, region(&mut file, at, content::SAMPLE)?));
    let samples = content::sample_places(bytes).into_iter().map(sample).collect::<io::Result<Vec<_>>>()?;
    let ends = Ends { head: &head, tail: &tail, samples: &samples, bytes };
    Ok(Some(Content {
        bytes,
        is_file,
        label: member_label(host, path),
        findings: content::findings(ends),
        fingerprint: content::fingerprint(ends),
        used: used(host, path)?,
    }))
}

fn region(file: &mut File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Opens the first of some places that exists; answers its size, 0 where the system does not say.
fn open_first(host: &Host, places: &[String]) -> io::Result<Option<(File, u64)>> {
    let mut first_error = None;
    for place in places {
        let located = locate(host, place)?;
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

fn locate(host: &Host, path: &str) -> io::Result<PathBuf> {
    host.root.resolve(path).map(|resolved| host.root.locate(resolved)).map_err(io::Error::other)
}

/// What uses a device, by what the kernel says: on Linux whoever opens it exclusively, on illumos the mount table.
fn used(host: &Host, path: &str) -> io::Result<Option<String>> {
    match host.system {
        System::Linux => used_on_linux(&locate(host, path)?),
        System::Illumos => used_on_illumos(host, path),
    }
}

fn used_on_linux(located: &Path) -> io::Result<Option<String>> {
    if !std::fs::metadata(located)?.file_type().is_block_device() {
        return Ok(None);
    }
    // On a block device, O_EXCL without O_CREAT fails while a file system, md, LVM or ZFS has it.
    let exclusive = i32::try_from(rustix_excl()).unwrap_or_default();
    match OpenOptions::new().read(true).custom_flags(exclusive).open(located) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(Some("it is in use".to_owned())),
        Err(error) => Err(error),
    }
}

/// `O_EXCL`.
fn rustix_excl() -> u32 {
    rustix::fs::OFlags::EXCL.bits()
}

fn used_on_illumos(host: &Host, path: &str) -> io::Result<Option<String>> {
    let own = names(host, path);
    let mounts = mount_table::mounts(host).map_err(io::Error::other)?;
    let is_ours =
        |mount: &&Mount| mount.device.starts_with("/dev/dsk/") && own.overlaps_disk(&names(host, &mount.device));
    Ok(mounts.iter().find(is_ours).map(|mount| format!("{} is mounted on {}", mount.device, mount.mount_point)))
}

/// The size of a whole disk by `diskinfo`, for drivers that do not tell it otherwise. Its fields: type, disk, vendor,
/// product, size, removable, solid-state.
fn size_by_listing(host: &Host, path: &str) -> Option<u64> {
    if host.system != System::Illumos {
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
