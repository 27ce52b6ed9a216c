//! One action: its kind, the hash of its payload, and its attributes.

use std::cmp::Ordering;
use std::str::FromStr;
use std::sync::Arc;

use image_tree::{ImagePath, PathError};

use super::error::{ManifestError, ManifestErrorKind};
use super::kind::ActionKind;
use super::payload::Payload;

/// An action of a manifest. The attributes keep their order; an attribute that stands several times is a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    kind: ActionKind,
    hash: Option<Box<str>>,
    attributes: Vec<(Arc<str>, Box<str>)>,
}

/// An attribute does not hold what its action needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// The attribute is not there.
    #[error("`{kind}` action has no attribute `{name}`")]
    Missing {
        /// The kind of the action.
        kind: ActionKind,
        /// The attribute.
        name: &'static str,
    },
    /// The attribute stands more than once.
    #[error("`{kind}` action has more than one value for `{name}`")]
    Repeated {
        /// The kind of the action.
        kind: ActionKind,
        /// The attribute.
        name: &'static str,
    },
    /// The value means nothing.
    #[error("`{kind}` action has `{name}={value}`, which is not {wanted}")]
    Invalid {
        /// The kind of the action.
        kind: ActionKind,
        /// The attribute.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wanted there.
        wanted: &'static str,
    },
    /// The value cannot be a path in an image.
    #[error("`{kind}` action has an impossible path")]
    Path {
        /// The kind of the action.
        kind: ActionKind,
        /// What is wrong with the path.
        #[source]
        source: PathError,
    },
}

impl Action {
    /// An action of which nothing is checked yet.
    pub(super) fn from_parts(kind: ActionKind, hash: Option<Box<str>>, attributes: Vec<(Arc<str>, Box<str>)>) -> Self {
        Self { kind, hash, attributes }
    }

    /// What the action is.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        self.kind
    }

    /// The hash by which the repository knows the payload; `NOHASH` and its like of unpublished manifests included.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        self.hash.as_deref()
    }

    /// Names and values in the order of the text.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of an attribute; of a list, the first one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All values of an attribute, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes().filter(move |(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The only value of an attribute that may be missing.
    ///
    /// # Errors
    /// It stands several times.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, AttributeError> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(AttributeError::Repeated { kind: self.kind, name }),
        }
    }

    /// The only value of an attribute that has to be there.
    ///
    /// # Errors
    /// It is missing or stands several times.
    pub fn required(&self, name: &'static str) -> Result<&str, AttributeError> {
        self.optional(name)?.ok_or(AttributeError::Missing { kind: self.kind, name })
    }

    /// The value of an attribute as a decimal number; none if it is missing or empty.
    ///
    /// # Errors
    /// It is no number of this type, or stands several times.
    pub fn number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, AttributeError> {
        match self.optional(name)? {
            None | Some("") => Ok(None),
            Some(value) => value.parse().map(Some).map_err(|_| self.invalid(name, value, "a number in range")),
        }
    }

    /// The permission bits in `mode`, an octal number.
    ///
    /// # Errors
    /// It is missing, no octal number, beyond 07777, or 0, which nobody means.
    pub fn mode(&self) -> Result<u16, AttributeError> {
        let value = self.required("mode")?;
        let mode = u16::from_str_radix(value, 8).ok().filter(|mode| mode & !image_tree::MODE_MASK == 0);
        mode.filter(|mode| *mode != 0 && !value.starts_with('+'))
            .ok_or_else(|| self.invalid("mode", value, "an octal number from 1 to 7777"))
    }

    /// The path that the action delivers, from the root of the image. A slash before and after it is tolerated.
    ///
    /// # Errors
    /// It is missing, has `..`, or cannot be a path for another reason; or it is the root itself.
    pub fn path(&self) -> Result<ImagePath, AttributeError> {
        let value = self.required("path")?;
        let path = ImagePath::from_relative(value);
        let path = path.map_err(|source| AttributeError::Path { kind: self.kind, source })?;
        if path.is_root() && self.kind != ActionKind::Dir {
            return Err(self.invalid("path", value, "the path of something that can be replaced"));
        }
        Ok(path)
    }

    /// The payload, if this kind of action has one.
    #[must_use]
    pub fn payload(&self) -> Option<Payload<'_>> {
        let hash = self.hash().filter(|_| self.kind.has_payload())?;
        Some(Payload::new(hash, self))
    }

    /// The error for a value that means nothing.
    #[must_use]
    pub fn invalid(&self, name: &'static str, value: &str, wanted: &'static str) -> AttributeError {
        AttributeError::Invalid { kind: self.kind, name, value: crate::text::shown(value), wanted }
    }

    /// The kind of the action, and what names its object: `file usr/bin/ls`.
    #[must_use]
    pub fn outline(&self) -> String {
        let key = self.kind.required_attributes().first().and_then(|name| self.get(name));
        key.map_or_else(|| self.kind.to_string(), |key| format!("{} {}", self.kind, crate::text::shown(key)))
    }

    /// The order of execution: by kind, then paths and names by their bytes, users and groups by their numeric id
    /// (those without one as if it were 1024).
    #[must_use]
    pub fn cmp_execution(&self, other: &Self) -> Ordering {
        let id = |action: &Self| match action.kind {
            ActionKind::User => action.get("uid").map_or(Ok(1024), str::parse).unwrap_or(u32::MAX),
            ActionKind::Group => action.get("gid").map_or(Ok(1024), str::parse).unwrap_or(u32::MAX),
            _ => 0,
        };
        let key = |action: &Self| {
            let name = action.kind.required_attributes().first();
            name.and_then(|name| action.get(name)).unwrap_or_default().to_owned()
        };
        self.kind.cmp(&other.kind).then_with(|| id(self).cmp(&id(other))).then_with(|| key(self).cmp(&key(other)))
    }

    /// Adds a value to an attribute.
    ///
    /// # Errors
    /// The name could not be read again (empty, with blanks, quotes or `=`), or there is a line break in either.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), ManifestErrorKind> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\'')) {
            return Err(ManifestErrorKind::BadName { name: crate::text::shown(name) });
        }
        if value.contains('\n') {
            return Err(ManifestErrorKind::LineBreak { name: name.to_owned() });
        }
        self.attributes.push((name.into(), value.into()));
        Ok(())
    }

    /// Removes an attribute with all its values.
    pub fn remove(&mut self, name: &str) {
        self.attributes.retain(|(other, _)| &**other != name);
    }

    /// Sets the hash of the payload.
    pub fn set_hash(&mut self, hash: &str) {
        self.hash = Some(hash.into());
    }
}

impl FromStr for Action {
    type Err = ManifestError;

    /// Reads one action, as it stands in catalogs.
    fn from_str(text: &str) -> Result<Self, ManifestError> {
        super::parse::single(text)
    }
}
