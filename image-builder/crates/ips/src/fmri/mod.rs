//! Names of packages: stems, publishers, FMRIs (complete or not), and the patterns that users type.

mod pattern;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use pattern::{NamePattern, Pattern, VersionPattern};

use crate::text::{quote_component, shown};
use crate::version::{Version, VersionError};

/// The longest FMRI that is read, in bytes.
pub const FMRI_BYTES_MAX: usize = 2048;

/// Text that is no package name, publisher or FMRI, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FmriError {
    /// The name part breaks the grammar.
    #[error("`{text}` is not a {what}: {reason}")]
    Name {
        /// The text as given, shortened.
        text: String,
        /// What it was to be: package name, publisher, FMRI.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The part after the `@` is no version.
    #[error("`{text}` is not an FMRI")]
    Version {
        /// The whole text as given, shortened.
        text: String,
        /// What is wrong with the version.
        #[source]
        source: VersionError,
    },
}

fn name_error(text: &str, what: &'static str, reason: &'static str) -> FmriError {
    FmriError::Name { text: shown(text), what, reason }
}

/// Checks one component of a stem, or a publisher.
fn check_component(text: &str) -> Result<(), &'static str> {
    let Some(first) = text.bytes().next() else { return Err("a component is empty") };
    if !first.is_ascii_alphanumeric() {
        return Err("a component does not begin with a letter or digit");
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte)) {
        return Err("it has a character other than letters, digits, `_`, `.`, `+` and `-`");
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = FmriError;

            fn from_str(text: &str) -> Result<Self, FmriError> {
                if text.len() > FMRI_BYTES_MAX {
                    return Err(name_error(text, $what, "it is too long"));
                }
                let check: fn(&str) -> Result<(), &'static str> = $check;
                check(text).map_err(|reason| name_error(text, $what, reason))?;
                Ok(Self(text.into()))
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The name of a package without publisher and version: `web/server/nginx`.
    Stem, "package name", |text| text.split('/').try_for_each(check_component)
}

name_type! {
    /// The name (prefix) of a publisher: `openindiana.org`.
    Publisher, "publisher", check_component
}

impl Stem {
    /// The last component, by which people call the package.
    #[must_use]
    pub fn base_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

/// An FMRI, of which publisher and version may be missing: as `depend` actions, freezes and users name packages.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fmri {
    /// The publisher; any if there is none.
    pub publisher: Option<Publisher>,
    /// The full name of the package.
    pub stem: Stem,
    /// The version; what it means depends on who asks.
    pub version: Option<Version>,
}

impl FromStr for Fmri {
    type Err = FmriError;

    fn from_str(text: &str) -> Result<Self, FmriError> {
        let what = "package FMRI";
        if text.len() > FMRI_BYTES_MAX {
            return Err(name_error(text, what, "it is too long"));
        }
        let (publisher, rest) = if let Some(rest) = text.strip_prefix("pkg://") {
            let Some((publisher, rest)) = rest.split_once('/') else {
                return Err(name_error(text, what, "there is no name after the publisher"));
            };
            (Some(publisher), rest)
        } else if let Some(rest) = text.strip_prefix("pkg:/") {
            (None, rest)
        } else {
            (None, text)
        };
        let (stem, version) = match rest.split_once('@') {
            Some((stem, version)) => (stem, Some(version)),
            None => (rest, None),
        };
        let in_whole = |error: FmriError| match error {
            FmriError::Name { reason, .. } => name_error(text, what, reason),
            other => other,
        };
        let version = version.map(str::parse).transpose();
        Ok(Self {
            publisher: publisher.map(str::parse).transpose().map_err(in_whole)?,
            stem: stem.parse().map_err(in_whole)?,
            version: version.map_err(|source| FmriError::Version { text: shown(text), source })?,
        })
    }
}

impl fmt::Display for Fmri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(publisher) = &self.publisher {
            write!(f, "pkg://{publisher}/")?;
        }
        write!(f, "{}", self.stem)?;
        self.version.iter().try_for_each(|version| write!(f, "@{version}"))
    }
}

