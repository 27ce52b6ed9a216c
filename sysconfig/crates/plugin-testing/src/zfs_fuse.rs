//! A real ZFS in namespaces of their own: zfs-fuse, a complete one in user space, of pool version 23. Its socket and its cache
//! have fixed places, so that each scenario needs such namespaces; what was started there ends with them.

use process_runner::CommandError;
use std::any::Any;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use sysconfig_platform::hostname::KernelNodeName;
use sysconfig_platform::{Completed, Host, Invocation, ProcessRunner, Root, Runner, System};

/// How long anything may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long what is busy is waited for.
const BUSY_PATIENCE: Duration = Duration::from_secs(10);

/// How often a scenario is tried in which zfs-fuse crashes.
const TRIES: usize = 3;

/// Where the devices of a scenario are, in a file system of its own.
pub const DISKS: &str = "/run/disks";

/// Where `zfs-fuse`, its `zpool` and its `zfs` are; none, which is told, when they are nowhere.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../image-builder/target/judges/zfs-fuse");
    if std::env::var_os("ZFS_FUSE").is_none() && unpacked.join("zfs-fuse").exists() {
        return unpacked.canonicalize().ok();
    }
    let hint = "zfs-fuse, which bench/zfs-fuse image-builder/target/judges/zfs-fuse unpacks";
    test_judge::find("zfs-fuse", hint)?.parent().map(Path::to_owned)
}

/// Runs a scenario in new namespaces, or says why not.
///
/// # Panics
/// When the scenario fails.
pub fn run(scenario: &str) {
    let Some(programs) = programs() else { return };
    if !Path::new("/dev/fuse").exists() {
        return test_judge::skip("there is no /dev/fuse");
    }
    let zfs = programs.join("zfs-fuse");
    for _ in 1..TRIES {
        match catch_unwind(|| crate::namespace::run(scenario, &[], &[], &[("ZFS_FUSE", zfs.as_os_str())])) {
            Ok(()) => return,
            Err(failure) if has_crashed(&*failure) => tell_crash(scenario),
            Err(failure) => resume_unwind(failure),
        }
    }
    crate::namespace::run(scenario, &[], &[], &[("ZFS_FUSE", zfs.as_os_str())]);
}

#[expect(clippy::print_stderr, reason = "a judge that fails is told beside what the test says")]
fn tell_crash(scenario: &str) {
    eprintln!("{scenario}: zfs-fuse has crashed, so once more");
}

/// Whether a scenario failed because zfs-fuse itself, of version 0.7, ended by a fault of its own, as it does now and then on a busy
/// machine: it is started once in each, and nobody tells it to end before the scenario has.
fn has_crashed(failure: &(dyn Any + Send)) -> bool {
    let message = failure.downcast_ref::<String>().map_or("", String::as_str);
    message.contains("Please make sure that the zfs-fuse daemon is running")
}

/// Runs a script. In it, `again COMMAND` tries until it works: a file system in user space is busy for a moment after
/// everything.
///
/// # Panics
/// When the script fails.
pub fn sh(script: &str) -> String {
    let script = format!("again() {{ until \"$@\"; do sleep 0.2; done; }}\n{script}");
    let path = format!(
        "export PATH={}:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C",
        programs().expect("the scenario runs only with them").display()
    );
    crate::namespace::sh(&format!("{path}\n{script}"))
}

