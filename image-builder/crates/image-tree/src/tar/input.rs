//! The archive as a stream: decompressed, counted, read by blocks.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use super::error::TarErrorKind;
use super::header::{self, BLOCK_BYTES, Block};

/// How much is read from the archive at once.
const READ_BYTES: usize = 256 << 10;

/// Magic numbers of compressions that are recognised but not understood.
const OTHER_COMPRESSIONS: [(&[u8], &str); 4] =
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"LZIP", "lzip")];

/// The members of a gzip file (RFC 1952, 2.2), one after the other. As gzip does, it takes zeros behind them for the padding of
/// a tape; none is left once they are at their end.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.0 = self.0.take().and_then(|member| next_member(member.into_inner()).transpose()).transpose()?;
        }
        Ok(0)
    }
}

/// The member behind what was read and some zeros, if there is anything but those.
fn next_member<R: BufRead>(mut input: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = match input.fill_buf() {
            // Who reads on after an error would find the archive at its end.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        match bytes.len() {
            0 => return Ok(None),
            length if zeros < length => {
                input.consume(zeros);
                return Ok(Some(GzDecoder::new(input)));
            }
            _ => input.consume(zeros),
        }
    }
}

/// A decompressed archive and how far it was read.
pub(super) struct Input<'a> {
    reader: Box<dyn Read + 'a>,
    offset: u64,
}

impl<'a> Input<'a> {
    /// Looks at the first bytes to see whether the archive is compressed.
    pub(super) fn new(archive: impl Read + 'a, progress: Option<&'a mut dyn FnMut(u64)>) -> Result<Self, TarErrorKind> {
        let mut counted = Counted { archive, progress };
        let mut magic = Vec::new();
        (&mut counted).take(6).read_to_end(&mut magic).map_err(TarErrorKind::Read)?;
        if let Some((_, name)) = OTHER_COMPRESSIONS.iter().find(|(start, _)| magic.starts_with(start)) {
            return Err(TarErrorKind::Compression(name));
        }
        let is_gzip = magic.starts_with(b"\x1f\x8b");
        let whole = BufReader::with_capacity(READ_BYTES, Cursor::new(magic).chain(counted));
        let reader: Box<dyn Read + 'a> = if is_gzip {
            Box::new(BufReader::with_capacity(READ_BYTES, Members(Some(GzDecoder::new(whole)))))
        } else {
            Box::new(whole)
        };
        Ok(Self { reader, offset: 0 })
    }

    /// How many bytes of the decompressed archive were read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TarErrorKind> {
        self.reader.read_exact(buffer).map_err(read_error)?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    pub(super) fn block(&mut self) -> Result<Block, TarErrorKind> {
        let mut block = [0; BLOCK_BYTES];
        self.read_exact(&mut block)?;
        Ok(block)
    }

    /// Reads content that is known to be short, and its padding.
    pub(super) fn short_content(&mut self, length: u64) -> Result<Vec<u8>, TarErrorKind> {
        let mut content = vec![0; usize::try_from(length).map_err(|_| TarErrorKind::TooLarge(length))?];
        self.read_exact(&mut content)?;
        self.skip_padding(length)?;
        Ok(content)
    }

    /// Skips what pads `length` bytes of content to whole blocks.
    pub(super) fn skip_padding(&mut self, length: u64) -> Result<(), TarErrorKind> {
        self.read_exact(&mut [0; BLOCK_BYTES][..header::padding(length)])
    }

    /// Skips content and its padding.
    pub(super) fn skip_content(&mut self, length: u64) -> Result<(), TarErrorKind> {
        if io::copy(&mut self.by_ref().take(length), &mut io::sink()).map_err(read_error)? < length {
            return Err(TarErrorKind::Truncated);
        }
        self.skip_padding(length)
    }

    /// Reads to the end, which also checks the checksum of a compressed archive. True if there was anything
    /// but zeros.
    pub(super) fn drain(&mut self) -> Result<bool, TarErrorKind> {
        let mut buffer = vec![0; READ_BYTES];
        let mut anything = false;
        loop {
            match self.read(&mut buffer).map_err(read_error)? {
                0 => return Ok(anything),
                count => anything |= buffer[..count].iter().any(|byte| *byte != 0),
            }
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

pub(super) fn read_error(error: io::Error) -> TarErrorKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarErrorKind::Truncated,
        _ => TarErrorKind::Read(error),
    }
}

/// Tells the caller how much of the archive was read.
struct Counted<'a, R> {
    archive: R,
    progress: Option<&'a mut dyn FnMut(u64)>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.archive.read(buffer)?;
        if let Some(progress) = &mut self.progress {
            progress(count as u64);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// Is interrupted before each piece, as by a signal.
    struct Interrupted<'a> {
        pieces: Vec<&'a [u8]>,
        is_next: bool,
    }

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_next = !self.is_next;
            if self.is_next {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Some(piece) = self.pieces.first_mut() else { return Ok(0) };
            let count = piece.read(buffer)?;
            self.pieces.retain(|piece| !piece.is_empty());
            Ok(count)
        }
    }

    #[test]
    fn interruptions_between_members_lose_none() {
        let member = |text: &[u8]| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(text).unwrap();
            packed.finish().unwrap()
        };
        let (first, second) = (member(b"first, "), member(b"second"));
        let archive = Interrupted { pieces: vec![&first, &[0; 7], &second], is_next: false };
        let mut text = String::new();
        Input::new(archive, None).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "first, second");
    }
}
