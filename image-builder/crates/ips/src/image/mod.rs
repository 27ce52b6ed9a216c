//! What an image knows of itself, below `var/pkg`: the configuration, the installed packages, their manifests.
//!
//! [`Image::load`] reads it from a tree, [`Image::change`] installs other packages and writes it anew. What the
//! packaging client of the running image can make again by itself (indexes, caches, the catalogs of
//! publishers) is left to it.

mod config;
mod error;
mod files;
mod ini;
mod publisher;
pub mod state;

use std::collections::BTreeMap;

use image_tree::Tree;
use sha1::{Digest, Sha1};

pub use config::{ConfigError, ImageConfig};
pub use error::ImageError;
pub use publisher::{PublisherConfig, with_slash};
pub use state::{InstalledEntry, StateError};

use crate::catalog;
use crate::fmri::{Fmri, PackageId, Stem};
use crate::install::{Applied, ContentSource, Operation, Package, PackageSet, apply};
use crate::manifest::{ActionKind, to_hex};
use crate::resolve::{AvoidReason, ImageState, RankedPublisher, Universe};
use crate::text::quote_component;
use crate::time::OperationTime;
use files::{Writer, read};

/// Where everything is.
const PKG: &str = "var/pkg";
const CONFIG: &str = "var/pkg/pkg5.image";
const STATE: &str = "var/pkg/state";
const PUBLISHERS: &str = "var/pkg/publisher";
/// Directories below [`PKG`] that every image has, whether there is something in them or not.
pub(crate) const DIRECTORIES: [&str; 9] = [
    "cache/index",
    "cache/publisher",
    "cache/tmp",
    "gui_cache",
    "history",
    "license",
    "lost+found",
    "publisher",
    "ssl",
];
/// The packages of another image that this one is a child of.
const PACKAGES_OF_PARENT: &str = "var/pkg/linked/linked_ppkgs";
/// Its time tells programs that watch an image of the last change.
const MODIFIED: &str = "var/pkg/modified";

/// An image with its packages.
#[derive(Debug, Clone)]
pub struct Image {
    /// How it is set up.
    pub config: ImageConfig,
    /// The installed packages by name, and when each was installed.
    packages: BTreeMap<Stem, (Package, Times)>,
    /// Names that groups do not pull in.
    pub avoided: BTreeMap<Stem, AvoidReason>,
    /// Names and versions that must not be left.
    pub freezes: Vec<Fmri>,
    /// The configuration that the packages in the tree were installed with.
    installed_with: ImageConfig,
    /// It is the child of another image, whose packages it has to follow.
    is_linked: bool,
}

/// When a package was installed, and when it was replaced by the version that it has now.
#[derive(Debug, Clone, Default)]
struct Times {
    install: String,
    update: Option<String>,
}

impl Image {
    /// An image without packages.
    #[must_use]
    pub fn new(config: ImageConfig) -> Self {
        Self {
            installed_with: config.clone(),
            config,
            packages: BTreeMap::new(),
            avoided: BTreeMap::new(),
            freezes: Vec::new(),
            is_linked: false,
        }
    }

    /// Reads the image in a tree; none if there is no image in it.
    ///
    /// # Errors
    /// The metadata is damaged or incomplete.
    pub fn load(tree: &Tree, content: &dyn ContentSource) -> Result<Option<Self>, ImageError> {
        let Some(text) = read(tree, content, CONFIG)? else { return Ok(None) };
        let text = String::from_utf8(text).map_err(|_| ImageError::NotText { path: format!("/{CONFIG}") })?;
        let mut image = Self::new(ImageConfig::parse(&text).map_err(ImageError::Config)?);
        let base = format!("{STATE}/installed/{}", catalog::BASE);
        let state_error = |path: &str, source| ImageError::State { path: format!("/{path}"), source };
        for entry in match read(tree, content, &base)? {
            Some(bytes) => state::parse(&bytes).map_err(|source| state_error(&base, source))?,
            None => Vec::new(),
        } {
            let path = manifest_path(&entry.id);
            let Some(text) = read(tree, content, &path)? else {
                return Err(ImageError::NoManifest { package: entry.id.short(), path: format!("/{path}") });
            };
            let package = Package::new(entry.id.clone(), text);
            let package = package.map_err(|source| ImageError::Manifest { path: format!("/{path}"), source })?;
            let times = Times { install: entry.last_install, update: entry.last_update };
            image.packages.insert(entry.id.stem.clone(), (package, times));
        }
        image.is_linked = read(tree, content, PACKAGES_OF_PARENT)?.is_some();
        let avoided = format!("{STATE}/avoid_set");
        if let Some(bytes) = read(tree, content, &avoided)? {
            image.avoided = state::parse_avoided(&bytes).map_err(|source| state_error(&avoided, source))?;
        }
        let freezes = format!("{STATE}/frozen_dict");
        if let Some(bytes) = read(tree, content, &freezes)? {
            image.freezes = state::parse_freezes(&bytes).map_err(|source| state_error(&freezes, source))?;
        }
        Ok(Some(image))
    }

