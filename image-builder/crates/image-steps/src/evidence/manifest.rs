//! The manifest: one line of JSON for each path of the image.

use super::name::put_name;
use crate::lineage::{LineageStep, Made};
use image_tree::{ImagePath, NodeKind, Tree};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The lines, in path order. What no step made, `finishing` did.
pub(super) fn lines(tree: &Tree, made_by: &BTreeMap<ImagePath, Made<'_>>, finishing: &str) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in tree.walk() {
        let metadata = &entry.node.metadata;
        let mut line = Map::new();
        put_name(&mut line, "path", entry.path.as_bytes());
        let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
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
            NodeKind::Symlink(target) => put_name(&mut line, "target", target),
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                put("device", json!([major, minor]));
            }
            NodeKind::Directory | NodeKind::Fifo => {}
        }
        if let Some(links) = entry.links.as_ref().filter(|links| *links.first() != entry.path) {
            put_name(&mut line, "link_of", links.first().as_bytes());
        }
        match made_by.get(&entry.path) {
            Some(made) => {
                line.extend(named(made.step));
                line.extend(made.packed.map(|step| ("packed".to_owned(), named(step).into())));
            }
            None if entry.path.is_root() => {}
            None => drop(line.insert("step".to_owned(), json!(finishing))),
        }
        lines.extend(serde_json::to_vec(&line).expect("texts and numbers are JSON"));
        lines.push(b'\n');
    }
    lines
}

/// A step with its place and its template, in JSON.
pub(super) fn named(step: &LineageStep) -> Map<String, Value> {
    let texts = [("step", &step.title), ("origin", &step.origin), ("template", &step.template)];
    texts.into_iter().map(|(key, text)| (key.to_owned(), json!(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_tree::{Metadata, Node};

    /// Both had the path `/f\u{fffd}`.
    #[test]
    fn no_two_paths_have_the_same_line() {
        let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
        for name in [b"f\xff", b"f\xfe"] {
            let path = ImagePath::root().join(name).expect("a name");
            let node = Node::symlink(b"to\xfd".as_slice(), Metadata::new(0, 0, 0o777));
            tree.insert(&path, node).expect("inserted");
        }
        let lines = lines(&tree, &BTreeMap::new(), "finishing");
        let lines: Vec<Value> = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect();
        let told: Vec<(&str, &Value, &Value)> = lines
            .iter()
            .map(|line| (line["path"].as_str().expect("a path"), &line["path_hex"], &line["target_hex"]))
            .collect();
        let (fe, ff, target) = (json!("2f66fe"), json!("2f66ff"), json!("746ffd"));
        let expected = [("/", &Value::Null, &Value::Null), ("/f\u{fffd}", &fe, &target), ("/f\u{fffd}", &ff, &target)];
        assert_eq!(told, expected);
    }
}
