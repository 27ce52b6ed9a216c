//! The network of the simulated illumos machine: datalinks, interfaces, address objects and routes.

use super::super::{failed, printed};
use crate::network::Route;
use crate::{Completed, IpNet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A datalink.
#[derive(Clone, Debug)]
pub struct Link {
    /// `phys`, `vnic`, …
    pub class: &'static str,
    /// As `dladm` prints it, without leading zeros.
    pub mac: String,
    /// The largest packet.
    pub mtu: u32,
    /// The largest value that the driver allows for it.
    pub max_mtu: u32,
    /// Its driver tells which sizes it allows.
    pub tells_mtu: bool,
    /// Whether a signal is there.
    pub up: bool,
    /// The links that it is made of, with commas between them.
    pub over: &'static str,
}

/// An IP interface.
#[derive(Clone, Debug)]
pub struct Interface {
    pub(super) persistent: bool,
    pub(super) disabled: bool,
    pub(super) mtu: [u32; 2],
}

/// What an address object is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fixed address.
    Static(IpNet),
    /// DHCP for IPv4.
    Dhcp,
    /// IPv6 autoconfiguration.
    Addrconf {
        /// Whether DHCPv6 is asked.
        stateful: bool,
        /// Whether advertised prefixes are used.
        stateless: bool,
    },
    /// An address that was made by other means than `ipadm`.
    Unmanaged(IpNet),
}

/// An address object.
#[derive(Clone, Debug)]
pub struct Object {
    /// `INTERFACE/NAME`.
    pub name: String,
    /// What it is made of.
    pub kind: Kind,
    /// Whether the global zone has set it.
    pub from_global_zone: bool,
    /// Whether it survives a boot.
    pub persistent: bool,
    /// `ok`, `down`, `disabled`, `duplicate`, …; what `ipadm` prints.
    pub state: &'static str,
    /// The address that a DHCP client, or autoconfiguration from a DHCPv6 server, has.
    pub lease: Option<IpNet>,
    /// How often it is looked at until the lease comes.
    pub(super) looks_until_lease: u32,
}

