//! What can be wrong with the configuration files.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, SourceSpan};

use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{Place, Problem};

use super::SourceFile;
use crate::trust::Fault;

/// One fault in the configuration.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file or directory cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(sysconfig::config::unreadable))]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// Nobody knows what the files say, because their file system does not answer.
    #[error("no answer within {seconds} s from {} or {}", file.display(), directory.display())]
    #[diagnostic(code(sysconfig::config::silent), help("see that their file system, or the server of it, answers"))]
    Silent {
        /// The main file.
        file: PathBuf,
        /// The directory of further files.
        directory: PathBuf,
        /// How long they were waited for.
        seconds: f64,
    },
    /// Somebody without the rights of the daemon could have written it.
    #[error("not trusted: {message}")]
    #[diagnostic(code(sysconfig::config::untrusted))]
    Untrusted {
        /// Which file or directory, and why.
        message: String,
        /// How to mend it.
        #[help]
        help: String,
    },
    /// A file is not TOML.
    #[error("invalid TOML")]
    #[diagnostic(code(sysconfig::config::syntax))]
    Syntax {
        /// The file.
        #[source_code]
        source_code: Arc<NamedSource<Arc<str>>>,
        /// The place.
        #[label("{message}")]
        span: SourceSpan,
        /// Where it begins.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key of the daemon's own that does not exist.
    #[error("unknown key {key}")]
    #[diagnostic(code(sysconfig::config::unknown_key))]
    UnknownKey {
        /// The key, dotted.
        key: String,
        /// The file.
        #[source_code]
        source_code: Arc<NamedSource<Arc<str>>>,
        /// The place.
        #[label("no such key")]
        span: SourceSpan,
        /// Where it begins.
        place: Place,
        /// The nearest key that exists, or all of them.
        #[help]
        help: Option<String>,
    },
    /// A key is set in two places.
    #[error("{key} is set twice")]
    #[diagnostic(code(sysconfig::config::set_twice))]
    SetTwice {
        /// The key, dotted.
        key: String,
        /// The file of the second place.
        #[source_code]
        source_code: Arc<NamedSource<Arc<str>>>,
        /// The second place.
        #[label("set again here")]
        span: SourceSpan,
        /// Where it begins.
        place: Place,
        /// The first place, in words.
        #[help]
        help: String,
    },
    /// A value that cannot be used.
    #[error("{message}")]
    #[diagnostic(code(sysconfig::config::bad_value))]
    BadValue {
        /// What is wrong with it.
        message: String,
        /// The file.
        #[source_code]
        source_code: Arc<NamedSource<Arc<str>>>,
        /// The place.
        #[label("here")]
        span: SourceSpan,
        /// Where it begins.
        place: Place,
        /// What to write instead.
        #[help]
        help: Option<String>,
    },
}

impl ConfigError {
    pub(super) fn unreadable(path: PathBuf, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, InvalidInput, NotFound, PermissionDenied};
        let linked = std::fs::read_link(&path);
        let help = match source.kind() {
            NotFound => match &linked {
                Ok(target) => format!("it is a link to {}, which is not there: mend or remove it", target.display()),
                Err(_) => "create it, or name another one; --config names the main one".to_owned(),
            },
            PermissionDenied => "read it as root, or let this user read it".to_owned(),
            InvalidInput | FileTooLarge => "move it away, and put a file of TOML in its place".to_owned(),
            _ if linked.is_ok() => "see where the link leads, and mend or remove it".to_owned(),
            _ => "see that the path is right and its file system sound, or name another one".to_owned(),
        };
        Self::Unreadable { path, source, help: Some(help) }
    }

    pub(super) fn untrusted(fault: Fault) -> Self {
        Self::Untrusted { message: fault.message, help: fault.help }
    }

    pub(super) fn syntax(file: &SourceFile, span: Range<usize>, message: String) -> Self {
        Self::Syntax { source_code: named(file), place: file.place(span.start), span: span.into(), message }
    }

    pub(super) fn unknown_key(file: &SourceFile, span: Range<usize>, key: String, help: Option<String>) -> Self {
        Self::UnknownKey { key, source_code: named(file), place: file.place(span.start), span: span.into(), help }
    }

    pub(super) fn set_twice(file: &SourceFile, span: Range<usize>, key: String, first: &str) -> Self {
        let help = format!("it is set at {first} already; set it in one place only");
        Self::SetTwice { key, source_code: named(file), place: file.place(span.start), span: span.into(), help }
    }

    pub(super) fn bad_value(file: &SourceFile, span: Range<usize>, message: String, help: Option<String>) -> Self {
        Self::BadValue { message, source_code: named(file), place: file.place(span.start), span: span.into(), help }
    }
}

