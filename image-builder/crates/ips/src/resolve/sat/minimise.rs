//! Contradictions without what they do not need.

use super::clause::{Lit, NewClause, Provider, Var};
use super::{Outcome, Solver};

/// No more clauses than the ones given.
#[derive(Debug)]
pub(in crate::resolve) struct Given;

impl Provider for Given {
    type Cause = ();

    fn expand(&mut self, _var: Var) -> Vec<NewClause<()>> {
        Vec::new()
    }
}

/// Removes clauses from a contradiction as long as it remains one.
pub(in crate::resolve) fn minimise<C>(mut core: Vec<(Vec<Lit>, C)>) -> Vec<(Vec<Lit>, C)> {
    /// Each removal is a search of its own; beyond this size nobody would read the result anyhow.
    const CLAUSES_MAX: usize = 1500;
    if core.len() > CLAUSES_MAX {
        return core;
    }
    let mut at = core.len();
    while at > 0 {
        at -= 1;
        let candidate = core.remove(at);
        if is_satisfiable(core.iter().map(|(lits, _)| lits.as_slice())) {
            core.insert(at, candidate);
        }
    }
    core
}

fn is_satisfiable<'a>(clauses: impl Iterator<Item = &'a [Lit]>) -> bool {
    let mut numbers = std::collections::HashMap::new();
    let mut roots = Vec::new();
    for lits in clauses {
        let renumbered = lits.iter().map(|lit| {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let var = *numbers.entry(lit.var()).or_insert(next);
            if lit.is_positive() { Lit::positive(var) } else { Lit::negative(var) }
        });
        roots.push(NewClause { lits: renumbered.collect(), cause: (), priority: 0 });
    }
    let mut solver = Solver::new(numbers.len(), Given);
    !matches!(solver.solve(roots), Outcome::Contradiction(_))
}
