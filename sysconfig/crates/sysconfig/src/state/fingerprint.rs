//! `key.json`: what makes the hashes of this state directory its own.
//!
//! State and plans name configurations and steps by hashes. Who sees the plain hash of a short password can find the
//! password by trying all there are; with a key that only root can read, he cannot. The key stays the same as long as the
//! directory does, so the same plan has the same digest also after a restart.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Aside, Damaged, StateError, load_json, replace_file};

/// The file's name.
pub(super) const FILE: &str = "key.json";
/// The version of the file's format that this code writes.
const VERSION: u32 = 1;

/// The contents of the file.
#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    key: [u8; blake3::KEY_LEN],
}

/// Makes hashes that mean something only together with the key.
#[derive(Clone)]
pub struct Fingerprints {
    key: [u8; blake3::KEY_LEN],
    /// Whether the key was made just now, so that no hash from before means anything.
    pub is_new: bool,
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fingerprints").finish_non_exhaustive()
    }
}

impl Fingerprints {
    /// Reads the key of the directory, or makes one, which is not stored: what hashes from before are needed for has to be
    /// seen to first, and then it is [kept](Self::keep). A damaged file is told, and is to be [moved aside](Damaged::keep);
    /// with a new key, nothing that was hashed before is recognised.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn load(directory: &Path) -> Result<(Self, Option<Damaged>), StateError> {
        let path = directory.join(FILE);
        let (contents, damaged) = load_json::<Contents>(&path, VERSION, Aside::Moved);
        if let Some(Contents { key, .. }) = contents {
            return Ok((Self { key, is_new: false }, damaged));
        }
        let mut key = [0; blake3::KEY_LEN];
        getrandom::fill(&mut key)
            .map_err(|error| StateError::new("make a key for", &path, std::io::Error::other(error.to_string())))?;
        Ok((Self { key, is_new: true }, damaged))
    }

    /// Stores a new key, once.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn keep(&mut self, directory: &Path) -> Result<(), StateError> {
        if !self.is_new {
            return Ok(());
        }
        let contents = Contents { version: VERSION, key: self.key };
        let mut json = serde_json::to_vec(&contents).expect("the key has text keys only, so it serialises");
        json.push(b'\n');
        replace_file(&directory.join(FILE), &json)?;
        self.is_new = false;
        Ok(())
    }

    /// The keyed BLAKE3 hash of a value, as lowercase hexadecimal. The members of an object count in the order of their names:
    /// many languages write them in another order each time, and what says the same is the same.
    pub fn of(&self, value: &impl Serialize) -> String {
        let text_keys = "values of the protocol have text keys only, so they serialise";
        let mut value = serde_json::to_value(value).expect(text_keys);
        value.sort_all_objects();
        let json = serde_json::to_vec(&value).expect(text_keys);
        blake3::keyed_hash(&self.key, &json).to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn hashes_are_the_directorys_own_and_survive_a_restart() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let load = |directory: &tempfile::TempDir| {
            let (mut fingerprints, _) = Fingerprints::load(directory.path()).unwrap();
            fingerprints.keep(directory.path()).unwrap();
            fingerprints
        };
        let hash = load(&one).of(&"hunter2");
        assert_eq!(hash, load(&one).of(&"hunter2"));
        assert_ne!(hash, load(&one).of(&"hunter3"));
        assert_ne!(hash, load(&other).of(&"hunter2"));
        assert_ne!(hash, blake3::hash(b"\"hunter2\"").to_hex().to_string(), "nobody can try passwords without the key");
        let mode = std::fs::metadata(one.path().join("key.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn the_order_of_members_makes_no_difference_and_that_of_lists_does() {
        let directory = tempfile::tempdir().unwrap();
        let (fingerprints, _) = Fingerprints::load(directory.path()).unwrap();
        let hash = |json: &str| fingerprints.of(&serde_json::from_str::<serde_json::Value>(json).unwrap());
        assert_eq!(hash(r#"[{"a":1,"b":{"c":2,"d":3}}]"#), hash(r#"[{"b":{"d":3,"c":2},"a":1}]"#));
        assert_ne!(hash("[1,2]"), hash("[2,1]"));
    }

    #[test]
    fn a_damaged_key_is_kept_aside_and_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key.json"), "{\"version\":1,\"key\":[1,2,3]}").unwrap();
        let (mut fingerprints, damaged) = Fingerprints::load(directory.path()).unwrap();
        assert!(damaged.unwrap().keep() && directory.path().join("key.json.damaged").exists());
        fingerprints.keep(directory.path()).unwrap();
        let (again, damaged) = Fingerprints::load(directory.path()).unwrap();
        assert!(damaged.is_none());
        assert_eq!(again.of(&1), fingerprints.of(&1));
    }
}
