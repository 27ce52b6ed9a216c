//! Reading the files, which may be anything and on a file system that does not answer.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::error::{ConfigError, ConfigErrors};
use super::watch::Fingerprint;
use super::{SourceFile, Sources, collect};
use crate::trust::{self, Owners};

/// Larger files are no configuration; a bound for the memory that reading one takes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// So many looks may hang at the same time; whoever asks then is told at once, instead of leaving one more.
const MAX_ASIDE: usize = 8;

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// After which time without an end it is given up: a file system whose server is gone never answers.
    pub patience: Duration,
    /// Whether root takes only what nobody else can write. Says nothing to any other user, who has no rights to give away.
    pub is_strict: bool,
}

impl Reading {
    /// As the daemon reads what it acts on.
    pub const STRICT: Self = Self { patience: Duration::from_secs(10), is_strict: true };

    /// For whoever only wants to know what is in some files.
    pub const LENIENT: Self = Self { is_strict: false, ..Self::STRICT };
}

/// What came of reading the files.
#[derive(Debug)]
pub struct Contents {
    /// The files as they were just before: what changes from then on is either read, or another fingerprint later.
    pub fingerprint: Fingerprint,
    /// Their texts.
    pub files: Result<Vec<SourceFile>, ConfigErrors>,
}

/// Files that are being read, by a thread that may never come back.
#[derive(Debug)]
pub struct Pending {
    sources: Sources,
    outcome: Receiver<Contents>,
}

impl Pending {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// When too many looks hang, or there cannot be a thread.
    pub fn begin(sources: &Sources, is_strict: bool) -> Result<Self, ConfigErrors> {
        let wanted = sources.clone();
        let read = move || {
            let fingerprint = Fingerprint::of(&wanted);
            match read_files(&wanted, is_strict) {
                Ok(files) => Contents { fingerprint: fingerprint.with_texts(&files), files: Ok(files) },
                Err(errors) => Contents { fingerprint, files: Err(errors) },
            }
        };
        match aside(read) {
            Ok(outcome) => Ok(Self { sources: sources.clone(), outcome }),
            Err(error) => Err(ConfigError::unreadable(sources.file.clone(), error).into()),
        }
    }

    /// What was read; none when the time is over.
    pub fn wait(&self, patience: Duration) -> Option<Contents> {
        match self.outcome.recv_timeout(patience) {
            Ok(read) => Some(read),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                let error = io::Error::other("the thread that reads it has failed");
                let files = Err(ConfigError::unreadable(self.sources.file.clone(), error).into());
                Some(Contents { fingerprint: Fingerprint::default(), files })
            }
        }
    }

    /// What to tell of files that have not come within a time.
    pub fn silence(&self, patience: Duration) -> ConfigErrors {
        let Sources { file, directory } = self.sources.clone();
        ConfigError::Silent { file, directory, seconds: patience.as_secs_f64() }.into()
    }
}

/// Reads the files of `sources` in their order.
///
/// # Errors
///
/// When there is no answer in time. What is wrong with the files is in the answer.
pub fn read(sources: &Sources, reading: Reading) -> Result<Contents, ConfigErrors> {
    let pending = Pending::begin(sources, reading.is_strict)?;
    pending.wait(reading.patience).ok_or_else(|| pending.silence(reading.patience))
}

/// Looks at a file system in a thread that may never come back.
pub(super) fn aside<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> io::Result<Receiver<T>> {
    static HANGING: AtomicUsize = AtomicUsize::new(0);
    aside_counted(&HANGING, look)
}

fn aside_counted<T: Send + 'static>(
    hanging: &'static AtomicUsize,
    look: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Receiver<T>> {
    if hanging.fetch_add(1, Ordering::Relaxed) >= MAX_ASIDE {
        hanging.fetch_sub(1, Ordering::Relaxed);
        return Err(io::Error::other("earlier attempts have not come to an end"));
    }
    let (sender, receiver) = channel();
    let run = move || {
        let found = look();
        hanging.fetch_sub(1, Ordering::Relaxed);
        // Who has given up does not want it any more.
        drop(sender.send(found));
    };
    match std::thread::Builder::new().name("configuration".to_owned()).spawn(run) {
        Ok(_) => Ok(receiver),
        Err(error) => {
            hanging.fetch_sub(1, Ordering::Relaxed);
            Err(error)
        }
    }
}

