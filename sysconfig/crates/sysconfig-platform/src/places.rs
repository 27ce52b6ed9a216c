//! Paths as the kernel knows them, found out without waiting for a server that is away.
//!
//! The tables of mounts show a mount point with all its links followed. Whoever follows them, or looks into a directory, waits
//! for the server of whatever is mounted on the way; so that is asked first, by a program that is given up after a while.

use crate::mount_table::{self, Mount, may_wait};
use crate::storage::StorageError;
use crate::{CommandError, Host, Invocation, device_name};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who has what is mounted, where its name tells: the machine in `server:/path` and `//server/share`. Other names say nothing:
/// all automounts of systemd have the same.
fn server(device: &str) -> Option<&str> {
    let windows = device.strip_prefix("//").and_then(|rest| rest.split_once('/')).map(|(server, _)| server);
    windows.or_else(|| device.rsplit_once(":/").map(|(server, _)| server))
}

/// What servers have answered.
#[derive(Debug, Default)]
struct Answers {
    /// Whether they have, by mount point and device: something else may be mounted there by now.
    answers: RefCell<BTreeMap<(String, String), bool>>,
    /// Those that were waited for in vain: what else they have is not waited for once more.
    away: RefCell<BTreeSet<String>>,
}

/// Paths of a machine with certain mounts.
#[derive(Debug)]
pub struct Places<'a> {
    host: &'a Host,
    /// What is seen at each mount point: the last one there. Tables of containers are long, and every look goes by this.
    seen: BTreeMap<&'a str, &'a Mount>,
    asks: bool,
    servers: Servers,
}

/// Servers that were asked whether they are there. Whoever looks at many things shares it, so that each is waited for once.
#[derive(Clone, Debug, Default)]
pub struct Servers(Rc<Answers>);

impl<'a> Places<'a> {
    /// Paths that are looked at wherever a server answers.
    #[must_use]
    pub fn new(host: &'a Host, mounts: &'a [Mount]) -> Self {
        Self::asking(host, mounts, &Servers::default())
    }

    /// As [`Self::new`]; servers that were asked before are not asked again.
    #[must_use]
    pub fn asking(host: &'a Host, mounts: &'a [Mount], servers: &Servers) -> Self {
        Self { host, seen: mount_table::seen(mounts), asks: true, servers: servers.clone() }
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
        let stops = |candidate: &Path, is_last: bool| {
            let mount = candidate.to_str().and_then(|candidate| self.seen.get(candidate).copied());
            // What is mounted at the place itself is no link.
            mount.is_some_and(|mount| may_wait(mount) && (is_last || !self.has_answered(mount)))
        };
        self.host.root.follow(path, stops)
    }

