//! Where the plugin directories come from: a file system, a 9P share, or a mirror of one.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use sysconfig::discovery::plugin_name;
use sysconfig_protocol::PLUGIN_FILE_PREFIX;

use super::patience::{TO_ANSWER, answers, within};
use super::{Check, Verdict};
use crate::render::duration;

/// A mirror whose last round is older than this does not keep up; it makes one every few seconds.
const STALE_MS: u64 = 60_000;

/// The mount table: `mnttab(5)` on illumos, `proc(5)` on Linux. In both, fields are separated by white space, the
/// second is the mount point and the third the type.
const MOUNT_TABLE: &str =
    if cfg!(any(target_os = "illumos", target_os = "solaris")) { "/etc/mnttab" } else { "/proc/self/mounts" };

/// Where a guest sees the checkout.
pub(super) const SHARE: &str = "/repo";

/// Of some directories, those that answer; a check tells of each that does not.
pub(super) fn those_that_answer(directories: Vec<PathBuf>, checks: &mut Vec<Check>) -> Vec<PathBuf> {
    let mounts = mounts();
    let mut silent: Vec<PathBuf> = Vec::new();
    let mut answering = Vec::new();
    for directory in directories {
        let is_known_silent = silent.iter().any(|above| directory.starts_with(above));
        if !is_known_silent && answers(&directory, TO_ANSWER) {
            answering.push(directory);
        } else if !is_known_silent {
            checks.push(no_answer(&directory, &mounts));
            silent.push(directory);
        }
    }
    answering
}

fn no_answer(directory: &Path, mounts: &str) -> Check {
    let what = format!("directory {}", directory.display());
    let (point, kind) = mount_of(directory, mounts).unwrap_or_else(|| ("?".to_owned(), "unknown".to_owned()));
    let server = if kind.starts_with("9p") { "the 9P server" } else { "the server of its file system" };
    let found = format!(
        "no answer within {} s: {server} is gone, and whatever looks below {point} (type {kind}) waits for it",
        TO_ANSWER.as_secs()
    );
    let (umount, restart) = match cfg!(any(target_os = "illumos", target_os = "solaris")) {
        true => ("umount -f", "svcadm restart dev-9p-mount"),
        false => ("umount --lazy", "systemctl restart dev-9p-mount"),
    };
    let restart =
        if kind.starts_with("9p") { format!("; see that the host serves the share; {restart}") } else { String::new() };
    Check::wrong(what, found).help(format!("{umount} {point}{restart}"))
}

pub(super) fn look(directories: &[PathBuf]) -> Vec<Check> {
    let mounts = mounts();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let look = |directory: &PathBuf| {
        let (theirs, table) = (directory.clone(), mounts.clone());
        let found = within(TO_ANSWER, move || look_at(&theirs, &table, now));
        found.unwrap_or_else(|| vec![no_answer(directory, &mounts)])
    };
    directories.iter().flat_map(look).collect()
}

/// Reading the mount table asks no server.
fn mounts() -> String {
    std::fs::read_to_string(MOUNT_TABLE).unwrap_or_default()
}

fn look_at(directory: &Path, mounts: &str, now: u64) -> Vec<Check> {
    let what = format!("plugin path {}", directory.display());
    let mut checks = Vec::new();
    match std::fs::read_dir(directory) {
        Err(error) => checks.push(
            Check::wrong(&what, format!("it cannot be read: {error}"))
                .help("name another one with [plugins] path, or see that its file system is mounted"),
        ),
        Ok(entries) => {
            checks.push(match mount_of(directory, mounts) {
                Some((point, kind)) => Check::fine(&what, format!("on {point}, type {kind}")),
                None => Check::fine(&what, "it is there"),
            });
            let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            checks.extend(names.filter_map(|name| misnamed(&name)));
        }
    }
    let stamp = directory.ancestors().map(|above| above.join(".ninep-mirror/stamp")).find(|stamp| stamp.exists());
    checks.extend(stamp.map(|stamp| mirror(&stamp, now)));
    checks
}

/// Of a file that is named nearly like a plugin, and so is none, nobody else says anything.
fn misnamed(file_name: &str) -> Option<Check> {
    let is_meant = file_name.starts_with(PLUGIN_FILE_PREFIX) && !file_name.contains('.');
    let is_none = is_meant && plugin_name(file_name).is_none();
    is_none.then(|| {
        let found = format!("the file {file_name:?} is no plugin because of its name");
        let help = format!("rename it: what follows {PLUGIN_FILE_PREFIX} consists of a-z, 0-9 and -");
        Check::new("plugin file", Verdict::Odd, found).help(help)
    })
}

