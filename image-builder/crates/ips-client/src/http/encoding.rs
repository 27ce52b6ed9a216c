//! How answers are packed on their way: texts are asked for in gzip, which makes a catalog a tenth as long.

use std::io::{self, Read, Seek, SeekFrom, Write};

use flate2::read::MultiGzDecoder;
use tempfile::SpooledTempFile;
use ureq::http::HeaderMap;

use super::answer::header;
use super::error::HttpError;

/// What is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text, which a server may pack on its way.
    Text,
    /// What is packed already, and comes as it is.
    Payload,
}

impl Form {
    /// The value of `Accept-Encoding`.
    pub(super) fn accepts(self) -> &'static str {
        match self {
            Self::Text => "gzip",
            Self::Payload => "identity",
        }
    }
}

/// Whether an answer of this form was packed on its way.
///
/// # Errors
/// It was packed in a way that nobody asked for. Payloads are gzip by themselves; servers that call that their encoding
/// mean what is wanted.
pub(super) fn is_packed(headers: &HeaderMap, form: Form) -> Result<bool, HttpError> {
    let encoding = header(headers, "content-encoding").unwrap_or_default().trim().to_ascii_lowercase();
    match (encoding.as_str(), form) {
        ("" | "identity", _) | ("gzip" | "x-gzip", Form::Payload) => Ok(false),
        ("gzip" | "x-gzip", Form::Text) => Ok(true),
        (other, _) => Err(HttpError::Content { reason: format!("it came as `{other}`, which nobody asked for") }),
    }
}

/// Unpacks an answer to what it was before, of no more than `limit` bytes.
pub(super) fn unpack(answer: &mut SpooledTempFile, limit: u64, memory: usize) -> Result<(), HttpError> {
    answer.seek(SeekFrom::Start(0)).map_err(HttpError::Temporary)?;
    let mut plain = SpooledTempFile::new(memory);
    let mut decoder = MultiGzDecoder::new(&mut *answer);
    let mut buffer = vec![0; 64 << 10];
    let mut length: u64 = 0;
    loop {
        let count = match decoder.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HttpError::Broken { received: length, reason: error.to_string() }),
        };
        length += count as u64;
        if length > limit {
            return Err(HttpError::TooLong { limit });
        }
        plain.write_all(&buffer[..count]).map_err(HttpError::Temporary)?;
    }
    drop(decoder);
    *answer = plain;
    Ok(())
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_taken() {
        for (encoding, text, payload) in [
            ("", Some(false), Some(false)),
            ("Identity", Some(false), Some(false)),
            ("GZIP ", Some(true), Some(false)),
            ("x-gzip", Some(true), Some(false)),
            ("br", None, None),
            ("gzip, gzip", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("content-encoding", encoding.parse().unwrap());
            assert_eq!(is_packed(&headers, Form::Text).ok(), text, "{encoding}");
            assert_eq!(is_packed(&headers, Form::Payload).ok(), payload, "{encoding}");
        }
    }

    #[test]
    fn bombs_and_damage_end_early() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&vec![7; 1 << 20]).unwrap();
        let packed = packer.finish().unwrap();
        let unpacked = |bytes: &[u8], limit| {
            let mut answer = SpooledTempFile::new(1 << 10);
            answer.write_all(bytes).unwrap();
            unpack(&mut answer, limit, 1 << 10).map(|()| answer.stream_position().unwrap())
        };
        assert_eq!(unpacked(&packed, 1 << 20).unwrap(), 1 << 20);
        assert!(matches!(unpacked(&packed, (1 << 20) - 1), Err(HttpError::TooLong { limit: 0xfffff })));
        let half = unpacked(&packed[..packed.len() / 2], 1 << 20);
        assert!(matches!(half, Err(HttpError::Broken { .. })), "{half:?}");
        assert!(matches!(unpacked(b"<html>", 1 << 20), Err(HttpError::Broken { received: 0, .. })));
    }
}
