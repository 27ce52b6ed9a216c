//! The expansion language: `$$`, `${name}`, `${name?text}`, `${name!text}`, `${@name}` and `${@@name}`.

use std::ops::Range;

use crate::features::{Features, is_name_byte};

/// Something wrong with one `${…}`; the range counts bytes of the text before expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpandError {
    pub(crate) range: Range<usize>,
    pub(crate) kind: ExpandErrorKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExpandErrorKind {
    /// A `$` that starts no form, a form without its end, a bad name.
    Syntax { message: String, help: Option<&'static str> },
    /// `${name}` or `${@@name}` of a feature that has no value.
    Undefined(String),
    /// `${name}` of a feature with several values.
    MultiValued { name: String, values: usize },
    /// `${@name}` in a field that holds one value only.
    NotAList,
    /// A second `${@…}` in one element.
    SecondList,
}

/// What an expansion says about the features it names, besides its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) name: String,
    pub(crate) range: Range<usize>,
}

/// One part of a parsed text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Single(Mention),
    IfDefined(Mention, String),
    IfUndefined(Mention, String),
    Each { mention: Mention, required: bool },
}

/// A text, split at its expansions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed {
    segments: Vec<Segment>,
}

const LIST_HELP: &str = "`@` gives one list element per value and takes no `?` or `!`";

impl Parsed {
    /// Splits a text; the first syntax error stops, because what follows it cannot be trusted.
    pub(crate) fn parse(text: &str) -> Result<Self, ExpandError> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let start = at + found;
            literal.push_str(&text[at..start]);
            match text.as_bytes().get(start + 1) {
                Some(b'$') => {
                    literal.push('$');
                    at = start + 2;
                }
                Some(b'{') => {
                    let (segment, end) = parse_form(text, start)?;
                    if !literal.is_empty() {
                        segments.push(Segment::Literal(std::mem::take(&mut literal)));
                    }
                    segments.push(segment);
                    at = end;
                }
                _ => return Err(lone_dollar(text, start)),
            }
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Ok(Self { segments })
    }

    /// Every feature that the text names.
    pub(crate) fn mentions(&self) -> impl Iterator<Item = &Mention> {
        self.segments.iter().filter_map(Segment::mention)
    }

    /// The text with single values only; all errors at once.
    pub(crate) fn single(&self, features: &Features) -> Result<String, Vec<ExpandError>> {
        let mut errors = Vec::new();
        let mut expanded = String::new();
        for segment in &self.segments {
            match segment.single(features) {
                Ok(part) => expanded.push_str(part),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(expanded) } else { Err(errors) }
    }

    /// One text per value of the `${@…}` form, or one text if there is none; all errors at once.
    pub(crate) fn multi(&self, features: &Features) -> Result<Vec<String>, Vec<ExpandError>> {
        let mut errors = Vec::new();
        let mut each: Option<&[String]> = None;
        for segment in &self.segments {
            match segment {
                Segment::Each { mention, required } => match each_values(features, mention, *required, each) {
                    Ok(values) => each = Some(values),
                    Err(error) => errors.push(error),
                },
                other => errors.extend(other.single(features).err()),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(match each {
            None => vec![self.with_value("", features)],
            Some(values) => values.iter().map(|value| self.with_value(value, features)).collect(),
        })
    }

    /// The text with `value` in the place of `${@…}`; every other segment has been found good before.
    fn with_value(&self, value: &str, features: &Features) -> String {
        let part = |segment| match segment {
            &Segment::Each { .. } => value,
            other => other.single(features).unwrap_or_default(),
        };
        self.segments.iter().map(part).collect()
    }
}

impl Segment {
    fn mention(&self) -> Option<&Mention> {
        match self {
            Self::Literal(_) => None,
            Self::Single(mention)
            | Self::IfDefined(mention, _)
            | Self::IfUndefined(mention, _)
            | Self::Each { mention, .. } => Some(mention),
        }
    }

    fn single<'s>(&'s self, features: &'s Features) -> Result<&'s str, ExpandError> {
        let text_if = |condition, text: &'s String| Ok(if condition { text.as_str() } else { "" });
        match self {
            Self::Literal(text) => Ok(text),
            Self::Single(mention) => match features.values(&mention.name) {
                [value] => Ok(value),
                [] => Err(mention.error(ExpandErrorKind::Undefined(mention.name.clone()))),
                values => {
                    let (name, values) = (mention.name.clone(), values.len());
                    Err(mention.error(ExpandErrorKind::MultiValued { name, values }))
                }
            },
            Self::IfDefined(mention, text) => text_if(features.is_defined(&mention.name), text),
            Self::IfUndefined(mention, text) => text_if(!features.is_defined(&mention.name), text),
            Self::Each { mention, .. } => Err(mention.error(ExpandErrorKind::NotAList)),
        }
    }
}

impl Mention {
    fn error(&self, kind: ExpandErrorKind) -> ExpandError {
        ExpandError { range: self.range.clone(), kind }
    }
}

fn each_values<'f>(
    features: &'f Features,
    mention: &Mention,
    required: bool,
    earlier: Option<&[String]>,
) -> Result<&'f [String], ExpandError> {
    let values = features.values(&mention.name);
    if earlier.is_some() {
        Err(mention.error(ExpandErrorKind::SecondList))
    } else if required && values.is_empty() {
        Err(mention.error(ExpandErrorKind::Undefined(mention.name.clone())))
    } else {
        Ok(values)
    }
}

