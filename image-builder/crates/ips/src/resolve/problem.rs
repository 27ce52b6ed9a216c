//! The rules of packages as clauses.

use std::collections::{BTreeSet, HashMap};

use super::choices::Choices;
use super::dependency::{Dependency, DependencyKind};
use super::sat::{Lit, NewClause, Provider, Var};
use super::select::Names;
use super::universe::Universe;
use crate::fmri::{Fmri, PackageId, Stem};

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

/// The priorities of most clauses, and of those that offer several names.
const REST: usize = 2;
const CHOICE: usize = 3;

/// Of how many combinations of packages a condition may consist. One with more, which nobody publishes who means well,
/// counts as met.
const COMBINATIONS_MAX: usize = 10_000;

/// The rules, and how soon a choice among the packages of a name is made.
pub(super) struct Problem<'a> {
    universe: &'a Universe,
    choices: Choices<'a>,
    priorities: HashMap<Stem, usize>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(choices: Choices<'a>) -> Self {
        Self { universe: choices.universe, choices, priorities: HashMap::new() }
    }

    /// The clauses that hold in any case.
    pub(super) fn roots(&mut self, names: &Names) -> Vec<NewClause<Cause>> {
        let mut stems: Vec<Stem> = names.roots.iter().map(|root| root.stem.clone()).collect();
        let staying = self.choices.staying();
        stems.extend(staying.iter().map(|id| id.stem.clone()));
        self.set_priorities(stems);
        let mut roots = Vec::new();
        for root in &names.roots {
            let candidates: Vec<Var> = self.choices.of(&root.stem).to_vec();
            let fitting = candidates.into_iter().filter(|var| root.pattern.matches(self.universe.id(*var)));
            roots.push(NewClause {
                lits: fitting.map(Lit::positive).collect(),
                cause: Cause::Asked(root.index, root.stem.clone()),
                priority: self.priority_of(&root.stem),
            });
        }
        for id in staying {
            let lits = self.choices.of(&id.stem).iter().copied().map(Lit::positive).collect();
            let priority = self.priority_of(&id.stem);
            roots.push(NewClause { lits, cause: Cause::Installed(id), priority });
        }
        roots
    }

    fn priority_of(&self, stem: &Stem) -> usize {
        self.priorities.get(stem).copied().unwrap_or(REST)
    }

    /// Incorporations are decided first (0), then what leads to them (1), then the rest (2), and choices among several
    /// names last ([`CHOICE`]): an incorporation constrains the others, however late it is named, and what
    /// is there anyway is the best choice. An installed incorporation that may move does so rather than keep what was
    /// asked for from being as new as it can.
    fn set_priorities(&mut self, roots: Vec<Stem>) {
        let mut required_by: HashMap<Stem, Vec<Stem>> = HashMap::new();
        let mut seen: BTreeSet<Stem> = roots.iter().cloned().collect();
        let mut todo = roots;
        let mut incorporations = Vec::new();
        while let Some(stem) = todo.pop() {
            let Some(newest) = self.choices.of(&stem).first().copied() else { continue };
            let facts = self.universe.facts(newest);
            if facts.incorporates() && !self.choices.gives_way(&stem) {
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

    /// Candidates for an FMRI of a dependency that are at least as new, the preferred ones first. From which publisher a
    /// name is taken is the image's business, whatever publisher the dependency names.
    fn at_least(&mut self, target: &Fmri, with_obsolete: bool) -> Vec<Var> {
        let universe = self.universe;
        let candidates = self.choices.of(&target.stem).iter().copied();
        candidates
            .filter(|var| {
                let id = universe.id(*var);
                target.version.as_ref().is_none_or(|wanted| id.version >= *wanted)
                    && (with_obsolete || !universe.facts(*var).is_obsolete)
            })
            .collect()
    }

    /// Whether the user asked for this name without saying which version, and its newest one is obsolete. What merely
    /// has a choice shall not hold such a name back while there is something else to choose.
    fn is_asked_to_become_obsolete(&mut self, var: Var) -> bool {
        let universe = self.universe;
        let stem = &universe.id(var).stem;
        let is_asked = self.choices.is_asked_without_version(stem);
        is_asked && self.choices.of(stem).first().is_some_and(|newest| universe.facts(*newest).is_obsolete)
    }

    /// A clause for packages of which one is needed, in the order of preference: what is installed before what is not, then
    /// the names in the order of the dependency, and of each name as the image prefers it.
    fn preferred(&mut self, targets: &[Fmri], mut any: Vec<Var>) -> Vec<Lit> {
        let universe = self.universe;
        any.sort_by_cached_key(|var| {
            let stem = &universe.id(*var).stem;
            let name = targets.iter().position(|target| target.stem == *stem);
            let preference = self.choices.of(stem).iter().position(|other| other == var);
            (self.is_asked_to_become_obsolete(*var), !self.choices.is_installed(stem), name, preference)
        });
        any.dedup();
        any.into_iter().map(Lit::positive).collect()
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
        self.choices.of(&target.stem).iter().copied().filter(is_out).collect()
    }

    /// The clauses of one dependency, without the package that has it.
    fn dependency_clauses(&mut self, dependency: &Dependency) -> Vec<(Vec<Lit>, usize)> {
        let targets = &dependency.targets;
        let first = targets.iter().map(|target| self.priority_of(&target.stem)).min().unwrap_or(REST);
        let choice = if targets.len() > 1 { CHOICE } else { first };
        match dependency.kind {
            DependencyKind::Require | DependencyKind::RequireAny => {
                if let [target] = &targets[..] {
                    return vec![(self.at_least(target, false).into_iter().map(Lit::positive).collect(), first)];
                }
                let any = targets.iter().flat_map(|target| self.at_least(target, false)).collect();
                vec![(self.preferred(targets, any), CHOICE)]
            }
            DependencyKind::Group | DependencyKind::GroupAny => {
                let mut wanted = Vec::new();
                for target in targets {
                    if !self.choices.is_avoided(&target.stem) {
                        let any = Fmri { version: None, ..target.clone() };
                        wanted.extend(self.at_least(&any, true));
                    }
                }
                // Without a single package of these names, the one with the group cannot be installed; if all of them are
                // avoided, it can.
                let is_void = targets.iter().all(|target| self.choices.is_avoided(&target.stem));
                if is_void { Vec::new() } else { vec![(self.preferred(targets, wanted), choice)] }
            }
            DependencyKind::Optional | DependencyKind::Incorporate | DependencyKind::Exclude => {
                let out = targets.iter().flat_map(|target| self.ruled_out(dependency.kind, target));
                out.map(|var| (vec![Lit::negative(var)], first)).collect()
            }
            DependencyKind::Conditional => {
                let required: Vec<Lit> =
                    targets.iter().flat_map(|target| self.at_least(target, false)).map(Lit::positive).collect();
                let met: Vec<Vec<Var>> =
                    dependency.predicates.iter().map(|predicate| self.at_least(predicate, false)).collect();
                let count = met.iter().fold(1_usize, |count, met| count.saturating_mul(met.len()));
                if count > COMBINATIONS_MAX {
                    return vec![(required, first)];
                }
                // One clause for each combination of packages that meet all predicates; there is one predicate as a rule.
                let with = |clause: &Vec<Lit>, var: Var| [&clause[..], &[Lit::negative(var)]].concat();
                let clauses = met.iter().fold(vec![required], |clauses, met| {
                    clauses.iter().flat_map(|clause| met.iter().map(|var| with(clause, *var))).collect()
                });
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
        if let Some(reason) = self.choices.unusable(var) {
            return vec![NewClause { lits: vec![not_this], cause: Cause::Unusable(var, reason), priority: 0 }];
        }
        let universe = self.universe;
        let stem = &universe.id(var).stem;
        let mut clauses = Vec::new();
        for other in self.choices.of(stem).iter().copied().filter(|other| *other != var) {
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
