//! A small solver for clauses that learns from conflicts.
//!
//! It differs from a general solver in two ways. Nothing is decided but what a clause requires: as long as every clause with
//! something to choose has a choice made, all other variables stay false. And of the choices of a clause the first
//! possible one is taken, so that the order of literals is an order of preference: given the decisions before it, no
//! decision could have been better. The clauses of a variable are asked for when it first becomes true,
//! so that the cost follows what is chosen, not what there is.

mod clause;
mod conflict;
mod minimise;

use std::collections::BTreeSet;

pub(super) use clause::{Lit, NewClause, Provider, Var};
pub(super) use minimise::minimise;

use super::superfluous::superfluous;

/// How many priorities there are for clauses with something to choose; 0 is decided first.
pub(super) const PRIORITIES: usize = 4;

type ClauseId = usize;

/// What a learned clause was derived from.
#[derive(Debug, Clone, Copy)]
enum Antecedent {
    Clause(ClauseId),
    /// The value that this variable has without any decision.
    Fixed(Var),
}

#[derive(Debug)]
struct Clause<C> {
    lits: Box<[Lit]>,
    /// The two literals that are looked at when they become false, as indices.
    watched: [usize; 2],
    /// None for a learned clause.
    cause: Option<C>,
    antecedents: Box<[Antecedent]>,
    priority: usize,
}

#[derive(Debug, Clone, Copy)]
struct Assignment {
    value: bool,
    level: usize,
    reason: Option<ClauseId>,
}

/// How a search ended.
#[derive(Debug)]
pub(super) enum Outcome<C> {
    /// The variables that are true, in the order in which they became so.
    Solved(Vec<Var>),
    /// There is no solution; these clauses contradict each other.
    Contradiction(Vec<(Vec<Lit>, C)>),
    /// More conflicts than allowed were met.
    TooHard,
}

/// How many conflicts are resolved before a search is given up.
const CONFLICTS_MAX: usize = 500_000;

#[derive(Debug)]
pub(super) struct Solver<P: Provider> {
    provider: P,
    clauses: Vec<Clause<P::Cause>>,
    /// For each literal, the clauses that watch it.
    watchers: Vec<Vec<ClauseId>>,
    /// For each variable, the clauses with a choice to make if it is true; the first list is for clauses that
    /// depend on nothing.
    choices: Vec<Vec<ClauseId>>,
    assigned: Vec<Option<Assignment>>,
    is_expanded: Vec<bool>,
    trail: Vec<Lit>,
    propagated: usize,
    /// For each level but 0: length of the trail and the cursors when it began.
    levels: Vec<(usize, [usize; PRIORITIES])>,
    /// Up to where on the trail every choice of a priority is known to be made.
    cursors: [usize; PRIORITIES],
}

impl<P: Provider> Solver<P> {
    pub(super) fn new(variables: usize, provider: P) -> Self {
        Self {
            provider,
            clauses: Vec::new(),
            watchers: vec![Vec::new(); variables * 2],
            choices: vec![Vec::new(); variables + 1],
            assigned: vec![None; variables],
            is_expanded: vec![false; variables],
            trail: Vec::new(),
            propagated: 0,
            levels: Vec::new(),
            cursors: [0; PRIORITIES],
        }
    }

    /// Finds the solution for `roots`, the clauses that hold in any case.
    pub(super) fn solve(&mut self, roots: Vec<NewClause<P::Cause>>) -> Outcome<P::Cause> {
        for root in roots {
            if let Some(conflict) = self.add(root.lits, Some(root.cause), Box::default(), root.priority) {
                return Outcome::Contradiction(self.core(conflict));
            }
        }
        let mut conflicts = 0;
        loop {
            if let Some(conflict) = self.propagate() {
                conflicts += 1;
                if self.levels.is_empty() {
                    return Outcome::Contradiction(self.core(conflict));
                }
                if conflicts == CONFLICTS_MAX {
                    return Outcome::TooHard;
                }
                self.learn(conflict);
                continue;
            }
            let Some(decision) = self.next_choice() else {
                return Outcome::Solved(
                    self.trail.iter().filter(|lit| lit.is_positive()).map(|lit| lit.var()).collect(),
                );
            };
            self.levels.push((self.trail.len(), self.cursors));
            self.assign(decision, None);
        }
    }

