//! `confirmation.json`: a change that waits for its confirmation, and parts that stay as they were.
//!
//! The steps of such a change are kept with the plugins' own data, because without it nothing can be taken back after
//! the daemon or the machine was started anew. The data of a step that changes sensitive properties is left out:
//! secrets are not stored. The file goes when the change is confirmed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sysconfig_protocol::{Digest, Step};

use super::{Damaged, StateError, load_json, remove_file, replace_file};

/// The version of the file's format that this code writes.
const VERSION: u32 = 1;

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Contents {
    version: u32,
    #[serde(default)]
    pending: Option<Pending>,
    #[serde(default)]
    held: BTreeMap<String, String>,
}

/// A change that is undone unless somebody confirms it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// When it is undone.
    pub by_unix_ms: u64,
    /// How long somebody has to confirm it, from its end.
    pub within_ms: u64,
    /// Its steps in the order in which they were carried out.
    pub steps: Vec<RevocableStep>,
}

/// A step that can be taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevocableStep {
    /// The plugin that carried it out.
    pub plugin: String,
    /// The plan that it belongs to.
    pub plan: Digest,
    /// The step with the plugin's data.
    pub step: Step,
    /// The data was left out when it was stored, so only the daemon that carried the step out can take it back.
    #[serde(default)]
    pub data_withheld: bool,
}

impl RevocableStep {
    /// The step as it may be stored.
    fn stored(&self) -> Self {
        if self.data_withheld || !self.step.changes.iter().any(|change| change.sensitive) {
            return self.clone();
        }
        Self { step: self.step.redacted(), data_withheld: true, ..self.clone() }
    }
}

/// The file, and what it says.
#[derive(Debug)]
pub struct Confirmation {
    path: PathBuf,
    /// The change that waits.
    pub pending: Option<Pending>,
    /// Plugins whose part was undone, with the hash of that part of the configuration: as long as it stays the
    /// same, it is not applied again without a request. Without a hash it is not, whatever it is.
    pub held: BTreeMap<String, String>,
}

impl Confirmation {
    /// Reads the state of the directory; a damaged file is moved aside and told, and counts as empty.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read or moved.
    pub fn load(directory: &Path) -> Result<(Self, Option<Damaged>), StateError> {
        let path = directory.join("confirmation.json");
        let (contents, damaged) = load_json::<Contents>(&path)?;
        let (pending, held) = contents.map(|contents| (contents.pending, contents.held)).unwrap_or_default();
        Ok((Self { path, pending, held }, damaged))
    }

    /// The hashes cannot be compared with any more: what was undone stays so until a request comes, because it may be what
    /// cut the machine off.
    ///
    /// # Errors
    ///
    /// When it cannot be stored; memory has it nevertheless.
    pub fn hold_whatever_is_configured(&mut self) -> Result<(), StateError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.values_mut().for_each(String::clear);
        self.store()
    }

    /// Stores what memory has; nothing to say is no file.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    pub fn store(&self) -> Result<(), StateError> {
        if self.pending.is_none() && self.held.is_empty() {
            return remove_file(&self.path);
        }
        let pending = self.pending.as_ref().map(|pending| Pending {
            steps: pending.steps.iter().map(RevocableStep::stored).collect(),
            ..pending.clone()
        });
        let contents = Contents { version: VERSION, pending, held: self.held.clone() };
        let json = serde_json::to_vec(&contents).expect("the state has text keys only, so it serialises");
        replace_file(&self.path, &json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sysconfig_protocol::{FieldChange, Risk};

    use super::*;

    fn step(sensitive: bool) -> RevocableStep {
        let change = FieldChange { field: "key".into(), from: Value::Null, to: "hunter2".into(), sensitive };
        let step = Step {
            id: "1".to_owned(),
            action: "set".to_owned(),
            resource: "thing".to_owned(),
            summary: "set the thing".to_owned(),
            changes: vec![change],
            risk: Risk::Safe,
            key: "test.x".to_owned(),
            data: json!({ "key": "hunter2" }),
        };
        RevocableStep { plugin: "x".to_owned(), plan: Digest("00".to_owned()), step, data_withheld: false }
    }

    #[test]
    fn what_can_be_undone_survives_a_restart_and_secrets_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let (mut state, _) = Confirmation::load(directory.path()).unwrap();
        assert!(state.pending.is_none());
        state.pending = Some(Pending { by_unix_ms: 7, within_ms: 5, steps: vec![step(false)] });
        state.held.insert("x".to_owned(), "hash".to_owned());
        state.store().unwrap();
        let (again, damaged) = Confirmation::load(directory.path()).unwrap();
        assert!(damaged.is_none());
        assert_eq!((&again.pending, &again.held), (&state.pending, &state.held));

        state.pending = Some(Pending { by_unix_ms: 7, within_ms: 5, steps: vec![step(true)] });
        state.store().unwrap();
        let text = std::fs::read_to_string(directory.path().join("confirmation.json")).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        let (again, _) = Confirmation::load(directory.path()).unwrap();
        assert!(again.pending.unwrap().steps[0].data_withheld);
        assert_eq!(state.pending.as_ref().unwrap().steps[0].step.data, json!({ "key": "hunter2" }), "memory has it");

        state.pending = None;
        state.held.clear();
        state.store().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        state.store().unwrap();
    }

    #[test]
    fn a_damaged_file_is_kept_aside_and_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("confirmation.json"), "[]").unwrap();
        let (state, damaged) = Confirmation::load(directory.path()).unwrap();
        assert!(damaged.is_some() && state.pending.is_none());
        assert!(directory.path().join("confirmation.json.damaged").exists());
    }
}