    /// The installed packages, by name.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().map(|(package, _)| package)
    }

    /// The installed package of this name.
    #[must_use]
    pub fn package(&self, stem: &Stem) -> Option<&Package> {
        self.packages.get(stem).map(|(package, _)| package)
    }

    /// Whether variants or facets were changed since the packages were installed, so that the same packages may deliver
    /// something else.
    #[must_use]
    pub fn is_seen_differently(&self) -> bool {
        let (now, before) = (&self.config, &self.installed_with);
        now.variants != before.variants || now.facets != before.facets
    }

    /// Refuses to choose or change the packages of an image that has to follow another one.
    ///
    /// # Errors
    /// The image is a child of another.
    pub fn refuse_linked(&self) -> Result<(), ImageError> {
        if self.is_linked { Err(ImageError::Linked { path: format!("/{PACKAGES_OF_PARENT}") }) } else { Ok(()) }
    }

    /// A universe with the installed packages, to which catalogs can be added.
    #[must_use]
    pub fn universe(&self) -> Universe {
        let mut universe = Universe::new(self.config.variants.clone(), self.config.facets.clone());
        for package in self.packages() {
            let kinds = [ActionKind::Set, ActionKind::Depend];
            let actions = package.manifest.actions.iter().filter(|action| kinds.contains(&action.kind()));
            universe.add_package(package.id.clone(), actions.map(ToString::to_string).collect());
        }
        universe
    }

    /// What resolution needs of the image; hand it to [`ResolutionInput::state`].
    #[must_use]
    pub fn resolution_input(&self) -> ResolutionInput {
        ResolutionInput {
            publishers: self.config.ranked_publishers(),
            installed: self.packages().map(|package| package.id.clone()).collect(),
            freezes: self.freezes.clone(),
            avoided: unwanted(&self.avoided),
        }
    }

    /// Takes `packages` for those of the image, and `avoided` for what groups do not pull in, with nothing behind it in any
    /// tree: for looking at what a change would lead to.
    pub fn assume(&mut self, packages: Vec<Package>, avoided: BTreeMap<Stem, AvoidReason>) {
        self.avoided = avoided;
        let packages = packages.into_iter().map(|package| (package.id.stem.clone(), (package, Times::default())));
        self.packages = packages.collect();
        self.installed_with = self.config.clone();
    }

    /// Makes `packages` the packages of the image, seen with the configuration as it is now, and writes the
    /// metadata. The result is the tree and what there is to warn of.
    ///
    /// # Errors
    /// The packages cannot be installed, the metadata not be written, or the image is a child of another. Nothing is changed
    /// then.
    pub fn change(
        &mut self,
        tree: &Tree,
        packages: Vec<Package>,
        content: &dyn ContentSource,
        time: OperationTime,
    ) -> Result<(Tree, Vec<String>), ImageError> {
        self.refuse_linked()?;
        let before: Vec<Package> = self.packages().cloned().collect();
        let operation = Operation {
            before: package_set(&before, &self.installed_with),
            after: package_set(&packages, &self.config),
            time,
        };
        let Applied { tree, mediators, warnings } = apply(tree, &operation, content)?;
        let mut changed = self.clone();
        changed.config.mediators = mediators;
        changed.installed_with = changed.config.clone();
        changed.packages.clear();
        for package in packages {
            let now = time.with_microseconds();
            let times = match self.packages.get(&package.id.stem) {
                Some((known, times)) if known.id == package.id => times.clone(),
                Some((_, times)) => Times { install: times.install.clone(), update: Some(now) },
                None => Times { install: now, update: None },
            };
            changed.packages.insert(package.id.stem.clone(), (package, times));
        }
        let tree = changed.write(tree, content, time, &before)?;
        *self = changed;
        Ok((tree, warnings))
    }

    /// Writes the metadata into a tree, without installing anything: for changed publishers and properties. Changed
    /// variants, facets and mediators want [`change`](Self::change) with the same packages.
    ///
    /// # Errors
    /// The metadata cannot be written.
    pub fn save(&self, tree: &Tree, content: &dyn ContentSource, time: OperationTime) -> Result<Tree, ImageError> {
        let own: Vec<Package> = self.packages().cloned().collect();
        self.write(tree.clone(), content, time, &own)
    }

    fn write(
        &self,
        tree: Tree,
        content: &dyn ContentSource,
        time: OperationTime,
        before: &[Package],
    ) -> Result<Tree, ImageError> {
        let mut writer = Writer { tree, content, time };
        for old in before.iter().filter(|old| self.package(&old.id.stem).is_none_or(|new| new.id != old.id)) {
            writer.remove(&manifest_path(&old.id))?;
        }
        for (package, _) in self.packages.values() {
            writer.write(&manifest_path(&package.id), &package.text)?;
        }
        let entries = self.packages.values().map(|(package, times)| {
            let entry = InstalledEntry {
                id: package.id.clone(),
                last_install: times.install.clone(),
                last_update: times.update.clone(),
                manifest_sha1: Some(to_hex(&Sha1::digest(&package.text))),
            };
            (entry, &*package.manifest)
        });
        let files = state::write(entries, time);
        for directory in ["installed", "known"].map(|name| format!("{STATE}/{name}")) {
            for name in catalog::FILES {
                match files.get(name) {
                    Some(text) => writer.write(&format!("{directory}/{name}"), text.as_bytes())?,
                    None => writer.remove(&format!("{directory}/{name}"))?,
                }
            }
        }
        let avoided = format!("{STATE}/avoid_set");
        if self.avoided.is_empty() {
            writer.remove(&avoided)?;
        } else {
            writer.write(&avoided, state::write_avoided(&self.avoided).as_bytes())?;
        }
        writer.write(CONFIG, self.config.to_text().as_bytes())?;
        for directory in DIRECTORIES {
            writer.make(&format!("{PKG}/{directory}"))?;
        }
        writer.remove(MODIFIED)?;
        writer.write(MODIFIED, b"")?;
        Ok(writer.tree)
    }
}

