//! Numbers that have to be unique or unpredictable, made from the seed of the pool.

/// The seed of a pool, and what of it the numbers are for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed<'s> {
    seed: &'s [u8; 32],
    scope: &'s str,
}

impl<'s> Seed<'s> {
    /// Numbers for `scope`, such as a dataset's name.
    pub(super) fn new(seed: &'s [u8; 32], scope: &'s str) -> Self {
        Self { seed, scope }
    }

    /// A number of 64 bits for a purpose and an index, never 0.
    pub(super) fn word(&self, purpose: &str, index: u64) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(self.seed);
        for part in [self.scope.as_bytes(), purpose.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&index.to_le_bytes());
        let hash = hasher.finalize();
        let first = hash.as_bytes().first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes));
        first.max(1)
    }

    /// A guid.
    pub(super) fn guid(&self, purpose: &str) -> u64 {
        self.word(purpose, 0)
    }

    /// A guid below 2 to the 56, as mounted file systems are told apart by.
    pub(super) fn fsid(&self, purpose: &str) -> u64 {
        (self.word(purpose, 1) & ((1 << 56) - 1)).max(1)
    }
}
