//! Small text conventions that IPS uses everywhere: quoted path components and shell-like patterns.

/// `text` with every byte but letters, digits, `_`, `.`, `-` and `~` as `%XX`: how FMRIs, versions and licence names
/// become single path components. Not even `/` is kept.
#[must_use]
pub fn quote_component(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.push_str(&format!("%{byte:02X}"));
        }
    }
    quoted
}

/// The text that [`quote_component`] made this of; none if a `%` is not followed by two hexadecimal digits or
/// the bytes are no UTF-8.
#[must_use]
pub fn unquote_component(quoted: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether the whole of `text` matches the shell-like `pattern`: `*` is any text (slashes too), `?` one
/// character, `[abc]`, `[a-z]` and `[!abc]` one character of a set. A `[` that is not closed means itself.
#[must_use]
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut read) = (0, 0);
    // Where to go on when the text after the last star has to begin one character later.
    let mut retry: Option<(usize, usize)> = None;
    while read < text.len() {
        match one_element(&pattern[at..], text[read]) {
            Element::Star => {
                retry = Some((at + 1, read));
                at += 1;
                continue;
            }
            Element::Matches(length) => {
                at += length;
                read += 1;
                continue;
            }
            Element::Differs => {}
        }
        let Some((after_star, begin)) = retry else { return false };
        retry = Some((after_star, begin + 1));
        (at, read) = (after_star, begin + 1);
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Whether `text` holds a character that [`glob_matches`] treats specially.
#[must_use]
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

enum Element {
    Star,
    /// The element is this many characters of the pattern.
    Matches(usize),
    Differs,
}

fn one_element(pattern: &[char], c: char) -> Element {
    match pattern.first() {
        None => Element::Differs,
        Some('*') => Element::Star,
        Some('?') => Element::Matches(1),
        Some('[') => match set_end(pattern) {
            Some(end) if set_contains(&pattern[1..end], c) => Element::Matches(end + 1),
            Some(_) => Element::Differs,
            None if c == '[' => Element::Matches(1),
            None => Element::Differs,
        },
        Some(same) if *same == c => Element::Matches(1),
        Some(_) => Element::Differs,
    }
}

/// Where the set that begins with `[` is closed; a `]` at its very beginning is a member.
fn set_end(pattern: &[char]) -> Option<usize> {
    let first = if pattern.get(1) == Some(&'!') { 2 } else { 1 };
    let after = first + usize::from(pattern.get(first) == Some(&']'));
    pattern.get(after..)?.iter().position(|c| *c == ']').map(|at| at + after)
}

fn set_contains(set: &[char], c: char) -> bool {
    let (is_negated, members) = match set.split_first() {
        Some(('!', members)) => (true, members),
        _ => (false, set),
    };
    let mut found = false;
    let mut rest = members;
    while let Some(low) = rest.first() {
        if let (Some('-'), Some(high)) = (rest.get(1), rest.get(2)) {
            found |= (*low..=*high).contains(&c);
            rest = &rest[3..];
        } else {
            found |= *low == c;
            rest = &rest[1..];
        }
    }
    found != is_negated
}

/// Text for messages: control characters escaped, cut after 200 characters.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 200;
    let mut shown = String::new();
    for c in text.chars().take(SHOWN_MAX) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn components_are_quoted_without_exception() {
        assert_eq!(quote_component("web/server,5.11-1:2Z"), "web%2Fserver%2C5.11-1%3A2Z");
        assert_eq!(quote_component("a b+c_d.e~ü"), "a%20b%2Bc_d.e~%C3%BC");
        assert_eq!(unquote_component("a%2"), None);
        assert_eq!(unquote_component("%ff"), None);
        assert_eq!(unquote_component("%zz"), None);
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*a*b", "xaaxb", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("[a-]", "-", true),
            ("ä*", "äö", true),
            ("abc", "ab", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(glob_matches(pattern, text), expected, "{pattern} and {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        assert!(!glob_matches(&"*a".repeat(500), &"a".repeat(499)));
        assert!(!glob_matches(&format!("{}b", "*a".repeat(200)), &"a".repeat(2000)));
    }

    /// The definition of a pattern, without any thought of time.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| naive(rest, &text[skipped..])),
            (['?', rest @ ..], [_, text @ ..]) => naive(rest, text),
            ([p, rest @ ..], [t, text @ ..]) if p == t => naive(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn quoting_round_trips(text in any::<String>()) {
            let quoted = quote_component(&text);
            prop_assert!(!quoted.contains('/'));
            prop_assert_eq!(unquote_component(&quoted), Some(text));
        }

        #[test]
        fn patterns_mean_what_their_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob_matches(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
        }
    }
}
