//! `doctor`: looks at everything between a configuration file and a machine that is as configured, in the order in
//! which it has to work, and says what to do where it does not.

mod machine;
mod share;
mod system;

use serde::Serialize;
use sysconfig::config::{Configuration, Deadlines, Sources, load, render as render_errors};
use sysconfig::discovery::Search;
use sysconfig::offline::Plugins;
use sysconfig_protocol::admin::{Health, Logs, PluginsReport, Status, StatusReport};
use sysconfig_protocol::admin::{Plugins as AskPlugins, Problem};
use sysconfig_protocol::{Level, Severity};

use crate::cli::ConfigFiles;
use crate::client::ClientError;
use crate::command::{Failure, SHORT, Session};
use crate::exit::Exit;
use crate::render::{clean, indented};

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Fine,
    /// It works, and may not be what is wanted.
    Odd,
    Wrong,
    /// It does not exist here, or could not be looked at.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    what: String,
    verdict: Verdict,
    found: String,
    help: Option<String>,
}

impl Check {
    fn new(what: impl Into<String>, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { what: what.into(), verdict, found: found.into(), help: None }
    }

    fn fine(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Fine, found)
    }

    fn wrong(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Wrong, found)
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn maybe_help(self, help: Option<String>) -> Self {
        Self { help: help.or_else(|| self.help.clone()), ..self }
    }
}

#[derive(Debug, Serialize)]
struct Diagnosis {
    healthy: bool,
    checks: Vec<Check>,
}

impl Session<'_> {
    pub(crate) fn doctor(&mut self, files: ConfigFiles) -> Result<Exit, Failure> {
        let sources = Sources::from(files);
        let mut checks = Vec::new();
        let config = configuration(&sources, &mut checks);
        checks.extend(system::service());
        let running = self.running(&mut checks)?;
        let search = search(running.as_ref().map(|(_, plugins)| plugins), config.as_ref());
        checks.extend(machine::look());
        checks.extend(share::look(&search.path));
        if let Some((status, _)) = &running {
            daemon(status, &mut checks);
            self.last_errors(&mut checks)?;
        } else {
            plugin_files(search, config.as_ref(), &mut checks);
        }
        let healthy = checks.iter().all(|check| check.verdict != Verdict::Wrong);
        let diagnosis = Diagnosis { healthy, checks };
        self.answer(&diagnosis, render(&diagnosis))?;
        Ok(Exit::success_if(healthy))
    }

    /// What the daemon says, when it can be reached.
    fn running(&self, checks: &mut Vec<Check>) -> Result<Option<(StatusReport, PluginsReport)>, Failure> {
        let asked = self.ask(&Status {}, SHORT).and_then(|status| Ok((status, self.ask(&AskPlugins {}, SHORT)?)));
        match asked {
            Ok((status, plugins)) => {
                let own = env!("CARGO_PKG_VERSION");
                let found = format!("version {} answers, process {}", status.version, status.pid);
                checks.push(match status.version == own {
                    true => Check::fine("daemon", found),
                    false => Check::new("daemon", Verdict::Odd, format!("{found}; sysconfigctl is version {own}"))
                        .help("build both from the same source"),
                });
                Ok(Some((status, plugins)))
            }
            Err(error @ ClientError::NotOurs { .. }) => Err(error.into()),
            Err(error) => {
                let causes: Vec<_> = std::iter::once(error.to_string()).chain(error.causes()).collect();
                checks.push(Check::wrong("daemon", causes.join(": ")).maybe_help(error.help()));
                Ok(None)
            }
        }
    }

    fn last_errors(&self, checks: &mut Vec<Check>) -> Result<(), Failure> {
        let request = Logs { limit: Some(3), level: Some(Level::Error), ..Logs::default() };
        // A daemon of an earlier version has no such request, and is told above.
        let Ok(report) = self.ask(&request, SHORT) else { return Ok(()) };
        for line in report.lines {
            let at = sysconfig::clock::rfc3339(line.at_unix_ms);
            checks.push(Check::new("last errors", Verdict::Odd, format!("{at} {}: {}", line.subject, line.message)));
        }
        Ok(())
    }
}

