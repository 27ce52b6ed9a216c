//! Walking the files of a dataset in the order of their paths, however the image is made.

use std::collections::HashSet;
use zfs_image::reader::{File, FileSystem, ReadError};

/// The directories that were entered. A damaged image may lead into one again, and then there would be no end.
#[derive(Debug, Default)]
pub(crate) struct Entered(HashSet<u64>);

impl Entered {
    /// Notes that a directory is entered.
    ///
    /// # Errors
    /// It was entered before.
    pub(crate) fn enter(&mut self, directory: &File) -> Result<(), ReadError> {
        match self.0.insert(directory.object) {
            true => Ok(()),
            false => Err(ReadError::Structure {
                object: directory.object,
                what: "a directory has more than one name".to_owned(),
            }),
        }
    }
}

/// A file with its path from the root of the dataset.
#[derive(Debug)]
pub(crate) struct Found {
    /// With a leading `/`; `/` alone for the root.
    pub(crate) path: Vec<u8>,
    pub(crate) file: File,
}

/// The entries of a directory, by name.
pub(crate) fn sorted_entries(files: &FileSystem<'_>, directory: &File) -> Result<Vec<(Vec<u8>, u64)>, ReadError> {
    let mut entries: Vec<_> = files.read_dir(directory)?.into_iter().map(|entry| (entry.name, entry.object)).collect();
    entries.sort();
    Ok(entries)
}

/// Calls `visit` for what is below `start`, parents first.
pub(crate) fn walk_below<E: From<ReadError>>(
    files: &FileSystem<'_>,
    start: &Found,
    visit: &mut dyn FnMut(&Found) -> Result<(), E>,
) -> Result<(), E> {
    let mut entered = Entered::default();
    entered.enter(&start.file)?;
    let mut open = vec![(start.path.clone(), sorted_entries(files, &start.file)?.into_iter())];
    while let Some((directory, entries)) = open.last_mut() {
        let Some((name, object)) = entries.next() else {
            open.pop();
            continue;
        };
        let found = Found { path: join(directory, &name), file: files.file(object)? };
        visit(&found)?;
        if found.file.is_directory() {
            entered.enter(&found.file)?;
            let entries = sorted_entries(files, &found.file)?;
            open.push((found.path, entries.into_iter()));
        }
    }
    Ok(())
}

/// A name below a directory.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
