//! systemd-networkd, where it runs: it is told in a file, and never worked against.
//!
//! The first file by name that matches a link configures it, wherever it lies,
//! so ours begins with `05-`, before those of netplan (`10-`) and of
//! distributions (`80-`).

use crate::mac::MacAddress;
use crate::network::Route;
use crate::{CommandError, FileError, Host, Invocation, files, systemd};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The unit.
pub const UNIT: &str = "systemd-networkd.service";
/// The directory of the administrator's files.
pub const DIRECTORY: &str = "/etc/systemd/network";
/// Where the states of the links are, each under the index of the link.
pub const LINKS: &str = "/run/systemd/netif/links";
const PREFIX: &str = "05-sysconfig-";
const SUFFIX: &str = ".network";
/// The section of a file that asks a DHCPv6 server.
pub const DHCP6: &str = "[DHCPv6]";
const MARK: &str = "# Written by sysconfig from network.interface; changes made here are overwritten.";

/// Stands before the size of packets that a link had without us.
const BEFORE: &str = "# Without it the link has MTUBytes=";

/// The keys with which a file joins a link to others, which networkd makes for that (systemd.network(5)).
const JOINS: [&str; 15] = [
    "VLAN",
    "MACVLAN",
    "MACVTAP",
    "IPVLAN",
    "IPVTAP",
    "VXLAN",
    "Tunnel",
    "Xfrm",
    "L2TP",
    "MACsec",
    "IPoIB",
    "VRF",
    "Bridge",
    "Bond",
    "BatmanAdvanced",
];

/// The least size of packets with IPv6 (RFC 8200).
const SMALLEST_OF_IPV6: u32 = 1280;

/// Says that the link was chosen as the first with a signal.
const FIRST_UP: &str = "# This is the first link with a signal.";

/// What networkd shall do with a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFile {
    /// The link's name.
    pub link: String,
    /// Its link-layer address, when it is known by that: after a boot another link may have the name.
    pub mac: Option<MacAddress>,
    /// Fixed addresses, in order.
    pub addresses: Vec<IpNet>,
    /// Routes, in order.
    pub routes: Vec<Route>,
    /// Whether to ask a DHCP server for an IPv4 address.
    pub dhcp4: bool,
    /// Whether to ask a DHCPv6 server for an address, whatever the router says.
    pub dhcp6: bool,
    /// Whether to listen to router advertisements.
    pub addrconf: bool,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// What that was before: networkd sets it, at each boot, and gives nothing back.
    pub mtu_before: Option<u32>,
    /// Whether the link was chosen as the first with a signal, which the file remembers beyond a reboot.
    pub first_up: bool,
}

/// The file for a link.
#[must_use]
pub fn path(link: &str) -> String {
    format!("{DIRECTORY}/{PREFIX}{link}{SUFFIX}")
}

/// The link that a file of this name is for; `None` when it is not one of ours.
#[must_use]
pub fn link_of(file_name: &str) -> Option<&str> {
    file_name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)
}

/// The [`NetworkFile::mtu_before`] of a file of ours.
#[must_use]
pub fn mtu_before(file: &str) -> Option<u32> {
    file.lines().find_map(|line| line.strip_prefix(BEFORE))?.parse().ok()
}

/// The [`NetworkFile::first_up`] of a file of ours.
#[must_use]
pub fn is_first_up(file: &str) -> bool {
    file.lines().any(|line| line == FIRST_UP)
}

