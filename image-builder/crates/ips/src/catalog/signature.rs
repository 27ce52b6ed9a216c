//! The signatures of catalog files: SHA-1 over the text without the signature itself.
//!
//! They protect against damage and against parts from different times, not against anybody.

use sha1::{Digest, Sha1};

use crate::manifest::to_hex;

/// What [`check_signature`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The SHA-1 that the content has, in hexadecimal digits.
    pub computed: String,
    /// The SHA-1 that the file says, if it says one.
    pub stated: Option<String>,
}

/// The member with the signature, which is the last one of the file.
const MEMBER: &[u8] = b"\"_SIGNATURE\":";

/// Computes the signature of a catalog file, and finds the one in it.
#[must_use]
pub fn check_signature(bytes: &[u8]) -> Signed {
    let found = bytes.windows(MEMBER.len()).rposition(|window| window == MEMBER);
    let Some(at) = found else {
        return Signed { computed: to_hex(&Sha1::digest(bytes)), stated: None };
    };
    let before = bytes[..at].strip_suffix(b",").unwrap_or(&bytes[..at]);
    let computed = Sha1::new().chain_update(before).chain_update(b"}\n").finalize();
    let stated = std::str::from_utf8(&bytes[at..]).unwrap_or_default();
    let stated = stated.split('"').nth(5).filter(|_| stated.split('"').nth(3) == Some("sha-1"));
    Signed { computed: to_hex(&computed), stated: stated.map(str::to_owned) }
}

/// Adds the signature to a JSON object without one; the result is the text with its newline, and the SHA-1.
#[must_use]
pub fn sign(object: &str) -> (String, String) {
    let body = object.trim_end().strip_suffix('}').unwrap_or_default();
    let sha1 = to_hex(&Sha1::new().chain_update(body).chain_update("}\n").finalize());
    let comma = if body.ends_with('{') { "" } else { "," };
    (format!("{body}{comma}\"_SIGNATURE\":{{\"sha-1\":\"{sha1}\"}}}}\n"), sha1)
}
