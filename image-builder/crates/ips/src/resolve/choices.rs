//! Which packages of a name an image lets be chosen, and which of them it prefers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dependency::DependencyKind;
use super::sat::Var;
use super::select::Names;
use super::universe::{Facts, Universe};
use super::{ImageState, Request};
use crate::fmri::{PackageId, Publisher, Stem};

/// The packages of each name from which one may be chosen.
pub(super) struct Choices<'a> {
    pub(super) universe: &'a Universe,
    image: &'a ImageState<'a>,
    /// The names that are not to be installed, by the user's word.
    rejected: BTreeSet<Stem>,
    /// The names that the user asked for, and whether with a version.
    asked: BTreeMap<Stem, bool>,
    /// The publisher that the user named for a name.
    publishers: BTreeMap<Stem, Publisher>,
    /// Whether all installed packages shall become as new as possible.
    is_update: bool,
    installed: BTreeMap<Stem, PackageId>,
    /// Installed incorporations that do not move unless they are asked for.
    held: BTreeSet<Stem>,
    by_stem: HashMap<Stem, Vec<Var>>,
}

impl<'a> Choices<'a> {
    /// The choices without the names in `useless`.
    pub(super) fn new(
        universe: &'a Universe,
        image: &'a ImageState<'a>,
        request: &Request,
        names: &Names,
        useless: &BTreeSet<Stem>,
    ) -> Self {
        let mut choices = Self {
            universe,
            image,
            rejected: names.rejected.clone(),
            asked: names.asked.clone(),
            publishers: names.publishers.clone(),
            is_update: request.update,
            installed: image.installed.iter().map(|id| (id.stem.clone(), id.clone())).collect(),
            held: BTreeSet::new(),
            by_stem: useless.iter().map(|stem| (stem.clone(), Vec::new())).collect(),
        };
        if !request.update {
            choices.hold_incorporations();
        }
        choices
    }

    /// The packages of a name, the preferred ones first.
    pub(super) fn of(&mut self, stem: &Stem) -> &[Var] {
        if !self.by_stem.contains_key(stem) {
            let ordered = self.ordered(stem);
            self.by_stem.insert(stem.clone(), ordered);
        }
        &self.by_stem[stem]
    }

    /// The installed packages that are in the image afterwards, in whatever version: not those that the user removes, nor
    /// those that do not support the image's variants any more. What groups shall not pull in is there only while something
    /// requires it.
    pub(super) fn staying(&self) -> Vec<PackageId> {
        let stays = |id: &&PackageId| !self.is_leaving(id) && !self.is_avoided(&id.stem);
        self.installed.values().filter(stays).cloned().collect()
    }

    pub(super) fn is_installed(&self, stem: &Stem) -> bool {
        self.installed.contains_key(stem)
    }

    /// Whether an installed package of this name gives way to what was asked for, and not the other way round.
    pub(super) fn gives_way(&self, stem: &Stem) -> bool {
        self.stays_if_it_can(stem) && !self.held.contains(stem)
    }

    /// Whether an installed package of this name shall stay as it is if that is possible.
    fn stays_if_it_can(&self, stem: &Stem) -> bool {
        !self.is_update && !self.asked.contains_key(stem) && self.installed.contains_key(stem)
    }

    /// Whether the user asked for this name, without saying which version.
    pub(super) fn is_asked_without_version(&self, stem: &Stem) -> bool {
        self.asked.get(stem) == Some(&false)
    }

    /// Whether a member of a group is not wanted by the user.
    pub(super) fn is_avoided(&self, stem: &Stem) -> bool {
        self.rejected.contains(stem) || (self.image.avoided.contains(stem) && !self.asked.contains_key(stem))
    }

    /// Why a package cannot be chosen, whatever else is.
    pub(super) fn unusable(&self, var: Var) -> Option<String> {
        let id = self.universe.id(var);
        if self.rejected.contains(&id.stem) {
            return Some("it is to be removed".to_owned());
        }
        let facts = self.universe.facts(var);
        if let Some(reason) = facts.foreign.as_ref().or(facts.unusable.as_ref()) {
            return Some(reason.clone());
        }
        let installed = self.installed.get(&id.stem);
        if facts.is_explicit && installed != Some(id) && !self.asked.contains_key(&id.stem) {
            return Some("it is only installed if it is asked for by its name".to_owned());
        }
        if let Some(installed) = installed {
            let is_named_with_version = self.asked.get(&id.stem) == Some(&true);
            if id.version < installed.version && !is_named_with_version {
                return Some(format!("{} is installed already", installed.short()));
            }
            if id != installed && self.held.contains(&id.stem) {
                return Some(format!("the incorporation {} stays unless it is asked for", installed.short()));
            }
        }
        self.freeze_on(id).or_else(|| self.unmet_origin(facts))
    }

