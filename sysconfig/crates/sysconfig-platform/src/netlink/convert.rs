//! Between the messages of route netlink and the plugins' words.

use crate::mac::MacAddress;
use crate::network::{Route, everything};
use crate::stack::{LinuxAddress, LinuxLink, LinuxRoute};
use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::IpAddr;

fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

pub(super) fn link(message: &RouteNetlinkMessage) -> Option<LinuxLink> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let flags = message.header.flags;
    let mut link = LinuxLink {
        index: message.header.index,
        name: String::new(),
        mac: None,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        mtu: 0,
        min_mtu: 0,
        max_mtu: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok().map(MacAddress),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::MinMtu(mtu) => link.min_mtu = *mtu,
            LinkAttribute::MaxMtu(mtu) => link.max_mtu = *mtu,
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

pub(super) fn address(message: &RouteNetlinkMessage) -> Option<LinuxAddress> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    // The first eight flags are in the header, all of them in an attribute that newer kernels send.
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // With a point-to-point link ADDRESS is the other end.
    let address = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
    Some(LinuxAddress {
        index: message.header.index,
        address,
        dynamic: !flags.contains(AddressFlags::Permanent),
        tentative: flags.contains(AddressFlags::Tentative),
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}

pub(super) fn address_message(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family_of(address.addr());
    message.header.prefix_len = address.prefix_len();
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Local(address.addr()));
    message.attributes.push(AddressAttribute::Address(address.addr()));
    if let IpNet::V4(net) = address {
        // A network of one or two addresses has no broadcast address (RFC 3021).
        if net.prefix_len() < 31 {
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
    }
    message
}

pub(super) fn route(message: &RouteNetlinkMessage) -> Option<LinuxRoute> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    if message.header.kind != RouteType::Unicast {
        return None;
    }
    let mut table = u32::from(message.header.table);
    let (mut to, mut via, mut index, mut metric) = (None, None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(number) => index = Some(*number),
            RouteAttribute::Priority(number) => metric = *number,
            _ => {}
        }
    }
    let via = via?;
    let to = match to {
        Some(to) => IpNet::new(to, message.header.destination_prefix_length).ok()?,
        None => everything(via),
    };
    let is_main = table == u32::from(RouteHeader::RT_TABLE_MAIN);
    is_main.then_some(LinuxRoute { route: Route { to: to.trunc(), via }, index: index?, metric })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

pub(super) fn route_message(index: u32, route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(route.via);
    message.header.destination_prefix_length = route.to.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    if !route.is_default() {
        message.attributes.push(RouteAttribute::Destination(route.to.network().into()));
    }
    message.attributes.push(RouteAttribute::Gateway(route.via.into()));
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_routes_are_read_back() {
        for text in ["192.0.2.10/24", "198.51.100.1/31", "2001:db8::5/64"] {
            let net: IpNet = text.parse().unwrap();
            let read = address(&RouteNetlinkMessage::NewAddress(address_message(7, net))).unwrap();
            assert_eq!((read.index, read.address), (7, net));
        }
        for (to, via) in [("0.0.0.0/0", "192.0.2.1"), ("10.0.0.0/8", "192.0.2.2"), ("::/0", "fe80::1")] {
            let wanted = Route { to: to.parse().unwrap(), via: via.parse().unwrap() };
            let read = route(&RouteNetlinkMessage::NewRoute(route_message(7, &wanted))).unwrap();
            assert_eq!(read, LinuxRoute { route: wanted, index: 7, metric: 0 });
        }
    }
}
