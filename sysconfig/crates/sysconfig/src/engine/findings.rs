//! What is watched, and what becomes of plugin files that come, change and go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sysconfig_protocol::admin::{Failure, PluginState};

use super::backoff::Backoff;
use super::managed::Managed;
use super::retry::Retry;
use super::{Engine, EngineError, Event, SELF, shown, subject};
use crate::config::ConfigWatch;
use crate::discovery::{Attention, Candidate, Finding, FindingKey, FirstLook, Search, System, watch};

impl Engine {
    pub(super) fn start_watching(&mut self) -> Result<(), EngineError> {
        let (sender, found) = (self.sender.clone(), self.found.clone());
        let deliver = move |finding: Finding| match found.put(finding.key(), finding) {
            true => sender.send(Event::Found).is_ok(),
            false => true,
        };
        let config = ConfigWatch::new(self.sources.clone(), self.config_seen.clone());
        let files = (System::detect(), self.store.clone());
        self.watch = Some(watch(files, config, self.attention(), deliver).map_err(EngineError::Thread)?);
        Ok(())
    }

    /// What is there at the start. Nothing, when a directory does not answer in time: a service that waited for it would
    /// never be ready.
    pub(super) fn first_findings(&mut self) -> Vec<Finding> {
        /// How soon the end of the daemon is noticed.
        const PAUSE: Duration = Duration::from_millis(50);
        while !self.stop.is_requested() {
            match self.watch.as_ref().and_then(|watch| watch.first_look(PAUSE)) {
                Some(FirstLook::Found(findings)) => {
                    self.awaits_first_look = false;
                    return findings;
                }
                Some(FirstLook::Silent(missing)) => {
                    self.directories_missing(missing);
                    break;
                }
                None => (),
            }
        }
        Vec::new()
    }

    pub(super) fn attention(&self) -> Attention {
        let settings = &self.config.settings;
        Attention {
            search: self.search(),
            plugins: settings.plugins.hot_reload,
            configuration: settings.daemon.watch_configuration,
            interval: settings.plugins.poll_interval,
            patience: settings.plugins.deadlines.answer,
        }
    }

    pub(super) fn search(&self) -> Search {
        let settings = &self.config.settings.plugins;
        let path = if self.plugin_path.is_empty() { settings.path.clone() } else { self.plugin_path.clone() };
        Search { path, allow_untrusted_owner: settings.allow_untrusted_owner }
    }

    pub(super) fn publish_search(&self) {
        let path = self.search().path.iter().map(|path| path.display().to_string()).collect();
        self.board.set_search(path, self.config.settings.plugins.hot_reload);
    }

    /// Acts on what was found first. The rest waits until others have had their turn.
    pub(super) fn take_next_finding(&mut self) {
        let Some((finding, is_more)) = self.found.take_one() else { return };
        self.take_finding(finding);
        if is_more {
            drop(self.sender.send(Event::Found));
        }
    }

    /// Something changed under the plugin path.
    pub(super) fn take_finding(&mut self, finding: Finding) {
        match finding {
            _ if self.ignores(&finding) => (),
            Finding::Candidate(candidate) => self.take_candidate(candidate),
            Finding::Refused { name, path, message, help, is_tried_again } => {
                let message = format!("{}: {message}", shown(&path));
                let managed = self.plugins.entry(name.clone()).or_insert_with(|| Managed::new(path.clone()));
                managed.path = path;
                managed.file_gone = false;
                managed.waiting_build = None;
                let failure = Failure { message, help };
                self.keep_old(&name, failure, None);
                self.await_file(&name, is_tried_again);
            }
            Finding::Vanished { name } => self.file_vanished(&name),
            Finding::Missing(missing) => self.directories_missing(missing),
            Finding::Failed => self.remember_failed_look(),
            Finding::Late(findings) => {
                self.awaits_first_look = false;
                self.start_all(findings);
                self.collect_copies();
            }
            Finding::ConfigChanged { seen } => self.config_changed(seen),
        }
    }

    /// Whether a finding is about a changed file where those are not picked up. One that was there at the start, and could not
    /// be taken yet, is none.
    fn ignores(&self, finding: &Finding) -> bool {
        let FindingKey::Plugin(name) = finding.key() else { return false };
        let awaits = |managed: &Managed| managed.candidate.is_none() && managed.state != PluginState::Starting;
        let is_awaited = self.plugins.get(&name).is_some_and(awaits);
        self.is_ready && !self.config.settings.plugins.hot_reload && !is_awaited
    }

