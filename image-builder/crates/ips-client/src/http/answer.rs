//! Answers, whole and in parts.

use std::io::{self, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;
use ureq::Body;
use ureq::http::{HeaderMap, Response};

use super::Wanted;
use super::error::HttpError;

/// An answer on its way: what has come of it, and how it can be gone on with.
pub(super) struct Arriving {
    pub(super) content: SpooledTempFile,
    /// How many bytes have come.
    pub(super) received: u64,
    /// `ETag`, or else `Last-Modified`.
    pub(super) validator: Option<String>,
    /// Whether a part was sent, and not the whole anew.
    pub(super) was_resumed: bool,
    /// Whether it is packed on its way.
    pub(super) is_packed: bool,
    /// Whether all of it has come.
    pub(super) is_whole: bool,
}

impl Arriving {
    /// An answer of which nothing has come. `memory` bytes of it are not put into a file.
    pub(super) fn new(memory: usize) -> Self {
        Self {
            content: SpooledTempFile::new(memory),
            received: 0,
            validator: None,
            was_resumed: false,
            is_packed: false,
            is_whole: false,
        }
    }

    /// Takes what comes.
    pub(super) fn receive(&mut self, response: Response<Body>, wanted: &Wanted<'_>) -> Result<(), HttpError> {
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(HttpError::Broken { received: self.received, reason: error.to_string() }),
            };
            self.content.write_all(&buffer[..count]).map_err(HttpError::Temporary)?;
            self.received += count as u64;
            (wanted.came)(self.received);
            if self.received > wanted.limit {
                return Err(if self.is_page() { HttpError::Page } else { HttpError::TooLong { limit: wanted.limit } });
            }
        }
        self.is_whole = true;
        Ok(())
    }

    /// Whether it is a web page, which nothing that depots have is.
    pub(super) fn is_page(&mut self) -> bool {
        let mut begin = [0; 64];
        let count = self.rewind().map(|()| self.content.read(&mut begin).unwrap_or_default()).unwrap_or_default();
        !self.is_packed && begin[..count].trim_ascii_start().first() == Some(&b'<')
    }

    /// Forgets what has come.
    pub(super) fn reset(&mut self) -> Result<(), HttpError> {
        self.rewind().and_then(|()| self.content.set_len(0).map_err(HttpError::Temporary))?;
        (self.received, self.validator) = (0, None);
        (self.was_resumed, self.is_packed, self.is_whole) = (false, false, false);
        Ok(())
    }

    pub(super) fn rewind(&mut self) -> Result<(), HttpError> {
        self.content.seek(SeekFrom::Start(0)).map(drop).map_err(HttpError::Temporary)
    }
}

pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = header(headers, "etag").filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| header(headers, "last-modified")).map(str::to_owned)
}

/// `Content-Range: bytes START-END/LENGTH`
pub(super) fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = header(headers, "content-range")?.trim().strip_prefix("bytes")?;
    range.trim_start().split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_part() {
        for (text, expected) in
            [("bytes 17-99/100", Some(17)), ("bytes 0-0/*", Some(0)), ("bytes */100", None), ("lines 1-2/3", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("content-range", text.parse().unwrap());
            assert_eq!(range_start(&headers), expected, "{text}");
        }
    }

    #[test]
    fn only_strong_tags_tell_whether_the_content_is_the_same() {
        let mut headers = HeaderMap::new();
        headers.insert("last-modified", "Mon".parse().unwrap());
        headers.insert("etag", "W/\"x\"".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("Mon"));
        headers.insert("etag", "\"x\"".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("\"x\""));
    }
}
