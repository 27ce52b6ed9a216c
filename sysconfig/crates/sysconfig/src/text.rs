//! Texts of others, as they may be kept and shown.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;
use std::io;

use serde::Serialize;

/// At most so many bytes of a text, and a sign that there was more.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", &text[..end])
}

/// A text without control characters but tabs and ends of lines, which would reach the terminal of whoever reads it: each is
/// written as Rust writes it, `\u{1b}` for escape.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let is_harmless = |char: char| !(char.is_control() || turns_text(char)) || char == '\t' || char == '\n';
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        if is_harmless(char) {
            clean.push(char);
        } else {
            // Writing into a string cannot fail.
            let _ = write!(clean, "{}", char.escape_default());
        }
    }
    Cow::Owned(clean)
}

/// Whether a character changes the direction of those that follow, so that a text reads as another one (UAX #9).
fn turns_text(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How long a value is as JSON.
pub(crate) fn json_bytes(value: &(impl Serialize + ?Sized)) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written is never sent.
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 6), "äöü");
        assert_eq!(cut("äöü", 5), "äö…");
        assert_eq!(cut("äöü", 1), "…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn the_length_is_that_of_the_json() {
        let value = serde_json::json!({ "a": ["ä\n", 1.5, null] });
        assert_eq!(json_bytes(&value), value.to_string().len());
    }

    #[test]
    fn nothing_reaches_a_terminal_but_text() {
        assert_eq!(escaped("one\n\ttwo ä"), "one\n\ttwo ä");
        assert_eq!(escaped("\x1b[31mred\r\u{9b}2J\x07"), "\\u{1b}[31mred\\r\\u{9b}2J\\u{7}");
    }
}