    /// The mount above a path whose server does not answer, if there is one: whoever looked at the path would wait for it.
    #[must_use]
    pub fn silent(&self, path: &str) -> Option<&'a Mount> {
        let above: Vec<&'a Mount> = Path::new(path)
            .ancestors()
            .skip(1)
            .filter_map(|above| self.seen.get(above.to_str()?).copied())
            .filter(|mount| may_wait(mount))
            .collect();
        // Who looks at one that lies in another one waits for both.
        above.into_iter().rev().find(|mount| !self.has_answered(mount))
    }

    /// The mount whose server does not answer, so that whoever unmounts this one waits for it: it itself, or one above.
    #[must_use]
    pub fn holding_up(&self, mount: &'a Mount) -> Option<&'a Mount> {
        let itself = || (may_wait(mount) && !self.has_answered(mount)).then_some(mount);
        self.silent(&mount.mount_point).or_else(itself)
    }

    fn has_answered(&self, mount: &'a Mount) -> bool {
        let server = server(&mount.device);
        let Answers { answers, away } = &*self.servers.0;
        if !self.asks || server.is_some_and(|server| away.borrow().contains(server)) {
            return false;
        }
        *answers.borrow_mut().entry((mount.mount_point.clone(), mount.device.clone())).or_insert_with(|| {
            let directory = format!("{}/.", mount.mount_point);
            let ask = Invocation { deadline: PATIENCE, ..Invocation::new("/usr/bin/ls", ["-d", &directory]) };
            let answer = self.host.run_any(&ask);
            // The words are those of a mount that is given up by itself.
            let is_away = match &answer {
                Ok(answer) => answer.code != 0 && answer.stderr.contains("timed out"),
                Err(error) => matches!(error, CommandError::Deadline { .. }),
            };
            if is_away {
                away.borrow_mut().extend(server.map(str::to_owned));
            }
            // Where nobody can ask, whoever looks has to take the risk.
            answer.map_or_else(|error| error.is_not_found(), |answer| answer.code == 0)
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

    /// As [`Self::check`], of what a path leads to.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_target(&self, path: &str) -> Result<(), StorageError> {
        self.check(&self.resolve(path))
    }

    /// As [`device_name::identity`]; what its server keeps to itself is known by its name only.
    #[must_use]
    pub fn identity(&self, device: &str) -> String {
        let is_hidden = device.starts_with('/') && self.check_target(device).is_err();
        if is_hidden { device.to_owned() } else { device_name::identity(self.host, device) }
    }

    /// Why nothing can be mounted at a path without hiding what is there. What `moves` away from it is in nobody's way.
    ///
    /// # Errors
    /// [`StorageError`] when that cannot be looked at.
    pub fn obstacle(&self, path: &str, moves: &dyn Fn(&Mount) -> bool) -> Result<Option<String>, StorageError> {
        self.check(path)?;
        let path = self.resolve(path);
        match self.seen.get(path.as_str()) {
            Some(mount) if moves(mount) => return Ok(None),
            Some(mount) => return Ok(Some(format!("{} is mounted there", mount.device))),
            None => {}
        }
        Ok(match mount_point(self.host, &path)? {
            MountPoint::Missing | MountPoint::Empty => None,
            MountPoint::Filled => Some("the directory is not empty".to_owned()),
            MountPoint::NoDirectory => Some("it is no directory".to_owned()),
        })
    }
}

/// What is at a place where something is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountPoint {
    /// Nothing.
    Missing,
    /// An empty directory.
    Empty,
    /// A directory with something in it.
    Filled,
    /// No directory.
    NoDirectory,
}

/// Looks at a mount point. On a system with an automounter or a dead server this would wait, so it is only asked where
/// nothing is mounted.
///
/// # Errors
/// [`StorageError::File`] and [`StorageError::Kernel`].
pub fn mount_point(host: &Host, path: &str) -> Result<MountPoint, StorageError> {
    let operation = format!("look at {path}");
    let resolved = host.root.resolve(path).map_err(StorageError::file(operation.clone()))?;
    let located = host.root.locate(resolved);
    match std::fs::symlink_metadata(&located) {
        Ok(metadata) if metadata.is_dir() => {
            let mut entries = std::fs::read_dir(located).map_err(StorageError::kernel(operation))?;
            Ok(if entries.next().is_none() { MountPoint::Empty } else { MountPoint::Filled })
        }
        Ok(_) => Ok(MountPoint::NoDirectory),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(MountPoint::Missing),
        Err(error) => Err(StorageError::kernel(operation)(error)),
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

    /// A server that is away is waited for once, whatever it has; one that lost a share still has the others.
    #[test]
    fn each_server_is_waited_for_once() {
        let (_root, host, machine) = Machine::start(System::Linux);
        machine.storage(|storage| {
            for (device, point) in [("server:/a", "/a"), ("server:/b", "/b"), ("other:/c", "/c"), ("//smb/x", "/x")] {
                storage.add_mount(device, point, if device.starts_with('/') { "cifs" } else { "nfs" }, &[]);
                storage.away.insert(device.to_owned());
            }
            storage.away.remove("other:/c");
        });
        let mounts = crate::mount_table::mounts(&host).unwrap();
        let places = Places::new(&host, &mounts);
        let silent = |path: &str| places.silent(path).map(|mount| mount.device.as_str());
        assert_eq!(silent("/a/one"), Some("server:/a"));
        assert_eq!(silent("/b/one"), Some("server:/b"));
        assert_eq!(silent("/a/two"), Some("server:/a"));
        assert_eq!((silent("/c/one"), silent("/x/one")), (None, Some("//smb/x")));
        let asked = || machine.commands().into_iter().filter(|line| line.contains("ls -d")).count();
        assert_eq!(asked(), 3);

        // Automounts have one name, and that of one says nothing of another.
        machine.storage(|storage| {
            for point in ["/m/a", "/m/b"] {
                storage.add_mount("systemd-1", point, "autofs", &[]);
            }
            storage.away.insert("systemd-1".to_owned());
        });
        let mounts = crate::mount_table::mounts(&host).unwrap();
        let places = Places::new(&host, &mounts);
        assert!(["/m/a/x", "/m/b/x", "/m/b/y"].iter().all(|path| places.silent(path).is_some()));
        assert_eq!(asked(), 3 + 2);
    }
}
