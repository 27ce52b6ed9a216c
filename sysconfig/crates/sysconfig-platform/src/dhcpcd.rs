//! dhcpcd, the DHCP client that is used on Linux where systemd-networkd does not run: one process for a link and
//! a family, with a configuration file of ours, which also is the sign that the process is ours.

use crate::network::NetworkError;
use crate::{FileError, Host, Invocation, files};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The program.
pub const PROGRAM: &str = "/usr/sbin/dhcpcd";
/// Where our configuration files are; a reboot takes them and the processes away together.
const DIRECTORY: &str = "/run/sysconfig/dhcpcd";
/// Where dhcpcd keeps its process ids.
const RUN: &str = "/run/dhcpcd";
/// The process id of a dhcpcd that manages every link.
const MASTER: &str = "/run/dhcpcd/pid";

/// The configuration of a dhcpcd that manages every link.
pub const CONFIGURATION: &str = "/etc/dhcpcd.conf";

/// The families that a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// DHCP for IPv4.
    Ipv4,
    /// DHCP for IPv6, with what the router advertises.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    fn digit(self) -> char {
        match self {
            Self::Ipv4 => '4',
            Self::Ipv6 => '6',
        }
    }

    fn option(self) -> String {
        format!("-{}", self.digit())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "DHCP",
            Self::Ipv6 => "DHCPv6",
        })
    }
}

/// Our configuration file for a client.
#[must_use]
pub fn configuration_path(link: &str, family: Family) -> String {
    format!("{DIRECTORY}/{link}-{}.conf", family.digit())
}

/// The content of our configuration file. `addrconf` says whether addresses in advertised prefixes are made, too.
#[must_use]
pub fn configuration(family: Family, addrconf: bool) -> String {
    // Name servers and host name belong to other plugins, and an address that nobody gave is none.
    let common = "# Written by sysconfig from network.interface.\n\
                  nohook resolv.conf, hostname, lookup-hostname, ntp.conf, timezone, ypbind\n\
                  hostname\npersistent\n";
    match family {
        Family::Ipv4 => format!(
            "{common}noipv4ll\nnodelay\n\
             option domain_name_servers, domain_name, domain_search, host_name\n\
             option classless_static_routes, interface_mtu\nrequire dhcp_server_identifier\n"
        ),
        Family::Ipv6 => {
            let prefixes = if addrconf { "" } else { "ipv6ra_noautoconf\n" };
            format!("{common}{prefixes}ipv6rs\nia_na 1\noption dhcp6_name_servers, dhcp6_domain_search\n")
        }
    }
}

/// The command that starts a client; it goes into the background at once.
#[must_use]
pub fn start_command(link: &str, family: Family) -> Invocation {
    let configuration = configuration_path(link, family);
    Invocation::new(PROGRAM, [&family.option(), "--background", "--quiet", "--config", &configuration, link])
}

/// The command that ends a client and gives its lease back.
#[must_use]
pub fn release_command(link: &str, family: Family) -> Invocation {
    Invocation::new(PROGRAM, [&family.option(), "--release", link])
}

/// The command that prints the lease of a client.
#[must_use]
pub fn dump_command(link: &str, family: Family) -> Invocation {
    Invocation::new(PROGRAM, [&family.option(), "--dumplease", link])
}

/// Whether the process whose id is in a file of dhcpcd's is alive.
fn is_alive(host: &Host, pid_file: &str) -> Result<bool, FileError> {
    let Some(content) = files::read_text(&host.root, pid_file)? else { return Ok(false) };
    match content.trim().parse::<u32>() {
        Ok(pid) => host.root.exists(format!("/proc/{pid}")),
        Err(_) => Ok(false),
    }
}

/// Whether a client runs on a link, whoever started it.
///
/// # Errors
/// [`FileError`].
pub fn is_running(host: &Host, link: &str, family: Family) -> Result<bool, FileError> {
    is_alive(host, &format!("{RUN}/{link}-{}.pid", family.digit()))
}

/// Whether a dhcpcd runs that is not ours and manages the link.
///
/// # Errors
/// [`FileError`].
pub fn is_foreign(host: &Host, link: &str) -> Result<bool, FileError> {
    if is_alive(host, &format!("{RUN}/{link}.pid"))? {
        return Ok(true);
    }
    if is_alive(host, MASTER)? {
        let configuration = files::read_text(&host.root, CONFIGURATION)?.unwrap_or_default();
        if takes(&configuration, link) || !has_read(host) {
            return Ok(true);
        }
    }
    for family in Family::ALL {
        if is_running(host, link, family)? && ours(host, link, family)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the dhcpcd for every link was started after its configuration was written: it reads that only then.
fn has_read(host: &Host) -> bool {
    let modified = |path: &str| std::fs::metadata(host.root.locate(path)).and_then(|found| found.modified()).ok();
    modified(CONFIGURATION) <= modified(MASTER)
}

/// Whether a dhcpcd for every link takes this one, by `allowinterfaces` and `denyinterfaces` of its configuration
/// (dhcpcd.conf(5)). What stands behind `interface` or `ssid` is about one link's leases.
fn takes(configuration: &str, link: &str) -> bool {
    let named = |option: &str| -> Vec<String> {
        let lines = configuration.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
        let values = lines.filter_map(|line| line.strip_prefix(option).filter(|rest| rest.starts_with([' ', '\t'])));
        values
            .flat_map(|rest| rest.split([' ', '\t', ',']))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let fits = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern.as_bytes(), link.as_bytes()));
    let (allowed, denied) = (named("allowinterfaces"), named("denyinterfaces"));
    !fits(&denied) && (allowed.is_empty() || fits(&allowed))
}

/// Whether a pattern with `*` and `?` fits a name. Other signs of patterns fit nothing but themselves, so a link may be taken to be
/// managed that is not, and not the other way round where it is denied.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skipped| fits(rest, &name[skipped..])),
        (Some((b'?', rest)), Some((_, name))) => fits(rest, name),
        (Some((wanted, rest)), Some((present, name))) => wanted == present && fits(rest, name),
        _ => false,
    }
}

