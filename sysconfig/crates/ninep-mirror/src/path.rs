//! Names and paths that may come from a hostile server: what is not plainly inside the share is not a path.

use std::fmt;

/// The longest name, as in most file systems.
pub const NAME_BYTES: usize = 255;
/// The longest path.
const PATH_BYTES: usize = 1023;
/// The deepest path, which also ends the descent into a directory that contains itself.
const DEPTH: usize = 40;

/// A path relative to the root of the share: one or more names, none of them special.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharePath(Box<[u8]>);

/// A name or path is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Empty, or a part of it is.
    #[error("the name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("the name is special")]
    Special,
    /// It contains `/` or NUL.
    #[error("the name contains a slash or a zero byte")]
    ForbiddenByte,
    /// A name or the whole is too long.
    #[error("the name is longer than {limit} bytes")]
    TooLong {
        /// What is allowed.
        limit: usize,
    },
    /// Too many directories.
    #[error("the directory is deeper than {DEPTH}")]
    TooDeep,
}

impl SharePath {
    /// Reads a path of names with `/` between them.
    ///
    /// # Errors
    ///
    /// When it is empty, absolute, not normal, too long or too deep.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        for name in bytes.split(|byte| *byte == b'/') {
            check_name(name)?;
        }
        Self::checked(bytes.to_vec())
    }

    /// The path of an entry of the share's root (`None`) or another directory.
    ///
    /// # Errors
    ///
    /// When the name cannot be used, or the path grows too long or too deep.
    pub fn entry(directory: Option<&Self>, name: &[u8]) -> Result<Self, PathError> {
        check_name(name)?;
        match directory {
            None => Self::checked(name.to_vec()),
            Some(directory) => Self::checked([&directory.0, b"/".as_slice(), name].concat()),
        }
    }

    fn checked(bytes: Vec<u8>) -> Result<Self, PathError> {
        if bytes.len() > PATH_BYTES {
            return Err(PathError::TooLong { limit: PATH_BYTES });
        }
        let path = Self(bytes.into_boxed_slice());
        if path.names().count() > DEPTH { Err(PathError::TooDeep) } else { Ok(path) }
    }

    /// The names on the way.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The last name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.names().last().unwrap_or_default()
    }

    /// The directory; none for an entry of the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0[..slash].into()))
    }

    /// The directories on the way, the outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        let ends = self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        ends.map(|(end, _)| Self(self.0[..end].into()))
    }

    /// Whether this is inside the directory, at any depth.
    #[must_use]
    pub fn is_inside(&self, directory: &Self) -> bool {
        self.0.strip_prefix(&*directory.0).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The bytes, with `/` between the names.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a symbolic link at this path leads to something inside the share, whatever other links there are.
    ///
    /// `..` may stand only at the front, where it counts real directories. Behind a name it would be taken from
    /// wherever that name leads, and a link in the depth that leads to the root would open the way out.
    #[must_use]
    pub fn link_stays_inside(&self, target: &[u8]) -> bool {
        if target.is_empty() || target.len() > PATH_BYTES || target[0] == b'/' || target.contains(&0) {
            return false;
        }
        let mut parts = target.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").peekable();
        let mut up = 0;
        while parts.next_if(|part| *part == b"..").is_some() {
            up += 1;
        }
        up < self.names().count() && parts.all(|part| part != b"..")
    }
}

/// For people: control characters are escaped, so that a name cannot forge a line of a log.
impl fmt::Display for SharePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable(&self.0))
    }
}

/// Bytes as text for people, without control characters.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
    text
}

/// Whether a directory's entry of this name can exist on a file system.
fn check_name(name: &[u8]) -> Result<(), PathError> {
    match name {
        b"" => Err(PathError::Empty),
        b"." | b".." => Err(PathError::Special),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(PathError::ForbiddenByte),
        _ if name.len() > NAME_BYTES => Err(PathError::TooLong { limit: NAME_BYTES }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_plain_paths_are_paths() {
        for (text, expected) in [
            ("", PathError::Empty),
            ("/etc/passwd", PathError::Empty),
            ("a//b", PathError::Empty),
            ("a/", PathError::Empty),
            ("..", PathError::Special),
            ("a/../b", PathError::Special),
            ("./a", PathError::Special),
            ("a\0b", PathError::ForbiddenByte),
            (&"n".repeat(256), PathError::TooLong { limit: 255 }),
            (&"abcdefghi/".repeat(120), PathError::Empty),
            (&["a"; 41].join("/"), PathError::TooDeep),
            (&["n".repeat(200).as_str(); 6].join("/"), PathError::TooLong { limit: 1023 }),
        ] {
            assert_eq!(SharePath::parse(text.as_bytes()), Err(expected), "{text:?}");
        }
        assert_eq!(SharePath::entry(None, b"a/b"), Err(PathError::ForbiddenByte));
        assert_eq!(SharePath::entry(Some(&path("a")), b"b").unwrap(), path("a/b"));
        assert_eq!(path("...").name(), b"...");
    }

    #[test]
    fn directories_of_a_path() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), None);
        assert_eq!(path("a/b/c").ancestors().collect::<Vec<_>>(), [path("a"), path("a/b")]);
        assert!(path("a/b/c").is_inside(&path("a")));
        assert!(!path("ab/c").is_inside(&path("a")));
    }

    #[test]
    fn links_are_judged_without_looking_where_others_lead() {
        for (link, target, inside) in [
            ("a", "b", true),
            ("a", "./b//c/", true),
            ("d/a", "../b", true),
            ("d/e/a", "../../b", true),
            ("d/a", "..", true),
            ("a", "..", false),
            ("d/a", "../../b", false),
            ("a", "/etc", false),
            ("a", "", false),
            // With d/e/s → ../.., the target below is above the root although its text looks well.
            ("a", "d/e/s/../../etc", false),
            ("d/a", "b/../../c", false),
        ] {
            assert_eq!(path(link).link_stays_inside(target.as_bytes()), inside, "{link} -> {target}");
        }
    }

    #[test]
    fn a_name_cannot_forge_a_line_of_a_log() {
        assert_eq!(path("a\nready\u{1b}[2J").to_string(), "a\\u{a}ready\\u{1b}[2J");
    }
}
