//! Properties of datasets and pools that an image may set, and how their values are stored.
//!
//! A dataset's properties are entries of its DSL directory's property ZAP: numbers and keywords as one 64-bit
//! integer, text with its NUL. What is not in the ZAP is inherited or has its default.
//!
//! Sources: `zfs_prop.c`, `zpool_prop.c` and `fs/zfs.h` of illumos (2023-12), `libzfs_dataset.c`
//! (`zfs_valid_proplist`), `libzfs_util.c` (`zfs_nicestrtonum`), `spa.c` (`spa_sync_props`).

mod table;
mod value;

pub use table::{Keyword, Kind, Property, Storage, dataset_properties, pool_properties};

use crate::feature::{self, FeatureError};
use crate::name::{self, NameError};
use crate::zap::{Value, ZapEntry};

/// `ZAP_MAXVALUELEN`: the longest value of a user property with its NUL, in bytes.
pub const USER_VALUE_BYTES_MAX: usize = 8192;

/// A value as ZFS stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A number, size, keyword or switch.
    Number(u64),
    /// Text, without the NUL that is stored after it.
    Text(String),
}

/// A property with its value, checked and ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedProperty {
    /// The full name; short ones such as `compress` have been resolved.
    pub name: String,
    /// The value.
    pub value: Stored,
    /// Where it is stored.
    pub storage: Storage,
}

impl EncodedProperty {
    /// The entry of the property ZAP.
    #[must_use]
    pub fn zap_entry(&self) -> ZapEntry {
        match &self.value {
            Stored::Number(number) => ZapEntry::integer(self.name.as_str(), *number),
            Stored::Text(text) => ZapEntry::text(self.name.as_str(), text),
        }
    }

    /// The number, if the value is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match &self.value {
            Stored::Number(number) => Some(*number),
            Stored::Text(_) => None,
        }
    }
}

