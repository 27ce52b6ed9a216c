//! A part of a catalog: publisher → name → list of versions, each with what the part is for.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::error::{CatalogError, CatalogErrorKind};
use crate::fmri::{Publisher, Stem};
use crate::version::Version;

pub(super) type Part = BTreeMap<Publisher, BTreeMap<Stem, Vec<PartEntry>>>;

/// One version in a part.
#[derive(Debug)]
pub(super) struct PartEntry {
    pub(super) version: Version,
    pub(super) manifest_sha1: Option<String>,
    pub(super) actions: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
struct RawEntry {
    version: String,
    #[serde(default, rename = "signature-sha-1")]
    signature_sha1: Option<String>,
    #[serde(default)]
    actions: Vec<String>,
}

/// The members of a file that are publishers. Other members, which begin with `_` as no publisher does, are skipped: the
/// signature, and what OmniOS says of the form of the file (`_FEATURE`).
#[derive(Debug)]
pub(super) struct ByPublisher<E>(pub(super) BTreeMap<String, BTreeMap<String, Vec<E>>>);

impl<'de, E: Deserialize<'de>> Deserialize<'de> for ByPublisher<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PublisherVisitor(PhantomData))
    }
}

struct PublisherVisitor<E>(PhantomData<E>);

impl<'de, E: Deserialize<'de>> Visitor<'de> for PublisherVisitor<E> {
    type Value = ByPublisher<E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a member for each publisher")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut publishers = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.starts_with('_') {
                map.next_value::<IgnoredAny>()?;
            } else {
                publishers.insert(name, map.next_value()?);
            }
        }
        Ok(ByPublisher(publishers))
    }
}

pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Part, CatalogError> {
    let raw: ByPublisher<RawEntry> =
        serde_json::from_slice(bytes).map_err(|error| CatalogError::new(file, CatalogErrorKind::Json(error)))?;
    typed(file, raw, |raw, version| PartEntry { version, manifest_sha1: raw.signature_sha1, actions: raw.actions })
}

/// What has a version that is still text.
pub(super) trait HasVersion {
    fn version(&self) -> &str;
}

impl HasVersion for RawEntry {
    fn version(&self) -> &str {
        &self.version
    }
}

/// Names and versions as what they are.
pub(super) fn typed<R: HasVersion, E>(
    file: &str,
    raw: ByPublisher<R>,
    mut entry: impl FnMut(R, Version) -> E,
) -> Result<BTreeMap<Publisher, BTreeMap<Stem, Vec<E>>>, CatalogError> {
    let name_error = |error| CatalogError::new(file, CatalogErrorKind::Name(error));
    let mut publishers = BTreeMap::new();
    for (publisher, raw_stems) in raw.0 {
        let mut stems = BTreeMap::new();
        for (stem, raw_entries) in raw_stems {
            let stem: Stem = stem.parse().map_err(name_error)?;
            let mut entries = Vec::with_capacity(raw_entries.len());
            for raw in raw_entries {
                let version = raw.version().parse().map_err(|source| {
                    let stem = stem.to_string();
                    CatalogError::new(file, CatalogErrorKind::PackageVersion { stem, source })
                })?;
                entries.push(entry(raw, version));
            }
            stems.insert(stem, entries);
        }
        publishers.insert(publisher.parse().map_err(name_error)?, stems);
    }
    Ok(publishers)
}
