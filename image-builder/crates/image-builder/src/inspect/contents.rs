//! `image-builder cat`: the content of a file.

use super::image::Image;
use super::long::shown;
use super::place::Place;
use super::{InspectError, archive_files, is_archive};
use crate::arguments::Cat;
use crate::failure::Failure;
use crate::output::print;
use std::os::unix::ffi::OsStrExt;

/// What is read and written at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// `image-builder cat`.
pub(crate) fn cat(arguments: &Cat) -> Result<(), Failure> {
    let place = Place::parse(&arguments.image);
    if is_archive(&place.image) {
        return archive_files::cat(&place, arguments);
    }
    let image = Image::open_in_spite_of_damage(&place)?;
    let pool = image.pool()?;
    let dataset = image.dataset(&pool, place.dataset.as_deref())?;
    let files = image.file_system(&pool, &dataset)?;
    let what = format!("{} of {}", shown(arguments.path.as_bytes()), dataset.name);
    let file = files.lookup(arguments.path.as_bytes(), true).map_err(image.inside(&what))?;
    if file.is_directory() {
        return Err(InspectError::Directory { path: image.path.clone(), what }.into());
    }
    if !file.is_regular() {
        return Err(InspectError::NotRegular { path: image.path.clone(), what }.into());
    }
    print(|output| {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        loop {
            let count = files.read_at(&file, &mut buffer, offset).map_err(image.inside(&what))?;
            if count == 0 {
                return Ok(());
            }
            output.write_all(&buffer[..count]).map_err(Failure::from_output)?;
            offset += count as u64;
        }
    })
}
