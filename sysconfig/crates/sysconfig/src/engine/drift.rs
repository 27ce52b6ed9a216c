//! Looking, at an interval, whether the machine is still as configured. What somebody changed is told and left alone:
//! the daemon does not fight with people.

use std::time::{Duration, Instant};

use sysconfig_protocol::admin::HappeningKind;

use super::cycle::Mode;
use super::{Engine, SELF, subject};

/// When the machine was last compared with the configuration, and what was found.
#[derive(Debug, Default)]
pub(super) struct Drift {
    /// The last cycle of any kind; none before the first.
    looked: Option<Instant>,
}

impl Drift {
    /// A cycle has just looked.
    pub(super) fn note_look(&mut self) {
        self.looked = Some(Instant::now());
    }
}

impl Engine {
    /// When the next look is due; none when looks are off.
    pub(super) fn drift_due(&self) -> Option<Instant> {
        let interval = self.config.settings.daemon.drift_interval?;
        Some(self.drift.looked? + interval)
    }

    /// Compares the machine with the configuration when nothing has for a whole interval.
    pub(super) fn look_for_drift_when_due(&mut self) {
        if self.drift_due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let names: Vec<_> = self.configured_in_order().into_iter().filter(|name| self.is_running(name)).collect();
        let before = self.pending_steps(&names);
        self.cycle("look for drift", &names, Mode::Plan);
        // Without a configured plugin that runs, nothing was looked at; the next look is due all the same.
        self.drift.note_look();
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

    fn is_running(&self, name: &str) -> bool {
        self.plugins.get(name).is_some_and(|managed| managed.live.is_some())
    }

    fn pending_steps(&self, names: &[String]) -> Vec<(String, usize)> {
        let pending = |name: &String| self.plugins.get(name).map_or(0, |managed| managed.pending);
        names.iter().map(|name| (name.clone(), pending(name))).collect()
    }
}
