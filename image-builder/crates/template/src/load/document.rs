//! Template files: read, decoded and parsed once each.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Origin, SourceFile, Span};
use crate::json::{self, Member, Node, Value};
use crate::source::TemplateSource;

/// A parsed template file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: Arc<SourceFile>,
    pub(super) root: Node,
}

/// All files read so far; a file that could not be understood is kept as `None`, so that it is reported once.
pub(super) struct Documents<'a> {
    source: &'a dyn TemplateSource,
    parsed: BTreeMap<PathBuf, Option<Arc<Document>>>,
    order: Vec<PathBuf>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(source: &'a dyn TemplateSource) -> Self {
        Self { source, parsed: BTreeMap::new(), order: Vec::new() }
    }

    pub(super) fn into_files_read(self) -> Vec<PathBuf> {
        self.order
    }

    /// Reads and parses a file; `from` is the place that names it.
    pub(super) fn read(
        &mut self,
        path: &Path,
        from: Option<&Origin>,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Arc<Document>> {
        if let Some(known) = self.parsed.get(path) {
            return known.clone();
        }
        self.order.push(path.to_path_buf());
        let document = match self.source.read(path) {
            Ok(bytes) => parse(path, bytes, from).map_err(|error| found.push(error)).ok().map(Arc::new),
            Err(error) => {
                found.push(unreadable(path, &error, from));
                None
            }
        };
        self.parsed.insert(path.to_path_buf(), document.clone());
        document
    }
}

fn unreadable(path: &Path, error: &io::Error, from: Option<&Origin>) -> Diagnostic {
    let message = format!("cannot read `{}`: {error}", path.display());
    let diagnostic = Diagnostic::error("template::unreadable", message);
    match from {
        Some(origin) => diagnostic.at(origin, "named here"),
        None => diagnostic,
    }
}

fn parse(path: &Path, bytes: Vec<u8>, from: Option<&Origin>) -> Result<Document, Diagnostic> {
    let mut chain = Vec::new();
    if let Some(from) = from {
        chain.push(from.as_included_from());
        chain.extend_from_slice(from.chain());
    }
    let place = |text: String, span| Origin::new(Arc::new(SourceFile::new(path, text)), span, Arc::from(chain.clone()));
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        // The message shows the text with the offending bytes replaced, which begin at the same offset.
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let origin = place(shown, Span::new(at, at + char::REPLACEMENT_CHARACTER.len_utf8()));
        Diagnostic::error("template::not-utf8", "the file is not UTF-8").at(&origin, "from here on")
    })?;
    match json::parse(&text) {
        Ok(root) => Ok(Document { file: Arc::new(SourceFile::new(path, text)), root }),
        Err(error) => {
            let origin = place(text, error.span);
            let diagnostic = Diagnostic::error("template::syntax", error.message).at(&origin, "");
            Err(match error.help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            })
        }
    }
}

/// The members of a file's outermost value, which must be an object.
pub(super) fn members<'n>(root: &'n Node, place: &Origin, found: &mut Vec<Diagnostic>) -> Option<&'n [Member]> {
    if let Value::Object(members) = &root.value {
        return Some(members);
    }
    let message = format!("a template must be an object, not {}", root.value.describe());
    found.push(Diagnostic::error("template::wrong-type", message).at(place, ""));
    None
}
