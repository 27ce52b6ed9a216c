//! Writing a disk: a sparse file under another name, put in place when it is complete.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use write_behind::WriteBehind;

use crate::gpt::{Partition, SectorSize, Table};
use crate::layout::BOOT_CODE_BYTES;
use crate::{DiskLayout, Guid, LayoutError, Region, Volume, VolumeContext, VolumeError};

/// A disk that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskReport {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes that a machine sees.
    pub disk_bytes: u64,
    /// Bytes that the file occupies; the rest are holes.
    pub allocated_bytes: u64,
    /// The disk's identity.
    pub disk_guid: Guid,
    /// The partitions in the layout's order.
    pub partitions: Vec<PartitionReport>,
}

/// A partition that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// Its name.
    pub name: String,
    /// Its entry, from 0.
    pub slot: u32,
    /// Its own GUID.
    pub guid: Guid,
    /// Bytes from the beginning of the disk to its own.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes of content, as its volume counts them.
    pub content_bytes: u64,
}

/// A disk could not be written. Whatever was at the output before is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The layout is not possible.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The partition table could not be encoded.
    #[error("cannot encode the partition table")]
    Table(#[source] crate::gpt::GptError),
    /// An operation on the output file failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A partition could not be filled.
    #[error("cannot write partition `{name}` of {}", path.display())]
    Volume {
        /// The partition's name.
        name: String,
        /// The disk.
        path: PathBuf,
        /// Why.
        #[source]
        source: VolumeError,
    },
    /// The content of an image without partitions could not be written.
    #[error("cannot write {}", path.display())]
    Bare {
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        source: VolumeError,
    },
}

impl DiskError {
    /// What the user can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::File { source, path, .. } if is_full(source) => Some(full_help(path)),
            Self::Volume { source, path, .. } | Self::Bare { source, path } => {
                source.help().or_else(|| caused_by_full(source).then(|| full_help(path)))
            }
            Self::Layout(LayoutError::Measure { source, .. }) => source.help(),
            Self::Layout(LayoutError::PartitionTooSmall { needed, .. }) => {
                Some(format!("give it at least {} MiB, or the size `auto`", mib(*needed)))
            }
            Self::Layout(LayoutError::DiskTooSmall { needed, .. }) => {
                Some(format!("give the disk at least {} MiB", mib(*needed)))
            }
            _ => None,
        }
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

