//! `route`.

use super::super::{failed, printed};
use super::network::{Kind, Network};
use crate::network::{Route, everything};
use crate::{Completed, IpNet};
use std::net::IpAddr;

/// As `ire_hdr_v4_verbose` and `ire_hdr_v6_normal` of illumos-gate's `netstat.c` print them.
const HEADER: &str = "\nIRE Table: IPv4\n  Destination             Mask           Gateway          Device Mxfrg Rtt   Ref Flg  \
                      Out  In/Fwd \n-------------------- --------------- -------------------- ------ ----- ----- --- --- \
                      ----- ------ \n";
const HEADER6: &str = "\nRouting Table: IPv6\n  Destination/Mask            Gateway                   Flags Ref   Use    If   \n\
                       --------------------------- --------------------------- ----- --- ------- ----- \n";

/// One row of `netstat -rnv` for IPv4, and of `netstat -rn` for IPv6.
fn row(route: &Route, flags: &str, interface: &str) -> String {
    let (via, network) = (route.via, route.to.network().to_string());
    match (route.to, route.is_default()) {
        (IpNet::V4(to), is_default) => {
            let to_name = if is_default { "default" } else { &network };
            let mask = to.netmask().to_string();
            format!(
                "{to_name:20} {mask:15} {via:20} {interface:6} {:5}  {:4} {:3} {flags:4}{:6} {:6} \n",
                0, 0, 1, 0, 0
            )
        }
        (IpNet::V6(_), true) => format!("{:27} {via:27} {flags:5} {:3} {:7} {interface:5} \n", "default", 1, 0),
        (IpNet::V6(to), false) => {
            format!("{:27} {via:27} {flags:5} {:3} {:7} {interface:5} \n", to.to_string(), 1, 0)
        }
    }
}

const USAGE: &str = "usage: route [ -fnpqv ] cmd [[ -<qualifers> ] args ]\n";

impl Network {
    pub(super) fn route(&mut self, args: &[&str]) -> Completed {
        match args {
            ["-p", "show"] => self.show_kept(),
            ["-n", "get", "-inet6", to] => self.get(to, true),
            ["-n", "get", to] => self.get(to, false),
            ["-n", "-p", verb @ ("add" | "delete"), rest @ ..] => self.change(verb, rest, true),
            ["-n", verb @ ("add" | "delete"), rest @ ..] => self.change(verb, rest, false),
            _ => failed(1, USAGE),
        }
    }

    fn show_kept(&self) -> Completed {
        if self.kept.is_empty() {
            return printed("No persistent routes are defined\n");
        }
        let line = |route: &Route| {
            let family = if route.via.is_ipv6() { "-inet6 " } else { "" };
            let interface = self.bound.get(route).map(|interface| format!(" -ifp {interface}")).unwrap_or_default();
            match route.is_default() {
                true => format!("persistent: route add {family}default {}{interface}\n", route.via),
                false => format!("persistent: route add {family}-net {} {}{interface}\n", route.to, route.via),
            }
        };
        printed(self.kept.iter().map(line).collect::<String>())
    }

    pub(super) fn netstat(&self, args: &[&str]) -> Completed {
        let v6 = match args {
            ["-D", "-I", interface, "-f", "inet6"] => return self.client6(interface),
            ["-rnv", "-f", "inet"] => false,
            ["-rn", "-f", "inet6"] => true,
            _ => return failed(1, "usage: netstat [-anv] [-f address_family] [-T d|u]\n"),
        };
        let own = self.objects.iter().flat_map(|object| {
            let networks = object.networks(&self.prefixes).into_iter().filter(move |net| net.addr().is_ipv6() == v6);
            networks.map(|net| (Route { to: net.trunc(), via: net.addr() }, "U", object.interface()))
        });
        let bound = |route: &Route| self.bound.get(route).map_or("", String::as_str);
        let over_gateways = self.kernel.iter().filter(|route| route.via.is_ipv6() == v6);
        let rows = over_gateways.map(|route| (*route, "UG", bound(route))).chain(own);
        let rows: Vec<_> = rows.map(|(route, flags, interface)| row(&route, flags, interface)).collect();
        match (rows.is_empty(), v6) {
            // Without a route there is no table.
            (true, _) => printed(""),
            (false, false) => printed(format!("{HEADER}{}", rows.concat())),
            (false, true) => printed(format!("{HEADER6}{}", rows.concat())),
        }
    }