impl Object {
    pub(super) fn interface(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// The networks that it puts the machine into.
    pub(super) fn networks(&self, prefixes: &[IpNet]) -> Vec<IpNet> {
        if self.state != "ok" {
            return Vec::new();
        }
        match &self.kind {
            Kind::Static(net) | Kind::Unmanaged(net) => vec![*net],
            Kind::Dhcp => self.lease.into_iter().collect(),
            Kind::Addrconf { stateless, .. } => {
                let link_local = "fe80::8:20ff:fed0:8687/10".parse().expect("this is an address");
                let mut networks = vec![link_local];
                networks.extend(prefixes.iter().filter(|_| *stateless));
                networks.extend(self.lease);
                networks
            }
        }
    }
}

/// What a DHCP server on a link tells.
#[derive(Clone, Debug)]
pub struct Server {
    /// The address for this machine.
    pub address: IpNet,
    /// The router.
    pub router: Option<IpAddr>,
    /// Options by the names that `dhcpinfo` knows, as it prints them.
    pub options: BTreeMap<&'static str, Vec<String>>,
    /// How often the client is looked at until it has an answer.
    pub looks: u32,
}

/// Options of both versions that `dhcpinfo` prints, of illumos-gate's `inittab` and `inittab6`; any other it does not know.
const OPTIONS: [(&str, &str); 12] = [
    ("4", "DNSserv"),
    ("4", "DNSdmain"),
    ("4", "Hostname"),
    ("4", "Router"),
    ("4", "Subnet"),
    ("4", "ServerID"),
    ("4", "LeaseTim"),
    ("4", "Yiaddr"),
    ("6", "1"),
    ("6", "2"),
    ("6", "23"),
    ("6", "24"),
];

/// How `ipadm` says that there is no such address object; it has changed over time.
#[derive(Clone, Copy, Debug, Default)]
pub enum MissingText {
    /// Today's.
    #[default]
    ObjectNotFound,
    /// That of older systems.
    AddressObjectNotFound,
    /// Without a word.
    Empty,
}

/// The network.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The datalinks by name.
    pub links: BTreeMap<String, Link>,
    /// The address objects, in the order in which they were made.
    pub objects: Vec<Object>,
    /// The kept routes.
    pub kept: Vec<Route>,
    /// The kernel's routes over gateways.
    pub kernel: Vec<Route>,
    /// The DHCP servers by link.
    pub servers: BTreeMap<String, Server>,
    /// The DHCPv6 servers by link, of which routers tell. Their options are under their codes.
    pub servers6: BTreeMap<String, Server>,
    /// The links whose routers say that such a server gives information, and no addresses.
    pub informed6: BTreeSet<String>,
    /// How `dhcpinfo` ends instead of answering, and what it says: 2 when the client cannot, 4 when it does not answer in time,
    /// 6 for an error of the system.
    pub dhcpinfo_fails: Option<(i32, &'static str)>,
    /// Whether drivers know of a signal only while IP uses the link.
    pub hides_signals: bool,
    /// The prefixes that routers advertise.
    pub prefixes: Vec<IpNet>,
    /// Addresses of other machines.
    pub neighbours: Vec<IpAddr>,
    /// How `ipadm` says that an object is missing.
    pub missing_text: MissingText,
    /// How many more calls of `ipadm` fail because its daemon does not answer yet.
    pub silent: u32,
    /// The interfaces of the routes that are bound to one.
    pub(super) bound: BTreeMap<Route, String>,
    pub(super) interfaces: BTreeMap<String, Interface>,
}

impl Network {
    /// Adds a physical link with a signal; the last byte of its address is `number`.
    pub fn add_link(&mut self, name: &str, number: u8) {
        let mac = format!("2:8:20:ab:1:{number:x}");
        self.links.insert(
            name.to_owned(),
            Link { class: "phys", mac, mtu: 1500, max_mtu: 9000, tells_mtu: true, up: true, over: "" },
        );
    }

    /// Puts an address object there, as somebody else has made it, with its interface.
    pub fn add_object(&mut self, name: &str, kind: Kind) {
        let interface = name.split('/').next().unwrap_or_default();
        self.plumb(interface, true);
        let lease = (kind == Kind::Dhcp).then(|| self.servers.get(interface).map(|server| server.address)).flatten();
        let state = if kind == Kind::Dhcp && lease.is_none() { "down" } else { "ok" };
        let name = name.to_owned();
        self.objects.push(Object {
            name,
            kind,
            from_global_zone: false,
            persistent: true,
            state,
            lease,
            looks_until_lease: 0,
        });
    }

    /// Makes an interface that survives a boot, or does not.
    pub fn plumb(&mut self, name: &str, persistent: bool) {
        let mtu = self.links.get(name).map_or(1500, |link| link.mtu);
        self.interfaces.entry(name.to_owned()).or_insert(Interface { persistent, disabled: false, mtu: [mtu; 2] });
    }

    /// Disables an interface.
    pub fn disable(&mut self, name: &str) {
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.disabled = true;
        }
        for object in self.objects.iter_mut().filter(|object| object.interface() == name) {
            object.state = "inaccessible";
        }
    }

    /// Whether the interface is there.
    #[must_use]
    pub fn has_interface(&self, name: &str) -> bool {
        self.interfaces.contains_key(name)
    }

    /// The largest IPv4 packet on an interface.
    #[must_use]
    pub fn mtu(&self, name: &str) -> Option<u32> {
        self.interfaces.get(name).map(|interface| interface.mtu[0])
    }

