//! Which files are wanted.

use super::glob::{self, Glob};
use crate::path::SharePath;

/// The directory of the mirror's own files in the destination. Nothing of this name is taken from a share.
pub const OWN_DIRECTORY: &str = ".ninep-mirror";

/// What is left out unless other patterns are given: images, and what cargo builds except for the executables.
pub const DEFAULT_EXCLUDES: [&str; 2] = ["/images", "target"];

/// Where the executables are that are copied although nobody tracks them.
pub const DEFAULT_EXECUTABLES: [&str; 2] = ["/sysconfig/target/release/*", "/sysconfig/target/*/release/*"];

/// Names in cargo's output directory that are no executables, so that nobody has to ask about them.
const NEVER_EXECUTABLE: [&str; 7] = ["*.d", "*.rlib", "*.rmeta", "build", "deps", "examples", "incremental"];

/// Never copied, whatever the patterns say.
const NEVER: [&[u8]; 2] = [b".git", OWN_DIRECTORY.as_bytes()];

/// What is wanted of a share.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Only what fits one of these, where there are any.
    pub include: Vec<Glob>,
    /// Not what fits one of these.
    pub exclude: Vec<Glob>,
    /// Executables that fit one of these are wanted although they are excluded or not tracked.
    pub executables: Vec<Glob>,
}

impl Rules {
    /// Whether a file that is tracked, or was found, is wanted.
    #[must_use]
    pub fn wants(&self, path: &SharePath) -> bool {
        let fits = |globs: &[Glob]| globs.iter().any(|glob| glob.covers(path));
        !is_never_copied(path) && (self.include.is_empty() || fits(&self.include)) && !fits(&self.exclude)
    }

    /// Whether a directory may hold something that is wanted. An include pattern may fit at any depth, so only
    /// exclusion counts.
    #[must_use]
    pub fn enters(&self, directory: &SharePath) -> bool {
        !is_never_copied(directory) && !self.exclude.iter().any(|glob| glob.covers(directory))
    }

    /// Whether a file at this path is wanted if it is executable.
    #[must_use]
    pub fn wants_executable(&self, path: &SharePath) -> bool {
        let name = path.name();
        !is_never_copied(path)
            && name.first() != Some(&b'.')
            && !NEVER_EXECUTABLE.iter().any(|part| glob::name_matches(part.as_bytes(), name))
            && self.executables.iter().any(|glob| glob.matches(path))
    }
}

fn is_never_copied(path: &SharePath) -> bool {
    path.names().any(|name| NEVER.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn rules() -> Rules {
        let (exclude, executables) = (globs(&DEFAULT_EXCLUDES), globs(&DEFAULT_EXECUTABLES));
        Rules { include: Vec::new(), exclude, executables }
    }

    #[test]
    fn sources_and_executables_are_wanted() {
        let rules = rules();
        for (path, wanted, wanted_executable) in [
            ("README.md", true, false),
            ("sysconfig/image/templates/files/x", true, false),
            ("docs/images/a.png", true, false),
            ("common/build/x", true, false),
            ("images/a.raw", false, false),
            (".git/index", false, false),
            ("a/.git", false, false),
            (".ninep-mirror/state", false, false),
            ("sysconfig/target/release/sysconfig", false, true),
            ("sysconfig/target/x86_64-unknown-illumos/release/sysconfig", false, true),
            ("sysconfig/target/debug/sysconfig", false, false),
            ("sysconfig/target/release/sysconfig.d", false, false),
            ("sysconfig/target/release/.cargo-lock", false, false),
            ("sysconfig/target/release/deps", false, false),
            ("sysconfig/target/release/deps/sysconfig-1", false, false),
            ("image-builder/target/release/image-builder", false, false),
        ] {
            let path = SharePath::parse(path.as_bytes()).unwrap();
            assert_eq!((rules.wants(&path), rules.wants_executable(&path)), (wanted, wanted_executable), "{path}");
        }
    }

    #[test]
    fn include_narrows_and_never_opens_git() {
        let rules = Rules { include: globs(&["*.md", ".git"]), ..rules() };
        for (path, wanted) in [("a/b.md", true), ("a/b.rs", false), (".git/config", false), ("images/a.md", false)] {
            assert_eq!(rules.wants(&SharePath::parse(path.as_bytes()).unwrap()), wanted, "{path}");
        }
    }
}
