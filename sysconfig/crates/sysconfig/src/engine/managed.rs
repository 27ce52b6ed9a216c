//! What the engine knows of one plugin.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use sysconfig_protocol::admin::{Failure, PluginReload, PluginState, PluginStatus};
use sysconfig_protocol::{Description, Diagnostic};

use super::backoff::Backoff;
use super::events::{EventPace, Heard};
use crate::clock;
use crate::discovery::{Candidate, PrivateCopy};
use crate::plugin::PluginProcess;

/// Hexadecimal digits of a hash that people get to see.
const SHORT_HASH: usize = 12;

/// A plugin that was found.
#[derive(Debug)]
pub(super) struct Managed {
    /// The file that was found last.
    pub(super) path: PathBuf,
    /// What is started when the plugin is to be started; none when no usable file was seen yet.
    pub(super) candidate: Option<Candidate>,
    /// The newest build where that is not the one at work. It is tried again when a change that waits is confirmed or undone,
    /// and when an administrator restarts the plugin.
    pub(super) waiting_build: Option<Candidate>,
    /// The process.
    pub(super) live: Option<Live>,
    /// What it last said about itself. It keeps its claims while it is down.
    pub(super) description: Option<Description>,
    pub(super) state: PluginState,
    pub(super) since_unix_ms: u64,
    /// Why it is down, or why its newest file was not taken.
    pub(super) last_error: Option<Failure>,
    /// It is refused because another plugin claims a key of its.
    pub(super) conflicts: bool,
    pub(super) reload: Option<PluginReload>,
    pub(super) restarts: u32,
    pub(super) backoff: Backoff,
    pub(super) retry_at: Option<Instant>,
    /// The file under the plugin path is gone.
    pub(super) file_gone: bool,
    /// What `validate` found in the configuration in force.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Why the last cycle did not bring its part in line.
    pub(super) trouble: Option<Failure>,
    /// What `verify` found after the last cycle.
    pub(super) deviations: Vec<Diagnostic>,
    /// Steps that are planned and not carried out.
    pub(super) pending: usize,
    /// What its process has been told of other plugins' events.
    pub(super) heard: Heard,
    /// The last event that it was told of and has not applied anything since.
    pub(super) unacted_news: Option<String>,
    pub(super) pace: EventPace,
    /// Its part of the configuration was not applied since it was set or changed.
    pub(super) owes_apply: bool,
    /// A new build planned steps that nobody has asked for, and reloads do not apply.
    pub(super) only_planned: bool,
    /// When the machine was last compared with its part.
    pub(super) looked: Option<Instant>,
}

/// A running process.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) process: PluginProcess,
    /// Keeps the file that the process was started from.
    pub(super) copy: Arc<PrivateCopy>,
}

impl Managed {
    /// A plugin of which only the file is known.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            candidate: None,
            waiting_build: None,
            live: None,
            description: None,
            state: PluginState::Starting,
            since_unix_ms: clock::unix_ms(),
            last_error: None,
            conflicts: false,
            reload: None,
            restarts: 0,
            backoff: Backoff::default(),
            retry_at: None,
            file_gone: false,
            diagnostics: Vec::new(),
            trouble: None,
            deviations: Vec::new(),
            pending: 0,
            heard: Heard::default(),
            unacted_news: None,
            pace: EventPace::default(),
            owes_apply: true,
            only_planned: false,
            looked: None,
        }
    }

    pub(super) fn set_state(&mut self, state: PluginState) {
        if self.state != state {
            self.state = state;
            self.since_unix_ms = clock::unix_ms();
        }
    }

    /// Whether it owns its claims: it runs, or did and will again.
    pub(super) fn owns_claims(&self) -> bool {
        self.description.is_some() && self.state != PluginState::Refused
    }

    pub(super) fn claims(&self) -> Vec<String> {
        let claims = self.description.iter().flat_map(|description| &description.claims);
        claims.map(|claim| claim.key.clone()).collect()
    }

    pub(super) fn status(&self, name: &str, configured: bool, applied_unix_ms: Option<u64>) -> PluginStatus {
        PluginStatus {
            name: name.to_owned(),
            path: self.path.display().to_string(),
            private_copy: self.live.as_ref().map(|live| live.copy.path.display().to_string()),
            version: self.description.as_ref().map(|description| description.version.clone()),
            build_id: self.live.as_ref().map(|live| build_id(&live.copy)),
            state: self.state,
            pid: self.live.as_ref().map(|live| live.process.pid()),
            claims: self.claims(),
            configured,
            since_unix_ms: self.since_unix_ms,
            last_error: self.last_error.as_ref().map(|failure| failure.message.clone()),
            help: self.last_error.as_ref().and_then(|failure| failure.help.clone()),
            reload: self.reload.clone(),
            restarts: self.restarts,
            applied_unix_ms,
        }
    }
}

/// The part of a copy's hash that people get to see.
pub(super) fn build_id(copy: &PrivateCopy) -> String {
    copy.hash.chars().take(SHORT_HASH).collect()
}
