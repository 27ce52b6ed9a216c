//! Streaming an image from front to back.

use crate::el_torito::{self, BootImage};
use crate::plan::{File, read_content};
use crate::{IsoError, IsoImage, SECTOR_BYTES, descriptor};
use std::io::{self, Read, Write};

/// What is copied at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsoReport {
    /// Bytes of the image.
    pub bytes: u64,
    /// Directories in it, the root among them.
    pub directories: usize,
    /// Contents in it; a file with several names counts once.
    pub files: usize,
    /// The images that it boots, each with its first sector.
    pub boot: Vec<(BootImage, u32)>,
}

impl IsoImage<'_> {
    /// Writes the image.
    ///
    /// # Errors
    /// When a content cannot be read, or `output` cannot be written.
    pub fn write(&self, output: impl Write) -> Result<IsoReport, IsoError> {
        let mut output = Sectors { output, position: 0 };
        let area = match (&self.hybrid, self.uefi) {
            (Some(blocks), Some(uefi)) => blocks.encode(uefi, &self.seed)?,
            _ => Vec::new(),
        };
        output.put("the system area", &area)?;
        output.go_to(descriptor::FIRST_LBA)?;
        output.put("the volume descriptors", &self.primary())?;
        if let Some(catalog) = &self.catalog {
            output.put("the volume descriptors", &descriptor::boot_record(catalog.lba))?;
        }
        output.put("the volume descriptors", &descriptor::terminator())?;
        for (lba, is_big_endian) in [(self.little_table_lba, false), (self.big_table_lba, true)] {
            output.go_to(lba)?;
            output.put("the path tables", &self.path_table(is_big_endian))?;
        }
        self.write_directories(&mut output)?;
        let entries = self.catalog_entries();
        if let Some(catalog) = &self.catalog {
            output.go_to(catalog.lba)?;
            output.put("the boot catalog", &el_torito::catalog(&entries))?;
        }
        for file in &self.files {
            self.write_file(file, &mut output)?;
        }
        output.go_to(self.sectors)?;
        output.output.flush().map_err(|source| IsoError::Write { what: "the image".to_owned(), source })?;
        let boot = entries.iter().map(|entry| (entry.platform, entry.lba)).collect();
        Ok(IsoReport { bytes: self.length(), directories: self.directories.len(), files: self.files.len(), boot })
    }

    fn write_directories(&self, output: &mut Sectors<impl Write>) -> Result<(), IsoError> {
        for (index, directory) in self.directories.iter().enumerate() {
            let (records, continued) = self.encode_directory(index)?;
            output.go_to(directory.extent.lba)?;
            output.put("a directory", &records)?;
            output.go_to(directory.continued_lba)?;
            output.put("a directory", &continued)?;
        }
        Ok(())
    }

    fn write_file(&self, file: &File<'_>, output: &mut Sectors<impl Write>) -> Result<(), IsoError> {
        output.go_to(file.lba)?;
        if file.has_table {
            let mut bytes = read_content(self.store, &file.path, file.content)?;
            el_torito::put_information_table(&mut bytes, file.lba);
            return output.put(&file.path.to_string(), &bytes);
        }
        let failed = |source| IsoError::Content { path: file.path.clone(), source };
        let mut reader = self.store.open_content(file.content).map_err(failed)?;
        let broken = |source| IsoError::Write { what: file.path.to_string(), source };
        let mut buffer = vec![0; CHUNK_BYTES.min(file.content.len() as usize + 1)];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => output.write(&buffer[..count]).map_err(broken)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(broken(source)),
            }
        }
    }
}

/// The output, and how far it is.
struct Sectors<W> {
    output: W,
    position: u64,
}

impl<W: Write> Sectors<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn put(&mut self, what: &str, bytes: &[u8]) -> Result<(), IsoError> {
        self.write(bytes).map_err(|source| IsoError::Write { what: what.to_owned(), source })
    }

    /// Fills up with zeros to the sector, which is never behind.
    fn go_to(&mut self, lba: u32) -> Result<(), IsoError> {
        const ZEROS: [u8; SECTOR_BYTES as usize] = [0; SECTOR_BYTES as usize];
        let target = u64::from(lba) * SECTOR_BYTES;
        debug_assert!(self.position <= target, "sector {lba} is behind {}", self.position);
        while self.position < target {
            let count = (target - self.position).min(SECTOR_BYTES) as usize;
            self.put("padding", &ZEROS[..count])?;
        }
        Ok(())
    }
}
