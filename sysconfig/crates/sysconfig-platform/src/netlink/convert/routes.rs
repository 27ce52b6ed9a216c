//! Routes: as the kernel tells them, and as it takes them.

use super::{Raw, address_attribute, family_of, ip, number, number_attribute};
use crate::network::{Route, everything};
use crate::stack::{LinuxRoute, OtherRoute, SavedRoute};
use ipnet::IpNet;
use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteFlags, RouteHeader, RouteProtocol, RouteScope, RouteType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(in crate::netlink) fn route(message: &Raw) -> Option<LinuxRoute> {
    if message.kind != libc::RTM_NEWROUTE {
        return None;
    }
    let header = RouteHeader::parse(&message.body).ok()?;
    if header.kind != RouteType::Unicast {
        return None;
    }
    let mut table = u32::from(header.table);
    let (mut to, mut via, mut index, mut metric, mut source) = (None, None, None, 0, None);
    for attribute in message.attributes(&header) {
        let value = attribute.value();
        match attribute.kind() {
            libc::RTA_TABLE => table = number(value)?,
            libc::RTA_DST => to = Some(ip(value)?),
            libc::RTA_GATEWAY => via = Some(ip(value)?),
            libc::RTA_OIF => index = Some(number(value)?),
            libc::RTA_PRIORITY => metric = number(value)?,
            libc::RTA_PREFSRC => source = Some(ip(value)?),
            _ => {}
        }
    }
    let via = via?;
    let to = match to {
        Some(to) => IpNet::new(to, header.destination_prefix_length).ok()?,
        None => everything(via),
    };
    let is_main = table == u32::from(RouteHeader::RT_TABLE_MAIN);
    let advertised = header.protocol == RouteProtocol::Ra;
    is_main.then_some(LinuxRoute { route: Route { to: to.trunc(), via }, index: index?, metric, advertised, source })
}

/// A route that [`route`] passes over, unless the kernel has made it for an address.
pub(in crate::netlink) fn other_route(message: &Raw) -> Option<OtherRoute> {
    if message.kind != libc::RTM_NEWROUTE || route(message).is_some() {
        return None;
    }
    let header = RouteHeader::parse(&message.body).ok()?;
    let kind = match header.kind {
        RouteType::Unicast => "",
        RouteType::BlackHole => "blackhole",
        RouteType::Unreachable => "unreachable",
        RouteType::Prohibit => "prohibit",
        RouteType::Throw => "throw",
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let (mut to, mut index, mut metric, mut source) = (None, None, 0, None);
    for attribute in message.attributes(&header) {
        let value = attribute.value();
        match attribute.kind() {
            libc::RTA_TABLE => table = number(value)?,
            libc::RTA_DST => to = Some(ip(value)?),
            libc::RTA_OIF => index = Some(number(value)?),
            libc::RTA_PRIORITY => metric = number(value)?,
            libc::RTA_PREFSRC => source = Some(ip(value)?),
            _ => {}
        }
    }
    let any = match header.address_family {
        AddressFamily::Inet => everything(Ipv4Addr::UNSPECIFIED.into()),
        _ => everything(Ipv6Addr::UNSPECIFIED.into()),
    };
    let to = to.map_or(Some(any), |to| IpNet::new(to, header.destination_prefix_length).ok())?;
    let is_it = table == u32::from(RouteHeader::RT_TABLE_MAIN) && header.protocol != RouteProtocol::Kernel;
    is_it.then(|| OtherRoute { to: to.trunc(), index, metric, kind: kind.to_owned(), source })
}

/// A route of any table, when it comes from `source` or, where nothing else would hold it, leads over the link `alone`. Those that
/// the kernel and DHCP clients make come and go with their addresses.
pub(in crate::netlink) fn saved_route(message: &Raw, source: IpAddr, alone: Option<u32>) -> Option<SavedRoute> {
    if message.kind != libc::RTM_NEWROUTE {
        return None;
    }
    let mut header = RouteHeader::parse(&message.body).ok()?;
    if matches!(header.protocol, RouteProtocol::Kernel | RouteProtocol::Dhcp) {
        return None;
    }
    let goes = message.attributes(&header).any(|attribute| match attribute.kind() {
        libc::RTA_PREFSRC => ip(attribute.value()) == Some(source),
        libc::RTA_OIF => alone.is_some() && number(attribute.value()) == alone,
        _ => false,
    });
    // The others say what has become of it, which the kernel does not want to be told.
    header.flags &= RouteFlags::Onlink;
    let mut body = message.body.clone();
    header.emit(&mut body);
    goes.then_some(SavedRoute(body))
}

/// `kind` is `RTM_NEWROUTE` or `RTM_DELROUTE`.
pub(in crate::netlink) fn route_message(kind: u16, index: u32, route: &Route) -> Raw {
    let header = RouteHeader {
        address_family: family_of(route.via),
        destination_prefix_length: route.to.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let mut attributes = Vec::new();
    if !route.is_default() {
        attributes.push(address_attribute(libc::RTA_DST, route.to.network()));
    }
    attributes.push(address_attribute(libc::RTA_GATEWAY, route.via));
    attributes.push(number_attribute(libc::RTA_OIF, index));
    let metric = LinuxRoute::metric_of(route);
    if metric != 0 {
        attributes.push(number_attribute(libc::RTA_PRIORITY, metric));
    }
    Raw::new(kind, &header, &attributes)
}
