//! The catalogs inside an image: which packages are installed, and since when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{BASE, CatalogAttrs, FileInfo};
use crate::fmri::{Fmri, FmriError, PackageId, Stem};
use crate::resolve::AvoidReason;
use crate::time::OperationTime;

/// A package is known.
const KNOWN: u8 = 0;
/// A package is installed.
const INSTALLED: u8 = 2;
/// The entry is from a catalog of version 1.
const V1: u8 = 7;

/// An entry of `state/installed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledEntry {
    /// The package.
    pub id: PackageId,
    /// When it was installed: `YYYYMMDDTHHMMSS.ffffffZ`.
    pub last_install: String,
    /// SHA-1 of the bytes of its manifest, in hexadecimal digits.
    pub manifest_sha1: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RawEntry {
    #[serde(default)]
    metadata: RawMetadata,
    #[serde(default, rename = "signature-sha-1", skip_serializing_if = "Option::is_none")]
    signature_sha1: Option<String>,
    version: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMetadata {
    #[serde(default)]
    last_install: String,
    #[serde(default)]
    states: Vec<u8>,
}

/// A file below `var/pkg/state` is damaged.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is not the JSON that it has to be.
    #[error("the text is not what it has to be")]
    Json(#[from] serde_json::Error),
    /// A package in it has no possible name.
    #[error("it holds an impossible package")]
    Package(#[from] FmriError),
}

/// The texts of `catalog.attrs` and `catalog.base.C`.
#[must_use]
pub fn write(entries: &[InstalledEntry], time: OperationTime) -> (String, String) {
    let mut publishers: BTreeMap<&str, BTreeMap<&str, Vec<RawEntry>>> = BTreeMap::new();
    for InstalledEntry { id, last_install, manifest_sha1 } in entries {
        let entry = RawEntry {
            metadata: RawMetadata { last_install: last_install.clone(), states: vec![KNOWN, INSTALLED, V1] },
            signature_sha1: manifest_sha1.clone(),
            version: id.version.to_string(),
        };
        let stems = publishers.entry(id.publisher.as_str()).or_default();
        stems.entry(id.stem.as_str()).or_default().push(entry);
    }
    let time = Some(time.with_microseconds());
    let info = FileInfo { last_modified: time.clone(), signature_sha1: None };
    let attrs = CatalogAttrs {
        created: time.clone(),
        last_modified: time,
        package_count: entries.len() as u64,
        package_version_count: entries.len() as u64,
        parts: BTreeMap::from([(BASE.to_owned(), info)]),
        version: 1,
        ..CatalogAttrs::default()
    };
    let json = |text: Result<String, serde_json::Error>| text.unwrap_or_default() + "\n";
    (json(serde_json::to_string(&attrs)), json(serde_json::to_string(&publishers)))
}

/// Reads `catalog.base.C` of `state/installed`.
///
/// # Errors
/// See [`StateError`].
pub fn parse(base: &[u8]) -> Result<Vec<InstalledEntry>, StateError> {
    let mut raw: BTreeMap<String, serde_json::Value> = serde_json::from_slice(base)?;
    raw.remove("_SIGNATURE");
    let mut entries = Vec::new();
    for (publisher, stems) in raw {
        let stems: BTreeMap<String, Vec<RawEntry>> = serde_json::from_value(stems)?;
        for (stem, versions) in stems {
            for RawEntry { metadata, signature_sha1, version } in versions {
                let id = format!("pkg://{publisher}/{stem}@{version}").parse()?;
                entries.push(InstalledEntry { id, last_install: metadata.last_install, manifest_sha1: signature_sha1 });
            }
        }
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

/// The text of `state/avoid_set`: `[1,{"<name>":""}]`, with `"obsolete"` for the reason where it is that.
#[must_use]
pub fn write_avoided(avoided: &BTreeMap<Stem, AvoidReason>) -> String {
    let reason = |reason: &AvoidReason| if *reason == AvoidReason::Obsolete { "obsolete" } else { "" };
    let names: BTreeMap<&str, &str> = avoided.iter().map(|(stem, why)| (stem.as_str(), reason(why))).collect();
    serde_json::to_string(&(1, names)).unwrap_or_default()
}

/// Reads `state/avoid_set`.
///
/// # Errors
/// See [`StateError`].
pub fn parse_avoided(text: &[u8]) -> Result<BTreeMap<Stem, AvoidReason>, StateError> {
    let (_version, names): (u32, BTreeMap<String, String>) = serde_json::from_slice(text)?;
    let reason = |word: &str| if word == "obsolete" { AvoidReason::Obsolete } else { AvoidReason::Unwanted };
    names.iter().map(|(stem, word)| Ok((stem.parse()?, reason(word)))).collect()
}

/// Reads `state/frozen_list`: `[1,{"<name>":["<version>","<reason>",<time>]}]`.
///
/// # Errors
/// See [`StateError`].
pub fn parse_freezes(text: &[u8]) -> Result<Vec<Fmri>, StateError> {
    let (_version, names): (u32, BTreeMap<String, serde_json::Value>) = serde_json::from_slice(text)?;
    let fmri = |(stem, frozen): (&String, &serde_json::Value)| -> Result<Fmri, StateError> {
        let version = frozen.get(0).and_then(serde_json::Value::as_str).unwrap_or_default();
        Ok(format!("{stem}@{version}").parse()?)
    };
    names.iter().map(fmri).collect()
}
