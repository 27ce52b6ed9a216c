//! The files of a store: names, creation, listing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::lock::{AdminLock, try_lock};
use super::{DiskUse, StoreOptions};

/// What the file `format` of a store of this version holds.
pub(super) const FORMAT: &str = "image store 1";

const PACK: &str = "pack";
const INDEX: &str = "idx";

pub(super) fn packs_dir(dir: &Path) -> PathBuf {
    dir.join("packs")
}

pub(super) fn records_dir(dir: &Path) -> PathBuf {
    dir.join("records")
}

pub(super) fn pack_path(dir: &Path, number: u32) -> PathBuf {
    packs_dir(dir).join(format!("{number:08}.{PACK}"))
}

pub(super) fn index_path(dir: &Path, number: u32) -> PathBuf {
    packs_dir(dir).join(format!("{number:08}.{INDEX}"))
}

/// Makes sure that `dir` is a store of this version.
pub(super) fn create(dir: &Path, options: StoreOptions) -> Result<(), StoreError> {
    private_dir(dir)?;
    let format = dir.join("format");
    match fs::read_to_string(&format) {
        Ok(found) if found.trim_end() == FORMAT => {}
        Ok(found) => {
            return Err(StoreError::Version { dir: dir.to_path_buf(), found: found.trim_end().to_owned() });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Several processes may create the same store at once, so what they make does not count.
            let ours = ["packs", "records", "lock", "admin.lock", "format"];
            let is_foreign = |name: &str| !ours.contains(&name) && !name.starts_with(".tmp-");
            if list(dir)?.iter().any(|name| is_foreign(name)) {
                return Err(StoreError::NotAStore { dir: dir.to_path_buf() });
            }
            replace(&format, format!("{FORMAT}\n").as_bytes(), "the format", options.sync)?;
        }
        Err(error) => return Err(StoreError::read(&format)(error)),
    }
    private_dir(&packs_dir(dir))?;
    private_dir(&records_dir(dir))
}

/// Creates a directory that only its owner can look into, with its parents, unless it exists.
pub(super) fn private_dir(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::access("create", dir))
}

/// Creates a pack and locks it, so that it counts as being written from the moment others can see it.
pub(super) fn create_pack(dir: &Path, _admin: &AdminLock) -> Result<(u32, File), StoreError> {
    let number = numbers(dir, &[PACK, INDEX])?.into_iter().max().map_or(0, |last| last + 1);
    let path = pack_path(dir, number);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path).map_err(StoreError::access("create", &path))?;
    try_lock(&file).map_err(StoreError::access("lock", &path))?;
    Ok((number, file))
}

pub(super) fn all_packs(dir: &Path) -> Result<Vec<u32>, StoreError> {
    numbers(dir, &[PACK])
}

pub(super) fn sealed_packs(dir: &Path) -> Result<Vec<u32>, StoreError> {
    numbers(dir, &[INDEX])
}

/// Removes a pack and its index. The index goes first: a pack alone is merely recovered once more.
pub(super) fn remove_pack(dir: &Path, number: u32) -> Result<(), StoreError> {
    [index_path(dir, number), pack_path(dir, number)].iter().try_for_each(|path| remove_file(path))
}

pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::access("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes a file so that it appears, or replaces the one before, at once and whole.
pub(super) fn replace(path: &Path, bytes: &[u8], what: &'static str, sync: bool) -> Result<(), StoreError> {
    static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let parent = path.parent().unwrap_or(Path::new("."));
    let temporary = parent.join(format!(".tmp-{}-{count}", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)?;
        if sync { File::open(parent)?.sync_all() } else { Ok(()) }
    };
    write().map_err(|error| {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
        StoreError::write(what, path)(error)
    })
}

pub(super) fn disk_use(dir: &Path) -> Result<DiskUse, StoreError> {
    let length = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut bytes = DiskUse::default();
    for number in all_packs(dir)? {
        bytes.packs += length(pack_path(dir, number));
        bytes.indexes += length(index_path(dir, number));
    }
    for file in files_below(&records_dir(dir))? {
        bytes.records += length(file);
    }
    Ok(bytes)
}

/// All files below a directory, at any depth.
pub(super) fn files_below(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for name in list(&dir)? {
            let path = dir.join(name);
            if path.is_dir() {
                todo.push(path);
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// The names in a directory that are UTF-8, as all of ours are.
pub(super) fn list(dir: &Path) -> Result<Vec<String>, StoreError> {
    let error = StoreError::access("list", dir);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(&error)? {
        names.extend(entry.map_err(&error)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn numbers(dir: &Path, extensions: &[&str]) -> Result<Vec<u32>, StoreError> {
    let number = |name: &String| {
        let (number, extension) = name.split_once('.')?;
        extensions.contains(&extension).then(|| number.parse().ok())?
    };
    Ok(list(&packs_dir(dir))?.iter().filter_map(number).collect())
}
