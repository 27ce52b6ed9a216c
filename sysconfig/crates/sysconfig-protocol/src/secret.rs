//! A string that never shows itself.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// What is shown in place of a secret.
pub const REDACTED: &str = "***";

/// A password, key or token from the configuration.
///
/// Its `Debug` prints `***`, it has no `Display`, and reading it takes the explicit [`Secret::expose`]. It
/// serialises as the text itself, because a plugin must be given it; whatever is logged or stored goes through
/// `Debug` or [`crate::Step::redacted`] instead. Something else in its place, such as a number without quotation marks, is
/// refused without being quoted, whatever it is read with.
#[derive(Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Never log, store or put it into an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_string`: then the format would refuse what is no string, and quote it.
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

/// What is refused is refused here, because the defaults quote it.
macro_rules! refuse {
    ($($method:ident($kind:ty))*) => {$(
        fn $method<E: Error>(self, _: $kind) -> Result<Secret, E> {
            Err(E::custom("a secret has to be a string"))
        }
    )*};
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret(text))
    }

    refuse! {
        visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_i128(i128) visit_u128(u128) visit_f64(f64) visit_bytes(&[u8])
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}
