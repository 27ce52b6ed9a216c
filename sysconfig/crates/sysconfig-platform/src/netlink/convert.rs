//! Between the messages of route netlink and the plugins' words.

mod kinds;
mod routes;

use crate::mac::MacAddress;
use crate::stack::{LinuxAddress, LinuxLink};
use ipnet::IpNet;
use kinds::Kinds;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlaBuffer,
    NlasIterator,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressFlags, AddressHeader, AddressScope};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::route::RouteHeader;
pub(super) use routes::{other_route, route, route_message, saved_route};
use std::net::IpAddr;

/// A message of route netlink: header and attributes, unread.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    /// `RTM_…`.
    pub(super) kind: u16,
    /// What follows the header that all messages of netlink have.
    pub(super) body: Vec<u8>,
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Raw {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { kind: header.message_type, body: payload.to_vec() })
    }
}

impl Raw {
    fn new(kind: u16, header: &impl Emitable, attributes: &[DefaultNla]) -> Self {
        let start = header.buffer_len();
        let mut body = vec![0; start + attributes.buffer_len()];
        header.emit(&mut body[..start]);
        attributes.emit(&mut body[start..]);
        Self { kind, body }
    }

    /// The attributes behind a header, up to the first that is none.
    fn attributes(&self, header: &impl Emitable) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
        let rest = self.body.get(header.buffer_len()..).unwrap_or_default();
        NlasIterator::new(rest).map_while(Result::ok)
    }
}

fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

/// An address of the family that its length says.
fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

fn address_attribute(kind: u16, address: IpAddr) -> DefaultNla {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    DefaultNla::new(kind, bytes)
}

fn number_attribute(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_ne_bytes().to_vec())
}

pub(super) fn all_links() -> Raw {
    Raw::new(libc::RTM_GETLINK, &LinkHeader::default(), &[])
}

pub(super) fn all_addresses() -> Raw {
    Raw::new(libc::RTM_GETADDR, &AddressHeader::default(), &[])
}

pub(super) fn all_routes(family: AddressFamily) -> Raw {
    Raw::new(libc::RTM_GETROUTE, &RouteHeader { address_family: family, ..RouteHeader::default() }, &[])
}

pub(super) fn switch_link(index: u32, up: bool) -> Raw {
    let flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    Raw::new(libc::RTM_SETLINK, &LinkHeader { index, flags, change_mask: LinkFlags::Up, ..LinkHeader::default() }, &[])
}

pub(super) fn set_link_mtu(index: u32, mtu: u32) -> Raw {
    let header = LinkHeader { index, ..LinkHeader::default() };
    Raw::new(libc::RTM_SETLINK, &header, &[number_attribute(libc::IFLA_MTU, mtu)])
}

pub(super) fn link(message: &Raw) -> Option<LinuxLink> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    let header = LinkHeader::parse(&message.body).ok()?;
    let flags = header.flags;
    let mut link = LinuxLink {
        index: header.index,
        name: String::new(),
        mac: None,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        port_of: None,
        over: None,
        mtu: 0,
        min_mtu: 0,
        max_mtu: 0,
    };
    let (mut kinds, mut is_over_foreign) = (Kinds::default(), false);
    for attribute in message.attributes(&header) {
        let value = attribute.value();
        match attribute.kind() {
            libc::IFLA_IFNAME => link.name = text(value)?,
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddress),
            libc::IFLA_MASTER => link.port_of = number(value).filter(|index| *index != 0),
            libc::IFLA_LINK => link.over = number(value),
            libc::IFLA_LINK_NETNSID => is_over_foreign = true,
            libc::IFLA_LINKINFO => kinds = Kinds::of(value),
            libc::IFLA_MTU => link.mtu = number(value)?,
            libc::IFLA_MIN_MTU => link.min_mtu = number(value)?,
            libc::IFLA_MAX_MTU => link.max_mtu = number(value)?,
            _ => {}
        }
    }
    if kinds.has_own_addresses() {
        link.port_of = None;
    }
    if is_over_foreign || !kinds.lies_on_another() {
        link.over = None;
    }
    (!link.name.is_empty()).then_some(link)
}

