//! Choosing packages: which versions of which packages make a request come true.
//!
//! The rules are turned into clauses for a solver that learns from conflicts (`sat`). It is our own, because what is
//! wanted is narrow: nothing without a reason, the newest versions in the order of the request, the same answer
//! everywhere and always, and a contradiction small enough to be read. General solvers choose freely among
//! solutions; solvers for package managers know no incorporations, conditions and groups.

mod choices;
mod dependency;
mod explain;
mod problem;
mod sat;
mod select;
mod superfluous;
mod universe;

use std::collections::{BTreeMap, BTreeSet};

pub use dependency::{Dependency, DependencyKind};
pub use explain::Conflict;
pub use universe::Universe;

use crate::fmri::{Fmri, PackageId, Pattern, Publisher, Stem};
use choices::Choices;
use problem::Problem;
use sat::{Outcome, Solver, Var};
use select::Names;

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
    /// Names that groups do not pull in, and that do not stay on their own account: those that the user does not want.
    /// Whether a member of a group is obsolete is found out anew each time.
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
    /// All packages of the image afterwards, sorted. Obsolete ones are not among them, nor renamed ones that nothing depends on.
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
    /// Packages to remove are required by others that stay.
    #[error("{package} cannot be removed, because {} {} it", dependents.join(", "), requires(dependents.len()))]
    StillRequired {
        /// The package.
        package: String,
        /// What requires it.
        dependents: Vec<String>,
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

fn requires(count: usize) -> &'static str {
    if count == 1 { "requires" } else { "require" }
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
    let mut names = select::select(universe, image, request)?;
    if request.install.is_empty() && !request.update && !request.reject.is_empty() {
        check_removal(universe, image, &mut names)?;
    }
    // What turns out not to be needed may have kept others from being newer, so they are chosen once more without it.
    let mut useless = BTreeSet::new();
    loop {
        let mut problem = Problem::new(Choices::new(universe, image, request, &names, &useless));
        let roots = problem.roots(&names);
        let mut solver = Solver::new(universe.len(), problem);
        match solver.solve(roots) {
            Outcome::Solved(vars) => {
                let superfluous = solver.superfluous(&vars);
                if superfluous.is_empty() {
                    return Ok(solution(universe, image, &names, &vars));
                }
                useless.extend(superfluous.iter().map(|var| universe.id(*var).stem.clone()));
            }
            Outcome::TooHard => return Err(ResolveError::TooHard),
            Outcome::Contradiction(core) => {
                let conflict = explain::conflict(universe, request, &sat::minimise(core));
                return Err(ResolveError::Conflict { conflict });
            }
        }
    }
}

/// What of the chosen packages is in the image afterwards: no obsolete ones, and renamed ones only if something that is
/// there for its own sake depends on the old name, maybe by way of other renamed ones.
fn remaining(universe: &Universe, vars: &[Var]) -> BTreeSet<Var> {
    let chosen = vars.iter().copied().filter(|var| !universe.facts(*var).is_obsolete);
    let by_stem: BTreeMap<&Stem, Var> = chosen.map(|var| (&universe.id(var).stem, var)).collect();
    let mut todo: Vec<Var> = by_stem.values().copied().filter(|var| universe.facts(*var).is_real()).collect();
    let mut remaining: BTreeSet<Var> = todo.iter().copied().collect();
    while let Some(var) = todo.pop() {
        let dependencies = universe.facts(var).dependencies.iter().filter(|d| d.kind.keeps_renamed());
        for target in dependencies.flat_map(|d| &d.targets) {
            if let Some(kept) = by_stem.get(&target.stem).filter(|kept| remaining.insert(**kept)) {
                todo.push(*kept);
            }
        }
    }
    remaining
}

/// A mere removal brings no other versions of what requires the package, even if those would do without it. Renamed
/// packages that nothing depends on go along.
fn check_removal(universe: &Universe, image: &ImageState<'_>, names: &mut Names) -> Result<(), ResolveError> {
    let installed: Vec<Var> = image.installed.iter().filter_map(|id| universe.var(id)).collect();
    let needed = remaining(universe, &installed);
    let useless = installed.iter().filter(|var| universe.facts(**var).is_renamed && !needed.contains(var));
    names.rejected.extend(useless.map(|var| universe.id(*var).stem.clone()));
    let is_gone = |var: &&Var| names.rejected.contains(&universe.id(**var).stem);
    let staying: Vec<Var> = needed.iter().copied().filter(|var| !is_gone(&var)).collect();
    for gone in installed.iter().filter(is_gone).map(|var| universe.id(*var)) {
        let requires = |var: &&Var| {
            let mut required = universe.facts(**var).dependencies.iter().filter(|d| d.kind == DependencyKind::Require);
            required.any(|d| d.targets.iter().any(|target| target.stem == gone.stem))
        };
        let dependents: Vec<String> = staying.iter().filter(requires).map(|var| universe.id(*var).short()).collect();
        if !dependents.is_empty() {
            return Err(ResolveError::StillRequired { package: gone.short(), dependents });
        }
    }
    Ok(())
}

fn solution(universe: &Universe, image: &ImageState<'_>, names: &Names, vars: &[Var]) -> Solution {
    let mut packages: Vec<PackageId> =
        remaining(universe, vars).into_iter().map(|var| universe.id(var).clone()).collect();
    packages.sort();
    let unwanted = image.avoided.iter().filter(|stem| !names.asked.contains_key(*stem));
    let mut avoided: BTreeMap<Stem, AvoidReason> = unwanted.map(|stem| (stem.clone(), AvoidReason::Unwanted)).collect();
    let chosen: BTreeMap<&Stem, Var> = vars.iter().map(|var| (&universe.id(*var).stem, *var)).collect();
    let groups = vars.iter().flat_map(|var| &universe.facts(*var).dependencies);
    let groups = groups.filter(|d| matches!(d.kind, DependencyKind::Group | DependencyKind::GroupAny));
    for stem in groups.flat_map(|d| &d.targets).map(|target| &target.stem) {
        match chosen.get(stem) {
            Some(var) if universe.facts(*var).is_obsolete => drop(avoided.insert(stem.clone(), AvoidReason::Obsolete)),
            None if names.rejected.contains(stem) => drop(avoided.insert(stem.clone(), AvoidReason::Unwanted)),
            _ => {}
        }
    }
    Solution { packages, avoided }
}