impl fmt::Debug for Fmri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One published package: everything that its FMRI can say.
///
/// Packages order by stem, then version, then publisher.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PackageId {
    /// Who published it.
    pub publisher: Publisher,
    /// Its full name.
    pub stem: Stem,
    /// Its version; in catalogs always with build and timestamp.
    pub version: Version,
}

impl PackageId {
    /// Where the manifest lies below a `pkg` directory of a repository or an image: quoted stem, slash, quoted version.
    #[must_use]
    pub fn manifest_path(&self) -> String {
        format!("{}/{}", quote_component(self.stem.as_str()), quote_component(&self.version.to_string()))
    }

    /// The name and version for messages: no publisher, build or timestamp.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}@{}", self.stem, self.version.short())
    }
}

impl Ord for PackageId {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_stem = self.stem.cmp(&other.stem);
        by_stem.then_with(|| self.version.cmp(&other.version)).then_with(|| self.publisher.cmp(&other.publisher))
    }
}

impl PartialOrd for PackageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg://{}/{}@{}", self.publisher, self.stem, self.version)
    }
}

impl fmt::Debug for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PackageId {
    type Err = FmriError;

    fn from_str(text: &str) -> Result<Self, FmriError> {
        let Fmri { publisher, stem, version } = text.parse()?;
        let missing = |reason| name_error(text, "complete package FMRI", reason);
        Ok(Self {
            publisher: publisher.ok_or_else(|| missing("it names no publisher"))?,
            stem,
            version: version.ok_or_else(|| missing("it has no version"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fmris_in_all_their_forms() {
        for (text, publisher, stem, version) in [
            ("a", None, "a", None),
            ("pkg:/a/b@1", None, "a/b", Some("1")),
            ("pkg://p.org/a/b@1,5.11-2:20200101T000000Z", Some("p.org"), "a/b", Some("1,5.11-2:20200101T000000Z")),
            ("library/c++/sigcpp", None, "library/c++/sigcpp", None),
            ("9base@1-0", None, "9base", Some("1-0")),
        ] {
            let fmri: Fmri = text.parse().unwrap();
            assert_eq!(fmri.publisher.as_ref().map(Publisher::as_str), publisher);
            assert_eq!(fmri.stem.as_str(), stem);
            assert_eq!(fmri.version.as_ref().map(ToString::to_string).as_deref(), version);
            assert_eq!(fmri.to_string().parse::<Fmri>().unwrap(), fmri);
        }
    }

    #[test]
    fn what_is_no_fmri() {
        for (text, reason) in [
            ("", "empty"),
            ("/a", "empty"),
            ("a/", "empty"),
            ("a//b", "empty"),
            ("pkg:/", "empty"),
            ("pkg://", "no name after"),
            ("pkg://p", "no name after"),
            ("pkg:///a", "empty"),
            ("pkg://p/", "empty"),
            ("-a", "begin"),
            ("a/.b", "begin"),
            ("a b", "character"),
            ("a/../b", "begin"),
            ("ä", "begin"),
            ("a@", "FMRI"),
            ("a@1@2", "FMRI"),
            (&"a".repeat(FMRI_BYTES_MAX + 1), "too long"),
        ] {
            let error = text.parse::<Fmri>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_package_has_everything() {
        let id: PackageId = "pkg://p/a/b@1.0,5.11-1:20200101T000000Z".parse().unwrap();
        assert_eq!(id.manifest_path(), "a%2Fb/1.0%2C5.11-1%3A20200101T000000Z");
        assert_eq!(id.short(), "a/b@1.0-1");
        assert!("a@1".parse::<PackageId>().is_err());
        assert!("pkg://p/a".parse::<PackageId>().is_err());
    }
}
