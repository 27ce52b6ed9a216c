//! The rules of packages as clauses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dependency::{Dependency, DependencyKind};
use super::sat::{Lit, NewClause, Provider, Var};
use super::universe::Universe;
use super::{ImageState, Request};
use crate::fmri::{Fmri, PackageId, Publisher, Stem};

/// Why a clause holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The user asked for it: the pattern by its index, and the name it selected.
    Asked(usize, Stem),
    /// It is installed, and installed packages stay unless the user removes them.
    Installed(PackageId),
    /// The package has this dependency.
    Dependency(Var, usize),
    /// There is one version of a package at most.
    OneVersion(Stem),
    /// This package cannot be chosen, for this reason.
    Unusable(Var, String),
}

/// The packages of a name from which one may be chosen, and what order of preference they have.
pub(super) struct Problem<'a> {
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
    priorities: HashMap<Stem, usize>,
    candidates: HashMap<Stem, Vec<Var>>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(universe: &'a Universe, image: &'a ImageState<'a>, request: &Request, names: &Names) -> Self {
        let installed: BTreeMap<Stem, PackageId> =
            image.installed.iter().map(|id| (id.stem.clone(), id.clone())).collect();
        let mut problem = Self {
            universe,
            image,
            rejected: names.rejected.clone(),
            asked: names.asked.clone(),
            publishers: names.publishers.clone(),
            is_update: request.update,
            installed,
            held: BTreeSet::new(),
            priorities: HashMap::new(),
            candidates: HashMap::new(),
        };
        if !request.update {
            problem.hold_incorporations();
        }
        problem
    }

    /// Installed incorporations of which no other installed package wants a certain version stay where they are: a
    /// mere installation shall not move a whole distribution.
    fn hold_incorporations(&mut self) {
        let mut incorporations = BTreeSet::new();
        let mut bound = BTreeSet::new();
        for id in self.installed.values() {
            let Some(var) = self.universe.var(id) else { continue };
            let facts = self.universe.facts(var);
            if facts.incorporates() {
                incorporations.insert(id.stem.clone());
            }
            let targets = facts.dependencies.iter().flat_map(|d| &d.targets);
            bound.extend(targets.filter(|target| target.version.is_some()).map(|target| target.stem.clone()));
        }
        let asked = &self.asked;
        incorporations.retain(|stem| !bound.contains(stem) && !asked.contains_key(stem));
        self.held = incorporations;
    }

    /// The packages of a name that may be chosen, the preferred ones first.
    pub(super) fn candidates(&mut self, stem: &Stem) -> &[Var] {
        if !self.candidates.contains_key(stem) {
            let ordered = self.ordered_candidates(stem);
            self.candidates.insert(stem.clone(), ordered);
        }
        &self.candidates[stem]
    }

    fn ordered_candidates(&self, stem: &Stem) -> Vec<Var> {
        let all = self.universe.vars_of(stem);
        let installed = self.installed.get(stem);
        let publisher = self.publisher_of(stem, all);
        let mut chosen: Vec<Var> = all
            .iter()
            .copied()
            .filter(|var| {
                Some(&self.universe.id(*var).publisher) == publisher || Some(self.universe.id(*var)) == installed
            })
            .collect();
        chosen.sort_by(|a, b| {
            let (a, b) = (self.universe.id(*a), self.universe.id(*b));
            b.version.cmp(&a.version).then_with(|| a.publisher.cmp(&b.publisher))
        });
        let stays_if_it_can = !self.is_update && !self.asked.contains_key(stem);
        if let (true, Some(installed)) = (stays_if_it_can, installed) {
            chosen.sort_by_key(|var| self.universe.id(*var) != installed);
        }
        chosen
    }

    /// The publisher whose packages are taken: the one that the user named, the one of the installed package if it is sticky,
    /// else the first in search order that has the name at all.
    fn publisher_of(&self, stem: &Stem, all: &[Var]) -> Option<&Publisher> {
        if let Some(named) = self.publishers.get(stem) {
            return Some(named);
        }
        let rank_of = |publisher: &Publisher| self.image.publishers.iter().find(|ranked| ranked.name == *publisher);
        if let Some(installed) = self.installed.get(stem) {
            // A publisher that is gone keeps its packages, too.
            if rank_of(&installed.publisher).is_none_or(|ranked| ranked.is_sticky) {
                return Some(&installed.publisher);
            }
        }
        let offers = |name: &Publisher| all.iter().any(|var| self.universe.id(*var).publisher == *name);
        self.image.publishers.iter().map(|ranked| &ranked.name).find(|name| offers(name))
    }

    /// The clauses that hold in any case.
    pub(super) fn roots(&mut self, names: &Names) -> Vec<NewClause<Cause>> {
        let mut stems: Vec<Stem> = names.roots.iter().map(|root| root.stem.clone()).collect();
        stems.extend(self.installed.keys().cloned());
        self.set_priorities(stems);
        let mut roots = Vec::new();
        for root in &names.roots {
            let candidates: Vec<Var> = self.candidates(&root.stem).to_vec();
            let fitting = candidates.into_iter().filter(|var| root.pattern.matches(self.universe.id(*var)));
            roots.push(NewClause {
                lits: fitting.map(Lit::positive).collect(),
                cause: Cause::Asked(root.index, root.stem.clone()),
                priority: self.priority_of(&root.stem),
            });
        }
        for id in self.installed.clone().into_values() {
            if !self.rejected.contains(&id.stem) {
                let candidates = self.candidates(&id.stem).iter().copied().map(Lit::positive);
                let lits = candidates.collect();
                let priority = self.priority_of(&id.stem);
                roots.push(NewClause { lits, cause: Cause::Installed(id), priority });
            }
        }
        roots
    }

    fn priority_of(&self, stem: &Stem) -> usize {
        self.priorities.get(stem).copied().unwrap_or(2)
    }

    /// Incorporations are decided first (0), then what leads to them (1), then the rest (2): an incorporation
    /// constrains the others, however late it is named.
    fn set_priorities(&mut self, roots: Vec<Stem>) {
        let mut required_by: HashMap<Stem, Vec<Stem>> = HashMap::new();
        let mut seen: BTreeSet<Stem> = roots.iter().cloned().collect();
        let mut todo = roots;
        let mut incorporations = Vec::new();
        while let Some(stem) = todo.pop() {
            let Some(newest) = self.candidates(&stem).first().copied() else { continue };
            let facts = self.universe.facts(newest);
            if facts.incorporates() {
                incorporations.push(stem.clone());
            }
            for target in facts.dependencies.iter().filter(|d| d.installs()).flat_map(|d| &d.targets) {
                required_by.entry(target.stem.clone()).or_default().push(stem.clone());
                if seen.insert(target.stem.clone()) {
                    todo.push(target.stem.clone());
                }
            }
        }
        let mut leading: Vec<Stem> = incorporations.clone();
        while let Some(stem) = leading.pop() {
            for requirer in required_by.get(&stem).into_iter().flatten() {
                if self.priorities.insert(requirer.clone(), 1).is_none() {
                    leading.push(requirer.clone());
                }
            }
        }
        self.priorities.extend(incorporations.into_iter().map(|stem| (stem, 0)));
    }

    /// Why a package cannot be chosen, whatever else is.
    fn unusable(&self, var: Var) -> Option<String> {
        let id = self.universe.id(var);
        if self.rejected.contains(&id.stem) {
            return Some("it is to be removed".to_owned());
        }
        if let Some(reason) = &self.universe.facts(var).unusable {
            return Some(reason.clone());
        }
        if let Some(installed) = self.installed.get(&id.stem) {
            let is_named_with_version = self.asked.get(&id.stem) == Some(&true);
            if id.version < installed.version && !is_named_with_version && id.publisher == installed.publisher {
                return Some(format!("{} is installed already", installed.short()));
            }
            if id != installed && self.held.contains(&id.stem) {
                return Some(format!("the incorporation {} stays unless it is asked for", installed.short()));
            }
        }
        let mut freezes = self.image.freezes.iter().filter(|freeze| freeze.stem == id.stem);
        let broken = freezes.find(|freeze| freeze.version.as_ref().is_some_and(|frozen| !frozen.admits(&id.version)));
        if let Some(freeze) = broken {
            return Some(format!("the image is frozen at {freeze}"));
        }
        let old = self.universe.facts(var).dependencies.iter().filter(|d| d.kind == DependencyKind::Origin);
        let mut unmet = old.filter(|d| !d.is_root_image).flat_map(|d| &d.targets).filter(|target| {
            let before = self.installed.get(&target.stem);
            before.is_some_and(|before| target.version.as_ref().is_some_and(|wanted| before.version < *wanted))
        });
        unmet.next().map(|target| format!("it can only be installed over {target}"))
    }

    /// Candidates for an FMRI of a dependency that are at least as new, the preferred ones first.
    fn at_least(&mut self, target: &Fmri, with_obsolete: bool) -> Vec<Var> {
        let universe = self.universe;
        let candidates = self.candidates(&target.stem).iter().copied();
        candidates
            .filter(|var| {
                let id = universe.id(*var);
                target.version.as_ref().is_none_or(|wanted| id.version >= *wanted)
                    && target.publisher.as_ref().is_none_or(|publisher| *publisher == id.publisher)
                    && (with_obsolete || !universe.facts(*var).is_obsolete)
            })
            .collect()
    }

    /// Candidates that a restricting dependency rules out.
    fn ruled_out(&mut self, kind: DependencyKind, target: &Fmri) -> Vec<Var> {
        let universe = self.universe;
        let is_out = |var: &Var| match (kind, &target.version) {
            (DependencyKind::Exclude, None) => true,
            (_, None) => false,
            (DependencyKind::Exclude, Some(wanted)) => universe.id(*var).version >= *wanted,
            (DependencyKind::Optional, Some(wanted)) => universe.id(*var).version < *wanted,
            (_, Some(wanted)) => !wanted.admits(&universe.id(*var).version),
        };
        self.candidates(&target.stem).iter().copied().filter(is_out).collect()
    }

    /// Whether a member of a group is not wanted by the user.
    fn is_avoided(&self, stem: &Stem) -> bool {
        self.rejected.contains(stem) || (self.image.avoided.contains(stem) && !self.asked.contains_key(stem))
    }

    /// The clauses of one dependency, without the package that has it.
    fn dependency_clauses(&mut self, dependency: &Dependency) -> Vec<(Vec<Lit>, usize)> {
        let targets = &dependency.targets;
        let first = targets.iter().map(|target| self.priority_of(&target.stem)).min().unwrap_or(2);
        match dependency.kind {
            DependencyKind::Require | DependencyKind::RequireAny => {
                let any = targets.iter().flat_map(|target| self.at_least(target, false));
                vec![(any.map(Lit::positive).collect(), first)]
            }
            DependencyKind::Group | DependencyKind::GroupAny => {
                let mut wanted = Vec::new();
                for target in targets {
                    if self.is_avoided(&target.stem) {
                        continue;
                    }
                    let any = Fmri { version: None, ..target.clone() };
                    wanted.extend(self.at_least(&any, true).into_iter().map(Lit::positive));
                }
                if wanted.is_empty() { Vec::new() } else { vec![(wanted, first)] }
            }
            DependencyKind::Optional | DependencyKind::Incorporate | DependencyKind::Exclude => {
                let out = targets.iter().flat_map(|target| self.ruled_out(dependency.kind, target));
                out.map(|var| (vec![Lit::negative(var)], first)).collect()
            }
            DependencyKind::Conditional => {
                let required: Vec<Lit> =
                    targets.iter().flat_map(|target| self.at_least(target, false)).map(Lit::positive).collect();
                // One clause for each combination of packages that meet all predicates; there is one predicate as a rule.
                let mut clauses = vec![required];
                for predicate in &dependency.predicates {
                    let met: Vec<Var> = self.at_least(predicate, false);
                    let with = |clause: &Vec<Lit>, var: Var| [&clause[..], &[Lit::negative(var)]].concat();
                    clauses = clauses.iter().flat_map(|clause| met.iter().map(move |var| with(clause, *var))).collect();
                }
                clauses.into_iter().map(|clause| (clause, first)).collect()
            }
            DependencyKind::Origin | DependencyKind::Parent => Vec::new(),
        }
    }
}

