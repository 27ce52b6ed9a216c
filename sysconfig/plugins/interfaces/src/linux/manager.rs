//! Other programs that manage a link.

use crate::error::file_error;
use sysconfig_platform::link_daemons::{LinkDaemons, Release};
use sysconfig_platform::processes::{self, Running};
use sysconfig_platform::{FileError, Host, dhcpcd, files, networkd};
use sysconfig_plugin::PluginError;

/// The programs that run and may manage links.
pub(super) struct Managers {
    daemons: LinkDaemons,
    clients: Vec<Running>,
}

impl Managers {
    /// Looks at all processes, for all links.
    pub(super) fn look(host: &Host) -> Self {
        Self { daemons: LinkDaemons::look(host), clients: processes::dhcp_clients(host) }
    }

    /// Refuses a link that another program manages, because the two would undo each other's work.
    pub(super) fn refuse_other(&self, host: &Host, link: &str, index: u32) -> Result<(), PluginError> {
        let other = other(host, self, link, index);
        match other.map_err(|error| file_error("cannot find out who manages the links", error))? {
            None => Ok(()),
            Some((who, how)) => {
                let message = format!("{link} is managed by {who}, and a link has one manager");
                Err(PluginError::new(message).help(how))
            }
        }
    }
}

/// Refuses to put our file in the place of one that joins the link to others.
pub(super) fn refuse_lost_join(host: &Host, link: &str, index: u32) -> Result<(), PluginError> {
    let found = networkd::join_of_others(host, link, index);
    match found.map_err(|error| file_error("cannot find out how systemd-networkd configures the links", error))? {
        None => Ok(()),
        Some((file, line)) => {
            let message = format!("{file} says {line} of {link}, and the file of sysconfig would take its place");
            let help =
                format!("write [Network] and {line} into {}.d/links.conf, and apply again", networkd::path(link));
            Err(PluginError::new(message).help(help))
        }
    }
}

fn other(
    host: &Host,
    managers: &Managers,
    link: &str,
    index: u32,
) -> Result<Option<(&'static str, String)>, FileError> {
    // Under a new index NetworkManager has said nothing yet, and a link that it leaves alone it says so of.
    let device = files::read_text(&host.root, format!("/run/NetworkManager/devices/{index}"))?;
    if device.is_some_and(|device| device.lines().any(|line| line.trim() == "managed=true")) {
        let how = format!(
            "nmcli device set {link} managed no; for good, write unmanaged-devices=interface-name:{link} under [keyfile] into a file \
             in /etc/NetworkManager/conf.d"
        );
        return Ok(Some(("NetworkManager", how)));
    }
    // That of ifupdown, and that of ifupdown-ng.
    let states = ["/run/network/ifstate", "/run/ifstate"].map(|path| files::read_text(&host.root, path));
    let mut is_up = false;
    for state in states {
        is_up |= state?.unwrap_or_default().lines().any(|line| line.trim().split('=').next() == Some(link));
    }
    if is_up {
        let how = format!("ifdown {link}, and take it out of /etc/network/interfaces");
        return Ok(Some(("ifupdown", how)));
    }
    if let Some(by) = managers.daemons.wicked_holds(host, link)? {
        let how = format!(
            "wicked ifdown {link}, and write STARTMODE=off into /etc/sysconfig/network/ifcfg-{link}; {by} says that it is \
             wicked's"
        );
        return Ok(Some(("wicked", how)));
    }
    if let Some(Release { file, blacklist }) = managers.daemons.connman_holds(host, link)? {
        let how = format!(
            "write NetworkInterfaceBlacklist={blacklist} under [General] in {file} in the place of another such line, and \
             start connman again"
        );
        return Ok(Some(("ConnMan", how)));
    }
    if dhcpcd::is_foreign(host, link)? {
        let how = format!(
            "dhcpcd --exit {link}; one that is for every link is to be disabled (systemctl disable --now dhcpcd), or given the line \
             \"denyinterfaces {link}\" in {} and started again",
            dhcpcd::CONFIGURATION
        );
        return Ok(Some(("a dhcpcd that sysconfig has not started", how)));
    }
    if let Some(client) = managers.clients.iter().find_map(|running| running.on(link)) {
        let how = format!("end it, process {}, and see that nothing starts it again at the next boot", client.pid);
        return Ok(Some((client.name, how)));
    }
    Ok(None)
}
