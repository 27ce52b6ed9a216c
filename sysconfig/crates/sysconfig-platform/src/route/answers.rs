//! What the programs answer, and what the older file says.

use super::BoundRoute;
use crate::network::{Route, everything};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The routes over gateways in the output of [`list_command`]: the rows with the flag of a gateway, `G` or `I` (illumos-gate,
/// `cmd/cmd-inet/usr.bin/netstat/netstat.c`, `ire_report_item_v4` and `_v6`). A route over an interface has an address of this
/// machine there.
#[must_use]
pub fn parse_listed(output: &str, v6: bool) -> BTreeSet<BoundRoute> {
    output.lines().filter_map(if v6 { listed6 } else { listed4 }).collect()
}

fn leads_over_gateway(flags: &str) -> bool {
    flags.starts_with('U') && flags.contains(['G', 'I'])
}

/// A row `DESTINATION MASK GATEWAY [DEVICE] … FLAGS …`.
fn listed4(line: &str) -> Option<BoundRoute> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [to, mask, via, rest @ ..] = words.as_slice() else { return None };
    let via: IpAddr = via.parse().ok()?;
    let to = match *to {
        "default" => everything(via),
        to => network(to.parse().ok()?, Some(mask))?,
    };
    rest.iter().find(|word| leads_over_gateway(word))?;
    (to.addr().is_ipv4() && via.is_ipv4()).then_some(BoundRoute { route: Route { to, via }, interface: None })
}

/// A row `DESTINATION[/LENGTH] GATEWAY FLAGS REF USE [INTERFACE]`.
fn listed6(line: &str) -> Option<BoundRoute> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [to, via, flags, _, _, rest @ ..] = words.as_slice() else { return None };
    let via = without_scope(via)?;
    let to = match *to {
        "default" => everything(via),
        to => to.parse::<IpNet>().ok().or_else(|| to.parse::<IpAddr>().ok().map(IpNet::from))?,
    };
    let interface = rest.first().map(|interface| (*interface).to_owned());
    let is_it = leads_over_gateway(flags) && to.addr().is_ipv6() && via.is_ipv6();
    is_it.then_some(BoundRoute { route: Route { to, via }, interface })
}

/// An address as it is printed; a link-local one with its interface, `fe80::1%net0`.
fn without_scope(printed: &str) -> Option<IpAddr> {
    printed.split('%').next()?.parse().ok()
}

/// Parses the output of [`show_kept`]: lines `persistent: route add [-inet6] [-net] DEST GATEWAY [-ifp INTERFACE]`. Lines of
/// other forms, such as the sentence that there are none, are nobody's routes.
#[must_use]
pub fn parse_kept(output: &str) -> Vec<BoundRoute> {
    output.lines().filter_map(|line| parse_kept_line(line.strip_prefix("persistent:")?)).collect()
}

fn parse_kept_line(line: &str) -> Option<BoundRoute> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "add").skip(1);
    let (mut v6, mut interface, mut positional) = (false, None, Vec::new());
    while let Some(word) = words.next() {
        match word {
            "-inet6" => v6 = true,
            "-inet" | "-net" | "-host" => {}
            // Wherever they stand: the line is what was typed.
            "-ifp" => interface = Some(words.next()?.to_owned()),
            // What else there may be changes the meaning, and ours never do that.
            flag if flag.starts_with('-') => return None,
            word => positional.push(word),
        }
    }
    // A third word would be a netmask.
    let [destination, via] = positional[..] else { return None };
    let via: IpAddr = via.parse().ok()?;
    // A host route to an address is written without its prefix length.
    let to = match destination {
        "default" if v6 == via.is_ipv6() => everything(via),
        text => text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?,
    };
    let route = Route { to: to.trunc(), via };
    (to.addr().is_ipv6() == via.is_ipv6()).then_some(BoundRoute { route, interface })
}

/// Parses the block that [`get_command`] prints: the route that the kernel would take, with its real destination.
#[must_use]
pub fn parse_got(output: &str) -> Option<Route> {
    let via = without_scope(field(output, "gateway")?)?;
    let to = match field(output, "destination")? {
        "default" => everything(via),
        _ => destination(output)?,
    };
    (to.addr().is_ipv6() == via.is_ipv6()).then_some(Route { to: to.trunc(), via })
}

/// The network that an answer is about, unless it is the default route.
pub(super) fn destination(output: &str) -> Option<IpNet> {
    let mask = field(output, "mask").filter(|mask| *mask != "default");
    network(field(output, "destination")?.parse().ok()?, mask)
}

fn field<'a>(output: &'a str, name: &str) -> Option<&'a str> {
    let mut values = output.lines().filter_map(|line| line.trim().split_once(':'));
    values.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
}

fn network(address: IpAddr, mask: Option<&str>) -> Option<IpNet> {
    match (address, mask) {
        (address, None) => Some(address.into()),
        (IpAddr::V4(address), Some(mask)) => {
            Ipv4Net::with_netmask(address, mask.parse::<Ipv4Addr>().ok()?).ok().map(IpNet::V4)
        }
        (IpAddr::V6(address), Some(mask)) => {
            Ipv6Net::with_netmask(address, mask.parse::<Ipv6Addr>().ok()?).ok().map(IpNet::V6)
        }
    }
}

