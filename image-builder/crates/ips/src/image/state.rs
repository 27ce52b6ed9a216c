//! The catalogs inside an image: which packages are installed, and since when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{ATTRS, BASE, Catalog, CatalogAttrs, CatalogEntry, DEPENDENCY, FileInfo, SUMMARY, action_parts};
use crate::fmri::{Fmri, FmriError, PackageId, Stem};
use crate::manifest::Manifest;
use crate::resolve::AvoidReason;
use crate::time::OperationTime;

/// A package is known.
const KNOWN: u8 = 0;
/// A package is installed.
const INSTALLED: u8 = 2;
/// The entry is from a catalog of version 1: whatever the catalog does not say of the package, its manifest does not
/// say either.
const V1: u8 = 7;
/// A package is installed under a name that was given up, because something depends on that name.
const RENAMED: u8 = 9;

/// An entry of `state/installed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledEntry {
    /// The package.
    pub id: PackageId,
    /// When a package of this name was first installed: `YYYYMMDDTHHMMSS.ffffffZ`.
    pub last_install: String,
    /// When it was replaced by this version, if it was.
    pub last_update: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_update: Option<String>,
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

/// The files of such a catalog by name: what publishers have in the three parts, of the installed packages alone, and
/// nothing signed.
#[must_use]
pub fn write<'m>(
    entries: impl Iterator<Item = (InstalledEntry, &'m Manifest)>,
    time: OperationTime,
) -> BTreeMap<&'static str, String> {
    let mut base: BTreeMap<String, BTreeMap<String, Vec<RawEntry>>> = BTreeMap::new();
    let mut catalog = Catalog::default();
    for (InstalledEntry { id, last_install, last_update, manifest_sha1 }, manifest) in entries {
        let mut states = vec![KNOWN, INSTALLED, V1];
        states.extend(manifest.is_renamed().then_some(RENAMED));
        let metadata = RawMetadata { last_install, last_update, states };
        let entry = RawEntry { metadata, signature_sha1: manifest_sha1, version: id.version.to_string() };
        base.entry(id.publisher.to_string()).or_default().entry(id.stem.to_string()).or_default().push(entry);
        catalog.insert(&id.publisher, &id.stem, CatalogEntry::of_manifest(id.version.clone(), manifest));
    }
    let [dependency, summary] = action_parts(&catalog);
    let base = serde_json::to_string(&base).unwrap_or_default();
    let parts = [(BASE, Some(base)), (DEPENDENCY, dependency), (SUMMARY, summary)];
    let mut files: BTreeMap<&str, String> =
        parts.into_iter().filter_map(|(name, text)| Some((name, text? + "\n"))).collect();
    let (names, versions) = catalog.counts();
    let time = Some(time.with_microseconds());
    let info = FileInfo { last_modified: time.clone(), signature_sha1: None };
    let attrs = CatalogAttrs {
        created: time.clone(),
        last_modified: time,
        package_count: names as u64,
        package_version_count: versions as u64,
        parts: files.keys().map(|name| ((*name).to_owned(), info.clone())).collect(),
        version: 1,
        ..CatalogAttrs::default()
    };
    files.insert(ATTRS, serde_json::to_string(&attrs).unwrap_or_default() + "\n");
    files
}

/// Reads `catalog.base.C` of `state/installed`.
///
/// # Errors
/// See [`StateError`].
pub fn parse(base: &[u8]) -> Result<Vec<InstalledEntry>, StateError> {
    let raw: BTreeMap<String, serde_json::Value> = serde_json::from_slice(base)?;
    let mut entries = Vec::new();
    // Beside the publishers there may be a signature and features of the file.
    for (publisher, stems) in raw.into_iter().filter(|(name, _)| !name.starts_with('_')) {
        let stems: BTreeMap<String, Vec<RawEntry>> = serde_json::from_value(stems)?;
        for (stem, versions) in stems {
            for RawEntry { metadata, signature_sha1, version } in versions {
                let id = format!("pkg://{publisher}/{stem}@{version}").parse()?;
                let RawMetadata { last_install, last_update, .. } = metadata;
                entries.push(InstalledEntry { id, last_install, last_update, manifest_sha1: signature_sha1 });
            }
        }
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

/// What `state/avoid_set` says of a name; the client takes the whole file for damaged if there is another word in it.
const AVOID_WORDS: [(AvoidReason, &str); 2] = [(AvoidReason::Unwanted, "avoid"), (AvoidReason::Obsolete, "obsolete")];

/// The text of `state/avoid_set`: `[1,{"<name>":"avoid"}]`, or `"obsolete"` where that is the reason.
#[must_use]
pub fn write_avoided(avoided: &BTreeMap<Stem, AvoidReason>) -> String {
    let word = |why: &AvoidReason| AVOID_WORDS.iter().find(|(reason, _)| reason == why).map_or("", |(_, word)| word);
    let names: BTreeMap<&str, &str> = avoided.iter().map(|(stem, why)| (stem.as_str(), word(why))).collect();
    serde_json::to_string(&(1, names)).unwrap_or_default()
}

/// Reads `state/avoid_set`.
///
/// # Errors
/// See [`StateError`].
pub fn parse_avoided(text: &[u8]) -> Result<BTreeMap<Stem, AvoidReason>, StateError> {
    let (_version, names): (u32, BTreeMap<String, String>) = serde_json::from_slice(text)?;
    // Any other word, as images of earlier versions have it, says at least that the name is not wanted.
    let reason = |word: &str| {
        AVOID_WORDS.iter().find(|(_, known)| *known == word).map_or(AvoidReason::Unwanted, |(reason, _)| *reason)
    };
    names.iter().map(|(stem, word)| Ok((stem.parse()?, reason(word)))).collect()
}

/// Reads `state/frozen_dict`: `[1,{"<name>":["<FMRI>","<reason>",<time>]}]`.
///
/// # Errors
/// See [`StateError`].
pub fn parse_freezes(text: &[u8]) -> Result<Vec<Fmri>, StateError> {
    let (_version, names): (u32, BTreeMap<String, (String, serde_json::Value, serde_json::Value)>) =
        serde_json::from_slice(text)?;
    names.values().map(|(fmri, ..)| Ok(fmri.parse()?)).collect()
}