/// Waits until something is so.
///
/// # Panics
/// When it does not come about.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} has not come about");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts zfs-fuse, and makes blank devices of 100 MiB.
///
/// # Panics
/// When it does not answer.
pub fn build(devices: &[&str]) {
    sh("mount -t tmpfs none /run && mkdir -p /run/zfs /run/lock/zfs /run/disks /run/mounted /etc/zfs /var/lib/zfs /var/lib/sysconfig
        if [ ! -e /var/run/zfs ]; then mkdir -p /var/run && mount -t tmpfs none /var/run && mkdir -p /var/run/zfs; fi
        mkdir -p /var/lock/zfs
        for directory in /etc/zfs /var/lib/zfs /var/lib/sysconfig; do mount -t tmpfs none $directory; done
        zfs-fuse -n >/run/zfs-fuse.log 2>&1 </dev/null &");
    eventually("an answer of zfs-fuse", || {
        let listed = ProcessRunner.run(&Invocation::new(tool("zpool"), ["list"]));
        listed.is_ok_and(|done| done.code == 0).then_some(())
    });
    for device in devices {
        sh(&format!("truncate -s 100M {DISKS}/{device}"));
    }
}

fn tool(name: &str) -> String {
    programs().expect("the scenario runs only with them").join(name).display().to_string()
}

/// The commands of 2010, in front of which today's are spoken: `-P` and `-p` came later, and so did columns of one's
/// own choice, and the guids of datasets, for which the time of their making stands in. What they do is done by the real ones.
#[derive(Debug)]
struct OldCommands;

impl Runner for OldCommands {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let name = invocation.program.rsplit('/').next().unwrap_or_default();
        let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
        let run = |args: Vec<&str>| {
            let invocation = Invocation { deadline: PATIENCE, ..Invocation::new(tool(name), args) };
            let until = Instant::now() + BUSY_PATIENCE;
            loop {
                let answer = ProcessRunner.run(&invocation)?;
                // A file system in user space is busy for a moment after everything; who really uses it stays.
                if answer.code == 0 || !answer.stderr.contains("busy") || Instant::now() > until {
                    return Ok(answer);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        };
        match (name, args.as_slice()) {
            ("zpool", ["status", "-P"]) => run(vec!["status"]),
            ("zpool", ["get", "-Hp", "-o", "name,property,value,source", "all", pools @ ..]) => {
                let answer = run([&["get", "all"], pools].concat())?;
                let rows = answer.stdout.lines().skip(1).filter_map(tabs).collect();
                Ok(Completed { stdout: rows, ..answer })
            }
            // It always mounts.
            ("zpool", ["import", rest @ ..]) => {
                run([&["import"], &rest.iter().copied().filter(|word| *word != "-N").collect::<Vec<_>>()[..]].concat())
            }
            // It guesses another sector size for the new device than it has used for the old one.
            ("zpool", ["replace", rest @ ..]) => run([&["replace", "-o", "ashift=9"], rest].concat()),
            ("zfs", ["list", "-Hp", rest @ .., "-o", columns, of]) if columns.contains("guid") => {
                let answer = run([&["list", "-H"], rest, &["-o", &columns.replace("guid", "name"), of]].concat())?;
                let row = |row: &str| {
                    let mut cells: Vec<String> = row.split('\t').map(str::to_owned).collect();
                    cells[1] = run(vec!["get", "-Hp", "-o", "value", "creation", &cells[0]])?.stdout.trim().to_owned();
                    Ok(cells.join("\t") + "\n")
                };
                let rows = answer.stdout.lines().map(row).collect::<Result<String, CommandError>>()?;
                Ok(Completed { stdout: rows, ..answer })
            }
            ("zfs", ["list", "-Hp", rest @ ..]) => run([&["list", "-H"], rest].concat()),
            ("zfs", ["get", "-Hp", "-s", source, "-t", _, rest @ ..]) => {
                run([&["get", "-Hp", "-s", source], rest].concat())
            }
            ("zfs", ["get", "-Hp", "-r", "-t", _, rest @ ..]) => run([&["get", "-Hp", "-r"], rest].concat()),
            ("zpool" | "zfs", args) => run(args.to_vec()),
            _ => ProcessRunner.run(invocation),
        }
    }
}

/// A row of aligned columns with tabs between them.
fn tabs(row: &str) -> Option<String> {
    let words: Vec<_> = row.split_whitespace().collect();
    let [pool, property, value @ .., source] = words.as_slice() else { return None };
    Some(format!("{pool}\t{property}\t{}\t{source}\n", value.join(" ")))
}

/// This machine, with the commands of zfs-fuse instead of its own.
#[must_use]
pub fn host() -> Host {
    Host::assembled(System::Linux, Root::default(), Arc::new(OldCommands), Arc::new(KernelNodeName))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_of_the_judge_is_told_from_a_failure() {
        let of = |message: &str| {
            let message = message.to_owned();
            catch_unwind(move || panic!("{message}")).unwrap_err()
        };
        assert!(has_crashed(&*of("extend:\nPlease make sure that the zfs-fuse daemon is running.\n")));
        assert!(!has_crashed(&*of("assertion failed")));
    }
}
