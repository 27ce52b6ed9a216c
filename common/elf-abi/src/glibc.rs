//! Versions of the GNU C library.

use std::collections::BTreeSet;
use std::fmt;

/// A release of glibc, such as 2.36.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlibcVersion {
    /// Before the point; 2 since 1997.
    pub major: u32,
    /// After the point.
    pub minor: u32,
    /// Of a few old versions such as 2.2.5; otherwise 0.
    pub patch: u32,
}

impl GlibcVersion {
    /// The release `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// Reads a symbol version such as `GLIBC_2.2.5`; `None` for one that names no release.
    #[must_use]
    pub fn from_symbol_version(version: &str) -> Option<Self> {
        let mut numbers = version.strip_prefix("GLIBC_")?.split('.').map(str::parse::<u32>);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().unwrap_or(Ok(0)).ok()?;
        numbers.next().is_none().then_some(Self { major, minor, patch })
    }

    /// The newest Debian release whose glibc is not newer than this one.
    #[must_use]
    pub fn debian_suite(self) -> Option<&'static str> {
        // Versions as in the suites' `libc6` packages.
        const SUITES: [(GlibcVersion, &str); 4] = [
            (GlibcVersion::new(2, 41), "trixie"),
            (GlibcVersion::new(2, 36), "bookworm"),
            (GlibcVersion::new(2, 31), "bullseye"),
            (GlibcVersion::new(2, 28), "buster"),
        ];
        SUITES.iter().find(|(version, _)| *version <= self).map(|(_, suite)| *suite)
    }
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch != 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

/// The glibc of a guest: everything that its `libc.so.6` defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glibc {
    newest: GlibcVersion,
    defined: BTreeSet<String>,
}

impl Glibc {
    /// From the versions that a library defines; `None` when none is a release of glibc.
    #[must_use]
    pub fn from_defined(versions: impl IntoIterator<Item = String>) -> Option<Self> {
        let defined: BTreeSet<String> = versions.into_iter().collect();
        let newest = defined.iter().filter_map(|v| GlibcVersion::from_symbol_version(v)).max()?;
        Some(Self { newest, defined })
    }

    /// The newest release that it defines, which is its own.
    #[must_use]
    pub fn newest(&self) -> GlibcVersion {
        self.newest
    }

    /// Whether a program may need this symbol version.
    ///
    /// Releases are compared by number, because each of glibc's libraries defines
    /// only those in which it changed. Other marks, such as `GLIBC_ABI_DT_RELR`,
    /// must be defined; `GLIBC_PRIVATE` always is, between parts of one release.
    #[must_use]
    pub fn offers(&self, version: &str) -> bool {
        match GlibcVersion::from_symbol_version(version) {
            Some(release) => release <= self.newest,
            None => self.defined.contains(version),
        }
    }
}
