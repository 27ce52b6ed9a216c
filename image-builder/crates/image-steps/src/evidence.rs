//! What lies beside an output and says where it came from: checksums, a manifest of all files with the step that
//! made each, the software in it, the template as it was understood, and how long everything took.
//!
//! For an output `G-O` these are `FILE.sha256` for each of its files, `G-O.manifest.jsonl` and `G-O.evidence.json`.
//! They are written when the output changes, and are no part of it: they hold times of this run. Whoever changes an output
//! removes them first: a run that ends in between leaves an output without evidence, and never with that of another.

pub(crate) mod files;
mod manifest;
mod name;
mod software;

pub use files::{EVIDENCE_SUFFIX, MANIFEST_SUFFIX};
pub use name::{name_of, put_name};

use crate::context::Context;
use crate::inputs::{FileIdentity, Input, for_each_piece};
use crate::lineage::{Archives, LineageStep, Traced, traced};
use crate::output::{hex, replace, set_mode, sync_parent};
use crate::run::TemplateRun;
use files::{SHA256_SUFFIX, checksum_of, own_files};
use image_tree::{ImagePath, Node, StoreError, Tree};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use template::Template;

/// Where it is kept which files the evidence of an output is of.
pub(crate) const EVIDENCE: &str = "evidence";
/// Changes when the same output would get other evidence.
const VERSION: u32 = 3;

/// The evidence of an output cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// An output cannot be read, or a file beside it not be written.
    #[error("cannot {operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The store cannot be read or written.
    #[error("cannot look up which step made what")]
    Store(#[source] StoreError),
}

/// What there is to tell of one output.
pub(crate) struct Subject<'a> {
    pub(crate) template: &'a Template,
    pub(crate) lineage: &'a [LineageStep],
    /// Where the archives are from that its steps have unpacked.
    pub(crate) archives: &'a Archives,
    pub(crate) inputs: &'a [Input],
    pub(crate) run: &'a TemplateRun,
    /// Names of its files in the output directory.
    pub(crate) files: Vec<String>,
}

/// What is remembered of evidence that was written.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    version: u32,
    files: Vec<FileIdentity>,
    /// Hash of what was told of them, but for times.
    #[serde(default)]
    told: String,
}

impl Written {
    fn read(context: &Context<'_>) -> Option<Self> {
        let bytes = context.store.record_get(EVIDENCE, context.output_key().as_bytes()).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The checksum of a file, if that and what is beside it are as they were: reading an image takes long.
    fn sum_of(&self, file: &Path) -> Option<String> {
        let beside = checksum_of(file);
        let is_known = |path: &Path| FileIdentity::of(path).is_ok_and(|identity| self.files.contains(&identity));
        let line = (is_known(file) && is_known(&beside)).then(|| std::fs::read_to_string(&beside).ok())??;
        let (sum, name) = line.trim_end().split_once("  ")?;
        (sum.len() == 64 && file.file_name()? == name).then(|| sum.to_owned())
    }
}

impl Subject<'_> {
    /// Whether the evidence of these very files is there, and says of them what is to be said now: lines of templates move.
    pub(crate) fn is_current(&self, context: &Context<'_>) -> bool {
        let written = Written::read(context);
        written.is_some() && written == self.written(context).ok()
    }

    /// Hash of all that evidence and manifest say of these files, but for times and for what follows from the files.
    fn told(&self) -> String {
        let told = (effective(self.template), self.lineage, self.archives, self.inputs, &self.run.needs);
        blake3::hash(&serde_json::to_vec(&told).expect("hashes and names are JSON")).to_hex().to_string()
    }

    /// Output files and evidence files, all of which have to be as they were.
    fn written(&self, context: &Context<'_>) -> Result<Written, EvidenceError> {
        let beside = self.files.iter().map(|file| format!("{file}.{SHA256_SUFFIX}"));
        let all = self.files.iter().cloned().chain(beside).chain(own_files(&context.output_name));
        let identity = |name: String| {
            let path = context.workspace.output().join(name);
            FileIdentity::of(&path).map_err(|source| EvidenceError::File { operation: "look at", path, source })
        };
        let files = all.map(identity).collect::<Result<_, _>>()?;
        Ok(Written { version: VERSION, files, told: self.told() })
    }

