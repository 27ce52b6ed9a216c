//! `confirmation.json`: a change that waits for its confirmation, and parts that stay as they were.
//!
//! The steps of such a change are kept with the plugins' own data, because without it nothing can be taken back after
//! the daemon or the machine was started anew. The data of a step that changes sensitive properties is left out:
//! secrets are not stored. The file goes when the change is confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sysconfig_protocol::{Digest, Step};

use crate::trust::{self, Owners};

use super::{Aside, Damaged, StateError, load_json, remove_file, replace_file};

/// The file's name.
pub(super) const FILE: &str = "confirmation.json";
/// The version of the file's format that this code writes.
const VERSION: u32 = 1;

/// The contents of the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Contents {
    version: u32,
    #[serde(default)]
    pending: Option<Pending>,
    #[serde(default)]
    held: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    not_done: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    held_keys: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<LeftStep>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_lost: bool,
}

/// A change that is undone unless somebody confirms it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// When it is undone.
    pub by_unix_ms: u64,
    /// How long somebody has to confirm it, from its end.
    pub within_ms: u64,
    /// Its undoing has begun: it is too late to confirm it, and whoever is interrupted goes on with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_being_undone: bool,
    /// Keyed hashes of the parts of the configuration that it is about, by plugin: these are held when it is undone, also those
    /// that it had not come to. The files may say something else by then.
    #[serde(default)]
    pub parts: BTreeMap<String, String>,
    /// Keys that it sets and that nobody owned, with keyed hashes of their values: whoever comes and owns one was not in the change
    /// either.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unowned: BTreeMap<String, String>,
    /// Where its plugins are: the files may be faulty when it is to be undone.
    #[serde(default)]
    pub plugins: PluginPlaces,
    /// Its steps in the order in which they were carried out.
    pub steps: Vec<RevocableStep>,
}

/// Where plugins are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPlaces {
    /// As in [`crate::config::PluginSettings`], as far as JSON can hold it.
    pub path: Vec<String>,
    /// The same.
    pub allow_untrusted_owner: bool,
}

/// A step that can be taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevocableStep {
    /// The plugin that carried it out.
    pub plugin: String,
    /// The plan that it belongs to.
    pub plan: Digest,
    /// The step with the plugin's data.
    #[serde(deserialize_with = "super::stored::step")]
    pub step: Step,
    /// The data was left out when it was stored, so only the daemon that carried the step out can take it back.
    #[serde(default)]
    pub data_withheld: bool,
}

/// A step of an undone change that could not be taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftStep {
    /// The step.
    pub noted: RevocableStep,
    /// Why not, the last time that it was tried.
    pub error: String,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
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
#[derive(Debug, Clone)]
pub struct Confirmation {
    path: PathBuf,
    /// The change that waits.
    pub pending: Option<Pending>,
    /// Plugins whose part was undone, with the hash of that part of the configuration: as long as it stays the
    /// same, it is not applied again without a request. Without a hash it is not, whatever it is.
    pub held: BTreeMap<String, String>,
    /// Those of them whose part was to be confirmed, and was not undone, because it had not been carried out to its end.
    pub not_done: BTreeSet<String>,
    /// Keys that a change to be confirmed has set and that had no owner, with keyed hashes of their values: the part of whoever
    /// comes and owns one is held. Without a hash it is, whatever the value is.
    pub held_keys: BTreeMap<String, String>,
    /// What could not be taken back of changes that were undone, in the order in which it was carried out.
    pub left: Vec<LeftStep>,
    /// What the file said was lost, and nobody has asked for anything since: there may be a change that waits, and there may
    /// be parts that were undone, so nothing is applied without a request.
    pub is_lost: bool,
}

impl Confirmation {
    /// Whether nothing is known but that something was.
    pub fn is_only_lost(&self) -> bool {
        self.is_lost && self.says_nothing_else()
    }

    fn says_nothing_else(&self) -> bool {
        self.pending.is_none() && self.held.is_empty() && self.held_keys.is_empty() && self.left.is_empty()
    }

    /// Reads the state of the directory. A damaged file is told, is to be [copied aside](Damaged::keep) if it can be read, and stays until
    /// [`Self::store`] writes that its contents are lost: whenever that is interrupted, no unconfirmed change is taken for a
    /// confirmed one.
    pub fn load(directory: &Path) -> (Self, Option<Damaged>) {
        let path = directory.join(FILE);
        let (contents, damaged) = load_json::<Contents>(&path, VERSION, Aside::Copied);
        let is_lost = damaged.is_some();
        let contents = contents.unwrap_or(Contents { is_lost, ..Contents::default() });
        let Contents { pending, held, not_done, held_keys, left, is_lost, version: _ } = contents;
        let state = Self { path, pending, held, not_done, held_keys, left, is_lost };
        (state, damaged)
    }

