//! What is wrong, where, and how to put it right: errors that an editor or a terminal can show with the source line.

mod place;
mod snippet;

use std::error::Error;
use std::fmt;

use crate::load::Template;
use miette::{LabeledSpan, SourceCode};

pub use miette::Severity;
pub use place::{IncludedFrom, Origin, SourceFile, Span};

#[derive(Debug)]
struct Parts {
    code: &'static str,
    severity: Severity,
    message: String,
    help: Option<String>,
    origin: Option<Origin>,
    labels: Vec<(Span, String)>,
    chain: Option<ChainLink>,
}

/// One error or warning about a template.
///
/// It renders through [`miette::Diagnostic`]; [`fmt::Display`] gives the bare message. The engine uses the
/// same type for what goes wrong while a step runs, so that both look alike.
#[derive(Debug)]
pub struct Diagnostic(Box<Parts>);

impl Diagnostic {
    /// An error without a place; `code` is a stable name such as `template::unknown-key`.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A warning without a place.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Self {
        let (help, origin, chain) = (None, None, None);
        Self(Box::new(Parts { code, severity, message, help, origin, labels: Vec::new(), chain }))
    }

    /// Points at a place, with the words to write under it.
    #[must_use]
    pub fn at(mut self, origin: &Origin, label: impl Into<String>) -> Self {
        self.0.chain = ChainLink::of(origin.chain());
        self.0.labels.insert(0, (origin.span(), label.into()));
        self.0.origin = Some(origin.clone());
        self
    }

    /// Points at a second place in the same file.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.0.labels.push((span, label.into()));
        self
    }

    /// Says how to put it right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The stable name of this kind of problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The sentence that says what is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// How to put it right, where that is known.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Where it is; `None` for problems of the command line.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.0.origin.as_ref()
    }

    /// Whether this stops the build.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.0.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for Diagnostic {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.chain.as_ref().map(|link| link as &(dyn Error + 'static))
    }
}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.0.code))
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.0.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_deref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.origin.as_ref().map(|origin| origin.source().as_ref() as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.0.labels.iter().enumerate().map(|(index, (span, label))| {
            let text = Some(label.clone()).filter(|text| !text.is_empty());
            let len = span.end - span.start;
            let len = self.0.origin.as_ref().map_or(len, |origin| origin.source().underlined(span.start, len));
            let range = (span.start, len);
            // The header of the snippet shows the primary label's position.
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, range)
            } else {
                LabeledSpan::new_with_span(text, range)
            }
        });
        Some(Box::new(labels))
    }
}

/// "Included from" lines: the chain of includes in the shape of an error chain, which every renderer shows.
#[derive(Debug)]
struct ChainLink {
    text: String,
    outer: Option<Box<ChainLink>>,
}

/// The links shown at either end of a chain; what is between them helps nobody.
const CHAIN_ENDS: usize = 4;

impl ChainLink {
    fn of(chain: &[IncludedFrom]) -> Option<Self> {
        let mut lines: Vec<String> = chain.iter().map(|from| format!("included from {from}")).collect();
        if lines.len() > 2 * CHAIN_ENDS + 1 {
            let hidden = CHAIN_ENDS..lines.len() - CHAIN_ENDS;
            let note = format!("included through {} more files", hidden.len());
            lines.splice(hidden, [note]);
        }
        lines.into_iter().rev().fold(None, |outer, text| Some(Self { text, outer: outer.map(Box::new) }))
    }
}

impl fmt::Display for ChainLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ChainLink {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.outer.as_deref().map(|link| link as &(dyn Error + 'static))
    }
}

/// Everything wrong with one template: at least one error, and the warnings found on the way.
#[derive(Debug)]
pub struct Diagnostics {
    subject: String,
    list: Vec<Diagnostic>,
    partial: Option<Box<Template>>,
}

impl Diagnostics {
    /// Collects what was found about `subject`, such as `cloudimage/ttya-dev`.
    #[must_use]
    pub fn new(subject: impl Into<String>, list: Vec<Diagnostic>) -> Self {
        Self { subject: subject.into(), list, partial: None }
    }

    /// Adds what of the template could be read.
    pub(crate) fn with_partial(mut self, template: Option<Template>) -> Self {
        self.partial = template.map(Box::new);
        self
    }

    /// The template as far as it could be read: its target, and the steps without errors. It cannot be built, but it
    /// tells what the template is about. `None` when not even the target is right.
    #[must_use]
    pub fn partial(&self) -> Option<&Template> {
        self.partial.as_deref()
    }

    /// What was found, in the order in which the files were read.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The same, owned.
    #[must_use]
    pub fn into_list(self) -> Vec<Diagnostic> {
        self.list
    }

    /// How many of them are errors.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.error_count();
        let plural = if errors == 1 { "" } else { "s" };
        write!(f, "template {} has {errors} error{plural}", self.subject)?;
        match self.list.len() - errors {
            0 => Ok(()),
            1 => f.write_str(" and 1 warning"),
            warnings => write!(f, " and {warnings} warnings"),
        }
    }
}

impl Error for Diagnostics {}

impl miette::Diagnostic for Diagnostics {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.list.iter().map(|diagnostic| diagnostic as &dyn miette::Diagnostic)))
    }
}
