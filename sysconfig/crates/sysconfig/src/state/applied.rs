//! `applied.json`: what was last brought in line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Aside, Damaged, StateError, load_json, replace_file};

/// The file's name.
pub(super) const FILE: &str = "applied.json";
/// The version of the file's format that this code writes.
const VERSION: u32 = 1;

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    version: u32,
    plugins: BTreeMap<String, AppliedPart>,
}

/// What was last brought in line for one plugin. Unknown members are ignored, so that an older daemon can read
/// what a newer one of the same version wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedPart {
    /// Keyed hash of the plugin's part of the configuration, see [`super::fingerprint`]. Empty where the part was taken
    /// back since, and only the claims are remembered.
    pub config: String,
    /// BLAKE3 hash of the plugin's file.
    pub plugin_hash: String,
    /// The plugin's version.
    #[serde(default)]
    pub plugin_version: String,
    /// The keys that it owned.
    #[serde(default)]
    pub claims: Vec<String>,
    /// When.
    #[serde(default)]
    pub at_unix_ms: u64,
}

impl AppliedPart {
    fn is_in_force(&self) -> bool {
        !self.config.is_empty()
    }
}

/// The applied state, in memory and on disk.
#[derive(Debug)]
pub struct Applied {
    path: PathBuf,
    plugins: BTreeMap<String, AppliedPart>,
}

impl Applied {
    /// Reads the state of the directory. A damaged file is told, and is to be [moved aside](Damaged::keep); it counts as empty:
    /// everything is observed anew in any case, so nothing but history is lost.
    pub fn load(directory: &Path) -> (Self, Option<Damaged>) {
        let path = directory.join(FILE);
        let (contents, damaged) = load_json::<Contents>(&path, VERSION, Aside::Moved);
        (Self { path, plugins: contents.map(|contents| contents.plugins).unwrap_or_default() }, damaged)
    }

    /// What was last applied for a plugin.
    pub fn get(&self, plugin: &str) -> Option<&AppliedPart> {
        self.plugins.get(plugin)
    }

    /// When a plugin's part was last brought in line; none where it was taken back since.
    pub fn at(&self, plugin: &str) -> Option<u64> {
        self.get(plugin).filter(|part| part.is_in_force()).map(|part| part.at_unix_ms)
    }

    /// Remembers that a plugin's part was taken back, and answers whether that is news, to be [stored](Self::store). Its
    /// keys stay its own: a stray file that claims them gets no better right by it.
    pub fn withdraw(&mut self, plugin: &str) -> bool {
        let part = self.plugins.get_mut(plugin).filter(|part| part.is_in_force());
        part.map(|part| part.config.clear()).is_some()
    }

    /// Remembers that a plugin's part is in force, which is to be [stored](Self::store).
    pub fn record(&mut self, plugin: &str, part: AppliedPart) {
        self.plugins.insert(plugin.to_owned(), part);
    }

    /// Stores what memory has.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    pub fn store(&self) -> Result<(), StateError> {
        let contents = Contents { version: VERSION, plugins: self.plugins.clone() };
        let mut json = serde_json::to_vec_pretty(&contents).expect("the state has text keys only, so it serialises");
        json.push(b'\n');
        replace_file(&self.path, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> AppliedPart {
        let hash = "ab".repeat(32);
        AppliedPart {
            config: hash.clone(),
            plugin_hash: hash,
            plugin_version: "1.0.0".to_owned(),
            claims: vec!["test.x".to_owned()],
            at_unix_ms: 7,
        }
    }

    #[test]
    fn survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let (mut applied, damaged) = Applied::load(directory.path());
        assert!(damaged.is_none());
        applied.record("hostname", part());
        applied.store().unwrap();
        let (again, damaged) = Applied::load(directory.path());
        assert!(damaged.is_none());
        assert_eq!(again.get("hostname"), Some(&part()));
        assert_eq!(again.get("dns"), None);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_is_taken_back_leaves_the_claims() {
        let directory = tempfile::tempdir().unwrap();
        let (mut applied, _) = Applied::load(directory.path());
        applied.record("hostname", part());
        assert_eq!(applied.at("hostname"), Some(7));
        assert!(applied.withdraw("hostname") && !applied.withdraw("hostname") && !applied.withdraw("dns"));
        applied.store().unwrap();
        let (again, _) = Applied::load(directory.path());
        assert_eq!(again.at("hostname"), None);
        assert_eq!(again.get("hostname").unwrap().claims, part().claims);
        assert_eq!(again.get("dns"), None);
    }

    #[test]
    fn a_damaged_file_is_kept_aside_and_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("applied.json"), "{\"version\":1,").unwrap();
        let (applied, damaged) = Applied::load(directory.path());
        assert_eq!(applied.get("hostname"), None);
        let (path, aside) = (directory.path().join("applied.json"), directory.path().join("applied.json.damaged"));
        assert!(path.exists() && !aside.exists(), "whoever reads may not have locked the directory");
        let mut damaged = damaged.unwrap();
        assert!(damaged.to_string().ends_with("what it held is there still"), "{damaged}");
        assert!(damaged.keep() && !damaged.keep(), "{damaged}");
        assert!(!path.exists() && aside.exists());
        assert!(damaged.to_string().ends_with(aside.to_str().unwrap()), "{damaged}");
    }
}
