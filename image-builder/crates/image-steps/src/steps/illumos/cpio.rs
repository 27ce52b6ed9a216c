//! Archives in the one cpio form that the early kernel of illumos reads: POSIX "odc".
//!
//! Facts: illumos-gate, `usr/src/uts/common/krtld/bootrd_cpio.c`. Every number is octal text, names have no leading
//! `/`, nothing is padded but the end of the archive, up to a multiple of 512 bytes.

use image_tree::{Metadata, NodeKind, Store};
use std::io::{self, Write};

/// The reader rounds every read up to this, so the archive ends at a multiple of it.
const BLOCK_BYTES: u64 = 512;
/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// A number does not fit its field.
#[derive(Debug, thiserror::Error)]
#[error("the {field} of {name} is {value}, which an odc cpio archive cannot hold")]
pub(super) struct FieldError {
    field: &'static str,
    name: String,
    value: u64,
}

/// Writes entries one after the other.
pub(super) struct CpioWriter<W> {
    output: W,
    written: u64,
    entries: u64,
}

impl<W: Write> CpioWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, written: 0, entries: 0 }
    }

    /// Writes a node under `name`, relative to the root. Devices and pipes are not part of a boot archive.
    ///
    /// # Errors
    /// When a number does not fit, as an error of kind `InvalidData` around a [`FieldError`], or when content
    /// cannot be read or the archive cannot be written.
    pub(super) fn node(&mut self, name: &[u8], kind: &NodeKind, metadata: &Metadata, store: &Store) -> io::Result<()> {
        match kind {
            NodeKind::Directory => self.header(name, 0o040_000, metadata, 0),
            NodeKind::Symlink(target) => {
                self.header(name, 0o120_000, metadata, target.len() as u64)?;
                self.write(target)
            }
            NodeKind::Regular(content) => {
                self.header(name, 0o100_000, metadata, content.len())?;
                let mut reader = store.open_content(content).map_err(io::Error::other)?;
                self.written += io::copy(&mut reader, &mut self.output)?;
                Ok(())
            }
            NodeKind::CharDevice { .. } | NodeKind::BlockDevice { .. } | NodeKind::Fifo => Ok(()),
        }
    }

    /// Ends the archive; answers its length and what it was written to.
    pub(super) fn finish(mut self) -> io::Result<(u64, W)> {
        self.header(TRAILER, 0, &Metadata::default(), 0)?;
        let padding = self.written.next_multiple_of(BLOCK_BYTES) - self.written;
        self.write(&vec![0; padding as usize])?;
        self.output.flush()?;
        Ok((self.written, self.output))
    }

    fn header(&mut self, name: &[u8], kind: u64, metadata: &Metadata, length: u64) -> io::Result<()> {
        let octal = |field, value: u64, digits: usize| {
            let text = format!("{value:0digits$o}");
            let wrong = || FieldError { field, name: String::from_utf8_lossy(name).into_owned(), value };
            if text.len() == digits { Ok(text) } else { Err(io::Error::new(io::ErrorKind::InvalidData, wrong())) }
        };
        // Hard links carry their data each time, so that every entry is a file of its own.
        self.entries += 1;
        let header = [
            "070707".to_owned(),
            octal("device", 0, 6)?,
            octal("number", self.entries & 0o777_777, 6)?,
            octal("mode", kind | u64::from(metadata.mode), 6)?,
            octal("owner", metadata.uid.into(), 6)?,
            octal("group", metadata.gid.into(), 6)?,
            octal("link count", 1, 6)?,
            octal("device number", 0, 6)?,
            // The kernel does not look at times; one before 1970 cannot be written.
            octal("time", metadata.mtime.secs.max(0).unsigned_abs(), 11)?,
            octal("length of the name", name.len() as u64 + 1, 6)?,
            octal("length", length, 11)?,
        ]
        .concat();
        self.write(header.as_bytes())?;
        self.write(name)?;
        self.write(&[0])
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_tree::Timestamp;

    #[test]
    fn an_archive_is_what_the_kernels_reader_takes() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a store");
        let content = store.put_bytes(b"set zfs:x=1\n").expect("stored");
        let metadata = Metadata { mtime: Timestamp { secs: 0o1234, nanos: 0 }, ..Metadata::new(0, 3, 0o644) };
        let mut writer = CpioWriter::new(Vec::new());
        writer.node(b"etc", &NodeKind::Directory, &Metadata::new(0, 3, 0o755), &store).expect("written");
        writer.node(b"etc/system", &NodeKind::Regular(content), &metadata, &store).expect("written");
        writer.node(b"etc/link", &NodeKind::Symlink(b"system".to_vec()), &metadata, &store).expect("written");
        writer.node(b"etc/fifo", &NodeKind::Fifo, &metadata, &store).expect("left out");
        let (length, bytes) = writer.finish().expect("written");
        let expected = concat!(
            "070707",
            "000000",
            "000001",
            "040755",
            "000000",
            "000003",
            "000001",
            "000000",
            "00000000000",
            "000004",
            "00000000000",
            "etc\0",
            "070707",
            "000000",
            "000002",
            "100644",
            "000000",
            "000003",
            "000001",
            "000000",
            "00000001234",
            "000013",
            "00000000014",
            "etc/system\0",
            "set zfs:x=1\n",
            "070707",
            "000000",
            "000003",
            "120644",
            "000000",
            "000003",
            "000001",
            "000000",
            "00000001234",
            "000011",
            "00000000006",
            "etc/link\0",
            "system",
            "070707",
            "000000",
            "000004",
            "000000",
            "000000",
            "000000",
            "000001",
            "000000",
            "00000000000",
            "000013",
            "00000000000",
            "TRAILER!!!\0",
        );
        assert_eq!(length, 512);
        assert_eq!(bytes.len(), 512);
        assert_eq!(String::from_utf8_lossy(&bytes).trim_end_matches('\0'), expected.trim_end_matches('\0'));
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a store");
        let mut writer = CpioWriter::new(Vec::new());
        writer.node(b"a", &NodeKind::Directory, &Metadata::new(262_143, 0, 0o755), &store).expect("it fits");
        let error = writer.node(b"b", &NodeKind::Directory, &Metadata::new(0, 262_144, 0o755), &store);
        let error = error.expect_err("it does not fit");
        assert_eq!(error.to_string(), "the group of b is 262144, which an odc cpio archive cannot hold");
    }
}
