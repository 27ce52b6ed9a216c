//! Linux' network stack, as far as the plugins need it: the seam to route netlink.

use crate::Host;
use crate::mac::MacAddress;
use crate::network::{NetworkError, Route};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::IpAddr;

/// A link of Linux.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxLink {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its link-layer address, if it has one of six bytes.
    pub mac: Option<MacAddress>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it is switched on and a signal is there.
    pub running: bool,
    /// Whether it leads to the machine itself.
    pub loopback: bool,
    /// The number of the link that it is a port of, such as a bridge or a bond, which has the addresses then.
    pub port_of: Option<u32>,
    /// The number of the link that it lies on, as a VLAN does, and whose link-layer address it may share.
    pub over: Option<u32>,
    /// Its largest packet in bytes.
    pub mtu: u32,
    /// The smallest value that the driver allows for it; 0 when it does not say.
    pub min_mtu: u32,
    /// The largest value that the driver allows for it; 0 when it does not say.
    pub max_mtu: u32,
}

/// An address on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxAddress {
    /// The number of the link.
    pub index: u32,
    /// The address, with its prefix length.
    pub address: IpNet,
    /// Whether a server or a router gave it: it ends by itself unless somebody renews it, or a client keeps it.
    pub dynamic: bool,
    /// Whether the kernel makes no route to its network (`IFA_F_NOPREFIXROUTE`): DHCP clients ask for that, and so does who
    /// sets a fixed one and its routes, such as NetworkManager.
    pub noprefixroute: bool,
    /// Whether it is not usable yet, because the check for duplicates runs.
    pub tentative: bool,
    /// Whether another machine on the link has it.
    pub duplicate: bool,
}

impl LinuxAddress {
    /// A usable address that stays until somebody takes it away.
    #[must_use]
    pub fn fixed(index: u32, address: IpNet) -> Self {
        Self { index, address, dynamic: false, noprefixroute: false, tentative: false, duplicate: false }
    }
}

/// A route over a gateway, in the main table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxRoute {
    /// Destination and gateway.
    pub route: Route,
    /// The number of the link.
    pub index: u32,
    /// The priority; less is more. A route that is added without one has 0 (IPv4) or 1024 (IPv6).
    pub metric: u32,
    /// Whether a router's advertisement made it (`RTPROT_RA`): it ends by itself.
    pub advertised: bool,
    /// The address that packets over it come from, where it names one: one of IPv4 goes with that address.
    pub source: Option<IpAddr>,
}

/// A route of the main table that does not lead over one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRoute {
    /// Its destination.
    pub to: IpNet,
    /// The number of the link, where it leads over one.
    pub index: Option<u32>,
    /// The priority.
    pub metric: u32,
    /// What `ip route` calls it, as `blackhole`; nothing for one that leads somewhere.
    pub kind: String,
    /// The address that packets over it come from, where it names one.
    pub source: Option<IpAddr>,
}

/// A route of any table as its kernel has it, to give it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRoute(pub Vec<u8>);

impl LinuxRoute {
    /// The priority of a route of ours: for IPv4 that of routes without one, for IPv6 before those that routers advertise (1024),
    /// because the kernel takes only one of each priority for a destination.
    #[must_use]
    pub fn metric_of(route: &Route) -> u32 {
        if route.via.is_ipv6() { 512 } else { 0 }
    }

    /// Whether it has the priority of a route of ours and is not advertised.
    #[must_use]
    pub fn may_be_ours(&self) -> bool {
        !self.advertised && self.metric == Self::metric_of(&self.route)
    }

    /// Whether it serves for a route of ours: whoever made it, it has no other priority than ours, or none.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        const WITHOUT: u32 = 1024;
        self.metric == Self::metric_of(&self.route) || self.route.via.is_ipv6() && self.metric == WITHOUT
    }
}

