//! Programs of Linux that are found among the processes; and DHCP clients that leave no word of the links that they manage:
//! dhclient and udhcpc.

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
    /// Whether it tells its leases to another script than the usual one.
    pub has_own_script: bool,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Running {
    pid: u32,
    /// Each with a zero behind it.
    arguments: String,
}

impl Running {
    /// Its arguments, the program first.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.arguments.split('\0').filter(|word| !word.is_empty())
    }

    /// The client of DHCP, if it manages that link.
    #[must_use]
    pub fn on(&self, link: &str) -> Option<Client> {
        let name = client_on(&self.arguments, link)?;
        Some(Client { name, pid: self.pid, has_own_script: has_own_script(name, &self.arguments) })
    }
}

/// The clients that run. All processes are looked at, so whoever asks about several links does that once.
#[must_use]
pub fn dhcp_clients(host: &Host) -> Vec<Running> {
    running(host, &["dhclient", "udhcpc", "udhcpc6", "busybox"])
}

/// The programs with these names that run in this network namespace: what runs in a container has other links. A process that
/// ends meanwhile is none.
#[must_use]
pub fn running(host: &Host, names: &[&str]) -> Vec<Running> {
    let mut found = Vec::new();
    let namespace = |process: &str| std::fs::read_link(host.root.locate(format!("/proc/{process}/ns/net"))).ok();
    let own = namespace("self");
    for entry in std::fs::read_dir(host.root.locate("/proc")).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // The short name, because the arguments of every process are much to read.
        let Ok(Some(name)) = files::read_text(&host.root, format!("/proc/{pid}/comm")) else { continue };
        if !names.contains(&name.trim()) {
            continue;
        }
        let Ok(Some(arguments)) = files::read_text(&host.root, format!("/proc/{pid}/cmdline")) else { continue };
        let other = namespace(&pid.to_string());
        if own.is_none() || other.is_none() || own == other {
            found.push(Running { pid, arguments });
        }
    }
    found
}

/// Whether a client writes `/etc/resolv.conf` with each lease, as both do unless they are told not to: dhclient by a hook that has
/// a function of its own for it (dhclient-script(8)), and udhcpc's script by a variable. Another script, as that of NetworkManager,
/// reads neither.
///
/// # Errors
/// [`FileError`].
pub fn writes_resolv_conf(host: &Host, client: Client) -> Result<bool, FileError> {
    if client.has_own_script {
        return Ok(false);
    }
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

/// Whether a client is told a script that is not the one that is installed with it: `-sf` of dhclient, `-s` of udhcpc.
fn has_own_script(client: &str, arguments: &str) -> bool {
    let (options, usual): (&[&str], _) = match client {
        "dhclient" => (&["-sf"], "dhclient-script"),
        _ => (&["-s", "--script"], "default.script"),
    };
    let words: Vec<&str> = arguments.split('\0').collect();
    let behind = words.windows(2).find(|pair| options.contains(&pair[0])).map(|pair| pair[1]);
    let script = behind.or_else(|| words.iter().find_map(|word| word.strip_prefix("--script=")));
    script.is_some_and(|script| script.rsplit('/').next() != Some(usual))
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
    fn scripts_that_are_not_the_usual_ones() {
        for (client, arguments, expected) in [
            ("dhclient", "dhclient eth0", false),
            ("dhclient", "dhclient -sf /sbin/dhclient-script eth0", false),
            ("dhclient", "dhclient -sf /usr/libexec/nm-dhcp-helper eth0", true),
            ("dhclient", "dhclient -s 192.0.2.1 eth0", false),
            ("udhcpc", "udhcpc -s /usr/share/udhcpc/default.script", false),
            ("udhcpc", "udhcpc -i eth0 -s /bin/true", true),
            ("udhcpc", "udhcpc --script=/bin/true", true),
        ] {
            assert_eq!(has_own_script(client, &arguments.replace(' ', "\0")), expected, "{arguments}");
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
