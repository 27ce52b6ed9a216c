//! Catalogs, version 1: which packages a repository has, and what of their manifests is needed before they are chosen.
//!
//! A catalog is a few JSON files: `catalog.attrs`, and the parts `catalog.base.C`, `catalog.dependency.C` and
//! `catalog.summary.C`, which only mean something together. `docs/formats/ips.md` describes the fields.

mod attrs;
mod error;
mod part;
mod signature;
mod update;
mod write;

use std::collections::BTreeMap;

pub use attrs::{CatalogAttrs, FileInfo};
pub use error::{CatalogError, CatalogErrorKind};
pub use signature::{Signed, check_signature, sign};
pub use update::{UpdateLog, UpdateOperation};
pub use write::CatalogFiles;
pub(crate) use write::action_parts;

use crate::facet;
use crate::fmri::{PackageId, Publisher, Stem};
use crate::manifest::{Action, ActionKind, Manifest};
use crate::variant;
use crate::version::Version;

/// The file that names all others of a catalog.
pub const ATTRS: &str = "catalog.attrs";
/// The part with versions and the hashes of manifests.
pub const BASE: &str = "catalog.base.C";
/// The part with dependencies, and whether a package is obsolete or renamed.
pub const DEPENDENCY: &str = "catalog.dependency.C";
/// The part with summaries and other statements about packages.
pub const SUMMARY: &str = "catalog.summary.C";

/// All files that a catalog can have, update logs aside.
pub(crate) const FILES: [&str; 4] = [ATTRS, BASE, DEPENDENCY, SUMMARY];

/// A catalog, all of whose parts are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    packages: BTreeMap<Publisher, BTreeMap<Stem, Vec<CatalogEntry>>>,
}

/// What a catalog knows of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// The version, with build and timestamp as published.
    pub version: Version,
    /// SHA-1 of the bytes of the manifest, in hexadecimal digits.
    pub manifest_sha1: Option<String>,
    /// The actions of the dependency part, not parsed yet.
    pub dependency: Vec<String>,
    /// The actions of the summary part, not parsed yet.
    pub summary: Vec<String>,
}

impl CatalogEntry {
    /// An entry with nothing but a version.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self { version, manifest_sha1: None, dependency: Vec::new(), summary: Vec::new() }
    }

    /// What a catalog takes from a manifest: dependencies and what else decides about a solution into one part, other
    /// statements about the package into the other.
    #[must_use]
    pub fn of_manifest(version: Version, manifest: &Manifest) -> Self {
        let mut entry = Self::new(version);
        for action in &manifest.actions {
            let name = action.get("name").unwrap_or_default();
            let decides = name.starts_with("pkg.depend.") || matches!(name, "pkg.obsolete" | "pkg.renamed");
            match action.kind() {
                ActionKind::Depend => entry.dependency.push(action.to_string()),
                ActionKind::Set if name == "pkg.fmri" => {}
                ActionKind::Set if decides || name.starts_with(variant::PREFIX) || is_optional(action) => {
                    entry.dependency.push(action.to_string());
                }
                ActionKind::Set => entry.summary.push(action.to_string()),
                _ => {}
            }
        }
        entry
    }

    /// All actions that the catalog has of the package.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.dependency.iter().chain(&self.summary).map(String::as_str)
    }
}

/// The files of a catalog as they were fetched. Parts that the repository does not have are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct CatalogText<'a> {
    /// `catalog.attrs`.
    pub attrs: &'a [u8],
    /// `catalog.base.C`.
    pub base: Option<&'a [u8]>,
    /// `catalog.dependency.C`.
    pub dependency: Option<&'a [u8]>,
    /// `catalog.summary.C`; may be left out by whoever only resolves dependencies.
    pub summary: Option<&'a [u8]>,
}

impl Catalog {
    /// Reads the files of a catalog, after comparing each part with the signature in `catalog.attrs`: parts that were
    /// fetched while the repository changed do not fit together.
    ///
    /// # Errors
    /// Text that is no catalog, with its place; a signature that differs; a part that is listed but was not given
    /// (the summary excepted).
    pub fn parse(text: CatalogText<'_>) -> Result<Self, CatalogError> {
        let attrs = CatalogAttrs::parse(text.attrs)?;
        let mut catalog = Self::default();
        for (name, part) in [(BASE, text.base), (DEPENDENCY, text.dependency), (SUMMARY, text.summary)] {
            let Some(bytes) = part else {
                if attrs.parts.contains_key(name) && name != SUMMARY {
                    return Err(CatalogError::new(name, CatalogErrorKind::Missing));
                }
                continue;
            };
            attrs.check_part(name, bytes)?;
            catalog.add_part(name, part::parse(name, bytes)?)?;
            if name == BASE {
                catalog.sort();
            }
        }
        Ok(catalog)
    }

