//! What the engine puts onto the board.

use std::collections::BTreeMap;

use sysconfig_protocol::admin::{ConfigStatus, Health, PluginState, Problem, ReloadResult};
use sysconfig_protocol::{Diagnostic, Severity};

use super::managed::Managed;
use super::{Engine, SELF, intake, shown, subject};
use crate::config::{Configuration, Unowned};
use crate::state::journal::Unreadable;

impl Engine {
    /// Publishes everything anew.
    pub(super) fn publish(&self) {
        let problems = self.problems();
        let is_bad = problems.iter().any(is_error);
        let health = match (self.is_ready, is_bad) {
            (false, _) => Health::Starting,
            (true, true) => Health::Degraded,
            (true, false) => Health::Ok,
        };
        let problems = intake::fitting(problems);
        let plugins = self.plugins.iter().map(|(name, managed)| {
            let applied = self.applied.at(name);
            managed.status(name, self.assignment.parts.contains_key(name), applied)
        });
        let plugins = plugins.collect();
        let config = ConfigStatus {
            files: self.config.files.iter().map(|file| shown(&file.path)).collect(),
            loaded_unix_ms: self.config_loaded_unix_ms,
            rejected: self.config_rejected.clone(),
        };
        let confirmation = self.confirming.report();
        self.board.update(|status| {
            status.health = health;
            status.confirmation = confirmation;
            status.config = config;
            status.last_cycle.clone_from(&self.last_cycle);
            status.plugins = plugins;
            status.problems = problems;
        });
    }

    /// The daemon in one line, for the log and the service manager.
    pub(super) fn summary(&self) -> String {
        let problems = self.problems();
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        let running = self.running().len();
        match errors {
            0 => format!("{running} plugins running, everything configured is in force"),
            1 => format!("{running} plugins running, 1 problem"),
            errors => format!("{running} plugins running, {errors} problems"),
        }
    }

    /// Whether something that is configured is not in force.
    pub(super) fn has_errors(&self) -> bool {
        self.problems().iter().any(is_error)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.damage_problems().collect();
        problems.extend(self.lasting_problems.clone());
        problems.extend(self.unwritten_problems());
        problems.extend(self.path_problems());
        problems.extend(self.config_problems());
        problems.extend(self.proposal_problem());
        problems.extend(self.confirmation_problems());
        problems.extend(self.doubt_problems());
        for (name, managed) in &self.plugins {
            self.plugin_problems(name, managed, &mut problems);
        }
        problems
    }

    /// Directories of the plugin path that are not there.
    fn path_problems(&self) -> impl Iterator<Item = Problem> {
        let help = match self.config.settings.plugins.hot_reload || self.awaits_first_look {
            true => "its plugins are started when it appears; for a share: sysconfigctl doctor",
            false => "make it or mend plugins.path, then restart the service",
        };
        self.missing_directories.iter().map(move |(directory, reason)| Problem {
            subject: "plugins".to_owned(),
            message: format!("no plugins from {}: {reason}", shown(directory)),
            help: Some(help.to_owned()),
            place: None,
            severity: Severity::Warning,
        })
    }

    /// What is wrong with the configuration, apart from what plugins say about their parts.
    pub(super) fn config_problems(&self) -> Vec<Problem> {
        let standing_in = self.is_stand_in.then(|| Problem {
            subject: "config".to_owned(),
            message: "nothing is configured: the files had faults at the start, which was only for a change that waited or was to be \
                      undone"
                .to_owned(),
            help: Some(match self.config_rejected {
                Some(_) => "mend the files, then: sysconfigctl reload".to_owned(),
                None => "sysconfigctl reload".to_owned(),
            }),
            place: None,
            severity: Severity::Error,
        });
        let rejected = self.config_rejected.as_ref().map(|report| Problem {
            subject: "config".to_owned(),
            message: match self.is_stand_in {
                true => format!("the files cannot be used:\n{report}"),
                false => format!("the files cannot be used, and what was read before stays in force:\n{report}"),
            },
            help: Some("mend the files, then: sysconfigctl reload".to_owned()),
            place: None,
            severity: Severity::Error,
        });
        let unread = self.config_unread.as_ref().map(|unread| Problem {
            subject: "config".to_owned(),
            message: format!(
                "nobody knows what the files say, and what was read before stays in force:\n{}",
                unread.report
            ),
            help: Some("see that their file system answers, then: sysconfigctl reload".to_owned()),
            place: None,
            severity: Severity::Error,
        });
        let log = self.log_trouble.as_ref().map(|message| Problem {
            subject: "config".to_owned(),
            message: format!("{message}; the log goes to standard error"),
            help: Some("make its directory or mend logging.output, then: sysconfigctl reload".to_owned()),
            place: None,
            severity: Severity::Error,
        });
        let claims = self.claims();
        let is_unknown = |managed: &Managed| !managed.owns_claims() && !managed.conflicts;
        let down: Vec<_> =
            self.plugins.iter().filter(|(_, managed)| is_unknown(managed)).map(|(name, _)| name.as_str()).collect();
        let unowned = &self.assignment.unowned;
        let unowned = unowned.iter().map(|unowned| unowned_problem(&self.config, unowned, &claims, &down));
        standing_in.into_iter().chain(rejected).chain(unread).chain(log).chain(unowned).collect()
    }

