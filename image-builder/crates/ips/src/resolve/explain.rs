//! Saying why there is no solution.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::Request;
use super::problem::Cause;
use super::sat::{Lit, Var};
use super::universe::Universe;
use crate::fmri::{PackageId, Stem};

/// Statements that cannot all hold at once, in the order in which they lead from what was asked to the contradiction.
/// Without any one of them there would be a solution, if the conflict is of readable size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The statements, each a sentence that names packages and versions.
    pub statements: Vec<String>,
    /// The names of all packages that have a part in it, sorted.
    pub packages: Vec<String>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, statement) in self.statements.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}  {statement}")?;
        }
        Ok(())
    }
}

/// Clauses that belong into one sentence, with the packages they allow and rule out.
#[derive(Default)]
struct Group {
    allowed: Vec<Var>,
    ruled_out: Vec<Var>,
}

pub(super) fn conflict(universe: &Universe, request: &Request, core: &[(Vec<Lit>, Cause)]) -> Conflict {
    let mut vars: BTreeSet<Var> = BTreeSet::new();
    let mut groups: Vec<(Cause, Group)> = Vec::new();
    for (lits, cause) in core {
        vars.extend(lits.iter().map(|lit| lit.var()));
        let at = groups.iter().position(|(other, _)| other == cause).unwrap_or_else(|| {
            groups.push((cause.clone(), Group::default()));
            groups.len() - 1
        });
        let group = &mut groups[at].1;
        for lit in lits {
            let (list, var) =
                if lit.is_positive() { (&mut group.allowed, lit.var()) } else { (&mut group.ruled_out, lit.var()) };
            if !list.contains(&var) && !matches!(cause, Cause::Dependency(by, _) if *by == var) {
                list.push(var);
            }
        }
    }
    let names = Names::new(universe, &vars);
    let statements = in_order(groups).iter().map(|(cause, group)| names.sentence(request, cause, group)).collect();
    let packages: BTreeSet<String> = vars.iter().map(|var| universe.id(*var).stem.to_string()).collect();
    Conflict { statements, packages: packages.into_iter().collect() }
}

/// From what nothing depends on to what it leads to.
fn in_order(groups: Vec<(Cause, Group)>) -> Vec<(Cause, Group)> {
    let mut by_source: BTreeMap<Option<Var>, Vec<(Cause, Group)>> = BTreeMap::new();
    for (cause, group) in groups {
        let source = match &cause {
            Cause::Asked(..) | Cause::Installed(_) => None,
            Cause::Dependency(var, _) | Cause::Unusable(var, _) => Some(*var),
            Cause::OneVersion(_) => group.ruled_out.first().copied(),
        };
        by_source.entry(source).or_default().push((cause, group));
    }
    let mut ordered = Vec::new();
    let mut todo: VecDeque<Option<Var>> = VecDeque::from([None]);
    loop {
        let Some(source) = todo.pop_front() else {
            // What cannot be reached that way comes at the end.
            let Some(rest) = by_source.keys().next().copied() else { break };
            todo.push_back(rest);
            continue;
        };
        for (cause, group) in by_source.remove(&source).unwrap_or_default() {
            todo.extend(group.allowed.iter().chain(&group.ruled_out).map(|var| Some(*var)));
            ordered.push((cause, group));
        }
    }
    // That there is one version only says nothing before the versions have been named.
    let (last, mut first): (Vec<_>, Vec<_>) =
        ordered.into_iter().partition(|(cause, _)| matches!(cause, Cause::OneVersion(_)));
    first.extend(last);
    first
}

/// How packages are called: as short as they can be told apart.
struct Names<'u> {
    universe: &'u Universe,
    ambiguous: BTreeSet<String>,
}

impl<'u> Names<'u> {
    fn new(universe: &'u Universe, vars: &BTreeSet<Var>) -> Self {
        let mut seen = BTreeSet::new();
        let short = vars.iter().map(|var| universe.id(*var).short());
        Self { universe, ambiguous: short.filter(|short| !seen.insert(short.clone())).collect() }
    }

