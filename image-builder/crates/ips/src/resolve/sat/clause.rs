//! What a problem is made of: variables, literals, clauses, and where these come from.

/// A package that may be chosen, by its index in the universe.
pub(in crate::resolve) type Var = u32;

/// A variable or its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::resolve) struct Lit(u32);

impl Lit {
    pub(in crate::resolve) fn positive(var: Var) -> Self {
        Self(var << 1)
    }

    pub(in crate::resolve) fn negative(var: Var) -> Self {
        Self(var << 1 | 1)
    }

    pub(in crate::resolve) fn var(self) -> Var {
        self.0 >> 1
    }

    pub(in crate::resolve) fn is_positive(self) -> bool {
        self.0 & 1 == 0
    }

    pub(super) fn negated(self) -> Self {
        Self(self.0 ^ 1)
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A clause, why it holds, and how soon its choice is made.
#[derive(Debug, Clone)]
pub(in crate::resolve) struct NewClause<C> {
    pub(in crate::resolve) lits: Vec<Lit>,
    pub(in crate::resolve) cause: C,
    pub(in crate::resolve) priority: usize,
}

/// Where the clauses of variables come from.
pub(in crate::resolve) trait Provider {
    type Cause: Clone;

    /// The clauses that matter once `var` is true. It is asked once for each variable.
    fn expand(&mut self, var: Var) -> Vec<NewClause<Self::Cause>>;
}
