//! When a plugin that failed is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// This many failures within the window put a plugin into quarantine.
const QUARANTINE_FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(600);

/// The failures of one plugin.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    recent: VecDeque<Instant>,
    /// Failures since the last time that a whole window was free of them.
    in_a_row: u32,
    /// Tries since then that came to nothing without being failures.
    kept: u32,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    RetryAfter(Duration),
    Quarantine,
}

impl Backoff {
    pub(super) fn failed(&mut self, now: Instant) -> Verdict {
        while self.recent.front().is_some_and(|first| now.saturating_duration_since(*first) > WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.is_empty() {
            self.in_a_row = 0;
        }
        self.recent.push_back(now);
        self.kept = 0;
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.recent.len() >= QUARANTINE_FAILURES {
            return Verdict::Quarantine;
        }
        Verdict::RetryAfter(delay(self.in_a_row))
    }

    /// Whether the last try came to nothing without being a failure.
    pub(super) fn is_kept_from_it(&self) -> bool {
        self.kept > 0
    }

    /// The same where something else was to blame, which says nothing of the plugin however often it happens.
    pub(super) fn was_kept_from_it(&mut self) -> Verdict {
        self.kept = self.kept.saturating_add(1);
        Verdict::RetryAfter(delay(self.kept))
    }
}

fn delay(times: u32) -> Duration {
    let doublings = times.saturating_sub(1).min(16);
    FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_ten_minutes_are_too_many() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let verdicts: Vec<_> = (0..5).map(|second| backoff.failed(start + Duration::from_secs(second))).collect();
        let retry = |ms| Verdict::RetryAfter(Duration::from_millis(ms));
        assert_eq!(verdicts, [retry(500), retry(1000), retry(2000), retry(4000), Verdict::Quarantine]);
    }

    #[test]
    fn what_the_machine_lacks_is_waited_for_however_long() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..20).map(|_| backoff.was_kept_from_it()).collect();
        assert_eq!(delays[..2], [Verdict::RetryAfter(FIRST_DELAY), Verdict::RetryAfter(2 * FIRST_DELAY)]);
        assert_eq!(delays[19], Verdict::RetryAfter(LONGEST_DELAY));
        assert_eq!(backoff.failed(Instant::now()), Verdict::RetryAfter(FIRST_DELAY), "the plugin's own first failure");
        assert_eq!(backoff.was_kept_from_it(), Verdict::RetryAfter(FIRST_DELAY));
    }

    #[test]
    fn rare_failures_wait_longer_up_to_the_cap_and_a_quiet_time_forgives() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let mut now = start;
        let mut last = Verdict::Quarantine;
        for _ in 0..9 {
            now += Duration::from_secs(200);
            last = backoff.failed(now);
        }
        assert_eq!(last, Verdict::RetryAfter(LONGEST_DELAY));
        now += WINDOW + Duration::from_secs(1);
        assert_eq!(backoff.failed(now), Verdict::RetryAfter(FIRST_DELAY));
    }
}
