//! What a build leaves beside an output: which step made what, and which removed it.

use image_steps::{EVIDENCE_SUFFIX, MANIFEST_SUFFIX, name_of};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What is known of the files in an output.
#[derive(Debug)]
pub(super) struct Provenance {
    /// The lines of the manifest by their paths.
    lines: BTreeMap<Vec<u8>, Map<String, Value>>,
    /// What steps have removed, in their order.
    removed: Vec<Map<String, Value>>,
    /// Places of steps that were done after this output was packed: they have nothing to do with it.
    later: BTreeSet<String>,
}

/// What says how a line came about, and not what it is about.
const ORIGIN: [&str; 6] = ["path", "path_hex", "step", "origin", "template", "packed"];

impl Provenance {
    /// Of an output that a build has made, in whatever form; none when nothing lies beside it.
    pub(super) fn beside(output: &Path) -> Option<Self> {
        let file = output.file_name()?.to_str()?;
        let stem = output.file_stem()?.to_string_lossy().into_owned();
        let (name, evidence) = named(output, file).unwrap_or((stem, Value::Null));
        let text = fs::read_to_string(output.with_file_name(format!("{name}{MANIFEST_SUFFIX}"))).ok()?;
        let line = |line: &str| {
            let fields = serde_json::from_str::<Map<String, Value>>(line).ok()?;
            Some((name_of(&fields, "path")?, fields))
        };
        let removed = evidence["removed"].as_array().into_iter().flatten();
        Some(Self {
            lines: text.lines().filter_map(line).collect(),
            removed: removed.filter_map(|one| one.as_object().cloned()).collect(),
            later: later_steps(&evidence, file),
        })
    }

    /// The step that made a path, and where it is written.
    pub(super) fn made(&self, path: &[u8]) -> Option<String> {
        self.told(self.lines.get(path)?)
    }

    /// The step that removed a path, or a directory that it was in.
    pub(super) fn removed(&self, path: &[u8]) -> Option<String> {
        let is_in = |one: &&Map<String, Value>| {
            let above = name_of(one, "path");
            let rest = above.as_deref().and_then(|above| path.strip_prefix(above));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        self.removed.iter().rev().filter(is_in).find_map(|one| self.told(one))
    }

    fn told(&self, fields: &Map<String, Value>) -> Option<String> {
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        let (step, origin) = (text("step")?, text("origin"));
        if origin.is_some_and(|origin| self.later.contains(origin)) {
            return None;
        }
        let told = origin.map_or_else(|| step.to_owned(), |origin| format!("{step}, {origin}"));
        // What was only unpacked here was made by a step of another template.
        let packed = fields.get("packed").and_then(Value::as_object);
        let text = |key: &str| packed.and_then(|packed| packed.get(key)).and_then(Value::as_str);
        Some(match (text("step"), text("origin")) {
            (Some(step), Some(origin)) => format!("{step}, {origin}, through {told}"),
            _ => told,
        })
    }

    /// What `after` has otherwise: a sign, the path, and what of it differs.
    pub(super) fn changes(&self, after: &Self) -> Vec<(char, Vec<u8>, Vec<String>)> {
        let paths: BTreeSet<&Vec<u8>> = self.lines.keys().chain(after.lines.keys()).collect();
        let change = |path: &Vec<u8>| match (self.lines.get(path), after.lines.get(path)) {
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

/// The name of the output that a file belongs to, with its evidence. An archive is called as the template says, so that its
/// name does not tell.
fn named(output: &Path, file: &str) -> Option<(String, Value)> {
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = |path: &PathBuf| path.file_name()?.to_str()?.strip_suffix(EVIDENCE_SUFFIX).map(str::to_owned);
    let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let mut names: Vec<(String, PathBuf)> = entries.filter_map(|path| Some((name(&path)?, path))).collect();
    // Most files are called after their output.
    names.sort_by_key(|(name, _)| (!file.starts_with(&format!("{name}.")), name.clone()));
    let sum = fs::read_to_string(directory.join(format!("{file}.sha256"))).ok();
    let sum = sum.as_deref().and_then(|line| line.split_whitespace().next());
    let bytes = fs::metadata(output).ok()?.len();
    names.into_iter().find_map(|(name, path)| {
        let evidence: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        // An image may have been booted and have grown since.
        let is_image = file.starts_with(&format!("{name}."));
        // Several templates may have packed an archive in turn: the sum beside it is that of the last one. A build that was
        // killed has removed it, with the evidence of its own template: what is left is of another archive.
        let is_last = |one: &Value| sum.map_or(is_image, |sum| one["sha256"] == sum);
        let is_this = |one: &Value| one["name"] == file && (is_image || one["bytes"] == bytes) && is_last(one);
        evidence["files"].as_array()?.iter().any(is_this).then_some((name, evidence))
    })
}

/// Where the steps are written that come after the one that packs `file`.
fn later_steps(evidence: &Value, file: &str) -> BTreeSet<String> {
    let steps = evidence["effective"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let packs = |located: &Value| located["step"]["t"] == "pack_tar" && located["step"]["name"] == file;
    let after = steps.iter().rposition(packs).map_or(steps.len(), |index| index + 1);
    steps[after..].iter().filter_map(|located| located["origin"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// It was looked for by the name of the file, which only images have of their output.
    #[test]
    fn an_archive_belongs_to_whoever_packed_it_last() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
        let step = |step: &str, origin: &str| json!({ "step": { "t": step, "name": "a.tar" }, "origin": origin });
        for (name, sum) in [("g-one", "11"), ("g-two", "22")] {
            let steps = [step("ensure_file", "t:1"), step("pack_tar", "t:2"), step("ensure_file", "t:3")];
            let evidence = json!({
                "files": [{ "name": "a.tar", "sha256": sum, "bytes": 5 }],
                "effective": { "steps": steps },
                "removed": [{ "path": "/d", "step": name, "origin": "t:1" }, { "path": "/late", "step": name, "origin": "t:3" }],
            });
            write(&format!("{name}{EVIDENCE_SUFFIX}"), &evidence.to_string());
            let line = |path: &str, origin: &str| json!({ "path": path, "step": name, "origin": origin }).to_string();
            write(&format!("{name}{MANIFEST_SUFFIX}"), &[line("/x", "t:1"), line("/y", "t:3")].join("\n"));
        }
        write("a.tar", "short");
        assert!(Provenance::beside(&directory.path().join("a.tar")).is_none(), "whoever packed it last was killed");
        write("a.tar.sha256", "22  a.tar\n");
        let found = Provenance::beside(&directory.path().join("a.tar")).expect("evidence");
        assert_eq!(found.made(b"/x").as_deref(), Some("g-two, t:1"));
        assert_eq!(found.made(b"/y"), None, "it was made after the archive was packed");
        assert_eq!(found.removed(b"/d/e").as_deref(), Some("g-two, t:1"));
        assert_eq!((found.removed(b"/de"), found.removed(b"/late")), (None, None));
        assert!(Provenance::beside(&directory.path().join("b.tar")).is_none());
        write("a.tar", "somebody's");
        assert!(Provenance::beside(&directory.path().join("a.tar")).is_none(), "it is another archive now");
    }
}
