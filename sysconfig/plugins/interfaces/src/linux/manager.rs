//! Other programs that manage a link.

use crate::error::file_error;
use sysconfig_platform::{FileError, Host, dhcpcd, files};
use sysconfig_plugin::PluginError;

/// Refuses a link that another program manages, because the two would undo each other's work.
pub(super) fn refuse_other(host: &Host, link: &str, index: u32) -> Result<(), PluginError> {
    let other = other(host, link, index).map_err(|error| file_error("cannot find out who manages the links", error))?;
    match other {
        None => Ok(()),
        Some((who, how)) => {
            let message = format!("{link} is managed by {who}, and a link has one manager");
            Err(PluginError::new(message).help(how))
        }
    }
}

fn other(host: &Host, link: &str, index: u32) -> Result<Option<(&'static str, String)>, FileError> {
    // Under a new index NetworkManager has said nothing yet, and a link that it leaves alone it says so of.
    let device = files::read_text(&host.root, format!("/run/NetworkManager/devices/{index}"))?;
    if device.is_some_and(|device| device.lines().any(|line| line.trim() == "managed=true")) {
        let how = format!("nmcli device set {link} managed no");
        return Ok(Some(("NetworkManager", how)));
    }
    let ifstate = files::read_text(&host.root, "/run/network/ifstate")?.unwrap_or_default();
    if ifstate.lines().any(|line| line.trim().split('=').next() == Some(link)) {
        let how = format!("ifdown {link}, and take it out of /etc/network/interfaces");
        return Ok(Some(("ifupdown", how)));
    }
    if dhcpcd::is_foreign(host, link)? {
        let how = format!(
            "dhcpcd --exit {link}, and disable its service or add \"denyinterfaces {link}\" to /etc/dhcpcd.conf"
        );
        return Ok(Some(("a dhcpcd that sysconfig has not started", how)));
    }
    Ok(None)
}
