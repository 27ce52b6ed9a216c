//! How long to wait before the next attempt to reach the server.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
/// A developer who has started the server again does not want to wait longer.
const LONGEST: Duration = Duration::from_secs(8);

/// Doubles with every failure in a row.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// An attempt failed: how long to wait now.
    pub fn failed(&mut self) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        FIRST.saturating_mul(1 << doublings).min(LONGEST)
    }

    /// Something went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..7).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 8000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(), FIRST);
    }
}
