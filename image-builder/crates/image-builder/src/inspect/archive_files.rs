//! Tar archives, as `ls`, `cat` and `verify` read them: builds make them, too.

use super::InspectError;
use super::archive::{look_into, unpack};
use super::findings::Findings;
use super::long::{Long, shown};
use super::place::Place;
use crate::arguments::{Cat, Ls};
use crate::failure::Failure;
use crate::output::print;
use crate::scratch::Scratch;
use image_tree::{Follow, ImagePath, Node, Store, StoreOptions, TarError, TarErrorKind, Tree};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `image-builder ls ARCHIVE`. It has nothing but its files, so that without a path its root is listed.
pub(super) fn ls(place: &Place, arguments: &Ls) -> Result<(), Failure> {
    let archive = whole(place)?;
    let tree = look_into(archive)?.tree;
    let given = arguments.path.as_deref().unwrap_or(OsStr::new("/"));
    let follow = if given.as_bytes().ends_with(b"/") { Follow::Yes } else { Follow::No };
    let (path, node) = find(&tree, archive, given, follow)?;
    let mut list: Vec<Long<'_>> = Vec::new();
    let long = |name, path: &ImagePath, node| {
        Long::of_node(name, node, tree.links(path).map_or(1, |links| links.count() as u64))
    };
    match tree.read_dir(&path).filter(|_| !arguments.recursive) {
        Some(entries) => {
            for (name, node) in entries {
                let path = path.join(name).map_err(|error| InspectError::archive(archive, error))?;
                list.push(long(name.to_vec(), &path, node));
            }
        }
        None if node.is_directory() => {
            list.extend(tree.walk_from(&path).map(|one| long(one.path.as_bytes().to_vec(), &one.path, one.node)));
        }
        None => list.push(long(path.as_bytes().to_vec(), &path, node)),
    }
    print(|output| {
        if arguments.json {
            let files: Vec<_> = list.iter().map(Long::value).collect();
            let value = json!({ "archive": archive, "files": files });
            return writeln!(output, "{value}").map_err(Failure::from_output);
        }
        list.iter().try_for_each(|one| writeln!(output, "{}", one.line())).map_err(Failure::from_output)
    })
}

/// `image-builder cat ARCHIVE PATH`.
pub(super) fn cat(place: &Place, arguments: &Cat) -> Result<(), Failure> {
    let archive = whole(place)?;
    let scratch = Scratch::make().map_err(InspectError::Temporary)?;
    let store = Store::open_with(scratch.path().join("store"), StoreOptions { sync: false });
    let store = store.map_err(|error| InspectError::archive(archive, error))?;
    let tree = unpack(archive, &store)?.tree;
    let (_, node) = find(&tree, archive, &arguments.path, Follow::Yes)?;
    let (path, what) = (archive.clone(), shown(arguments.path.as_bytes()));
    let Some(content) = node.content() else {
        return Err(match node.is_directory() {
            true => InspectError::Directory { path, what },
            false => InspectError::NotRegular { path, what },
        }
        .into());
    };
    let mut reader = store.open_content(content).map_err(|error| InspectError::archive(archive, error))?;
    print(|output| io::copy(&mut reader, output).map(drop).map_err(Failure::from_output))
}

/// Reads all of an archive. Contents have no checksums in a tar, so that only a checksum beside it can tell of them.
pub(super) fn check(archive: &Path, findings: &mut Findings) -> Result<(), InspectError> {
    match look_into(archive) {
        Ok(unpacked) => {
            let (entries, bytes) = (unpacked.entries, unpacked.content_bytes);
            findings.good.push(format!("archive: {entries} entries with {bytes} bytes of content were read"));
            let left_out = unpacked.warnings.iter().map(|warning| format!("{}, {} times", warning.kind, warning.count));
            findings.unread.extend(left_out);
        }
        Err(InspectError::Archive { source, .. }) if is_damage(source.as_ref()) => {
            let mut text = format!("archive: {source}");
            let mut cause = source.source();
            while let Some(inner) = cause {
                let _ = write!(text, ": {inner}");
                cause = inner.source();
            }
            findings.bad.push(text);
        }
        Err(other) => return Err(other),
    }
    check_sum(archive, findings)
}

/// Whether the archive is to blame. Sound ones can have what is not supported, or more than is taken.
fn is_damage(error: &(dyn std::error::Error + 'static)) -> bool {
    match error.downcast_ref::<TarError>().map(|error| &error.kind) {
        // What the decompression says; the others are what the system says.
        Some(TarErrorKind::Read(source)) => {
            matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        }
        Some(kind) => matches!(
            kind,
            TarErrorKind::Truncated
                | TarErrorKind::Checksum
                | TarErrorKind::Field(_)
                | TarErrorKind::Extended(_)
                | TarErrorKind::NoName(_)
                | TarErrorKind::LinkTarget { .. }
        ),
        None => false,
    }
}

fn check_sum(archive: &Path, findings: &mut Findings) -> Result<(), InspectError> {
    let mut beside = archive.as_os_str().to_owned();
    beside.push(".sha256");
    let beside = PathBuf::from(beside);
    let text = match fs::read(&beside) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.unread.push(format!("whether contents were changed: there is no checksum {}", beside.display()));
            return Ok(());
        }
        Err(source) => return Err(InspectError::Read { path: beside, source }),
    };
    let failed = |source| InspectError::Read { path: archive.to_owned(), source };
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(archive).map_err(failed)?, &mut hasher).map_err(failed)?;
    let sum = hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    match text.split_whitespace().next() {
        Some(wanted) if wanted.eq_ignore_ascii_case(&sum) => {
            findings.good.push(format!("checksum: SHA-256 is that of {}", beside.display()));
        }
        _ => findings.bad.push(format!("checksum: SHA-256 is {sum}, and not that of {}", beside.display())),
    }
    Ok(())
}

/// The archive itself, without a dataset.
fn whole(place: &Place) -> Result<&PathBuf, InspectError> {
    match &place.dataset {
        None => Ok(&place.image),
        Some(dataset) => Err(InspectError::NoDatasets { path: place.image.clone(), dataset: dataset.clone() }),
    }
}

fn find<'t>(
    tree: &'t Tree,
    archive: &Path,
    path: &OsStr,
    follow: Follow,
) -> Result<(ImagePath, &'t Node), InspectError> {
    let failed = |source| InspectError::InArchive { path: archive.to_owned(), what: shown(path.as_bytes()), source };
    let path = ImagePath::from_relative(path.as_bytes()).map_err(|error| failed(Box::new(error)))?;
    tree.lookup(&path, follow).map_err(|error| failed(Box::new(error)))
}
