//! The two kinds of addresses: of a blob in the store, and of a whole tree.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not 64 hexadecimal digits was given where a hash is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a hash: 64 hexadecimal digits are wanted")]
pub struct ParseHashError {
    /// The text as given.
    pub text: String,
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The hash with these 32 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                parse_hex(text).map(Self).ok_or_else(|| ParseHashError { text: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hash_type! {
    /// The BLAKE3 hash of a blob: its address in the [store](crate::Store).
    BlobHash
}

hash_type! {
    /// The hash of a whole [tree](crate::Tree): names, metadata, contents and hard links.
    ///
    /// It is the BLAKE3 hash of the tree object (`docs/formats/content-store.md`), so that the
    /// tree object is the blob with these same 32 bytes as its address.
    TreeHash
}

impl BlobHash {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl TreeHash {
    /// The address of the tree object in the store.
    #[must_use]
    pub const fn blob(self) -> BlobHash {
        BlobHash(self.0)
    }
}

impl From<blake3::Hash> for BlobHash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d)).collect();
    if digits.len() == 64 { pairs.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let hash = BlobHash::of(b"content");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(serde_json::from_str::<BlobHash>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
    }

    #[test]
    fn the_hash_is_blake3() {
        // The first 32 bytes of the published test vector for empty input.
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(BlobHash::of(b"").to_string(), empty);
    }

    #[test]
    fn other_text_is_refused_and_named() {
        let good = BlobHash::of(b"").to_string();
        for bad in ["", "af13", &good[1..], &format!("{good}0"), &good.replace('a', "g"), &good.replace('a', "ä")] {
            assert_eq!(bad.parse::<BlobHash>(), Err(ParseHashError { text: bad.to_owned() }));
        }
    }
}
