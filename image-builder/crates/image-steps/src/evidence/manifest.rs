//! The manifest: one line of JSON for each path of the image.

use crate::lineage::LineageStep;
use image_tree::{ImagePath, NodeKind, Tree};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The lines, in path order. What no step made, `finishing` did.
pub(super) fn lines(tree: &Tree, made_by: &BTreeMap<ImagePath, &LineageStep>, finishing: &str) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in tree.walk() {
        let metadata = &entry.node.metadata;
        let mut line = Map::new();
        let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
        put("path", json!(String::from_utf8_lossy(entry.path.as_bytes())));
        put("type", json!(entry.node.kind.name()));
        put("mode", json!(format!("{:04o}", metadata.mode)));
        put("uid", json!(metadata.uid));
        put("gid", json!(metadata.gid));
        put("mtime", json!(metadata.mtime.secs));
        match &entry.node.kind {
            NodeKind::Regular(content) => {
                put("bytes", json!(content.len()));
                // The store knows the hash of what is there; holes are not in it.
                let hash = if content.extents().is_none() { "blake3" } else { "data_blake3" };
                put(hash, json!(content.blob().to_string()));
            }
            NodeKind::Symlink(target) => {
                put("target", json!(String::from_utf8_lossy(target)));
            }
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                put("device", json!([major, minor]));
            }
            NodeKind::Directory | NodeKind::Fifo => {}
        }
        if let Some(links) = entry.links.as_ref().filter(|links| *links.first() != entry.path) {
            put("link_of", json!(String::from_utf8_lossy(links.first().as_bytes())));
        }
        match made_by.get(&entry.path) {
            Some(step) => {
                put("step", json!(step.title));
                put("origin", json!(step.origin));
                put("template", json!(step.template));
            }
            None if entry.path.is_root() => {}
            None => {
                put("step", json!(finishing));
            }
        }
        lines.extend(serde_json::to_vec(&line).expect("texts and numbers are JSON"));
        lines.push(b'\n');
    }
    lines
}
