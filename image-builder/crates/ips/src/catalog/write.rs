//! Writing the files of a catalog, always the same for the same packages and time.

use std::collections::BTreeMap;

use serde::Serialize;

use super::signature::sign;
use super::{BASE, Catalog, CatalogAttrs, CatalogEntry, DEPENDENCY, FileInfo, SUMMARY};
use crate::time::OperationTime;

/// The files of a catalog, by name. Parts with nothing in them are left out, as publishers do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFiles {
    /// File name to content, `catalog.attrs` among them.
    pub files: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct BaseEntry<'a> {
    #[serde(rename = "signature-sha-1", skip_serializing_if = "Option::is_none")]
    signature_sha1: Option<&'a str>,
    version: String,
}

#[derive(Serialize)]
struct ActionEntry<'a> {
    actions: &'a [String],
    version: String,
}

impl CatalogFiles {
    /// The files of `catalog`, said to be made and changed at `time`.
    #[must_use]
    pub fn new(catalog: &Catalog, time: OperationTime) -> Self {
        let base = part(catalog, |entry| {
            let signature_sha1 = entry.manifest_sha1.as_deref();
            Some(BaseEntry { signature_sha1, version: entry.version.to_string() })
        });
        let [dependency, summary] = action_parts(catalog);
        let time = time.with_microseconds();
        let (names, versions) = catalog.counts();
        let mut attrs = CatalogAttrs {
            created: Some(time.clone()),
            last_modified: Some(time.clone()),
            package_count: names as u64,
            package_version_count: versions as u64,
            version: 1,
            ..CatalogAttrs::default()
        };
        let mut files = BTreeMap::new();
        for (name, object) in
            [(BASE, Some(base.unwrap_or_else(|| "{}".to_owned()))), (DEPENDENCY, dependency), (SUMMARY, summary)]
        {
            let Some(object) = object else { continue };
            let (text, sha1) = sign(&object);
            let info = FileInfo { last_modified: Some(time.clone()), signature_sha1: Some(sha1) };
            attrs.parts.insert(name.to_owned(), info);
            files.insert(name.to_owned(), text);
        }
        let (text, _) = sign(&to_json(&attrs));
        files.insert(super::ATTRS.to_owned(), text);
        Self { files }
    }

    /// The content of one file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(String::as_bytes)
    }
}

/// The JSON of the dependency part and of the summary part, not signed; none of a part that is empty.
pub(crate) fn action_parts(catalog: &Catalog) -> [Option<String>; 2] {
    let dependency = part(catalog, |entry| action_entry(entry, &entry.dependency));
    [dependency, part(catalog, |entry| action_entry(entry, &entry.summary))]
}

fn action_entry<'a>(entry: &CatalogEntry, actions: &'a [String]) -> Option<ActionEntry<'a>> {
    (!actions.is_empty()).then(|| ActionEntry { actions, version: entry.version.to_string() })
}

/// The JSON of a part; none if no entry has anything to say.
fn part<'c, E: Serialize>(catalog: &'c Catalog, entry: impl Fn(&'c CatalogEntry) -> Option<E>) -> Option<String> {
    let mut publishers: BTreeMap<&str, BTreeMap<&str, Vec<E>>> = BTreeMap::new();
    for (publisher, stems) in &catalog.packages {
        for (stem, entries) in stems {
            let said: Vec<E> = entries.iter().filter_map(&entry).collect();
            if !said.is_empty() {
                publishers.entry(publisher.as_str()).or_default().insert(stem.as_str(), said);
            }
        }
    }
    (!publishers.is_empty()).then(|| to_json(&publishers))
}

fn to_json(value: &impl Serialize) -> String {
    // Maps with text as keys, numbers and text: nothing of this can fail to be JSON.
    serde_json::to_string(value).unwrap_or_default()
}