    /// Every address that is in use, with its object.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let text = |object: &Object| {
            let kind = match &object.kind {
                Kind::Static(net) | Kind::Unmanaged(net) => net.to_string(),
                Kind::Dhcp => "dhcp".to_owned(),
                Kind::Addrconf { .. } => "addrconf".to_owned(),
            };
            format!("{} {kind}", object.name)
        };
        self.objects.iter().map(text).collect()
    }

    /// Whether one of the machine's networks holds the gateway of a route; a link-local one is on the interface that the route is
    /// bound to, and nowhere without.
    pub(super) fn reaches(&self, route: &Route, interface: Option<&str>) -> bool {
        let is_link_local = matches!(route.via, IpAddr::V6(via) if via.is_unicast_link_local());
        let mut objects = self.objects.iter().filter(|object| match interface {
            Some(interface) => object.interface() == interface,
            None => !is_link_local,
        });
        objects.any(|object| object.networks(&self.prefixes).iter().any(|net| net.contains(&route.via)))
    }

    /// The kernel forgets the routes over gateways that it cannot reach any more.
    pub(super) fn forget_unreachable(&mut self) {
        let kernel = std::mem::take(&mut self.kernel);
        let is_reached = |route: &Route| self.reaches(route, self.bound.get(route).map(String::as_str));
        let left = kernel.into_iter().filter(is_reached).collect();
        self.kernel = left;
    }

    /// A client that waited long enough has its lease; called for every look.
    pub(super) fn pass_time(&mut self) {
        let mut routers = Vec::new();
        for object in self.objects.iter_mut().filter(|object| object.lease.is_none()) {
            let interface = object.name.split('/').next().unwrap_or_default();
            let servers = match object.kind {
                Kind::Dhcp => &self.servers,
                Kind::Addrconf { stateful: true, .. }
                    if object.state == "ok" && !self.informed6.contains(interface) =>
                {
                    &self.servers6
                }
                _ => continue,
            };
            let Some(server) = servers.get(interface) else { continue };
            if object.looks_until_lease > 0 {
                object.looks_until_lease -= 1;
                continue;
            }
            object.lease = Some(server.address);
            object.state = "ok";
            routers.extend(server.router);
        }
        for router in routers.into_iter().map(Route::default_over) {
            if !self.kernel.contains(&router) {
                self.kernel.push(router);
            }
        }
    }

    /// The client of an object ends, or its lease does: it takes the router away that it was told, whoever else had
    /// set the same one.
    pub fn end_lease(&mut self, name: &str) {
        let Some(object) = self.objects.iter_mut().find(|object| object.name == name) else { return };
        let is_dhcp = object.kind == Kind::Dhcp;
        if object.lease.take().is_none() || !is_dhcp {
            return;
        }
        object.state = "down";
        let interface = object.interface().to_owned();
        let router = self.servers.get(&interface).and_then(|server| server.router);
        self.kernel.retain(|route| Some(*route) != router.map(Route::default_over));
        self.forget_unreachable();
    }

    pub(super) fn dhcpinfo(&mut self, args: &[&str]) -> Completed {
        let usage = || failed(3, "usage: dhcpinfo [-c] [-i interface] [-n limit] [-v {4|6}] code\n");
        let ["-i", interface, "-v", version, option] = args else { return usage() };
        if option.starts_with('-') || !["4", "6"].contains(version) {
            return usage();
        }
        if !OPTIONS.contains(&(*version, *option)) {
            return failed(3, format!("dhcpinfo: unknown identifier `{option}'\n"));
        }
        if let Some((code, words)) = self.dhcpinfo_fails {
            return failed(code, format!("dhcpinfo: {words}\n"));
        }
        let (servers, is_v4) = if *version == "4" { (&self.servers, true) } else { (&self.servers6, false) };
        let is_bound = |object: &Object| {
            object.interface() == *interface && (object.kind == Kind::Dhcp) == is_v4 && object.lease.is_some()
        };
        let is_told = |_: &&Server| !is_v4 && self.informed6.contains(*interface) || self.objects.iter().any(is_bound);
        match servers.get(*interface).filter(is_told) {
            Some(server) => {
                let values = server.options.get(option).into_iter().flatten();
                printed(values.map(|value| format!("{value}\n")).collect::<String>())
            }
            None => failed(2, "dhcpinfo: interface is not under DHCP control\n"),
        }
    }
}
