//! Payloads: what a repository calls them, and how their content is known to be right.

use std::fmt;

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512_256};

use super::action::{Action, AttributeError};

/// The payload of a `file`, `license` or `signature` action.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    hash: &'a str,
    action: &'a Action,
}

/// What a manifest says of a payload is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The positional hash is no SHA-1 hash, so that no payload can be named by it.
    #[error("`{hash}` is not the name of a payload: 40 hexadecimal digits are wanted")]
    Name {
        /// The hash.
        hash: String,
    },
    /// A size is no number.
    #[error("the size of payload {hash} is unusable")]
    Size {
        /// The payload.
        hash: String,
        /// What is wrong.
        #[source]
        source: AttributeError,
    },
}

/// The hash of a content, by a function that this crate can compute.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileHash {
    /// SHA-512/256: not a cut SHA-512, but the function with initial values of its own.
    Sha512T256([u8; 32]),
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-1, of old publications only.
    Sha1([u8; 20]),
}

impl<'a> Payload<'a> {
    pub(super) fn new(hash: &'a str, action: &'a Action) -> Self {
        Self { hash, action }
    }

    /// The action that it is of, for messages: `file usr/bin/ls`.
    #[must_use]
    pub fn outline(&self) -> String {
        self.action.outline()
    }

    /// The name of the payload in repositories: the SHA-1 of its plain content, 40 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// The manifest has something else there; it could lead to any path.
    pub fn name(&self) -> Result<&'a str, PayloadError> {
        let is_hash = self.hash.len() == 40 && self.hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hash { Ok(self.hash) } else { Err(PayloadError::Name { hash: crate::text::shown(self.hash) }) }
    }

    /// The length of the plain content in bytes, if the manifest says it.
    ///
    /// # Errors
    /// It is no number.
    pub fn size(&self) -> Result<Option<u64>, PayloadError> {
        self.size_in("pkg.size")
    }

    /// The length of the compressed content in bytes, if the manifest says it.
    ///
    /// # Errors
    /// It is no number.
    pub fn compressed_size(&self) -> Result<Option<u64>, PayloadError> {
        self.size_in("pkg.csize")
    }

    /// The strongest hash of the plain content that the manifest has and this crate can compute. Hashes over parts of
    /// an ELF file (`gelf`, `elfhash`) are not over the content, and unknown functions are passed over.
    ///
    /// # Errors
    /// There is not even the name.
    pub fn strongest_hash(&self) -> Result<FileHash, PayloadError> {
        let content = self.content_hashes("file:");
        let old = self.action.get("pkg.hash.sha256").and_then(|hex| FileHash::from_hex("sha256", hex));
        let strongest = content.chain(old).max_by_key(FileHash::strength);
        let by_name = || self.name().map(|name| FileHash::from_hex("sha1", name));
        match strongest {
            Some(hash) => Ok(hash),
            None => by_name()?.ok_or_else(|| PayloadError::Name { hash: crate::text::shown(self.hash) }),
        }
    }

    /// The strongest hash of the compressed content, if there is any.
    #[must_use]
    pub fn strongest_compressed_hash(&self) -> Option<FileHash> {
        let old = self.action.get("pkg.chash.sha256").and_then(|hex| FileHash::from_hex("sha256", hex));
        let oldest = self.action.get("chash").and_then(|hex| FileHash::from_hex("sha1", hex));
        self.content_hashes("gzip:").chain(old).chain(oldest).max_by_key(FileHash::strength)
    }

    fn content_hashes(&self, what: &'static str) -> impl Iterator<Item = FileHash> + use<'a> {
        self.action.values("pkg.content-hash").filter_map(move |value| {
            let (function, hex) = value.strip_prefix(what)?.split_once(':')?;
            FileHash::from_hex(function, hex)
        })
    }

    fn size_in(&self, attribute: &'static str) -> Result<Option<u64>, PayloadError> {
        let size = self.action.number(attribute);
        size.map_err(|source| PayloadError::Size { hash: crate::text::shown(self.hash), source })
    }
}

impl FileHash {
    /// The hash that `function:hex` of a `pkg.content-hash` names; none if it is another function or malformed.
    #[must_use]
    pub fn from_hex(function: &str, hex: &str) -> Option<Self> {
        let bytes = parse_hex(hex)?;
        match function {
            "sha512t_256" => bytes.try_into().ok().map(Self::Sha512T256),
            "sha256" => bytes.try_into().ok().map(Self::Sha256),
            "sha1" => bytes.try_into().ok().map(Self::Sha1),
            _ => None,
        }
    }

    /// The name of the function, as in `pkg.content-hash`.
    #[must_use]
    pub fn function(&self) -> &'static str {
        match self {
            Self::Sha512T256(_) => "sha512t_256",
            Self::Sha256(_) => "sha256",
            Self::Sha1(_) => "sha1",
        }
    }

    /// The bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha512T256(bytes) | Self::Sha256(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
        }
    }

    /// What computes a hash of the same function.
    #[must_use]
    pub fn hasher(&self) -> ContentHasher {
        match self {
            Self::Sha512T256(_) => ContentHasher::Sha512T256(Sha512_256::new()),
            Self::Sha256(_) => ContentHasher::Sha256(Sha256::new()),
            Self::Sha1(_) => ContentHasher::Sha1(Sha1::new()),
        }
    }

    /// Whether `content` has this hash.
    #[must_use]
    pub fn is_of(&self, content: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(content);
        hasher.finish() == *self
    }

    fn strength(&self) -> u8 {
        match self {
            Self::Sha512T256(_) => 2,
            Self::Sha256(_) => 1,
            Self::Sha1(_) => 0,
        }
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.function(), to_hex(self.as_bytes()))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Computes a [`FileHash`] of content that comes in parts.
#[derive(Debug, Clone)]
pub enum ContentHasher {
    /// SHA-512/256.
    Sha512T256(Sha512_256),
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-1.
    Sha1(Sha1),
}

impl ContentHasher {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        match self {
            Self::Sha512T256(hasher) => hasher.update(part),
            Self::Sha256(hasher) => hasher.update(part),
            Self::Sha1(hasher) => hasher.update(part),
        }
    }

    /// The hash of all parts.
    #[must_use]
    pub fn finish(self) -> FileHash {
        match self {
            Self::Sha512T256(hasher) => FileHash::Sha512T256(hasher.finalize().into()),
            Self::Sha256(hasher) => FileHash::Sha256(hasher.finalize().into()),
            Self::Sha1(hasher) => FileHash::Sha1(hasher.finalize().into()),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that an even number of hexadecimal digits stands for.
#[must_use]
pub fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect()
}
