//! Changing the packages of an image: first a lock of what it will have, then the image that has it.

use std::collections::BTreeMap;

use image_tree::Tree;

use ips::catalog::{Catalog, CatalogEntry};
use ips::fmri::{Fmri, NamePattern, PackageId, Pattern, VersionPattern};
use ips::image::{Image, ImageConfig};
use ips::install::Package;
use ips::lock::Lock;
use ips::manifest::{Action, ActionKind};
use ips::resolve::{Request, Solution, resolve};
use ips::time::OperationTime;

use crate::client::Client;
use crate::error::ClientError;
use crate::manifests::WantedManifest;
use crate::repository::Payloads;

/// What is asked of the packages of an image.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Installing, removing, updating.
    pub request: Request,
    /// Whether what the named packages depend on optionally is installed, too.
    pub with_optional: bool,
    /// Whether optional dependencies are taken from any publisher.
    pub from_any_publisher: bool,
}

impl Client<'_> {
    /// What an image has after a wish, according to the catalogs alone. The configuration of `image` is the one after the
    /// change.
    ///
    /// # Errors
    /// A catalog cannot be had, or the wish cannot be fulfilled.
    pub fn preview(&self, image: &Image, wish: &Wish) -> Result<Solution, ClientError> {
        solve(image, wish, &self.catalogs_for(image, wish)?)
    }

    /// Packages with what catalogs say of them in the place of their manifests: enough to choose others that go with
    /// them, and not to install them.
    ///
    /// # Errors
    /// A catalog cannot be had.
    pub fn outlines(&self, config: &ImageConfig, ids: &[&PackageId]) -> Result<Vec<Package>, ClientError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let catalogs = self.catalogs(config)?;
        let outline = |id: &&PackageId| {
            let entry = catalogs.iter().find_map(|catalog| catalog.get(id));
            let lines: Vec<&str> = entry.into_iter().flat_map(CatalogEntry::actions).collect();
            let package = Package::new((*id).clone(), lines.join("\n").into_bytes());
            package.map_err(|source| ClientError::Manifest { package: id.to_string(), source: Box::new(source) })
        };
        ids.iter().map(outline).collect()
    }

    /// Nothing needs to be known for an image that has nothing and shall have nothing.
    fn catalogs_for(&self, image: &Image, wish: &Wish) -> Result<Vec<Catalog>, ClientError> {
        image.refuse_linked()?;
        let needs_catalogs = !wish.request.install.is_empty() || image.packages().next().is_some();
        if needs_catalogs { self.catalogs(&image.config) } else { Ok(Vec::new()) }
    }

    /// Chooses the packages that an image has after a wish, and fetches their manifests. The configuration of `image` is
    /// the one after the change.
    ///
    /// # Errors
    /// A catalog or a manifest cannot be had, or the wish cannot be fulfilled.
    pub fn choose(&self, image: &Image, wish: &Wish) -> Result<Lock, ClientError> {
        let catalogs = self.catalogs_for(image, wish)?;
        let solution = solve(image, wish, &catalogs)?;
        let wanted: Vec<WantedManifest> = solution
            .packages
            .iter()
            .filter(|id| !is_installed(image, id))
            .map(|id| {
                let entry = catalogs.iter().find_map(|catalog| catalog.get(id));
                let sha1 = entry.and_then(|entry| entry.manifest_sha1.clone());
                WantedManifest { id: id.clone(), sha1, locked: None }
            })
            .collect();
        let fetched = self.packages(&image.config, &wanted)?;
        let mut lock = Lock::default();
        lock.avoided.clone_from(&solution.avoided);
        let stays = |package: &&Package| solution.packages.binary_search(&package.id).is_ok();
        for package in image.packages().filter(stays).chain(&fetched) {
            lock.insert(package.id.clone(), &package.text);
        }
        Ok(lock)
    }

    /// The packages of a lock that an image does not have yet, with their manifests.
    fn new_packages(&self, image: &Image, lock: &Lock) -> Result<Vec<Package>, ClientError> {
        let missing = lock.packages().filter(|id| !has_locked(image, lock, id));
        let wanted: Vec<WantedManifest> =
            missing.map(|id| WantedManifest { id: id.clone(), sha1: None, locked: lock.manifest_hash(id) }).collect();
        self.packages(&image.config, &wanted)
    }

    /// Makes the packages of `lock` those of the image in `tree`. The configuration of `image` is the one after the
    /// change. What cannot be done but does not stop an installation either goes to the listener.
    ///
    /// # Errors
    /// Something cannot be fetched, is not signed as the image demands, or the packages cannot be installed. What was fetched is kept; tree and image are
    /// as they were.
    pub fn install(
        &self,
        tree: &Tree,
        image: &mut Image,
        lock: &Lock,
        time: OperationTime,
    ) -> Result<Tree, ClientError> {
        let new = self.new_packages(image, lock)?;
        self.check_signatures(&image.config, tree, &new)?;
        let kept: Vec<Package> =
            image.packages().filter(|package| has_locked(image, lock, &package.id)).cloned().collect();
        // Other variants and facets may bring other files of packages that are there already.
        let needed: Vec<&Package> =
            if image.is_seen_differently() { kept.iter().chain(&new).collect() } else { new.iter().collect() };
        self.fetch_payloads(&image.config, &needed)?;
        let packages = kept.into_iter().chain(new).collect();
        let before = image.avoided.clone();
        image.avoided.clone_from(&lock.avoided);
        match image.change(tree, packages, &Payloads::new(self.store), time) {
            Ok((tree, warnings)) => {
                warnings.iter().for_each(|warning| self.listener.message(warning));
                Ok(tree)
            }
            Err(error) => {
                image.avoided = before;
                Err(error.into())
            }
        }
    }
}

