//! Random numbers that are the same for the same seed, on every machine and in every version.

/// A generator by the SplitMix64 method (Steele, Lea, Flood 2014): small, and good enough to damage things with.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // The bias is 2⁻³² at most for what fits in memory, and nobody bets on it.
        usize::try_from((u128::from(self.next_u64()) * limit as u128) >> 64).unwrap_or_default()
    }

    /// One of several.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// That many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Damages bytes in one to eight places, in the ways that readers of formats stumble over: flipped bits, lengths
    /// and offsets at their limits, pieces that are missing, doubled or from elsewhere, and an early end.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(8) {
            self.damage_once(bytes);
        }
    }

    fn damage_once(&mut self, bytes: &mut Vec<u8>) {
        const EDGES: [u64; 10] =
            [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];
        let at = self.below(bytes.len());
        let length = (1 + self.below(64)).min(bytes.len() - at);
        match self.below(7) {
            _ if bytes.is_empty() => bytes.push(self.next_u64() as u8),
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.next_u64() as u8,
            2 => {
                let edge = *self.pick(&EDGES);
                let width = (*self.pick(&[2, 4, 8])).min(bytes.len() - at);
                let (little, big) = (edge.to_le_bytes(), edge.to_be_bytes());
                let word = if self.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
                bytes[at..at + width].copy_from_slice(word);
            }
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let piece = bytes[at..at + length].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => {
                let to = self.below(bytes.len() - length + 1);
                bytes.copy_within(at..at + length, to);
            }
            _ => bytes.truncate(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_method() {
        // The first numbers of seed 1234567, as other implementations print them.
        let mut random = Random::new(1_234_567);
        let numbers: Vec<_> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn damage_is_of_every_kind_and_never_out_of_bounds() {
        let whole = Random::new(0).bytes(100);
        let (mut shorter, mut longer, mut same) = (0, 0, 0);
        for seed in 0..2000 {
            let mut bytes = whole.clone();
            Random::new(seed).damage(&mut bytes);
            match bytes.len() {
                100 if bytes != whole => same += 1,
                length if length < 100 => shorter += 1,
                length if length > 100 => longer += 1,
                _ => (),
            }
            Random::new(seed).damage(&mut Vec::new());
        }
        assert!(shorter > 200 && longer > 200 && same > 200, "{shorter} shorter, {longer} longer, {same} as long");
    }
}