/// A string as the kernel sends it, with a zero at the end.
fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8(value[..end].to_vec()).ok()
}

pub(super) fn address(message: &Raw) -> Option<LinuxAddress> {
    if message.kind != libc::RTM_NEWADDR {
        return None;
    }
    let header = AddressHeader::parse(&message.body).ok()?;
    // The first eight flags are in the header, all of them in an attribute that newer kernels send.
    let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
    let (mut local, mut address) = (None, None);
    for attribute in message.attributes(&header) {
        let value = attribute.value();
        match attribute.kind() {
            libc::IFA_LOCAL => local = Some(ip(value)?),
            libc::IFA_ADDRESS => address = Some(ip(value)?),
            libc::IFA_FLAGS => flags = AddressFlags::from_bits_retain(number(value)?),
            _ => {}
        }
    }
    // With a point-to-point link ADDRESS is the other end.
    let address = IpNet::new(local.or(address)?, header.prefix_len).ok()?;
    Some(LinuxAddress {
        index: header.index,
        address,
        // One that is leased for ever is permanent, too: only who asked the server can tell.
        dynamic: !flags.contains(AddressFlags::Permanent),
        noprefixroute: flags.contains(AddressFlags::Noprefixroute),
        tentative: flags.contains(AddressFlags::Tentative),
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}

/// `kind` is `RTM_NEWADDR` or `RTM_DELADDR`.
pub(super) fn address_message(kind: u16, index: u32, address: IpNet) -> Raw {
    let header = AddressHeader {
        family: family_of(address.addr()),
        prefix_len: address.prefix_len(),
        index,
        scope: AddressScope::Universe,
        ..AddressHeader::default()
    };
    let of = |kind| address_attribute(kind, address.addr());
    let mut attributes = vec![of(libc::IFA_LOCAL), of(libc::IFA_ADDRESS)];
    if let IpNet::V4(net) = address {
        // A network of one or two addresses has no broadcast address (RFC 3021).
        if net.prefix_len() < 31 {
            attributes.push(address_attribute(libc::IFA_BROADCAST, net.broadcast().into()));
        }
    }
    Raw::new(kind, &header, &attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Route;
    use crate::stack::LinuxRoute;
    use netlink_packet_route::route::{RouteProtocol, RouteType};

    #[test]
    fn addresses_and_routes_are_read_back() {
        for text in ["192.0.2.10/24", "198.51.100.1/31", "2001:db8::5/64"] {
            let net: IpNet = text.parse().unwrap();
            let read = address(&address_message(libc::RTM_NEWADDR, 7, net)).unwrap();
            assert_eq!((read.index, read.address), (7, net));
        }
        for (to, via, metric) in
            [("0.0.0.0/0", "192.0.2.1", 0), ("10.0.0.0/8", "192.0.2.2", 0), ("::/0", "fe80::1", 512)]
        {
            let wanted = Route { to: to.parse().unwrap(), via: via.parse().unwrap() };
            let read = route(&route_message(libc::RTM_NEWROUTE, 7, &wanted)).unwrap();
            assert_eq!(read, LinuxRoute { route: wanted, index: 7, metric, advertised: false, source: None });
            assert!(read.may_be_ours() && read.is_plain());
        }
        // What the kernel makes of an advertisement is no route of ours, over the same router either.
        let wanted = Route { to: "::/0".parse().unwrap(), via: "fe80::1".parse().unwrap() };
        let mut message = route_message(libc::RTM_NEWROUTE, 7, &wanted);
        let mut header = RouteHeader::parse(&message.body).unwrap();
        header.protocol = RouteProtocol::Ra;
        header.emit(&mut message.body);
        let read = route(&message).unwrap();
        assert!(read.advertised && !read.may_be_ours(), "{read:?}");
    }

    #[test]
    fn what_the_flags_of_an_address_say() {
        let net: IpNet = "192.0.2.57/24".parse().unwrap();
        for (flags, expected) in [
            (AddressFlags::Permanent, (false, false)),
            (AddressFlags::empty(), (true, false)),
            (AddressFlags::Noprefixroute, (true, true)),
            (AddressFlags::Permanent | AddressFlags::Noprefixroute, (false, true)),
        ] {
            let mut message = address_message(libc::RTM_NEWADDR, 7, net);
            let mut attributes = vec![0; 8];
            DefaultNla::new(libc::IFA_FLAGS, flags.bits().to_ne_bytes().to_vec()).emit(&mut attributes);
            message.body.extend(attributes);
            let read = address(&message).unwrap();
            assert_eq!((read.dynamic, read.noprefixroute), expected, "{flags:?}");
        }
    }

    /// The library's own writer of whole messages is the judge of ours.
    #[test]
    fn messages_are_those_of_the_library() {
        use netlink_packet_route::address::{AddressAttribute, AddressMessage};
        use netlink_packet_route::link::{InfoKind, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage};
        use netlink_packet_route::route::{RouteAttribute, RouteMessage};

        fn written(message: &impl Emitable) -> Vec<u8> {
            let mut bytes = vec![0; message.buffer_len()];
            message.emit(&mut bytes);
            bytes
        }
        let mut link = LinkMessage::default();
        link.header.index = 3;
        link.attributes.push(LinkAttribute::Mtu(1400));
        assert_eq!(set_link_mtu(3, 1400).body, written(&link));
        link.attributes.splice(
            0..,
            [
                LinkAttribute::IfName("net0".to_owned()),
                LinkAttribute::Address(vec![2, 8, 0x20, 0xab, 1, 0xf]),
                LinkAttribute::Controller(4),
                LinkAttribute::Mtu(1400),
                LinkAttribute::MinMtu(68),
                LinkAttribute::MaxMtu(9000),
            ],
        );
        let read = super::link(&Raw { kind: libc::RTM_NEWLINK, body: written(&link) }).unwrap();
        assert_eq!((read.name.as_str(), read.mtu, read.min_mtu, read.max_mtu), ("net0", 1400, 68, 9000));
        assert_eq!((read.mac, read.port_of), ("2:8:20:ab:1:f".parse().ok(), Some(4)));
        for (kind, over) in [(InfoKind::Vlan, Some(2)), (InfoKind::Veth, None)] {
            link.attributes.push(LinkAttribute::Link(2));
            let infos = vec![LinkInfo::Kind(kind), LinkInfo::PortKind(InfoPortKind::Vrf)];
            link.attributes.push(LinkAttribute::LinkInfo(infos));
            let read = super::link(&Raw { kind: libc::RTM_NEWLINK, body: written(&link) }).unwrap();
            assert_eq!((read.port_of, read.over), (None, over));
        }

        let mut address = AddressMessage::default();
        address.header.family = AddressFamily::Inet;
        address.header.prefix_len = 24;
        address.header.index = 3;
        address.attributes = vec![
            AddressAttribute::Local("192.0.2.10".parse().unwrap()),
            AddressAttribute::Address("192.0.2.10".parse().unwrap()),
            AddressAttribute::Broadcast("192.0.2.255".parse().unwrap()),
        ];
        let net = "192.0.2.10/24".parse().unwrap();
        assert_eq!(address_message(libc::RTM_NEWADDR, 3, net).body, written(&address));

        let mut wanted = RouteMessage::default();
        wanted.header.address_family = AddressFamily::Inet6;
        wanted.header.destination_prefix_length = 48;
        wanted.header.table = RouteHeader::RT_TABLE_MAIN;
        wanted.header.protocol = RouteProtocol::Static;
        wanted.header.kind = RouteType::Unicast;
        wanted.attributes = vec![
            RouteAttribute::Destination("2001:db8::".parse::<std::net::Ipv6Addr>().unwrap().into()),
            RouteAttribute::Gateway("fe80::1".parse::<std::net::Ipv6Addr>().unwrap().into()),
            RouteAttribute::Oif(3),
            RouteAttribute::Priority(512),
        ];
        let route = Route { to: "2001:db8::/48".parse().unwrap(), via: "fe80::1".parse().unwrap() };
        assert_eq!(route_message(libc::RTM_NEWROUTE, 3, &route).body, written(&wanted));
    }
}
