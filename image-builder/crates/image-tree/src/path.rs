//! Paths inside an image: absolute, normalised, bytes rather than UTF-8.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The longest path, in bytes: Linux's `PATH_MAX` without the terminating NUL (illumos stops at 1024).
pub const PATH_BYTES_MAX: usize = 4095;

/// The longest name of one component, in bytes, on every file system that an image may become.
pub const NAME_BYTES_MAX: usize = 255;

/// The deepest path, in components. A process can get to twice the depth that fits into a path of illumos' 1024
/// bytes, one directory after the other. It bounds everything that recurses over directories.
pub const DEPTH_MAX: usize = 1024;

/// An absolute path inside an image, without `.`, `..`, empty components or a trailing slash.
///
/// Paths order as a walk meets them: a directory before what is in it, names by their bytes, and
/// everything in `/a` before `/a-b`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ImagePath(Box<[u8]>);

/// Text that cannot be a path in an image, and why. The text is shown with non-ASCII bytes escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not begin with `/`.
    #[error("path `{text}` is not absolute: it has to begin with `/`")]
    NotAbsolute {
        /// The text as given.
        text: String,
    },
    /// The path has a `..` component, whose meaning depends on symbolic links.
    #[error("path `{text}` contains `..`")]
    ParentComponent {
        /// The text as given.
        text: String,
    },
    /// The path holds a NUL byte.
    #[error("path `{text}` contains a NUL byte")]
    Nul {
        /// The text as given.
        text: String,
    },
    /// A single name was wanted; this one is empty, special or contains a slash.
    #[error("`{text}` is not the name of a file: it is empty, `.`, `..` or contains `/`")]
    NotAName {
        /// The text as given.
        text: String,
    },
    /// One component is longer than [`NAME_BYTES_MAX`].
    #[error("path `{text}` has a component of more than {NAME_BYTES_MAX} bytes")]
    NameTooLong {
        /// The text as given.
        text: String,
    },
    /// The path is longer than [`PATH_BYTES_MAX`] or deeper than [`DEPTH_MAX`].
    #[error("path `{text}` has more than {PATH_BYTES_MAX} bytes or {DEPTH_MAX} components")]
    TooLong {
        /// The text as given, shortened.
        text: String,
    },
}

impl ImagePath {
    /// The root of the image, `/`.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::from(*b"/"))
    }

    /// Checks and normalises an absolute path: `//etc/./passwd/` becomes `/etc/passwd`.
    ///
    /// # Errors
    /// Relative paths, `..`, NUL bytes, and names or paths beyond the limits of this module.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let text = text.as_ref();
        if text.first() == Some(&b'/') {
            Self::from_relative(text)
        } else {
            Err(PathError::NotAbsolute { text: display(text) })
        }
    }

    /// As [`new`](Self::new), but takes the text relative to the root of the image, with or without a
    /// leading slash, as names in archives are.
    ///
    /// # Errors
    /// As for [`new`](Self::new); the empty text is the root.
    pub fn from_relative(text: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let text = text.as_ref();
        let mut path = Vec::with_capacity(text.len() + 1);
        let mut depth = 0;
        for name in text.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => {
                    return Err(PathError::ParentComponent { text: display(text) });
                }
                _ => {
                    check_name(name, text)?;
                    depth += 1;
                    path.push(b'/');
                    path.extend_from_slice(name);
                }
            }
        }
        if path.is_empty() {
            return Ok(Self::root());
        }
        Self::within_limits(path, depth)
    }

    /// The path of the entry `name` in this directory.
    ///
    /// # Errors
    /// A name that is empty, `.`, `..`, or has a slash or NUL; or one of the limits is exceeded.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let name = name.as_ref();
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
            return Err(PathError::NotAName { text: display(name) });
        }
        check_name(name, name)?;
        Self::within_limits(self.child_bytes(name), self.depth() + 1)
    }

    /// The path of `relative` (itself seen from a root) under this directory.
    ///
    /// # Errors
    /// The whole is longer or deeper than the limits.
    pub fn join_path(&self, relative: &ImagePath) -> Result<Self, PathError> {
        if self.is_root() {
            return Ok(relative.clone());
        }
        let mut path = self.0.to_vec();
        path.extend_from_slice(if relative.is_root() { b"" } else { &relative.0 });
        Self::within_limits(path, self.depth() + relative.depth())
    }

    /// The directory that holds this path; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        match (self.is_root(), slash) {
            (true, _) => None,
            (false, 0) => Some(Self::root()),
            (false, slash) => Some(Self(Box::from(&self.0[..slash]))),
        }
    }

    /// The last component; none for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// The names from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// The number of components; 0 for the root.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        *self.0 == *b"/"
    }

    /// Whether this path is `directory` or below it.
    #[must_use]
    pub fn starts_with(&self, directory: &ImagePath) -> bool {
        self.tail_below(directory).is_some()
    }

    /// This path as seen from `directory`, whose own path becomes `/`; none if it is not below it.
    #[must_use]
    pub fn strip_prefix(&self, directory: &ImagePath) -> Option<Self> {
        let tail = self.tail_below(directory)?;
        Some(if tail.is_empty() { Self::root() } else { Self(Box::from(tail)) })
    }

    /// The bytes, beginning with `/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes without the leading slash; empty for the root.
    #[must_use]
    pub fn relative_bytes(&self) -> &[u8] {
        &self.0[1..]
    }

    /// A path whose bytes are already known to be normalised.
    pub(crate) fn within_limits(path: Vec<u8>, depth: usize) -> Result<Self, PathError> {
        if path.len() > PATH_BYTES_MAX || depth > DEPTH_MAX {
            return Err(PathError::TooLong { text: display(&path) });
        }
        Ok(Self(path.into_boxed_slice()))
    }

    /// A path met while walking a tree, in which every path is within the limits.
    pub(crate) fn from_walk(path: &[u8]) -> Self {
        Self(Box::from(if path.is_empty() { b"/" } else { path }))
    }

    fn child_bytes(&self, name: &[u8]) -> Vec<u8> {
        let directory: &[u8] = if self.is_root() { b"" } else { &self.0 };
        [directory, b"/", name].concat()
    }

    fn tail_below(&self, directory: &ImagePath) -> Option<&[u8]> {
        if directory.is_root() {
            return Some(if self.is_root() { b"" } else { &self.0 });
        }
        let tail = self.0.strip_prefix(&*directory.0)?;
        (tail.is_empty() || tail[0] == b'/').then_some(tail)
    }
}

fn check_name(name: &[u8], whole: &[u8]) -> Result<(), PathError> {
    if name.contains(&0) {
        return Err(PathError::Nul { text: display(whole) });
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(PathError::NameTooLong { text: display(whole) });
    }
    Ok(())
}

/// Bytes as text for people: what is not printable ASCII or valid UTF-8 is escaped, long text is cut.
pub(crate) fn display(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 300;
    let mut text = String::new();
    for chunk in bytes[..bytes.len().min(SHOWN_MAX)].utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    if bytes.len() > SHOWN_MAX {
        text.push('…');
    }
    text
}

impl Ord for ImagePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // With the slash below every other byte, comparing bytes compares names from the root down.
        // No name holds a NUL, so nothing else is mapped there.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for ImagePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&display(&self.0))
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl FromStr for ImagePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for ImagePath {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl TryFrom<&[u8]> for ImagePath {
    type Error = PathError;

    fn try_from(text: &[u8]) -> Result<Self, PathError> {
        Self::new(text)
    }
}