impl NetworkFile {
    /// Writes the file.
    #[must_use]
    pub fn format(&self) -> String {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" };
        let dhcp = match (self.dhcp4, self.dhcp6) {
            (true, true) => "yes",
            (true, false) => "ipv4",
            (false, true) => "ipv6",
            (false, false) => "no",
        };
        let before = self.mtu_before.map(|mtu| format!("{BEFORE}{mtu}\n")).unwrap_or_default();
        let first_up = if self.first_up { format!("{FIRST_UP}\n") } else { String::new() };
        let mut text = format!("{MARK}\n{first_up}{before}[Match]\nName={}\n", self.link);
        if let Some(mac) = self.mac {
            text += &format!("MACAddress={mac}\n");
        }
        if let Some(mtu) = self.mtu {
            text += &format!("\n[Link]\nMTUBytes={mtu}\n");
        }
        // DHCPv6 needs the router's word for its routes.
        let listens = yes_no(self.addrconf || self.dhcp6);
        // Without `KeepConfiguration=static`, which keeps the addresses of our file before it as well as those of others.
        text += &format!("\n[Network]\nDHCP={dhcp}\nIPv6AcceptRA={listens}\n");
        if self.mtu.is_some_and(|mtu| mtu < SMALLEST_OF_IPV6) {
            // With a link-local address networkd would make packets large enough for it.
            text.push_str("LinkLocalAddressing=no\n");
        }
        if self.dhcp6 {
            // systemd-resolved asks the server's name servers for the server's domains only.
            text.push_str("DNSDefaultRoute=no\n");
        }
        for address in &self.addresses {
            text += &format!("Address={address}\n");
        }
        for route in &self.routes {
            text += &format!("\n[Route]\nDestination={}\nGateway={}\n", route.to, route.via);
        }
        // Name servers and host name belong to other plugins.
        if self.dhcp4 {
            text.push_str("\n[DHCPv4]\nUseDNS=no\nUseDomains=no\nUseHostname=no\n");
        }
        if self.dhcp6 {
            // Unlike those of a DHCPv4 lease, networkd shows only those that it uses.
            text += &format!("\n{DHCP6}\nUseDNS=yes\nUseDomains=yes\nUseHostname=no\nWithoutRA=solicit\n");
        }
        if self.addrconf || self.dhcp6 {
            let autonomous = yes_no(self.addrconf);
            text += &format!("\n[IPv6AcceptRA]\nUseDNS=no\nUseDomains=no\nUseAutonomousPrefix={autonomous}\n");
            if !self.dhcp6 {
                // Otherwise the router would decide.
                text.push_str("DHCPv6Client=no\n");
            }
        }
        text
    }
}

/// A line with which somebody else's file joins a link to others, and that file: with ours in its place they would not be made at the
/// next boot. Nothing for a line that a file beside ours has, too.
///
/// # Errors
/// [`FileError`].
pub fn join_of_others(host: &Host, link: &str, index: u32) -> Result<Option<(String, String)>, FileError> {
    let state = files::read_text(&host.root, format!("{LINKS}/{index}"))?.unwrap_or_default();
    let of = |key: &str| state.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"'));
    let Some(file) = of("NETWORK_FILE=").filter(|file| *file != path(link)) else { return Ok(None) };
    let beside = format!("{}.d", path(link));
    let names = std::fs::read_dir(host.root.locate(&beside)).into_iter().flatten().flatten();
    let mut ours = Vec::new();
    for name in names.map(|entry| entry.file_name()) {
        ours.extend(joins(host, &format!("{beside}/{}", name.to_string_lossy()))?);
    }
    let others = of("NETWORK_FILE_DROPINS=").unwrap_or_default().split([' ', ':']).filter(|file| !file.is_empty());
    for file in std::iter::once(file).chain(others) {
        if let Some(line) = joins(host, file)?.into_iter().find(|line| !ours.contains(line)) {
            return Ok(Some((file.to_owned(), line)));
        }
    }
    Ok(None)
}

fn joins(host: &Host, file: &str) -> Result<Vec<String>, FileError> {
    let content = files::read_text(&host.root, file)?.unwrap_or_default();
    // `VLAN=` of a [BridgeVLAN] joins nothing.
    let mut is_network = false;
    let of_network = content.lines().map(str::trim).filter(|line| {
        if line.starts_with('[') {
            is_network = *line == "[Network]";
        }
        is_network
    });
    let pairs = of_network.filter_map(|line| line.split_once('='));
    let joins = pairs.map(|(key, value)| (key.trim(), value.trim()));
    Ok(joins.filter(|(key, _)| JOINS.contains(key)).map(|(key, value)| format!("{key}={value}")).collect())
}

/// The command that asks what a unit is at: its state, and whether the manager is about to start or end it.
#[must_use]
pub fn state_command(unit: &str) -> Invocation {
    Invocation::new("/usr/bin/systemctl", ["show", "--property=ActiveState,Job", unit])
}

/// The command that makes networkd read its files again; links whose file changed are configured anew.
#[must_use]
pub fn reload_command() -> Invocation {
    Invocation::new("/usr/bin/networkctl", ["reload"])
}

/// The command that makes networkd configure a link anew.
#[must_use]
pub fn reconfigure_command(link: &str) -> Invocation {
    Invocation::new("/usr/bin/networkctl", ["reconfigure", link])
}

/// What networkd is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not run, and is not about to.
    Off,
    /// It is being started, restarted or ended: the links are still its own, or are about to be, but it cannot be told
    /// anything now.
    Changing,
    /// It runs.
    Active,
}

