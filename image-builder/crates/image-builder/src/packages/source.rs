//! What packages are looked at in.

use super::error::PackagesError;
use super::file_system::{self, Extent};
use crate::inspect::{DiskImage, ImagePlace, is_archive};
use crate::scratch::Scratch;
use image_tree::{ReadTarOptions, Store, StoreOptions, Tree, read_tar};
use ips::catalog::Catalog;
use ips::fmri::{PackageId, Pattern};
use ips::image::Image;
use ips::manifest::{Action, ActionKind, Manifest, is_true};
use ips_client::repository::{self, Payloads, whole_catalog};
use ips_client::{Address, Client, ClientKey, Listener, Network};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A package as it is listed.
pub(super) struct Known {
    pub(super) id: PackageId,
    pub(super) summary: String,
    pub(super) is_obsolete: bool,
    pub(super) is_renamed: bool,
    /// SHA-1 of the manifest, as the catalog has it.
    pub(super) manifest_sha1: Option<String>,
}

/// Where packages are.
pub(super) enum Place {
    /// A repository.
    Repository(Arc<dyn repository::Source>),
    /// The root file system in an archive.
    Image { image: Box<Image>, tree: Tree, path: PathBuf },
}

/// A place with all that it knows.
pub(super) struct Source {
    pub(super) place: Place,
    /// By name and version.
    pub(super) packages: Vec<Known>,
    /// What is read goes here; it is gone with the run.
    pub(super) store: Store,
    _scratch: Scratch,
}

impl Source {
    pub(super) fn open(
        text: &str,
        client_keys: &[ClientKey],
        listener: Arc<dyn Listener>,
        extent: Extent,
    ) -> Result<Self, PackagesError> {
        let scratch = Scratch::make().map_err(PackagesError::Temporary)?;
        let store = Store::open_with(scratch.path().join("store"), StoreOptions { sync: false });
        let store = store.map_err(PackagesError::Store)?;
        let network = Network { client_keys: client_keys.to_vec(), ..Network::default() };
        let opened = Client::new(&store, network, listener).open(text);
        let (place, mut packages) = match (opened, text.parse()?) {
            (Ok(source), _) => {
                let packages = in_repository(source.as_ref())?;
                (Place::Repository(source), packages)
            }
            (Err(_), Address::Local(path)) if path.is_file() && is_archive(&path) => in_archive(&path, &store)?,
            (Err(_), Address::Local(path)) if path.join("var/pkg/pkg5.image").is_file() => {
                in_tree(&path, file_system::of_directory(&path, &store, extent), &store)?
            }
            (Err(_), Address::Local(path)) if !path.is_dir() && ImagePlace::parse(text).image.is_file() => {
                in_disk_image(text, &path, &store, extent)?
            }
            (Err(error), _) => return Err(error.into()),
        };
        packages.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { place, packages, store, _scratch: scratch })
    }

    /// The newest package of each name that one of the patterns selects, or all versions; without patterns, of all.
    pub(super) fn select(&self, patterns: &[String], all_versions: bool) -> Result<Vec<&Known>, PackagesError> {
        let mut parsed: Vec<Pattern> = Vec::new();
        for text in patterns {
            let pattern: Pattern =
                text.parse().map_err(|source| PackagesError::Pattern { text: text.clone(), source })?;
            if !self.packages.iter().any(|known| pattern.matches(&known.id)) {
                return Err(PackagesError::NoMatch { text: text.clone() });
            }
            parsed.push(pattern);
        }
        let is_selected = |known: &&Known| parsed.is_empty() || parsed.iter().any(|pattern| pattern.matches(&known.id));
        let mut selected: Vec<&Known> = self.packages.iter().filter(is_selected).collect();
        if !all_versions {
            let newest = |at: usize| {
                let next: Option<&&Known> = selected.get(at + 1);
                next.is_none_or(|next| next.id.stem != selected[at].id.stem)
            };
            selected = (0..selected.len()).filter(|at| newest(*at)).map(|at| selected[at]).collect();
        }
        Ok(selected)
    }

    /// The bytes of a manifest.
    pub(super) fn manifest_text(&self, known: &Known) -> Result<Vec<u8>, PackagesError> {
        let missing = || PackagesError::Manifest { package: known.id.to_string(), source: "it is not there".into() };
        match &self.place {
            Place::Repository(source) => source.manifest_text(&known.id)?.ok_or_else(missing),
            Place::Image { image, .. } => {
                image.package(&known.id.stem).map(|package| package.text.to_vec()).ok_or_else(missing)
            }
        }
    }

    pub(super) fn manifest(&self, known: &Known) -> Result<Manifest, PackagesError> {
        let text = self.manifest_text(known)?;
        let wrong = |source: ips::manifest::ManifestError| PackagesError::Manifest {
            package: known.id.to_string(),
            source: source.into(),
        };
        Manifest::parse(&text).map_err(wrong)
    }
}