    /// Writes everything; `tree` is what is in the image.
    pub(crate) fn write(&self, tree: &Tree, context: &Context<'_>) -> Result<(), EvidenceError> {
        let directory = context.workspace.output();
        let files = &self.files;
        let traced = traced(self.lineage, self.archives, context.store).map_err(EvidenceError::Store)?;
        let written = Written::read(context);
        // Reading an image again takes longer than everything else together: minutes, where it is hundreds of GiB.
        context.progress.detail(&format!("checksum of {}", files.join(", ")));
        let (sums, rest) = thread::scope(|scope| {
            let sums = scope.spawn(|| write_sums(files, directory, written.as_ref()));
            let rest = self.write_manifest(tree, &traced, context).map(|()| software::installed(tree, context.store));
            (sums.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), rest)
        });
        let (sums, software) = (sums?, rest?);
        let evidence = json!({
            "format": VERSION,
            "builder": concat!("image-builder ", env!("CARGO_PKG_VERSION")),
            "template": context.subject,
            "output": context.output_name,
            "files": sums,
            "features": self.template.features,
            "inputs": self.inputs,
            "software": software,
            "effective": effective(self.template),
            "removed": removed(tree, &traced),
            "run": self.run,
        });
        let mut text = serde_json::to_vec_pretty(&evidence).expect("names and numbers are JSON");
        text.push(b'\n');
        let path = directory.join(format!("{}{EVIDENCE_SUFFIX}", context.output_name));
        put(&path, &text)?;
        sync_parent(&path).map_err(|source| EvidenceError::File { operation: "make durable", path, source })?;
        let written = serde_json::to_vec(&self.written(context)?).expect("numbers are JSON");
        context.store.record_put(EVIDENCE, context.output_key().as_bytes(), &written).map_err(EvidenceError::Store)
    }

    fn write_manifest(&self, tree: &Tree, traced: &Traced<'_>, context: &Context<'_>) -> Result<(), EvidenceError> {
        let finishing = format!("target {}", self.template.target.name());
        let manifest = manifest::lines(tree, &traced.made, &finishing);
        put(&context.workspace.output().join(format!("{}{MANIFEST_SUFFIX}", context.output_name)), &manifest)
    }
}

/// Writes the checksum of each file beside it, unless it is one of those that were `written`; answers what the evidence
/// says of them.
fn write_sums(files: &[String], directory: &Path, written: Option<&Written>) -> Result<Vec<Value>, EvidenceError> {
    let mut sums = Vec::with_capacity(files.len());
    for name in files {
        let path = directory.join(name);
        let failed = |source| EvidenceError::File { operation: "look at", path: path.clone(), source };
        let (sum, bytes) = match written.and_then(|written| written.sum_of(&path)) {
            Some(sum) => (sum, path.metadata().map_err(failed)?.len()),
            None => {
                let (sum, bytes) = sha256(&path)?;
                put(&checksum_of(&path), format!("{sum}  {name}\n").as_bytes())?;
                (sum, bytes)
            }
        };
        sums.push(json!({ "name": name, "bytes": bytes, "sha256": sum }));
    }
    Ok(sums)
}

/// What steps have removed and nothing made again, in their order. Of a directory that is there again, others of its
/// files may be.
fn removed(tree: &Tree, traced: &Traced<'_>) -> Vec<Value> {
    let is_gone = |path: &ImagePath| tree.get(path).is_none_or(Node::is_directory);
    let removed = traced.removed.iter().filter(|(path, _)| is_gone(path));
    let line = |(path, step): &(ImagePath, &LineageStep)| {
        let mut line = Map::new();
        put_name(&mut line, "path", path.as_bytes());
        line.extend(manifest::named(step));
        Value::from(line)
    };
    removed.map(line).collect()
}

/// The template as it was understood: after includes, guards, features and expansion, each step with its place.
#[must_use]
pub fn effective(template: &Template) -> Value {
    let steps = template.steps.iter().map(|located| {
        let chain: Vec<String> = located.origin.chain().iter().map(ToString::to_string).collect();
        let mut step = json!(located.step);
        write_as_in_templates(&mut step);
        json!({ "step": step, "origin": located.origin.to_string(), "included_from": chain })
    });
    let skipped = template.skipped.iter().map(|step| {
        let reason = match &step.guard {
            template::Guard::With(feature) => format!("feature `{feature}` is not defined"),
            template::Guard::Without(feature) => format!("feature `{feature}` is defined"),
        };
        json!({ "step": step.name, "origin": step.origin.to_string(), "reason": reason })
    });
    json!({
        "template": format!("{}/{}", template.group, template.name),
        "target": template.target,
        "target_origin": template.target_origin.to_string(),
        "features": template.features,
        "steps": steps.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "files_read": template.files_read,
    })
}

/// Modes and owners as people write them, not as steps have them.
fn write_as_in_templates(step: &mut Value) {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    for (field, value) in step.as_object_mut().into_iter().flatten() {
        let text = match (field.as_str(), number(value)) {
            ("mode", Some(mode)) => Some(format!("{mode:04o}")),
            ("owner", Some(uid)) => template::user_name(uid).map(str::to_owned),
            ("group", Some(gid)) => template::group_name(gid).map(str::to_owned),
            _ => None,
        };
        if let Some(text) = text {
            *value = text.into();
        }
    }
}

/// For its owner only, as the output is. The directory is made durable when all is there.
fn put(path: &Path, bytes: &[u8]) -> Result<(), EvidenceError> {
    let failed = |source| EvidenceError::File { operation: "write", path: path.to_owned(), source };
    replace(path, bytes).and_then(|()| set_mode(path, 0o600)).map_err(failed)
}

fn sha256(path: &Path) -> Result<(String, u64), EvidenceError> {
    let failed = |source| EvidenceError::File { operation: "read", path: path.to_owned(), source };
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let file = File::open(path).map_err(failed)?;
    for_each_piece(file, |piece| {
        hasher.update(piece);
        bytes += piece.len() as u64;
    })
    .map_err(failed)?;
    Ok((hex(&hasher.finalize()), bytes))
}
