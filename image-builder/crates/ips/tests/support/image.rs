//! Packages and trees for tests of the installation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use image_tree::{Content, ImagePath, Metadata, Node, NodeKind, Store, StoreOptions, Tree};
use ips::facet::Facets;
use ips::install::{Applied, ContentError, ContentSource, InstallError, Operation, Package, PackageSet, apply};
use ips::manifest::{Payload, to_hex};
use ips::mediator::Mediators;
use ips::time::OperationTime;
use ips::variant::Variants;
use sha1::{Digest, Sha1};

/// 2024-03-01, day 19783.
pub(crate) const TIME: i64 = 1_709_254_923;

/// Payloads in memory and a store that is thrown away.
pub(crate) struct Contents {
    pub(crate) store: Store,
    payloads: BTreeMap<String, Vec<u8>>,
    _scratch: tempfile::TempDir,
}

impl Contents {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open_with(scratch.path().join("store"), StoreOptions { sync: false }).unwrap();
        Self { store, payloads: BTreeMap::new(), _scratch: scratch }
    }

    /// Adds a payload and tells its name.
    pub(crate) fn payload_of(&mut self, bytes: &[u8]) -> String {
        let name = to_hex(&Sha1::digest(bytes));
        self.payloads.insert(name.clone(), bytes.to_vec());
        name
    }
}

fn error(what: &str) -> ContentError {
    ContentError { what: what.to_owned(), source: "it is not there".into() }
}

impl ContentSource for Contents {
    fn payload(&self, payload: &Payload<'_>) -> Result<Content, ContentError> {
        let name = payload.name().map_err(|source| ContentError { what: "?".to_owned(), source: source.into() })?;
        let bytes = self.payloads.get(name).ok_or_else(|| error(name))?;
        Ok(self.store.put_bytes(bytes).unwrap())
    }

    fn read(&self, content: &Content) -> Result<Vec<u8>, ContentError> {
        self.store
            .read_blob(content.blob())
            .map_err(|source| ContentError { what: "?".to_owned(), source: source.into() })
    }

    fn keep(&self, bytes: &[u8]) -> Result<Content, ContentError> {
        Ok(self.store.put_bytes(bytes).unwrap())
    }
}

/// An image that packages are installed into, one operation after the other.
pub(crate) struct Image {
    pub(crate) contents: Contents,
    pub(crate) tree: Tree,
    pub(crate) packages: Vec<Package>,
    pub(crate) variants: Variants,
    pub(crate) facets: Facets,
    pub(crate) mediators: Mediators,
    installed_with: Mediators,
    pub(crate) warnings: Vec<String>,
}

impl Image {
    pub(crate) fn new() -> Self {
        Self {
            contents: Contents::new(),
            tree: Tree::default(),
            packages: Vec::new(),
            variants: Variants::new("i386"),
            facets: Facets::default(),
            mediators: Mediators::new(),
            installed_with: Mediators::new(),
            warnings: Vec::new(),
        }
    }

    /// An image with `/etc/passwd` and its companions, in which root, bin and sys are known.
    pub(crate) fn with_accounts() -> Self {
        let mut image = Self::new();
        image.put("etc/passwd", "root:x:0:0:Super-User:/root:/bin/sh\nbin:x:2:2::/:\n");
        image.put("etc/shadow", "root:$5$x:19000::::::\nbin:NP:6445::::::\n");
        image.put("etc/group", "root::0:\nbin::2:root\nsys::3:root\nstaff::10:\n");
        image
    }

    /// A package of which each `@text@` in the manifest is the name of the payload `text`.
    pub(crate) fn package(&mut self, name: &str, manifest: &str) -> Package {
        let mut text = String::new();
        for (at, part) in manifest.split('@').enumerate() {
            if at % 2 == 0 {
                text += part;
            } else {
                text += &self.contents.payload_of(part.as_bytes());
            }
        }
        let (stem, version) = name.split_once('/').map_or((name, "1"), |(stem, version)| (stem, version));
        let id = format!("pkg://p/{stem}@{version},5.11-1:20200101T000000Z").parse().unwrap();
        Package::new(id, text.into_bytes()).unwrap()
    }

    /// Makes these the packages of the image.
    pub(crate) fn change(&mut self, packages: &[(&str, &str)]) -> Result<(), InstallError> {
        let packages: Vec<Package> = packages.iter().map(|(name, text)| self.package(name, text)).collect();
        let (variants, facets) = (self.variants.clone(), self.facets.clone());
        self.change_to(packages, &variants, &facets)
    }

    pub(crate) fn change_to(
        &mut self,
        packages: Vec<Package>,
        variants: &Variants,
        facets: &Facets,
    ) -> Result<(), InstallError> {
        let operation = Operation {
            before: PackageSet {
                packages: &self.packages,
                variants: &self.variants,
                facets: &self.facets,
                mediators: &self.installed_with,
            },
            after: PackageSet { packages: &packages, variants, facets, mediators: &self.mediators },
            time: OperationTime::from_unix_seconds(TIME),
        };
        let Applied { tree, mediators, warnings } = apply(&self.tree, &operation, &self.contents)?;
        (self.tree, self.mediators, self.warnings, self.packages) = (tree, mediators, warnings, packages);
        self.installed_with = self.mediators.clone();
        (self.variants, self.facets) = (variants.clone(), facets.clone());
        Ok(())
    }

    /// A file that no package delivered.
    pub(crate) fn put(&mut self, path: &str, text: &str) {
        let content = self.contents.store.put_bytes(text.as_bytes()).unwrap();
        self.put_node(path, Node::regular(content, Metadata::new(0, 3, 0o644)));
    }

    pub(crate) fn put_node(&mut self, path: &str, node: Node) {
        let path = ImagePath::from_relative(path).unwrap();
        let metadata = Metadata::new(0, 0, 0o755);
        self.tree.create_dir(&path.parent().unwrap(), metadata.clone(), &metadata).unwrap();
        self.tree.insert(&path, node).unwrap();
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let path = ImagePath::from_relative(path).unwrap();
        let node = self.tree.get(&path).unwrap_or_else(|| panic!("{path} is not there"));
        String::from_utf8(self.contents.store.read_blob(node.content().unwrap().blob()).unwrap()).unwrap()
    }

    /// Everything below a path, a line each: mode, owner, path, and what is there.
    pub(crate) fn list(&self, below: &str) -> String {
        let mut list = String::new();
        for entry in self.tree.walk_from(&ImagePath::from_relative(below).unwrap()) {
            let Metadata { uid, gid, mode, .. } = entry.node.metadata;
            let what = match &entry.node.kind {
                NodeKind::Directory => "/".to_owned(),
                NodeKind::Symlink(target) => format!(" -> {}", String::from_utf8_lossy(target)),
                NodeKind::Regular(_) => match entry.links {
                    Some(links) if *links.first() != entry.path => format!(" = {}", links.first()),
                    _ => format!(" {:?}", self.text(&entry.path.to_string())),
                },
                other => format!(" {}", other.name()),
            };
            writeln!(list, "{mode:04o} {uid}:{gid} {}{what}", String::from_utf8_lossy(entry.path.relative_bytes()))
                .unwrap();
        }
        list
    }
}
