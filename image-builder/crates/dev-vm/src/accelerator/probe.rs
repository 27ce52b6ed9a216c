//! How guest code is executed, found out by running some.
//!
//! A device file that can be opened says nothing about whether a guest gets
//! anywhere, so each candidate has to run the probe guest to its end. The
//! result is kept until the host is booted again or QEMU changes.

use super::{Accelerator, SANDBOX};
use crate::error::StateError;
use crate::files::{self, create_directory};
use crate::host::{Host, qemu_package_hint};
use crate::probe_guest::{EXIT_PORT, EXIT_STATUS, STAGES, boot_sector};
use miette::Diagnostic;
use process_runner::{Command, CommandError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thiserror::Error;

/// How long the probe guest may take; a working accelerator needs a fraction of a second.
const HARDWARE_DEADLINE: Duration = Duration::from_secs(5);
/// Emulation always gets there, but on a busy host it takes its time.
const EMULATION_DEADLINE: Duration = Duration::from_secs(30);

/// What was found out about QEMU on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceleration {
    /// The accelerator to use.
    pub accelerator: Accelerator,
    /// Why this one, for people.
    pub reason: String,
    /// Whether this QEMU has its sandbox.
    pub sandbox: bool,
}

/// QEMU cannot run even the smallest guest.
#[derive(Debug, Error, Diagnostic)]
pub enum ProbeError {
    /// QEMU is not installed.
    #[error("{program} is not installed")]
    #[diagnostic(help("{}", qemu_package_hint()))]
    NoQemu {
        /// The emulator.
        program: String,
        /// What the system said.
        #[source]
        source: CommandError,
    },
    /// QEMU is there and could not be run.
    #[error("cannot run the emulator")]
    Run(#[source] CommandError),
    /// The accelerator did not get the probe guest to its end.
    #[error("{accelerator} does not work here: {reason}")]
    #[diagnostic(help("without `--accel`, dev-vm chooses one that works"))]
    NotWorking {
        /// The accelerator.
        accelerator: Accelerator,
        /// How far it came and what QEMU said.
        reason: String,
        /// Whether it was only too slow, which may be the host's load.
        timed_out: bool,
    },
    /// The probe guest or its result could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
}

/// The probe result with what it depends on.
#[derive(Serialize, Deserialize)]
struct Cached {
    key: String,
    acceleration: Acceleration,
}

/// Chooses the accelerator: `wanted` if it works, else the host's own if it works, else translation.
///
/// # Errors
/// [`ProbeError`].
pub fn choose(host: &Host, cache: &Path, wanted: Option<Accelerator>) -> Result<Acceleration, ProbeError> {
    if let Some(accelerator) = wanted {
        let sandbox = try_out(host, accelerator)?;
        return Ok(Acceleration { accelerator, reason: "as asked for".to_owned(), sandbox });
    }
    let device = Accelerator::of_this_host(host.guest_architecture()).and_then(Accelerator::device);
    let key = cache_key(host, device);
    // A cache that cannot be understood is as good as none: it is only a cache.
    let cached: Option<Cached> = files::load(cache).ok().flatten();
    if let Some(cached) = cached.filter(|cached| Some(&cached.key) == key.as_ref()) {
        return Ok(cached.acceleration);
    }
    let (acceleration, lasts) = probe_all(host)?;
    if let Some(key) = key.filter(|_| lasts) {
        cache.parent().map_or(Ok(()), create_directory)?;
        files::store(cache, &Cached { key, acceleration: acceleration.clone() })?;
    }
    Ok(acceleration)
}

/// Finds out what works, and whether it would be the same the next time.
fn probe_all(host: &Host) -> Result<(Acceleration, bool), ProbeError> {
    let mut lasts = true;
    let reason = match Accelerator::of_this_host(host.guest_architecture()) {
        None => "this host has no other".to_owned(),
        Some(accelerator) => match try_out(host, accelerator) {
            Ok(sandbox) => {
                let reason = "a probe guest ran to its end".to_owned();
                return Ok((Acceleration { accelerator, reason, sandbox }, lasts));
            }
            Err(ProbeError::NotWorking { accelerator, reason, timed_out }) => {
                lasts = !timed_out;
                format!("{accelerator} does not work here: {reason}")
            }
            Err(other) => return Err(other),
        },
    };
    let sandbox = try_out(host, Accelerator::Tcg)?;
    Ok((Acceleration { accelerator: Accelerator::Tcg, reason, sandbox }, lasts))
}

/// Runs the probe guest; answers whether that worked inside QEMU's sandbox.
fn try_out(host: &Host, accelerator: Accelerator) -> Result<bool, ProbeError> {
    match run_guest(host, accelerator, true) {
        Err(ProbeError::NotWorking { reason, .. }) if reason.contains("sandbox") => {
            run_guest(host, accelerator, false).map(|()| false)
        }
        other => other.map(|()| true),
    }
}

fn run_guest(host: &Host, accelerator: Accelerator, sandbox: bool) -> Result<(), ProbeError> {
    let state = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| StateError::Io { operation, path, source }
    };
    let temporary = std::env::temp_dir();
    let directory = tempfile::Builder::new().prefix("dev-vm-probe-").tempdir();
    let directory = directory.map_err(state("create a directory in", &temporary))?;
    let disk = directory.path().join("disk.img");
    fs::write(&disk, boot_sector()).map_err(state("write", &disk))?;

