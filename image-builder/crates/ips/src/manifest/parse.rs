//! Reading actions.
//!
//! An action is `<kind> [<payload hash>] <name>=<value> …`, separated by blanks. A value without quotes ends at the next blank.
//! In a value in `"` or `'`, a backslash before the same quote or another backslash takes it literally;
//! every other backslash means itself. A line that ends in a backslash continues on the next one, whose
//! leading blanks are dropped. Empty lines and lines that begin with `#` are no actions.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::action::Action;
use super::error::{ManifestError, ManifestErrorKind};
use super::kind::ActionKind;
use super::{ACTION_BYTES_MAX, ACTIONS_MAX, MANIFEST_BYTES_MAX};
use crate::text::shown;

/// Names of attributes, of which there are few, each once in memory.
type Names = HashMap<Box<str>, Arc<str>>;

pub(super) fn manifest(bytes: &[u8]) -> Result<Vec<Action>, ManifestError> {
    let at_start = |kind| ManifestError { line: 1, column: 1, kind };
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(at_start(ManifestErrorKind::TooLong));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    let mut actions = Vec::new();
    let mut names = Names::new();
    let mut lines = Lines { rest: text.split('\n').enumerate() };
    while let Some(line) = lines.next()? {
        if line.text.is_empty() || line.text.starts_with('#') {
            continue;
        }
        if actions.len() == ACTIONS_MAX {
            return Err(line.error_at(0, ManifestErrorKind::TooManyActions));
        }
        actions.push(action(&line, &mut names)?);
    }
    Ok(actions)
}

pub(super) fn single(text: &str) -> Result<Action, ManifestError> {
    let mut actions = manifest(text.as_bytes())?;
    match (actions.pop(), actions.is_empty()) {
        (Some(action), true) => Ok(action),
        _ => Err(ManifestError { line: 1, column: 1, kind: ManifestErrorKind::NotOneAction }),
    }
}

fn not_utf8(bytes: &[u8], valid_up_to: usize) -> ManifestError {
    let before = String::from_utf8_lossy(&bytes[..valid_up_to]);
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    ManifestError {
        line: before.matches('\n').count() + 1,
        column: last_line.chars().count() + 1,
        kind: ManifestErrorKind::NotUtf8,
    }
}

/// An action's text, continuation lines joined, and where its parts come from.
struct Line<'t> {
    text: Cow<'t, str>,
    /// Where in `text` each physical line begins: offset, line number, and column of its first character kept.
    pieces: Vec<(usize, usize, usize)>,
}

impl Line<'_> {
    fn error_at(&self, offset: usize, kind: ManifestErrorKind) -> ManifestError {
        let piece = self.pieces.iter().rev().find(|(begin, _, _)| *begin <= offset);
        let (begin, line, first_column) = piece.copied().unwrap_or((0, 1, 1));
        let before = self.text.get(begin..offset).unwrap_or_default();
        ManifestError { line, column: first_column + before.chars().count(), kind }
    }
}

struct Lines<'t> {
    rest: std::iter::Enumerate<std::str::Split<'t, char>>,
}

impl<'t> Lines<'t> {
    fn next(&mut self) -> Result<Option<Line<'t>>, ManifestError> {
        let Some((number, physical)) = self.rest.next() else { return Ok(None) };
        let mut line = Line { text: Cow::Borrowed(""), pieces: Vec::new() };
        let mut is_continued = append(&mut line, number, physical)?;
        while is_continued {
            let Some((number, physical)) = self.rest.next() else { break };
            is_continued = append(&mut line, number, physical)?;
        }
        Ok(Some(line))
    }
}

/// Adds a physical line; the result is whether it is continued.
fn append<'t>(line: &mut Line<'t>, number: usize, physical: &'t str) -> Result<bool, ManifestError> {
    let physical = physical.strip_suffix('\r').unwrap_or(physical);
    let kept = physical.trim_start_matches(is_blank);
    let column = physical[..physical.len() - kept.len()].chars().count() + 1;
    line.pieces.push((line.text.len(), number + 1, column));
    let (kept, is_continued) = match kept.strip_suffix('\\') {
        Some(kept) => (kept, true),
        None => (kept, false),
    };
    if line.text.len() + kept.len() > ACTION_BYTES_MAX {
        return Err(ManifestError { line: number + 1, column: 1, kind: ManifestErrorKind::ActionTooLong });
    }
    if line.text.is_empty() {
        line.text = Cow::Borrowed(kept);
    } else {
        line.text.to_mut().push_str(kept);
    }
    Ok(is_continued)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