/// Parses the form that starts with `${` at `start`; returns it with the offset after its `}`.
fn parse_form(text: &str, start: usize) -> Result<(Segment, usize), ExpandError> {
    let open = start + 2;
    let Some(length) = text[open..].find('}') else {
        return Err(syntax(start..text.len(), "`${` without its `}`", None));
    };
    let body = &text[open..open + length];
    let range = start..open + length + 1;
    if let Some(dollar) = body.find('$') {
        let at = open + dollar;
        return Err(syntax(at..at + 1, "`$` inside `${…}`", Some("forms cannot be nested")));
    }
    let end = range.end;
    let segment = if let Some(rest) = body.strip_prefix('@') {
        let (name, required) = rest.strip_prefix('@').map_or((rest, false), |name| (name, true));
        Segment::Each { mention: named(name, range, Some(LIST_HELP))?, required }
    } else {
        match body.find(['?', '!']) {
            None => Segment::Single(named(body, range, None)?),
            Some(at) => {
                let mention = named(&body[..at], range, None)?;
                let text = body[at + 1..].to_owned();
                if body.as_bytes()[at] == b'?' {
                    Segment::IfDefined(mention, text)
                } else {
                    Segment::IfUndefined(mention, text)
                }
            }
        }
    };
    Ok((segment, end))
}

fn named(name: &str, range: Range<usize>, help: Option<&'static str>) -> Result<Mention, ExpandError> {
    if name.is_empty() {
        return Err(syntax(range, "`${…}` without a feature name", help));
    }
    match name.chars().find(|c| !(c.is_ascii() && is_name_byte(*c as u8))) {
        None => Ok(Mention { name: name.to_owned(), range }),
        Some(bad) => {
            let message = format!("`{}` cannot be part of a feature name", bad.escape_debug());
            let help = help.or(Some("names have letters, digits, `-` and `_`"));
            Err(ExpandError { range, kind: ExpandErrorKind::Syntax { message, help } })
        }
    }
}

fn lone_dollar(text: &str, start: usize) -> ExpandError {
    let width = text[start + 1..].chars().next().map_or(0, char::len_utf8);
    let help = Some("a literal dollar is written `$$`, a feature `${name}`");
    syntax(start..start + 1 + width, "`$` that starts no expansion", help)
}

fn syntax(range: Range<usize>, message: &str, help: Option<&'static str>) -> ExpandError {
    ExpandError { range, kind: ExpandErrorKind::Syntax { message: message.to_owned(), help } }
}

#[cfg(test)]
mod tests;
