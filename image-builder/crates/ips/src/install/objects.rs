//! What a set of packages delivers, thing by thing, after variants, facets, mediators and overlays.

use std::collections::{BTreeMap, HashSet};

use image_tree::ImagePath;

use super::error::InstallError;
use super::{Package, PackageSet};
use crate::fmri::Stem;
use crate::manifest::{Action, ActionKind, AttributeError};
use crate::mediator::{self, MediatedLink, Mediators};

/// An action and the package that it is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered<'p> {
    pub(super) package: &'p Package,
    pub(super) action: &'p Action,
}

impl Delivered<'_> {
    /// The package as errors name it.
    pub(super) fn package_name(&self) -> String {
        format!("pkg://{}/{}", self.package.id.publisher, self.package.id.short())
    }

    /// Whether both are of one package, in whatever versions.
    pub(super) fn is_of_same_package(&self, other: &Delivered<'_>) -> bool {
        self.package.id.stem == other.package.id.stem
    }

    pub(super) fn unusable(&self, source: AttributeError) -> InstallError {
        InstallError::Attribute {
            package: self.package_name(),
            action: self.action.outline(),
            source: Box::new(source),
        }
    }
}

/// Everything that packages deliver, each thing once.
#[derive(Debug, Default)]
pub(super) struct Objects<'p> {
    /// Directories, files and links.
    pub(super) paths: BTreeMap<ImagePath, Delivered<'p>>,
    /// What is delivered at the same paths beside that: files below overlays, directories and links of further packages.
    others: BTreeMap<ImagePath, Vec<Delivered<'p>>>,
    pub(super) users: BTreeMap<&'p str, Delivered<'p>>,
    pub(super) groups: BTreeMap<&'p str, Delivered<'p>>,
    pub(super) drivers: BTreeMap<&'p str, Delivered<'p>>,
    pub(super) legacy: BTreeMap<&'p str, Delivered<'p>>,
    /// Licences by the path that they are kept at.
    pub(super) licenses: BTreeMap<ImagePath, Delivered<'p>>,
    /// What the mediators are set to.
    pub(super) mediators: Mediators,
}

impl<'p> Objects<'p> {
    pub(super) fn collect(set: &PackageSet<'p>) -> Result<Self, InstallError> {
        let mut objects = Self::default();
        let mut by_path: BTreeMap<ImagePath, Vec<(Delivered<'p>, Option<MediatedLink>)>> = BTreeMap::new();
        for package in set.packages {
            let wanted = package.manifest.actions.iter();
            for action in wanted.filter(|action| set.variants.allow(action) && set.facets.allow(action)) {
                let delivered = Delivered { package, action };
                match action.kind() {
                    ActionKind::Dir | ActionKind::File | ActionKind::Link | ActionKind::Hardlink => {
                        let path = action.path().map_err(|source| delivered.unusable(source))?;
                        let mediated = MediatedLink::of(action).map_err(|source| delivered.unusable(source))?;
                        by_path.entry(path).or_default().push((delivered, mediated));
                    }
                    ActionKind::User => single(&mut objects.users, "user", "username", delivered)?,
                    ActionKind::Group => single(&mut objects.groups, "group", "groupname", delivered)?,
                    ActionKind::Driver => single(&mut objects.drivers, "driver", "name", delivered)?,
                    ActionKind::Legacy => add_legacy(&mut objects.legacy, delivered)?,
                    ActionKind::License => {
                        let path = super::sundry::license_path(&delivered.package.id, delivered.action);
                        let path = path.map_err(|source| delivered.unusable(source))?;
                        // They are written one after the other, so that the last of one name is what is left.
                        objects.licenses.insert(path, delivered);
                    }
                    ActionKind::Set | ActionKind::Depend | ActionKind::Unknown | ActionKind::Signature => {}
                }
            }
        }
        let offers = by_path.values().flatten().filter_map(|(_, mediated)| mediated.as_ref());
        objects.mediators = mediator::choose(set.mediators, offers);
        for (path, delivered) in by_path {
            let all = chosen(&path, delivered, &objects.mediators)?;
            let Some(one) = one_of(&path, &all)? else { continue };
            if all.len() > 1 {
                let others = all.into_iter().filter(|other| !std::ptr::eq(other.action, one.action));
                objects.others.insert(path.clone(), others.collect());
            }
            objects.paths.insert(path, one);
        }
        objects.check_parents()?;
        Ok(objects)
    }

    /// All that is delivered at a path, what is made there first.
    pub(super) fn at(&self, path: &ImagePath) -> impl Iterator<Item = Delivered<'p>> + use<'p, '_> {
        self.paths.get(path).into_iter().chain(self.others.get(path).into_iter().flatten()).copied()
    }