    /// Where the plugins of the change are that waits in a directory, if there is one, and that is known.
    ///
    /// # Errors
    ///
    /// When others may have written it: the plugins will run, so nobody else's word counts.
    pub(crate) fn plugins_of_waiting(directory: &Path) -> Result<Option<PluginPlaces>, trust::Fault> {
        let file = directory.join(FILE);
        let Ok(metadata) = std::fs::symlink_metadata(&file) else { return Ok(None) };
        let fault = trust::fault_of_directory(directory, Owners::Trusted)
            .or_else(|| trust::fault_of_file(&file, &metadata, Owners::Trusted));
        if let Some(fault) = fault {
            return Err(fault);
        }
        let (state, _) = Self::load(directory);
        Ok(state.pending.map(|pending| pending.plugins).filter(|plugins| !plugins.path.is_empty()))
    }

    /// Whether the change that waits waits no longer for a word of anybody.
    pub fn is_being_undone(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.is_being_undone)
    }

    /// Whether some of a plugin's undone change could not be taken back.
    pub fn has_left(&self, plugin: &str) -> bool {
        self.left.iter().any(|left| left.noted.plugin == plugin)
    }

    /// The hashes cannot be compared with any more: what was undone stays so until a request comes, because it may be what
    /// cut the machine off. Whether there is anything, which is to be [stored](Self::store) then.
    pub fn hold_whatever_is_configured(&mut self) -> bool {
        self.held.values_mut().chain(self.held_keys.values_mut()).for_each(String::clear);
        let parts =
            self.pending.iter_mut().flat_map(|pending| pending.parts.values_mut().chain(pending.unowned.values_mut()));
        let known = parts.filter(|hash| !hash.is_empty()).map(String::clear).count();
        !self.held.is_empty() || !self.held_keys.is_empty() || known > 0
    }

    /// Stores what memory has; nothing to say is no file.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    pub fn store(&self) -> Result<(), StateError> {
        if self.says_nothing_else() && !self.is_lost {
            return remove_file(&self.path);
        }
        let pending = self.pending.as_ref().map(|pending| Pending {
            steps: pending.steps.iter().map(RevocableStep::stored).collect(),
            ..pending.clone()
        });
        let left = self.left.iter().map(|left| LeftStep { noted: left.noted.stored(), ..left.clone() }).collect();
        let (held, not_done, held_keys) = (self.held.clone(), self.not_done.clone(), self.held_keys.clone());
        let contents = Contents { version: VERSION, pending, held, not_done, held_keys, left, is_lost: self.is_lost };
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
        let (mut state, _) = Confirmation::load(directory.path());
        assert!(state.pending.is_none());
        let parts = BTreeMap::from([("x".to_owned(), "hash".to_owned())]);
        state.pending = Some(Pending {
            by_unix_ms: 7,
            within_ms: 5,
            parts: parts.clone(),
            unowned: BTreeMap::from([("y.key".to_owned(), "hash".to_owned())]),
            plugins: PluginPlaces { path: vec!["/p".to_owned()], allow_untrusted_owner: true },
            steps: vec![step(false)],
            ..Pending::default()
        });
        state.held.insert("x".to_owned(), "hash".to_owned());
        state.not_done.insert("x".to_owned());
        state.held_keys.insert("y.key".to_owned(), "hash".to_owned());
        state.left = vec![LeftStep { noted: step(true), error: "busy".to_owned(), help: None }];
        state.store().unwrap();
        let (again, damaged) = Confirmation::load(directory.path());
        assert!(damaged.is_none());
        assert_eq!((&again.pending, &again.held), (&state.pending, &state.held));
        assert_eq!((&again.not_done, &again.held_keys), (&state.not_done, &state.held_keys));
        assert!(
            again.left.len() == 1 && again.left[0].noted.data_withheld && again.left[0].error == "busy",
            "{again:?}"
        );
        state.left.clear();

        state.pending = Some(Pending { parts, steps: vec![step(true)], ..state.pending.unwrap() });
        state.store().unwrap();
        let text = std::fs::read_to_string(directory.path().join("confirmation.json")).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        let (again, _) = Confirmation::load(directory.path());
        assert!(again.pending.unwrap().steps[0].data_withheld);
        assert_eq!(state.pending.as_ref().unwrap().steps[0].step.data, json!({ "key": "hunter2" }), "memory has it");

        state.pending = None;
        state.held.clear();
        state.held_keys.clear();
        state.store().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        state.store().unwrap();
    }

    #[test]
    fn what_is_lost_is_known_until_somebody_asks_for_something() {
        let directory = tempfile::tempdir().unwrap();
        let text = |name: &str| std::fs::read_to_string(directory.path().join(name));
        std::fs::write(directory.path().join("confirmation.json"), "[]").unwrap();
        for _ in 0..2 {
            let (state, damaged) = Confirmation::load(directory.path());
            assert!(damaged.unwrap().keep() && state.pending.is_none() && state.is_lost);
            assert_eq!(text("confirmation.json.damaged").unwrap(), "[]");
        }
        Confirmation::load(directory.path()).0.store().unwrap();
        let (mut state, damaged) = Confirmation::load(directory.path());
        assert!(damaged.is_none() && state.is_lost, "it is told once where the file is kept, and lasts");
        state.is_lost = false;
        state.store().unwrap();
        assert!(text("confirmation.json").is_err() && text("confirmation.json.damaged").is_ok());
        assert!(!Confirmation::load(directory.path()).0.is_lost);
    }
}