    /// What of a solution can be left out, if there is anything.
    pub(super) fn superfluous(&self, solution: &[Var]) -> BTreeSet<Var> {
        let given = self.clauses.iter().filter(|clause| clause.cause.is_some());
        let demanding = given.map(|clause| &*clause.lits).filter(|lits| lits.iter().any(|lit| lit.is_positive()));
        superfluous(solution, &demanding.collect::<Vec<_>>())
    }

    fn value(&self, lit: Lit) -> Option<bool> {
        self.assigned[lit.var() as usize].map(|assignment| assignment.value == lit.is_positive())
    }

    fn level(&self, lit: Lit) -> usize {
        self.assigned[lit.var() as usize].map_or(0, |assignment| assignment.level)
    }

    fn assign(&mut self, lit: Lit, reason: Option<ClauseId>) {
        let assignment = Assignment { value: lit.is_positive(), level: self.levels.len(), reason };
        self.assigned[lit.var() as usize] = Some(assignment);
        self.trail.push(lit);
    }

    /// Adds a clause at any time, and assigns what it leaves no choice for; the result is the clause if it is false.
    fn add(
        &mut self,
        mut lits: Vec<Lit>,
        cause: Option<P::Cause>,
        antecedents: Box<[Antecedent]>,
        priority: usize,
    ) -> Option<ClauseId> {
        let mut seen = std::collections::HashSet::with_capacity(lits.len());
        lits.retain(|lit| seen.insert(*lit));
        if lits.iter().any(|lit| lit.is_positive() && seen.contains(&lit.negated())) {
            return None;
        }
        let id = self.clauses.len();
        // The best literals to watch are those that are not false, or were the last to become so.
        let mut best: Vec<usize> = (0..lits.len()).collect();
        let rank = |at: &usize| match self.value(lits[*at]) {
            Some(true) => (0, 0),
            None => (1, 0),
            Some(false) => (2, usize::MAX - self.level(lits[*at])),
        };
        best.sort_by_key(rank);
        let watched = [best.first().copied().unwrap_or(0), best.get(1).copied().unwrap_or(0)];
        if lits.len() > 1 {
            watched.iter().for_each(|at| self.watchers[lits[*at].index()].push(id));
        }
        if cause.is_some() && lits.iter().any(|lit| lit.is_positive()) {
            let mut is_root = true;
            for lit in lits.iter().filter(|lit| !lit.is_positive()) {
                self.choices[lit.var() as usize + 1].push(id);
                is_root = false;
            }
            if is_root {
                self.choices[0].push(id);
            }
        }
        let values = watched.map(|at| lits.get(at).and_then(|lit| self.value(*lit)));
        let first = lits.get(watched[0]).copied();
        let is_single = lits.len() < 2;
        self.clauses.push(Clause { lits: lits.into_boxed_slice(), watched, cause, antecedents, priority });
        match (first, values) {
            (None, _) | (_, [Some(false), _]) => return Some(id),
            (Some(first), [None, other]) if is_single || other == Some(false) => self.assign(first, Some(id)),
            _ => {}
        }
        None
    }

    /// Draws all conclusions; the result is a clause that became false.
    fn propagate(&mut self) -> Option<ClauseId> {
        while let Some(lit) = self.trail.get(self.propagated).copied() {
            self.propagated += 1;
            let var = lit.var();
            if lit.is_positive() && !self.is_expanded[var as usize] {
                self.is_expanded[var as usize] = true;
                // All of them are added, for nobody asks a second time.
                let new = self.provider.expand(var).into_iter();
                let added: Vec<_> =
                    new.map(|new| self.add(new.lits, Some(new.cause), Box::default(), new.priority)).collect();
                // A clause with a single literal is not watched: it has to be the one that is learned from.
                let conflict = added.into_iter().flatten().min_by_key(|id| self.clauses[*id].lits.len());
                if conflict.is_some() {
                    return conflict;
                }
            }
            let falsified = lit.negated();
            let mut watching = std::mem::take(&mut self.watchers[falsified.index()]);
            let mut conflict = None;
            watching.retain(|id| conflict.is_some() || self.stays_watched(*id, falsified, &mut conflict));
            // Nothing else can have come to watch a literal that is false.
            self.watchers[falsified.index()].append(&mut watching);
            if conflict.is_some() {
                return conflict;
            }
        }
        None
    }

