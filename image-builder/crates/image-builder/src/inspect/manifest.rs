//! The manifest that a build leaves beside an image: which step made what.

use image_steps::MANIFEST_SUFFIX;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The lines of a manifest by their paths.
#[derive(Debug)]
pub(super) struct Manifest(BTreeMap<String, Map<String, Value>>);

/// What says how a line came about, and not what it is about.
const ORIGIN: [&str; 4] = ["path", "step", "origin", "template"];

impl Manifest {
    /// The one beside an image, whatever form of it is meant; none when there is none.
    pub(super) fn beside(image: &Path) -> Option<Self> {
        let name = format!("{}{MANIFEST_SUFFIX}", image.file_stem()?.to_string_lossy());
        let text = fs::read_to_string(image.with_file_name(name)).ok()?;
        let line = |line: &str| {
            let fields = serde_json::from_str::<Map<String, Value>>(line).ok()?;
            Some((fields.get("path")?.as_str()?.to_owned(), fields))
        };
        Some(Self(text.lines().filter_map(line).collect()))
    }

    /// The step that made a path, and where it is written.
    pub(super) fn step(&self, path: &str) -> Option<String> {
        let fields = self.0.get(path)?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        let step = text("step")?;
        Some(text("origin").map_or_else(|| step.to_owned(), |origin| format!("{step}, {origin}")))
    }

    /// What `after` has otherwise: a sign, the path, and what of it differs.
    pub(super) fn changes(&self, after: &Self) -> Vec<(char, String, Vec<String>)> {
        let paths: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        let change = |path: &String| match (self.0.get(path), after.0.get(path)) {
            (Some(_), None) => Some(('-', path.clone(), Vec::new())),
            (None, Some(_)) => Some(('+', path.clone(), Vec::new())),
            (Some(old), Some(new)) => {
                let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                let differs = |key: &&&String| !ORIGIN.contains(&key.as_str()) && old.get(**key) != new.get(**key);
                let how: Vec<String> = keys.iter().filter(differs).map(|key| describe(key, old, new)).collect();
                (!how.is_empty()).then(|| ('~', path.clone(), how))
            }
            (None, None) => None,
        };
        paths.into_iter().filter_map(change).collect()
    }
}

fn describe(key: &str, old: &Map<String, Value>, new: &Map<String, Value>) -> String {
    if key.ends_with("blake3") {
        return "content".to_owned();
    }
    let text = |fields: &Map<String, Value>| match fields.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    format!("{key} {} → {}", text(old), text(new))
}
