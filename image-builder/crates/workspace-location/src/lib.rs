//! What `-d` names, for every program that has the option: a directory, or a ZFS dataset of the host.
//!
//! The first characters decide, never what happens to be there: else `rpool/images` would be a dataset on one host
//! and on another a directory with private files in the middle of somebody's checkout.

use process_runner::{Command, CommandError};
use std::fmt;
use std::path::{Path, PathBuf};

/// What `-d` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory: the text began with `/`, `./` or `../`, or was one of `.` and `..`.
    Directory(PathBuf),
    /// A ZFS dataset: everything else.
    Dataset(String),
}

impl Location {
    /// Reads the argument of `-d`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let is_directory = ["/", "./", "../"].iter().any(|prefix| text.starts_with(prefix));
        if is_directory || text == "." || text == ".." {
            Self::Directory(PathBuf::from(text))
        } else {
            Self::Dataset(text.to_owned())
        }
    }

    /// The directory itself, which need not be there, or where the dataset is mounted.
    ///
    /// # Errors
    /// Every [`LocationError`], for a dataset.
    pub fn directory(&self) -> Result<PathBuf, LocationError> {
        match self {
            Self::Directory(path) => Ok(path.clone()),
            Self::Dataset(name) => Zfs::find(name)?.mountpoint(name),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Dataset(name) => f.write_str(name),
        }
    }
}

/// A dataset is not one that could be worked in.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// A dataset was named on a host without ZFS.
    #[error("{dataset} names a ZFS dataset, and this host has no `zfs` command")]
    NoZfs {
        /// The dataset.
        dataset: String,
    },
    /// `zfs` refused.
    #[error("cannot {operation} dataset {dataset}")]
    Zfs {
        /// What was being done.
        operation: &'static str,
        /// The dataset.
        dataset: String,
        /// What `zfs` said.
        #[source]
        source: CommandError,
    },
    /// The dataset is not mounted, so that nothing can be written to it.
    #[error("dataset {dataset} is not mounted (mountpoint is {mountpoint})")]
    NotMounted {
        /// The dataset.
        dataset: String,
        /// Its `mountpoint` property.
        mountpoint: String,
    },
}

/// Why `zfs` refused, as far as something can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such dataset, or no parent to make it in.
    Missing,
    /// There is one already.
    Exists,
    /// This ZFS has no property of that name.
    UnknownProperty,
    /// The user may not do that.
    Permission,
    /// The pool or a quota is full.
    Full,
    /// Another reason.
    Other,
}

/// What `zfs` of illumos, OpenZFS and zfs-fuse says in the C locale, in lower case.
const WORDS: [(&str, Refusal); 14] = [
    ("dataset does not exist", Refusal::Missing),
    ("parent does not exist", Refusal::Missing),
    ("no such pool", Refusal::Missing),
    ("dataset already exists", Refusal::Exists),
    ("invalid property", Refusal::UnknownProperty),
    ("permission denied", Refusal::Permission),
    ("must be run as root", Refusal::Permission),
    ("only be mounted by root", Refusal::Permission),
    ("insufficient privileges", Refusal::Permission),
    ("not permitted", Refusal::Permission),
    ("not owner", Refusal::Permission),
    ("out of space", Refusal::Full),
    ("no space left", Refusal::Full),
    ("quota exceeded", Refusal::Full),
];

impl Refusal {
    fn of(said: &str) -> Self {
        let said = said.to_ascii_lowercase();
        WORDS.into_iter().find(|(words, _)| said.contains(words)).map_or(Self::Other, |(_, refusal)| refusal)
    }
}

impl LocationError {
    /// Why `zfs` refused; none when it was not asked, or could not be run.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Zfs { source: CommandError::Failed { tail, .. }, .. } => Some(Refusal::of(tail)),
            _ => None,
        }
    }

    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoZfs { dataset } => Some(format!("use a directory: -d ./{dataset}")),
            Self::NotMounted { dataset, .. } => Some(format!("zfs mount {dataset}")),
            Self::Zfs { dataset, operation, .. } => match (self.refusal(), *operation) {
                (Some(Refusal::Permission), _) => Some(permission_help(dataset, *operation != LOOK_UP)),
                (Some(Refusal::Missing), LOOK_UP) => {
                    Some(format!("zfs create {dataset}, or use a directory: -d ./{dataset}"))
                }
                (Some(Refusal::Full), _) => Some(format!("make room: zfs list -o space -r {}", pool(dataset))),
                _ => None,
            },
        }
    }
}

fn pool(dataset: &str) -> &str {
    dataset.split('/').next().unwrap_or(dataset)
}

/// zfs-allow(8): permissions can be delegated, but on Linux only root mounts. `is_child`: the dataset is one of those that
/// are made below the one that was named.
fn permission_help(dataset: &str, is_child: bool) -> String {
    let parent = dataset.rsplit_once('/').filter(|_| is_child).map_or(dataset, |(parent, _)| parent);
    // Whoever mends it is another user, so that the name has to be in the command.
    let user = std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "USER".to_owned());
    format!(
        "use a directory: -d ./{parent}\n\
         or have root delegate it: zfs allow {user} create,mount,sync {parent}\n\
         or, on Linux, where only root may mount, have root make all of it once:\n  \
         zfs create -p {parent}/output && zfs create -o sync=disabled {parent}/work\n  \
         chown {user} each of the three mountpoints"
    )
}

