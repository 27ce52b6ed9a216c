//! Steps about files.

use super::seen::{Seen, meanwhile, remember_left};
use super::{Target, file_error, outcome, remember};
use crate::marks::{MARK, OPEN_HELP, bears_mark, is_open, length, unfinished};
use crate::storage_error;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::time::Duration;
use sysconfig_platform::{CommandError, Host, Invocation, StorageError, System, files, swap};
use sysconfig_plugin::{Context, Outcome, PluginError};

/// How long making a file may take when nobody waits: where its blocks cannot be reserved they are written.
const DEADLINE: Duration = Duration::from_secs(600);
/// What is left of the time for a step when the program that makes the file is given up, to say so and to tidy up.
const RESERVE: Duration = Duration::from_secs(10);

pub(super) fn tidy_up(host: &Host, path: &str) -> Result<Outcome, PluginError> {
    let removed = files::remove_entry(&host.root, unfinished(path));
    removed.map(outcome).map_err(|source| file_error(&format!("tidy up beside {path}"), source))
}

pub(super) fn create(host: &Host, path: &str, bytes: u64, context: &Context) -> Result<Outcome, PluginError> {
    if let Some(present) = length(host, path) {
        // Only an interrupted step of ours has made it in between.
        return match present == bytes && bears_mark(host, path).map_err(storage_error)? {
            true => Ok(Outcome::AlreadySo),
            false => Err(meanwhile(path)),
        };
    }
    remember(host, path, |ours| ours.made = true)?;
    // What it is like is remembered before it is in its place, where somebody may put something into it.
    let made = prepare(host, path, bytes, context)
        .and_then(|()| remember_left(host, path, &unfinished(path)))
        .and_then(|()| put_new(host, path));
    if made.is_err() {
        // What comes to be at this path is not ours. The first error is the one to report.
        let _ = remember(host, path, |ours| (ours.made, ours.left) = (false, None));
        let _ = files::remove_entry(&host.root, unfinished(path));
    }
    made.map(|()| Outcome::Changed)
}

/// What others can replace between a look and the deed is neither made nor destroyed.
fn refuse_open(host: &Host, path: &str) -> Result<(), PluginError> {
    let open = files::open_to_others(&host.root, path).map_err(|source| file_error("look at a directory", source))?;
    open.map_or(Ok(()), |directory| {
        Err(PluginError::new(format!("{path} was left alone: {}", is_open(&directory))).help(OPEN_HELP))
    })
}

/// Makes a file beside its place, which is whole before it goes there.
pub(super) fn prepare(host: &Host, path: &str, bytes: u64, context: &Context) -> Result<(), PluginError> {
    let operation = format!("create the file {path}");
    refuse_open(host, path)?;
    let new = unfinished(path);
    files::remove_entry(&host.root, &new).map_err(|source| file_error(&operation, source))?;
    let deadline = context.remaining().map_or(DEADLINE, |left| left.saturating_sub(RESERVE).min(DEADLINE));
    fill(host, &new, (bytes, deadline), &operation).map_err(|error| {
        // The first error is the one to report.
        let _ = files::remove_entry(&host.root, &new);
        let is_late = matches!(&error, StorageError::Command { source: CommandError::Deadline { .. }, .. });
        let error = storage_error(error);
        match is_late {
            true => error.help(
                "its blocks are written one by one, which takes longer than a step may: write a smaller size, use a volume or \
                 a partition, or give steps more time in the settings of the daemon",
            ),
            false => error,
        }
    })
}

fn fill(host: &Host, path: &str, (bytes, deadline): (u64, Duration), operation: &str) -> Result<(), StorageError> {
    let kernel = |source| StorageError::Kernel { operation: operation.to_owned(), source };
    let located = host.root.locate(path);
    // Nobody but root may ever read it: other people's memory goes there.
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&located).map_err(kernel)?;
    let size = bytes.to_string();
    let make = match host.system() {
        System::Illumos => Invocation::new("/usr/sbin/mkfile", [size.as_str(), path]),
        System::Linux => Invocation::new("/usr/bin/fallocate", ["--posix", "--length", &size, path]),
    };
    let make = Invocation { deadline, ..make };
    host.run(&make).map_err(|source| StorageError::Command { operation: operation.to_owned(), source })?;
    // mkfile makes files that only root may read, but sticky ones.
    std::fs::set_permissions(&located, std::fs::Permissions::from_mode(0o600)).map_err(kernel)?;
    if host.system() == System::Linux {
        swap::make(host, path)?;
    }
    let file = std::fs::OpenOptions::new().write(true).open(&located).map_err(kernel)?;
    file.write_all_at(MARK, 0).and_then(|()| file.sync_all()).map_err(kernel)
}

/// Puts a prepared file where nothing is; a link, unlike a new name, never takes the place of what has come there.
fn put_new(host: &Host, path: &str) -> Result<(), PluginError> {
    let (from, to) = (host.root.locate(unfinished(path)), host.root.locate(path));
    let failed = |source| storage_error(StorageError::Kernel { operation: format!("create the file {path}"), source });
    match std::fs::hard_link(&from, &to) {
        Ok(()) => std::fs::remove_file(&from).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(meanwhile(path)),
        // Not every file system has links.
        Err(_) if length(host, path).is_none() => std::fs::rename(&from, &to).map_err(failed),
        Err(_) => Err(meanwhile(path)),
    }
}

/// Puts a prepared file in the place of the one for which this was planned, which perhaps was in use as swap until just now.
pub(super) fn put_instead(host: &Host, target: &Target, seen: &Seen, was_used: bool) -> Result<(), PluginError> {
    let path = target.path();
    let put = || {
        match was_used {
            true => seen.check_identity(host, target).map(drop)?,
            false => seen.check(host, target)?,
        }
        remember(host, path, |ours| ours.made = true)?;
        let operation = format!("change the size of {path}");
        std::fs::rename(host.root.locate(unfinished(path)), host.root.locate(path))
            .map_err(|source| storage_error(StorageError::Kernel { operation, source }))
    };
    let put = put();
    if put.is_err() {
        // The first error is the one to report.
        let _ = files::remove_entry(&host.root, unfinished(path));
    }
    put
}

pub(super) fn delete(host: &Host, target: &Target, seen: &Seen) -> Result<Outcome, PluginError> {
    let path = target.path();
    let failed = |source| file_error("destroy a swap file", source);
    files::remove_entry(&host.root, unfinished(path)).map_err(failed)?;
    if length(host, path).is_none() {
        return Ok(Outcome::AlreadySo);
    }
    refuse_open(host, path)?;
    seen.check(host, target)?;
    files::remove(&host.root, path).map(outcome).map_err(failed)
}