    /// As `dhcp_status_hdr_string` and `dhcp_status_reply_to_string` of illumos-gate's `dhcpagent_util.c` print it.
    fn client6(&self, interface: &str) -> Completed {
        let is_bound = |object: &super::network::Object| {
            object.interface() == interface && object.kind != Kind::Dhcp && object.lease.is_some()
        };
        let state = match self.informed6.contains(interface) {
            true => "INFORMATION",
            false if self.objects.iter().any(is_bound) => "BOUND",
            false => return printed(""),
        };
        printed(format!(
            "Interface  State         Sent  Recv  Declined  Flags\n{interface:10} {state:12} {:5} {:5} {:9}  [V6] \n",
            2, 2, 0
        ))
    }

    /// The longest match.
    fn get(&self, to: &str, v6: bool) -> Completed {
        let wanted = match to {
            "default" => Ok(if v6 { IpAddr::V6([0; 16].into()) } else { IpAddr::V4([0; 4].into()) }),
            address => address.parse::<IpAddr>(),
        };
        let Some(wanted) = wanted.ok().filter(|wanted| wanted.is_ipv6() == v6) else {
            return failed(1, format!("{to}: bad value\n"));
        };
        // Networks of links have the machine's own address for a gateway.
        let own = self.objects.iter().filter_map(|object| match object.kind {
            Kind::Static(net) => Some(Route { to: net.trunc(), via: net.addr() }),
            _ => None,
        });
        let matching = self.kernel.iter().copied().chain(own).filter(|route| route.to.contains(&wanted));
        let Some(route) = matching.max_by_key(|route| route.to.prefix_len()) else {
            return failed(3, format!("route: {to}: not in table\n"));
        };
        let (destination, mask) = match route.is_default() {
            true => ("default".to_owned(), "default".to_owned()),
            false => (route.to.network().to_string(), route.to.netmask().to_string()),
        };
        printed(format!(
            "   route to: {to}\ndestination: {destination}\n       mask: {mask}\n    gateway: {}\n  interface: net0\n      flags: <UP,GATEWAY,DONE,STATIC>\n",
            route.via
        ))
    }

    fn change(&mut self, verb: &str, args: &[&str], keep: bool) -> Completed {
        let (args, interface) = match args {
            [rest @ .., "-ifp", interface] => (rest, Some(*interface)),
            rest => (rest, None),
        };
        let Some(route) = parse(args) else { return failed(1, USAGE) };
        let what = if route.is_default() { "default".to_owned() } else { route.to.to_string() };
        let said = format!("{verb} net {what}: gateway {}", route.via);
        if verb == "add" {
            if self.kernel.contains(&route) {
                return failed(17, format!("{said}: entry exists\n"));
            }
            if !self.reaches(&route, interface) {
                return failed(128, format!("{said}: Network is unreachable\n"));
            }
            self.kernel.push(route);
            match interface {
                Some(interface) => drop(self.bound.insert(route, interface.to_owned())),
                None => drop(self.bound.remove(&route)),
            }
            if keep && !self.kept.contains(&route) {
                self.kept.push(route);
            }
            return printed(format!("{said}\n"));
        }
        let before = self.kernel.len();
        self.kernel.retain(|other| *other != route);
        if keep {
            self.kept.retain(|other| *other != route);
        }
        match self.kernel.len() < before {
            true => printed(format!("{said}\n")),
            false => failed(3, format!("{said}: not in table\n")),
        }
    }
}

fn parse(args: &[&str]) -> Option<Route> {
    let (v6, rest) = match args {
        ["-inet6", rest @ ..] => (true, rest),
        ["-inet", rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (to, via) = match rest {
        ["default", via] => (None, via),
        ["-net", to, via] => (Some(to.parse::<IpNet>().ok()?), via),
        _ => return None,
    };
    let via: IpAddr = via.parse().ok()?;
    let to = to.unwrap_or_else(|| everything(via));
    // A destination with host bits is refused: it is a mistake more often than not.
    (via.is_ipv6() == v6 && to.addr().is_ipv6() == v6 && to.trunc() == to).then_some(Route { to, via })
}
