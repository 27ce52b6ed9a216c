//! The daemon's status, as the engine last published it, for everybody who asks.
//!
//! The engine may wait for a plugin for minutes; readers of the board never wait for the engine. The lock is held
//! for the time of a copy.

use std::sync::{Arc, Mutex, PoisonError};

use sysconfig_protocol::admin::{
    Activity, ConfigStatus, Events, EventsReport, Happening, HappeningKind, Health, Paths, PluginsReport, StatusReport,
};

use sysconfig_protocol::ErrorObject;
use sysconfig_protocol::envelope::code;

use crate::clock;
use crate::config::{Fingerprint, nearest};
use crate::ring::Ring;
use crate::text::cut;

/// Shared status.
#[derive(Debug, Clone)]
pub struct Board(Arc<Mutex<Contents>>);

#[derive(Debug)]
struct Contents {
    status: StatusReport,
    path: Vec<String>,
    hot_reload: bool,
    config_seen: Option<Fingerprint>,
    happenings: Ring<Happening>,
}

/// So many events are remembered.
const HAPPENINGS: usize = 1000;

/// Longer messages are remembered cut.
const HAPPENING_BYTES: usize = 4096;

impl Board {
    /// The status of a daemon that has done nothing yet.
    pub fn new(paths: Paths) -> Self {
        let status = StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            executable: std::env::current_exe().ok().map(|path| path.display().to_string()),
            paths: Some(paths),
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
            config_seen: None,
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

    /// The error for whoever names a plugin that is not there.
    pub fn no_such_plugin(&self, name: &str) -> ErrorObject {
        let known = self.plugins().plugins;
        let names = || known.iter().map(|plugin| plugin.name.as_str());
        let meant = nearest(name, names()).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        let help = match known.is_empty() {
            true => "no plugins were found: sysconfigctl plugins says where they are looked for".to_owned(),
            false => format!("{meant}plugins are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        ErrorObject::new(code::NO_SUCH_PLUGIN, format!("there is no plugin {name:?}")).help(help)
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
        let (at_unix_ms, plugin) = (clock::unix_ms(), plugin.map(str::to_owned));
        let message = cut(&message.into(), HAPPENING_BYTES);
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

    /// Says how the configuration files were when they were read last.
    pub fn set_config_seen(&self, seen: Fingerprint) {
        self.with(|contents| contents.config_seen = Some(seen));
    }

    /// How the configuration files were when they were read last; none before the first time.
    pub fn config_seen(&self) -> Option<Fingerprint> {
        self.with(|contents| contents.config_seen.clone())
    }

    /// Says what the daemon is doing.
    pub fn set_activity(&self, activity: Activity) {
        self.update(|status| status.activity = activity);
    }

    fn with<T>(&self, action: impl FnOnce(&mut Contents) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Arguments;
    use clap::Parser;

    #[test]
    fn what_happened_is_remembered_cut() {
        let board = Board::new(Arguments::parse_from(["sysconfig"]).paths());
        board.note(HappeningKind::Step, None, "x".repeat(4 * HAPPENING_BYTES));
        let events = board.events(&Events::default()).events;
        assert_eq!(events[0].message.len(), HAPPENING_BYTES + "…".len());
    }
}
