//! The boot archive: the files that the kernel needs before it can read the pool, in one file that the loader loads.
//!
//! What `bootadm update-archive -R` does, from the image's own file list. Facts: illumos-gate's bootadm,
//! `boot-archive-update` and `bootrd_cpio.c`. Beside the archive there is its hash, and what the first boot compares with
//! the files, so that it finds the archive current and does not make it anew and reboot.

use super::cpio::CpioWriter;
use crate::context::Context;
use crate::output::hex;
use crate::state::{ImageState, written};
use crate::steps::StepError;
use crate::steps::error::{store, tree};
use crate::steps::files::{join_files, tree_content};
use flate2::Compression;
use flate2::write::GzEncoder;
use image_tree::{BlobHash, Content, ImagePath, Metadata, Node, NodeKind, Tree};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write};
use zfs_format::nvlist::NvList;

/// The lists of what goes into the archive; the second is the administrator's, and may be missing.
const FILE_LISTS: [&str; 2] = ["/boot/solaris/filelist.ramdisk", "/etc/boot/solaris/filelist.ramdisk"];
const ARCHIVE: &str = "/platform/i86pc/amd64/boot_archive";
const ARCHIVE_HASH: &str = "/platform/i86pc/amd64/boot_archive.hash";
/// An archive that is older than this file counts as current.
const TIMESTAMP: &str = "/boot/solaris/timestamp.cache";
/// Sizes and times of the archived files.
const FILE_STATES: &str = "/boot/solaris/filestat.ramdisk";
/// What older systems leave, and what must not be there.
const STALE: [&str; 3] =
    ["/platform/i86pc/boot_archive", "/platform/i86pc/archive_cache", "/platform/i86pc/amd64/archive_cache"];
/// Settings of the kernel in pieces, which are joined before the archive is made.
const SYSTEM_PIECES: &str = "/etc/system.d";
const SYSTEM_JOINED: &str = "/etc/system.d/.self-assembly";
/// Changes when the same files would become another archive.
const ARCHIVE_VERSION: &str = "boot archive 1";

/// What was archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BootArchive {
    /// Files, directories and links.
    pub(crate) entries: u64,
    /// Bytes of the archive when it is unpacked.
    pub(crate) bytes: u64,
    /// Bytes of the archive as it stands in the image.
    pub(crate) packed_bytes: u64,
    blob: BlobHash,
    sha1: [u8; 20],
}

/// Makes the archive current. An archive of the same files is taken from an earlier build.
///
/// # Errors
/// When the image has no file list, or files in it cannot be read or archived.
pub(crate) fn update(state: &mut ImageState, context: &Context<'_>) -> Result<BootArchive, StepError> {
    remove_stale(&mut state.root)?;
    join_system_pieces(state, context)?;
    let files = listed(&state.root, context)?;
    let archive = match remembered(&files, context)? {
        Some(archive) => archive,
        None => make(&files, context)?,
    };
    let states = file_states(&files);
    let root = &mut state.root;
    place(root, ARCHIVE, Content::plain(archive.blob, archive.packed_bytes))?;
    for (path, bytes) in [
        (ARCHIVE_HASH, format!("{}\n", hex(&archive.sha1)).into_bytes()),
        (FILE_STATES, states.encode_xdr()),
        (TIMESTAMP, Vec::new()),
    ] {
        let content = context.store.put_bytes(&bytes).map_err(store("store", path))?;
        place(root, path, content)?;
    }
    Ok(archive)
}

/// Puts a file with the time of the build, which is what makes the timestamp as new as the archive.
fn place(root: &mut Tree, path: &str, content: Content) -> Result<(), StepError> {
    let at = ImagePath::new(path).expect("a constant path");
    let directory = at.parent().expect("a constant path below a directory");
    let metadata = written(0, 3, 0o755);
    root.create_dir(&directory, metadata.clone(), &metadata).map_err(tree("make the directory of", path))?;
    root.insert(&at, Node::regular(content, written(0, 0, 0o644))).map(drop).map_err(tree("write", path))
}

fn remove_stale(root: &mut Tree) -> Result<(), StepError> {
    for path in STALE {
        let at = ImagePath::new(path).expect("a constant path");
        if root.get(&at).is_some() {
            root.remove_subtree(&at).map_err(tree("remove", path))?;
        }
    }
    Ok(())
}

fn join_system_pieces(state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    let directory = ImagePath::new(SYSTEM_PIECES).expect("a constant path");
    // bootadm joins no others: an editor's backup in the kernel's settings would be undone, and the machine started twice.
    let is_piece = |name: &[u8]| !name.starts_with(b".");
    let mut pieces = state.root.read_dir(&directory).into_iter().flatten();
    if !pieces.any(|(name, node)| is_piece(name) && node.content().is_some()) {
        return Ok(());
    }
    drop(pieces);
    join_files((SYSTEM_PIECES, SYSTEM_JOINED), is_piece, state, context)
}

