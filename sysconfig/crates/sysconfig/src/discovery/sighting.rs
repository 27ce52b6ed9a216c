//! When a poll first saw something, and when it came to be so.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A poll that saw something that the one before did not see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) at: Instant,
    /// The same by the clock that files are dated with.
    clock: SystemTime,
    /// When the poll before that began.
    before: Option<SystemTime>,
}

impl Sighting {
    pub(super) fn now(before: Option<SystemTime>) -> Self {
        Self { at: Instant::now(), clock: SystemTime::now(), before }
    }

    /// When what was seen came to be so, going by the time of its last change of state, which links and renames set.
    ///
    /// It happened between the two polls. A time outside of that is of another machine's clock, as on a share, of a clock that
    /// was set since, or of a file system that does not keep it.
    pub(super) fn moment_of(&self, changed: SystemTime) -> Option<Instant> {
        /// Files are dated by the kernel's tick.
        const TICK: Duration = Duration::from_millis(20);
        let is_later = changed.checked_add(TICK)? >= self.before?;
        let before_it_was_seen = self.clock.duration_since(changed).ok().filter(|_| is_later)?;
        self.at.checked_sub(before_it_was_seen)
    }
}

/// A time of a file; none where it is beyond all that this system can tell.
pub(super) fn time(seconds: i64, nanoseconds: i64) -> Option<SystemTime> {
    let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    UNIX_EPOCH.checked_add(seconds)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server may say anything; the thread that looks ended.
    #[test]
    fn a_time_that_nobody_can_tell_is_none() {
        assert_eq!(time(i64::MAX, 4_000_000_000), None);
        assert_eq!(time(i64::MAX, i64::MAX), None);
        assert_eq!(time(-1, -1), Some(UNIX_EPOCH));
        let sighting = Sighting::now(Some(SystemTime::now()));
        assert_eq!(time(i64::MAX, 0).and_then(|changed| sighting.moment_of(changed)), None);
    }

    #[test]
    fn a_time_between_two_polls_is_the_moment_and_any_other_is_somebody_elses() {
        let sighting = Sighting::now(Some(SystemTime::now() - Duration::from_millis(300)));
        let ago = |milliseconds| sighting.clock - Duration::from_millis(milliseconds);
        for (milliseconds, is_the_moment) in
            [(0, true), (100, true), (299, true), (310, true), (400, false), (86_400_000, false)]
        {
            let expected = is_the_moment.then(|| sighting.at - Duration::from_millis(milliseconds));
            assert_eq!(sighting.moment_of(ago(milliseconds)), expected, "{milliseconds} ms before");
        }
        assert_eq!(sighting.moment_of(sighting.clock + Duration::from_secs(1)), None, "a clock that is ahead");
        assert_eq!(sighting.moment_of(UNIX_EPOCH), None);
        assert_eq!(Sighting::now(None).moment_of(ago(0)), None, "what was there at first");
    }
}
