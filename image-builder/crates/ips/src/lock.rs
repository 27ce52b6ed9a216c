//! Lock files: exactly which packages an image is made of, so that it can be made again.
//!
//! A lock is text that is read in a diff: `ips-lock 1` on the first line, then one line for each package in the order of names,
//! `package <FMRI> sha256:<of its manifest>`. Since a manifest has the hashes of all payloads, that fixes every byte. Lines
//! `avoid <name> obsolete` or `avoid <name> unwanted` follow for what groups shall not pull in: an image keeps that, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::fmri::{FmriError, PackageId, Stem};
use crate::manifest::{FileHash, to_hex};
use crate::resolve::AvoidReason;

const HEADER: &str = "ips-lock 1";

/// The packages of an image with the hashes of their manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    packages: BTreeMap<PackageId, [u8; 32]>,
    /// The names that groups shall not pull in, and why.
    pub avoided: BTreeMap<Stem, AvoidReason>,
}

/// A text is no lock, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct LockError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    #[source]
    pub kind: LockErrorKind,
}

/// What is wrong in a lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockErrorKind {
    /// The first line is not the one of a lock that is known here.
    #[error("a lock begins with `{HEADER}`")]
    Header,
    /// A line is neither `package <FMRI> sha256:<64 digits>` nor `avoid <name> <reason>`.
    #[error("`package <FMRI> sha256:<64 hexadecimal digits>` or `avoid <name> <obsolete or unwanted>` is wanted")]
    Line,
    /// The FMRI is not one of a single package.
    #[error("the package is not named completely")]
    Package(#[source] FmriError),
    /// The hash is malformed.
    #[error("`sha256:` and 64 hexadecimal digits are wanted")]
    Hash,
    /// The package, or another version of it, was named before.
    #[error("{stem} stands twice")]
    Twice {
        /// The name of the package.
        stem: String,
    },
}

impl Lock {
    /// Adds a package with the bytes of its manifest.
    pub fn insert(&mut self, package: PackageId, manifest: &[u8]) {
        self.packages.insert(package, Sha256::digest(manifest).into());
    }

    /// How many packages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there are no packages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// The packages, by name.
    pub fn packages(&self) -> impl Iterator<Item = &PackageId> {
        self.packages.keys()
    }

    /// The hash that the manifest of a package has to have; none for a package that is not in the lock.
    #[must_use]
    pub fn manifest_hash(&self, package: &PackageId) -> Option<FileHash> {
        self.packages.get(package).copied().map(FileHash::Sha256)
    }

    /// What is different from the lock that was there `before`, a phrase for each name, in their order.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let by_stem = |lock: &Self| -> BTreeMap<Stem, PackageId> {
            lock.packages.keys().map(|id| (id.stem.clone(), id.clone())).collect()
        };
        let (old, new) = (by_stem(before), by_stem(self));
        let stems: BTreeSet<&Stem> = old.keys().chain(new.keys()).collect();
        let change = |stem: &Stem| match (old.get(stem), new.get(stem)) {
            (Some(old), None) => Some(format!("{} goes", old.short())),
            (None, Some(new)) => Some(format!("{} comes", new.short())),
            (Some(old), Some(new)) if old.version.short() != new.version.short() => {
                Some(format!("{} becomes {}", old.short(), new.version.short()))
            }
            (Some(old), Some(new)) => {
                let is_same = old == new && before.packages.get(old) == self.packages.get(new);
                (!is_same).then(|| format!("{} was published anew", new.short()))
            }
            (None, None) => None,
        };
        stems.into_iter().filter_map(change).collect()
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        let mut packages = self.packages.iter();
        packages.try_for_each(|(package, hash)| writeln!(f, "package {package} sha256:{}", to_hex(hash)))?;
        let mut avoided = self.avoided.iter();
        avoided.try_for_each(|(stem, reason)| writeln!(f, "avoid {stem} {}", word(*reason)))
    }
}

fn word(reason: AvoidReason) -> &'static str {
    match reason {
        AvoidReason::Obsolete => "obsolete",
        AvoidReason::Unwanted => "unwanted",
    }
}

impl FromStr for Lock {
    type Err = LockError;

    fn from_str(text: &str) -> Result<Self, LockError> {
        let mut lock = Self::default();
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(HEADER) {
            return Err(LockError { line: 1, column: 1, kind: LockErrorKind::Header });
        }
        let mut stems = BTreeSet::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let fail = |(byte, kind): (usize, LockErrorKind)| {
                let column = line.get(..byte).map_or(1, |before| before.chars().count() + 1);
                LockError { line: number + 1, column, kind }
            };
            if let Some(rest) = line.strip_prefix(AVOID) {
                let (stem, reason) = parse_avoided(rest).map_err(|kind| fail((AVOID.len(), kind)))?;
                lock.avoided.insert(stem, reason);
                continue;
            }
            let (package, hash) = parse_line(line).map_err(fail)?;
            if !stems.insert(package.stem.clone()) {
                let kind = LockErrorKind::Twice { stem: package.stem.to_string() };
                return Err(LockError { line: number + 1, column: 9, kind });
            }
            lock.packages.insert(package, hash);
        }
        Ok(lock)
    }
}

