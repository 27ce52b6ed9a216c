//! Looking, at an interval, whether the machine is still as configured. What somebody changed is told and left alone:
//! the daemon does not fight with people.

use std::time::{Duration, Instant};

use sysconfig_protocol::admin::HappeningKind;

use super::cycle::Mode;
use super::managed::Managed;
use super::{Engine, SELF, subject};

impl Engine {
    /// When the next look is due; none when looks are off. Each plugin has a time of its own: cycles about one, e.g. for
    /// its events, say nothing about what became of another's part.
    pub(super) fn drift_due(&self) -> Option<Instant> {
        let interval = self.config.settings.daemon.drift_interval?;
        let can_be_looked_at =
            |(name, managed): &(&String, &Managed)| managed.live.is_some() && self.assignment.parts.contains_key(*name);
        let plugins = self.plugins.iter().filter(can_be_looked_at);
        plugins.filter_map(|(_, managed)| Some(managed.looked? + interval)).min()
    }

    /// Compares the machine with the configuration when that was not done for a whole interval, for any plugin.
    pub(super) fn look_for_drift_when_due(&mut self) {
        if self.drift_due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let names: Vec<_> = self.configured_in_order().into_iter().filter(|name| self.is_running(name)).collect();
        let before = self.pending_steps(&names);
        self.cycle("look for drift", &names, Mode::Plan);
        for ((name, before), (_, now)) in before.into_iter().zip(self.pending_steps(&names)) {
            match (before, now) {
                (0, 1..) => {
                    let message = "the machine is no longer as configured";
                    self.log.warn(&subject(&name), message);
                    self.board.note(HappeningKind::Drift, Some(&name), message);
                }
                (1.., 0) => {
                    let message = "the machine is as configured again";
                    self.log.info(&subject(&name), message);
                    self.board.note(HappeningKind::Drift, Some(&name), message);
                }
                _ => (),
            }
        }
        let took = self.last_cycle.as_ref().map_or(Duration::ZERO, |cycle| Duration::from_millis(cycle.duration_ms));
        self.log.trace(SELF, format!("looked for drift in {} ms", took.as_millis()));
    }

    pub(super) fn is_running(&self, name: &str) -> bool {
        self.plugins.get(name).is_some_and(|managed| managed.live.is_some())
    }

    fn pending_steps(&self, names: &[String]) -> Vec<(String, usize)> {
        let pending = |name: &String| self.plugins.get(name).map_or(0, |managed| managed.pending);
        names.iter().map(|name| (name.clone(), pending(name))).collect()
    }
}
