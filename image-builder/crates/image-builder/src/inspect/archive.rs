//! Archives: what they are told by, how they are read, and how `diff` compares them.

use super::InspectError;
use super::difference::Difference;
use super::long::{shown, time_text};
use crate::scratch::Scratch;
use flate2::read::GzDecoder;
use image_tree::{
    Change, ChangeKind, Field, ImagePath, Node, NodeKind, ReadTarOptions, Store, Tree, Unpacked, diff, is_tar_header,
    read_tar,
};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// What is in a tar archive, plain or gzip; none if the file is something else.
///
/// # Errors
/// When it cannot be read, or is an archive that is damaged.
pub(super) fn read(path: &Path) -> Result<Option<Tree>, InspectError> {
    if !is_archive(path) {
        return Ok(None);
    }
    look_into(path).map(|unpacked| Some(unpacked.tree))
}

/// Reads an archive whose contents nobody wants: they are hashed, and not kept.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub(super) fn look_into(path: &Path) -> Result<Unpacked, InspectError> {
    let nowhere = Scratch::make().map_err(InspectError::Temporary)?;
    let store = Store::open_dry(nowhere.path().join("store"));
    unpack(path, &store.map_err(|error| InspectError::archive(path, error))?)
}

/// Reads an archive into a store.
///
/// # Errors
/// As for [`look_into`].
pub(super) fn unpack(path: &Path, store: &Store) -> Result<Unpacked, InspectError> {
    let file = File::open(path).map_err(|source| InspectError::Read { path: path.to_owned(), source })?;
    let file = BufReader::with_capacity(1 << 20, file);
    read_tar(file, store, ReadTarOptions::default()).map_err(|error| InspectError::archive(path, error))
}

/// By its first header, which may be packed by gzip. What cannot be unpacked is taken for a damaged archive.
pub(crate) fn is_archive(path: &Path) -> bool {
    if !is_gzip(path) {
        return head(path).is_ok_and(|head| is_tar_header(&head));
    }
    // An archive of nothing is a record of zeros, and those of a disk's first sectors go on.
    let mut head = Vec::new();
    let unpacked = File::open(path).and_then(|file| GzDecoder::new(file).take(RECORD_BYTES + 1).read_to_end(&mut head));
    let is_empty = !head.is_empty() && head.len() as u64 <= RECORD_BYTES && head.iter().all(|byte| *byte == 0);
    unpacked.is_err() || is_empty || is_tar_header(&head)
}

/// By its magic (RFC 1952, 2.3.1).
pub(super) fn is_gzip(path: &Path) -> bool {
    head(path).is_ok_and(|head| head.starts_with(&[0x1f, 0x8b]))
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut head)?;
    Ok(head)
}

/// What tar writes at once, and pads an archive to.
const RECORD_BYTES: u64 = 20 * 512;

/// What differs between two archives; what is below something that only one of them has goes without saying.
pub(super) fn compare(before: &Tree, after: &Tree, found: &mut Vec<Difference>) {
    let mut alone: Option<ImagePath> = None;
    for Change { path, kind } in diff(before, after) {
        let node = |tree: &Tree| tree.get(&path).cloned();
        let (sign, how) = match &kind {
            ChangeKind::Changed(fields) => {
                let nodes = node(before).zip(node(after));
                let text = |field: &Field| nodes.as_ref().map(|(old, new)| describe(*field, old, new));
                ('~', fields.iter().filter_map(text).collect())
            }
            _ if alone.as_ref().is_some_and(|above| path.starts_with(above)) => continue,
            one_side => {
                let (sign, tree) = if *one_side == ChangeKind::Removed { ('-', before) } else { ('+', after) };
                let is_directory = node(tree).is_some_and(|node| node.is_directory());
                alone = Some(path.clone());
                (sign, if is_directory { vec!["a directory with all that is in it".to_owned()] } else { Vec::new() })
            }
        };
        let mut difference = Difference::new(sign, shown(path.as_bytes()), how);
        difference.path = Some(path.as_bytes().to_vec());
        found.push(difference);
    }
}

fn describe(field: Field, old: &Node, new: &Node) -> String {
    let (before, after) = (&old.metadata, &new.metadata);
    let target = |node: &Node| match &node.kind {
        NodeKind::Symlink(target) => shown(target),
        _ => String::new(),
    };
    match field {
        Field::Kind => format!("{} → {}", old.kind.name(), new.kind.name()),
        Field::Target => format!("target {} → {}", target(old), target(new)),
        Field::Uid => format!("owner {} → {}", before.uid, after.uid),
        Field::Gid => format!("group {} → {}", before.gid, after.gid),
        Field::Mode => format!("mode {:04o} → {:04o}", before.mode, after.mode),
        Field::Mtime if before.mtime.secs == after.mtime.secs => "time, by less than a second".to_owned(),
        Field::Mtime => format!("time {} → {}", time_text(before.mtime.secs), time_text(after.mtime.secs)),
        Field::Content => "content".to_owned(),
        Field::Device => "device number".to_owned(),
        Field::Xattrs => "extended attributes".to_owned(),
        Field::Acl => "access control list".to_owned(),
        Field::Links => "other names of it".to_owned(),
    }
}
