//! Writing actions in the one form that means the same everywhere.

use std::fmt;

use super::action::Action;

impl fmt::Display for Action {
    /// The canonical text: kind, payload hash, attributes sorted by name; values of a list keep their order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        let mut attributes: Vec<(&str, &str)> = self.attributes().collect();
        match self.hash() {
            Some(hash) if hash.is_empty() || hash.contains(|c: char| is_special(c) || c == '=' || c == '\\') => {
                attributes.push(("hash", hash));
            }
            Some(hash) => write!(f, " {hash}")?,
            None => {}
        }
        attributes.sort_by_key(|(name, _)| *name);
        attributes.into_iter().try_for_each(|(name, value)| write!(f, " {name}={}", Quoted(value)))
    }
}

fn is_special(c: char) -> bool {
    c.is_ascii_whitespace() || matches!(c, '\x0b' | '"' | '\'')
}

/// A value as it is written: in quotes only where it has to be.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        // A backslash at the end of a line would join it with the next.
        if !value.is_empty() && !value.contains(is_special) && !value.ends_with('\\') {
            return f.write_str(value);
        }
        let quote = if value.contains('"') && !value.contains('\'') { '\'' } else { '"' };
        write!(f, "{quote}")?;
        let mut chars = value.chars().peekable();
        while let Some(c) = chars.next() {
            let is_ambiguous = match c {
                '\\' => chars.peek().is_none_or(|next| *next == quote || *next == '\\'),
                c => c == quote,
            };
            if is_ambiguous {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "{quote}")
    }
}
