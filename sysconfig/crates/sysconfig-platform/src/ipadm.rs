//! illumos' IP interfaces and addresses: `ipadm`.
//!
//! Changes are persistent; `ipmgmtd` keeps them in a file of its own. There is
//! no way to change an address object, only to delete it and make another.

mod answers;
mod changes;
mod commands;

pub use answers::{addresses, interfaces, mtu, parse_addresses, parse_interfaces};
pub(crate) use changes::{IN_PROGRESS, IN_USE, TEMPORARY};
pub use changes::{ensure_interface, make_address, remove_address, run, run_as_lasting_as_possible};
pub use commands::{
    create_address, create_interface, create_interface_until_boot, delete_address, delete_interface, enable_address,
    enable_interface, set_mtu, show_addresses, show_interfaces, show_mtu, up_address,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest name of an address object in bytes, interface and slash included.
pub const LONGEST_OBJECT: usize = 32;

/// An IP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, which is the name of its datalink.
    pub name: String,
    /// `ok`, `offline`, `failed`, `down` or `disabled`.
    pub state: String,
    /// Whether it is there after the next boot.
    pub persistent: bool,
}

/// One row of an address object; an `addrconf` object has one for each prefix, all under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The name, `INTERFACE/NAME`; `INTERFACE/?` for one that was not made by `ipadm` and cannot be managed.
    pub object: String,
    /// `static`, `dhcp`, `addrconf` or `from-gz`.
    pub kind: String,
    /// `ok`, `down`, `disabled`, `duplicate`, `inaccessible` or `tentative`.
    pub state: String,
    /// Whether it is there after the next boot.
    pub persistent: bool,
    /// The address; none when there is none yet.
    pub address: Option<IpNet>,
}

impl Address {
    /// The interface that the address is on.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.object.split('/').next().unwrap_or_default()
    }

    /// Whether it is a fixed address, of this zone's making or the global zone's.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.kind == "static" || self.is_from_global_zone()
    }

    /// Whether the global zone has set it, so that it can be changed only there.
    #[must_use]
    pub fn is_from_global_zone(&self) -> bool {
        self.kind == "from-gz"
    }

    /// Whether it is in operation, and there is an address.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state == "ok" && self.address.is_some()
    }

    /// Whether it is in operation with an IPv6 address that is good for more than the link.
    #[must_use]
    pub fn has_global_v6(&self) -> bool {
        let is_global = |net: IpNet| matches!(net, IpNet::V6(net) if !net.addr().is_unicast_link_local());
        self.state == "ok" && self.address.is_some_and(is_global)
    }

    /// Whether it was made by other means than `ipadm`, which cannot manage it.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.label() == "?"
    }

    /// The part of the name behind the slash.
    #[must_use]
    pub fn label(&self) -> &str {
        self.object.split_once('/').map_or("", |(_, label)| label)
    }
}

/// What an address object is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum AddressSpec {
    /// A fixed address.
    Static {
        /// With its prefix length.
        address: IpNet,
    },
    /// DHCP for IPv4.
    Dhcp,
    /// IPv6 autoconfiguration, which also makes the link-local address.
    Addrconf {
        /// What to take from the router's advertisements; the system's default when there is nothing here.
        take: Option<Take>,
    },
}

/// What IPv6 autoconfiguration takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Addresses from a DHCPv6 server, when the router says that there is one.
    pub stateful: bool,
    /// Addresses in the prefixes that the router advertises.
    pub stateless: bool,
}

impl fmt::Display for AddressSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { address } => write!(f, "{address}"),
            Self::Dhcp => f.write_str("DHCP"),
            Self::Addrconf { take: Some(Take { stateful: false, stateless: false }) } => {
                f.write_str("an IPv6 link-local address")
            }
            Self::Addrconf { take: Some(Take { stateless: false, .. }) } => f.write_str("DHCPv6"),
            Self::Addrconf { .. } => f.write_str("IPv6 autoconfiguration"),
        }
    }
}

/// The protocols that have a largest packet of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}
