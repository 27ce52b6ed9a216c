//! What users type to name packages.

use std::fmt;
use std::str::FromStr;

use super::{FMRI_BYTES_MAX, Fmri, FmriError, PackageId, Publisher, Stem, name_error};
use crate::text::{glob_matches, is_glob, shown};
use crate::version::Version;

/// A pattern that selects packages, as `pkg install` takes it: `nginx`, `/web/server/nginx`, `pkg://p/web/*@1.2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Only packages of this publisher.
    pub publisher: Option<Publisher>,
    /// What the name has to be.
    pub name: NamePattern,
    /// What the version has to be; any if there is none.
    pub version: Option<VersionPattern>,
}

/// How a [`Pattern`] restricts names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// The full stem: from `pkg:/a/b`, `pkg://p/a/b` and `/a/b`.
    Full(String),
    /// The full stem, or components at its end: `multi` selects `text/multi`.
    Trailing(String),
    /// A shell-like pattern for the full stem.
    Glob(String),
}

/// How a [`Pattern`] restricts versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionPattern {
    /// The newest that is allowed.
    Latest,
    /// A version that [admits](Version::admits) the candidate.
    Within(Version),
}

impl Pattern {
    /// Whether packages with this stem are selected, by their name alone.
    #[must_use]
    pub fn matches_stem(&self, stem: &Stem) -> bool {
        let stem = stem.as_str();
        match &self.name {
            NamePattern::Full(name) => stem == name,
            NamePattern::Trailing(name) => {
                stem.strip_suffix(name.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('/'))
            }
            NamePattern::Glob(pattern) => glob_matches(pattern, stem),
        }
    }

    /// Whether this package is selected, as far as a single package can tell: [`VersionPattern::Latest`] takes any.
    #[must_use]
    pub fn matches(&self, package: &PackageId) -> bool {
        let version_fits = match &self.version {
            Some(VersionPattern::Within(wanted)) => wanted.admits(&package.version),
            Some(VersionPattern::Latest) | None => true,
        };
        version_fits
            && self.publisher.as_ref().is_none_or(|publisher| *publisher == package.publisher)
            && self.matches_stem(&package.stem)
    }

    /// Whether the name is taken literally, so that it should select packages of one stem only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !matches!(self.name, NamePattern::Glob(_))
    }
}

impl From<Fmri> for Pattern {
    /// The pattern that means just this name, and versions within the one given.
    fn from(fmri: Fmri) -> Self {
        Self {
            publisher: fmri.publisher,
            name: NamePattern::Full(fmri.stem.as_str().to_owned()),
            version: fmri.version.map(VersionPattern::Within),
        }
    }
}

impl FromStr for Pattern {
    type Err = FmriError;

    fn from_str(text: &str) -> Result<Self, FmriError> {
        let what = "package pattern";
        if text.len() > FMRI_BYTES_MAX {
            return Err(name_error(text, what, "it is too long"));
        }
        let (rest, version) = match text.split_once('@') {
            Some((rest, "latest")) => (rest, Some(VersionPattern::Latest)),
            Some((rest, version)) => {
                let parsed = version.parse().map_err(|source| FmriError::Version { text: shown(text), source })?;
                (rest, Some(VersionPattern::Within(parsed)))
            }
            None => (text, None),
        };
        let (publisher, name, is_anchored) = split_name(text, rest)?;
        if name.is_empty() {
            return Err(name_error(text, what, "there is no name"));
        }
        let name = if is_glob(name) {
            NamePattern::Glob(name.to_owned())
        } else {
            name.parse::<Stem>()?;
            let kind = if is_anchored { NamePattern::Full } else { NamePattern::Trailing };
            kind(name.to_owned())
        };
        Ok(Self { publisher, name, version })
    }
}

/// The publisher, the name, and whether the name is the full one.
fn split_name<'t>(whole: &str, rest: &'t str) -> Result<(Option<Publisher>, &'t str, bool), FmriError> {
    let after_slashes = rest.strip_prefix("pkg://").or_else(|| rest.strip_prefix("//"));
    if let Some(rest) = after_slashes {
        let Some((publisher, name)) = rest.split_once('/') else {
            return Err(name_error(whole, "package pattern", "there is no name after the publisher"));
        };
        return Ok((Some(publisher.parse()?), name, true));
    }
    match rest.strip_prefix("pkg:/").or_else(|| rest.strip_prefix('/')) {
        Some(name) => Ok((None, name, true)),
        None => Ok((None, rest, false)),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (anchor, name) = match &self.name {
            NamePattern::Full(name) => ("pkg:/", name),
            NamePattern::Trailing(name) | NamePattern::Glob(name) => ("", name),
        };
        match &self.publisher {
            Some(publisher) => write!(f, "pkg://{publisher}/{name}")?,
            None => write!(f, "{anchor}{name}")?,
        }
        match &self.version {
            Some(VersionPattern::Latest) => write!(f, "@latest"),
            Some(VersionPattern::Within(version)) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> PackageId {
        format!("pkg://p/{text}").parse().unwrap()
    }

    #[test]
    fn which_packages_a_pattern_selects() {
        for (pattern, id, expected) in [
            ("multi", "text/multi@1", true),
            ("multi", "multi@1", true),
            ("text/multi", "a/text/multi@1", true),
            ("ext/multi", "text/multi@1", false),
            ("/multi", "text/multi@1", false),
            ("/text/multi", "text/multi@1", true),
            ("pkg:/multi", "text/multi@1", false),
            ("pkg://p/text/multi", "text/multi@1", true),
            ("//p/text/multi", "text/multi@1", true),
            ("pkg://q/text/multi", "text/multi@1", false),
            ("text/*", "text/multi@1", true),
            ("*multi", "text/multi@1", true),
            ("mult*", "text/multi@1", false),
            ("a@1.0", "a@1.0-1.1", true),
            ("a@1.0-1", "a@1.0-1.1", true),
            ("a@1", "a@1.10.0", true),
            ("a@1.1", "a@1.10", false),
            ("a@latest", "a@1.10", true),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(&package(id)), expected, "{pattern} and {id}");
            assert_eq!(parsed.to_string().parse::<Pattern>().unwrap(), parsed, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "@1", "a@", "a@x", "pkg://p", "pkg://p/", "a b", "/", "pkg://-p/a", &"a".repeat(9999)] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
