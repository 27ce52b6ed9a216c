//! Walking the files of a dataset in the order of their paths, however the image is made.

use zfs_image::reader::{File, FileSystem, ReadError};

/// Deeper than any path that a system could name; an image that goes deeper goes in circles.
const DEPTH_MAX: usize = 2048;

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
    let mut open = vec![(start.path.clone(), sorted_entries(files, &start.file)?.into_iter())];
    while let Some((directory, entries)) = open.last_mut() {
        let Some((name, object)) = entries.next() else {
            open.pop();
            continue;
        };
        let found = Found { path: join(directory, &name), file: files.file(object)? };
        visit(&found)?;
        if found.file.is_directory() {
            if open.len() >= DEPTH_MAX {
                return Err(ReadError::Limit { what: "directories inside each other", limit: DEPTH_MAX as u64 }.into());
            }
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