/// The routers in `/etc/defaultrouter`: one in each line, `#` before comments.
#[must_use]
pub fn parse_default_router(content: &str) -> Vec<String> {
    let words = content.lines().filter_map(|line| line.split('#').next()?.split_whitespace().next());
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str, via: &str) -> Route {
        Route { to: to.parse().unwrap(), via: via.parse().unwrap() }
    }

    fn unbound(to: &str, via: &str) -> BoundRoute {
        BoundRoute { route: route(to, via), interface: None }
    }

    #[test]
    fn kept_routes() {
        let output = "persistent: route add default 192.0.2.1\npersistent: route add -inet6 default fe80::1 -ifp net0\n\
                      persistent: route add -net 10.0.0.0/8 192.0.2.2\npersistent: route add -host 198.51.100.7 192.0.2.2\n\
                      persistent: route add -ifp net0 default 192.0.2.9\npersistent: route add default gw.example.org\n\
                      persistent: route add 10.0.0.0 192.0.2.2 255.0.0.0\npersistent: route add -iface default 192.0.2.2\n";
        assert_eq!(
            parse_kept(output),
            [
                unbound("0.0.0.0/0", "192.0.2.1"),
                BoundRoute::over("net0", route("::/0", "fe80::1")),
                unbound("10.0.0.0/8", "192.0.2.2"),
                unbound("198.51.100.7/32", "192.0.2.2"),
                BoundRoute { route: route("0.0.0.0/0", "192.0.2.9"), interface: Some("net0".to_owned()) },
            ]
        );
        assert_eq!(parse_kept("No persistent routes are defined\n"), []);
    }

    #[test]
    fn the_kernels_answer_tells_which_route_it_is() {
        let block = "   route to: 10.1.0.0\ndestination: default\n       mask: default\n    gateway: 10.0.2.2\n  interface: net0\n";
        assert_eq!(parse_got(block), Some(route("0.0.0.0/0", "10.0.2.2")));
        let block = "   route to: 10.1.0.0\ndestination: 10.1.0.0\n       mask: 255.255.0.0\n    gateway: 10.0.2.9\n";
        assert_eq!(parse_got(block), Some(route("10.1.0.0/16", "10.0.2.9")));
        let block = "destination: 2001:db8::\n       mask: ffff:ffff::\n    gateway: fe80::1\n";
        assert_eq!(parse_got(block), Some(route("2001:db8::/32", "fe80::1")));
        assert_eq!(parse_got("destination: 10.0.0.0\n mask: 255.0.255.0\n gateway: 10.0.2.2\n"), None);
    }

    /// In the form of illumos-gate's `netstat`, with and without a device.
    #[test]
    fn every_route_over_a_gateway_is_listed() {
        let output = "\nIRE Table: IPv4\n  Destination             Mask           Gateway          Device Mxfrg Rtt   Ref Flg  Out  In/Fwd \n\
            -------------------- --------------- -------------------- ------ ----- ----- --- --- ----- ------ \n\
            default              0.0.0.0         10.0.2.2             net0    1500*    0   2 UG       0      0 \n\
            default              0.0.0.0         192.0.2.1                       0     0   1 UG       0      0 \n\
            default              0.0.0.0         10.0.2.15            net0       0     0   1 U        0      0 \n\
            10.0.0.0             255.0.0.0       192.0.2.2                       0     0   1 UG       0      0 \n\
            10.0.0.0             255.255.0.0     192.0.2.3                       0     0   1 UG       0      0 \n\
            198.51.100.7         255.255.255.255 192.0.2.2                       0     0   1 UGHS123456      0 \n\
            10.0.2.0             255.255.255.0   10.0.2.15            net0    1500     0   2 U        0      0 \n";
        assert_eq!(
            parse_listed(output, false),
            BTreeSet::from([
                unbound("0.0.0.0/0", "10.0.2.2"),
                unbound("0.0.0.0/0", "192.0.2.1"),
                unbound("10.0.0.0/8", "192.0.2.2"),
                unbound("10.0.0.0/16", "192.0.2.3"),
                unbound("198.51.100.7/32", "192.0.2.2"),
            ])
        );
        let v6 = "\nRouting Table: IPv6\n  Destination/Mask            Gateway                   Flags Ref   Use    If   \n\
            default                     fe80::1%net0                UG      1       0 net0  \n\
            2001:db8:1::/48             2001:db8::1                 UG      1       0       \n\
            2001:db8::/64               2001:db8::5                 U       1       0 net0  \n";
        let wanted = [BoundRoute::over("net0", route("::/0", "fe80::1")), unbound("2001:db8:1::/48", "2001:db8::1")];
        assert_eq!(parse_listed(v6, true), BTreeSet::from(wanted));
    }

    #[test]
    fn default_routers_of_the_older_way() {
        assert_eq!(parse_default_router("# ours\n192.0.2.1 # first\n\nrouter\n"), ["192.0.2.1", "router"]);
    }
}
