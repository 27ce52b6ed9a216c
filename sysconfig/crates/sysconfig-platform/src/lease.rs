//! What DHCP servers told: name servers, domains and a host name.
//!
//! No DHCP client of illumos' applies these, and none of those that the plugins start on Linux is let to: the
//! plugins `dns` and `hostname` read them here.

mod dhcpcd;
mod dhcpinfo;
mod networkd;

pub use dhcpcd::{is_leased, parse_dump, parse_leased4, parse_leased6};
pub use dhcpinfo::{client6_command, dhcpinfo_command, has_dhcp6, parse_client_state, parse_values};
pub use networkd::{LEASES, parse_lease, parse_link, status_command};

use crate::network::NetworkError;
use crate::stack::LinuxAddress;
use crate::{Host, System};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The topic under which the plugin `interfaces` says which leases are in force.
pub const TOPIC: &str = "dhcp.leases";

/// What the DHCP servers on one interface told. Only what has the right form is kept: it comes from the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The interface.
    pub interface: String,
    /// Name servers, in order.
    pub servers: Vec<IpAddr>,
    /// The domain and the domains to search, in order.
    pub search: Vec<String>,
    /// The name that the server gives this machine.
    pub hostname: Option<String>,
}

impl Lease {
    /// Adds a name server as it was told; one that is no address is dropped, as is one that is there.
    fn add_server(&mut self, text: &str) {
        if let Ok(server) = text.parse::<IpAddr>() {
            if !server.is_unspecified() && !server.is_multicast() && !self.servers.contains(&server) {
                self.servers.push(server);
            }
        }
    }

    /// Adds a domain as it was told; what is no domain name is dropped.
    fn add_domain(&mut self, text: &str) {
        let domain = text.trim_end_matches('.').to_lowercase();
        let is_domain = domain.split('.').all(|label| crate::hostname::label_fault(label).is_none());
        if is_domain && !self.search.contains(&domain) {
            self.search.push(domain);
        }
    }

    /// Takes a host name as it was told, when it is one.
    fn set_hostname(&mut self, text: &str) {
        if crate::hostname::fault(text).is_none() {
            self.hostname = Some(text.to_lowercase());
        }
    }

    fn says_nothing(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty() && self.hostname.is_none()
    }
}

/// The leases that are in force, in the order of the interfaces' names; those that tell nothing are left out.
///
/// # Errors
/// [`NetworkError`].
pub fn leases(host: &Host) -> Result<Vec<Lease>, NetworkError> {
    let mut leases = match host.system() {
        System::Illumos => dhcpinfo::leases(host)?,
        System::Linux => {
            let mut leases = networkd::leases(host)?;
            leases.extend(dhcpcd::leases(host)?);
            leases
        }
    };
    leases.retain(|lease| !lease.says_nothing());
    leases.sort_by(|a, b| a.interface.cmp(&b.interface));
    Ok(leases)
}

impl Host {
    /// The addresses of a Linux machine; one that is leased for ever counts as dynamic, too.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn addresses(&self) -> Result<Vec<LinuxAddress>, NetworkError> {
        let mut addresses = self.stack.addresses().map_err(NetworkError::kernel("list the addresses"))?;
        mark_leased(self, &mut addresses)?;
        Ok(addresses)
    }
}

/// Marks the addresses that are leased for ever. To the kernel they are fixed ones, and its flags do not tell them apart, so
/// who asked the server does: networkd, or a dhcpcd of ours.
fn mark_leased(host: &Host, addresses: &mut [LinuxAddress]) -> Result<(), NetworkError> {
    let is_candidate = |address: &LinuxAddress| !address.dynamic && address.noprefixroute;
    let links = if addresses.iter().any(is_candidate) { host.links()? } else { Vec::new() };
    for address in addresses.iter_mut().filter(|address| !address.dynamic) {
        let link = links.iter().find(|link| link.index == address.index && is_candidate(address));
        address.dynamic = networkd::has_leased4(host, address)
            || link.is_some_and(|link| {
                dhcpcd::has_leased(host, &link.name, address.address)
                    || networkd::has_leased6(host, &link.name, address)
            });
    }
    Ok(())
}