/// What the file lists name and what the image has, by path.
fn listed<'t>(root: &'t Tree, context: &Context<'_>) -> Result<BTreeMap<ImagePath, &'t Node>, StepError> {
    let mut files = BTreeMap::new();
    for (index, list) in FILE_LISTS.into_iter().enumerate() {
        let content = match tree_content(root, list) {
            Ok(content) => content,
            Err(_) if index > 0 => continue,
            Err(error) => return Err(error),
        };
        let text = context.store.read_blob(content.blob()).map_err(store("read", list))?;
        for line in text.split(|byte| *byte == b'\n') {
            add_listed(root, line.trim_ascii(), &mut files);
        }
    }
    Ok(files)
}

/// Adds what one line of a list names: a file, or a directory with all that is below it.
fn add_listed<'t>(root: &'t Tree, line: &[u8], files: &mut BTreeMap<ImagePath, &'t Node>) {
    // `..` and the like name nothing that could be archived.
    let Ok(at) = ImagePath::new([b"/", line].concat()) else { return };
    if line.is_empty() || line.starts_with(b"#") || at.is_root() {
        return;
    }
    if line == b"platform" {
        for (machine, _) in root.read_dir(&at).into_iter().flatten() {
            if let Ok(kernel) = at.join(machine).and_then(|machine| machine.join("kernel")) {
                files.extend(root.walk_from(&kernel).map(|entry| (entry.path, entry.node)));
            }
        }
        return;
    }
    files.extend(root.walk_from(&at).map(|entry| (entry.path, entry.node)));
}

/// The archive of exactly these files, if an earlier build has made it and the store has it still.
fn remembered(files: &BTreeMap<ImagePath, &Node>, context: &Context<'_>) -> Result<Option<BootArchive>, StepError> {
    let bytes = context.store.record_get("boot-archive", &key(files)).map_err(store("look up", "the boot archive"))?;
    let archive = bytes.and_then(|bytes| serde_json::from_slice::<BootArchive>(&bytes).ok());
    Ok(archive.filter(|archive| context.store.contains(archive.blob)))
}

/// What the archive's bytes depend on.
fn key(files: &BTreeMap<ImagePath, &Node>) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(ARCHIVE_VERSION.as_bytes());
    for (path, node) in files {
        let Metadata { uid, gid, mode, mtime, .. } = &node.metadata;
        part(path.as_bytes());
        part(format!("{uid} {gid} {mode} {}", mtime.secs).as_bytes());
        match &node.kind {
            NodeKind::Regular(content) => {
                part(format!("{} {} {:?}", content.blob(), content.len(), content.extents()).as_bytes());
            }
            NodeKind::Symlink(target) => part(target),
            other => part(other.name().as_bytes()),
        }
    }
    hasher.finalize().as_bytes().to_vec()
}

/// Packs the files. `gzip`'s fastest level: the loader unpacks all levels alike.
fn make(files: &BTreeMap<ImagePath, &Node>, context: &Context<'_>) -> Result<BootArchive, StepError> {
    let work = context.workspace.work();
    let failed =
        |source: io::Error| StepError::Host { operation: "write the boot archive in", path: work.to_owned(), source };
    let packed = GzEncoder::new(tempfile::tempfile_in(work).map_err(failed)?, Compression::fast());
    let mut writer = CpioWriter::new(Hashing { hasher: Sha1::new(), output: packed });
    for (path, node) in files {
        writer.node(path.relative_bytes(), &node.kind, &node.metadata, context.store).map_err(failed)?;
    }
    let (bytes, hashing) = writer.finish().map_err(failed)?;
    let mut file = hashing.output.finish().map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let content = context.store.put_reader(file).map_err(store("store", ARCHIVE))?;
    let archive = BootArchive {
        entries: files.len() as u64,
        bytes,
        packed_bytes: content.len(),
        blob: content.blob(),
        sha1: hashing.hasher.finalize().into(),
    };
    // A record must never name content that a crash could take away.
    context.store.seal().map_err(store("store", ARCHIVE))?;
    let value = serde_json::to_vec(&archive).expect("numbers and hashes are JSON");
    context.store.record_put("boot-archive", &key(files), &value).map_err(store("remember", "the boot archive"))?;
    Ok(archive)
}

/// Size and time of each file and directory, as the first boot will compare them; those of directories do not count.
fn file_states(files: &BTreeMap<ImagePath, &Node>) -> NvList {
    let mut list = NvList::new();
    for (path, node) in files {
        let size = match &node.kind {
            NodeKind::Directory => 0,
            NodeKind::Regular(content) => content.len(),
            _ => continue,
        };
        let seconds = node.metadata.mtime.secs.max(0).unsigned_abs();
        list.insert(&String::from_utf8_lossy(path.relative_bytes()), vec![size, seconds]);
    }
    list
}

/// Hashes what goes through: the loader is told the hash of the unpacked archive.
struct Hashing<W> {
    hasher: Sha1,
    output: W,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
