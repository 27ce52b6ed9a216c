//! What the machine itself has to say: the device and driver of the share, the network, pools, memory, and services that
//! need attention. These are the commands of `docs/troubleshooting.md`, run and judged.

use super::system::say;
use super::{Check, Verdict};

/// What a program prints; none when it is not there.
type Say<'a> = &'a dyn Fn(&str, &[&str]) -> Option<String>;

/// The daemon that a checkout has built, where a guest sees the checkout.
const BUILT_DAEMON: &str = "/repo/sysconfig/target/release/sysconfig";
const DAEMON_FMRI: &str = "svc:/system/installer/sysconfig:default";

pub(super) fn look() -> Vec<Check> {
    match cfg!(any(target_os = "illumos", target_os = "solaris")) {
        true => illumos(&say),
        false => linux(&say),
    }
}

/// The daemon that the checkout has built, where there is one.
pub(super) fn look_at_built_daemon() -> Option<Check> {
    std::path::Path::new(BUILT_DAEMON).exists().then(|| built_daemon(&say))?
}

fn illumos(say: Say<'_>) -> Vec<Check> {
    let memory = say("/usr/sbin/prtconf", &[]).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Memory size:"))?.trim().to_owned();
        Some(Check::fine("memory", line))
    });
    [
        kernel(say("/usr/bin/uname", &["-a"])),
        memory,
        share_driver(say),
        dependencies(say),
        log_of_daemon(say),
        say("/usr/sbin/dladm", &["show-phys", "-p", "-o", "link,state"]).map(|text| links(&text)),
        say("/usr/sbin/ipadm", &["show-addr", "-p", "-o", "addrobj,state,addr"]).map(|text| addresses(&text)),
        pools(say, "/usr/sbin/zpool"),
        space(say, "/usr/sbin/zfs"),
        say("/usr/bin/svcs", &["-x"]).map(|text| attention(&text, "svc:/", "svcs -xv")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn linux(say: Say<'_>) -> Vec<Check> {
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().to_owned();
        Some(Check::fine("memory", line))
    });
    let failed = say("systemctl", &["--failed", "--no-legend", "--plain"]);
    [
        kernel(say("uname", &["-a"])),
        memory,
        say("ip", &["-o", "addr", "show", "scope", "global"]).map(|text| linux_addresses(&text)),
        pools(say, "zpool"),
        space(say, "zfs"),
        failed.map(|text| attention(&text, "", "systemctl status UNIT")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn kernel(said: Option<String>) -> Option<Check> {
    said.filter(|text| !text.is_empty()).map(|text| Check::fine("system", text))
}

/// vio9p(4D): the device of a share is the legacy one of virtio, its node a link in `/dev/9p`.
fn share_driver(say: Say<'_>) -> Option<Check> {
    let what = "device of the share";
    let devices = say("/usr/sbin/prtconf", &["-d"])?;
    if !devices.contains("1af4,1009") {
        let help =
            "if there should be one: dev-vm up, without --no-share; bhyve and libvirt name it in their description";
        return Some(Check::new(what, Verdict::Odd, "the machine has none").help(help));
    }
    if say("/usr/sbin/modinfo", &[]).is_some_and(|text| text.contains("vio9p")) {
        let has_node = say("/usr/bin/ls", &["/dev/9p"]).is_some_and(|text| !text.is_empty());
        return Some(match has_node {
            true => Check::fine(what, "the driver vio9p is loaded"),
            false => Check::wrong(what, "the driver vio9p is loaded, and /dev/9p is empty").help("devfsadm -i vio9p"),
        });
    }
    let package = say("/usr/bin/pkg", &["list", "-H", "driver/storage/vio9p"]).unwrap_or_default();
    Some(match package.starts_with("driver/storage/vio9p") {
        true => Check::wrong(what, "the driver vio9p is installed, and not loaded").help("devfsadm -i vio9p"),
        false => Check::wrong(what, "the package driver/storage/vio9p is not installed")
            .help("pkg install driver/storage/vio9p, or add it to the image's template"),
    })
}

/// `svcs -d` lists what a service needs.
fn dependencies(say: Say<'_>) -> Option<Check> {
    let text = say("/usr/bin/svcs", &["-d", "-H", "-o", "state,fmri", DAEMON_FMRI])?;
    let waits: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .filter(|(state, _)| !["online", "disabled", "degraded"].contains(&state.trim_end_matches('*')))
        .map(|(state, fmri)| format!("{} is {state}", fmri.trim()))
        .collect();
    let what = "what the daemon's service needs";
    Some(match waits.is_empty() {
        true => Check::fine(what, format!("{} services, none of them in the way", text.lines().count())),
        false => Check::wrong(what, waits.join("\n")).help("svcs -xv names the first cause"),
    })
}

fn log_of_daemon(say: Say<'_>) -> Option<Check> {
    let path = say("/usr/bin/svcs", &["-L", DAEMON_FMRI]).filter(|path| path.starts_with('/'))?;
    Some(Check::fine("log of the daemon's service", path))
}

/// `LINK:STATE` of dladm(8).
fn links(text: &str) -> Check {
    let rows: Vec<(&str, &str)> = text.lines().filter_map(|line| line.rsplit_once(':')).collect();
    let shown: Vec<String> = rows.iter().map(|(link, state)| format!("{link} {state}")).collect();
    match rows.iter().any(|(_, state)| *state == "up") {
        true => Check::fine("links", shown.join(", ")),
        false if rows.is_empty() => Check::new("links", Verdict::Odd, "there is no network device"),
        false => Check::new("links", Verdict::Odd, format!("{}: none is up", shown.join(", "))),
    }
}

/// `OBJECT:STATE:ADDRESS` of ipadm(8), with colons in addresses escaped.
fn addresses(text: &str) -> Check {
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(3, ':').collect()).collect();
    let shown = |row: &[&str]| format!("{} {}", row[0], row[2].replace("\\:", ":"));
    let others = || rows.iter().filter(|row| row.len() == 3 && !row[0].starts_with("lo0/"));
    let bad: Vec<String> =
        others().filter(|row| row[1] != "ok").map(|row| format!("{} is {}", shown(row), row[1])).collect();
    let good: Vec<String> = others().filter(|row| row[1] == "ok").map(|row| shown(row)).collect();
    match (bad.is_empty(), good.is_empty()) {
        (false, _) => {
            Check::new("addresses", Verdict::Odd, bad.join("\n")).help("ipadm show-addr; sysconfigctl status")
        }
        (true, true) => Check::new("addresses", Verdict::Odd, "there is none but the loopback's"),
        (true, false) => Check::fine("addresses", good.join(", ")),
    }
}

fn linux_addresses(text: &str) -> Check {
    // `2: eth0    inet 10.0.2.15/24 brd ...`
    let row = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (link, _, address) = (words.next()?, words.next()?, words.next()?);
        let state = ["tentative", "dadfailed"].into_iter().find(|word| words.clone().any(|other| other == *word));
        Some((format!("{link} {address}"), state))
    };
    let rows: Vec<(String, Option<&str>)> = text.lines().filter_map(row).collect();
    let bad: Vec<String> =
        rows.iter().filter_map(|(shown, state)| state.map(|state| format!("{shown} is {state}"))).collect();
    match (bad.is_empty(), rows.is_empty()) {
        (false, _) => Check::new("addresses", Verdict::Odd, bad.join("\n")).help("ip addr; sysconfigctl status"),
        (true, true) => Check::new("addresses", Verdict::Odd, "there is none but the loopback's"),
        (true, false) => {
            Check::fine("addresses", rows.iter().map(|(shown, _)| shown.as_str()).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `zpool status -x` describes only pools with problems.
fn pools(say: Say<'_>, program: &str) -> Option<Check> {
    let text = say(program, &["status", "-x"]).filter(|text| !text.is_empty())?;
    Some(match text.as_str() {
        "all pools are healthy" | "no pools available" => Check::fine("pools", text),
        _ => Check::wrong("pools", text).help("zpool status -v"),
    })
}

/// A pool with less room takes nothing any more: ZFS keeps the last of it for itself.
const FULL_BYTES: u64 = 64 * 1024 * 1024;

/// What the datasets of each pool use together, and what is left for them.
fn space(say: Say<'_>, program: &str) -> Option<Check> {
    let text = say(program, &["list", "-Hp", "-d", "0", "-o", "name,used,avail"])?;
    let row = |line: &str| {
        let mut fields = line.split('\t');
        let (name, used, left): (_, u64, u64) =
            (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        // A small pool is not a full one.
        let is_full = left < FULL_BYTES && left < used / 20;
        Some((format!("{name} {} used, {} free", mebibytes(used), mebibytes(left)), is_full))
    };
    let rows: Vec<(String, bool)> = text.lines().filter_map(row).collect();
    let shown: Vec<&str> = rows.iter().map(|(shown, _)| shown.as_str()).collect();
    match rows.iter().any(|(_, is_full)| *is_full) {
        _ if rows.is_empty() => None,
        true => {
            Some(Check::wrong("room in pools", shown.join(", ")).help("zfs list -o space -t all shows what takes it"))
        }
        false => Some(Check::fine("room in pools", shown.join(", "))),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / 1024 / 1024)
}

/// Services that need attention: the lines that begin with a name.
fn attention(text: &str, begin: &str, help: &str) -> Check {
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with(begin) && !line.is_empty()).collect();
    match found.is_empty() {
        true => Check::fine("services", "none needs attention"),
        false => Check::new("services", Verdict::Odd, found.join("\n")).help(help),
    }
}

fn built_daemon(say: Say<'_>) -> Option<Check> {
    let what = "daemon of the checkout";
    let text = say(BUILT_DAEMON, &["--self-check"]);
    Some(match text.filter(|text| text.starts_with('{')) {
        Some(text) => Check::fine(what, format!("{BUILT_DAEMON} runs here: {text}")),
        None => Check::wrong(what, format!("{BUILT_DAEMON} does not run here"))
            .help("build it for this system, or remove it; until then the image's own daemon serves"),
    })
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
