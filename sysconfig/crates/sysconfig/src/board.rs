//! The daemon's status, as the engine last published it, for everybody who asks.
//!
//! The engine may wait for a plugin for minutes; readers of the board never wait for the engine. The lock is held
//! for the time of a copy.

use std::sync::{Arc, Mutex, PoisonError};

use sysconfig_protocol::admin::{
    Activity, ConfigStatus, Events, EventsReport, Happening, HappeningKind, Health, PluginsReport, StatusReport,
};

use crate::clock;
use crate::ring::Ring;

/// Shared status.
#[derive(Debug, Clone)]
pub struct Board(Arc<Mutex<Contents>>);

#[derive(Debug)]
struct Contents {
    status: StatusReport,
    path: Vec<String>,
    hot_reload: bool,
    happenings: Ring<Happening>,
}

/// So many events are remembered.
const HAPPENINGS: usize = 1000;

impl Board {
    /// The status of a daemon that has done nothing yet.
    pub fn new() -> Self {
        let status = StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            executable: std::env::current_exe().ok().map(|path| path.display().to_string()),
            started_unix_ms: clock::unix_ms(),
            health: Health::Starting,
            activity: Activity::Idle,
            config: ConfigStatus { files: Vec::new(), loaded_unix_ms: 0, rejected: None },
            last_cycle: None,
            confirmation: None,
            plugins: Vec::new(),
            problems: Vec::new(),
        };
        Self(Arc::new(Mutex::new(Contents {
            status,
            path: Vec::new(),
            hot_reload: false,
            happenings: Ring::new(HAPPENINGS),
        })))
    }

    /// The status.
    pub fn status(&self) -> StatusReport {
        self.with(|contents| contents.status.clone())
    }

    /// The plugins.
    pub fn plugins(&self) -> PluginsReport {
        self.with(|contents| PluginsReport {
            path: contents.path.clone(),
            hot_reload: contents.hot_reload,
            plugins: contents.status.plugins.clone(),
        })
    }

    /// What happened lately.
    pub fn events(&self, request: &Events) -> EventsReport {
        self.with(|contents| EventsReport {
            events: contents.happenings.select(request.after, request.limit.unwrap_or(HAPPENINGS), |_| true),
            last: contents.happenings.last(),
        })
    }

    /// Remembers that something happened.
    pub fn note(&self, kind: HappeningKind, plugin: Option<&str>, message: impl Into<String>) {
        let (at_unix_ms, plugin, message) = (clock::unix_ms(), plugin.map(str::to_owned), message.into());
        self.with(|contents| {
            contents.happenings.push(|number| Happening { number, at_unix_ms, kind, plugin, message });
        });
    }

    /// Changes the status.
    pub fn update(&self, change: impl FnOnce(&mut StatusReport)) {
        self.with(|contents| change(&mut contents.status));
    }

    /// Says where plugins are looked for.
    pub fn set_search(&self, path: Vec<String>, hot_reload: bool) {
        self.with(|contents| {
            contents.path = path;
            contents.hot_reload = hot_reload;
        });
    }

    /// Says what the daemon is doing.
    pub fn set_activity(&self, activity: Activity) {
        self.update(|status| status.activity = activity);
    }

    fn with<T>(&self, action: impl FnOnce(&mut Contents) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}