const AVOID: &str = "avoid ";

fn parse_avoided(rest: &str) -> Result<(Stem, AvoidReason), LockErrorKind> {
    let (stem, reason) = rest.split_once(' ').ok_or(LockErrorKind::Line)?;
    let reasons = [AvoidReason::Obsolete, AvoidReason::Unwanted];
    let reason = reasons.into_iter().find(|known| word(*known) == reason).ok_or(LockErrorKind::Line)?;
    Ok((stem.parse().map_err(LockErrorKind::Package)?, reason))
}

/// The error comes with the byte in the line where it is.
fn parse_line(line: &str) -> Result<(PackageId, [u8; 32]), (usize, LockErrorKind)> {
    const WORD: &str = "package ";
    let rest = line.strip_prefix(WORD).ok_or((0, LockErrorKind::Line))?;
    let (package, hash) = rest.split_once(' ').ok_or((line.len(), LockErrorKind::Line))?;
    let hash_at = WORD.len() + package.len() + 1;
    let package = package.parse().map_err(|error| (WORD.len(), LockErrorKind::Package(error)))?;
    let digits = hash.strip_prefix("sha256:").ok_or((hash_at, LockErrorKind::Hash))?;
    match FileHash::from_hex("sha256", digits) {
        Some(FileHash::Sha256(hash)) => Ok((package, hash)),
        _ => Err((hash_at, LockErrorKind::Hash)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn locks_round_trip_in_the_order_of_names() {
        let mut lock = Lock::default();
        for name in ["pkg://q/b@1,5.11:20200101T000000Z", "pkg://p/a@2,5.11-1:20200101T000000Z"] {
            lock.insert(name.parse().unwrap(), b"");
        }
        for (name, reason) in [("x/y", AvoidReason::Unwanted), ("w", AvoidReason::Obsolete)] {
            lock.avoided.insert(name.parse().unwrap(), reason);
        }
        let text = lock.to_string();
        assert_eq!(
            text,
            format!(
                "ips-lock 1\npackage pkg://p/a@2,5.11-1:20200101T000000Z {HASH}\n\
                 package pkg://q/b@1,5.11:20200101T000000Z {HASH}\navoid w obsolete\navoid x/y unwanted\n"
            )
        );
        assert_eq!(text.parse(), Ok(lock.clone()));
        let package = lock.packages().next().unwrap();
        assert!(lock.manifest_hash(package).unwrap().is_of(b""));
    }

    #[test]
    fn what_a_newer_lock_changes() {
        let lock = |packages: &[(&str, &str)]| {
            let mut lock = Lock::default();
            for (name, manifest) in packages {
                lock.insert(format!("pkg://p/{name}:20200101T000000Z").parse().unwrap(), manifest.as_bytes());
            }
            lock
        };
        let before = lock(&[("a@1,5.11-1", ""), ("b@1,5.11", ""), ("c@1,5.11", ""), ("same@1,5.11", "")]);
        let after = lock(&[("a@2,5.11-1", ""), ("b@1,5.11", "other"), ("d@1,5.11", ""), ("same@1,5.11", "")]);
        assert_eq!(
            after.changes_since(&before),
            ["a@1-1 becomes 2-1", "b@1 was published anew", "c@1 goes", "d@1 comes"]
        );
        assert_eq!(after.changes_since(&after), Vec::<String>::new());
    }

    #[test]
    fn errors_say_where() {
        for (body, line, column, expected) in [
            ("", 1, 1, "begins with"),
            ("ips-lock 2\n", 1, 1, "begins with"),
            ("ips-lock 1\npack a", 2, 1, "is wanted"),
            ("ips-lock 1\navoid a", 2, 7, "is wanted"),
            ("ips-lock 1\navoid a sometimes", 2, 7, "is wanted"),
            ("ips-lock 1\navoid -a obsolete", 2, 7, "not named completely"),
            ("ips-lock 1\n\n# x\npackage pkg://p/a@1", 4, 20, "is wanted"),
            (&format!("ips-lock 1\npackage a@1 {HASH}"), 2, 9, "not named completely"),
            ("ips-lock 1\npackage pkg://p/a@1 sha256:00", 2, 21, "64 hexadecimal"),
            ("ips-lock 1\npackage pkg://p/a@1 sha1:00", 2, 21, "64 hexadecimal"),
            (&format!("ips-lock 1\npackage pkg://p/a@2 {HASH}\npackage pkg://q/a@1 {HASH}"), 3, 9, "a stands twice"),
            (&format!("ips-lock 1\npackage pkg://p/a@1 {HASH}\npackage pkg://p/a@2 {HASH}"), 3, 9, "a stands twice"),
        ] {
            let error = body.parse::<Lock>().unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{body}: {error}");
            assert!(error.to_string().contains(expected), "{body}: {error}");
        }
    }
}
