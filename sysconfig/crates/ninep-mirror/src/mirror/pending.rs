//! Changes that were seen and have to be seen once more before anything is done about them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::version::Version;
use crate::path::SharePath;

/// The longest wait for a file that keeps changing.
const LONGEST_SETTLE: Duration = Duration::from_secs(30);

/// A change that was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    /// What stands in the share; none when it is gone or not wanted.
    pub(super) seen: Option<Version>,
    /// When this difference was seen first.
    pub(super) first: Instant,
    since: Instant,
    attempts: u32,
}

/// All of them, by path.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    changes: BTreeMap<SharePath, Pending>,
}

impl PendingChanges {
    /// A look found this. The time begins anew when the look before found something else.
    pub(super) fn see(&mut self, path: &SharePath, seen: Option<Version>) {
        let now = Instant::now();
        match self.changes.get_mut(path) {
            Some(pending) if pending.seen == seen => {}
            Some(pending) => {
                pending.seen = seen;
                pending.since = now;
            }
            None => {
                self.changes.insert(path.clone(), Pending { seen, first: now, since: now, attempts: 0 });
            }
        }
    }

    /// The change failed its second look: wait longer for the next, so that a file that never rests costs little.
    pub(super) fn retry(&mut self, path: &SharePath, seen: Option<Version>) {
        if let Some(pending) = self.changes.get_mut(path) {
            pending.seen = seen;
            pending.since = Instant::now();
            pending.attempts = pending.attempts.saturating_add(1);
        }
    }

    /// The change is dealt with, or none any more.
    pub(super) fn drop(&mut self, path: &SharePath) -> Option<Pending> {
        self.changes.remove(path)
    }

    /// What has stayed the same long enough. Removals come first, so that directories are gone when files take their
    /// names.
    pub(super) fn due(&self, settle: Duration) -> Vec<(SharePath, Pending)> {
        let due = || self.changes.iter().filter(|(_, pending)| pending.since.elapsed() >= pending.wait(settle));
        let removals = due().filter(|(_, pending)| pending.seen.is_none());
        let copies = due().filter(|(_, pending)| pending.seen.is_some());
        removals.chain(copies).map(|(path, pending)| (path.clone(), *pending)).collect()
    }

    /// When the next change will be due; none when there is none.
    pub(super) fn next_due(&self, settle: Duration) -> Option<Instant> {
        self.changes.values().map(|pending| pending.since + pending.wait(settle)).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &SharePath> {
        self.changes.keys()
    }

    pub(super) fn count(&self) -> usize {
        self.changes.len()
    }
}

impl Pending {
    fn wait(&self, settle: Duration) -> Duration {
        settle.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_SETTLE.max(settle))
    }
}
