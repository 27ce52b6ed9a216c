//! Taking over changed configuration files.

use std::time::Instant;

use sysconfig_protocol::Diagnostic;
use sysconfig_protocol::admin::{HappeningKind, ReloadReport};
use sysconfig_protocol::method::{Configure, Validate};

use super::cycle::Mode;
use super::{Engine, SELF, subject};
use crate::clock;
use crate::config::{Assignment, Configuration, assign, load, render};
use crate::plugin::CallError;

impl Engine {
    /// Reads the files again, and applies them when they say something new.
    pub(super) fn reload_config(&mut self) -> ReloadReport {
        self.reopen_log();
        let (accepted, changed, error) = match self.read_again() {
            Ok(changed) => (true, changed, None),
            Err(report) => (false, false, Some(report)),
        };
        let apply = changed.then(|| {
            let names = self.configured_in_order();
            self.cycle("reload of the configuration", &names, Mode::APPLY)
        });
        ReloadReport { accepted, changed, error, apply }
    }

    /// Reads the files again and takes over what they say, without applying it; answers whether it is new. A
    /// configuration with faults changes nothing: the one in force stays, whole, and the answer is a report.
    pub(super) fn read_again(&mut self) -> Result<bool, String> {
        let fresh = match load(&self.sources) {
            Ok(fresh) => fresh,
            Err(errors) => return Err(self.reject_config(render(&errors))),
        };
        if fresh.same_as(&self.config) {
            self.config_rejected = None;
            // Places may have moved.
            self.config = fresh;
            self.reassign();
            return Ok(false);
        }
        let assignment = assign(&fresh.machine, &self.claims());
        let faults = self.judge(&fresh, &assignment);
        if !faults.is_empty() {
            return Err(self.reject_config(faults.join("\n")));
        }
        self.take_over(fresh, assignment);
        Ok(true)
    }

    /// The files changed, and nobody said anything: they are taken over, and applied if reloads apply.
    pub(super) fn config_changed(&mut self, seen: Instant) {
        if !self.config.settings.daemon.watch_configuration {
            return;
        }
        if self.confirming.is_waiting() {
            self.confirming.config_waits = true;
            return;
        }
        if self.read_again() != Ok(true) {
            return;
        }
        let mode = if self.config.settings.plugins.reload_applies { Mode::APPLY } else { Mode::Plan };
        let names = self.configured_in_order();
        self.cycle("changed configuration", &names, mode);
        let latency_ms = clock::as_ms(seen.elapsed());
        self.log.info(SELF, format!("done with the changed configuration, {latency_ms} ms after it was seen"));
    }

    /// Reads the files again because of a signal: at once, or when the change that waits is confirmed or undone.
    pub(super) fn reload_on_signal(&mut self) {
        if self.confirming.is_waiting() {
            self.log.info(SELF, "a change waits for its confirmation, and the reload for that");
            self.confirming.reload_waits = true;
            self.reopen_log();
        } else {
            self.reload_config();
        }
    }

    /// A log file that was moved away is opened anew on every reload, also when nothing else changed.
    fn reopen_log(&self) {
        if let Err(error) = self.log.configure(&self.config.settings.logging) {
            self.log.warn(SELF, error);
        }
    }

    fn reject_config(&mut self, report: String) -> String {
        // Whoever asks again and again must not fill the log with the same report.
        if self.config_rejected.as_ref() != Some(&report) {
            self.log.error(SELF, format!("the configuration was not taken over:\n{report}"));
            self.board.note(HappeningKind::ConfigRefused, None, &*report);
        }
        self.config_rejected = Some(report.clone());
        report
    }

    /// Asks every owner that runs what it thinks of its new part; an error of any keeps all of it out.
    fn judge(&mut self, fresh: &Configuration, assignment: &Assignment) -> Vec<String> {
        let deadline = self.config.settings.plugins.deadlines.answer;
        let mut faults = Vec::new();
        for (name, config) in &assignment.parts {
            if self.plugins.get(name).is_none_or(|managed| managed.live.is_none()) {
                continue;
            }
            match self.call(name, &Validate { config: config.clone() }, deadline) {
                Ok(findings) => {
                    let errors = findings.diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
                    faults.extend(errors.map(|diagnostic| located(fresh, diagnostic)));
                }
                Err(CallError::Refused(object)) => faults.push(format!("plugin {name}: {}", object.chain())),
                // A plugin that broke down has no say; it is started again, with the new configuration.
                Err(CallError::Fault(_)) => (),
            }
        }
        faults
    }

    fn take_over(&mut self, fresh: Configuration, assignment: Assignment) {
        self.warn_of_late_settings(&fresh);
        self.config = fresh;
        self.config_loaded_unix_ms = clock::unix_ms();
        self.config_rejected = None;
        let before = std::mem::replace(&mut self.assignment, assignment);
        self.reopen_log();
        if let Some(watch) = &self.watch {
            watch.search(self.search());
        }
        self.publish_search();
        self.drop_old_holds();
        self.log.info(SELF, "the configuration was taken over");
        self.board.note(HappeningKind::ConfigChanged, None, "the configuration was taken over");
        for name in self.plugins.keys().cloned().collect::<Vec<_>>() {
            if before.parts.get(&name) != self.assignment.parts.get(&name) {
                self.hand_over(&name);
            }
            if !self.assignment.parts.contains_key(&name) {
                self.book.take_back(&name);
            }
        }
    }

    /// Some settings are built into running threads.
    fn warn_of_late_settings(&self, fresh: &Configuration) {
        let (old, new) = (&self.config.settings.plugins, &fresh.settings.plugins);
        let late = [
            ("poll-interval", old.poll_interval != new.poll_interval),
            ("deadlines.stop", old.deadlines.stop != new.deadlines.stop),
        ];
        for (key, _) in late.iter().filter(|(_, changed)| *changed) {
            self.log.warn(SELF, format!("plugins.{key} takes effect when the daemon is started anew"));
        }
    }

    /// Gives a plugin its changed part. One that is down gets it when it is started.
    fn hand_over(&mut self, name: &str) {
        let deadline = self.config.settings.plugins.deadlines.answer;
        let config = self.assignment.parts.get(name).cloned();
        let Some(managed) = self.plugins.get_mut(name) else { return };
        managed.owes_apply = true;
        managed.diagnostics = Vec::new();
        managed.deviations = Vec::new();
        managed.trouble = None;
        managed.pending = 0;
        // A part that is not set any more is not managed any more; the plugin is not asked about it.
        let Some(config) = config.filter(|_| managed.live.is_some()) else { return };
        if let Err(error) = self.call(name, &Configure { config: config.clone() }, deadline) {
            self.log.error(&subject(name), format!("configure: {error}"));
            return;
        }
        if let Ok(findings) = self.call(name, &Validate { config }, deadline) {
            if let Some(managed) = self.plugins.get_mut(name) {
                managed.diagnostics = findings.diagnostics;
            }
        }
    }
}

/// A plugin's finding with the place that it is about.
fn located(config: &Configuration, diagnostic: &Diagnostic) -> String {
    let place = config.place_of(&diagnostic.key);
    let place = place.map(|place| format!("{}:{}:{}: ", place.file, place.line, place.column)).unwrap_or_default();
    let help = diagnostic.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
    format!("{place}{}: {}{help}", diagnostic.key, diagnostic.message)
}