impl ConfigError {
    /// The place of the fault, where it is in a file.
    fn place(&self) -> Option<&Place> {
        match self {
            Self::Unreadable { .. } | Self::Silent { .. } | Self::Untrusted { .. } => None,
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::SetTwice { place, .. }
            | Self::BadValue { place, .. } => Some(place),
        }
    }

    /// What is wrong, with its cause.
    fn message(&self) -> String {
        let detail = match self {
            Self::Unreadable { source, .. } => format!(": {source}"),
            Self::Syntax { message, .. } => format!(": {message}"),
            _ => String::new(),
        };
        format!("{self}{detail}")
    }

    /// Where, what, and what to do about it, without any of the file's text.
    fn in_words(&self) -> String {
        let place = self.place().map(|place| format!("{}:{}:{}: ", place.file, place.line, place.column));
        let help = self.help().map(|help| format!("\n  help: {help}")).unwrap_or_default();
        format!("{}{}{help}", place.unwrap_or_default(), self.message())
    }
}

fn named(file: &SourceFile) -> Arc<NamedSource<Arc<str>>> {
    Arc::new(NamedSource::new(file.path.display().to_string(), file.text.clone()))
}

/// Every fault that was found.
#[derive(Debug)]
pub struct ConfigErrors {
    /// At least one.
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// Whether nothing is known of the files, because their file system does not answer.
    pub fn are_of_silence(&self) -> bool {
        self.errors.iter().all(|error| matches!(error, ConfigError::Silent { .. }))
    }
}

impl From<Vec<ConfigError>> for ConfigErrors {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self { errors }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self { errors: vec![error] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} in the configuration",
            match self.errors.len() {
                1 => "one fault".to_owned(),
                count => format!("{count} faults"),
            }
        )
    }
}

impl std::error::Error for ConfigErrors {}

/// So many faults are told one by one: nobody reads more, and a file in a second copy has one in each line.
const TOLD: usize = 100;

impl ConfigErrors {
    fn told(&self) -> &[ConfigError] {
        &self.errors[..self.errors.len().min(TOLD)]
    }

    /// What is said of the others.
    fn further(&self) -> Option<String> {
        not_shown(self.errors.len() - self.told().len())
    }
}

fn not_shown(count: usize) -> Option<String> {
    (count > 0).then(|| format!("{count} more faults are not shown: mend these first"))
}

/// As many of the problems as are told, and how many more there are: what is wrong with plugins first, because keys may lack their
/// owner for it, and then errors.
pub fn told_of(mut problems: Vec<Problem>) -> Vec<Problem> {
    if problems.len() <= TOLD {
        return problems;
    }
    problems.sort_by_key(|problem| (problem.place.is_some(), problem.severity != Severity::Error));
    let further = not_shown(problems.split_off(TOLD).len());
    problems.extend(further.map(|message| Problem {
        subject: "config".to_owned(),
        message,
        help: None,
        place: None,
        severity: Severity::Warning,
    }));
    problems
}

/// The faults, each with file, line and column, what is wrong and advice: for logs, answers, and whoever else did not
/// open the file himself.
///
/// Nothing of the files' text is in it but names of keys and the values of the daemon's own settings, because a line of
/// the machine's description may hold a secret.
pub fn render(errors: &ConfigErrors) -> String {
    errors.told().iter().map(ConfigError::in_words).chain(errors.further()).collect::<Vec<_>>().join("\n")
}

/// The faults as [`render`] tells them, as objects for programs.
pub fn problems(errors: &ConfigErrors) -> Vec<Problem> {
    let problem = |message: String, help: Option<String>, place: Option<&Place>| {
        let (subject, place, severity) = ("config".to_owned(), place.cloned(), Severity::Error);
        Problem { subject, message, help, place, severity }
    };
    let told = errors.told().iter();
    let told = told.map(|error| problem(error.message(), error.help().map(|help| help.to_string()), error.place()));
    told.chain(errors.further().map(|further| problem(further, None, None))).collect()
}

/// The faults as [`render`] tells them, with the lines that they are in. Those lines may hold secrets: this is for the
/// terminal of somebody who reads his own files. Without colours.
pub fn render_with_source(errors: &ConfigErrors) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    let mut report = String::new();
    for error in errors.told() {
        if !report.is_empty() {
            report.push('\n');
        }
        if handler.render_report(&mut report, error).is_err() {
            // A span that does not fit its text; the words still say what and where.
            report.push_str(&error.in_words());
        }
    }
    if let Some(further) = errors.further() {
        report.push_str(&format!("\n{further}"));
    }
    report.trim_end().to_owned()
}
