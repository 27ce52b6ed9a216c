//! The form of `pkg5.image`: sections of `name = value`, and lists in the notation of Python.

use std::collections::BTreeMap;
use std::fmt;

use super::ConfigError;

/// Sections by name, each with its values by name. What is not understood is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ini(pub(super) BTreeMap<String, BTreeMap<String, String>>);

impl Ini {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut place: Option<(String, Option<String>)> = None;
        for (number, line) in text.lines().enumerate() {
            let fail = |reason| ConfigError::Syntax { line: number + 1, reason };
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                let value = place.as_ref().and_then(|(section, key)| sections.get_mut(section)?.get_mut(key.as_ref()?));
                let value = value.ok_or_else(|| fail("there is nothing that it continues"))?;
                value.push('\n');
                value.push_str(trimmed);
            } else if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                sections.entry(name.to_owned()).or_default();
                place = Some((name.to_owned(), None));
            } else {
                let (key, value) = trimmed.split_once(['=', ':']).ok_or_else(|| fail("it is no `name = value`"))?;
                let (section, last) = place.as_mut().ok_or_else(|| fail("it is in no section"))?;
                let key = key.trim().to_owned();
                if key.is_empty() {
                    return Err(fail("there is no name before the value"));
                }
                sections.entry(section.clone()).or_default().insert(key.clone(), value.trim().to_owned());
                *last = Some(key);
            }
        }
        Ok(Self(sections))
    }

    pub(super) fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.0.get(section)?.get(key).map(String::as_str)
    }

    pub(super) fn set(&mut self, section: &str, key: &str, value: impl Into<String>) {
        self.0.entry(section.to_owned()).or_default().insert(key.to_owned(), value.into());
    }
}

impl fmt::Display for Ini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (section, values) in &self.0 {
            writeln!(f, "[{section}]")?;
            for (key, value) in values {
                writeln!(f, "{key} = {}", value.replace('\n', "\n\t"))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A value in the notation of Python, as far as the file uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Text(String),
    /// `None`, `True`, `False`, or a number.
    Word(String),
    List(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

/// Deeper nesting than this is no configuration.
const DEPTH_MAX: usize = 8;

impl Literal {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim_start();
        let literal = parse(&mut rest, 0)?;
        rest.trim().is_empty().then_some(literal)
    }

    /// The texts of a list of texts; an empty value or `None` is an empty list, too.
    pub(super) fn texts(text: &str) -> Option<Vec<String>> {
        if matches!(text.trim(), "" | "None") {
            return Some(Vec::new());
        }
        let Self::List(list) = Self::parse(text)? else { return None };
        let texts = list.into_iter().map(|literal| match literal {
            Self::Text(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }

    /// The text that a dictionary has under a name.
    pub(super) fn text_at(&self, name: &str) -> Option<&str> {
        let Self::Dict(pairs) = self else { return None };
        pairs.iter().find_map(|pair| match pair {
            (Self::Text(key), Self::Text(value)) if key == name => Some(value.as_str()),
            _ => None,
        })
    }

    pub(super) fn list(texts: &[String]) -> Self {
        Self::List(texts.iter().cloned().map(Self::Text).collect())
    }
}

fn parse(rest: &mut &str, depth: usize) -> Option<Literal> {
    let first = rest.chars().next().filter(|_| depth < DEPTH_MAX)?;
    match first {
        '[' => sequence(rest, ']', |rest| parse(rest, depth + 1)).map(Literal::List),
        '{' => {
            let pair = |rest: &mut &str| {
                let key = parse(rest, depth + 1)?;
                *rest = rest.trim_start().strip_prefix(':')?.trim_start();
                Some((key, parse(rest, depth + 1)?))
            };
            sequence(rest, '}', pair).map(Literal::Dict)
        }
        '\'' | '"' => text(rest, first).map(Literal::Text),
        'u' if rest[1..].starts_with(['\'', '"']) => {
            *rest = &rest[1..];
            parse(rest, depth)
        }
        _ => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            *rest = after;
            (!word.is_empty()).then(|| Literal::Word(word.to_owned()))
        }
    }
}

fn sequence<T>(rest: &mut &str, close: char, mut item: impl FnMut(&mut &str) -> Option<T>) -> Option<Vec<T>> {
    *rest = rest[1..].trim_start();
    let mut items = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(close) {
            *rest = after;
            return Some(items);
        }
        items.push(item(rest)?);
        *rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => *rest = after.trim_start(),
            None if rest.starts_with(close) => {}
            None => return None,
        }
    }
}

fn text(rest: &mut &str, quote: char) -> Option<String> {
    let mut text = String::new();
    let mut chars = rest[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                other => text.push(other),
            },
            c if c == quote => {
                *rest = &rest[1 + at + 1..];
                return Some(text);
            }
            c => text.push(c),
        }
    }
    None
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => {
                let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
                let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t");
                write!(f, "{quote}{}{quote}", escaped.replace(quote, &format!("\\{quote}")))
            }
            Self::Word(word) => f.write_str(word),
            Self::List(list) => {
                write!(f, "[")?;
                for (at, literal) in list.iter().enumerate() {
                    write!(f, "{}{literal}", if at == 0 { "" } else { ", " })?;
                }
                write!(f, "]")
            }
            Self::Dict(pairs) => {
                write!(f, "{{")?;
                for (at, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if at == 0 { "" } else { ", " })?;
                }
                write!(f, "}}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_of_python() {
        for (text, expected) in [
            ("['a', \"b\", u'c']", "['a', 'b', 'c']"),
            ("[]", "[]"),
            ("[{'uri': 'x/', 'proxy': '', 'n': None},]", "[{'uri': 'x/', 'proxy': '', 'n': None}]"),
            ("'it\\'s'", "\"it's\""),
            ("True", "True"),
        ] {
            assert_eq!(Literal::parse(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "[", "['a'", "['a' 'b']", "'a", "{'a'}", "[]]", &"[".repeat(1000), "é", "u"] {
            assert!(Literal::parse(text).is_none() || text == "u", "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_round_trip(texts in prop::collection::vec("[a'\"\\\\\n\tü,{}]{0,6}", 0..4)) {
            prop_assert_eq!(Literal::texts(&Literal::list(&texts).to_string()), Some(texts));
        }

        #[test]
        fn no_text_is_a_surprise(text in "[\\[\\]{}'\"u:,\\\\a é]{0,20}") {
            if let Some(literal) = Literal::parse(&text) {
                prop_assert_eq!(Literal::parse(&literal.to_string()), Some(literal));
            }
            if let Ok(ini) = Ini::parse(&text) {
                prop_assert_eq!(Ini::parse(&ini.to_string()).unwrap(), ini);
            }
        }
    }
}