impl Provider for Problem<'_> {
    type Cause = Cause;

    fn expand(&mut self, var: Var) -> Vec<NewClause<Cause>> {
        let not_this = Lit::negative(var);
        if let Some(reason) = self.unusable(var) {
            return vec![NewClause { lits: vec![not_this], cause: Cause::Unusable(var, reason), priority: 0 }];
        }
        let universe = self.universe;
        let stem = &universe.id(var).stem;
        let mut clauses = Vec::new();
        for other in self.candidates(stem).iter().copied().filter(|other| *other != var) {
            let lits = vec![not_this, Lit::negative(other)];
            clauses.push(NewClause { lits, cause: Cause::OneVersion(stem.clone()), priority: 0 });
        }
        for (at, dependency) in universe.facts(var).dependencies.iter().enumerate() {
            for (mut lits, priority) in self.dependency_clauses(dependency) {
                lits.insert(0, not_this);
                clauses.push(NewClause { lits, cause: Cause::Dependency(var, at), priority });
            }
        }
        clauses
    }
}

impl Dependency {
    /// Whether it can be the reason for another package to be installed.
    pub(super) fn installs(&self) -> bool {
        matches!(
            self.kind,
            DependencyKind::Require
                | DependencyKind::RequireAny
                | DependencyKind::Group
                | DependencyKind::GroupAny
                | DependencyKind::Conditional
        )
    }
}

/// What the patterns of a request selected.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) roots: Vec<Root>,
    pub(super) asked: BTreeMap<Stem, bool>,
    pub(super) rejected: BTreeSet<Stem>,
    pub(super) publishers: BTreeMap<Stem, Publisher>,
}

/// One name that one pattern selected.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) index: usize,
    pub(super) stem: Stem,
    pub(super) pattern: crate::fmri::Pattern,
}