/// Parses the answer to [`state_command`]. A unit with a job is about to be started, or to end, whatever its state is: at boot
/// it is `inactive` until its turn comes, and so it is in the midst of a restart.
#[must_use]
pub fn parse_state(answer: &str) -> State {
    let of = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key));
    let has_job = of("Job=").is_some_and(|job| !["", "0"].contains(&job));
    match of("ActiveState=") {
        Some("active" | "reloading" | "refreshing") => State::Active,
        Some("activating" | "deactivating") => State::Changing,
        _ if has_job => State::Changing,
        _ => State::Off,
    }
}

/// What networkd is at.
///
/// # Errors
/// See [`state_of`].
pub fn state(host: &Host) -> Result<State, CommandError> {
    state_of(host, UNIT)
}

/// What a unit is at.
///
/// # Errors
/// [`CommandError`], also when systemd runs and does not answer: what it manages must not be taken from it by mistake.
pub fn state_of(host: &Host, unit: &str) -> Result<State, CommandError> {
    let command = state_command(unit);
    match host.run_any(&command) {
        Ok(completed) if completed.code == 0 => Ok(parse_state(&completed.stdout)),
        Ok(completed) if systemd::is_running(&host.root).unwrap_or(true) => {
            completed.success(&command).map(|_| State::Off)
        }
        Ok(_) => Ok(State::Off),
        Err(error) if error.is_not_found() => Ok(State::Off),
        Err(error) => Err(error),
    }
}

/// Whether networkd runs the links: also while it is being started or ended, because then they are not anybody else's.
///
/// # Errors
/// See [`state`].
pub fn is_in_charge(host: &Host) -> Result<bool, CommandError> {
    state(host).map(|state| state != State::Off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_everything() {
        let file = NetworkFile {
            link: "eth0".into(),
            mac: Some(MacAddress([2, 8, 0x20, 0xab, 1, 0xf])),
            addresses: vec!["192.0.2.10/24".parse().unwrap(), "2001:db8::5/64".parse().unwrap()],
            routes: vec![
                Route::default_over("192.0.2.1".parse().unwrap()),
                Route { to: "10.0.0.0/8".parse().unwrap(), via: "192.0.2.2".parse().unwrap() },
            ],
            dhcp4: true,
            dhcp6: false,
            addrconf: true,
            mtu: Some(1400),
            mtu_before: Some(1500),
            first_up: true,
        };
        assert!(is_first_up(&file.format()) && !is_first_up(&NetworkFile::default().format()));
        assert_eq!(mtu_before(&file.format()), Some(1500));
        let wanted = format!(
            "{MARK}\n{FIRST_UP}\n{BEFORE}1500\n[Match]\nName=eth0\nMACAddress=02:08:20:ab:01:0f\n\n[Link]\nMTUBytes=1400\n\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=yes\n\
             Address=192.0.2.10/24\nAddress=2001:db8::5/64\n\n[Route]\nDestination=0.0.0.0/0\nGateway=192.0.2.1\n\n\
             [Route]\nDestination=10.0.0.0/8\nGateway=192.0.2.2\n\n[DHCPv4]\nUseDNS=no\nUseDomains=no\nUseHostname=no\n\n\
             [IPv6AcceptRA]\nUseDNS=no\nUseDomains=no\nUseAutonomousPrefix=yes\n\
             DHCPv6Client=no\n"
        );
        assert_eq!(file.format(), wanted);
    }

    #[test]
    fn what_networkd_is_at() {
        for (answer, state) in [
            ("ActiveState=active\n", State::Active),
            ("Job=0\nActiveState=active\n", State::Active),
            ("ActiveState=reloading\nJob=1873\n", State::Active),
            ("ActiveState=activating\n", State::Changing),
            ("ActiveState=deactivating\nJob=17\n", State::Changing),
            // At boot, and in the midst of a restart.
            ("ActiveState=inactive\nJob=17\n", State::Changing),
            ("Job=\nActiveState=inactive\n", State::Off),
            ("ActiveState=failed\n", State::Off),
            ("", State::Off),
        ] {
            assert_eq!(parse_state(answer), state, "{answer}");
        }
    }

    #[test]
    fn our_files_are_known_by_name() {
        assert_eq!(path("eth0"), "/etc/systemd/network/05-sysconfig-eth0.network");
        assert_eq!(link_of("05-sysconfig-eth0.network"), Some("eth0"));
        assert_eq!(link_of("10-netplan-eth0.network"), None);
    }
}
