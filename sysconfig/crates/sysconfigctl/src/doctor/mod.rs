//! `doctor`: looks at everything between a configuration file and a machine that is as configured, in the order in
//! which it has to work, and says what to do where it does not.

mod machine;
mod patience;
mod share;
mod system;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sysconfig::config::{Configuration, Deadlines, Reading, Sources, load, render as render_errors};
use sysconfig::discovery::Search;
use sysconfig::offline::{Looked, PluginFiles};
use sysconfig_protocol::admin::{Health, Logs, Paths, PluginsReport, Status, StatusReport};
use sysconfig_protocol::admin::{Plugins as AskPlugins, Problem};
use sysconfig_protocol::{Level, Severity};

use crate::cli::ConfigFiles;
use crate::client::ClientError;
use crate::command::{Failure, SHORT, Session};
use crate::exit::Exit;
use crate::render::{clean, indented};
use patience::within;

/// How long it may take to read what is on a share: plugins, which are some megabytes each, or the daemon.
const TO_READ: Duration = Duration::from_secs(60);

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
        let asked = Sources::from(files);
        let mut of_daemon = Vec::new();
        let running = self.running(&mut of_daemon);
        let mut checks = Vec::new();
        let sources = sources(running.as_ref().map(|(status, _)| status), asked, &mut checks);
        let config = configuration(&sources, &mut checks);
        checks.extend(system::service());
        checks.append(&mut of_daemon);
        checks.extend(machine::look());
        let search = search(running.as_ref().map(|(_, plugins)| plugins), config.as_ref());
        let path = search.as_ref().map(|search| search.path.clone()).unwrap_or_default();
        let answering = look_at_shares(path, &mut checks);
        match (&running, search) {
            (Some((status, _)), _) => {
                daemon(status, &mut checks);
                self.last_errors(&mut checks)?;
            }
            (None, Some(search)) if !answering.is_empty() || search.path.is_empty() => {
                checks.extend(plugin_files(Search { path: answering, ..search }, config.as_ref()));
            }
            (None, Some(_)) => {}
            (None, None) => {
                let found = "where they are looked for is not known before the configuration can be used";
                checks.push(Check::new("plugins", Verdict::Unknown, found));
            }
        }
        let healthy = checks.iter().all(|check| check.verdict != Verdict::Wrong);
        let diagnosis = Diagnosis { healthy, checks };
        self.answer(&diagnosis, render(&diagnosis))?;
        Ok(Exit::success_if(healthy))
    }

    /// What the daemon says, when it can be reached.
    fn running(&self, checks: &mut Vec<Check>) -> Option<(StatusReport, PluginsReport)> {
        let asked = self.ask(&Status {}, SHORT).and_then(|status| Ok((status, self.ask(&AskPlugins {}, SHORT)?)));
        match asked {
            Ok((status, plugins)) => {
                let own = env!("CARGO_PKG_VERSION");
                let found = describe(&status);
                checks.push(match status.version == own {
                    true => Check::fine("daemon", found),
                    false => Check::new("daemon", Verdict::Odd, format!("{found}; sysconfigctl is version {own}"))
                        .help("build both from the same source"),
                });
                Some((status, plugins))
            }
            // What else is to be looked at is all the more worth knowing.
            Err(error @ ClientError::NotOurs { .. }) => {
                let help =
                    "if it is one of another version, build both from the same source; else see what listens there";
                checks.push(Check::wrong("daemon", error.to_string()).help(help));
                None
            }
            Err(error) => {
                let causes: Vec<_> = std::iter::once(error.to_string()).chain(error.causes()).collect();
                checks.push(Check::wrong("daemon", causes.join(": ")).maybe_help(error.help()));
                None
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

/// The daemon in words: which one it is, and what it was told to use.
fn describe(status: &StatusReport) -> String {
    let mut text = format!("version {} answers, process {}", status.version, status.pid);
    if let Some(executable) = &status.executable {
        text += &format!(", started from {executable}");
    }
    if let Some(Paths { config, config_dir, state_dir, .. }) = &status.paths {
        text += &format!("; reads {config} and {config_dir}, remembers in {state_dir}");
    }
    text
}

/// The configuration files to judge: those of the daemon that runs, whatever was asked for, because what others say is not
/// in force.
fn sources(running: Option<&StatusReport>, asked: Sources, checks: &mut Vec<Check>) -> Sources {
    // One of an earlier version does not say.
    let Some(paths) = running.and_then(|status| status.paths.as_ref()) else { return asked };
    let theirs = Sources { file: (&paths.config).into(), directory: (&paths.config_dir).into() };
    let is_same =
        |one: &Path, other: &Path| one == other || std::path::absolute(one).is_ok_and(|absolute| absolute == other);
    if !is_same(&asked.file, &theirs.file) || !is_same(&asked.directory, &theirs.directory) {
        let (file, directory) = (asked.file.display(), asked.directory.display());
        let found = format!(
            "the daemon reads {} and {}, which are judged here, and not {file} and {directory}",
            paths.config, paths.config_dir
        );
        let help = format!("{} judges those", check_command(&asked));
        checks.push(Check::new("files of the daemon", Verdict::Odd, found).help(help));
    }
    theirs
}

fn configuration(sources: &Sources, checks: &mut Vec<Check>) -> Option<Configuration> {
    match load(sources, Reading::STRICT) {
        Ok(config) => {
            let files: Vec<_> = config.files.iter().map(|file| file.path.display().to_string()).collect();
            checks.push(Check::fine("configuration", files.join(", ")));
            Some(config)
        }
        Err(errors) => {
            // Without the lines themselves: what a doctor says is what people put into a report for others.
            checks.push(
                Check::wrong("configuration", render_errors(&errors))
                    .help(format!("{} shows the lines; mend them, then: sysconfigctl reload", check_command(sources))),
            );
            None
        }
    }
}

/// What shows the lines of these files.
fn check_command(Sources { file, directory }: &Sources) -> String {
    format!("sysconfigctl config check --config {} --config-dir {}", file.display(), directory.display())
}

/// Where plugins are looked for: by the daemon that runs, otherwise by the one that would be started, if it could be.
fn search(running: Option<&PluginsReport>, config: Option<&Configuration>) -> Option<Search> {
    let settings = config.map(|config| config.settings.plugins.clone());
    let path = match (running, &settings) {
        (Some(report), _) => report.path.iter().map(Into::into).collect(),
        (None, settings) => settings.as_ref()?.path.clone(),
    };
    Some(Search { path, allow_untrusted_owner: settings.is_some_and(|settings| settings.allow_untrusted_owner) })
}

/// Looks at what may be on a share, as far as it answers; answers the part of the plugin path that does.
fn look_at_shares(path: Vec<PathBuf>, checks: &mut Vec<Check>) -> Vec<PathBuf> {
    let share = PathBuf::from(share::SHARE);
    let all = std::iter::once(share.clone()).chain(path.iter().cloned()).collect();
    let answering = share::those_that_answer(all, checks);
    if answering.contains(&share) {
        checks.extend(built_daemon(TO_READ, machine::look_at_built_daemon));
    }
    let path: Vec<_> = path.into_iter().filter(|directory| answering.contains(directory)).collect();
    checks.extend(share::look(&path));
    path
}

/// What a look at the daemon of the checkout finds within a time.
fn built_daemon(patience: Duration, look: impl FnOnce() -> Option<Check> + Send + 'static) -> Option<Check> {
    within(patience, look).unwrap_or_else(|| {
        let found = format!("it could not be looked at within {} s", patience.as_secs());
        let help = format!("see that the host serves the share at {}", share::SHARE);
        Some(Check::wrong("daemon of the checkout", found).help(help))
    })
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

/// What a daemon would find. A look that is given up has started nothing, and what is started ends by itself.
fn plugin_files(search: Search, config: Option<&Configuration>) -> Vec<Check> {
    let deadlines = config.map_or_else(Deadlines::default, |config| config.settings.plugins.deadlines.clone());
    let Some(files) = within(TO_READ, move || PluginFiles::look(search)) else {
        let found = format!("their files could not be read within {} s", TO_READ.as_secs());
        return vec![Check::wrong("plugins", found).help("see that the machine's disks and shares answer")];
    };
    let plugins = match files.and_then(|files| files.start(&deadlines)) {
        Ok(plugins) => plugins,
        Err(error) => return vec![Check::new("plugins", Verdict::Unknown, error.to_string())],
    };
    if plugins.found().is_empty() {
        let help = "build them: cargo build --release, in sysconfig";
        return vec![Check::wrong("plugins", "none was found").help(help)];
    }
    let look = |looked: &Looked| {
        let what = format!("plugin {}", looked.name);
        let path = looked.path.display();
        match &looked.description {
            Ok(description) => {
                Check::fine(what, format!("{path} is version {} and can be started", description.version))
            }
            Err(failure) => Check::wrong(what, format!("{path}: {}", failure.message)).maybe_help(failure.help.clone()),
        }
    };
    plugins.found().iter().map(look).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_the_checkout_that_cannot_be_looked_at_is_told() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hanging = move || held.recv().ok().and(None);
        let check = built_daemon(Duration::from_millis(100), hanging).unwrap();
        drop(release);
        assert_eq!((check.verdict, &*check.what), (Verdict::Wrong, "daemon of the checkout"));
        assert!(check.help.unwrap().contains("the share at /repo"));
        let patience = Duration::from_secs(60);
        assert_eq!(built_daemon(patience, || None), None, "there is none");
        let fine = Check::fine("daemon of the checkout", "it runs here");
        let found = fine.clone();
        assert_eq!(built_daemon(patience, move || Some(found)), Some(fine));
    }
}
