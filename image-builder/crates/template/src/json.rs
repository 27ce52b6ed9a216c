//! Strict JSON (RFC 8259) as nodes with spans.
//!
//! A parser of our own, because templates are strict JSON and every message points into the text: parsers
//! that keep spans accept more than JSON (or need a newer compiler than this workspace promises), and those
//! that are strict keep no spans. Duplicate keys are kept; the reader of an object decides about them.

use std::ops::Range;

use crate::diagnostic::Span;

/// Deeper nesting is refused: templates need five levels, and recursion must not exhaust the stack.
const MAX_DEPTH: usize = 128;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// A JSON value. Numbers stay text, so that no digit is lost before a field says what it wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// One `"key": value` of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Value {
    /// The words used for the type in messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// The first place where the text stops being JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) span: Span,
    pub(crate) message: &'static str,
    pub(crate) help: Option<&'static str>,
}

/// Parses a whole text.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if text.starts_with('\u{feff}') {
        let help = Some("save the file as UTF-8 without one");
        return Err(SyntaxError { span: Span::new(0, 3), message: "the file starts with a byte order mark", help });
    }
    parser.skip_space()?;
    let node = parser.value()?;
    parser.skip_space()?;
    if parser.at < text.len() {
        return Err(parser.error_here("text after the end of the JSON value", None));
    }
    Ok(node)
}

/// Maps a range of bytes of a parsed string back to its literal in the text, over any escapes.
pub(crate) fn span_in_literal(text: &str, literal: Span, range: &Range<usize>) -> Span {
    let whole = || literal;
    let Some(body) = text.get(literal.start + 1..literal.end.saturating_sub(1)) else {
        return whole();
    };
    let mut boundaries = LiteralBoundaries { body, raw: 0, parsed: 0 };
    let mut find = |wanted: usize| {
        while boundaries.parsed < wanted {
            boundaries.step()?;
        }
        Some(literal.start + 1 + boundaries.raw)
    };
    match (find(range.start), find(range.end)) {
        (Some(start), Some(end)) => Span::new(start, end),
        _ => whole(),
    }
}

/// Walks a valid literal, counting its own bytes and the bytes that they stand for.
struct LiteralBoundaries<'t> {
    body: &'t str,
    raw: usize,
    parsed: usize,
}

