//! DHCP clients of Linux that leave no word of the links that they manage, found among the processes: dhclient and udhcpc.

use crate::{FileError, Host, files};

/// The link of udhcpc when it is told none.
const USUAL_LINK: &str = "eth0";
/// Options of dhclient that take a value in the next word (dhclient(8), isc-dhcp 4.4.3, and what Red Hat has added to it).
const WITH_VALUE: [&str; 23] = [
    "-4o6",
    "-D",
    "-p",
    "-df",
    "-e",
    "-lf",
    "-pf",
    "-cf",
    "-sf",
    "-s",
    "-g",
    "--dad-wait-time",
    "--prefix-len-hint",
    "--address-prefix-len",
    "--decline-wait-time",
    "-C",
    "-H",
    "-F",
    "-V",
    "-timeout",
    "--timeout",
    "-request-options",
    "--request-options",
];

/// A DHCP client that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: &'static str,
    /// The number of its process.
    pub pid: u32,
}

/// The client that runs on a link, if there is one, in this network namespace: what runs in a container has other links.
///
/// # Errors
/// [`FileError`] when the root cannot be looked into. A process that ends meanwhile is none.
pub fn dhcp_client_on(host: &Host, link: &str) -> Result<Option<Client>, FileError> {
    let namespace = |process: &str| std::fs::read_link(host.root.locate(format!("/proc/{process}/ns/net"))).ok();
    let own = namespace("self");
    for entry in std::fs::read_dir(host.root.locate("/proc")).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // The short name, because the arguments of every process are much to read.
        let Ok(Some(name)) = files::read_text(&host.root, format!("/proc/{pid}/comm")) else { continue };
        if !["dhclient", "udhcpc", "udhcpc6", "busybox"].contains(&name.trim()) {
            continue;
        }
        let Ok(Some(arguments)) = files::read_text(&host.root, format!("/proc/{pid}/cmdline")) else { continue };
        let Some(name) = client_on(&arguments, link) else { continue };
        let other = namespace(&pid.to_string());
        if own.is_none() || other.is_none() || own == other {
            return Ok(Some(Client { name, pid }));
        }
    }
    Ok(None)
}

/// Whether a client writes `/etc/resolv.conf` with each lease, as both do unless they are told not to: dhclient by a hook that has
/// a function of its own for it (dhclient-script(8)), and udhcpc's script by a variable.
///
/// # Errors
/// [`FileError`].
pub fn writes_resolv_conf(host: &Host, client: Client) -> Result<bool, FileError> {
    let says = |path: &str, words: &[&str]| -> Result<bool, FileError> {
        let content = files::read_text(&host.root, path)?.unwrap_or_default();
        let mut lines = content.lines().map(str::trim);
        Ok(lines.any(|line| words.iter().any(|word| line.starts_with(word))))
    };
    if client.name == "udhcpc" {
        return Ok(!says("/etc/udhcpc/udhcpc.conf", &["RESOLV_CONF=\"no\"", "RESOLV_CONF=no", "RESOLV_CONF=\"NO\""])?);
    }
    const HOOKS: &str = "/etc/dhcp/dhclient-enter-hooks";
    let directory = format!("{HOOKS}.d");
    let names = std::fs::read_dir(host.root.locate(&directory)).into_iter().flatten().flatten();
    let mut paths = vec![HOOKS.to_owned()];
    paths.extend(names.map(|entry| format!("{directory}/{}", entry.file_name().to_string_lossy())));
    for path in paths {
        if says(&path, &["make_resolv_conf", "function make_resolv_conf"])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Which client a process is that manages `link`, by its arguments, each with a zero behind it.
fn client_on(arguments: &str, link: &str) -> Option<&'static str> {
    let mut words = arguments.split('\0').filter(|word| !word.is_empty());
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut program = base(words.next()?);
    if program == "busybox" {
        program = words.next()?.to_owned();
    }
    let words: Vec<&str> = words.collect();
    match program.as_str() {
        "dhclient" => of_dhclient(&words, link).then_some("dhclient"),
        "udhcpc" | "udhcpc6" => (of_udhcpc(&words) == link).then_some("udhcpc"),
        _ => None,
    }
}

/// dhclient is told links by name; without any it takes all that can be broadcast over.
fn of_dhclient(words: &[&str], link: &str) -> bool {
    let mut links = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += if WITH_VALUE.contains(word) { 2 } else { 1 };
        if !word.starts_with('-') {
            links.push(*word);
        }
    }
    // With -n it takes none until it is told to (dhclient(8)).
    links.is_empty() && !words.contains(&"-n") || links.contains(&link)
}

fn of_udhcpc<'a>(words: &[&'a str]) -> &'a str {
    let behind = |option: &str| words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1)).copied();
    let within = |option: &str| words.iter().find_map(|word| word.strip_prefix(option).filter(|rest| !rest.is_empty()));
    behind("-i").or(behind("--interface")).or(within("--interface=")).or(within("-i")).unwrap_or(USUAL_LINK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_by_their_arguments() {
        for (arguments, on_eth0, on_eth1) in [
            ("dhclient eth0", Some("dhclient"), None),
            (
                "/sbin/dhclient -4 -v -i -pf /run/dhclient.eth0.pid -lf /var/lib/dhcp/eth0.leases -I eth1",
                None,
                Some("dhclient"),
            ),
            ("dhclient -nw", Some("dhclient"), Some("dhclient")),
            ("dhclient eth1 eth0", Some("dhclient"), Some("dhclient")),
            ("dhclient -6 -nw --dad-wait-time 5", Some("dhclient"), Some("dhclient")),
            ("dhclient -6 -P --prefix-len-hint 56 -D LL eth1", None, Some("dhclient")),
            ("dhclient -B -H client1 -timeout 30 eth0", Some("dhclient"), None),
            ("dhclient -w -n", None, None),
            ("udhcpc", Some("udhcpc"), None),
            ("udhcpc -b -i eth1 -p /run/udhcpc.pid", None, Some("udhcpc")),
            ("/bin/busybox udhcpc -ieth1", None, Some("udhcpc")),
            ("udhcpc6 --interface=eth0", Some("udhcpc"), None),
            ("busybox httpd eth0", None, None),
            ("", None, None),
        ] {
            let words = arguments.replace(' ', "\0") + "\0";
            assert_eq!((client_on(&words, "eth0"), client_on(&words, "eth1")), (on_eth0, on_eth1), "{arguments}");
        }
    }

    #[test]
    fn fuzz_arguments() {
        test_judge::fuzz(5000, |random| {
            let mut damaged = b"/sbin/dhclient\0-pf\0/run/x\0eth0\0udhcpc\0-i\0".to_vec();
            random.damage(&mut damaged);
            client_on(&String::from_utf8_lossy(&damaged), "eth0");
        });
    }
}
