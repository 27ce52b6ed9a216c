//! What of a solution is not needed after all: a choice that was made before something else brought another of its names.

use std::collections::BTreeSet;

use super::sat::{Lit, Var};

/// How many packages are looked at before a solution is taken as it is: one too many does no harm.
const STEPS_MAX: usize = 1000;

/// Packages of a solution that can be left out together, if there are any. `clauses` are those that demand something.
pub(super) fn superfluous(chosen: &[Var], clauses: &[&[Lit]]) -> BTreeSet<Var> {
    let chosen: BTreeSet<Var> = chosen.iter().copied().collect();
    let mut steps = 0;
    let mut tried = BTreeSet::new();
    for clause in clauses {
        let met_by = || clause.iter().filter(|lit| lit.is_positive() && chosen.contains(&lit.var()));
        if met_by().nth(1).is_none() {
            continue;
        }
        // The one that is named last is the least preferred.
        for lit in met_by().collect::<Vec<_>>().into_iter().rev() {
            if tried.insert(lit.var()) {
                if let Some(gone) = without(&chosen, BTreeSet::from([lit.var()]), clauses, &mut steps) {
                    return gone;
                }
            }
        }
    }
    BTreeSet::new()
}

/// What has to go along if `gone` goes; none if that is something that has to stay.
fn without(
    chosen: &BTreeSet<Var>,
    gone: BTreeSet<Var>,
    clauses: &[&[Lit]],
    steps: &mut usize,
) -> Option<BTreeSet<Var>> {
    *steps += 1;
    if *steps > STEPS_MAX {
        return None;
    }
    let is_there = |var: Var| chosen.contains(&var) && !gone.contains(&var);
    let unmet = clauses.iter().find(|clause| clause.iter().all(|lit| lit.is_positive() != is_there(lit.var())));
    let Some(unmet) = unmet else { return Some(gone) };
    let mut demanding = unmet.iter().filter(|lit| !lit.is_positive());
    demanding.find_map(|lit| {
        let mut gone = gone.clone();
        gone.insert(lit.var());
        without(chosen, gone, clauses, steps)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clauses as numbers from 1, negative ones for what demands.
    fn check(chosen: &[u32], clauses: &[&[i64]], expected: &[u32]) {
        let lit = |number: &i64| {
            let var = u32::try_from(number.unsigned_abs()).unwrap();
            if *number > 0 { Lit::positive(var) } else { Lit::negative(var) }
        };
        let clauses: Vec<Vec<Lit>> = clauses.iter().map(|clause| clause.iter().map(lit).collect()).collect();
        let clauses: Vec<&[Lit]> = clauses.iter().map(Vec::as_slice).collect();
        let found: Vec<u32> = superfluous(chosen, &clauses).into_iter().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_can_be_left_out() {
        // One of two is enough, and the second goes.
        check(&[1, 2, 3], &[&[1], &[-1, 2, 3]], &[3]);
        // It is wanted for itself.
        check(&[1, 2, 3], &[&[1], &[3], &[-1, 2, 3]], &[2]);
        check(&[1, 2, 3], &[&[1], &[2], &[3], &[-1, 2, 3]], &[]);
        // The first brought the second, which would do alone.
        check(&[1, 2, 3], &[&[1], &[-1, 2, 3], &[-1, -2, 3]], &[2]);
        // Two that need each other go together.
        check(&[1, 2, 3, 4], &[&[1], &[2], &[-1, 2, 3], &[-3, 4], &[-4, 3]], &[3, 4]);
    }
}