    fn plugin_problems(&self, name: &str, managed: &Managed, problems: &mut Vec<Problem>) {
        let problem = |severity: Severity, message: String, help: Option<String>| Problem {
            subject: subject(name),
            message,
            help,
            place: None,
            severity,
        };
        let message = managed.last_error.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
        let help = managed.last_error.as_ref().and_then(|failure| failure.help.clone());
        match managed.state {
            PluginState::Running => (),
            PluginState::Starting => problems.push(problem(Severity::Error, "starting".to_owned(), None)),
            PluginState::Backoff => {
                let help = help.or_else(|| Some("it is started again by itself".to_owned()));
                problems.push(problem(Severity::Error, format!("not running: {message}"), help));
            }
            PluginState::Quarantined => {
                problems.push(problem(Severity::Error, format!("failed too often: {message}"), help.clone()));
            }
            PluginState::Refused => {
                problems.push(problem(Severity::Error, format!("not used: {message}"), help.clone()));
            }
        }
        let kept = managed.reload.as_ref().filter(|reload| reload.result == ReloadResult::Kept);
        if let (PluginState::Running, Some(_), false) = (managed.state, kept, message.is_empty()) {
            let help = managed.last_error.as_ref().and_then(|failure| failure.help.clone());
            problems.push(problem(Severity::Warning, format!("the old build keeps running: {message}"), help));
        }
        if managed.file_gone && managed.state == PluginState::Running {
            let message = format!("{} is gone; it goes on from its private copy", shown(&managed.path));
            problems.push(problem(Severity::Warning, message, None));
        }
        self.part_problems(name, managed, problems);
    }

    /// What is wrong with a plugin's part of the configuration.
    fn part_problems(&self, name: &str, managed: &Managed, problems: &mut Vec<Problem>) {
        if !self.assignment.parts.contains_key(name) || managed.state != PluginState::Running {
            return;
        }
        // Many findings are about few places, and each is searched for through the whole file.
        let mut places = BTreeMap::new();
        let mut place = |found: &Diagnostic| {
            let origin = self.config.origin_of(&found.key)?;
            let place = places.entry((origin.file, origin.span.start)).or_insert_with(|| self.config.place(&origin));
            Some(place.clone())
        };
        let found = managed.diagnostics.iter().chain(&managed.deviations);
        problems.extend(found.map(|found| Problem { place: place(found), ..within(name, found) }));
        let mut push = |message: String, help: Option<String>| {
            let severity = Severity::Error;
            problems.push(Problem { subject: subject(name), message, help, place: None, severity });
        };
        match &managed.trouble {
            Some(trouble) => push(trouble.message.clone(), trouble.help.clone()),
            None if managed.pending > 0 => {
                let steps =
                    if managed.pending == 1 { "1 step".to_owned() } else { format!("{} steps", managed.pending) };
                push(format!("{steps} planned and not carried out"), Some("sysconfigctl apply".to_owned()));
            }
            None => (),
        }
    }

    /// The journal had lines of another daemon's, or damaged ones.
    pub(super) fn remember_unreadable(&mut self, unreadable: &Unreadable) {
        let message = unreadable.to_string();
        self.log.warn(SELF, &message);
        self.lasting_problems.push(Problem {
            subject: "state".to_owned(),
            message,
            help: Some(
                "a step of which nobody knows whether it was done may be among them: sysconfigctl plan".to_owned(),
            ),
            place: None,
            severity: Severity::Warning,
        });
    }

    /// A look at the files came to a fault of the daemon itself. It looks on, and who relies on that is to know.
    pub(super) fn remember_failed_look(&mut self) {
        let problem = Problem {
            subject: "plugins".to_owned(),
            message: "a look at plugin and configuration files came to a fault of sysconfig itself; it looks on"
                .to_owned(),
            help: Some("report it with what the service's log says of a panic".to_owned()),
            place: None,
            severity: Severity::Warning,
        };
        if !self.lasting_problems.contains(&problem) {
            self.log.error(SELF, &problem.message);
            self.lasting_problems.push(problem);
        }
    }

    /// Files that make no sense are kept aside where the directory is this daemon's, and told in either case.
    pub(super) fn tell_damage(&mut self) {
        if self.hold_state().is_err() {
            self.damaged.iter().for_each(|damaged| self.log.warn(SELF, damaged));
        }
    }

    fn damage_problems(&self) -> impl Iterator<Item = Problem> {
        self.damaged.iter().map(|damaged| Problem {
            subject: "state".to_owned(),
            message: damaged.to_string(),
            help: Some(damaged.help()),
            place: None,
            severity: Severity::Warning,
        })
    }
}

fn is_error(problem: &Problem) -> bool {
    problem.severity == Severity::Error
}

/// A plugin's finding as a problem without a place.
pub(crate) fn within(name: &str, found: &Diagnostic) -> Problem {
    let key = if found.key.is_empty() { String::new() } else { format!("{}: ", found.key) };
    let message = format!("{key}{}", found.message);
    Problem { subject: subject(name), message, help: found.help.clone(), place: None, severity: found.severity }
}

/// A key that no plugin claims; `claims` are pairs of plugin and key, `down` the plugins that are there and have not said what
/// they own.
pub(crate) fn unowned_problem(
    config: &Configuration,
    unowned: &Unowned,
    claims: &[(String, String)],
    down: &[&str],
) -> Problem {
    let owned: Vec<_> = claims.iter().map(|(_, key)| key.as_str()).collect();
    let owned = if owned.is_empty() { "nothing".to_owned() } else { owned.join(", ") };
    Problem {
        subject: "config".to_owned(),
        message: format!("no plugin owns the key {}", unowned.key),
        help: Some(match &unowned.nearest {
            Some(nearest) => format!("did you mean {nearest}?"),
            None if !down.is_empty() => {
                format!("its owner may be one that does not run: {}; mend what is told of that first", down.join(", "))
            }
            None => format!("install the plugin that owns it; the plugins here own: {owned}"),
        }),
        place: Some(config.place(&unowned.origin)),
        severity: Severity::Error,
    }
}