    /// What an action that is made at a path goes on from: the one of its own package before, or else one of a package
    /// that delivers nothing there any more. An overlay goes on from no file that stays below it.
    pub(super) fn predecessor(
        &self,
        after: &Objects<'_>,
        path: &ImagePath,
        new: Delivered<'_>,
    ) -> Option<Delivered<'p>> {
        let before = || self.at(path).filter(|old| old.action.kind() == new.action.kind());
        let own = before().find(|old| old.is_of_same_package(&new));
        own.or_else(|| {
            let staying = after.stems_at(path);
            before().find(|old| !staying.contains(&old.package.id.stem))
        })
    }

    /// Whether a further package delivers what is at a path, beside those that did. It has nothing to go on from, and makes
    /// the thing anew, whatever became of it; a package that takes over from one that goes does not.
    pub(super) fn has_newcomer(&self, after: &Objects<'_>, path: &ImagePath) -> bool {
        if !after.others.contains_key(path) {
            return false;
        }
        let (before, after) = (self.stems_at(path), after.stems_at(path));
        let staying = after.intersection(&before).count();
        after.len() - staying > usize::from(staying == 0)
    }

    /// The packages that deliver something at a path.
    fn stems_at(&self, path: &ImagePath) -> HashSet<&'p Stem> {
        self.at(path).map(|delivered| &delivered.package.id.stem).collect()
    }

    /// Nothing can be below something that is no directory.
    fn check_parents(&self) -> Result<(), InstallError> {
        for (path, delivered) in &self.paths {
            let mut above = path.parent();
            while let Some(parent) = above {
                if let Some(at_parent) = self.paths.get(&parent) {
                    if at_parent.action.kind() != ActionKind::Dir {
                        let kind = at_parent.action.kind();
                        let reason = format!("{parent} is a {kind} there, and {path} is below it");
                        return Err(conflict(parent.to_string(), &[*at_parent, *delivered], reason));
                    }
                    // What is above a delivered directory was looked at with it.
                    break;
                }
                above = parent.parent();
            }
        }
        Ok(())
    }
}

fn conflict(what: String, delivered: &[Delivered<'_>], reason: String) -> InstallError {
    let mut packages: Vec<String> = delivered.iter().map(Delivered::package_name).collect();
    packages.dedup();
    InstallError::Conflict { what, packages, reason }
}

/// Adds a thing that one action only may deliver.
fn single<'p>(
    things: &mut BTreeMap<&'p str, Delivered<'p>>,
    what: &str,
    key: &'static str,
    delivered: Delivered<'p>,
) -> Result<(), InstallError> {
    let name = delivered.action.required(key).map_err(|source| delivered.unusable(source))?;
    match things.insert(name, delivered) {
        None => Ok(()),
        Some(other) => {
            Err(conflict(format!("the {what} {name}"), &[other, delivered], "only one package may do it".to_owned()))
        }
    }
}

/// Several packages may stand for one SVR4 package, if they say the same of it.
fn add_legacy<'p>(legacy: &mut BTreeMap<&'p str, Delivered<'p>>, delivered: Delivered<'p>) -> Result<(), InstallError> {
    const COMPARED: [&str; 10] =
        ["category", "desc", "hotline", "name", "vendor", "version", "basedir", "pkginst", "pstamp", "sunw_prodvers"];
    let name = delivered.action.required("pkg").map_err(|source| delivered.unusable(source))?;
    let is_one_name = !matches!(name, "" | "." | "..") && !name.contains('/');
    if !is_one_name {
        return Err(delivered.unusable(delivered.action.invalid("pkg", name, "the name of a package")));
    }
    let Some(other) = legacy.get(name).copied() else {
        legacy.insert(name, delivered);
        return Ok(());
    };
    match COMPARED.into_iter().find(|attribute| other.action.get(attribute) != delivered.action.get(attribute)) {
        None => Ok(()),
        Some(attribute) => {
            Err(conflict(format!("the SVR4 package {name}"), &[other, delivered], format!("`{attribute}` differs")))
        }
    }
}