    /// All packages, by publisher, name and ascending version.
    pub fn packages(&self) -> impl Iterator<Item = (PackageId, &CatalogEntry)> {
        self.packages.iter().flat_map(|(publisher, stems)| {
            stems.iter().flat_map(move |(stem, entries)| {
                entries.iter().map(move |entry| (id(publisher, stem, &entry.version), entry))
            })
        })
    }

    /// The entries of one name, ascending by version.
    #[must_use]
    pub fn entries(&self, publisher: &Publisher, stem: &Stem) -> &[CatalogEntry] {
        self.packages.get(publisher).and_then(|stems| stems.get(stem)).map_or(&[], Vec::as_slice)
    }

    /// The entry of one package.
    #[must_use]
    pub fn get(&self, package: &PackageId) -> Option<&CatalogEntry> {
        self.entries(&package.publisher, &package.stem).iter().find(|entry| entry.version == package.version)
    }

    /// The publishers with at least one package.
    pub fn publishers(&self) -> impl Iterator<Item = &Publisher> {
        self.packages.keys()
    }

    /// How many packages there are: names, and versions of them.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let stems = self.packages.values().flat_map(BTreeMap::values);
        stems.fold((0, 0), |(names, versions), entries| (names + 1, versions + entries.len()))
    }

    /// The catalog without what is not of this publisher: nobody speaks for another.
    #[must_use]
    pub fn of_publisher(mut self, publisher: &Publisher) -> Self {
        self.packages.retain(|other, _| other == publisher);
        self
    }

    /// Adds an entry, or replaces the one of the same version.
    pub fn insert(&mut self, publisher: &Publisher, stem: &Stem, entry: CatalogEntry) {
        let stems = self.packages.entry(publisher.clone()).or_default();
        let entries = stems.entry(stem.clone()).or_default();
        match entries.binary_search_by(|other| other.version.cmp(&entry.version)) {
            Ok(at) => entries[at] = entry,
            Err(at) => entries.insert(at, entry),
        }
    }

    /// Removes one package, which need not be there.
    pub fn remove(&mut self, package: &PackageId) {
        let Some(stems) = self.packages.get_mut(&package.publisher) else { return };
        if let Some(entries) = stems.get_mut(&package.stem) {
            entries.retain(|entry| entry.version != package.version);
            if entries.is_empty() {
                stems.remove(&package.stem);
            }
        }
        if stems.is_empty() {
            self.packages.remove(&package.publisher);
        }
    }

    /// Joins a part: the base part makes entries, the others add to them.
    fn add_part(&mut self, name: &'static str, part: part::Part) -> Result<(), CatalogError> {
        for (publisher, stems) in part {
            for (stem, entries) in stems {
                for entry in entries {
                    self.add_entry(name, &publisher, &stem, entry)?;
                }
            }
        }
        Ok(())
    }

    fn add_entry(
        &mut self,
        part: &'static str,
        publisher: &Publisher,
        stem: &Stem,
        entry: part::PartEntry,
    ) -> Result<(), CatalogError> {
        let part::PartEntry { version, manifest_sha1, actions } = entry;
        if part == BASE {
            let stems = self.packages.entry(publisher.clone()).or_default();
            let entries = stems.entry(stem.clone()).or_default();
            entries.push(CatalogEntry { manifest_sha1, ..CatalogEntry::new(version) });
            return Ok(());
        }
        let known = self.packages.get_mut(publisher).and_then(|stems| stems.get_mut(stem)).and_then(|entries| {
            let at = entries.partition_point(|known| known.version < version);
            entries.get_mut(at).filter(|known| known.version == version)
        });
        let Some(known) = known else {
            let package = id(publisher, stem, &version);
            return Err(CatalogError::new(part, CatalogErrorKind::NotInBase { package: Box::new(package) }));
        };
        if part == DEPENDENCY {
            known.dependency.extend(actions);
        } else {
            known.summary.extend(actions);
        }
        Ok(())
    }

    fn sort(&mut self) {
        for entries in self.packages.values_mut().flat_map(BTreeMap::values_mut) {
            entries.sort_by(|a, b| a.version.cmp(&b.version));
        }
    }
}

/// Whether facets or variants may leave the action out.
fn is_optional(action: &Action) -> bool {
    action.attributes().any(|(name, _)| name.starts_with(facet::PREFIX) || name.starts_with(variant::PREFIX))
}

fn id(publisher: &Publisher, stem: &Stem, version: &Version) -> PackageId {
    PackageId { publisher: publisher.clone(), stem: stem.clone(), version: version.clone() }
}
