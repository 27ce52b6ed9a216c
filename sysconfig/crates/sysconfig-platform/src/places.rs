//! Paths as the kernel knows them, found out without waiting for a server that is away.
//!
//! The tables of mounts show a mount point with all its links followed. Whoever follows them, or looks into a directory, waits
//! for the server of whatever is mounted on the way; so that is asked first, by a program that is given up after a while.

use crate::mount_table::{Mount, is_below};
use crate::mounting::mounted_at;
use crate::storage::StorageError;
use crate::{Host, Invocation};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Types of which a look waits for somebody else: a server, or an automounter.
const REMOTE: &[&str] = &["nfs", "nfs4", "autofs", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "beegfs"];
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a look into a mounted file system may wait for somebody else. The root is looked at by everything, so it is no
/// question there.
#[must_use]
pub fn may_wait(mount: &Mount) -> bool {
    mount.mount_point != "/" && is_remote(&mount.fstype)
}

/// Whether a type of file systems is that of something that somebody else has, and may keep.
#[must_use]
pub fn is_remote(fstype: &str) -> bool {
    REMOTE.contains(&fstype) || fstype.starts_with("fuse.")
}

/// Paths of a machine with certain mounts.
#[derive(Debug)]
pub struct Places<'a> {
    host: &'a Host,
    mounts: &'a [Mount],
    asks: bool,
    /// Whether servers have answered, by mount point.
    answers: RefCell<BTreeMap<&'a str, bool>>,
}

impl<'a> Places<'a> {
    /// Paths that are looked at wherever a server answers.
    #[must_use]
    pub fn new(host: &'a Host, mounts: &'a [Mount]) -> Self {
        Self { host, mounts, asks: true, answers: RefCell::default() }
    }

    /// Paths that are looked at only where nobody else has to answer.
    #[must_use]
    pub fn local(host: &'a Host, mounts: &'a [Mount]) -> Self {
        Self { asks: false, ..Self::new(host, mounts) }
    }

    /// The path with its links followed, as the kernel shows it. What is behind a server that does not answer stays as it is written,
    /// and so does what cannot be followed.
    #[must_use]
    pub fn resolve(&self, path: &str) -> String {
        let stops = |candidate: &std::path::Path, is_last: bool| {
            let mount = candidate.to_str().and_then(|candidate| mounted_at(self.mounts, candidate));
            // What is mounted at the place itself is no link.
            mount.is_some_and(|mount| may_wait(mount) && (is_last || !self.has_answered(mount)))
        };
        let resolved = self.host.root.resolve_until(path, stops);
        resolved.ok().and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| path.to_owned())
    }

    /// The mount above a path whose server does not answer, if there is one: whoever looked at the path would wait for it.
    #[must_use]
    pub fn silent(&self, path: &str) -> Option<&'a Mount> {
        let above = self.mounts.iter().filter(|mount| is_below(path, &mount.mount_point));
        let seen = above.filter(|mount| mounted_at(self.mounts, &mount.mount_point) == Some(mount));
        seen.filter(|mount| may_wait(mount)).find(|mount| !self.has_answered(mount))
    }

    fn has_answered(&self, mount: &'a Mount) -> bool {
        if !self.asks {
            return false;
        }
        *self.answers.borrow_mut().entry(&mount.mount_point).or_insert_with(|| {
            let directory = format!("{}/.", mount.mount_point);
            let ask = Invocation { deadline: PATIENCE, ..Invocation::new("/usr/bin/ls", ["-d", &directory]) };
            match self.host.run_any(&ask) {
                Ok(answer) => answer.code == 0,
                // Nobody can ask, so whoever looks has to take the risk.
                Err(error) => error.is_not_found(),
            }
        })
    }
}

impl Places<'_> {
    /// Why nothing can be said about what is at a path, when that is so.
    ///
    /// # Errors
    /// [`StorageError::NotSo`] when a server does not answer.
    pub fn check(&self, path: &str) -> Result<(), StorageError> {
        match self.silent(path) {
            None => Ok(()),
            Some(mount) => Err(StorageError::NotSo {
                operation: format!("look at {path}"),
                said: format!("it lies in {}, and {} does not answer", mount.mount_point, mount.device),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::System;
    use crate::fake::Machine;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_but_not_to_a_server_that_is_away() {
        for system in [System::Illumos, System::Linux] {
            let (_root, host, machine) = Machine::start(system);
            let at = |path: &str| host.root.locate(path);
            std::fs::create_dir_all(at("/export/home")).unwrap();
            symlink("/export/home", at("/home")).unwrap();
            symlink("/mnt/nfs/deep", at("/shared")).unwrap();
            machine.storage(|storage| storage.add_mount("server:/x", "/mnt/nfs", "nfs", &[]));
            std::fs::create_dir_all(at("/mnt/nfs/real")).unwrap();
            symlink("real", at("/mnt/nfs/deep")).unwrap();
            let look = || {
                let mounts = crate::mount_table::mounts(&host).unwrap();
                let (asked, local) = (Places::new(&host, &mounts), Places::local(&host, &mounts));
                let silent = asked.silent("/mnt/nfs/deep/x").map(|mount| mount.device.clone());
                assert_eq!(asked.resolve("/home/x"), "/export/home/x");
                assert_eq!(asked.resolve("/mnt/nfs"), "/mnt/nfs");
                assert!(asked.silent("/mnt/nfs").is_none(), "the place itself is in the directory above");
                (asked.resolve("/shared/x"), local.resolve("/shared/x"), silent)
            };
            let (asked, local, silent) = look();
            assert_eq!((asked.as_str(), local.as_str(), silent), ("/mnt/nfs/real/x", "/mnt/nfs/deep/x", None));
            machine.storage(|storage| storage.away.insert("server:/x".to_owned()));
            let (asked, _, silent) = look();
            assert_eq!((asked.as_str(), silent.as_deref()), ("/mnt/nfs/deep/x", Some("server:/x")));
            let mounts = crate::mount_table::mounts(&host).unwrap();
            let error = Places::new(&host, &mounts).check("/mnt/nfs/y").unwrap_err();
            assert!(error.to_string().contains("it lies in /mnt/nfs, and server:/x does not answer"), "{error}");
        }
    }
}