impl LiteralBoundaries<'_> {
    fn step(&mut self) -> Option<()> {
        let rest = self.body.get(self.raw..)?;
        let first = rest.chars().next()?;
        let (raw, parsed) = match rest.as_bytes() {
            [b'\\', b'u', ..] => match u16::from_str_radix(rest.get(2..6)?, 16).ok()? {
                0xd800..=0xdfff => (12, 4),
                unit => (6, char::from_u32(u32::from(unit))?.len_utf8()),
            },
            [b'\\', ..] => (2, 1),
            _ => (first.len_utf8(), first.len_utf8()),
        };
        self.raw += raw;
        self.parsed += parsed;
        Some(())
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// An error at the character under the cursor, or at the end of the text.
    fn error_here(&self, message: &'static str, help: Option<&'static str>) -> SyntaxError {
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        SyntaxError { span: Span::new(self.at, self.at + width), message, help }
    }

    fn error_from(&self, start: usize, message: &'static str, help: Option<&'static str>) -> SyntaxError {
        SyntaxError { span: Span::new(start, self.at), message, help }
    }

    fn skip_space(&mut self) -> Result<(), SyntaxError> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        match self.peek() {
            Some(b'/' | b'#') => Err(self.error_here(
                "comments are not part of JSON",
                Some("templates are strict JSON; say it in a commit or in `doc`"),
            )),
            _ => Ok(()),
        }
    }

    fn value(&mut self) -> Result<Node, SyntaxError> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'\'') => return Err(self.error_here("strings are written in double quotes", None)),
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
            Some(b'}' | b']' | b',' | b':') => return Err(self.error_here("a value is missing here", None)),
            Some(_) => return Err(self.error_here("unexpected character", None)),
            None => return Err(self.error_here("the text ends where a value is expected", None)),
        };
        Ok(Node { span: Span::new(start, self.at), value })
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Value, SyntaxError>) -> Result<Value, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error_here("nested too deeply", None));
        }
        self.depth += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, SyntaxError> {
        let open = self.at;
        let mut members = Vec::new();
        self.at += 1;
        self.skip_space()?;
        while self.peek() != Some(b'}') {
            members.push(self.member(open)?);
            self.separator(open, b'}', "this object is never closed")?;
        }
        self.at += 1;
        Ok(Value::Object(members))
    }

    fn member(&mut self, open: usize) -> Result<Member, SyntaxError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {}
            Some(b',') => return Err(self.error_here("a member is missing before this comma", None)),
            None => return Err(Self::unclosed(open, "this object is never closed")),
            Some(_) => return Err(self.error_here("a key in double quotes is expected here", None)),
        }
        let key = self.string()?;
        let key_span = Span::new(start, self.at);
        self.skip_space()?;
        if self.peek() != Some(b':') {
            return Err(SyntaxError { span: key_span, message: "no `:` after this key", help: None });
        }
        self.at += 1;
        self.skip_space()?;
        let node = self.value()?;
        Ok(Member { key, key_span, node })
    }

    fn list(&mut self) -> Result<Value, SyntaxError> {
        let open = self.at;
        let mut elements = Vec::new();
        self.at += 1;
        self.skip_space()?;
        while self.peek() != Some(b']') {
            if self.peek().is_none() {
                return Err(Self::unclosed(open, "this list is never closed"));
            }
            elements.push(self.value()?);
            self.separator(open, b']', "this list is never closed")?;
        }
        self.at += 1;
        Ok(Value::List(elements))
    }

    fn unclosed(open: usize, message: &'static str) -> SyntaxError {
        SyntaxError { span: Span::new(open, open + 1), message, help: None }
    }

    /// Goes over a comma to the next element, or stops at the closing character.
    fn separator(&mut self, open: usize, close: u8, unclosed: &'static str) -> Result<(), SyntaxError> {
        let end_of_value = self.at;
        self.skip_space()?;
        match self.peek() {
            Some(b',') => {
                let comma = self.at;
                self.at += 1;
                self.skip_space()?;
                if self.peek() == Some(close) {
                    let span = Span::new(comma, comma + 1);
                    return Err(SyntaxError { span, message: "trailing comma", help: Some("remove it") });
                }
                Ok(())
            }
            Some(byte) if byte == close => Ok(()),
            Some(_) => {
                let span = Span::new(end_of_value, end_of_value);
                Err(SyntaxError { span, message: "a comma is missing after this value", help: None })
            }
            None => Err(Self::unclosed(open, unclosed)),
        }
    }

    fn word(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        while matches!(self.peek(), Some(byte) if byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            "null" => Ok(Value::Null),
            _ => Err(self.error_from(start, "not a JSON value", Some("strings are written in double quotes"))),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || (leading_zero && digits > 1) {
            let help = "numbers have no leading zeros; a mode is a string such as \"0644\"";
            return Err(self.error_from(start, "not a JSON number", Some(help)));
        }
        let mut complete = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            complete = self.digits() > 0;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            complete &= self.digits() > 0;
        }
        if !complete {
            return Err(self.error_from(start, "not a JSON number", None));
        }
        Ok(Value::Number(self.text[start..self.at].to_owned()))
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        let mut parsed = String::new();
        self.at += 1;
        loop {
            let plain = self.text[self.at..].find(['"', '\\', '\n']).map_or(self.text.len(), |found| self.at + found);
            self.check_controls(plain)?;
            parsed.push_str(&self.text[self.at..plain]);
            self.at = plain;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => parsed.push(self.escape()?),
                _ => return Err(self.error_from(start, "this string is never closed", None)),
            }
        }
        self.at += 1;
        Ok(parsed)
    }

    fn check_controls(&mut self, end: usize) -> Result<(), SyntaxError> {
        if let Some(found) = self.text[self.at..end].find(|c: char| c < ' ') {
            self.at += found;
            let help = Some("write `\\t` for a tab and `\\u00XX` for any other control character");
            return Err(self.error_here("control character in a string", help));
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let escaped = self.peek();
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        self.at += width;
        match escaped {
            Some(b'"') => Ok('"'),
            Some(b'\\') => Ok('\\'),
            Some(b'/') => Ok('/'),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => self.unicode_escape(start),
            _ => {
                Err(self.error_from(start, "unknown escape in a string", Some("a backslash itself is written `\\\\`")))
            }
        }
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, SyntaxError> {
        let first = self.code_unit(start)?;
        let mut code_point = u32::from(first);
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.code_unit(start)?;
            code_point = match second {
                0xdc00..=0xdfff => 0x10000 + ((code_point - 0xd800) << 10) + (u32::from(second) - 0xdc00),
                _ => u32::from(first),
            };
        }
        char::from_u32(code_point).ok_or_else(|| self.error_from(start, "half of a surrogate pair in a string", None))
    }

    fn code_unit(&mut self, start: usize) -> Result<u16, SyntaxError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let unit = unit.ok_or_else(|| self.error_from(start, "`\\u` needs four hexadecimal digits", None))?;
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests;
