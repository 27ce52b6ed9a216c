//! Quoting of argument vectors for people: the printed line can be pasted into a POSIX shell.

use std::borrow::Cow;
use std::ffi::OsStr;

/// Quotes one argument for a POSIX shell; plain words stay as they are.
///
/// Bytes that are not UTF-8 are shown with the replacement character: the text
/// is for people, the program gets the original bytes.
#[must_use]
pub fn shell_quote(argument: &OsStr) -> String {
    let text: Cow<'_, str> = argument.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::shell_quote;
    use std::ffi::OsStr;

    #[test]
    fn plain_words_stay_and_others_are_quoted() {
        for (argument, quoted) in [
            ("-fsdev", "-fsdev"),
            ("path=/a/b,ro", "path=/a/b,ro"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~root", "'~root'"),
        ] {
            assert_eq!(shell_quote(OsStr::new(argument)), quoted);
        }
    }
}
