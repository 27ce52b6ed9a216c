//! From arguments to a request, and from the answer to output and exit status.

use crate::cli::{Arguments, Command, PluginCommand};
use crate::client::{self, ClientError};
use crate::exit::Exit;
use crate::render;
use clap::Parser;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sysconfig::config::{self, ConfigErrors};
use sysconfig_protocol::admin::{
    Apply, ApplyReport, Confirm, Health, History, Ping, Plan, PluginPlan, PluginRestart, PluginState, Plugins, Problem,
    Reload, Status, UndoChange,
};
use sysconfig_protocol::{Call, Diagnostic, Digest};

/// For what the daemon answers at once.
pub(crate) const SHORT: Duration = Duration::from_secs(5);
/// For what waits for the plugins.
const LONG: Duration = Duration::from_secs(600);

/// Where a command's words go.
pub struct Streams<'a> {
    /// Standard output: answers.
    pub out: &'a mut dyn Write,
    /// Standard error: talk and errors.
    pub err: &'a mut dyn Write,
    /// Whether standard output is a terminal, with a person before it.
    pub is_terminal: bool,
}

impl std::fmt::Debug for Streams<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Streams").field("is_terminal", &self.is_terminal).finish_non_exhaustive()
    }
}

/// Carries out one command line, its first item being the program's name.
pub fn run<I, A>(arguments: I, streams: Streams<'_>) -> Exit
where
    I: IntoIterator<Item = A>,
    A: Into<OsString>,
{
    let Streams { out, err, is_terminal } = streams;
    let words: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        // What is wrong may be before or behind it.
        Err(error) => return explain_usage(&error, words.iter().any(|word| word == "--json"), out, err),
    };
    let json = arguments.json;
    let failure = match Session::new(arguments, out, is_terminal).run() {
        Ok(exit) => return exit,
        Err(failure) => failure,
    };
    match failure {
        Failure::Client(error) => {
            // Nobody can be told when standard error is closed, too.
            let _ = report(&error, json, err);
            if error.is_unreachable() { Exit::Unreachable } else { Exit::Failed }
        }
        Failure::Said(text) if json => {
            let _ = write_error(err, &text, None, &[], None, &[]);
            Exit::Failed
        }
        Failure::Config(errors) if json => {
            let _ = write_error(err, &errors.to_string(), None, &[], None, &config::problems(&errors));
            Exit::Failed
        }
        Failure::Config(errors) => {
            let _ = writeln!(err, "sysconfigctl: {}", render::clean(&config::render(&errors)));
            Exit::Failed
        }
        Failure::Said(text) => {
            let _ = writeln!(err, "sysconfigctl: {}", render::clean(&text));
            Exit::Failed
        }
        Failure::Output(error) if json => {
            let _ = write_error(err, "cannot write the answer", None, &[error.to_string()], None, &[]);
            Exit::Failed
        }
        Failure::Output(error) => {
            let _ = writeln!(err, "sysconfigctl: cannot write the answer: {error}");
            Exit::Failed
        }
    }
}

/// Prints what is wrong with the arguments, or the help that was asked for.
fn explain_usage(error: &clap::Error, json: bool, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    if error.use_stderr() {
        if json {
            let text = error.render().to_string();
            let text = text.trim_end().trim_start_matches("error: ");
            let (message, help) = text.split_once("\n\n").unwrap_or((text, "sysconfigctl --help"));
            let _ = write_error(err, message, None, &[], Some(help.trim_start()), &[]);
            return Exit::Usage;
        }
        let _ = write!(err, "{}", error.render());
        return Exit::Usage;
    }
    match write!(out, "{}", error.render()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(err, "sysconfigctl: cannot write the help: {error}");
            Exit::Failed
        }
        _ => Exit::Success,
    }
}

/// What kept a command from its end.
pub(crate) enum Failure {
    Client(ClientError),
    /// The configuration files have faults.
    Config(ConfigErrors),
    /// What was to be done without the daemon does not work; the text may have several lines.
    Said(String),
    Output(io::Error),
}

