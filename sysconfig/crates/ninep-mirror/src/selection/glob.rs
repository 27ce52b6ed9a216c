//! Patterns for paths, in the manner of `.gitignore`.
//!
//! `*` stands for any characters of a name, `?` for one, and `**` as a whole name for any number of directories. A
//! pattern without a slash, or with one only at its end, fits a name anywhere; any other is read from the share's root.

use std::str::FromStr;

use crate::path::SharePath;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Vec<u8>>,
    text: String,
}

/// A pattern that nothing can fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern of names with single slashes between them")]
pub struct GlobError {
    pattern: String,
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let body = text.strip_suffix('/').unwrap_or(text);
        let (anchored, body) = match body.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (body.contains('/'), body),
        };
        let mut parts: Vec<_> = body.split('/').map(|part| part.as_bytes().to_vec()).collect();
        if parts.iter().any(|part| matches!(part.as_slice(), b"" | b"." | b"..")) {
            return Err(GlobError { pattern: text.to_owned() });
        }
        if !anchored {
            parts.insert(0, b"**".to_vec());
        }
        Ok(Self { parts, text: text.to_owned() })
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Glob {
    /// Whether the path fits.
    #[must_use]
    pub fn matches(&self, path: &SharePath) -> bool {
        let names: Vec<_> = path.names().collect();
        // `reach[n]`: the parts so far fit the first n names.
        let mut reach = vec![false; names.len() + 1];
        reach[0] = true;
        for part in &self.parts {
            reach = if part == b"**" { any_depth(&reach) } else { one_name(&reach, part, &names) };
        }
        reach[names.len()]
    }

    /// Whether the path or a directory on its way fits.
    #[must_use]
    pub fn covers(&self, path: &SharePath) -> bool {
        self.matches(path) || path.ancestors().any(|directory| self.matches(&directory))
    }

    /// The parts of the pattern, with `/` between them in the text.
    #[must_use]
    pub fn parts(&self) -> &[Vec<u8>] {
        &self.parts
    }
}

/// Whether a part of a pattern is a name and stands for itself only.
pub(crate) fn is_literal(part: &[u8]) -> bool {
    !part.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

fn any_depth(reach: &[bool]) -> Vec<bool> {
    let first = reach.iter().position(|reached| *reached).unwrap_or(reach.len());
    (0..reach.len()).map(|count| count >= first).collect()
}

fn one_name(reach: &[bool], part: &[u8], names: &[&[u8]]) -> Vec<bool> {
    let fits = |count: usize| count > 0 && reach[count - 1] && name_matches(part, names[count - 1]);
    (0..reach.len()).map(fits).collect()
}

/// Whether a name fits a part. After a mismatch only the last `*` needs to take one more byte, so the time is at most
/// the product of the lengths.
pub(crate) fn name_matches(part: &[u8], name: &[u8]) -> bool {
    let (mut at_part, mut at_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_name < name.len() {
        match part.get(at_part) {
            Some(b'*') => {
                star = Some((at_part + 1, at_name));
                at_part += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[at_name] => {
                at_part += 1;
                at_name += 1;
            }
            _ => {
                let Some((after_star, taken)) = star else { return false };
                star = Some((after_star, taken + 1));
                at_part = after_star;
                at_name = taken + 1;
            }
        }
    }
    part[at_part..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        pattern.parse::<Glob>().unwrap().covers(&SharePath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn patterns_fit_as_in_gitignore() {
        for (pattern, path, expected) in [
            ("target", "target/release/x", true),
            ("target", "a/b/target/x", true),
            ("target", "a/targets", false),
            ("/images", "images/x", true),
            ("/images", "a/images/x", false),
            ("images/", "a/images/x", true),
            ("*.d", "a/b.d", true),
            ("*.d", "a/b.dd", false),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/b/c/d", true),
            ("**/x", "x", true),
            ("a/?", "a/bc", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("*", "anything/at/all", true),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_fits_nothing_is_refused() {
        for pattern in ["", "/", "a//b", "../a", "a/.", "//"] {
            assert!(pattern.parse::<Glob>().is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let name = "a".repeat(255);
        assert!(!fits(&format!("{}b", "a*".repeat(100)), &name));
    }
}
