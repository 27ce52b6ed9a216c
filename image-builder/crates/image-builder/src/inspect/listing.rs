//! `image-builder ls`: what is in an image, or in a directory of it.

use super::image::Image;
use super::long::{Long, shown};
use super::overview::overview;
use super::place::Place;
use super::walk::{Found, join, sorted_entries, walk_below};
use super::{archive_files, is_archive};
use crate::arguments::Ls;
use crate::failure::Failure;
use crate::output::print;
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use zfs_image::reader::{File, FileSystem, ReadError};

/// `image-builder ls`.
pub(crate) fn ls(arguments: &Ls) -> Result<(), Failure> {
    let place = Place::parse(&arguments.image);
    if is_archive(&place.image) {
        return archive_files::ls(&place, arguments);
    }
    let image = Image::open_in_spite_of_damage(&place)?;
    if arguments.path.is_none() && place.dataset.is_none() && !arguments.recursive {
        return overview(&image, arguments.json);
    }
    let pool = image.pool()?;
    let dataset = image.dataset(&pool, place.dataset.as_deref())?;
    let files = image.file_system(&pool, &dataset)?;
    let path = arguments.path.as_ref().map_or(b"/".as_slice(), |path| path.as_bytes());
    let failed = image.inside(&format!("{} of {}", shown(path), dataset.name));
    // A path that ends in `/` means what is behind a link.
    let file = files.lookup(path, path.ends_with(b"/")).map_err(&failed)?;
    let start = Found { path: join(b"/", without_slashes(path)), file };
    print(|output| {
        let mut list = Vec::new();
        let mut tell = |name: &[u8], file: &File| -> Result<(), ListError> {
            let one = Long::read(&files, name, file)?;
            if arguments.json {
                list.push(one.value());
                return Ok(());
            }
            writeln!(output, "{}", one.line()).map_err(ListError::Output)
        };
        list_from(&files, &start, arguments.recursive, &mut tell).map_err(|error| match error {
            ListError::Read(source) => Failure::from(failed(source)),
            ListError::Output(source) => Failure::from_output(source),
        })?;
        if arguments.json {
            let value = json!({ "dataset": dataset.name, "files": list });
            writeln!(output, "{value}").map_err(Failure::from_output)?;
        }
        Ok(())
    })
}

/// A path without the slashes at its beginning and end.
fn without_slashes(path: &[u8]) -> &[u8] {
    let is_other = |byte: &u8| *byte != b'/';
    let Some(first) = path.iter().position(is_other) else { return b"" };
    let last = path.iter().rposition(is_other).unwrap_or(first);
    &path[first..=last]
}

/// Reading or writing went wrong.
enum ListError {
    Read(ReadError),
    Output(std::io::Error),
}

impl From<ReadError> for ListError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Takes a file with the name that it is to be listed under.
type Tell<'a> = dyn FnMut(&[u8], &File) -> Result<(), ListError> + 'a;

fn list_from(files: &FileSystem<'_>, start: &Found, recursive: bool, tell: &mut Tell<'_>) -> Result<(), ListError> {
    if !start.file.is_directory() {
        return tell(&start.path, &start.file);
    }
    if recursive {
        tell(&start.path, &start.file)?;
        return walk_below(files, start, &mut |found| tell(&found.path, &found.file));
    }
    for (name, object) in sorted_entries(files, &start.file)? {
        tell(&name, &files.file(object)?)?;
    }
    Ok(())
}
