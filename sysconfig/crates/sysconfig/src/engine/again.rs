//! Starting plugins again that are down: when their time has come, when they are needed, and when their part has changed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sysconfig_protocol::admin::PluginState;

use super::Engine;
use super::managed::Managed;

impl Engine {
    /// Starts the plugins whose time has come.
    pub(super) fn retry_due(&mut self) {
        let now = Instant::now();
        let is_due = |managed: &Managed| managed.retry_at.is_some_and(|at| at <= now);
        let due: Vec<_> =
            self.plugins.iter().filter(|(_, managed)| is_due(managed)).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.start_again(&name, "restart");
        }
    }

    /// How long nothing is due.
    pub(super) fn time_to_next_retry(&self) -> Duration {
        /// The queue wakes the engine for everything else.
        const IDLE: Duration = Duration::from_secs(3600);
        let times = |managed: &Managed| [managed.retry_at, managed.pace.waits_until];
        let next = self
            .plugins
            .values()
            .flat_map(times)
            .flatten()
            .chain(self.confirming.deadline().or(self.confirming.retry.at).filter(|_| !self.awaits_first_look))
            .chain(self.drift_due())
            .chain(self.unwritten.again)
            .chain(self.config_unread.as_ref().map(|unread| unread.again))
            .min();
        next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Starts a plugin that is down, from the file that it last ran from.
    pub(super) fn start_again(&mut self, name: &str, why: &str) {
        if self.bring_up_again(name) {
            self.catch_up(name, &format!("{why} of plugin {name}"));
        }
    }

    /// The same, and asks it for nothing yet. Whether there is a file to start.
    fn bring_up_again(&mut self, name: &str) -> bool {
        let Some(managed) = self.plugins.get_mut(name) else { return false };
        managed.retry_at = None;
        let Some(candidate) = managed.candidate.clone() else { return false };
        managed.set_state(PluginState::Starting);
        managed.restarts += 1;
        self.bring_up(candidate);
        true
    }

    /// Parts have changed of plugins that may be down because they did not take the ones before; of one that never ran nobody
    /// knows. Whoever changed them applies them.
    pub(super) fn start_with_changed_parts(&mut self, changed: &BTreeSet<String>) {
        let is_due = |(name, managed): &(&String, &Managed)| {
            let may_be_changed = managed.description.is_none() || changed.contains(*name);
            may_be_changed && managed.retry_at.is_some() && managed.backoff.is_kept_from_it()
        };
        let due: Vec<_> = self.plugins.iter().filter(is_due).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.bring_up_again(&name);
        }
    }
}
