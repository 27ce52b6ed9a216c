//! What follows from a conflict: a clause that prevents the next one, or the reason why there is no solution.

use super::clause::{Lit, Provider};
use super::{Antecedent, ClauseId, Solver};

impl<P: Provider> Solver<P> {
    /// Learns the clause that would have prevented a conflict, and goes back to where it leaves one possibility.
    pub(super) fn learn(&mut self, conflict: ClauseId) {
        let current = self.levels.len();
        let mut antecedents = vec![Antecedent::Clause(conflict)];
        let mut seen = std::collections::HashSet::new();
        let mut learned = Vec::new();
        let mut open = 0;
        let mut at = self.trail.len();
        let mut clause = conflict;
        let asserted = loop {
            for lit in &self.clauses[clause].lits {
                if self.value(*lit) == Some(true) || !seen.insert(lit.var()) {
                    continue;
                }
                match self.level(*lit) {
                    0 => antecedents.push(Antecedent::Fixed(lit.var())),
                    level if level == current => open += 1,
                    _ => learned.push(*lit),
                }
            }
            at = (0..at).rev().find(|at| seen.contains(&self.trail[*at].var())).expect("a conflict of this level");
            let lit = self.trail[at];
            open -= 1;
            match self.assigned[lit.var() as usize].and_then(|assignment| assignment.reason) {
                Some(reason) if open > 0 => {
                    antecedents.push(Antecedent::Clause(reason));
                    clause = reason;
                }
                _ => break lit.negated(),
            }
        };
        let back_to = learned.iter().map(|lit| self.level(*lit)).max().unwrap_or(0);
        learned.insert(0, asserted);
        self.go_back(back_to);
        let conflict = self.add(learned, None, antecedents.into_boxed_slice(), 0);
        debug_assert!(conflict.is_none(), "the asserted literal is free again");
    }

    fn go_back(&mut self, level: usize) {
        if let Some((length, cursors)) = self.levels.get(level).copied() {
            for lit in self.trail.drain(length..) {
                self.assigned[lit.var() as usize] = None;
            }
            self.levels.truncate(level);
            self.cursors = cursors;
            self.propagated = self.propagated.min(length);
        }
    }

    /// The given clauses from which a clause that is false without any decision follows.
    pub(super) fn core(&self, conflict: ClauseId) -> Vec<(Vec<Lit>, P::Cause)> {
        let mut todo = vec![Antecedent::Clause(conflict)];
        todo.extend(self.clauses[conflict].lits.iter().map(|lit| Antecedent::Fixed(lit.var())));
        let mut seen_clauses = std::collections::BTreeSet::new();
        let mut seen_vars = std::collections::BTreeSet::new();
        while let Some(antecedent) = todo.pop() {
            match antecedent {
                Antecedent::Clause(id) => {
                    if seen_clauses.insert(id) {
                        todo.extend(self.clauses[id].antecedents.iter().copied());
                    }
                }
                Antecedent::Fixed(var) => {
                    let reason = self.assigned[var as usize].and_then(|assignment| assignment.reason);
                    if let (true, Some(id)) = (seen_vars.insert(var), reason) {
                        todo.push(Antecedent::Clause(id));
                        todo.extend(self.clauses[id].lits.iter().map(|lit| Antecedent::Fixed(lit.var())));
                    }
                }
            }
        }
        let given = seen_clauses.into_iter().map(|id| &self.clauses[id]);
        given.filter_map(|clause| Some((clause.lits.to_vec(), clause.cause.clone()?))).collect()
    }
}
