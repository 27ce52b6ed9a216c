//! What can end a run, and how it is told.

use crate::inspect::InspectError;
use crate::packages::error::PackagesError;
use image_steps::{BuildError, EngineError, TargetError, WorkspaceError};
use miette::{Diagnostic, Report};
use serde_json::{Value, json};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use template::FeatureError;

/// Something that ends the run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{option} {}: no such directory", path.display())]
    NoDirectory { option: &'static str, path: PathBuf },
    #[error("no templates: there is no ./templates, and no directory above this one has sysconfig/image/templates")]
    NoTemplates,
    #[error("there is no template{} to check", group.as_ref().map_or(String::new(), |group| format!(" of group `{group}`")))]
    NothingToCheck { group: Option<String>, groups: Vec<String> },
    #[error("-S {}: no such program", path.display())]
    NoProgram { path: PathBuf },
    #[error("cannot use feature -F {directive}")]
    Feature {
        directive: String,
        #[source]
        source: FeatureError,
    },
    #[error("{wrong} of {all} templates are wrong{}", and_includes(*wrong_includes))]
    Check { wrong: usize, all: usize, wrong_includes: usize },
    #[error("{subject} cannot be built here: {reason}")]
    NotHere { subject: String, reason: String, help: Option<String> },
    #[error("cannot watch for signals")]
    Signals {
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error(transparent)]
    Packages(Box<PackagesError>),
    #[error("{} is damaged: {problems} problem{}", image.display(), if *problems == 1 { "" } else { "s" })]
    Damaged { image: PathBuf, problems: usize },
    #[error("the images differ in {count} place{}", if *count == 1 { "" } else { "s" })]
    Different { count: usize },
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Build(Box<BuildError>),
}

impl From<PackagesError> for Failure {
    fn from(error: PackagesError) -> Self {
        Self::Packages(Box::new(error))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Build(Box::new(error))
    }
}

impl Failure {
    /// A template that is right, and that `build` refuses on this host.
    pub(crate) fn not_here(subject: &str, reasons: &[template::Diagnostic]) -> Self {
        let reason = reasons.first().map(|first| first.message().to_owned()).unwrap_or_default();
        let help = reasons.first().and_then(|first| first.help_text()).map(str::to_owned);
        Self::NotHere { subject: subject.to_owned(), reason, help }
    }

    /// Standard output does not take more.
    pub(crate) fn from_output(source: io::Error) -> Self {
        Self::Inspect(InspectError::Output { source })
    }

    /// Tells it on standard error and answers the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let code = ExitCode::from(self.status());
        match self {
            Self::Build(error) => say_build(*error),
            other => other.say_plainly(),
        }
        code
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut causes = Vec::new();
        let mut cause = self.source();
        while let Some(inner) = cause {
            causes.push(inner.to_string());
            cause = inner.source();
        }
        let diagnostics: Vec<Value> = self.diagnostics().into_iter().map(diagnostic_json).collect();
        json!({ "error": {
            "message": self.to_string(),
            "causes": causes,
            "help": self.help(),
            "status": self.status(),
            "diagnostics": diagnostics,
        } })
    }

    /// What points at a place in a template.
    fn diagnostics(&self) -> Vec<&template::Diagnostic> {
        let Self::Build(error) = self else { return Vec::new() };
        match error.as_ref() {
            BuildError::Template { diagnostics, .. } => diagnostics.list().iter().collect(),
            BuildError::Engine(EngineError::Step(diagnostic)) => vec![diagnostic],
            BuildError::Target(TargetError::Template(diagnostic)) => vec![diagnostic],
            _ => Vec::new(),
        }
    }

    fn status(&self) -> u8 {
        match self {
            Self::Build(error) if matches!(error.as_ref(), BuildError::Template { .. }) => 3,
            Self::Check { .. } | Self::NothingToCheck { .. } | Self::NotHere { .. } => 3,
            Self::Damaged { .. } | Self::Different { .. } => 4,
            Self::Inspect(error) if error.is_damage() => 4,
            Self::NoDirectory { .. } | Self::NoProgram { .. } | Self::NoTemplates | Self::Feature { .. } => 2,
            _ if self.is_permission() => 78,
            _ => 1,
        }
    }

    fn say_plainly(self) {
        say(&Report::new(Plain { help: self.help(), failure: self }));
    }

    /// Whether this user may not work in the workspace.
    fn is_permission(&self) -> bool {
        match self {
            Self::Workspace(error) => error.is_permission(),
            Self::Build(error) => match error.as_ref() {
                BuildError::Workspace(error) => error.is_permission(),
                // `plan` takes no lock, and so comes as far as the store.
                BuildError::Store { source, .. } => is_denied(source),
                _ => false,
            },
            _ => false,
        }
    }

    fn help(&self) -> Option<String> {
        let own = match self {
            Self::NoTemplates => Some("give the template root with -T DIR".to_owned()),
            Self::NothingToCheck { groups, .. } if groups.is_empty() => {
                Some("-T names the directory that holds one for each group, and they the templates, *.json".to_owned())
            }
            Self::NothingToCheck { groups, .. } => Some(format!("groups that have some: {}", groups.join(", "))),
            Self::NotHere { help, .. } => help.clone(),
            Self::NoDirectory { option, path } => Some(directory_help(option, path)),
            Self::NoProgram { .. } => Some(
                "-S names the svccfg of an illumos system, or `none` to leave services to the first boot".to_owned(),
            ),
            Self::Feature { source, .. } => Some(source.hint().to_owned()),
            Self::Workspace(error) => error.help(),
            Self::Inspect(error) => error.help(),
            Self::Build(error) => match error.as_ref() {
                BuildError::Workspace(error) => error.help(),
                BuildError::Target(error) => error.help(),
                BuildError::Engine(error) => error.help(),
                BuildError::Store { source, .. } if is_denied(source) => Some(
                    "run it as the user whose workspace it is, or use another one, for instance -d ./images".to_owned(),
                ),
                BuildError::Store { source, .. } => source.hint().map(str::to_owned),
                _ => None,
            },
            _ => None,
        };
        own.or_else(|| image_steps::help_of_cause(self))
    }
}