pub(super) fn read_files(sources: &Sources, is_strict: bool) -> Result<Vec<SourceFile>, ConfigErrors> {
    let is_strict = is_strict && rustix::process::geteuid().is_root();
    let mut paths = vec![sources.file.clone()];
    paths.extend(drop_ins(&sources.directory)?);
    let mut faults = Vec::new();
    if is_strict && sources.directory.exists() {
        // Also an empty one: whoever can write it can make a file.
        faults.extend(trust::fault_of_directory(&sources.directory, Owners::Trusted).map(ConfigError::untrusted));
    }
    let files = collect(paths.into_iter().map(|path| read_file(path, is_strict)));
    match (faults.is_empty(), files) {
        (true, files) => files,
        (false, Ok(_)) => Err(faults.into()),
        (false, Err(more)) => {
            faults.extend(more.errors);
            Err(faults.into())
        }
    }
}

fn read_file(path: PathBuf, is_strict: bool) -> Result<SourceFile, ConfigError> {
    let bytes = match read_bytes(&path, is_strict) {
        Ok(bytes) => bytes,
        Err(Unusable::Io(source)) => return Err(ConfigError::unreadable(path, source)),
        Err(Unusable::Untrusted(fault)) => return Err(ConfigError::untrusted(fault)),
    };
    match String::from_utf8(bytes) {
        // Editors show no byte order mark, and count no column for it.
        Ok(text) => Ok(SourceFile::new(path, text.strip_prefix('\u{feff}').unwrap_or(&text))),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let file = SourceFile::new(path, text);
            Err(ConfigError::syntax(&file, at..at, "not UTF-8: save the file in that encoding".to_owned()))
        }
    }
}

enum Unusable {
    Io(io::Error),
    Untrusted(trust::Fault),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_bytes(path: &Path, is_strict: bool) -> Result<Vec<u8>, Unusable> {
    // Before it is opened, too: a device may do something then.
    let no_file = || io::Error::new(ErrorKind::InvalidInput, "not a regular file");
    if !std::fs::metadata(path)?.is_file() {
        return Err(no_file().into());
    }
    // It may have become a pipe since, and that would keep whoever opens it until somebody writes.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(no_file().into());
    }
    if is_strict {
        if let Some(fault) = trust::fault_of_file(path, &metadata, Owners::Trusted) {
            return Err(Unusable::Untrusted(fault));
        }
    }
    let mut bytes = Vec::new();
    (&file).take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("larger than {} MiB", MAX_FILE_BYTES / 1024 / 1024);
        return Err(io::Error::new(ErrorKind::FileTooLarge, message).into());
    }
    Ok(bytes)
}