/// The configuration of our client that runs on a link; `None` when none does.
///
/// # Errors
/// [`FileError`].
pub fn ours(host: &Host, link: &str, family: Family) -> Result<Option<String>, FileError> {
    if !is_running(host, link, family)? {
        return Ok(None);
    }
    files::read_text(&host.root, configuration_path(link, family))
}

/// A client could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum DhcpcdError {
    /// Its configuration could not be written or taken away.
    #[error(transparent)]
    File(#[from] FileError),
    /// The program failed.
    #[error(transparent)]
    Command(#[from] NetworkError),
    /// The program is not installed.
    #[error("no DHCP client is there: {PROGRAM} is missing")]
    Missing,
}

/// Starts a client, also in place of ours that runs with another configuration. When it cannot be started, that one is again.
///
/// # Errors
/// [`DhcpcdError`].
pub fn start(host: &Host, link: &str, family: Family, configuration: &str) -> Result<(), DhcpcdError> {
    let previous = ours(host, link, family)?;
    if previous.is_some() {
        release(host, link, family)?;
    }
    let result = start_alone(host, link, family, configuration);
    if let (Err(_), Some(previous)) = (&result, previous) {
        // What went wrong is told; that this goes wrong, too, would be no news.
        drop(start_alone(host, link, family, &previous));
    }
    result
}

fn start_alone(host: &Host, link: &str, family: Family, configuration: &str) -> Result<(), DhcpcdError> {
    files::make_directory(&host.root, DIRECTORY)?;
    files::replace(&host.root, configuration_path(link, family), configuration.as_bytes())?;
    let operation = format!("start {family} on {link}");
    match host.run(&start_command(link, family)) {
        Ok(_) => Ok(()),
        Err(source) => {
            files::remove(&host.root, configuration_path(link, family))?;
            match source.is_not_found() {
                true => Err(DhcpcdError::Missing),
                false => Err(NetworkError::Command { operation, source }.into()),
            }
        }
    }
}

/// Ends our client and gives its lease back; one that does not run is as good.
///
/// # Errors
/// [`DhcpcdError`].
pub fn release(host: &Host, link: &str, family: Family) -> Result<(), DhcpcdError> {
    if is_running(host, link, family)? {
        let operation = format!("end {family} on {link}");
        host.run(&release_command(link, family)).map_err(NetworkError::command(operation))?;
        wait_for_end(host, link, family)?;
    }
    files::remove(&host.root, configuration_path(link, family))?;
    Ok(())
}

/// Removes the configuration of a client that does not run: whoever ended it may have been killed before that, and another client
/// on the link would be taken for ours.
///
/// # Errors
/// [`FileError`].
pub fn forget(host: &Host, link: &str, family: Family) -> Result<(), FileError> {
    if !is_running(host, link, family)? {
        files::remove(&host.root, configuration_path(link, family))?;
    }
    Ok(())
}

/// The program answers before the client has taken its address off the link.
fn wait_for_end(host: &Host, link: &str, family: Family) -> Result<(), FileError> {
    const LOOKS: u32 = 100;
    for _ in 0..LOOKS {
        if !is_running(host, link, family)? {
            break;
        }
        std::thread::sleep(host.poll_interval);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_a_dhcpcd_for_all_takes() {
        for (configuration, takes_it) in [
            ("", true),
            ("hostname\n# denyinterfaces eth0\n", true),
            ("denyinterfaces eth0\n", false),
            ("denyinterfaces wlan0, eth*\n", false),
            ("denyinterfaces wlan? veth*\n", true),
            ("allowinterfaces wlan0\n", false),
            ("allowinterfaces wlan0\nallowinterfaces e*0\n", true),
            ("allowinterfaces eth0\n\tdenyinterfaces eth0\n", false),
            ("denyinterfaces eth[0-9]\n", true),
        ] {
            assert_eq!(takes(configuration, "eth0"), takes_it, "{configuration}");
        }
    }

    #[test]
    fn fuzz_configurations() {
        test_judge::fuzz(5000, |random| {
            let mut damaged = b"allowinterfaces eth0 e*\ndenyinterfaces ?lan*, x\n".to_vec();
            random.damage(&mut damaged);
            takes(&String::from_utf8_lossy(&damaged), "eth0");
        });
    }
}