const LOOK_UP: &str = "look up";

/// The host's `zfs` command.
#[derive(Clone, Debug)]
pub struct Zfs {
    program: PathBuf,
}

impl Zfs {
    /// Finds the command that `dataset` needs.
    ///
    /// # Errors
    /// [`LocationError::NoZfs`].
    pub fn find(dataset: &str) -> Result<Self, LocationError> {
        let program = find_program("zfs").ok_or_else(|| LocationError::NoZfs { dataset: dataset.to_owned() })?;
        Ok(Self { program })
    }

    /// Where a dataset is mounted.
    ///
    /// # Errors
    /// [`LocationError::Zfs`] when it does not exist or may not be looked at, [`LocationError::NotMounted`].
    pub fn mountpoint(&self, dataset: &str) -> Result<PathBuf, LocationError> {
        let properties = ["get", "-Hp", "-o", "value", "mounted,mountpoint", dataset];
        let answer = self.run(LOOK_UP, dataset, &properties)?;
        let mut lines = answer.lines();
        let (mounted, mountpoint) = (lines.next().unwrap_or("-"), lines.next().unwrap_or("-"));
        if mounted != "yes" || !mountpoint.starts_with('/') {
            let (dataset, mountpoint) = (dataset.to_owned(), mountpoint.to_owned());
            return Err(LocationError::NotMounted { dataset, mountpoint });
        }
        Ok(PathBuf::from(mountpoint))
    }

    /// Where a dataset is mounted; none when there is no such dataset.
    ///
    /// # Errors
    /// As for [`mountpoint`](Self::mountpoint), for every other reason.
    pub fn mountpoint_if_there(&self, dataset: &str) -> Result<Option<PathBuf>, LocationError> {
        match self.mountpoint(dataset) {
            Err(error) if error.refusal() == Some(Refusal::Missing) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Makes a dataset with properties (`NAME=VALUE`) that it can do without: one that this ZFS does not know is left out.
    /// That somebody else has made it meanwhile is no error.
    ///
    /// # Errors
    /// [`LocationError::Zfs`].
    pub fn create(&self, dataset: &str, wished: &[&str]) -> Result<(), LocationError> {
        let options = wished.iter().flat_map(|property| ["-o", property]);
        let arguments: Vec<&str> = ["create"].into_iter().chain(options).chain([dataset]).collect();
        match self.run("create", dataset, &arguments) {
            Err(error) if error.refusal() == Some(Refusal::UnknownProperty) && !wished.is_empty() => {
                self.create(dataset, &[])
            }
            Err(error) if error.refusal() == Some(Refusal::Exists) => Ok(()),
            made => made.map(drop),
        }
    }

    fn run(&self, operation: &'static str, dataset: &str, arguments: &[&str]) -> Result<String, LocationError> {
        let failed = |source| LocationError::Zfs { operation, dataset: dataset.to_owned(), source };
        let command = Command::new(&self.program).args(arguments).env("LC_ALL", "C");
        Ok(command.run().map_err(failed)?.stdout_text())
    }
}

/// Finds a program on `PATH`, and in the system directories that an ordinary user's `PATH` may lack.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|candidate: &PathBuf| Path::is_file(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_characters_tell_a_directory_from_a_dataset() {
        for text in ["/images", "./images", "../images", ".", ".."] {
            assert_eq!(Location::parse(text), Location::Directory(PathBuf::from(text)));
            assert_eq!(Location::parse(text).directory().expect("nothing is asked"), PathBuf::from(text));
        }
        for text in ["rpool/images", "images", ".images/x"] {
            assert_eq!(Location::parse(text), Location::Dataset(text.to_owned()));
        }
    }

    /// What `zfs` of several systems says; each was seen, or stands in its source.
    #[test]
    fn refusals_are_told_apart() {
        for (said, refusal) in [
            ("cannot open 'rpool/images/work': dataset does not exist", Refusal::Missing),
            ("cannot create 'rpool/none/x': parent does not exist", Refusal::Missing),
            ("cannot open 'tank': no such pool", Refusal::Missing),
            ("cannot create 'rpool/images/a': dataset already exists", Refusal::Exists),
            ("cannot create 'wspool/images/work': invalid property 'sync'", Refusal::UnknownProperty),
            ("cannot create 'rpool/images/output': permission denied", Refusal::Permission),
            ("Permission denied the ZFS utilities must be run as root.", Refusal::Permission),
            ("connect: Permission denied\ninternal error: failed to initialize ZFS library", Refusal::Permission),
            ("filesystem successfully created, but it may only be mounted by root", Refusal::Permission),
            ("cannot mount 'rpool/images/work': Insufficient privileges", Refusal::Permission),
            ("cannot create 'rpool/images/output': out of space", Refusal::Full),
            ("cannot open 'rpool/images': I/O error", Refusal::Other),
            ("The ZFS modules are not loaded.\nTry running 'modprobe zfs' as root to load them.", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(said), refusal, "{said}");
        }
    }
}