/// Why ZFS would refuse a property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// No such property.
    #[error("there is no property `{name}`{}", suggestion.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// The name as given.
        name: Box<str>,
        /// The nearest one that there is.
        suggestion: Option<&'static str>,
    },
    /// ZFS computes this property.
    #[error("the property `{0}` is read-only")]
    ReadOnly(Box<str>),
    /// The property exists, but an image cannot have it, for this reason.
    #[error("the property `{name}` cannot be set in an image: {reason}")]
    NotInImages {
        /// The name.
        name: Box<str>,
        /// Why.
        reason: &'static str,
    },
    /// ZFS takes the value, but an image cannot have it.
    #[error("`{value}` of `{name}` cannot be written; in an image there are {allowed}")]
    ValueNotInImages {
        /// The property.
        name: Box<str>,
        /// The value as given.
        value: Box<str>,
        /// The values that there are.
        allowed: Box<str>,
    },
    /// The value is none of the keywords.
    #[error(transparent)]
    Keyword(#[from] Box<WrongKeyword>),
    /// The value is no number, or no size.
    #[error("`{value}` is no value of `{name}`: {reason}")]
    Value {
        /// The property.
        name: Box<str>,
        /// The value as given.
        value: Box<str>,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// A user property with a name that ZFS refuses.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A feature that is not known or cannot be had.
    #[error(transparent)]
    Feature(#[from] FeatureError),
}

impl PropertyError {
    /// Whether ZFS itself would take the property, and only an image cannot have it.
    #[must_use]
    pub fn is_of_images(&self) -> bool {
        let is_unwritten = matches!(self, Self::Feature(FeatureError::NotWritten(_)));
        is_unwritten || matches!(self, Self::NotInImages { .. } | Self::ValueNotInImages { .. })
    }
}

/// A value that is none of a property's keywords.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no value of `{name}`; there are {allowed}{}", suggestion.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
pub struct WrongKeyword {
    /// The property.
    pub name: String,
    /// The value as given.
    pub value: String,
    /// The values that there are.
    pub allowed: String,
    /// The nearest of them.
    pub suggestion: Option<&'static str>,
}

/// Checks a property of a file system and encodes its value. Names with a colon are user properties.
///
/// # Errors
/// What `zfs set` would say, and what an image cannot have.
pub fn parse_dataset(name: &str, value: &str) -> Result<EncodedProperty, PropertyError> {
    if name.contains(':') {
        return parse_user(name, value);
    }
    if let Some((kind, _)) = name.split_once('@') {
        check_counted(kind, name)?;
    }
    parse_native(dataset_properties(), name, value)
}

/// Checks a pool property and encodes its value. `feature@NAME` is for [`parse_feature`].
///
/// # Errors
/// What `zpool create` would say, and what an image cannot have.
pub fn parse_pool(name: &str, value: &str) -> Result<EncodedProperty, PropertyError> {
    parse_native(pool_properties(), name, value)
}

/// Whether `feature@NAME=value` enables the feature.
///
/// # Errors
/// The feature is not known, or the value is neither `enabled` nor `disabled`.
pub fn parse_feature(name: &str, value: &str) -> Result<(&'static feature::Feature, bool), PropertyError> {
    let short = name.strip_prefix("feature@").unwrap_or(name);
    let found = feature::find(short).ok_or_else(|| FeatureError::Unknown(short.to_owned()))?;
    match value {
        "enabled" => Ok((found, true)),
        "disabled" => Ok((found, false)),
        _ => Err(PropertyError::from(Box::new(WrongKeyword {
            name: name.to_owned(),
            value: value::printable(value),
            allowed: "enabled | disabled".to_owned(),
            suggestion: nearest(value, ["enabled", "disabled"].into_iter()),
        }))),
    }
}

/// Refuses the properties that ZFS counts or limits by user, group, project or snapshot (`userquota@joe`; `zfs_userquota_prop_t`
/// of `fs/zfs.h`): they are no entries of the property ZAP.
fn check_counted(kind: &str, name: &str) -> Result<(), PropertyError> {
    let name = || value::printable(name).into();
    let of_whom = ["user", "group", "project"].into_iter().find_map(|whom| kind.strip_prefix(whom));
    match (of_whom, kind) {
        (Some("quota" | "objquota"), _) => {
            let reason = "ZFS keeps it in a table of the dataset, which is not written; set it on the running system";
            Err(PropertyError::NotInImages { name: name(), reason })
        }
        (Some("used" | "objused"), _) | (None, "written") => Err(PropertyError::ReadOnly(name())),
        _ => Ok(()),
    }
}

fn parse_user(name: &str, value: &str) -> Result<EncodedProperty, PropertyError> {
    name::check_user_property(name)?;
    if value.len() >= USER_VALUE_BYTES_MAX {
        let reason = format!("it has {} bytes, more than {}", value.len(), USER_VALUE_BYTES_MAX - 1);
        return Err(value::error(name, "the value", reason));
    }
    value::check_text(name, value)?;
    Ok(EncodedProperty { name: name.to_owned(), value: Stored::Text(value.to_owned()), storage: Storage::Zap })
}

fn parse_native(table: &'static [Property], name: &str, value: &str) -> Result<EncodedProperty, PropertyError> {
    let found = table.iter().find(|property| property.name == name || property.short == Some(name));
    let property = found.ok_or_else(|| {
        let names =
            table.iter().map(|property| property.name).chain(table.iter().filter_map(|property| property.short));
        PropertyError::Unknown { name: value::printable(name).into(), suggestion: nearest(name, names) }
    })?;
    match property.storage {
        Storage::ReadOnly => return Err(PropertyError::ReadOnly(property.name.into())),
        Storage::Refused(reason) => {
            return Err(PropertyError::NotInImages { name: property.name.into(), reason });
        }
        _ => {}
    }
    let value = value::parse(property, value)?;
    Ok(EncodedProperty { name: property.name.to_owned(), value, storage: property.storage })
}

/// The text of a stored value, as `zfs get` shows it; for dumps and the reader.
#[must_use]
pub fn display(table: &[Property], name: &str, value: &Value) -> String {
    if let Some(text) = value.as_text() {
        return String::from_utf8_lossy(text).into_owned();
    }
    let Some(number) = value.as_u64() else { return format!("{value:?}") };
    let property = table.iter().find(|property| property.name == name);
    let keyword = property.and_then(|property| property.kind.keyword(number));
    keyword.map_or_else(|| number.to_string(), str::to_owned)
}

/// The candidate that is near enough to be meant: at most a third of the letters differ.
fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let distance = |candidate: &&str| edit_distance(word.as_bytes(), candidate.as_bytes());
    candidates
        .min_by_key(distance)
        .filter(|candidate| distance(candidate) <= (word.len().max(candidate.len()) / 3).max(1))
}

/// Insertions, deletions and replacements that lead from one word to the other.
fn edit_distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, candidate) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != candidate);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