fn full_help(path: &Path) -> String {
    format!("make room: the file system that holds {}, or that of the scratch files, is full", path.display())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn caused_by_full(error: &VolumeError) -> bool {
    // `Other` is transparent: its source is the cause of what it holds, not what it holds.
    let mut cause: Option<&(dyn Error + 'static)> = match error {
        VolumeError::Other(inner) => Some(&**inner),
        _ => Some(error),
    };
    while let Some(error) = cause {
        let is_io = error.downcast_ref::<io::Error>().is_some_and(is_full);
        // Programs can only say it in words; they run with the C locale's.
        if is_io || error.to_string().contains("No space left on device") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Writes the disk to `output`, which appears, complete and on stable storage, by rename.
///
/// The file under construction is `output` with `.tmp` appended; what an earlier,
/// killed run left there is replaced. Only one writer may work on an output at a
/// time. `work` is a directory for scratch files; `stage` is told the name of
/// each partition before it is written.
///
/// # Errors
/// See [`DiskError`]; the file under construction is removed.
pub fn write_disk(
    mut layout: DiskLayout<'_>,
    output: &Path,
    work: &Path,
    stage: &mut dyn FnMut(&str),
) -> Result<DiskReport, DiskError> {
    let table = layout.place()?;
    let report = appearing(output, |partial| write_partial(&mut layout, &table, partial, work, stage))?;
    Ok(DiskReport { path: output.to_owned(), ..report })
}

/// Writes `content` alone, without any partition table, to a file of `bytes` bytes at `output`.
///
/// It appears as the file of [`write_disk`] does. Answers the bytes of content, as the volume counts them.
///
/// # Errors
/// See [`DiskError`]; the file under construction is removed.
pub fn write_bare(
    content: &mut dyn Volume,
    sector_size: SectorSize,
    bytes: u64,
    output: &Path,
    work: &Path,
) -> Result<u64, DiskError> {
    appearing(output, |partial| {
        let failed = |action| move |source| DiskError::File { action, path: partial.to_owned(), source };
        let file = create(partial, bytes)?;
        let behind = WriteBehind::start(&file).map_err(failed("begin"))?;
        let context = VolumeContext { sector_size, first_lba: 0, work };
        let written = content.write(&mut Region::new(&file, 0, bytes), &context);
        let written = written.map_err(|source| DiskError::Bare { path: partial.to_owned(), source })?;
        behind.finish().and_then(|()| file.sync_all()).map_err(failed("make durable"))?;
        Ok(written)
    })
}

/// Copies a partition of the finished disk `disk` to a file of its own, holes kept.
///
/// It appears as the file of [`write_disk`] does.
///
/// # Errors
/// See [`DiskError`]; the file under construction is removed.
pub fn extract_partition(disk: &Path, partition: &PartitionReport, output: &Path) -> Result<(), DiskError> {
    appearing(output, |partial| {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| DiskError::File { action, path, source }
        };
        let source = File::open(disk).map_err(failed("open", disk))?;
        let file = create(partial, partition.bytes)?;
        let behind = WriteBehind::start(&file).map_err(failed("begin", partial))?;
        Region::new(&file, 0, partition.bytes)
            .copy_sparse_range(&source, partition.offset, partition.bytes)
            .map_err(failed("copy a partition to", partial))?;
        behind.finish().and_then(|()| file.sync_all()).map_err(failed("make durable", partial))
    })
}

/// Lets `write` make a file beside `output`, and gives it that name when it is complete.
fn appearing<T>(output: &Path, write: impl FnOnce(&Path) -> Result<T, DiskError>) -> Result<T, DiskError> {
    let mut partial = OsString::from(output);
    partial.push(".tmp");
    let partial = PathBuf::from(partial);
    let written = write(&partial).and_then(|value| put_in_place(&partial, output).map(|()| value));
    if written.is_err() {
        // The partial file is useless, and the error that matters is the first one.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// An empty file of `bytes` zeros, none of them allocated.
fn create(path: &Path, bytes: u64) -> Result<File, DiskError> {
    let failed = |action| move |source| DiskError::File { action, path: path.to_owned(), source };
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).map_err(failed("create"))?;
    file.set_len(bytes).map_err(failed("set the size of"))?;
    Ok(file)
}

fn write_partial(
    layout: &mut DiskLayout<'_>,
    table: &Table,
    path: &Path,
    work: &Path,
    stage: &mut dyn FnMut(&str),
) -> Result<DiskReport, DiskError> {
    let failed = |action| move |source| DiskError::File { action, path: path.to_owned(), source };
    let sector = table.sector_size.bytes();
    let disk_bytes = table.disk_sectors * sector;
    let file = create(path, disk_bytes)?;
    let behind = WriteBehind::start(&file).map_err(failed("begin"))?;

    let mut partitions = Vec::new();
    for (spec, placed) in layout.partitions.iter_mut().zip(&table.partitions) {
        let (offset, bytes) = byte_range(placed, sector);
        let mut content_bytes = 0;
        if let Some(content) = &mut spec.content {
            stage(&spec.name);
            let context = VolumeContext { sector_size: table.sector_size, first_lba: placed.first_lba, work };
            content_bytes = content
                .write(&mut Region::new(&file, offset, bytes), &context)
                .map_err(|source| DiskError::Volume { name: spec.name.clone(), path: path.to_owned(), source })?;
        }
        let (name, slot, guid) = (placed.name.clone(), placed.slot, placed.guid);
        partitions.push(PartitionReport { name, slot, guid, offset, bytes, content_bytes });
    }

    let mut encoded = table.encode().map_err(DiskError::Table)?;
    if let Some(code) = &layout.boot_code {
        encoded.head[..BOOT_CODE_BYTES].copy_from_slice(code);
    }
    file.write_all_at(&encoded.head, 0)
        .and_then(|()| file.write_all_at(&encoded.tail, encoded.tail_offset))
        .map_err(failed("write the partition table of"))?;
    behind.finish().and_then(|()| file.sync_all()).map_err(failed("make durable"))?;
    let metadata = file.metadata().map_err(failed("measure"))?;
    Ok(DiskReport {
        path: path.to_owned(),
        disk_bytes,
        allocated_bytes: metadata.blocks() * 512,
        disk_guid: table.disk_guid,
        partitions,
    })
}

/// Byte offset and length of a partition.
fn byte_range(partition: &Partition, sector: u64) -> (u64, u64) {
    let sectors = partition.last_lba - partition.first_lba + 1;
    (partition.first_lba * sector, sectors * sector)
}

fn put_in_place(partial: &Path, output: &Path) -> Result<(), DiskError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| DiskError::File { action, path, source }
    };
    fs::rename(partial, output).map_err(failed("put in place", output))?;
    // The rename itself is durable once the directory is.
    let directory = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("make durable", directory))
}