    let deadline = match accelerator {
        Accelerator::Tcg => EMULATION_DEADLINE,
        _ => HARDWARE_DEADLINE,
    };
    let command = Command::new(&host.qemu)
        .args(["-machine", "pc", "-accel", accelerator.as_str()])
        .args(["-cpu", accelerator.cpu_model(), "-m", "16"])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-drive", "file=disk.img,format=raw,if=ide"])
        .args(["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1")])
        .args(["-debugcon", "file:stages"])
        .args(sandbox.then_some(["-sandbox", SANDBOX]).into_iter().flatten())
        .current_dir(directory.path())
        .deadline(deadline);
    // The first line that matters: QEMU puts warnings before it and a register dump after it.
    let said = Arc::new(OnceLock::new());
    let listener = Arc::clone(&said);
    let command = command.on_line(move |_, line| {
        let line = line.trim();
        if !line.is_empty() && !line.contains("warning:") {
            // All later lines are refused by the cell, as they should be.
            let _ = listener.set(line.to_owned());
        }
    });
    let failed = |deadline: Option<Duration>| {
        let stages = fs::read(directory.path().join("stages")).unwrap_or_default();
        let reason = not_working(&stages, said.get().map(String::as_str), deadline);
        Err(ProbeError::NotWorking { accelerator, reason, timed_out: deadline.is_some() })
    };
    match command.run_any() {
        Ok(output) if output.code == Some(EXIT_STATUS) => Ok(()),
        Ok(_) => failed(None),
        Err(CommandError::Deadline { deadline, .. }) => failed(Some(deadline)),
        Err(source) if source.is_not_found() => {
            Err(ProbeError::NoQemu { program: host.qemu.to_string_lossy().into_owned(), source })
        }
        Err(source) => Err(ProbeError::Run(source)),
    }
}

/// How far the guest came, and what QEMU said, in one line.
fn not_working(stages: &[u8], said: Option<&str>, deadline: Option<Duration>) -> String {
    let reached = match stages.len().checked_sub(1).and_then(|last| STAGES.get(last)) {
        Some(stage) => format!("the probe guest stopped after {stage}"),
        None => "the probe guest did not start".to_owned(),
    };
    let time = deadline.map_or(String::new(), |deadline| format!(" and gave no sign for {} s", deadline.as_secs()));
    let said = said.map_or(String::new(), |line| format!(" ({line})"));
    format!("{reached}{time}{said}")
}

/// What a probe's result depends on; `None` where the host's boot cannot be told from the next.
///
/// Who may use the device is a part of it: to join its group, or to be given it, must help at once.
fn cache_key(host: &Host, device: Option<&Path>) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let qemu = PathBuf::from(&host.qemu);
    let metadata = fs::metadata(&qemu).ok()?;
    let user = rustix::process::geteuid().as_raw();
    let mut groups: Vec<u32> = rustix::process::getgroups().ok()?.iter().map(|group| group.as_raw()).collect();
    groups.push(rustix::process::getegid().as_raw());
    groups.sort_unstable();
    // The time of the last change is that of its access list, too.
    let access = device.map(|device| match fs::metadata(device) {
        Ok(device) => {
            format!("{}:{} {:o} {}.{}", device.uid(), device.gid(), device.mode(), device.ctime(), device.ctime_nsec())
        }
        Err(error) => error.kind().to_string(),
    });
    Some(format!(
        "{} {} {} {}.{} {user} {groups:?} {}",
        boot.trim(),
        qemu.display(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        access.unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn host(qemu: &Path) -> Host {
        Host {
            qemu: qemu.into(),
            firmware_directories: Vec::new(),
            state_directory: None,
            bhyve: crate::host::BhyveParts::default(),
        }
    }

    /// Somebody who was given the device got translation until the host was booted again.
    #[test]
    fn what_is_remembered_depends_on_who_may_use_the_device() {
        let directory = tempfile::tempdir().unwrap();
        let (qemu, device) = (directory.path().join("qemu"), directory.path().join("device"));
        fs::write(&qemu, "").unwrap();
        let key = || cache_key(&host(&qemu), Some(&device));
        let Some(missing) = key() else {
            return test_judge::skip("the boots of this host cannot be told apart");
        };
        fs::write(&device, "").unwrap();
        fs::set_permissions(&device, fs::Permissions::from_mode(0o600)).unwrap();
        let closed = key().unwrap();
        assert_ne!(closed, missing);
        assert_eq!(key().unwrap(), closed);
        fs::set_permissions(&device, fs::Permissions::from_mode(0o660)).unwrap();
        assert_ne!(key().unwrap(), closed);
    }

    /// Under load a working accelerator is too slow once; that says nothing of the next time.
    #[test]
    fn only_what_lasts_is_remembered() {
        let Some(accelerator) = Accelerator::of_this_host("x86_64") else { return };
        let directory = tempfile::tempdir().unwrap();
        let (qemu, cache) = (directory.path().join("qemu"), directory.path().join("cache.json"));
        for (when_probed, remembered) in [("sleep 60", false), ("exit 1", true)] {
            let script = format!(
                "#!/bin/sh\ncase \"$*\" in *'-accel {accelerator}'*) {when_probed};; esac\nexit {EXIT_STATUS}\n"
            );
            fs::write(&qemu, script).unwrap();
            fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
            let found = choose(&host(&qemu), &cache, None).unwrap();
            assert_eq!(found.accelerator, Accelerator::Tcg, "{}", found.reason);
            assert_eq!(cache.exists(), remembered, "{when_probed}");
        }
    }

    #[test]
    fn the_reason_says_how_far_it_came() {
        let said = Some("KVM internal error. Suberror: 1");
        assert_eq!(
            not_working(b"123", said, Some(Duration::from_secs(5))),
            "the probe guest stopped after protected mode and gave no sign for 5 s (KVM internal error. Suberror: 1)"
        );
        assert_eq!(
            not_working(b"", Some("qemu: no such accelerator"), None),
            "the probe guest did not start (qemu: no such accelerator)"
        );
    }
}