    fn name(&self, var: Var) -> String {
        let id = self.universe.id(var);
        let short = id.short();
        if self.ambiguous.contains(&short) { id.to_string() } else { short }
    }

    fn list(&self, vars: &[Var], last: &str) -> String {
        let mut names: Vec<String> = vars.iter().map(|var| self.name(*var)).collect();
        let Some(end) = names.pop() else { return String::new() };
        if names.is_empty() { end } else { format!("{} {last} {end}", names.join(", ")) }
    }

    /// What there is of a name of which nothing can be taken; none if that is nothing.
    fn instead(&self, stem: &Stem, fits: &dyn Fn(&PackageId) -> bool) -> Option<String> {
        let newest_first = || self.universe.vars_of(stem).iter().rev().copied();
        let is_obsolete = |var: &Var| self.universe.facts(*var).is_obsolete;
        let newest = self.universe.id(newest_first().next()?);
        let fitting: Vec<Var> = newest_first().filter(|var| fits(self.universe.id(*var))).collect();
        Some(match (fitting.iter().find(|var| !is_obsolete(var)), fitting.first()) {
            (Some(var), _) => {
                let id = self.universe.id(*var);
                format!("pkg://{}/{} is of a publisher that {stem} is not taken from", id.publisher, id.short())
            }
            (None, Some(obsolete)) => format!("{} is obsolete", self.universe.id(*obsolete).short()),
            (None, None) => format!("the newest is {}", newest.short()),
        })
    }

    /// That nothing can be taken, and what there is instead.
    fn nothing(&self, request: &Request, cause: &Cause) -> String {
        let instead: Vec<String> = match cause {
            Cause::Asked(index, stem) => {
                let is_asked = |id: &PackageId| request.install.get(*index).is_none_or(|pattern| pattern.matches(id));
                self.instead(stem, &is_asked).into_iter().collect()
            }
            Cause::Dependency(var, at) => {
                let targets = self.universe.facts(*var).dependencies.get(*at).map(|dependency| &dependency.targets);
                let instead = targets.into_iter().flatten().filter_map(|target| {
                    let is_new_enough =
                        |id: &PackageId| target.version.as_ref().is_none_or(|wanted| id.version >= *wanted);
                    self.instead(&target.stem, &is_new_enough)
                });
                instead.collect()
            }
            _ => Vec::new(),
        };
        let instead = if instead.is_empty() { String::new() } else { format!(" ({})", instead.join("; ")) };
        format!("no such package is there{instead}")
    }

    fn sentence(&self, request: &Request, cause: &Cause, group: &Group) -> String {
        let choice = if group.allowed.is_empty() {
            self.nothing(request, cause)
        } else {
            format!("that is {}", self.list(&group.allowed, "or"))
        };
        match cause {
            Cause::Asked(index, stem) => {
                let pattern = request.install.get(*index).map_or_else(|| stem.to_string(), ToString::to_string);
                format!("`{pattern}` was asked for: {choice}")
            }
            Cause::Installed(id) => format!("{} is installed and has to remain: {choice}", id.short()),
            Cause::Dependency(var, at) => {
                let dependency = self.universe.facts(*var).dependencies.get(*at);
                let dependency = dependency.map_or_else(String::new, ToString::to_string);
                let by = self.name(*var);
                if !group.allowed.is_empty() || group.ruled_out.is_empty() {
                    format!("{by} {dependency}: {choice}")
                } else {
                    format!("{by} {dependency}: not {}", self.list(&group.ruled_out, "or"))
                }
            }
            Cause::OneVersion(stem) => {
                format!("only one version of {stem} can be installed: not both {}", self.list(&group.ruled_out, "and"))
            }
            Cause::Unusable(var, reason) => format!("{} cannot be installed: {reason}", self.name(*var)),
        }
    }
}
