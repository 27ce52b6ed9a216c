//! What keeps a file system from being unmounted: processes, and what lies or is mounted in it.

use crate::device_name::backing_file;
use crate::{CommandError, Host, Invocation, System, mount_table, swap};
use std::path::{Path, PathBuf};

/// A process that keeps a file system from being unmounted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its program's name, or what else is known.
    pub name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The processes that use files below a mount point; as far as that can be found out, since it only explains.
fn holders(host: &Host, mount_point: &str) -> Vec<Holder> {
    let mut found = match host.system() {
        System::Illumos => illumos_holders(host, mount_point).unwrap_or_default(),
        System::Linux => linux_holders(host, mount_point),
    };
    found.sort();
    found.dedup();
    found
}

/// What else keeps a file system from being unmounted, as far as that can be found out: files in it that are swap or lie behind
/// a loop device, and what is mounted in it.
fn others(host: &Host, mount_point: &str) -> Vec<String> {
    let is_in = |path: &str| mount_table::is_below(path, mount_point);
    let swap = swap::areas(host).unwrap_or_default().into_iter().filter(|area| is_in(&area.path));
    let loops = loops(host).into_iter().filter(|(_, file)| is_in(file));
    let mounts = mount_table::mounts(host).unwrap_or_default().into_iter().filter(|mount| is_in(&mount.mount_point));
    let swap = swap.map(|area| format!("the swap file {}", area.path));
    let loops = loops.map(|(device, file)| format!("{device}, behind which {file} lies"));
    swap.chain(loops).chain(mounts.map(|mount| format!("what is mounted at {}", mount.mount_point))).collect()
}

/// The first of some places that is used, and what uses it: processes, and what lies or is mounted in it.
#[must_use]
pub fn users<'a>(host: &Host, places: &[&'a str]) -> Option<(&'a str, String)> {
    let users = |place: &&str| -> Vec<String> {
        holders(host, place).iter().map(ToString::to_string).chain(others(host, place)).collect()
    };
    let used = places.iter().map(|place| (*place, users(place))).find(|(_, users)| !users.is_empty());
    used.map(|(place, users)| (place, users.join(", ")))
}

/// The loop devices, with the files behind them.
fn loops(host: &Host) -> Vec<(String, String)> {
    match host.system() {
        System::Illumos => {
            let answer = host.run_any(&Invocation::new("/usr/sbin/lofiadm", Vec::<String>::new()));
            parse_lofiadm(&answer.map(|answer| answer.stdout).unwrap_or_default())
        }
        System::Linux => {
            let devices = std::fs::read_dir(host.root.locate("/sys/block")).into_iter().flatten().flatten();
            let names = devices.filter_map(|device| device.file_name().into_string().ok());
            let file = |name: String| Some((format!("/dev/{name}"), backing_file(host, &name)?));
            names.filter_map(file).collect()
        }
    }
}

/// What illumos' `lofiadm` lists: a device, a file and its options, with blanks between, below a title.
fn parse_lofiadm(text: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let (device, rest) = line.split_once([' ', '\t'])?;
        let rest = rest.trim();
        // The options come last, and the name of a file may hold blanks.
        let file = rest.rsplit_once([' ', '\t']).map_or(rest, |(file, _)| file.trim_end());
        (device.starts_with("/dev/lofi/") && file.starts_with('/')).then(|| (device.to_owned(), file.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

fn illumos_holders(host: &Host, mount_point: &str) -> Result<Vec<Holder>, CommandError> {
    let answer = host.run_any(&Invocation::new("/usr/sbin/fuser", ["-c", mount_point]))?;
    let pids = parse_fuser(&answer.stdout);
    if pids.is_empty() {
        return Ok(Vec::new());
    }
    let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let names = host.run_any(&Invocation::new("/usr/bin/ps", ["-o", "pid=,comm=", "-p", &list]))?;
    let names = parse_names(&names.stdout);
    let name = |pid: u32| names.iter().find(|holder| holder.pid == pid).map(|holder| holder.name.clone());
    let unknown = || "a process".to_owned();
    Ok(pids.into_iter().map(|pid| Holder { pid, name: name(pid).unwrap_or_else(unknown) }).collect())
}

/// What illumos' `fuser` writes to standard output: numbers, between blanks. The letters that say how a process uses
/// the file go to standard error, but are passed over here too.
#[must_use]
pub fn parse_fuser(text: &str) -> Vec<u32> {
    let numbers = text.split_whitespace().map(|word| word.trim_end_matches(|letter: char| letter.is_ascii_lowercase()));
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// What `ps -o pid=,comm=` writes: a number and a program.
#[must_use]
pub fn parse_names(text: &str) -> Vec<Holder> {
    let line = |line: &str| {
        let (pid, program) = line.trim().split_once([' ', '\t'])?;
        let program = program.trim();
        let name = program.rsplit('/').next().unwrap_or(program).to_owned();
        Some(Holder { pid: pid.parse().ok()?, name })
    };
    text.lines().filter_map(line).collect()
}

fn linux_holders(host: &Host, mount_point: &str) -> Vec<Holder> {
    // Processes come and go while they are looked at; one that cannot be read holds nothing any more.
    let entries = std::fs::read_dir(host.root.locate("/proc")).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let uses = |pid: &u32| {
        let process = host.root.locate(format!("/proc/{pid}"));
        let mut links: Vec<PathBuf> = ["cwd", "root", "exe"].map(|name| process.join(name)).to_vec();
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        links.extend(open.map(|entry| entry.path()));
        links.iter().any(|link| {
            let target = std::fs::read_link(link).unwrap_or_default();
            let target = target.to_string_lossy();
            target == mount_point || mount_table::is_below(&target, mount_point)
        }) || maps(&process, mount_point)
    };
    pids.filter(uses).map(|pid| Holder { pid, name: linux_name(host, pid) }).collect()
}

/// Whether a process has mapped a file below a mount point.
fn maps(process: &Path, mount_point: &str) -> bool {
    let text = std::fs::read(process.join("maps")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .any(|path| mount_table::is_below(path, mount_point))
}

fn linux_name(host: &Host, pid: u32) -> String {
    let name = std::fs::read_to_string(host.root.locate(format!("/proc/{pid}/comm"))).unwrap_or_default();
    match name.trim() {
        "" => "a process".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loop_devices_of_illumos() {
        let text = "Block Device             File                           Options\n\
                    /dev/lofi/1              /export/x.iso                  -\n\
                    /dev/lofi/2              /export/a b                    Encrypted\nrubbish\n";
        let found = parse_lofiadm(text);
        let found: Vec<_> = found.iter().map(|(device, file)| (device.as_str(), file.as_str())).collect();
        assert_eq!(found, [("/dev/lofi/1", "/export/x.iso"), ("/dev/lofi/2", "/export/a b")]);
    }

    #[test]
    fn answers_about_processes() {
        assert_eq!(parse_fuser("    1234c    5678o  77\n"), [1234, 5678, 77]);
        assert_eq!(parse_fuser(""), [0; 0]);
        let names = parse_names("  1234 /usr/bin/bash\n 5678 vi\nrubbish\n");
        assert_eq!(
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["bash (process 1234)", "vi (process 5678)"]
        );
    }
}