/// What is delivered at a path that several actions may want, without the links that are not chosen.
fn chosen<'p>(
    path: &ImagePath,
    mut wanted: Vec<(Delivered<'p>, Option<MediatedLink>)>,
    mediators: &Mediators,
) -> Result<Vec<Delivered<'p>>, InstallError> {
    let mediated = wanted.iter().filter(|(_, mediated)| mediated.is_some()).count();
    if mediated > 0 && mediated < wanted.len() {
        let all: Vec<Delivered<'_>> = wanted.iter().map(|(delivered, _)| *delivered).collect();
        let what = |delivered: &Delivered<'p>| (delivered.action.kind(), delivered.action.get("target"));
        if all.iter().any(|delivered| what(delivered) != what(&all[0])) {
            return Err(conflict(path.to_string(), &all, "only some of them leave it to a mediator".to_owned()));
        }
        // All lead to the same, whatever the mediator is set to.
        return Ok(all);
    }
    wanted.retain(|(_, mediated)| mediated.as_ref().is_none_or(|link| link.is_chosen(mediators)));
    // One that leaves the version of the implementation open gives way to the one that names it.
    let is_exact = |(_, mediated): &(Delivered<'p>, Option<MediatedLink>)| {
        mediated.as_ref().is_some_and(|link| link.is_exactly_chosen(mediators))
    };
    if wanted.iter().any(is_exact) {
        wanted.retain(is_exact);
    }
    Ok(wanted.into_iter().map(|(delivered, _)| delivered).collect())
}

/// What is made of all that is delivered at a path; none if that is nothing.
fn one_of<'p>(path: &ImagePath, delivered: &[Delivered<'p>]) -> Result<Option<Delivered<'p>>, InstallError> {
    let Some((first, rest)) = delivered.split_first() else { return Ok(None) };
    rest.iter().try_fold(*first, |first, other| agree(path, first, *other)).map(Some)
}

/// Of two actions for one path, the one that is executed.
fn agree<'p>(path: &ImagePath, a: Delivered<'p>, b: Delivered<'p>) -> Result<Delivered<'p>, InstallError> {
    let refuse = |reason: String| conflict(path.to_string(), &[a, b], reason);
    let (kind, other) = (a.action.kind(), b.action.kind());
    if kind != other {
        return Err(refuse(format!("it is a {kind} in one and a {other} in the other")));
    }
    match kind {
        ActionKind::Dir => match different_metadata(a, b)? {
            None => Ok(a),
            Some(attribute) => Err(refuse(format!("`{attribute}` differs"))),
        },
        ActionKind::File => overlay(a, b).map_err(refuse),
        _ if a.action.get("target") == b.action.get("target") => Ok(a),
        _ => Err(refuse("`target` differs".to_owned())),
    }
}

fn different_metadata(a: Delivered<'_>, b: Delivered<'_>) -> Result<Option<&'static str>, InstallError> {
    let mode = |delivered: Delivered<'_>| delivered.action.mode().map_err(|source| delivered.unusable(source));
    let differs = |attribute: &&'static str| a.action.get(attribute) != b.action.get(attribute);
    Ok(if mode(a)? != mode(b)? { Some("mode") } else { ["owner", "group"].into_iter().find(differs) })
}

/// One package may put its file over that of another, if both say so.
fn overlay<'p>(a: Delivered<'p>, b: Delivered<'p>) -> Result<Delivered<'p>, String> {
    let is = |delivered: Delivered<'_>, word| delivered.action.get("overlay") == Some(word);
    let (over, under) = if is(a, "true") && is(b, "allow") {
        (a, b)
    } else if is(b, "true") && is(a, "allow") {
        (b, a)
    } else {
        return Err("only one package may deliver a file, unless one has `overlay=true` and the other \
                    `overlay=allow`"
            .to_owned());
    };
    if under.action.get("preserve").is_none() {
        return Err("a file with `overlay=allow` needs `preserve`".to_owned());
    }
    match different_metadata(over, under) {
        Ok(None) => Ok(over),
        Ok(Some(attribute)) => Err(format!("`{attribute}` of a file and its overlay differs")),
        Err(_) => Err("`mode` of a file or its overlay is missing".to_owned()),
    }
}
