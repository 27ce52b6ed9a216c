//! How a workspace is told from any other directory, in which nothing may be removed.

use crate::leftovers;
use crate::workspace::{Workspace, WorkspaceError};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file that says it.
const MARKER: &str = ".image-builder";
const TEXT: &str = "\
This directory is a workspace of image-builder.
What is under construction in `work`, `output` and `debian` is removed when the next build begins.
";

/// Makes sure that what is in the workspace's directories was put there by this program, or for it.
///
/// Earlier versions left no marker. A workspace of theirs has a store, and is taken as it is unless something that
/// they did not make is where they removed everything.
///
/// # Errors
/// [`WorkspaceError::Foreign`], naming what somebody else has put there.
pub(crate) fn refuse_foreign(workspace: &Workspace) -> Result<(), WorkspaceError> {
    if workspace.root().join(MARKER).is_file() {
        return Ok(());
    }
    let was_ours = workspace.store().join("format").is_file();
    let lock = workspace.root().join("lock");
    let is_taken = |name: &str| leftovers::is_unfinished(name) || leftovers::is_complete(name);
    let foreign = first(workspace.work(), |name| !leftovers::is_scratch(name))
        .or_else(|| first(workspace.output(), is_taken).filter(|_| !was_ours))
        .or_else(|| first(&workspace.debian(), |_| true).filter(|_| !was_ours))
        .or_else(|| Some(lock).filter(|lock| !was_ours && fs::metadata(lock).is_ok_and(|file| file.len() > 0)));
    match foreign {
        Some(path) => Err(WorkspaceError::Foreign { path, root: workspace.root().to_owned() }),
        None => Ok(()),
    }
}

/// Whether a directory is marked, or was a workspace of an earlier version.
pub(crate) fn is_workspace(workspace: &Workspace) -> bool {
    workspace.root().join(MARKER).is_file() || workspace.store().join("format").is_file()
}

/// What may be in a directory before it becomes a workspace: what a workspace has, for archives that are put into `output`
/// and the machines of `dev-vm`, and what file systems have of themselves.
const EXPECTED: [&str; 10] =
    ["output", "work", "store", "debian", "ips", "lock", "vm", "lost+found", ".zfs", ".snapshot"];

/// Makes sure that a directory is a workspace, or has nothing else in it.
///
/// # Errors
/// [`WorkspaceError::Filled`], naming what is in it.
pub(crate) fn refuse_filled(workspace: &Workspace) -> Result<(), WorkspaceError> {
    if is_workspace(workspace) {
        return Ok(());
    }
    let found = first(workspace.root(), |name| !EXPECTED.contains(&name));
    let entry = found.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    entry.map_or(Ok(()), |entry| Err(WorkspaceError::Filled { entry, root: workspace.root().to_owned() }))
}

/// Marks the directory, unless it is.
pub(crate) fn set(workspace: &Workspace) -> Result<(), WorkspaceError> {
    let path = workspace.root().join(MARKER);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made.and_then(|mut file| file.write_all(TEXT.as_bytes())) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(WorkspaceError::Directory { operation: "mark", path, source })
        }
        _ => Ok(()),
    }
}

/// The first entry by name for which that holds; nothing of a directory that is not there.
fn first(directory: &Path, matches: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| matches(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::WorkspaceLock;
    use crate::workspace::Location;

    struct Place(tempfile::TempDir);

    impl Place {
        fn with(files: &[&str]) -> Self {
            let place = Self(tempfile::tempdir().expect("a temporary directory"));
            for file in files {
                let path = place.path(file);
                fs::create_dir_all(path.parent().expect("a directory")).expect("it is made");
                fs::write(path, file).expect("it is written");
            }
            place
        }

        fn path(&self, text: &str) -> PathBuf {
            self.0.path().canonicalize().expect("it is there").join(text)
        }

        fn open(&self) -> Result<Workspace, WorkspaceError> {
            Workspace::open(&Location::Directory(self.0.path().to_owned()))
        }

        fn names(&self, directory: &str) -> Vec<String> {
            let entries = fs::read_dir(self.path(directory)).expect("it is there").flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("text")).collect();
            names.sort();
            names
        }
    }

    /// `-d .` removed the user's `work`, on every build.
    #[test]
    fn a_directory_with_other_peoples_files_is_refused_and_left_alone() {
        let complete = "output/.complete-abc123/chapter1.txt";
        for file in ["work/thesis/chapter1.txt", "output/notes.raw.tmp", complete, "debian/control", "lock"] {
            let place = Place::with(&[file, "README"]);
            let before = place.names(".");
            let error = place.open().expect_err(file);
            let named = place.path(file.strip_suffix("/chapter1.txt").unwrap_or(file));
            let (text, help) = (error.to_string(), error.help().expect("a way out"));
            assert!(text.contains(&named.display().to_string()) && help.contains("-d ./images"), "{text} {help}");
            assert_eq!(
                (fs::read_to_string(place.path(file)).expect(file), place.names(".")),
                (file.to_owned(), before)
            );
        }
    }

    #[test]
    fn a_directory_with_nothing_in_the_way_becomes_a_workspace() {
        let place = Place::with(&["output/base.tar"]);
        let workspace = place.open().expect("nothing is in the way");
        assert!(place.path(MARKER).is_file());
        drop(WorkspaceLock::acquire(&workspace).expect("it is free"));
        assert_eq!(place.names("output"), ["base.tar"]);
    }

    /// A checkout had five more directories after `-d .`.
    #[test]
    fn a_directory_with_something_else_is_filled_only_if_somebody_says_so() {
        let place = Place::with(&["README", "output/base.tar"]);
        let before = place.names(".");
        let error = place.open().expect_err("nobody has said so");
        let (text, help) = (error.to_string(), error.help().expect("a way out"));
        assert!(text.contains("not empty: README is in it"), "{text}");
        assert!(help.contains("image-builder workspace -d "), "{help}");
        assert_eq!(place.names("."), before);
        Workspace::make(&Location::Directory(place.path("."))).expect("somebody says so");
        place.open().expect("it is a workspace now");
    }

    #[test]
    fn what_somebody_puts_into_a_workspace_stays_there() {
        let place = Place::with(&[]);
        let workspace = place.open().expect("it is empty");
        fs::create_dir_all(workspace.work().join("thesis")).expect("a directory");
        fs::write(workspace.work().join("root-ext4-a1B2c3"), "").expect("what a killed run has left");
        drop(WorkspaceLock::acquire(&workspace).expect("it is free"));
        assert_eq!(place.names("work"), ["thesis"]);
        place.open().expect("it is a workspace");
    }

    #[test]
    fn a_workspace_without_a_marker_goes_on_unless_something_else_is_in_it() {
        let old = ["store/format", "lock", "work/root-ext4-a1B2c3/image", "output/x.raw.tmp", "debian/state/x"];
        let place = Place::with(&old);
        let workspace = place.open().expect("it is one of ours");
        drop(WorkspaceLock::acquire(&workspace).expect("it is free"));
        assert!(place.names("work").is_empty() && place.names("output").is_empty());
        let place = Place::with(&[&old[..], &["work/thesis/chapter1.txt"]].concat());
        let error = place.open().expect_err("that is not ours");
        assert!(matches!(&error, WorkspaceError::Foreign { path, .. } if path.ends_with("work/thesis")), "{error}");
    }
}
