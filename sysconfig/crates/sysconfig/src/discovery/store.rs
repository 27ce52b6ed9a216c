//! Private copies of plugin files.
//!
//! The file under the plugin path may be replaced, truncated or vanish at any moment, also while it runs. So what
//! is started is a copy in the state directory, named by the hash of its contents:
//! `plugins/<BLAKE3 hash>/<file name>`. A copy is kept while somebody holds its [`PrivateCopy`].

use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::service::instance::{InstanceError, prepare_directory};
use crate::text::chain;

/// Only the daemon's user may read or start a copy, and nobody may change it.
const COPY_MODE: u32 = 0o500;

/// Held by whoever writes a copy. Two of the same contents are in one directory, under the names of two plugins.
static WRITING: Mutex<()> = Mutex::new(());

/// A copy cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct StoreError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// A copy that is in use.
#[derive(Debug)]
pub struct PrivateCopy {
    /// The copy.
    pub path: PathBuf,
    /// BLAKE3 hash of its contents, 64 lowercase hexadecimal digits.
    pub hash: String,
    /// Open as long as anybody may start it: somebody may remove the file, and the one that it is a copy of is another by then.
    contents: File,
}

impl PartialEq for PrivateCopy {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.hash) == (&other.path, &other.hash)
    }
}

impl Eq for PrivateCopy {}

impl PrivateCopy {
    /// Writes the file again where it was removed, with the directories that it is in.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or its contents were lost, too.
    pub fn restore(&self) -> Result<(), StoreError> {
        let _one_by_one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(directory) = self.path.parent().filter(|_| !self.path.exists()) else { return Ok(()) };
        let lost = |source| StoreError { operation: "read what is left of", path: self.path.clone(), source };
        let mut held = &self.contents;
        let mut contents = Vec::new();
        held.rewind().and_then(|()| held.read_to_end(&mut contents)).map_err(lost)?;
        if blake3::hash(&contents).to_hex().as_str() != self.hash {
            return Err(lost(io::ErrorKind::InvalidData.into()));
        }
        prepare(directory, &self.path)?;
        write_copy(directory, &self.path, &contents)
    }
}

/// The copies.
#[derive(Debug)]
pub struct CopyStore {
    directory: PathBuf,
    in_use: Mutex<HashMap<PathBuf, Weak<PrivateCopy>>>,
}

impl CopyStore {
    /// The store in `state_directory`. Where its directory cannot be made now, as on a full disk, copies cannot be made
    /// either, which is told of each plugin.
    ///
    /// # Errors
    ///
    /// When its directory is somebody else's, who could replace what is in it.
    pub fn open(state_directory: &Path) -> Result<Self, InstanceError> {
        let directory = state_directory.join("plugins");
        match prepare_directory(&directory) {
            Err(error @ InstanceError::ForeignDirectory { .. }) => Err(error),
            _ => Ok(Self { directory, in_use: Mutex::new(HashMap::new()) }),
        }
    }

    /// The copy of these contents, if there is one. A copy from before a crash or a full disk may be cut off, so it is
    /// hashed, not trusted.
    pub fn find(&self, file_name: &str, hash: &str) -> Option<Arc<PrivateCopy>> {
        let path = self.directory.join(hash).join(file_name);
        let contents = File::open(&path).ok()?;
        if hash_of(&contents).ok()? != hash {
            return None;
        }
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been collected just now.
        path.exists().then(|| hold(&mut in_use, path, hash, contents))
    }

    /// Copies a file's contents, which are not in the store yet.
    ///
    /// # Errors
    ///
    /// When the copy cannot be written.
    pub fn put(&self, file_name: &str, contents: &[u8]) -> Result<Arc<PrivateCopy>, StoreError> {
        let hash = blake3::hash(contents).to_hex().to_string();
        let directory = self.directory.join(&hash);
        let path = directory.join(file_name);
        // Several may be read at the same time; they are written, and collected, one by one.
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let one_by_one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        prepare(&directory, &path)?;
        write_copy(&directory, &path, contents)?;
        drop(one_by_one);
        let error = |source| StoreError { operation: "open", path: path.clone(), source };
        let contents = File::open(&path).map_err(error)?;
        Ok(hold(&mut in_use, path, &hash, contents))
    }

    /// Removes every copy that nobody holds. What cannot be removed is tried again the next time.
    pub fn collect(&self) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|_, copy| copy.strong_count() > 0);
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if !in_use.keys().any(|copy| copy.starts_with(&path)) {
                drop(std::fs::remove_dir_all(path));
            }
        }
    }
}

