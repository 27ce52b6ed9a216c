//! Route netlink: links, addresses and routes of the running Linux kernel (rtnetlink(7)).
//!
//! A socket of its own for each request keeps answers apart and state away; the plugins ask seldom.
//!
//! Messages are taken apart by the crates of rust-netlink as far as headers and attributes go; of the attributes only
//! the handful that matters is read ([`convert`]). `RouteNetlinkMessage` would read them all, and bring the readers of every
//! kind of tunnel, bridge and packet filter into each plugin: a third of its size.

mod convert;

use crate::network::Route;
use crate::stack::{LinuxAddress, LinuxLink, LinuxRoute, NetworkStack, OtherRoute, SavedRoute};
use convert::Raw;
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::time::Duration;

/// The kernel's messages are no longer than this (`NLMSG_GOODSIZE` and the dumps' own limit).
const LONGEST_DATAGRAM: usize = 64 * 1024;
/// The kernel answers at once; what does not is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The network stack of the running kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteNetlink;

fn open() -> io::Result<OwnedFd> {
    // NETLINK_ROUTE is protocol 0.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(PATIENCE))?;
    Ok(socket)
}

/// A list. The kernel says when something has changed while it told it in pieces: what was there all the time may be missing
/// then, and it is asked again, as long as the changes may come to an end.
fn dump(request: &Raw) -> io::Result<Vec<Raw>> {
    const TRIES: u32 = 20;
    let mut answers = exchange(request.clone(), NLM_F_DUMP)?;
    for _ in 1..TRIES {
        if answers.is_whole {
            break;
        }
        answers = exchange(request.clone(), NLM_F_DUMP)?;
    }
    Ok(answers.messages)
}

/// What the kernel has answered.
struct Answers {
    messages: Vec<Raw>,
    /// Whether nothing has changed meanwhile.
    is_whole: bool,
}

/// Sends a request and collects what comes until its end.
fn exchange(request: Raw, flags: u16) -> io::Result<Answers> {
    let socket = open()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = 1;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    rustix::net::send(&socket, &buffer, SendFlags::empty())?;
    let mut answers = Answers { messages: Vec::new(), is_whole: true };
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        // With a timeout the kernel does not take it up again after a signal.
        let receive = || rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::TRUNC);
        let (_, length) = rustix::io::retry_on_intr(receive)?;
        if length > buffer.len() {
            return Err(io::Error::other("an answer of the kernel is too long"));
        }
        if take_datagram(&buffer[..length], &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Reads the messages of one datagram; answers whether the last one was among them.
fn take_datagram(datagram: &[u8], answers: &mut Answers) -> io::Result<bool> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = match NetlinkMessage::<Raw>::deserialize(rest) {
            Ok(message) => message,
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        };
        let length = (message.header.length as usize).next_multiple_of(4);
        answers.is_whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => {
                return match error.code {
                    None => Ok(true),
                    Some(code) => Err(io::Error::from_raw_os_error(code.get().abs())),
                };
            }
            NetlinkPayload::InnerMessage(answer) => answers.messages.push(answer),
            _ => {}
        }
        // A length of 0 would go on for ever.
        if length == 0 || length >= rest.len() {
            break;
        }
        rest = &rest[length..];
    }
    Ok(false)
}

fn change(request: Raw, flags: u16) -> io::Result<()> {
    exchange(request, NLM_F_ACK | flags).map(drop)
}

/// Whether the kernel said that it is so already.
fn unless(result: io::Result<()>, already: &[Errno]) -> io::Result<()> {
    match result {
        Err(error) if already.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) => Ok(()),
        result => result,
    }
}

impl NetworkStack for RouteNetlink {
    fn links(&self) -> io::Result<Vec<LinuxLink>> {
        let answers = dump(&convert::all_links())?;
        Ok(answers.iter().filter_map(convert::link).collect())
    }

    fn addresses(&self) -> io::Result<Vec<LinuxAddress>> {
        let answers = dump(&convert::all_addresses())?;
        Ok(answers.iter().filter_map(convert::address).collect())
    }

    fn routes(&self) -> io::Result<Vec<LinuxRoute>> {
        let mut routes = Vec::new();
        for family in [netlink_packet_route::AddressFamily::Inet, netlink_packet_route::AddressFamily::Inet6] {
            let answers = dump(&convert::all_routes(family))?;
            routes.extend(answers.iter().filter_map(convert::route));
        }
        Ok(routes)
    }

    fn other_routes(&self) -> io::Result<Vec<OtherRoute>> {
        let mut routes = Vec::new();
        for family in [netlink_packet_route::AddressFamily::Inet, netlink_packet_route::AddressFamily::Inet6] {
            routes.extend(dump(&convert::all_routes(family))?.iter().filter_map(convert::other_route));
        }
        Ok(routes)
    }

    fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        change(convert::switch_link(index, up), 0)
    }

    fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        change(convert::set_link_mtu(index, mtu), 0)
    }

    fn add_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let request = convert::address_message(libc::RTM_NEWADDR, index, address);
        unless(change(request, NLM_F_CREATE | NLM_F_EXCL), &[Errno::EXIST])
    }

    fn delete_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let request = convert::address_message(libc::RTM_DELADDR, index, address);
        unless(change(request, 0), &[Errno::ADDRNOTAVAIL, Errno::NODEV])
    }

    fn add_route(&self, index: u32, route: &Route) -> io::Result<()> {
        let request = convert::route_message(libc::RTM_NEWROUTE, index, route);
        let result = change(request, NLM_F_CREATE | NLM_F_EXCL);
        match &result {
            // The kernel says the same of a route to the destination over another gateway.
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                let is_it = |known: &LinuxRoute| known.index == index && known.route == *route && known.may_be_ours();
                if self.routes()?.iter().any(is_it) { Ok(()) } else { result }
            }
            _ => result,
        }
    }

    fn delete_route(&self, index: u32, route: &Route) -> io::Result<()> {
        let request = convert::route_message(libc::RTM_DELROUTE, index, route);
        unless(change(request, 0), &[Errno::SRCH, Errno::NODEV])
    }

    fn routes_with(&self, index: u32, address: IpNet) -> io::Result<Vec<SavedRoute>> {
        if address.addr().is_ipv6() {
            return Ok(Vec::new());
        }
        let addresses = self.addresses()?;
        let mut others = addresses.iter().filter(|known| known.index == index && known.address != address);
        let alone = others.all(|known| known.address.addr().is_ipv6()).then_some(index);
        let answers = dump(&convert::all_routes(netlink_packet_route::AddressFamily::Inet))?;
        let goes = |answer| convert::saved_route(answer, address.addr(), alone);
        Ok(answers.iter().filter_map(goes).collect())
    }

    fn restore_route(&self, route: &SavedRoute) -> io::Result<()> {
        let request = Raw { kind: libc::RTM_NEWROUTE, body: route.0.clone() };
        unless(change(request, NLM_F_CREATE | NLM_F_EXCL), &[Errno::EXIST])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_a_loopback_link() {
        let links = RouteNetlink.links().unwrap();
        let loopback = links.iter().find(|link| link.loopback).expect("every network namespace has one");
        assert_eq!(loopback.name, "lo");
        assert!(loopback.mtu > 0);
        RouteNetlink.addresses().unwrap();
        RouteNetlink.routes().unwrap();
    }

    #[test]
    fn a_list_that_changed_meanwhile_is_not_whole() {
        for (flags, is_whole) in [(0, true), (NLM_F_DUMP_INTR, false)] {
            let payload = NetlinkPayload::InnerMessage(convert::set_link_mtu(2, 1400));
            let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
            message.header.flags = flags;
            message.finalize();
            let mut datagram = vec![0; message.buffer_len()];
            message.serialize(&mut datagram);
            let mut answers = Answers { messages: Vec::new(), is_whole: true };
            assert!(!take_datagram(&datagram, &mut answers).unwrap());
            assert_eq!((answers.messages.len(), answers.is_whole), (1, is_whole));
        }
    }

    #[test]
    fn fuzz_datagrams() {
        let datagram = |request: Raw| {
            let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(request));
            message.finalize();
            let mut datagram = vec![0; message.buffer_len()];
            message.serialize(&mut datagram);
            datagram
        };
        let route = Route { to: "10.0.0.0/8".parse().unwrap(), via: "192.0.2.2".parse().unwrap() };
        let datagrams = [
            datagram(convert::address_message(libc::RTM_NEWADDR, 2, "192.0.2.10/24".parse().unwrap())),
            datagram(convert::route_message(libc::RTM_NEWROUTE, 2, &route)),
            datagram(Raw { kind: libc::RTM_NEWLINK, ..convert::set_link_mtu(2, 1400) }),
        ];
        test_judge::fuzz(5000, |random| {
            let mut damaged = random.pick(&datagrams).clone();
            random.damage(&mut damaged);
            let mut answers = Answers { messages: Vec::new(), is_whole: true };
            drop(take_datagram(&damaged, &mut answers));
            for answer in &answers.messages {
                drop((
                    convert::link(answer),
                    convert::address(answer),
                    convert::route(answer),
                    convert::other_route(answer),
                ));
            }
        });
    }
}