    /// A file could not be taken for reasons of this machine, and is looked at again: that is no verdict on the file.
    fn await_file(&mut self, name: &str, is_tried_again: bool) {
        let Some(managed) = self.plugins.get_mut(name) else { return };
        if managed.candidate.is_none() {
            managed.set_state(if is_tried_again { PluginState::Backoff } else { PluginState::Refused });
        }
    }

    /// Looks anew at a plugin's file that was refused, and acts on what was found, as far as that takes no longer than an
    /// answer may.
    pub(super) fn look_again(&mut self, name: &str) {
        let patience = self.config.settings.plugins.deadlines.answer;
        let Some(looked) = self.watch.as_ref().map(|watch| watch.look_again(name)) else { return };
        if looked.recv_timeout(patience).is_ok() {
            for (_, finding) in self.found.take() {
                self.take_finding(finding);
            }
        }
    }

    /// Some of the plugin path is not there, or is again.
    fn directories_missing(&mut self, missing: BTreeMap<PathBuf, String>) {
        for (directory, reason) in &missing {
            self.log.warn(SELF, format!("no plugins from {}: {reason}", shown(directory)));
        }
        for directory in self.missing_directories.keys().filter(|directory| !missing.contains_key(*directory)) {
            self.log.info(SELF, format!("{} is there now", shown(directory)));
        }
        self.missing_directories = missing;
    }

    /// A file disappeared. Its plugin goes on, unless it never ran; a plugin that was refused because of it gets
    /// its chance.
    fn file_vanished(&mut self, name: &str) {
        let Some(managed) = self.plugins.get_mut(name) else { return };
        managed.file_gone = true;
        managed.waiting_build = None;
        if managed.candidate.is_none() || managed.state == PluginState::Refused {
            self.plugins.remove(name);
        }
        self.log.debug(&subject(name), "its file is gone");
        let waiting: Vec<_> = self
            .plugins
            .iter()
            .filter(|(_, managed)| managed.conflicts)
            .filter_map(|(_, managed)| managed.candidate.clone())
            .collect();
        for candidate in waiting {
            // What changed for it is what changed just now.
            self.take_candidate(candidate.seen_now());
        }
    }

    /// A file that can be started appeared or changed.
    pub(super) fn take_candidate(&mut self, candidate: Candidate) {
        let name = candidate.name.clone();
        let managed = self.plugins.entry(name.clone()).or_insert_with(|| Managed::new(candidate.path.clone()));
        managed.path.clone_from(&candidate.path);
        managed.file_gone = false;
        if managed.live.as_ref().is_some_and(|live| live.copy.hash == candidate.copy.hash) {
            // Touched, or put back after something worse: what runs is what is there.
            managed.candidate = Some(candidate);
            managed.waiting_build = None;
            managed.last_error = None;
            return;
        }
        managed.backoff = Backoff::default();
        managed.waiting_build = None;
        if self.has_to_undo(&name) {
            // Another build may be able to.
            self.confirming.retry = Retry::default();
        }
        let Some(managed) = self.plugins.get(&name) else { return };
        let has_build = managed.live.is_some() || managed.candidate.is_some();
        if has_build && (self.is_running(&name) || self.has_to_undo(&name)) {
            self.exchange(&candidate);
        } else {
            if let Some(managed) = self.plugins.get_mut(&name) {
                managed.candidate = Some(candidate.clone());
                managed.set_state(PluginState::Starting);
            }
            self.bring_up(candidate.clone());
            self.note_live(&candidate);
        }
        let applies = self.config.settings.plugins.reload_applies;
        // One that was not taken is no reason to apply anything: what people have changed since is left alone.
        let is_taken = |managed: &&mut Managed| managed.waiting_build.is_none();
        if let Some(managed) = self.plugins.get_mut(&name).filter(is_taken) {
            managed.owes_apply |= applies;
            managed.only_planned &= !applies;
        }
        self.catch_up(&name, &format!("reload of plugin {name}"));
        if let Some(managed) = self.plugins.get_mut(&name).filter(is_taken) {
            // Nobody has asked for these steps, so an event must not bring them about either.
            managed.only_planned |= !managed.owes_apply && managed.pending > 0;
        }
        self.collect_copies();
    }
}
