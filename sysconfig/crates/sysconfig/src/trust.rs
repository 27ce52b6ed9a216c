//! Whether somebody without the daemon's rights could change a file that it acts on.
//!
//! That takes more than the file's own mode: whoever can write a directory on the way to it, or one that a symbolic link on
//! the way leads through, can put another file in its place.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

const STICKY: u32 = 0o1000;

/// Who may own what the daemon acts on, and write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// Root and the daemon's user, and nobody else.
    Trusted,
    /// Anybody, with his group, because the usual umask of a development host, 002, lets it write. Never everybody.
    Any,
}

/// Something that others than its owners can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What it is.
    pub(crate) path: PathBuf,
    /// Why, as a lowercase fragment that begins with the path.
    pub(crate) message: String,
    /// How to mend it.
    pub(crate) help: String,
}

/// Why a file that is opened by `path` is not trusted.
pub(crate) fn fault_of_file(path: &Path, metadata: &Metadata, owners: Owners) -> Option<Fault> {
    distrust(path, metadata, owners, Sticky::Counts).or_else(|| fault_on_the_way(path, owners))
}

/// Why a directory is not trusted in which files are looked for.
pub(crate) fn fault_of_directory(path: &Path, owners: Owners) -> Option<Fault> {
    let metadata = std::fs::metadata(path).ok()?;
    distrust(path, &metadata, owners, Sticky::Counts).or_else(|| fault_on_the_way(path, owners))
}

fn fault_on_the_way(path: &Path, owners: Owners) -> Option<Fault> {
    match passed_through(path) {
        Ok(passed) => passed.iter().find_map(|(path, metadata)| distrust(path, metadata, owners, Sticky::Helps)),
        Err(error) => {
            let message = format!("the way to {} cannot be looked at: {error}", path.display());
            Some(Fault { path: path.to_owned(), message, help: "see where its links lead".to_owned() })
        }
    }
}

/// What the sticky bit of a directory is worth: in `/tmp`, nobody can replace what is another one's, but make something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sticky {
    /// It protects what is passed through.
    Helps,
    /// The directory is searched for whatever is in it.
    Counts,
}

fn distrust(path: &Path, metadata: &Metadata, owners: Owners, sticky: Sticky) -> Option<Fault> {
    let owner = metadata.uid();
    let shown = path.display();
    let fault = |message, help| Some(Fault { path: path.to_owned(), message, help });
    if owners == Owners::Trusted && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return fault(format!("{shown} belongs to user {owner}"), format!("chown root {shown}"));
    }
    if metadata.is_symlink() {
        return None;
    }
    // Whoever is in root's group is root's match already.
    let is_for_group = owners == Owners::Any || metadata.gid() == 0;
    let (others, who) = if is_for_group { (0o002, "o-w") } else { (0o022, "go-w") };
    let is_sticky = metadata.is_dir() && metadata.mode() & STICKY != 0 && sticky == Sticky::Helps;
    if metadata.mode() & others != 0 && !is_sticky {
        let mode = metadata.mode() & 0o7777;
        return fault(format!("{shown} is writable by others (mode {mode:o})"), format!("chmod {who} {shown}"));
    }
    None
}

/// The directories that are passed through when `path` is opened, and the symbolic links that are followed, in their order.
fn passed_through(path: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let path = std::path::absolute(path)?;
    let mut ahead: VecDeque<OsString> = components(&path);
    let mut here = PathBuf::from("/");
    let mut passed = vec![(here.clone(), std::fs::symlink_metadata(&here)?)];
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let metadata = std::fs::symlink_metadata(&next)?;
        if metadata.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::other("too many symbolic links"));
            }
            let target = std::fs::read_link(&next)?;
            passed.push((next, metadata));
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            for name in components(&target).into_iter().rev() {
                ahead.push_front(name);
            }
        } else {
            here = next;
            if metadata.is_dir() {
                passed.push((here.clone(), metadata));
            }
        }
    }
    Ok(passed)
}

fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn said(path: &Path, owners: Owners) -> Option<PathBuf> {
        let of_file = fault_of_file(path, &std::fs::metadata(path).unwrap(), owners);
        of_file.or_else(|| fault_of_directory(path.parent().unwrap(), owners)).map(|fault| fault.path)
    }

    #[test]
    fn every_directory_that_a_link_leads_through_counts() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let path = |name: &str| root.join(name);
        for directory in ["plugins", "open", "open/builds", "closed"] {
            std::fs::create_dir(path(directory)).unwrap();
            set_mode(&path(directory), 0o755);
        }
        for file in ["open/builds/p", "closed/p"] {
            std::fs::write(path(file), "#!/bin/sh\n").unwrap();
            set_mode(&path(file), 0o755);
        }
        symlink("../open/cur", path("plugins/via-open")).unwrap();
        symlink(path("closed/p"), path("open/cur")).unwrap();
        symlink("../open/builds/p", path("plugins/below-open")).unwrap();
        symlink("../closed/p", path("plugins/good")).unwrap();
        for name in ["via-open", "below-open", "good"] {
            assert_eq!(said(&path("plugins").join(name), Owners::Trusted), None, "{name}");
        }
        set_mode(&path("open"), 0o777);
        for name in ["via-open", "below-open"] {
            let link = path("plugins").join(name);
            assert_eq!(said(&link, Owners::Trusted), Some(path("open")), "{name}");
            assert_eq!(said(&link, Owners::Any), Some(path("open")), "{name}");
        }
        assert_eq!(said(&path("plugins/good"), Owners::Any), None);
        // As in /tmp, nobody can take away what is root's; but what lies in it could be anybody's.
        set_mode(&path("open"), 0o1777);
        assert_eq!(said(&path("plugins/via-open"), Owners::Trusted), None);
        assert_eq!(said(&path("open/cur"), Owners::Trusted), Some(path("open")));
        set_mode(&path("open"), 0o775);
        if rustix::process::geteuid().is_root() {
            assert_eq!(said(&path("plugins/via-open"), Owners::Trusted), None, "root's own group is root");
            std::os::unix::fs::chown(path("open"), None, Some(1000)).unwrap();
        }
        assert_eq!(said(&path("plugins/via-open"), Owners::Trusted), Some(path("open")));
        assert_eq!(said(&path("plugins/via-open"), Owners::Any), None, "a group counts as the owner");
    }

    #[test]
    fn a_circle_of_links_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        symlink("b", scratch.path().join("a")).unwrap();
        symlink("a", scratch.path().join("b")).unwrap();
        assert!(passed_through(&scratch.path().join("a")).unwrap_err().to_string().contains("too many"));
    }
}
