//! The log of the serial console: its end for people, and what is new in it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How many lines of the console an error shows.
pub const TAIL_LINES: usize = 25;
/// How much of the log is looked at for its last lines.
const TAIL_BYTES: u64 = 64 << 10;

/// The length of the log in bytes; a log that is not there is empty.
///
/// # Errors
/// The system's.
pub fn length(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The last lines of what was written after `offset`, without control characters and empty lines.
///
/// # Errors
/// The system's.
pub fn tail(path: &Path, offset: u64, lines: usize) -> io::Result<Vec<String>> {
    let length = length(path)?;
    let start = offset.max(length.saturating_sub(TAIL_BYTES));
    if start >= length {
        return Ok(Vec::new());
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let mut plain = Vec::new();
    PlainText::default().push(&bytes, &mut plain);
    let text = String::from_utf8_lossy(&plain);
    let mut kept: Vec<String> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Ok(kept.split_off(kept.len().saturating_sub(lines)))
}

/// Reads the log as it grows.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    position: u64,
}

impl Follower {
    /// Follows the log at `path` from `offset` on.
    #[must_use]
    pub fn new(path: &Path, offset: u64) -> Self {
        Self { path: path.to_owned(), position: offset }
    }

    /// What was written since the last call.
    ///
    /// # Errors
    /// The system's.
    pub fn read_new(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if length(&self.path)? > self.position {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.position))?;
            file.read_to_end(&mut bytes)?;
            self.position += bytes.len() as u64;
        }
        Ok(bytes)
    }
}

/// Takes terminal control out of a stream of bytes that may be cut anywhere.
#[derive(Debug, Default)]
pub struct PlainText {
    state: Escape,
}

#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    /// After the escape character.
    Start,
    /// In a control sequence, until its final byte.
    Control,
    /// In an operating system command, until the bell or the next escape.
    Command,
}

impl PlainText {
    /// Appends to `plain` what is text in `bytes`.
    pub fn push(&mut self, bytes: &[u8], plain: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = match (&self.state, byte) {
                (Escape::None | Escape::Command, 0x1b) => Escape::Start,
                (Escape::Start, b'[') => Escape::Control,
                (Escape::Start, b']') => Escape::Command,
                (Escape::Control, 0x20..=0x3f) => Escape::Control,
                (Escape::Command, byte) if byte != 0x07 => Escape::Command,
                (Escape::None, byte) => {
                    if byte >= 0x20 && byte != 0x7f || byte == b'\n' || byte == b'\t' {
                        plain.push(byte);
                    }
                    Escape::None
                }
                (Escape::Start | Escape::Control | Escape::Command, _) => Escape::None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_tail_begins_at_the_offset_and_is_plain() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        log.write_all(b"old boot\n").unwrap();
        let offset = length(log.path()).unwrap();
        assert!(tail(log.path(), offset, 25).unwrap().is_empty());
        log.write_all(b"\x1b[2J\x1b[01;01H\x1b[0;32m  OK  \x1b[0m one\r\n\r\n\x1b]0;title\x07two\r\nthree\n").unwrap();
        assert_eq!(tail(log.path(), offset, 25).unwrap(), ["  OK   one", "two", "three"]);
        assert_eq!(tail(log.path(), offset, 2).unwrap(), ["two", "three"]);
        assert!(tail(Path::new("/nowhere/console.log"), 0, 2).unwrap().is_empty());
    }

    #[test]
    fn escapes_that_are_cut_in_two_are_still_escapes() {
        let text = b"a\x1b[1;31mb\x1bMc\x1b]0;t\x1b\\d\te\n";
        for cut in 0..text.len() {
            let (mut plain, mut filter) = (Vec::new(), PlainText::default());
            filter.push(&text[..cut], &mut plain);
            filter.push(&text[cut..], &mut plain);
            assert_eq!(plain, b"abcd\te\n", "cut at {cut}");
        }
    }
}
