//! All packages that there are to choose from.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::dependency::Dependency;
use super::sat::Var;
use crate::catalog::{Catalog, CatalogEntry};
use crate::facet::Facets;
use crate::fmri::{PackageId, Stem};
use crate::manifest::{Action, ActionKind, is_true};
use crate::variant::{self, Variants};

/// The packages of all catalogs and of the image, seen with the image's variants and facets.
#[derive(Debug)]
pub struct Universe {
    variants: Variants,
    facets: Facets,
    packages: Vec<Package>,
    /// By name; of each, ascending by version, then publisher.
    by_stem: BTreeMap<Stem, Vec<Var>>,
    by_id: HashMap<PackageId, Var>,
}

#[derive(Debug)]
struct Package {
    id: PackageId,
    actions: Vec<String>,
    facts: OnceCell<Facts>,
}

/// What resolution has to know of a package, read when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) is_obsolete: bool,
    pub(super) is_renamed: bool,
    pub(super) dependencies: Vec<Dependency>,
    /// The name of what keeps it from moving while other packages are installed.
    pub(super) install_hold: Option<String>,
    /// Whether it is installed only if its name is asked for, never because something depends on it.
    pub(super) is_explicit: bool,
    /// Which of the image's variants it does not support.
    pub(super) foreign: Option<String>,
    /// Why it cannot be read.
    pub(super) unusable: Option<String>,
}

impl Facts {
    /// Whether the package is there for its own sake.
    pub(super) fn is_real(&self) -> bool {
        !self.is_obsolete && !self.is_renamed
    }

    pub(super) fn incorporates(&self) -> bool {
        self.dependencies.iter().any(|d| d.kind == super::DependencyKind::Incorporate)
    }
}

impl Universe {
    /// A universe without packages for an image with these variants and facets.
    #[must_use]
    pub fn new(variants: Variants, facets: Facets) -> Self {
        Self { variants, facets, packages: Vec::new(), by_stem: BTreeMap::new(), by_id: HashMap::new() }
    }

    /// Adds all packages of a catalog that are not there yet.
    pub fn add_catalog(&mut self, catalog: &Catalog) {
        for (id, CatalogEntry { dependency, .. }) in catalog.packages() {
            self.add_package(id, dependency.clone());
        }
    }

    /// Adds one package with the `depend` and `set` actions of its manifest, unless it is there.
    pub fn add_package(&mut self, id: PackageId, actions: Vec<String>) {
        if self.by_id.contains_key(&id) {
            return;
        }
        let Ok(var) = Var::try_from(self.packages.len()) else { return };
        let packages = &self.packages;
        let of_stem = self.by_stem.entry(id.stem.clone()).or_default();
        let at = of_stem.partition_point(|other| packages[*other as usize].id < id);
        of_stem.insert(at, var);
        self.by_id.insert(id.clone(), var);
        self.packages.push(Package { id, actions, facts: OnceCell::new() });
    }

    /// How many packages there are, every version counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there are no packages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// The names of all packages, sorted.
    pub fn stems(&self) -> impl Iterator<Item = &Stem> {
        self.by_stem.keys()
    }

    /// All packages of a name, ascending by version, then publisher.
    pub fn packages_of<'u>(&'u self, stem: &Stem) -> impl DoubleEndedIterator<Item = &'u PackageId> + use<'u> {
        self.vars_of(stem).iter().map(|var| self.id(*var))
    }

    pub(super) fn vars_of(&self, stem: &Stem) -> &[Var] {
        self.by_stem.get(stem).map_or(&[], Vec::as_slice)
    }

    pub(super) fn var(&self, id: &PackageId) -> Option<Var> {
        self.by_id.get(id).copied()
    }

    pub(super) fn id(&self, var: Var) -> &PackageId {
        &self.packages[var as usize].id
    }

    pub(super) fn facts(&self, var: Var) -> &Facts {
        let package = &self.packages[var as usize];
        package.facts.get_or_init(|| self.read(&package.actions))
    }

    fn read(&self, lines: &[String]) -> Facts {
        let mut facts = Facts::default();
        let mut supported: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in lines {
            let action: Action = match line.parse() {
                Ok(action) => action,
                Err(error) => {
                    facts.unusable = Some(format!("its catalog entry cannot be read ({error})"));
                    continue;
                }
            };
            if !self.variants.allow(&action) || !self.facets.allow(&action) {
                continue;
            }
            match (action.kind(), action.get("name")) {
                (ActionKind::Depend, _) => match Dependency::of(&action) {
                    Ok(dependency) => facts.dependencies.push(dependency),
                    Err(error) => facts.unusable = Some(format!("its dependencies cannot be read ({error})")),
                },
                (ActionKind::Set, Some("pkg.obsolete")) => facts.is_obsolete = action.get("value").is_some_and(is_true),
                (ActionKind::Set, Some("pkg.renamed")) => facts.is_renamed = action.get("value").is_some_and(is_true),
                (ActionKind::Set, Some("pkg.depend.explicit-install")) => {
                    facts.is_explicit = action.get("value").is_some_and(is_true);
                }
                (ActionKind::Set, Some("pkg.depend.install-hold")) => {
                    facts.install_hold = action.get("value").map(str::to_owned);
                }
                (ActionKind::Set, Some(name)) if name.starts_with(variant::PREFIX) => {
                    let values = supported.entry(name.to_owned()).or_default();
                    values.extend(action.values("value").map(str::to_owned));
                }
                _ => {}
            }
        }
        for (name, values) in &supported {
            if !self.variants.fit(name, values.iter().map(String::as_str)) {
                let own = self.variants.get(name).unwrap_or_default();
                facts.foreign = Some(format!("it is for {name} {}, and the image is {own}", values.join(", ")));
            }
        }
        facts
    }
}