    fn freeze_on(&self, id: &PackageId) -> Option<String> {
        let mut freezes = self.image.freezes.iter().filter(|freeze| freeze.stem == id.stem);
        let broken = freezes.find(|freeze| freeze.version.as_ref().is_some_and(|frozen| !frozen.admits(&id.version)));
        broken.map(|freeze| format!("the image is frozen at {freeze}"))
    }

    fn unmet_origin(&self, facts: &Facts) -> Option<String> {
        let origins = facts.dependencies.iter().filter(|d| d.kind == DependencyKind::Origin && !d.is_root_image);
        let mut unmet = origins.flat_map(|d| &d.targets).filter(|target| {
            let before = self.installed.get(&target.stem);
            before.is_some_and(|before| target.version.as_ref().is_some_and(|wanted| before.version < *wanted))
        });
        unmet.next().map(|target| format!("it can only be installed over {target}"))
    }

    fn ordered(&self, stem: &Stem) -> Vec<Var> {
        let all = self.universe.vars_of(stem);
        let installed = self.installed.get(stem);
        let publisher = self.publisher_of(stem, all);
        // The same version of another publisher is no reason to replace what is there.
        let is_same_elsewhere = |id: &PackageId| {
            installed.is_some_and(|installed| installed.version == id.version) && !self.publishers.contains_key(stem)
        };
        let mut chosen: Vec<Var> = all.to_vec();
        chosen.retain(|var| {
            let id = self.universe.id(*var);
            Some(id) == installed || (Some(&id.publisher) == publisher && !is_same_elsewhere(id))
        });
        chosen.sort_by(|a, b| {
            let (a, b) = (self.universe.id(*a), self.universe.id(*b));
            b.version.cmp(&a.version).then_with(|| a.publisher.cmp(&b.publisher))
        });
        if self.stays_if_it_can(stem) {
            chosen.sort_by_key(|var| Some(self.universe.id(*var)) != installed);
        }
        chosen
    }

    /// The publisher whose packages are taken: the one that the user named, the one of the installed package if it is sticky,
    /// else the first in search order that has the name at all. One that the image does not ask any more is not sticky.
    fn publisher_of(&self, stem: &Stem, all: &[Var]) -> Option<&Publisher> {
        if let Some(named) = self.publishers.get(stem) {
            return Some(named);
        }
        let is_sticky = |name: &Publisher| self.image.publishers.iter().any(|p| p.name == *name && p.is_sticky);
        if let Some(installed) = self.installed.get(stem).filter(|installed| is_sticky(&installed.publisher)) {
            return Some(&installed.publisher);
        }
        let offers = |name: &Publisher| all.iter().any(|var| self.universe.id(*var).publisher == *name);
        self.image.publishers.iter().map(|ranked| &ranked.name).find(|name| offers(name))
    }

    fn facts_of(&self, id: &PackageId) -> Option<&'a Facts> {
        self.universe.var(id).map(|var| self.universe.facts(var))
    }

    /// Whether an installed package is to be removed, or does not support the variants that the image has by now.
    fn is_leaving(&self, id: &PackageId) -> bool {
        self.rejected.contains(&id.stem) || self.facts_of(id).is_some_and(|facts| facts.foreign.is_some())
    }

    /// Installed incorporations stay where they are, unless another installed package wants a certain version of them: a
    /// mere installation shall not move a whole distribution. One with an install-hold stays in either case, unless the hold is
    /// relaxed: by asking for a package with the same hold, or with one that this one begins with (`core-os` relaxes
    /// `core-os.desktop`).
    fn hold_incorporations(&mut self) {
        let mut incorporations = BTreeSet::new();
        let mut bound = BTreeSet::new();
        let mut install_holds: BTreeMap<&Stem, &str> = BTreeMap::new();
        for id in self.installed.values().filter(|id| !self.is_leaving(id)) {
            let Some(facts) = self.facts_of(id) else { continue };
            if facts.incorporates() {
                incorporations.insert(id.stem.clone());
            }
            if let Some(hold) = &facts.install_hold {
                install_holds.insert(&id.stem, hold);
            }
            let targets = facts.dependencies.iter().flat_map(|d| &d.targets);
            bound.extend(targets.filter(|target| target.version.is_some()).map(|target| target.stem.clone()));
        }
        let asked = &self.asked;
        let relaxing: Vec<&str> = asked.keys().filter_map(|stem| install_holds.get(stem).copied()).collect();
        let is_relaxed = |hold: &str| {
            relaxing.iter().any(|by| hold.strip_prefix(by).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        let stays =
            |stem: &Stem| !bound.contains(stem) || install_holds.get(stem).is_some_and(|hold| !is_relaxed(hold));
        incorporations.retain(|stem| stays(stem) && !asked.contains_key(stem));
        self.held = incorporations;
    }
}