fn package_set<'a>(packages: &'a [Package], config: &'a ImageConfig) -> PackageSet<'a> {
    let ImageConfig { variants, facets, mediators, .. } = config;
    PackageSet { packages, variants, facets, mediators }
}

/// What of an image matters for resolution, held together.
#[derive(Debug, Clone, Default)]
pub struct ResolutionInput {
    publishers: Vec<RankedPublisher>,
    installed: Vec<PackageId>,
    freezes: Vec<Fmri>,
    avoided: Vec<Stem>,
}

impl ResolutionInput {
    /// Replaces what is installed, for a second request before the first was carried out. All packages have to be in
    /// the universe.
    pub fn set_installed(&mut self, installed: Vec<PackageId>, avoided: &BTreeMap<Stem, AvoidReason>) {
        (self.installed, self.avoided) = (installed, unwanted(avoided));
    }

    /// The view that resolution takes.
    #[must_use]
    pub fn state(&self) -> ImageState<'_> {
        ImageState {
            publishers: &self.publishers,
            installed: &self.installed,
            freezes: &self.freezes,
            avoided: &self.avoided,
        }
    }
}

fn unwanted(avoided: &BTreeMap<Stem, AvoidReason>) -> Vec<Stem> {
    let unwanted = avoided.iter().filter(|(_, why)| **why == AvoidReason::Unwanted);
    unwanted.map(|(stem, _)| stem.clone()).collect()
}

/// Where an image has the manifest of an installed package.
#[must_use]
pub fn manifest_path(id: &PackageId) -> String {
    format!("{PUBLISHERS}/{}/pkg/{}", quote_component(id.publisher.as_str()), id.manifest_path())
}