impl Failure {
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }

    /// An error with its causes.
    pub(crate) fn of(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        Self::Said(text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

pub(crate) struct Session<'a> {
    arguments: Arguments,
    out: &'a mut dyn Write,
    pub(crate) is_terminal: bool,
    /// Whoever reads the output has seen enough, as `head` has.
    pub(crate) is_unread: bool,
}

impl<'a> Session<'a> {
    fn new(arguments: Arguments, out: &'a mut dyn Write, is_terminal: bool) -> Self {
        Self { arguments, out, is_terminal, is_unread: false }
    }

    fn run(mut self) -> Result<Exit, Failure> {
        match self.arguments.command.clone() {
            Command::Ping => {
                let pong = self.ask(&Ping {}, SHORT)?;
                self.answer(&pong, render::pong(&pong))?;
                Ok(Exit::Success)
            }
            Command::Status { explain } => self.status(explain),
            Command::Plugins => {
                let plugins = self.ask(&Plugins {}, SHORT)?;
                self.answer(&plugins, render::plugins(&plugins, now()))?;
                Ok(Exit::Success)
            }
            Command::Plugin(PluginCommand::Restart { name }) => self.restart(name),
            Command::Plugin(PluginCommand::New { name, checkout }) => self.new_plugin(&name, &checkout),
            Command::Plan => self.plan(),
            Command::Apply { dry_run, allow_destructive, plan, confirm_within } => {
                let confirm_within_ms = confirm_within.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                self.apply(&Apply { dry_run, allow_destructive, plan: plan.map(Digest), confirm_within_ms })
            }
            Command::Confirm => {
                let report = self.ask(&Confirm {}, LONG)?;
                self.answer(&report, render::confirm(&report))?;
                Ok(Exit::Success)
            }
            Command::Undo => {
                let report = self.ask(&UndoChange {}, LONG)?;
                self.answer(&report, render::undo(&report))?;
                Ok(Exit::success_if(report.is_success()))
            }
            Command::Reload => self.reload(),
            Command::Events { lines, follow } => self.events(lines, follow),
            Command::Logs { plugin, level, lines, follow } => self.logs(plugin, level, lines, follow),
            Command::History { lines } => {
                let report = self.ask(&History { limit: Some(lines) }, SHORT)?;
                self.answer(&report, render::history(&report))?;
                Ok(Exit::Success)
            }
            Command::Doctor { sources } => self.doctor(sources),
            Command::Config(command) => self.config(command),
            Command::Completions { shell } => self.completions(shell),
            Command::Man { directory } => self.man(directory.as_deref()),
        }
    }

    fn status(&mut self, explain: bool) -> Result<Exit, Failure> {
        let status = self.ask(&Status {}, SHORT)?;
        self.answer(&status, render::status(&status, explain, now()))?;
        Ok(match status.health {
            Health::Ok => Exit::Success,
            _ => Exit::Degraded,
        })
    }

    fn restart(&mut self, name: String) -> Result<Exit, Failure> {
        let plugin = self.ask(&PluginRestart { name }, LONG)?;
        self.answer(&plugin, render::plugin_table(std::slice::from_ref(&plugin), now()))?;
        let up = matches!(plugin.state, PluginState::Starting | PluginState::Running);
        Ok(Exit::success_if(up))
    }

    fn plan(&mut self) -> Result<Exit, Failure> {
        let plan = self.ask(&Plan {}, LONG)?;
        self.answer(&plan, render::plan(&plan))?;
        let sound =
            |plugin: &PluginPlan| plugin.error.is_none() && !plugin.diagnostics.iter().any(Diagnostic::is_error);
        Ok(Exit::success_if(plan.plugins.iter().all(sound) && !render::has_errors(&plan.problems)))
    }

    fn apply(&mut self, request: &Apply) -> Result<Exit, Failure> {
        let report = self.ask(request, LONG)?;
        self.answer(&report, render::apply(&report, now()))?;
        Ok(Exit::success_if(report.is_success()))
    }

    fn reload(&mut self) -> Result<Exit, Failure> {
        let report = self.ask(&Reload {}, LONG)?;
        self.answer(&report, render::reload(&report, now()))?;
        let applied = report.apply.as_ref().is_none_or(ApplyReport::is_success);
        Ok(Exit::success_if(report.accepted && applied))
    }

    pub(crate) fn ask<C: Call>(&self, call: &C, usual: Duration) -> Result<C::Answer, ClientError> {
        let deadline = self.arguments.timeout.map_or(usual, Duration::from_secs);
        client::ask(&self.arguments.socket, call, deadline)
    }

    pub(crate) fn answer(&mut self, answer: &impl Serialize, text: String) -> Result<(), Failure> {
        let text = if self.arguments.json {
            let json = serde_json::to_string_pretty(answer).map_err(io::Error::from)?;
            format!("{json}\n")
        } else {
            text
        };
        self.write(text.as_bytes())
    }

    /// One of many answers: a line of JSON, or text.
    pub(crate) fn answer_line(&mut self, answer: &impl Serialize, text: String) -> Result<(), Failure> {
        let text = if self.arguments.json {
            let json = serde_json::to_string(answer).map_err(io::Error::from)?;
            format!("{json}\n")
        } else {
            text
        };
        self.write(text.as_bytes())
    }

    /// Writes what somebody may read. That nobody does changes nothing about what came of the command.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_unread = true,
            result => result?,
        }
        Ok(())
    }
}

/// An error as one object, always with the same members.
fn write_error(
    err: &mut dyn Write,
    message: &str,
    code: Option<i64>,
    causes: &[String],
    help: Option<&str>,
    problems: &[Problem],
) -> io::Result<()> {
    let error = serde_json::json!({
        "message": message, "code": code, "causes": causes, "help": help, "problems": problems,
    });
    writeln!(err, "{}", serde_json::json!({ "error": error }))
}

fn report(error: &ClientError, json: bool, err: &mut dyn Write) -> io::Result<()> {
    if json {
        let code = match error {
            ClientError::Refused(refusal) => Some(refusal.code),
            _ => None,
        };
        return write_error(err, &error.to_string(), code, &error.causes(), error.help().as_deref(), error.problems());
    }
    writeln!(err, "sysconfigctl: {}", render::clean(&error.to_string()))?;
    for cause in error.causes() {
        writeln!(err, "  because: {}", render::clean(&cause))?;
    }
    if let Some(help) = error.help() {
        writeln!(err, "  help: {}", render::clean(&help))?;
    }
    let mut problems = String::new();
    render::push_problems(&mut problems, error.problems());
    err.write_all(problems.as_bytes())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