/// The mount point and type of the file system that holds a directory.
fn mount_of(directory: &Path, mounts: &str) -> Option<(String, String)> {
    let rows = mounts.lines().filter_map(|row| {
        let mut fields = row.split_whitespace().skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = rows.filter(|(point, _)| directory.starts_with(point));
    // Of several on the same point, the last one hides the others.
    holding.max_by_key(|(point, _)| point.len()).map(|(point, kind)| (point.to_owned(), kind.to_owned()))
}

/// What the mirror says after each of its rounds; see `docs/9p.md`.
#[derive(Debug, Deserialize)]
struct Stamp {
    time_unix_ms: u64,
    files: u64,
    problems: u64,
}

fn mirror(stamp: &Path, now: u64) -> Check {
    let what = "mirror of the share";
    let help = "look at the log of the service dev-9p-mount";
    let text = std::fs::read_to_string(stamp).unwrap_or_default();
    let Ok(Stamp { time_unix_ms, files, problems }) = serde_json::from_str(&text) else {
        return Check::new(what, Verdict::Unknown, format!("{} makes no sense", stamp.display()));
    };
    if time_unix_ms > now.saturating_add(STALE_MS) {
        let ahead = duration(time_unix_ms - now);
        let found =
            format!("{files} files; its last round is {ahead} ahead of the clock, so nobody knows how old it is");
        let help = "see that the clock is right, and look again: a mirror at work makes a round every few seconds";
        return Check::new(what, Verdict::Odd, found).help(help);
    }
    let age = now.saturating_sub(time_unix_ms);
    let found = format!("{files} files, last round {} ago, {problems} problems", duration(age));
    match (age > STALE_MS, problems) {
        (true, _) => Check::wrong(what, found).help(help),
        (false, 0) => Check::fine(what, found),
        (false, _) => Check::new(what, Verdict::Odd, found).help(help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_holds_a_directory() {
        let linux = "/dev/vda1 / ext4 rw 0 0\nrepo /repo 9p rw,trans=virtio 0 0\n/dev/vdb /rep ext4 rw 0 0\n";
        let illumos = "rpool/ROOT/be\t/\tzfs\tdev=1\t0\nrepo\t/repo\t9pfs\trw\t0\n";
        for mounts in [linux, illumos] {
            let (point, kind) = mount_of(Path::new("/repo/sysconfig/target/release"), mounts).unwrap();
            assert!(point == "/repo" && kind.starts_with("9p"), "{point} {kind}");
            assert_eq!(mount_of(Path::new("/report"), mounts).unwrap().0, "/");
        }
        assert_eq!(mount_of(Path::new("/x"), ""), None);
    }

    #[test]
    fn whose_server_is_gone_is_told_with_the_way_out() {
        let mounts = "/dev/vda1 / ext4 rw 0 0\nrepo /repo 9p rw,trans=virtio 0 0\n";
        let check = no_answer(Path::new("/repo/sysconfig/target/release"), mounts);
        assert!(check.found.contains("the 9P server is gone") && check.found.contains("/repo (type 9p)"), "{check:?}");
        let help = check.help.unwrap();
        assert!(help.contains("/repo; see that the host serves the share") && help.ends_with("dev-9p-mount"), "{help}");
        let check = no_answer(Path::new("/net/plugins"), mounts);
        assert!(check.found.contains("the server of its file system is gone"), "{check:?}");
    }

    #[test]
    fn a_file_that_its_name_keeps_from_being_a_plugin_is_told() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["my_plugin", "Upper", "fine-1", "fine-1.d"] {
            std::fs::write(directory.path().join(format!("sysconfig-plugin-{name}")), "").unwrap();
        }
        let checks = look_at(directory.path(), "", 0);
        let mut odd: Vec<_> =
            checks.iter().filter(|check| check.verdict == Verdict::Odd).map(|check| &*check.found).collect();
        odd.sort_unstable();
        let told = |name: &str| format!("the file \"sysconfig-plugin-{name}\" is no plugin because of its name");
        assert_eq!(odd, [told("Upper"), told("my_plugin")]);
    }

    /// A look at a share that goes away meanwhile; a pipe that nobody writes to stands for it.
    #[test]
    fn a_look_that_does_not_end_is_given_up() {
        let share = tempfile::tempdir().unwrap();
        std::fs::create_dir(share.path().join(".ninep-mirror")).unwrap();
        let stamp = share.path().join(".ninep-mirror/stamp");
        rustix::fs::mkfifoat(rustix::fs::CWD, &stamp, rustix::fs::Mode::RUSR).unwrap();
        let checks = look(&[share.path().to_owned()]);
        assert_eq!(checks.len(), 1);
        assert!(checks[0].found.starts_with("no answer within 5 s"), "{checks:?}");
    }

    #[test]
    fn a_mirror_that_stands_still_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let stamp = directory.path().join("stamp");
        let verdict = |time: u64, problems: u64| {
            let text = format!(
                r#"{{"round":1,"generation":1,"time_unix_ms":{time},"files":7,"bytes":1,"problems":{problems}}}"#
            );
            std::fs::write(&stamp, text).unwrap();
            mirror(&stamp, 1_000_000).verdict
        };
        assert_eq!(verdict(999_000, 0), Verdict::Fine);
        assert_eq!(verdict(999_000, 2), Verdict::Odd);
        assert_eq!(verdict(900_000, 0), Verdict::Wrong);
        assert_eq!(verdict(1_001_000, 0), Verdict::Fine);
        assert_eq!(verdict(2_000_000, 0), Verdict::Odd, "a clock that was set back makes an old stamp no young one");
        std::fs::write(&stamp, "").unwrap();
        assert_eq!(mirror(&stamp, 0).verdict, Verdict::Unknown);
    }
}
