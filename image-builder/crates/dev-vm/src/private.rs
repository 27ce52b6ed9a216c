//! What belongs to a machine and no guest may see or change: its key, and what decides how it starts the next time.
//!
//! The machine's own directory lies in the checkout by default, and the checkout is what guests see, through QEMU, which
//! has the rights of its user and cannot leave a directory out. So these few files are in a directory of the user's
//! own, which is found by the path of the machine's directory. Earlier versions had them in the machine's directory:
//! there they are still read, and moved as soon as nothing runs.

use crate::error::StateError;
use crate::files::{create_directory, file, remove_file, write_file};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that is kept here.
const FILES: [&str; 5] = [file::CONFIG, file::RUN_RECORD, file::SSH_KEY, file::SSH_PUBLIC_KEY, file::KNOWN_HOSTS];
/// Says to people which machine a directory belongs to.
const OWNER: &str = "machine";

/// The private directory of one machine.
#[derive(Clone, Debug)]
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    machine: PathBuf,
}

impl PrivateDirectory {
    /// The directory below `state` that belongs to the machine in `machine`; nothing is made.
    pub(crate) fn new(state: &Path, machine: &Path) -> Self {
        let machine = resolve(machine);
        let digest = Sha256::digest(machine.as_os_str().as_encoded_bytes());
        let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { path: resolve(state).join(name), machine }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file is: here, unless only an earlier version has made it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let (here, earlier) = (self.path.join(name), self.machine.join(name));
        if !here.exists() && is_file(&earlier) { earlier } else { here }
    }

    /// Makes the directory. What is in it for a machine whose own directory was removed is forgotten.
    pub(crate) fn create(&self) -> Result<(), StateError> {
        if !self.machine.is_dir() {
            FILES.iter().try_for_each(|name| remove_file(&self.path.join(name)))?;
        }
        create_directory(&self.path)?;
        write_file(&self.path.join(OWNER), format!("{}\n", self.machine.display()).as_bytes())
    }

    /// Moves here what an earlier version left in the machine's directory. What is here already counts more.
    pub(crate) fn adopt(&self) -> Result<(), StateError> {
        for name in FILES {
            let (here, earlier) = (self.path.join(name), self.machine.join(name));
            if !is_file(&earlier) {
                continue;
            }
            if !here.exists() {
                create_directory(&self.path)?;
                let bytes = fs::read(&earlier).map_err(|error| StateError::io("read", &earlier, error))?;
                write_file(&here, &bytes)?;
            }
            remove_file(&earlier)?;
        }
        Ok(())
    }
}

/// Whether that is a file, and not a link to one: a guest with a writable share can make those.
fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The path without symbolic links, as far as it exists, so that one directory is found under all its names.
fn resolve(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    let resolved = found.and_then(|(above, real)| Some(real.join(path.strip_prefix(above).ok()?)));
    // `join` of nothing would leave a slash at the end.
    resolved.map_or_else(|| path.to_owned(), |path| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Case {
        root: tempfile::TempDir,
        private: PrivateDirectory,
    }

    fn case() -> Case {
        let root = tempfile::tempdir().unwrap();
        let machine = root.path().join("images/vm/dev");
        fs::create_dir_all(&machine).unwrap();
        let private = PrivateDirectory::new(&root.path().join("state"), &machine);
        Case { root, private }
    }

    #[test]
    fn one_machine_has_one_directory_under_all_its_names() {
        let case = case();
        let root = case.root.path();
        let of = |machine: &str| PrivateDirectory::new(&root.join("state"), &root.join(machine)).path().to_owned();
        symlink(root.join("images"), root.join("link")).unwrap();
        assert_eq!(of("images/vm/dev"), of("link/vm/dev"));
        assert_eq!(of("images/vm/new"), of("link/vm/new"), "also before it is made");
        assert_ne!(of("images/vm/dev"), of("images/vm/new"));
    }

    #[test]
    fn it_is_for_its_owner_only_and_forgets_a_machine_that_was_removed() {
        let case = case();
        case.private.create().unwrap();
        let mode = fs::metadata(case.private.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let config = case.private.path().join(file::CONFIG);
        fs::write(&config, "{}").unwrap();
        case.private.create().unwrap();
        assert!(config.exists());
        fs::remove_dir(&case.private.machine).unwrap();
        case.private.create().unwrap();
        assert!(!config.exists());
    }

    #[test]
    fn what_an_earlier_version_left_is_read_where_it_is_and_moved() {
        let case = case();
        let earlier = case.private.machine.join(file::SSH_KEY);
        fs::write(&earlier, "key").unwrap();
        assert_eq!(case.private.file(file::SSH_KEY), earlier);
        case.private.adopt().unwrap();
        let here = case.private.path().join(file::SSH_KEY);
        assert_eq!((fs::read_to_string(&here).unwrap().as_str(), case.private.file(file::SSH_KEY)), ("key", here));
        assert!(!earlier.exists());
    }

    #[test]
    fn what_a_guest_puts_into_the_machines_directory_counts_nothing() {
        let case = case();
        case.private.create().unwrap();
        let here = case.private.path().join(file::CONFIG);
        fs::write(&here, "ours").unwrap();
        let planted = case.private.machine.join(file::CONFIG);
        fs::write(&planted, "the guest's").unwrap();
        assert_eq!(case.private.file(file::CONFIG), here);
        case.private.adopt().unwrap();
        assert_eq!(fs::read_to_string(&here).unwrap(), "ours");
        assert!(!planted.exists());
        symlink("/etc/passwd", case.private.machine.join(file::SSH_KEY)).unwrap();
        case.private.adopt().unwrap();
        assert!(!case.private.path().join(file::SSH_KEY).exists(), "a link is not followed");
    }
}
