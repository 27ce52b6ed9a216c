//! Comparing trees by what a program would see, where the ways to store the same content may differ.

use std::collections::BTreeSet;

use image_tree::{Content, Extent, ImagePath, Node, Store, StoreError, Tree};

use super::content::parts;

/// At most so many differences are told.
const DIFFERENCES_MAX: usize = 50;
/// Contents are compared in parts of so many bytes.
const PART_BYTES: usize = 256 << 10;

/// What differs between two trees, one line each: nodes that only one has, kinds, metadata, link sets, and bytes of
/// files. A hole and zeros are the same.
///
/// # Errors
/// A content cannot be read from its store.
pub fn differences(one: (&Tree, &Store), other: (&Tree, &Store)) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let paths: BTreeSet<ImagePath> = one.0.walk().chain(other.0.walk()).map(|entry| entry.path).collect();
    if one.0.root_metadata() != other.0.root_metadata() {
        found.push(format!("/: {:?} and {:?}", one.0.root_metadata(), other.0.root_metadata()));
    }
    for path in paths {
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
        let shown = String::from_utf8_lossy(path.as_bytes()).into_owned();
        match (one.0.get(&path), other.0.get(&path)) {
            (Some(left), Some(right)) => {
                if let Some(what) = node_difference((left, one.1), (right, other.1))? {
                    found.push(format!("{shown}: {what}"));
                }
            }
            (Some(_), None) => found.push(format!("{shown}: only in the first")),
            (None, Some(_)) => found.push(format!("{shown}: only in the second")),
            (None, None) => {}
        }
        let set = |tree: &Tree| tree.links(&path).map(|links| links.paths().cloned().collect::<BTreeSet<_>>());
        if set(one.0) != set(other.0) {
            found.push(format!("{shown}: other hard links"));
        }
    }
    Ok(found)
}

fn node_difference(one: (&Node, &Store), other: (&Node, &Store)) -> Result<Option<String>, StoreError> {
    if one.0.metadata != other.0.metadata {
        return Ok(Some(format!("{:?} and {:?}", one.0.metadata, other.0.metadata)));
    }
    match (one.0.content(), other.0.content()) {
        (Some(left), Some(right)) => content_difference((left, one.1), (right, other.1)),
        _ if one.0.kind == other.0.kind => Ok(None),
        _ => Ok(Some(format!("{:?} and {:?}", one.0.kind, other.0.kind))),
    }
}

fn content_difference(one: (&Content, &Store), other: (&Content, &Store)) -> Result<Option<String>, StoreError> {
    if one.0 == other.0 {
        return Ok(None);
    }
    if one.0.len() != other.0.len() {
        return Ok(Some(format!("{} and {} bytes", one.0.len(), other.0.len())));
    }
    // Where neither has data there is nothing to compare, however long the file is.
    let mut extents = Vec::new();
    for content in [one.0, other.0] {
        let whole = [Extent { offset: 0, len: content.len() }];
        extents.extend_from_slice(content.extents().unwrap_or(&whole));
    }
    let (left, right) = (one.1.open_content(one.0)?, other.1.open_content(other.0)?);
    let mut buffers = [vec![0; PART_BYTES], vec![0; PART_BYTES]];
    for part in parts(extents, PART_BYTES as u64) {
        let at = part * PART_BYTES as u64;
        let len = usize::try_from(one.0.len() - at).unwrap_or(PART_BYTES).min(PART_BYTES);
        let [first, second] = &mut buffers;
        let read = fill(|buffer, at| left.read_at(buffer, at), &mut first[..len], at)
            && fill(|buffer, at| right.read_at(buffer, at), &mut second[..len], at);
        if !read {
            return Ok(Some(format!("cannot be read from byte {at} on")));
        }
        if let Some(byte) = (0..len).find(|byte| first[*byte] != second[*byte]) {
            return Ok(Some(format!("differ from byte {} on", at + byte as u64)));
        }
    }
    Ok(None)
}

/// Reads until the buffer is full. Answers whether it is.
fn fill(read: impl Fn(&mut [u8], u64) -> std::io::Result<usize>, buffer: &mut [u8], at: u64) -> bool {
    let mut done = 0;
    while done < buffer.len() {
        match read(&mut buffer[done..], at + done as u64) {
            Ok(len) if len > 0 => done += len,
            _ => return false,
        }
    }
    true
}