fn configuration(sources: &Sources, checks: &mut Vec<Check>) -> Option<Configuration> {
    match load(sources) {
        Ok(config) => {
            let files: Vec<_> = config.files.iter().map(|file| file.path.display().to_string()).collect();
            checks.push(Check::fine("configuration", files.join(", ")));
            Some(config)
        }
        Err(errors) => {
            // Without the lines themselves: what a doctor says is what people put into a report for others.
            checks.push(
                Check::wrong("configuration", render_errors(&errors))
                    .help("sysconfigctl config check shows the lines; mend them, then: sysconfigctl reload"),
            );
            None
        }
    }
}

/// Where plugins are looked for: by the daemon that runs, otherwise by the one that would be started.
fn search(running: Option<&PluginsReport>, config: Option<&Configuration>) -> Search {
    let settings = config.map(|config| config.settings.plugins.clone()).unwrap_or_default();
    let path = match running {
        Some(report) => report.path.iter().map(Into::into).collect(),
        None => settings.path,
    };
    Search { path, allow_untrusted_owner: settings.allow_untrusted_owner }
}

/// What the daemon knows of itself.
fn daemon(status: &StatusReport, checks: &mut Vec<Check>) {
    for plugin in &status.plugins {
        let what = format!("plugin {}", plugin.name);
        let build = plugin.build_id.as_deref().unwrap_or("unknown");
        match (&plugin.last_error, plugin.pid) {
            (Some(error), _) => checks.push(Check::wrong(what, error).maybe_help(plugin.help.clone())),
            (None, Some(pid)) => checks.push(Check::fine(what, format!("build {build} runs as process {pid}"))),
            (None, None) => checks.push(Check::wrong(what, "it does not run")),
        }
    }
    if status.plugins.is_empty() {
        checks.push(Check::wrong("plugins", "none was found").help("build them: cargo build --release, in sysconfig"));
    }
    let verdict = match status.health {
        Health::Ok => Check::fine("health", "everything configured is in force"),
        Health::Starting => Check::new("health", Verdict::Odd, "the daemon is starting"),
        Health::Stopping => Check::new("health", Verdict::Odd, "the daemon is stopping"),
        Health::Degraded => Check::wrong("health", "not everything configured is in force"),
    };
    checks.push(verdict);
    for Problem { subject, message, help, place, severity } in &status.problems {
        let place = place.as_ref().map(|place| format!("\nat {}:{}:{}", place.file, place.line, place.column));
        let verdict = if *severity == Severity::Error { Verdict::Wrong } else { Verdict::Odd };
        let found = format!("{message}{}", place.unwrap_or_default());
        checks.push(Check::new(subject, verdict, found).maybe_help(help.clone()));
    }
}

/// What a daemon would find.
fn plugin_files(search: Search, config: Option<&Configuration>, checks: &mut Vec<Check>) {
    let deadlines = config.map_or_else(Deadlines::default, |config| config.settings.plugins.deadlines.clone());
    let plugins = match Plugins::start(search, &deadlines) {
        Ok(plugins) => plugins,
        Err(error) => return checks.push(Check::new("plugins", Verdict::Unknown, error.to_string())),
    };
    if plugins.found().is_empty() {
        checks.push(Check::wrong("plugins", "none was found").help("build them: cargo build --release, in sysconfig"));
    }
    for looked in plugins.found() {
        let what = format!("plugin {}", looked.name);
        let path = looked.path.display();
        checks.push(match &looked.description {
            Ok(description) => {
                Check::fine(what, format!("{path} is version {} and can be started", description.version))
            }
            Err(failure) => Check::wrong(what, format!("{path}: {}", failure.message)).maybe_help(failure.help.clone()),
        });
    }
}

fn render(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for Check { what, verdict, found, help } in &diagnosis.checks {
        let word = match verdict {
            Verdict::Fine => "ok",
            Verdict::Odd => "odd",
            Verdict::Wrong => "WRONG",
            Verdict::Unknown => "?",
        };
        text += &format!("{word:<5}  {}: {}\n", clean(what), indented(found));
        if let Some(help) = help {
            text += &format!("       help: {}\n", indented(help));
        }
    }
    let wrong = diagnosis.checks.iter().filter(|check| check.verdict == Verdict::Wrong).count();
    text += &match wrong {
        0 => "\nNothing is wrong.\n".to_owned(),
        1 => "\n1 thing is wrong.\n".to_owned(),
        wrong => format!("\n{wrong} things are wrong. Mend the first one first.\n"),
    };
    text
}