/// A diagnostic for machines; lines and columns count from 1.
pub(crate) fn diagnostic_json(diagnostic: &template::Diagnostic) -> Value {
    let origin = diagnostic.origin();
    let chain: Vec<String> = origin.iter().flat_map(|origin| origin.chain()).map(ToString::to_string).collect();
    json!({
        "severity": if diagnostic.is_error() { "error" } else { "warning" },
        "code": diagnostic.code(),
        "message": diagnostic.message(),
        "help": diagnostic.help_text(),
        "file": origin.map(template::Origin::file),
        "line": origin.map(template::Origin::line),
        "column": origin.map(template::Origin::column),
        "included_from": chain,
    })
}

/// Whether the system let this user not do it.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied) || error.source().is_some_and(is_denied)
}

fn and_includes(wrong: usize) -> String {
    if wrong == 0 { String::new() } else { format!(", and {wrong} of the includes that no template has") }
}

fn directory_help(option: &str, path: &Path) -> String {
    let wanted = match option {
        "-T" => "it holds a directory for each group of templates, as sysconfig/image/templates does",
        "--report" => "the page about the run is written there",
        _ => "it holds files of `extsrc`: programs that are built first, for instance",
    };
    let there = path.ancestors().skip(1).find(|parent| parent.is_dir() && !parent.as_os_str().is_empty());
    let there = there.map_or(String::new(), |parent| format!("; there is {}", parent.display()));
    format!("{wanted}{there}")
}

/// A template's errors point at their places, and so does a step's.
fn say_build(error: BuildError) {
    match error {
        BuildError::Template { diagnostics, .. } => say(&Report::new(diagnostics)),
        BuildError::Engine(EngineError::Step(diagnostic)) | BuildError::Target(TargetError::Template(diagnostic)) => {
            say(&Report::new(*diagnostic));
        }
        other => Failure::from(other).say_plainly(),
    }
}

#[expect(clippy::print_stderr, reason = "this is the edge where a failure is told")]
fn say(report: &Report) {
    eprintln!("{report:?}");
}

/// A failure without a place in a template.
#[derive(Debug)]
struct Plain {
    failure: Failure,
    help: Option<String>,
}

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.failure.fmt(f)
    }
}

impl Error for Plain {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.source()
    }
}

impl Diagnostic for Plain {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test as root, which most machines of a CI run, may read everything.
    #[test]
    fn a_store_that_this_user_may_not_read_is_a_matter_of_the_workspace() {
        for (kind, status) in [(io::ErrorKind::PermissionDenied, 78), (io::ErrorKind::NotFound, 1)] {
            let source = image_tree::StoreError::Read { path: "store/format".into(), source: kind.into() };
            let failure = Failure::Build(Box::new(BuildError::Store { path: "store".into(), source }));
            assert_eq!(failure.status(), status);
            assert_eq!(failure.help().is_some_and(|help| help.contains("whose workspace it is")), status == 78);
        }
    }
}
