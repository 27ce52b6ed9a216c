//! What the tests share.
#![allow(dead_code, reason = "every test binary uses another part of this")]

/// Random numbers that are the same in every run: the generator of Knuth's MMIX.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit.max(1) as u64).unwrap()
    }
}

/// Hands damaged copies of `seed` to `check`: bytes changed, removed, doubled, parts moved.
pub(crate) fn mutations(seed: &[u8], rounds: u64, mut check: impl FnMut(&[u8])) {
    const INTERESTING: &[u8] = b" \t\n\r\"'\\=#@:/,.-0019{}[]\0\x7f\x80\xff";
    for round in 0..rounds {
        let mut random = Random::new(round);
        let mut bytes = seed.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            let end = (at + 1 + random.below(20)).min(bytes.len());
            match random.below(5) {
                0 if !bytes.is_empty() => bytes[at] = INTERESTING[random.below(INTERESTING.len())],
                1 => bytes.insert(at, INTERESTING[random.below(INTERESTING.len())]),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let part = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, part);
                }
                _ => bytes.truncate(at),
            }
        }
        check(&bytes);
    }
}