fn in_repository(source: &dyn repository::Source) -> Result<Vec<Known>, PackagesError> {
    let mut packages = Vec::new();
    for publisher in source.publishers()? {
        let bytes = whole_catalog(source, &publisher)?;
        let wrong = |source| PackagesError::Catalog { publisher: publisher.to_string(), source };
        let catalog: Catalog = bytes.parse().map_err(wrong)?;
        for (id, entry) in catalog.packages() {
            let mut manifest = Manifest::default();
            manifest.actions.extend(entry.actions().filter_map(|line| line.parse::<Action>().ok()));
            packages.push(known(id, &manifest, entry.manifest_sha1.clone()));
        }
    }
    Ok(packages)
}

fn known(id: PackageId, manifest: &Manifest, manifest_sha1: Option<String>) -> Known {
    let says = |name| manifest.settings(name).any(is_true);
    Known {
        id,
        summary: manifest.summary().unwrap_or_default().to_owned(),
        is_obsolete: says("pkg.obsolete"),
        is_renamed: says("pkg.renamed"),
        manifest_sha1,
    }
}

fn in_archive(path: &Path, store: &Store) -> Result<(Place, Vec<Known>), PackagesError> {
    let unreadable =
        |source: Box<dyn std::error::Error + Send + Sync>| PackagesError::Archive { path: path.to_owned(), source };
    let file = File::open(path).map_err(|error| unreadable(error.into()))?;
    let tree = read_tar(BufReader::new(file), store, ReadTarOptions::default());
    let tree = tree.map_err(|error| unreadable(error.into()))?.tree;
    in_tree(path, Ok(tree), store)
}

fn in_disk_image(text: &str, path: &Path, store: &Store, extent: Extent) -> Result<(Place, Vec<Known>), PackagesError> {
    let place = ImagePlace::parse(text);
    // What has no pool is no disk image, but then it may be an archive of an old kind.
    let has_pool = DiskImage::open(&place).is_ok_and(|image| image.pool_part().is_ok() && image.pool().is_ok());
    if !has_pool && place.dataset.is_none() {
        return in_archive(path, store);
    }
    in_tree(path, file_system::of_disk_image(&place, store, extent), store)
}

fn in_tree(
    path: &Path,
    tree: Result<Tree, Box<dyn std::error::Error + Send + Sync>>,
    store: &Store,
) -> Result<(Place, Vec<Known>), PackagesError> {
    let tree = tree.map_err(|source| PackagesError::FileSystem { path: path.to_owned(), source })?;
    let image = Image::load(&tree, &Payloads::new(store));
    let image = image.map_err(|source| PackagesError::Image { path: path.to_owned(), source })?;
    let image = image.ok_or_else(|| PackagesError::NoImage { path: path.to_owned() })?;
    let packages = image.packages().map(|package| known(package.id.clone(), &package.manifest, None)).collect();
    Ok((Place::Image { image: Box::new(image), tree, path: path.to_owned() }, packages))
}

/// The actions of a manifest that deliver something at a path.
pub(super) fn with_paths(manifest: &Manifest) -> impl Iterator<Item = &Action> {
    let kinds = [ActionKind::Dir, ActionKind::File, ActionKind::Link, ActionKind::Hardlink];
    manifest.actions.iter().filter(move |action| kinds.contains(&action.kind()))
}
