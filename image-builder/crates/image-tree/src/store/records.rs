//! Records: small values by key, for what the build engine has to remember.
//!
//! Each is a file of its own, named by the hash of its key and replaced by renaming. It carries a checksum
//! and is not forced to the disk: a record that a crash of the machine spoils counts as absent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::{Store, files};
use crate::hash::BlobHash;

const RECORD_MAGIC: &[u8; 8] = b"imgrec\0\x01";

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Store {
    /// Sets the value of a key, atomically: others see the old value or the new one. Blobs that this process
    /// put before outlive it if the record does.
    ///
    /// # Errors
    /// The name space is impossible, or the record cannot be written.
    pub fn record_put(&self, namespace: &str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let path = self.record_path(namespace, key)?;
        if self.is_dry {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            files::private_dir(parent)?;
        }
        files::replace(&path, &encode(key, value), "a record", false)
    }

    /// The value of a key; none if there is none, or if it was spoilt by a crash of the machine.
    ///
    /// # Errors
    /// The name space is impossible, or the record cannot be read.
    pub fn record_get(&self, namespace: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let record = read(&self.record_path(namespace, key)?)?;
        Ok(record.filter(|record| record.key == key).map(|record| record.value))
    }

    /// Removes a key and its value, if they exist.
    ///
    /// # Errors
    /// The name space is impossible, or the record cannot be removed.
    pub fn record_remove(&self, namespace: &str, key: &[u8]) -> Result<(), StoreError> {
        let path = self.record_path(namespace, key)?;
        if self.is_dry { Ok(()) } else { files::remove_file(&path) }
    }

    /// All records of a name space, ordered by key.
    ///
    /// # Errors
    /// The name space is impossible, or a record cannot be read.
    pub fn records(&self, namespace: &str) -> Result<Vec<Record>, StoreError> {
        let dir = self.namespace_dir(namespace)?;
        if !dir.exists() {
            return Ok(Vec::new());
        }
        let mut records = Vec::new();
        for path in files::files_below(&dir)?.iter().filter(|path| !is_temporary(path)) {
            records.extend(read(path)?);
        }
        records.sort_unstable();
        Ok(records)
    }

    /// Removes what killed processes left half written. Nobody else may have the store open.
    pub(super) fn remove_temporary_files(&self) -> Result<(), StoreError> {
        let files = files::files_below(&self.dir)?;
        files.iter().filter(|path| is_temporary(path)).try_for_each(|path| files::remove_file(path))
    }

    fn record_path(&self, namespace: &str, key: &[u8]) -> Result<PathBuf, StoreError> {
        let name = BlobHash::of(key).to_string();
        let (shard, rest) = name.split_at(2);
        Ok(self.namespace_dir(namespace)?.join(shard).join(rest))
    }

    fn namespace_dir(&self, namespace: &str) -> Result<PathBuf, StoreError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if namespace.is_empty() || !namespace.bytes().all(allowed) {
            return Err(StoreError::Namespace { namespace: namespace.to_owned() });
        }
        Ok(files::records_dir(&self.dir).join(namespace))
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".tmp-"))
}

fn read(path: &Path) -> Result<Option<Record>, StoreError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(decode(&bytes.map_err(StoreError::read(path))?)),
    }
}

fn encode(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = RECORD_MAGIC.to_vec();
    bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    let hash = BlobHash::of(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let (content, hash) = bytes.split_last_chunk::<32>()?;
    if BlobHash::of(content).as_bytes() != hash {
        return None;
    }
    let (length, rest) = content.strip_prefix(RECORD_MAGIC)?.split_first_chunk::<8>()?;
    let (key, value) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some(Record { key: key.to_vec(), value: value.to_vec() })
}
