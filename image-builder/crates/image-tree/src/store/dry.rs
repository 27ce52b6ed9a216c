//! A store that is only looked at.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, RwLock};

use super::error::StoreError;
use super::lock::StoreLock;
use super::{Store, StoreOptions, files};
use crate::hash::BlobHash;
use crate::node::Content;

impl Store {
    /// Opens the store in `dir` to look at it: nothing in it is created, recovered or changed.
    ///
    /// What is put into it is hashed and forgotten, blobs and records alike, so that the caller need not care. A
    /// directory that is not there is an empty store. Packs that were left unfinished are not seen.
    ///
    /// # Errors
    /// The directory cannot be read, or is a store of another version.
    pub fn open_dry(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref().to_path_buf();
        let exists = is_store(&dir)?;
        let lock = if exists { StoreLock::shared_if_there(&dir)? } else { None };
        let (catalogue, idle_writers) = (RwLock::default(), Mutex::default());
        let options = StoreOptions { sync: false };
        let store = Self { dir, options, lock, recovered: Vec::new(), catalogue, idle_writers, is_dry: true };
        if exists {
            store.take_up_sealed()?;
        }
        Ok(store)
    }

    /// What storing the rest of a stream, after `head`, would answer.
    pub(super) fn measure(mut head: Vec<u8>, reader: &mut impl Read) -> Result<Content, StoreError> {
        let mut hasher = blake3::Hasher::new();
        let mut len = 0;
        while !head.is_empty() {
            hasher.update(&head);
            len += head.len() as u64;
            head.clear();
            super::fill(&mut head, reader).map_err(|source| StoreError::Source { source })?;
        }
        Ok(Content::plain(BlobHash::from(hasher.finalize()), len))
    }
}

fn is_store(dir: &Path) -> Result<bool, StoreError> {
    let format = dir.join("format");
    match fs::read_to_string(&format) {
        Ok(found) if found.trim_end() == files::FORMAT => Ok(true),
        Ok(found) => Err(StoreError::Version { dir: dir.to_path_buf(), found: found.trim_end().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::read(&format)(error)),
    }
}
