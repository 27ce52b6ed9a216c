//! Packs that were left without a usable index: keep what is whole, say what was lost.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::index::{self, IndexEntry};
use super::lock::{AdminLock, try_lock};
use super::pack::{PACK_MAGIC, RECORD_HEADER_BYTES, parse_record_header, read_exact_at};
use super::{BUFFER_BYTES, StoreOptions, files};
use crate::hash::BlobHash;

/// What opening the store did about a pack that was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The file of the pack.
    pub pack: PathBuf,
    /// Why it needed attention.
    pub cause: RecoveryCause,
    /// Blobs that are whole and remain.
    pub kept_blobs: usize,
    /// The bytes of these blobs.
    pub kept_bytes: u64,
    /// Bytes that belong to no whole blob; those at the end of an unfinished pack were cut off.
    pub lost_bytes: u64,
}

/// Why a pack needed attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryCause {
    /// The process that wrote it was killed.
    Unfinished,
    /// Its index is damaged, or it is shorter than its index says.
    IndexDamaged,
    /// Only its index is left.
    PackMissing,
}

/// Recovers the packs whose writers are gone.
pub(super) fn unfinished(dir: &Path, options: StoreOptions, _: &AdminLock) -> Result<Vec<Recovered>, StoreError> {
    let mut recovered = Vec::new();
    let sealed = files::sealed_packs(dir)?;
    for number in files::all_packs(dir)?.into_iter().filter(|number| sealed.binary_search(number).is_err()) {
        let path = files::pack_path(dir, number);
        let Some(file) = open_pack(&path)? else {
            continue;
        };
        if !try_lock(&file).map_err(StoreError::access("lock", &path))? {
            continue;
        }
        // Its writer may have sealed or removed it since the directory was listed.
        if path.exists() && !files::index_path(dir, number).exists() {
            recovered.extend(recover(dir, number, &file, RecoveryCause::Unfinished, options)?);
        }
    }
    Ok(recovered)
}

/// Makes new indexes for packs that had one which cannot be used. The packs themselves are left as they are,
/// because other processes may be reading them.
pub(super) fn reindex(
    dir: &Path,
    numbers: &[u32],
    options: StoreOptions,
    _: &AdminLock,
) -> Result<Vec<Recovered>, StoreError> {
    let mut recovered = Vec::new();
    for number in numbers {
        let path = files::pack_path(dir, *number);
        let Some(file) = open_pack(&path)? else {
            files::remove_pack(dir, *number)?;
            let cause = RecoveryCause::PackMissing;
            recovered.push(Recovered { pack: path, cause, kept_blobs: 0, kept_bytes: 0, lost_bytes: 0 });
            continue;
        };
        recovered.extend(recover(dir, *number, &file, RecoveryCause::IndexDamaged, options)?);
    }
    Ok(recovered)
}

fn open_pack(path: &Path) -> Result<Option<File>, StoreError> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => Ok(Some(file.map_err(StoreError::access("open", path))?)),
    }
}

fn recover(
    dir: &Path,
    number: u32,
    file: &File,
    cause: RecoveryCause,
    options: StoreOptions,
) -> Result<Option<Recovered>, StoreError> {
    let pack = files::pack_path(dir, number);
    let length = fs::metadata(&pack).map_err(StoreError::read(&pack))?.len();
    let entries = scan(file, length).map_err(StoreError::read(&pack))?;
    let kept_bytes: u64 = entries.iter().map(|entry| entry.len).sum();
    let whole = PACK_MAGIC.len() as u64 + kept_bytes + entries.len() as u64 * RECORD_HEADER_BYTES;
    let lost_bytes = length.saturating_sub(whole);
    let kept_blobs = entries.len();
    if entries.is_empty() {
        files::remove_pack(dir, number)?;
    } else {
        let end = entries.iter().map(|entry| entry.offset + entry.len).max().unwrap_or(0);
        if cause == RecoveryCause::Unfinished {
            file.set_len(end).map_err(StoreError::write("content", &pack))?;
        }
        if options.sync {
            file.sync_data().map_err(StoreError::write("content", &pack))?;
        }
        index::write(dir, number, entries, end, options)?;
    }
    let notable = kept_blobs > 0 || lost_bytes > 0;
    Ok(notable.then_some(Recovered { pack, cause, kept_blobs, kept_bytes, lost_bytes }))
}

/// Finds the whole records of a pack. A record whose content does not match its hash is left out; the scan
/// ends where there is no record header, which is where a killed writer was.
fn scan(file: &File, length: u64) -> io::Result<Vec<IndexEntry>> {
    let mut entries = Vec::new();
    let mut magic = [0; PACK_MAGIC.len()];
    if !read_exact_at(file, &mut magic, 0)? || magic != *PACK_MAGIC {
        return Ok(entries);
    }
    let mut position = PACK_MAGIC.len() as u64;
    let mut header = [0; RECORD_HEADER_BYTES as usize];
    while read_exact_at(file, &mut header, position)? {
        let Some((hash, len)) = parse_record_header(&header) else {
            break;
        };
        let offset = position + RECORD_HEADER_BYTES;
        let Some(end) = offset.checked_add(len).filter(|end| *end <= length) else {
            break;
        };
        if hash_of(file, offset, len)? == hash {
            entries.push(IndexEntry { hash, offset, len });
        }
        position = end;
    }
    Ok(entries)
}

fn hash_of(file: &File, offset: u64, len: u64) -> io::Result<BlobHash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES.min(usize::try_from(len).unwrap_or(BUFFER_BYTES))];
    let mut done = 0;
    while done < len {
        let wanted = buffer.len().min(usize::try_from(len - done).unwrap_or(BUFFER_BYTES));
        let count = file.read_at(&mut buffer[..wanted], offset + done)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        done += count as u64;
    }
    Ok(hasher.finalize().into())
}