    /// Looks at a clause one of whose watched literals became false; whether it goes on being watched there.
    fn stays_watched(&mut self, id: ClauseId, falsified: Lit, conflict: &mut Option<ClauseId>) -> bool {
        let clause = &self.clauses[id];
        let which = usize::from(clause.lits[clause.watched[0]] != falsified);
        let other_at = clause.watched[1 - which];
        let other = clause.lits[other_at];
        if self.value(other) == Some(true) {
            return true;
        }
        let replacement = (0..clause.lits.len())
            .find(|at| *at != other_at && clause.lits[*at] != falsified && self.value(clause.lits[*at]) != Some(false));
        if let Some(replacement) = replacement {
            let lit = clause.lits[replacement];
            self.clauses[id].watched[which] = replacement;
            self.watchers[lit.index()].push(id);
            return false;
        }
        match self.value(other) {
            None => self.assign(other, Some(id)),
            _ => *conflict = Some(id),
        }
        true
    }

    /// The preferred literal of the first clause that still has a choice to make.
    fn next_choice(&mut self) -> Option<Lit> {
        for priority in 0..PRIORITIES {
            while self.cursors[priority] <= self.trail.len() {
                let at = self.cursors[priority];
                let list = match at.checked_sub(1) {
                    None => 0,
                    Some(at) if self.trail[at].is_positive() => self.trail[at].var() as usize + 1,
                    Some(_) => {
                        self.cursors[priority] += 1;
                        continue;
                    }
                };
                let open = self.choices[list].iter().filter(|id| self.clauses[**id].priority == priority);
                let choice = open.filter_map(|id| self.open_choice(*id)).next();
                if choice.is_some() {
                    return choice;
                }
                self.cursors[priority] += 1;
            }
        }
        None
    }

    /// The preferred literal of a clause all of whose conditions are met and that is not satisfied yet.
    fn open_choice(&self, id: ClauseId) -> Option<Lit> {
        let lits = &self.clauses[id].lits;
        let mut preferred = None;
        for lit in lits {
            match (self.value(*lit), lit.is_positive()) {
                (Some(true), _) | (None, false) => return None,
                (None, true) => preferred = preferred.or(Some(*lit)),
                (Some(false), _) => {}
            }
        }
        preferred
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::minimise::Given;
    use super::*;

    fn clause(lits: &[i32]) -> Vec<Lit> {
        let lit =
            |n: &i32| if *n > 0 { Lit::positive(n.unsigned_abs() - 1) } else { Lit::negative(n.unsigned_abs() - 1) };
        lits.iter().map(lit).collect()
    }

    fn is_satisfied(lits: &[Lit], chosen: u32) -> bool {
        lits.iter().any(|lit| (chosen >> lit.var() & 1 == 1) == lit.is_positive())
    }

    proptest! {
        /// Against trying all assignments.
        #[test]
        fn a_solution_is_found_if_there_is_one(
            clauses in prop::collection::vec(prop::collection::vec((1..8_i32, any::<bool>()), 1..4), 0..30)
        ) {
            let signed = |(n, is_negative): &(i32, bool)| if *is_negative { -n } else { *n };
            let clauses: Vec<Vec<Lit>> = clauses.iter().map(|c| clause(&c.iter().map(signed).collect::<Vec<_>>())).collect();
            let satisfies = |chosen| clauses.iter().all(|lits| is_satisfied(lits, chosen));
            let roots = clauses.iter().map(|lits| NewClause { lits: lits.clone(), cause: (), priority: 0 }).collect();
            match Solver::new(7, Given).solve(roots) {
                Outcome::Solved(vars) => {
                    let chosen = vars.iter().fold(0, |chosen, var| chosen | 1 << var);
                    prop_assert!(satisfies(chosen), "{chosen:b}");
                }
                Outcome::Contradiction(core) => {
                    prop_assert!(!(0..128).any(satisfies));
                    let minimal = minimise(core);
                    let contradicts = |skip: Option<usize>| !(0..128).any(|chosen| {
                        let mut rest = minimal.iter().enumerate().filter(|(at, _)| Some(*at) != skip);
                        rest.all(|(_, (lits, ()))| is_satisfied(lits, chosen))
                    });
                    prop_assert!(contradicts(None));
                    prop_assert!(!(0..minimal.len()).any(|at| contradicts(Some(at))));
                }
                Outcome::TooHard => prop_assert!(false, "seven variables"),
            }
        }
    }
}