/// The `*.toml` files of a directory, by name. Hidden files are somebody's work in progress and left out.
pub(super) fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ConfigError::unreadable(directory.to_owned(), source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| ConfigError::unreadable(directory.to_owned(), source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".toml") && !name.starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::config::{load, render};

    fn scratch() -> (tempfile::TempDir, Sources) {
        let directory = tempfile::tempdir().unwrap();
        let sources = Sources { file: directory.path().join("main.toml"), directory: directory.path().join("d") };
        std::fs::create_dir(&sources.directory).unwrap();
        set_mode(&sources.directory, 0o755);
        std::fs::write(&sources.file, "").unwrap();
        set_mode(&sources.file, 0o644);
        (directory, sources)
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Without the mend these waited for ever, or took all of the memory.
    #[test]
    fn what_is_no_file_of_text_is_told_with_its_name() {
        type Make = fn(&Path);
        let cases: [(Make, &str); 6] = [
            (
                |path| rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::from_raw_mode(0o644)).unwrap(),
                "not a regular file",
            ),
            (|path| symlink("/dev/zero", path).unwrap(), "not a regular file"),
            (|path| std::fs::create_dir(path).unwrap(), "not a regular file"),
            (|path| File::create(path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap(), "larger than 16 MiB"),
            (|path| symlink("/nowhere/at/all", path).unwrap(), "it is a link to /nowhere/at/all"),
            (|path| symlink(path, path).unwrap(), "see where the link leads"),
        ];
        for (make, said) in cases {
            let (_directory, sources) = scratch();
            make(&sources.directory.join("20.toml"));
            for reading in [Reading::STRICT, Reading::LENIENT] {
                let report = render(&load(&sources, reading).unwrap_err());
                assert!(report.contains("20.toml") && report.contains(said), "{report}");
                assert!(report.contains("\n  help: "), "{report}");
            }
        }
    }

    #[test]
    fn a_file_in_another_encoding_is_told_with_the_place() {
        let (_directory, sources) = scratch();
        std::fs::write(&sources.file, b"[a]\nname = \"gr\xfc\xdfe\"\n").unwrap();
        let report = render(&load(&sources, Reading::STRICT).unwrap_err());
        assert!(
            report.ends_with("main.toml:2:11: invalid TOML: not UTF-8: save the file in that encoding"),
            "{report}"
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_column() {
        let (_directory, sources) = scratch();
        std::fs::write(&sources.file, "\u{feff}logging = 3\r\n").unwrap();
        let report = render(&load(&sources, Reading::STRICT).unwrap_err());
        assert!(report.ends_with("main.toml:1:11: logging must be a table, and is a number"), "{report}");
    }

    /// Who can write them says which programs run as root.
    #[test]
    fn root_takes_nothing_that_others_can_write() {
        if !rustix::process::geteuid().is_root() {
            test_judge::skip("only root can give files away");
            return;
        }
        let (directory, sources) = scratch();
        let drop_in = sources.directory.join("10.toml");
        std::fs::write(&drop_in, "").unwrap();
        set_mode(&drop_in, 0o644);
        assert!(load(&sources, Reading::STRICT).is_ok());
        for path in [&sources.file, &sources.directory, &drop_in, &directory.path().to_owned()] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            set_mode(path, mode | 0o020);
            assert!(load(&sources, Reading::STRICT).is_ok(), "root's own group is root");
            for (writable, group) in [(mode | 0o002, 0), (mode | 0o020, 1000)] {
                std::os::unix::fs::chown(path, None, Some(group)).unwrap();
                set_mode(path, writable);
                let report = render(&load(&sources, Reading::STRICT).unwrap_err());
                let said = format!("not trusted: {} is writable by others", path.display());
                assert!(report.contains(&said) && report.contains("o-w "), "{report}");
                assert!(load(&sources, Reading::LENIENT).is_ok());
            }
            std::os::unix::fs::chown(path, None, Some(0)).unwrap();
            set_mode(path, mode);
        }
        std::os::unix::fs::chown(&drop_in, Some(1000), None).unwrap();
        let report = render(&load(&sources, Reading::STRICT).unwrap_err());
        assert!(report.contains("belongs to user 1000"), "{report}");
    }

    #[test]
    fn looks_that_hang_are_not_joined_by_ever_more() {
        static HANGING: AtomicUsize = AtomicUsize::new(0);
        let begin = || {
            let (release, held) = channel::<()>();
            Some((release, aside_counted(&HANGING, move || held.recv().is_ok()).ok()?))
        };
        let hanging: Vec<_> = std::iter::from_fn(begin).take(2 * MAX_ASIDE).collect();
        assert_eq!(hanging.len(), MAX_ASIDE);
        for (release, look) in hanging {
            release.send(()).unwrap();
            assert!(look.recv().unwrap());
        }
        assert!(begin().is_some(), "there is room again");
    }
}