/// The copy as everybody shares it who needs it now.
fn hold(
    in_use: &mut HashMap<PathBuf, Weak<PrivateCopy>>,
    path: PathBuf,
    hash: &str,
    contents: File,
) -> Arc<PrivateCopy> {
    if let Some(copy) = in_use.get(&path).and_then(Weak::upgrade) {
        return copy;
    }
    let copy = Arc::new(PrivateCopy { path: path.clone(), hash: hash.to_owned(), contents });
    in_use.insert(path, Arc::downgrade(&copy));
    copy
}

/// BLAKE3 hash of what can be read, 64 lowercase hexadecimal digits. It is never in memory as a whole.
pub(super) fn hash_of(contents: impl Read) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(contents)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Makes the directory of a copy where it is missing, and the two above it, the state directory and that of all copies.
fn prepare(directory: &Path, path: &Path) -> Result<(), StoreError> {
    let missing: Vec<_> = directory.ancestors().take(3).collect();
    missing.into_iter().rev().try_for_each(prepare_directory).map_err(|source| StoreError {
        operation: "make the directory of",
        path: path.to_owned(),
        source: io::Error::other(chain(&source)),
    })
}

/// Writes beside and renames, so that the final name never holds half a file.
fn write_copy(directory: &Path, path: &Path, contents: &[u8]) -> Result<(), StoreError> {
    let error = |operation: &'static str| {
        let path = path.to_owned();
        move |source| StoreError { operation, path, source }
    };
    let temporary = directory.join(".new");
    // A left-over of a crash has a mode that forbids writing.
    drop(std::fs::remove_file(&temporary));
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let mut file: File = options.map_err(error("create"))?;
    file.write_all(contents).map_err(error("write"))?;
    file.set_permissions(Permissions::from_mode(COPY_MODE)).map_err(error("set the mode of"))?;
    drop(file);
    std::fs::rename(&temporary, path).map_err(error("rename"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_shared_kept_while_held_and_mended() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        prepare_directory(&state).unwrap();
        let store = CopyStore::open(&state).unwrap();
        let one = store.put("sysconfig-plugin-x", b"#!/bin/sh\n").unwrap();
        let same = store.find("sysconfig-plugin-x", &one.hash).unwrap();
        assert!(Arc::ptr_eq(&one, &same));
        assert_eq!(std::fs::metadata(&one.path).unwrap().permissions().mode() & 0o7777, COPY_MODE);
        let two = store.put("sysconfig-plugin-x", b"#!/bin/sh\nexit\n").unwrap();
        drop((one, same));
        store.collect();
        let left: Vec<_> = std::fs::read_dir(state.join("plugins")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(std::fs::read(&two.path).unwrap(), b"#!/bin/sh\nexit\n");

        std::fs::remove_file(&two.path).unwrap();
        std::fs::write(&two.path, b"#!/bin").unwrap();
        assert_eq!(store.find("sysconfig-plugin-x", &two.hash), None, "it is cut off");
        let mended = store.put("sysconfig-plugin-x", b"#!/bin/sh\nexit\n").unwrap();
        assert!(Arc::ptr_eq(&two, &mended));
        assert_eq!(std::fs::read(&mended.path).unwrap(), b"#!/bin/sh\nexit\n");
    }

    /// Each removed what the other was writing.
    #[test]
    fn many_may_write_into_one_directory_at_the_same_time() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        prepare_directory(&state).unwrap();
        let store = CopyStore::open(&state).unwrap();
        let contents = vec![b'#'; 1 << 20];
        let names: Vec<_> = (0..4).map(|number| format!("sysconfig-plugin-{number}")).collect();
        let copies: Vec<_> = names.iter().map(|name| store.put(name, &contents).unwrap()).collect();
        for _ in 0..20 {
            std::fs::remove_dir_all(&state).unwrap();
            std::thread::scope(|scope| {
                let restoring: Vec<_> = copies.iter().map(|copy| scope.spawn(|| copy.restore())).collect();
                restoring.into_iter().for_each(|restored| restored.join().unwrap().unwrap());
            });
            assert!(copies.iter().all(|copy| std::fs::read(&copy.path).unwrap() == contents));
        }
    }

    #[test]
    fn a_copy_that_somebody_removed_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        prepare_directory(&state).unwrap();
        let store = CopyStore::open(&state).unwrap();
        let copy = store.put("sysconfig-plugin-x", b"#!/bin/sh\n").unwrap();
        for _ in 0..2 {
            std::fs::remove_dir_all(&state).unwrap();
            copy.restore().unwrap();
            assert_eq!(std::fs::read(&copy.path).unwrap(), b"#!/bin/sh\n");
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode(&copy.path), mode(&state)), (COPY_MODE, 0o700));
        }
        std::fs::set_permissions(&copy.path, Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&copy.path, b"other").unwrap();
        copy.restore().unwrap();
        assert_eq!(std::fs::read(&copy.path).unwrap(), b"other", "what is there is not its business");
    }
}
