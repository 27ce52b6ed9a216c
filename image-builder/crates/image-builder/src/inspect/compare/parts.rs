//! The partitions of two images.

use super::CHUNK_BYTES;
use crate::inspect::InspectError;
use crate::inspect::difference::Difference;
use crate::inspect::image::{Image, Part};

/// Partitions that are not read inside are compared byte by byte.
pub(super) fn compare_parts(images: &[Image; 2], found: &mut Vec<Difference>) -> Result<(), InspectError> {
    let parts = images.each_ref().map(Image::parts);
    if images[0].file.length() != images[1].file.length() {
        let how = vec![format!("{} → {} bytes", images[0].file.length(), images[1].file.length())];
        found.push(Difference::new('~', "size of the image".to_owned(), how));
    }
    for old in &parts[0] {
        match parts[1].iter().find(|new| new.title == old.title) {
            None => found.push(Difference::new('-', old.title.clone(), Vec::new())),
            Some(new) => {
                let mut how = Vec::new();
                let is_read = old.is_pool && new.is_pool;
                if (old.offset, old.bytes) != (new.offset, new.bytes) {
                    how.push("place or size".to_owned());
                } else if !is_read && !same_bytes(images, old)? {
                    how.push(format!("bytes of the {}, which is not read inside", old.purpose));
                }
                if !how.is_empty() {
                    found.push(Difference::new('~', old.title.clone(), how));
                }
            }
        }
    }
    let added = parts[1].iter().filter(|new| parts[0].iter().all(|old| old.title != new.title));
    found.extend(added.map(|new| Difference::new('+', new.title.clone(), Vec::new())));
    Ok(())
}

fn same_bytes(images: &[Image; 2], part: &Part) -> Result<bool, InspectError> {
    let mut buffers = [vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]];
    let mut offset = part.offset;
    let end = part.offset.saturating_add(part.bytes);
    while offset < end {
        let count = (end - offset).min(CHUNK_BYTES as u64) as usize;
        for (image, buffer) in images.iter().zip(&mut buffers) {
            let failed = |source| InspectError::Read { path: image.path.clone(), source };
            image.file.read_exact_at(&mut buffer[..count], offset).map_err(failed)?;
        }
        if buffers[0][..count] != buffers[1][..count] {
            return Ok(false);
        }
        offset += count as u64;
    }
    Ok(true)
}