/// The kernel's network stack. The real one is `RouteNetlink`, on Linux.
///
/// What is to be there and is, and what is to be gone and is, is no error.
pub trait NetworkStack: fmt::Debug + Send + Sync {
    /// All links.
    ///
    /// # Errors
    /// The kernel's.
    fn links(&self) -> io::Result<Vec<LinuxLink>>;
    /// All addresses.
    ///
    /// # Errors
    /// The kernel's.
    fn addresses(&self) -> io::Result<Vec<LinuxAddress>>;
    /// The routes of the main table that lead over a gateway.
    ///
    /// # Errors
    /// The kernel's.
    fn routes(&self) -> io::Result<Vec<LinuxRoute>>;
    /// The other routes of the main table, but for those to the networks of links, which the kernel makes.
    ///
    /// # Errors
    /// The kernel's.
    fn other_routes(&self) -> io::Result<Vec<OtherRoute>>;
    /// Switches a link on or off.
    ///
    /// # Errors
    /// The kernel's.
    fn set_up(&self, index: u32, up: bool) -> io::Result<()>;
    /// Sets the largest packet of a link.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` for a size that the driver does not allow.
    fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()>;
    /// Puts an address on a link.
    ///
    /// # Errors
    /// The kernel's.
    fn add_address(&self, index: u32, address: IpNet) -> io::Result<()>;
    /// Takes an address off a link.
    ///
    /// # Errors
    /// The kernel's.
    fn delete_address(&self, index: u32, address: IpNet) -> io::Result<()>;
    /// Adds a route over a link.
    ///
    /// # Errors
    /// The kernel's; `NetworkUnreachable`, for IPv6 `HostUnreachable`, when the gateway is in no network of the link, `AlreadyExists` when another route of
    /// the same priority leads to the destination.
    fn add_route(&self, index: u32, route: &Route) -> io::Result<()>;
    /// Deletes a route over a link.
    ///
    /// # Errors
    /// The kernel's.
    fn delete_route(&self, index: u32, route: &Route) -> io::Result<()>;
    /// The routes that the kernel takes off with an IPv4 address, which somebody has set: those that name it as their source, and
    /// with the last one of a link all over that.
    ///
    /// # Errors
    /// The kernel's.
    fn routes_with(&self, index: u32, address: IpNet) -> io::Result<Vec<SavedRoute>>;
    /// Gives the kernel a route back.
    ///
    /// # Errors
    /// The kernel's.
    fn restore_route(&self, route: &SavedRoute) -> io::Result<()>;
}

/// The stack of a system that has none of this kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStack;

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl NetworkStack for NoStack {
    fn links(&self) -> io::Result<Vec<LinuxLink>> {
        unsupported()
    }
    fn addresses(&self) -> io::Result<Vec<LinuxAddress>> {
        unsupported()
    }
    fn routes(&self) -> io::Result<Vec<LinuxRoute>> {
        unsupported()
    }
    fn other_routes(&self) -> io::Result<Vec<OtherRoute>> {
        unsupported()
    }
    fn set_up(&self, _: u32, _: bool) -> io::Result<()> {
        unsupported()
    }
    fn set_mtu(&self, _: u32, _: u32) -> io::Result<()> {
        unsupported()
    }
    fn add_address(&self, _: u32, _: IpNet) -> io::Result<()> {
        unsupported()
    }
    fn delete_address(&self, _: u32, _: IpNet) -> io::Result<()> {
        unsupported()
    }
    fn add_route(&self, _: u32, _: &Route) -> io::Result<()> {
        unsupported()
    }
    fn delete_route(&self, _: u32, _: &Route) -> io::Result<()> {
        unsupported()
    }
    fn routes_with(&self, _: u32, _: IpNet) -> io::Result<Vec<SavedRoute>> {
        unsupported()
    }
    fn restore_route(&self, _: &SavedRoute) -> io::Result<()> {
        unsupported()
    }
}

impl Host {
    /// The links of a Linux machine.
    ///
    /// # Errors
    /// [`NetworkError::Kernel`].
    pub fn links(&self) -> Result<Vec<LinuxLink>, NetworkError> {
        self.stack.links().map_err(NetworkError::kernel("list the links"))
    }

    /// The routes of a Linux machine.
    ///
    /// # Errors
    /// [`NetworkError::Kernel`].
    pub fn routes(&self) -> Result<Vec<LinuxRoute>, NetworkError> {
        self.stack.routes().map_err(NetworkError::kernel("list the routes"))
    }

    /// The routes of a Linux machine that do not lead over one gateway.
    ///
    /// # Errors
    /// [`NetworkError::Kernel`].
    pub fn other_routes(&self) -> Result<Vec<OtherRoute>, NetworkError> {
        self.stack.other_routes().map_err(NetworkError::kernel("list the routes"))
    }

    /// The network stack of a Linux machine, to change it.
    #[must_use]
    pub fn stack(&self) -> &dyn NetworkStack {
        self.stack.as_ref()
    }
}

/// Whether `address` is one of IPv6 that is good for a link only, so that another link can have the same.
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether `address` is on the network of one of `networks`.
#[must_use]
pub fn is_on_link(address: IpAddr, networks: &[IpNet]) -> bool {
    is_link_local(address) || networks.iter().any(|network| network.contains(&address))
}

/// What is wrong with `name` as the name of a link of Linux (`dev_valid_name`); `None` when it is right.
#[must_use]
pub fn name_fault(name: &str) -> Option<String> {
    const LONGEST: usize = 15;
    if name.is_empty() || name == "." || name == ".." {
        return Some("this is no name of a link".to_owned());
    }
    if name.len() > LONGEST {
        return Some(format!("it has more than {LONGEST} characters"));
    }
    let wrong = name.chars().find(|c| *c == '/' || *c == ':' || c.is_whitespace() || c.is_control() || !c.is_ascii());
    wrong.map(|wrong| format!("the character {wrong:?} is not allowed in a link's name"))
}