fn action(line: &Line<'_>, names: &mut Names) -> Result<Action, ManifestError> {
    let text = &*line.text;
    let end = text.find(is_blank).unwrap_or(text.len());
    let kind = ActionKind::from_name(&text[..end]).ok_or_else(|| {
        let name = shown(&text[..end]);
        line.error_at(0, ManifestErrorKind::UnknownKind { name })
    })?;
    let mut scanner = Scanner { line, at: end };
    let mut hash: Option<Box<str>> = None;
    let mut attributes: Vec<(Arc<str>, Box<str>)> = Vec::new();
    while let Some(begin) = scanner.skip_blanks() {
        let (name, value) = match scanner.word()? {
            Word::Bare(word) if kind.has_payload() && attributes.is_empty() && hash.is_none() => {
                hash = Some(word.into());
                continue;
            }
            Word::Bare(word) => {
                let word = shown(word);
                return Err(line.error_at(begin, ManifestErrorKind::NotAnAttribute { word }));
            }
            Word::Attribute(name, value) => (name, value),
        };
        if name == "hash" && kind.has_payload() {
            if hash.is_some() {
                return Err(line.error_at(begin, ManifestErrorKind::TwoHashes));
            }
            hash = Some(value.into());
            continue;
        }
        if let Some(single) = kind.required_attributes().iter().find(|single| **single == name) {
            if kind.is_single(name) && attributes.iter().any(|(other, _)| &**other == name) {
                return Err(line.error_at(begin, ManifestErrorKind::Repeated { kind, name: single }));
            }
        }
        attributes.push((intern(names, name), value.into()));
    }
    if kind == ActionKind::Set {
        modernise(&mut attributes);
    }
    for name in kind.required_attributes() {
        if !attributes.iter().any(|(other, _)| &**other == *name) {
            return Err(line.error_at(0, ManifestErrorKind::Missing { kind, name }));
        }
    }
    Ok(Action::from_parts(kind, hash, attributes))
}

fn intern(names: &mut Names, name: &str) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    let new: Arc<str> = name.into();
    names.insert(name.into(), Arc::clone(&new));
    new
}

/// Old manifests say `set K=V` for `set name=K value=V`.
fn modernise(attributes: &mut Vec<(Arc<str>, Box<str>)>) {
    let [(name, _), rest @ ..] = &attributes[..] else { return };
    let is_old = rest.iter().all(|(other, _)| other == name) && !matches!(&**name, "name" | "value");
    if is_old {
        let name = name.clone();
        let values = std::mem::take(attributes).into_iter().map(|(_, value)| (Arc::from("value"), value));
        attributes.extend(std::iter::once((Arc::from("name"), Box::from(&*name))).chain(values));
    }
}

enum Word<'t> {
    /// A word without `=`.
    Bare(&'t str),
    Attribute(&'t str, Cow<'t, str>),
}

struct Scanner<'l, 't> {
    line: &'l Line<'t>,
    at: usize,
}

impl<'l> Scanner<'l, '_> {
    /// Goes to the next word and tells where it begins; none at the end of the line.
    fn skip_blanks(&mut self) -> Option<usize> {
        let rest = &self.line.text[self.at..];
        let word = rest.trim_start_matches(is_blank);
        self.at += rest.len() - word.len();
        (!word.is_empty()).then_some(self.at)
    }

    fn word(&mut self) -> Result<Word<'l>, ManifestError> {
        let line: &'l Line<'_> = self.line;
        let (begin, text) = (self.at, &*line.text);
        let rest = &text[begin..];
        let Some(end) = rest.find(|c| c == '=' || is_blank(c)).filter(|end| rest[*end..].starts_with('=')) else {
            let length = rest.find(is_blank).unwrap_or(rest.len());
            self.at += length;
            return Ok(Word::Bare(&rest[..length]));
        };
        let name = &rest[..end];
        if name.is_empty() || name.contains(['"', '\'']) {
            return Err(line.error_at(begin, ManifestErrorKind::BadName { name: shown(name) }));
        }
        self.at += end + 1;
        let value = match text[self.at..].chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            Some(c) if !is_blank(c) => {
                let rest = &text[self.at..];
                let value = &rest[..rest.find(is_blank).unwrap_or(rest.len())];
                self.at += value.len();
                Cow::Borrowed(value)
            }
            _ => {
                return Err(line.error_at(self.at, ManifestErrorKind::NoValue { name: shown(name) }));
            }
        };
        Ok(Word::Attribute(name, value))
    }

    fn quoted(&mut self, quote: char) -> Result<Cow<'l, str>, ManifestError> {
        let line: &'l Line<'_> = self.line;
        let begin = self.at;
        let body = &line.text[begin + 1..];
        let mut value = Cow::Borrowed("");
        let mut copied = 0;
        let mut chars = body.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if c == '\\' && next.is_some_and(|next| next == quote || next == '\\') {
                value.to_mut().push_str(&body[copied..at]);
                copied = at + 1;
                chars.next();
            } else if c == quote {
                self.at = begin + 1 + at + 1;
                if next.is_some_and(|next| !is_blank(next)) {
                    return Err(line.error_at(self.at, ManifestErrorKind::TextAfterQuote));
                }
                return Ok(match value {
                    Cow::Borrowed(_) => Cow::Borrowed(&body[..at]),
                    Cow::Owned(mut value) => {
                        value.push_str(&body[copied..at]);
                        Cow::Owned(value)
                    }
                });
            }
        }
        Err(line.error_at(begin, ManifestErrorKind::OpenQuote))
    }
}
