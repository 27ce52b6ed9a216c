//! Update logs: what changed in a catalog within one hour, `update.<YYYYMMDDTHH>Z.C`.
//!
//! Whoever fetches whole parts needs none of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::{CatalogError, CatalogErrorKind};
use super::part::{self, ByPublisher, HasVersion};
use super::{BASE, Catalog, CatalogEntry, DEPENDENCY, SUMMARY};
use crate::fmri::{PackageId, Publisher, Stem};

/// An update log: operations in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpdateLog {
    operations: Vec<(String, UpdateOperation)>,
}

/// One change of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOperation {
    /// A package was published.
    Add {
        /// Who published it.
        publisher: Publisher,
        /// Its name.
        stem: Stem,
        /// What the catalog now has of it.
        entry: CatalogEntry,
    },
    /// A package was withdrawn.
    Remove(PackageId),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawOperation {
    op_time: String,
    op_type: String,
    version: String,
    #[serde(default, rename = "catalog.base.C")]
    base: RawData,
    #[serde(default, rename = "catalog.dependency.C")]
    dependency: RawData,
    #[serde(default, rename = "catalog.summary.C")]
    summary: RawData,
}

#[derive(Debug, Default, Deserialize)]
struct RawData {
    #[serde(default, rename = "signature-sha-1")]
    signature_sha1: Option<String>,
    #[serde(default)]
    actions: Vec<String>,
}

impl HasVersion for RawOperation {
    fn version(&self) -> &str {
        &self.version
    }
}

impl UpdateLog {
    /// Reads a log; `file` is its name, for errors.
    ///
    /// # Errors
    /// Text that is no update log.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, CatalogError> {
        let raw: ByPublisher<RawOperation> =
            serde_json::from_slice(bytes).map_err(|error| CatalogError::new(file, CatalogErrorKind::Json(error)))?;
        let typed = part::typed(file, raw, |raw, version| (raw, version))?;
        let mut operations = Vec::new();
        for (publisher, stems) in typed {
            for (stem, changes) in stems {
                for (raw, version) in changes {
                    let operation = match raw.op_type.as_str() {
                        "add" => UpdateOperation::Add {
                            publisher: publisher.clone(),
                            stem: stem.clone(),
                            entry: CatalogEntry {
                                manifest_sha1: raw.base.signature_sha1,
                                dependency: raw.dependency.actions,
                                summary: raw.summary.actions,
                                ..CatalogEntry::new(version)
                            },
                        },
                        "remove" => UpdateOperation::Remove(super::id(&publisher, &stem, &version)),
                        _ => {
                            let operation = crate::text::shown(&raw.op_type);
                            return Err(CatalogError::new(file, CatalogErrorKind::Operation { operation }));
                        }
                    };
                    operations.push((raw.op_time, operation));
                }
            }
        }
        // The sort is stable: operations of one moment stay in the order of the file.
        operations.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { operations })
    }

    /// The operations with their times (`YYYYMMDDTHHMMSS.ffffffZ`), the oldest first.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &UpdateOperation)> {
        self.operations.iter().map(|(time, operation)| (time.as_str(), operation))
    }

    /// Makes the changes of this log that are later than `after` (the `last-modified` of the catalog) to a catalog.
    pub fn apply(&self, catalog: &mut Catalog, after: Option<&str>) {
        let new = self.operations().filter(|(time, _)| after.is_none_or(|after| *time > after));
        for (_, operation) in new {
            match operation {
                UpdateOperation::Add { publisher, stem, entry } => catalog.insert(publisher, stem, entry.clone()),
                UpdateOperation::Remove(package) => catalog.remove(package),
            }
        }
    }

    /// The text of a log with these operations, all of one time, signed.
    #[must_use]
    pub fn write(time: &str, operations: &[UpdateOperation]) -> String {
        let mut publishers: BTreeMap<&str, BTreeMap<&str, Vec<serde_json::Value>>> = BTreeMap::new();
        for operation in operations {
            let (publisher, stem, value) = match operation {
                UpdateOperation::Add { publisher, stem, entry } => {
                    let mut value = serde_json::json!({
                        "op-time": time, "op-type": "add", "version": entry.version.to_string(),
                        BASE: {}, DEPENDENCY: { "actions": entry.dependency }, SUMMARY: { "actions": entry.summary },
                    });
                    entry.manifest_sha1.iter().for_each(|sha1| value[BASE]["signature-sha-1"] = sha1.as_str().into());
                    (publisher, stem, value)
                }
                UpdateOperation::Remove(PackageId { publisher, stem, version }) => {
                    let version = version.to_string();
                    let value = serde_json::json!({ "op-time": time, "op-type": "remove", "version": version });
                    (publisher, stem, value)
                }
            };
            publishers.entry(publisher.as_str()).or_default().entry(stem.as_str()).or_default().push(value);
        }
        super::sign(&serde_json::json!(publishers).to_string()).0
    }
}