fn is_installed(image: &Image, id: &PackageId) -> bool {
    image.package(&id.stem).is_some_and(|package| package.id == *id)
}

fn has_locked(image: &Image, lock: &Lock, id: &PackageId) -> bool {
    let installed = image.package(&id.stem).filter(|package| package.id == *id);
    installed.is_some_and(|package| lock.manifest_hash(id).is_some_and(|hash| hash.is_of(&package.text)))
}

fn solve(image: &Image, wish: &Wish, catalogs: &[Catalog]) -> Result<Solution, ClientError> {
    let mut universe = image.universe();
    catalogs.iter().for_each(|catalog| universe.add_catalog(catalog));
    let failed = |error| ClientError::Resolve(Box::new(error));
    let input = image.resolution_input();
    let first = resolve(&universe, &input.state(), &wish.request).map_err(failed)?;
    if !wish.with_optional {
        return Ok(first);
    }
    let optional = optional_dependencies(image, &first, wish, catalogs)?;
    if optional.is_empty() {
        return Ok(first);
    }
    let mut after = input;
    after.set_installed(first.packages, &first.avoided);
    let second = Request { install: optional, ..Request::default() };
    resolve(&universe, &after.state(), &second).map_err(failed)
}

/// What the packages that were asked for depend on optionally, each once.
fn optional_dependencies(
    image: &Image,
    chosen: &Solution,
    wish: &Wish,
    catalogs: &[Catalog],
) -> Result<Vec<Pattern>, ClientError> {
    let is_seen = |action: &Action| image.config.variants.allow(action) && image.config.facets.allow(action);
    let named = chosen.packages.iter().filter(|id| wish.request.install.iter().any(|pattern| pattern.matches(id)));
    let mut found: BTreeMap<String, Pattern> = BTreeMap::new();
    for id in named {
        let entry = catalogs.iter().find_map(|catalog| catalog.get(id));
        let lines = entry.into_iter().flat_map(|entry| &entry.dependency);
        for action in lines.filter_map(|line| line.parse::<Action>().ok()) {
            if action.kind() != ActionKind::Depend || action.get("type") != Some("optional") || !is_seen(&action) {
                continue;
            }
            for text in action.values("fmri") {
                let fmri: Fmri =
                    text.parse().map_err(|source| ClientError::Dependency { package: id.short(), source })?;
                let pattern = Pattern {
                    publisher: fmri.publisher.filter(|_| !wish.from_any_publisher),
                    name: NamePattern::Full(fmri.stem.to_string()),
                    version: fmri.version.map(VersionPattern::Within),
                };
                found.insert(pattern.to_string(), pattern);
            }
        }
    }
    Ok(found.into_values().collect())
}

impl Wish {
    /// Installing what these patterns name.
    #[must_use]
    pub fn install(patterns: Vec<Pattern>) -> Self {
        Self { request: Request { install: patterns, ..Request::default() }, ..Self::default() }
    }

    /// Removing what these patterns name.
    #[must_use]
    pub fn remove(patterns: Vec<Pattern>) -> Self {
        Self { request: Request { reject: patterns, ..Request::default() }, ..Self::default() }
    }
}
