//! When what could not be undone is tried again by itself.

use std::time::{Duration, Instant};

/// The pause before what was left is tried again for the first time; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// So often, which takes about ten minutes; whatever stands in the way for longer does not go by itself.
const TRIES: u32 = 15;

/// When what could not be undone is tried again.
#[derive(Debug, Default)]
pub(super) struct Retry {
    tries: u32,
    pub(super) at: Option<Instant>,
}

impl Retry {
    /// Something has changed, so the next try is now. It counts: a plugin that does not survive its undoing comes up each time.
    pub(super) fn sooner(&mut self) {
        if self.tries < TRIES {
            self.at = Some(Instant::now());
        }
    }

    /// It was tried just now, and something is still left.
    pub(super) fn later(&mut self) {
        self.at = (self.tries < TRIES).then(|| {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.min(16)).min(LONGEST_PAUSE);
            Instant::now() + pause
        });
        self.tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_tried_less_and_less_often_and_not_for_ever() {
        let mut retry = Retry::default();
        assert!(retry.at.is_none());
        let mut pauses = Vec::new();
        loop {
            let now = Instant::now();
            retry.later();
            let Some(at) = retry.at else { break };
            pauses.push((at - now).as_secs_f64().round());
        }
        assert_eq!(pauses[..8], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(pauses.len(), 15);
        retry.sooner();
        assert!(retry.at.is_none(), "it comes up each time");
        retry = Retry::default();
        retry.sooner();
        assert!(retry.at.is_some());
    }
}
