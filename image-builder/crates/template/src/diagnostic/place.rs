//! Where something is written: a range of a file's text, and the includes through which that came.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::NamedSource;

/// A range of bytes in a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// A range from `start` up to `end`, which is not part of it.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// The text of a template, with its name and an index of its lines.
pub struct SourceFile {
    path: PathBuf,
    pub(super) text: NamedSource<String>,
    pub(super) line_starts: Vec<usize>,
}

impl SourceFile {
    /// Wraps a text that was read from `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let path = path.into();
        let text = text.into();
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        let text = NamedSource::new(path.display().to_string(), text);
        Self { path, text, line_starts }
    }

    /// Where the text was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.inner()
    }

    /// Line and column of a byte offset, both counted from 1; columns are characters.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let before = self.text().get(self.line_starts[line - 1]..offset);
        (line, before.map_or(1, |text| text.chars().count() + 1))
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One link of an include chain: where an `include` step names the file that it brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedFrom {
    /// The file with the `include` step.
    pub file: PathBuf,
    /// The name's line, from 1.
    pub line: usize,
    /// The name's column, from 1.
    pub column: usize,
}

impl fmt::Display for IncludedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A place in a template, with the includes that lead there.
#[derive(Debug, Clone)]
pub struct Origin {
    source: Arc<SourceFile>,
    span: Span,
    chain: Arc<[IncludedFrom]>,
}

impl Origin {
    /// A place in `source`; `chain` lists the including steps, the innermost first.
    #[must_use]
    pub fn new(source: Arc<SourceFile>, span: Span, chain: Arc<[IncludedFrom]>) -> Self {
        Self { source, span, chain }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.source.path()
    }

    /// The file with its text.
    #[must_use]
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }

    /// The bytes meant.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Line of the first byte, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.source.position(self.span.start).0
    }

    /// Column of the first byte, from 1, counted in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        self.source.position(self.span.start).1
    }

    /// The including steps, the innermost first; empty in the main template.
    #[must_use]
    pub fn chain(&self) -> &[IncludedFrom] {
        &self.chain
    }

    /// Another place in the same file.
    #[must_use]
    pub fn with_span(&self, span: Span) -> Self {
        Self { source: Arc::clone(&self.source), span, chain: Arc::clone(&self.chain) }
    }

    /// This place as a link of a chain.
    #[must_use]
    pub fn as_included_from(&self) -> IncludedFrom {
        let (line, column) = self.source.position(self.span.start);
        IncludedFrom { file: self.file().to_path_buf(), line, column }
    }
}

/// `file:line:column`, as editors and terminals understand it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_included_from().fmt(f)
    }
}
