//! Choosing packages: which versions of which packages make a request come true.
//!
//! The rules are turned into clauses for a solver that learns from conflicts (`sat`). It is our own, because what is
//! wanted is narrow: nothing without a reason, the newest versions in the order of the request, the same answer
//! everywhere and always, and a contradiction small enough to be read. General solvers choose freely among
//! solutions; solvers for package managers know no incorporations, conditions and groups.

mod dependency;
mod explain;
mod problem;
mod sat;
mod select;
mod universe;

use std::collections::BTreeMap;

pub use dependency::{Dependency, DependencyKind};
pub use explain::Conflict;
pub use universe::Universe;

use crate::fmri::{Fmri, PackageId, Pattern, Publisher, Stem};
use problem::Problem;
use sat::{Outcome, Solver, Var};

/// A publisher of the image, at its place in the search order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankedPublisher {
    /// Its name.
    pub name: Publisher,
    /// Whether its installed packages are only replaced by its own.
    pub is_sticky: bool,
}

/// What of the image matters for resolution.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImageState<'a> {
    /// The publishers in search order, without disabled ones.
    pub publishers: &'a [RankedPublisher],
    /// The installed packages, one of each name. Those that are in no catalog any more have to be in the universe, too.
    pub installed: &'a [PackageId],
    /// Names with versions that must not be left.
    pub freezes: &'a [Fmri],
    /// Names that groups do not pull in.
    pub avoided: &'a [Stem],
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Packages to install, or to bring to the newest version that the patterns allow.
    pub install: Vec<Pattern>,
    /// Packages to remove, or not to install.
    pub reject: Vec<Pattern>,
    /// Whether everything installed shall become as new as possible.
    pub update: bool,
}

/// What shall be installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solution {
    /// All packages of the image afterwards, sorted. Obsolete and renamed ones are not among them.
    pub packages: Vec<PackageId>,
    /// The names that groups shall not pull in from now on, and why.
    pub avoided: BTreeMap<Stem, AvoidReason>,
}

/// Why a name is on the avoid list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AvoidReason {
    /// The user removed the package or did not want it.
    Unwanted,
    /// The package of the group is obsolete.
    Obsolete,
}

/// Why a request cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A pattern selects nothing.
    #[error("no package matches `{pattern}`{}", suggestion(suggestions))]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Similar names.
        suggestions: Vec<String>,
    },
    /// A pattern names packages, but none of this version.
    #[error("no version of {stem} matches `{pattern}`; the newest is {newest}")]
    NoVersion {
        /// The pattern.
        pattern: String,
        /// The name that it selects.
        stem: Stem,
        /// The newest version there is.
        newest: String,
    },
    /// A literal pattern selects several names.
    #[error("`{pattern}` means several packages: {}", stems.join(", "))]
    Ambiguous {
        /// The pattern.
        pattern: String,
        /// The names.
        stems: Vec<String>,
    },
    /// A package to remove is not installed.
    #[error("no installed package matches `{pattern}`")]
    NotInstalled {
        /// The pattern.
        pattern: String,
    },
    /// The rules of the packages contradict each other.
    #[error("no set of packages does what is asked, because these cannot all be true:\n{conflict}")]
    Conflict {
        /// The statements in contradiction.
        conflict: Conflict,
    },
    /// The search took more steps than any real request does.
    #[error("the search for a set of packages was given up: the dependencies are too entangled")]
    TooHard,
}

fn suggestion(suggestions: &[String]) -> String {
    if suggestions.is_empty() { String::new() } else { format!("; there is {}", suggestions.join(", ")) }
}

/// Finds the packages that an image has after a request.
///
/// The answer depends on nothing but the arguments. Given the order in which packages are decided about
/// (incorporations first, then as asked, then as required), none of them could be newer; and none is there
/// without being asked for, installed before, or required.
///
/// # Errors
/// See [`ResolveError`].
pub fn resolve(universe: &Universe, image: &ImageState<'_>, request: &Request) -> Result<Solution, ResolveError> {
    let names = select::select(universe, image, request)?;
    let mut problem = Problem::new(universe, image, request, &names);
    let roots = problem.roots(&names);
    let mut solver = Solver::new(universe.len(), problem);
    match solver.solve(roots) {
        Outcome::Solved(vars) => Ok(solution(universe, image, &names, &vars)),
        Outcome::TooHard => Err(ResolveError::TooHard),
        Outcome::Contradiction(core) => {
            let conflict = explain::conflict(universe, request, &sat::minimise(core));
            Err(ResolveError::Conflict { conflict })
        }
    }
}

fn solution(universe: &Universe, image: &ImageState<'_>, names: &problem::Names, vars: &[Var]) -> Solution {
    let real = vars.iter().filter(|var| universe.facts(**var).is_real());
    let mut packages: Vec<PackageId> = real.map(|var| universe.id(*var).clone()).collect();
    packages.sort();
    let mut avoided: BTreeMap<Stem, AvoidReason> =
        image.avoided.iter().map(|stem| (stem.clone(), AvoidReason::Unwanted)).collect();
    for var in vars {
        let members = universe.facts(*var).dependencies.iter();
        let members = members.filter(|d| matches!(d.kind, DependencyKind::Group | DependencyKind::GroupAny));
        for stem in members.flat_map(|d| &d.targets).map(|target| &target.stem) {
            let is_obsolete = |var: &&Var| universe.id(**var).stem == *stem && universe.facts(**var).is_obsolete;
            if names.rejected.contains(stem) {
                avoided.insert(stem.clone(), AvoidReason::Unwanted);
            } else if vars.iter().any(|var| is_obsolete(&var)) {
                avoided.insert(stem.clone(), AvoidReason::Obsolete);
            }
        }
    }
    avoided.retain(|stem, _| packages.binary_search_by(|id| id.stem.cmp(stem)).is_err());
    Solution { packages, avoided }
}
