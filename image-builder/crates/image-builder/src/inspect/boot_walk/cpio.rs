//! The boot archive as the early kernel reads it: a cpio archive in the old octal form, in gzip or plain.
//!
//! Facts: illumos-gate's `uts/common/krtld/bootrd_cpio.c` and the loader's gzip support.

use std::io::{self, BufReader, Read};

use flate2::read::GzDecoder;
use sha1::{Digest, Sha1};

const MAGIC: &[u8] = b"070707";
const HEADER_BYTES: usize = 76;
const TRAILER: &str = "TRAILER!!!";
const NAME_BYTES_MAX: u64 = 4096;
/// Systems archive some thousands of files.
const MEMBERS_MAX: u64 = 200_000;
/// The loader takes the unpacked size from four bytes.
const ARCHIVE_BYTES_MAX: u64 = 4 << 30;
/// The early kernel rounds each read up to this, and fails behind the end.
const ALIGNMENT: u64 = 512;

/// An archive that the kernel would not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CpioError {
    #[error("the archive cannot be read")]
    Io(#[from] io::Error),
    #[error("at {offset} of the unpacked archive: {what}")]
    Malformed { offset: u64, what: &'static str },
}

/// A member's head.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) mode: u64,
    pub(super) size: u64,
}

impl Member {
    pub(super) fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }
}

/// What the whole archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) members: u64,
    pub(super) bytes: u64,
    /// SHA-1 of the unpacked archive, in the form of its hash file.
    pub(super) sha1: String,
}

/// Counts and hashes what goes through.
struct Counting<R> {
    inner: R,
    hasher: Sha1,
    bytes: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        match self.bytes > ARCHIVE_BYTES_MAX {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than any loader reads")),
            false => Ok(count),
        }
    }
}

/// Reads an archive and shows each member with its content.
pub(super) fn read(
    packed: impl Read,
    mut visit: impl FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Summary, CpioError> {
    let mut packed = BufReader::with_capacity(1 << 17, packed);
    let is_packed = io::BufRead::fill_buf(&mut packed)?.starts_with(&[0x1f, 0x8b]);
    let inner: Box<dyn Read + '_> = if is_packed { Box::new(GzDecoder::new(packed)) } else { Box::new(packed) };
    let mut archive = Counting { inner: BufReader::with_capacity(1 << 17, inner), hasher: Sha1::new(), bytes: 0 };
    let mut members = 0;
    loop {
        let member = head(&mut archive)?;
        if member.name == TRAILER {
            break;
        }
        members += 1;
        if members > MEMBERS_MAX {
            return Err(CpioError::Malformed { offset: archive.bytes, what: "it has more members than any system" });
        }
        let end = archive.bytes + member.size;
        visit(&member, &mut (&mut archive).take(member.size))?;
        let left = end.saturating_sub(archive.bytes);
        io::copy(&mut (&mut archive).take(left), &mut io::sink())?;
        if archive.bytes != end {
            return Err(CpioError::Malformed { offset: archive.bytes, what: "it ends within a member" });
        }
    }
    io::copy(&mut archive, &mut io::sink())?;
    if archive.bytes % ALIGNMENT != 0 {
        let what = "its length is no multiple of 512, so that the kernel cannot read its end";
        return Err(CpioError::Malformed { offset: archive.bytes, what });
    }
    let sha1 = archive.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Summary { members, bytes: archive.bytes, sha1 })
}

fn head<R: Read>(archive: &mut Counting<R>) -> Result<Member, CpioError> {
    let offset = archive.bytes;
    let malformed = |what| CpioError::Malformed { offset, what };
    let mut header = [0; HEADER_BYTES];
    archive.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => malformed("it ends without a trailer"),
        _ => CpioError::Io(error),
    })?;
    if !header.starts_with(MAGIC) {
        return Err(malformed("no member in the old octal form, the only one that the kernel reads"));
    }
    let field = |from: usize, to: usize| {
        let digits = std::str::from_utf8(&header[from..to]).ok()?;
        let is_octal = digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        u64::from_str_radix(digits, 8).ok().filter(|_| is_octal)
    };
    let numbers = (field(18, 24), field(59, 65), field(65, 76));
    let (Some(mode), Some(name_bytes), Some(size)) = numbers else { return Err(malformed("a number is not octal")) };
    if !(2..=NAME_BYTES_MAX).contains(&name_bytes) {
        return Err(malformed("a name has no length that a path can have"));
    }
    let mut name = vec![0; name_bytes as usize];
    archive.read_exact(&mut name)?;
    let name = name.strip_suffix(&[0]).filter(|name| !name.contains(&0));
    let name = name.and_then(|name| String::from_utf8(name.to_vec()).ok());
    Ok(Member { name: name.ok_or_else(|| malformed("a name is not ended, or no text"))?, mode, size })
}
