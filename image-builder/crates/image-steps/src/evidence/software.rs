//! The packages in an image, by what their own package system notes.

use image_tree::{Follow, ImagePath, Store, Tree};
use serde::Serialize;
use std::collections::BTreeMap;

/// The package databases that are known here.
const DPKG: &str = "/var/lib/dpkg/status";
const IPS: &str = "/var/pkg/state/installed/catalog.base.C";

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Package {
    name: String,
    version: String,
    /// The publisher of an IPS package, the architecture of a Debian one.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<String>,
}

/// What is installed, sorted by name; none when the image has no database of packages.
pub(super) fn installed(tree: &Tree, store: &Store) -> Option<Vec<Package>> {
    let text = |path: &str| {
        let at = ImagePath::new(path).expect("a constant path");
        let (_, node) = tree.lookup(&at, Follow::Yes).ok()?;
        let bytes = store.read_blob(node.content()?.blob()).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let dpkg = text(DPKG).map(|status| debian(&status));
    let mut packages = dpkg.or_else(|| text(IPS).map(|catalog| ips(&catalog)))?;
    packages.sort();
    Some(packages)
}

/// dpkg(1): paragraphs of fields, separated by empty lines.
fn debian(status: &str) -> Vec<Package> {
    let package = |paragraph: &str| {
        let field = |name: &str| {
            let line = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let is_installed = field("Status")?.ends_with(" installed");
        let (name, version) = (field("Package")?, field("Version")?);
        is_installed.then_some(Package { name, version, publisher: None, architecture: field("Architecture") })
    };
    status.split("\n\n").filter_map(package).collect()
}

/// pkg(7): publishers, package stems, and their versions; keys that begin with `_` are about the catalog.
fn ips(catalog: &str) -> Vec<Package> {
    type Publishers = BTreeMap<String, serde_json::Value>;
    let publishers: Publishers = serde_json::from_str(catalog).unwrap_or_default();
    let mut packages = Vec::new();
    for (publisher, stems) in publishers.into_iter().filter(|(name, _)| !name.starts_with('_')) {
        for (stem, versions) in stems.as_object().into_iter().flatten() {
            let versions = versions.as_array().into_iter().flatten().filter_map(|entry| entry["version"].as_str());
            packages.extend(versions.map(|version| Package {
                name: stem.clone(),
                version: version.to_owned(),
                publisher: Some(publisher.clone()),
                architecture: None,
            }));
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_debian_packages_count() {
        let status = "Package: less\nStatus: install ok installed\nArchitecture: amd64\nVersion: 590-2\n\
                      Description: pager\n more\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let found = debian(status);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].version.as_str()), ("less", "590-2"));
        assert_eq!(found[0].architecture.as_deref(), Some("amd64"));
    }

    #[test]
    fn a_catalog_names_publishers_and_versions() {
        let catalog = r#"{ "_SIGNATURE": { "sha-1": "x" }, "openindiana.org": {
            "SUNWcs": [ { "version": "0.5.11,5.11-2024.0.0.1:20240101T000000Z" } ] } }"#;
        let found = ips(catalog);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].publisher.as_deref()), ("SUNWcs", Some("openindiana.org")));
        assert!(ips("not JSON").is_empty());
    }
}
