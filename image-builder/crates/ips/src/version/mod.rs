//! Package versions: grammar, order, and the two ways in which a version is compared with a wanted one.

mod dots;
mod publication_time;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

pub use dots::DotSequence;
pub use publication_time::PublicationTime;

/// The longest version that is read, in bytes. Published ones have less than 80.
pub const VERSION_BYTES_MAX: usize = 1024;

/// Text that is no version, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a package version: {reason}")]
pub struct VersionError {
    /// The text as given, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A version: `<release>[,<build>][-<branch>][:<timestamp>]`.
///
/// Versions compare by release, then branch (none before any), then timestamp (none before any). The build
/// part says for which system release a package was built; it has no part in order, equality or hash.
#[derive(Clone)]
pub struct Version {
    /// The version of the packaged software.
    pub release: DotSequence,
    /// The release of the system that it was built for; printed, never compared.
    pub build: Option<DotSequence>,
    /// The version of the packaging.
    pub branch: Option<DotSequence>,
    /// When it was published.
    pub timestamp: Option<PublicationTime>,
}

impl Version {
    /// Whether `candidate` lies within this version: each part that is given here is a prefix of the same
    /// part there (the timestamp: equal). This is how `incorporate` dependencies and versions in patterns match:
    /// `1.2` admits `1.2`, `1.2.3` and `1.2-9`, but not `1.20`.
    #[must_use]
    pub fn admits(&self, candidate: &Self) -> bool {
        let branch_fits = self.branch.as_ref().is_none_or(|wanted| {
            let branch = candidate.branch.as_ref();
            branch.is_some_and(|branch| wanted.is_prefix_of(branch))
        });
        self.release.is_prefix_of(&candidate.release)
            && branch_fits
            && (self.timestamp.is_none() || self.timestamp == candidate.timestamp)
    }

    /// The version with everything but the timestamp, as it is shown where the time of publication says nothing.
    #[must_use]
    pub fn without_timestamp(&self) -> Self {
        Self { timestamp: None, ..self.clone() }
    }

    /// The text without build and timestamp, as `pkg list` shows it.
    #[must_use]
    pub fn short(&self) -> String {
        Self { build: None, timestamp: None, ..self.clone() }.to_string()
    }

    fn key(&self) -> (&DotSequence, Option<&DotSequence>, Option<&PublicationTime>) {
        (&self.release, self.branch.as_ref(), self.timestamp.as_ref())
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > VERSION_BYTES_MAX {
            return Err("it is too long");
        }
        let (rest, timestamp) = match text.split_once(':') {
            Some((rest, timestamp)) => (rest, Some(PublicationTime::parse(timestamp)?)),
            None => (text, None),
        };
        let (rest, branch) = match rest.split_once('-') {
            Some((rest, branch)) => (rest, Some(DotSequence::parse(branch)?)),
            None => (rest, None),
        };
        let (release, build) = match rest.split_once(',') {
            Some((release, build)) => (release, Some(DotSequence::parse(build)?)),
            None => (rest, None),
        };
        Ok(Self { release: DotSequence::parse(release)?, build, branch, timestamp })
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.release)?;
        self.build.iter().try_for_each(|build| write!(f, ",{build}"))?;
        self.branch.iter().try_for_each(|branch| write!(f, "-{branch}"))?;
        self.timestamp.iter().try_for_each(|timestamp| write!(f, ":{timestamp}"))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text).map_err(|reason| error(text, reason))
    }
}

fn error(text: &str, reason: &'static str) -> VersionError {
    VersionError { text: crate::text::shown(text), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_in_ascending_order() {
        let ascending = [
            "0",
            "1",
            "1-0",
            "1-0:20200101T000000Z",
            "1-1",
            "1-1.0",
            "1-10",
            "1.2",
            "1.2:20200101T000000Z",
            "1.2:20200101T000001Z",
            "1.2-0",
            "1.10",
            "1.10-1:19990101T000000Z",
            "1.10-1:20200101T000000Z",
            "1.10.0",
            "2",
            "10",
            "99999999999999999999999999999999999999999",
            "100000000000000000000000000000000000000000",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(version(a).cmp(&version(b)), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    #[test]
    fn the_build_part_is_printed_and_not_compared() {
        assert!(version("1.10.0,5.10-1") > version("1.10,5.11-1"));
        assert_eq!(version("1,5.10-1"), version("1,5.11-1"));
        assert_eq!(version("1,5.10-1").to_string(), "1,5.10-1");
        assert_eq!(version("1,5.10-1:20200101T000000Z").short(), "1-1");
    }

    #[test]
    fn what_is_no_version() {
        for (text, reason) in [
            ("", "empty"),
            ("1.", "empty"),
            (".1", "empty"),
            ("1..2", "empty"),
            ("1-", "empty"),
            ("1,-2", "empty"),
            ("01", "leading zero"),
            ("1.00", "leading zero"),
            ("1,5.011", "leading zero"),
            ("1-2,5.11", "no number"),
            ("1-2-3", "no number"),
            ("1a", "no number"),
            ("-1", "empty"),
            ("+1", "no number"),
            ("1 ", "no number"),
            ("١", "no number"),
            ("1:", "form"),
            ("1:20200101T000000", "form"),
            ("1:20200101 000000Z", "form"),
            ("1:20200101T000000Z:", "form"),
            ("1:20201301T000000Z", "no date"),
            ("1:20210229T000000Z", "no date"),
            ("1:19000229T000000Z", "no date"),
            ("1:20200101T240000Z", "no date"),
            ("1:20200101T006000Z", "no date"),
            ("1:20200101T000060Z", "no date"),
            (&"1".repeat(VERSION_BYTES_MAX + 1), "too long"),
        ] {
            let error = text.parse::<Version>().unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {}", error.reason);
        }
        assert!("1:20000229T235959Z".parse::<Version>().is_ok());
    }

    #[test]
    fn what_a_version_admits() {
        for (wanted, candidate, expected) in [
            ("1.2.3", "1.2.3-7", true),
            ("1.2.3", "1.2.3.4", true),
            ("1.2.3", "1.2.30", false),
            ("1.2.3", "1.2", false),
            ("1.1,5.11-2024.0.2", "1.1,5.11-2024.0.2.5", true),
            ("1.1,5.11-2024.0.2", "1.1,5.11-2024.0.20", false),
            ("1.1-2024", "1.1", false),
            ("1", "1.10.0", true),
            ("1-1:20200101T000000Z", "1-1:20200101T000000Z", true),
            ("1-1:20200101T000000Z", "1-1:20200101T000001Z", false),
            ("1-1", "1-1:20200101T000001Z", true),
        ] {
            assert_eq!(version(wanted).admits(&version(candidate)), expected, "{wanted} and {candidate}");
        }
    }
}
