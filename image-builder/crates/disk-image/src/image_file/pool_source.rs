//! An image as the pool reader wants it.

use std::io;

use zfs_image::reader::ReadAt;

use super::ImageFile;

impl ReadAt for ImageFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        Self::read_exact_at(self, buffer, offset)
    }
}
