//! Nothing is let through that is not what the manifest says.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use ips::manifest::{ContentHasher, FileHash};

/// The longest content of which a manifest says no length, in bytes.
const UNSTATED_BYTES_MAX: u64 = 4 << 30;

/// Unpacks a payload and compares length and hash at its end, where it fails if they differ. It never yields more than
/// the stated length, or else [`UNSTATED_BYTES_MAX`], whatever the payload unpacks to.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    plain: MultiGzDecoder<R>,
    hasher: Option<ContentHasher>,
    wanted: FileHash,
    size: Option<u64>,
    read: u64,
}

impl<R: Read> VerifyingReader<R> {
    /// Reads the gzip stream `packed`, whose content has to have this hash and, if given, this length.
    pub fn new(packed: R, wanted: FileHash, size: Option<u64>) -> Self {
        Self { plain: MultiGzDecoder::new(packed), hasher: Some(wanted.hasher()), wanted, size, read: 0 }
    }
}

fn wrong(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.plain.read(buffer)?;
        self.read += count as u64;
        let longest = self.size.unwrap_or(UNSTATED_BYTES_MAX);
        if self.read > longest {
            return Err(wrong(format!("the content is longer than {longest} bytes")));
        }
        if count > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..count]);
            }
            return Ok(count);
        }
        // An empty buffer says nothing about the end.
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(hasher) = self.hasher.take() {
            if self.size.is_some_and(|size| self.read < size) {
                return Err(wrong(format!(
                    "the content has {} bytes instead of {}",
                    self.read,
                    self.size.unwrap_or_default()
                )));
            }
            let found = hasher.finish();
            if found != self.wanted {
                return Err(wrong(format!("the content has the hash {found} instead of {}", self.wanted)));
            }
        }
        Ok(0)
    }
}
