//! illumos' routes: `route`.
//!
//! `route -p` keeps a route in `/etc/inet/static_routes`. `/etc/defaultrouter`
//! is the older way; it is looked at and never written.

use crate::network::{NetworkError, Route, everything};
use crate::{Completed, Host, Invocation};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ROUTE: &str = "/usr/sbin/route";
const NETSTAT: &str = "/usr/bin/netstat";
/// The file of the older way to set default routers.
pub const DEFAULT_ROUTER: &str = "/etc/defaultrouter";
/// Exit status for a destination without a route (`ESRCH`).
const NO_ROUTE: i32 = 3;
/// So many smaller networks one behind the other are passed over to see a larger one.
const SMALLER_NETWORKS: usize = 64;

/// A route as it is kept: with the interface that it is bound to, when it is. A link-local gateway is one on every
/// link, and leads nowhere without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BoundRoute {
    /// The route.
    #[serde(flatten)]
    pub route: Route,
    /// The interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl BoundRoute {
    /// A route over `interface`, bound to it when it has to be.
    #[must_use]
    pub fn over(interface: &str, route: Route) -> Self {
        let needs_it = matches!(route.via, IpAddr::V6(via) if via.is_unicast_link_local());
        Self { route, interface: needs_it.then(|| interface.to_owned()) }
    }
}

impl fmt::Display for BoundRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{} over {interface}", self.route),
            None => self.route.fmt(f),
        }
    }
}

fn change(verb: &str, bound: &BoundRoute) -> Invocation {
    let route = &bound.route;
    let family = if route.via.is_ipv6() { "-inet6" } else { "-inet" };
    let mut args = vec!["-n".to_owned(), "-p".to_owned(), verb.to_owned(), family.to_owned()];
    if route.is_default() {
        args.push("default".to_owned());
    } else {
        args.extend(["-net".to_owned(), route.to.to_string()]);
    }
    args.push(route.via.to_string());
    if let Some(interface) = &bound.interface {
        args.extend(["-ifp".to_owned(), interface.clone()]);
    }
    Invocation::new(ROUTE, args)
}

/// The command that adds a route and keeps it.
#[must_use]
pub fn add_command(route: &BoundRoute) -> Invocation {
    change("add", route)
}

/// The command that deletes a route and forgets it.
#[must_use]
pub fn delete_command(route: &BoundRoute) -> Invocation {
    change("delete", route)
}

/// The command that lists the kept routes.
#[must_use]
pub fn show_kept() -> Invocation {
    Invocation::new(ROUTE, ["-p", "show"])
}

/// The command that asks the kernel for the route to an address in `to`; it answers with the longest match.
#[must_use]
pub fn get_command(to: &IpNet, address: IpAddr) -> Invocation {
    let destination = if to.prefix_len() == 0 { "default".to_owned() } else { address.to_string() };
    let mut args = vec!["-n", "get"];
    if to.addr().is_ipv6() {
        args.push("-inet6");
    }
    Invocation::new(ROUTE, args.into_iter().map(str::to_owned).chain([destination]))
}

/// The command that lists the routes of a family.
#[must_use]
pub fn list_command(v6: bool) -> Invocation {
    Invocation::new(NETSTAT, ["-rn", "-f", if v6 { "inet6" } else { "inet" }])
}

/// The default routers in the output of [`list_command`]: the rows `default GATEWAY FLAGS …`.
#[must_use]
pub fn parse_default_routers(output: &str) -> BTreeSet<IpAddr> {
    let gateway = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "default")?;
        words.next().and_then(without_scope)
    };
    output.lines().filter_map(gateway).collect()
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
fn destination(output: &str) -> Option<IpNet> {
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

/// The kept routes.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn kept(host: &Host) -> Result<Vec<BoundRoute>, NetworkError> {
    let completed = host.run(&show_kept()).map_err(NetworkError::command("list the kept routes"))?;
    Ok(parse_kept(&completed.stdout))
}

/// Every default router of a family that the kernel has; [`gateway_to`] tells one of them.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn default_routers(host: &Host, v6: bool) -> Result<BTreeSet<IpAddr>, NetworkError> {
    let completed = host.run(&list_command(v6)).map_err(NetworkError::command("list the routes"))?;
    Ok(parse_default_routers(&completed.stdout))
}

/// The gateway of exactly the route to `to`, as the kernel has it; `None` when it has none.
///
/// The kernel takes addresses and not networks, and answers with the longest match. Where that is a smaller network in
/// `to`, the first address behind it is asked for.
///
/// # Errors
/// [`NetworkError::Command`] and [`NetworkError::Answer`].
pub fn gateway_to(host: &Host, to: &IpNet) -> Result<Option<IpAddr>, NetworkError> {
    let mut address = to.network();
    for _ in 0..SMALLER_NETWORKS {
        let Some(output) = ask(host, to, address)? else { return Ok(None) };
        // A route of an interface has no numeric gateway of another machine, and another network is another route.
        if let Some(route) = parse_got(&output).filter(|route| route.to == to.trunc()) {
            return Ok(Some(route.via));
        }
        let hidden_by = destination(&output).filter(|network| network.prefix_len() > to.prefix_len());
        let Some(next) = hidden_by.and_then(|network| after(&network)).filter(|next| to.contains(next)) else {
            return Ok(None);
        };
        address = next;
    }
    Ok(None)
}

/// The address behind the last one of a network.
fn after(network: &IpNet) -> Option<IpAddr> {
    match network.broadcast() {
        IpAddr::V4(last) => u32::from(last).checked_add(1).map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(last) => u128::from(last).checked_add(1).map(|next| Ipv6Addr::from(next).into()),
    }
}

/// What the kernel says of the route to an address; nothing when there is none.
fn ask(host: &Host, to: &IpNet, address: IpAddr) -> Result<Option<String>, NetworkError> {
    let operation = || format!("ask for the route to {to}");
    let command = get_command(to, address);
    let completed = host.run_any(&command).map_err(NetworkError::command(operation()))?;
    if completed.code == NO_ROUTE {
        return Ok(None);
    }
    let output = completed.success(&command).map_err(NetworkError::command(operation()))?.stdout;
    if field_is_missing(&output) {
        return Err(NetworkError::Answer { operation: operation(), answer: output });
    }
    Ok(Some(output))
}

fn field_is_missing(output: &str) -> bool {
    !output.lines().any(|line| line.trim_start().starts_with("destination:"))
}

/// Adds a route and keeps it; one that is there already is kept, too.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn add(host: &Host, route: &BoundRoute) -> Result<(), NetworkError> {
    let operation = || format!("add the route {route}");
    let command = add_command(route);
    let completed = host.run_any(&command).map_err(NetworkError::command(operation()))?;
    if !says(&completed, "entry exists") {
        return completed.success(&command).map(drop).map_err(NetworkError::command(operation()));
    }
    if kept(host)?.contains(route) {
        return Ok(());
    }
    // The kernel had it and the file did not, for example from a DHCP client; only a route that is new is kept.
    delete(host, route)?;
    host.run(&command).map(drop).map_err(NetworkError::command(operation()))
}

/// Deletes a route and forgets it; one that is not there is forgotten, too.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn delete(host: &Host, route: &BoundRoute) -> Result<(), NetworkError> {
    let operation = || format!("delete the route {route}");
    let command = delete_command(route);
    let completed = host.run_any(&command).map_err(NetworkError::command(operation()))?;
    if says(&completed, "not in table") && !kept(host)?.contains(route) {
        return Ok(());
    }
    completed.success(&command).map(drop).map_err(NetworkError::command(operation()))
}

fn says(completed: &Completed, text: &str) -> bool {
    completed.stdout.contains(text) || completed.stderr.contains(text)
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

    #[test]
    fn a_link_local_gateway_is_bound_to_its_interface() {
        let bound = BoundRoute::over("net0", route("::/0", "fe80::1"));
        let words = "/usr/sbin/route -n -p add -inet6 default fe80::1 -ifp net0";
        assert_eq!(add_command(&bound).to_string(), words);
        assert_eq!(delete_command(&bound).to_string(), words.replace("add", "delete"));
        let free = BoundRoute::over("net0", route("2001:db8:1::/48", "2001:db8::1"));
        assert_eq!(add_command(&free).to_string(), "/usr/sbin/route -n -p add -inet6 -net 2001:db8:1::/48 2001:db8::1");
    }

    /// In the form of illumos-gate's `netstat`.
    #[test]
    fn every_default_router_is_listed() {
        let output = "\nRouting Table: IPv4\n  Destination           Gateway           Flags  Ref     Use     Interface \n\
            -------------------- -------------------- ----- ----- ---------- --------- \n\
            default              10.0.2.2             UG        2          0 net0      \n\
            default              192.0.2.1            UG        1          0           \n\
            10.0.2.0             10.0.2.15            U         2          0 net0      \n";
        let routers: Vec<_> = parse_default_routers(output).into_iter().map(|router| router.to_string()).collect();
        assert_eq!(routers, ["10.0.2.2", "192.0.2.1"]);
        let v6 = "Routing Table: IPv6\n  Destination/Mask            Gateway                   Flags Ref   Use    If   \n\
            default                     fe80::1%net0                UG      1       0 net0    \n";
        assert_eq!(parse_default_routers(v6), BTreeSet::from(["fe80::1".parse().unwrap()]));
    }

    /// A machine on which every program ends so.
    #[derive(Debug)]
    struct Ending(i32, &'static str);

    impl crate::Runner for Ending {
        fn run(&self, _: &Invocation) -> Result<Completed, crate::CommandError> {
            Ok(Completed { code: self.0, stdout: String::new(), stderr: self.1.to_owned() })
        }
    }

    /// That there is no route is an answer; everything else that fails is not.
    #[test]
    fn what_route_get_says_instead_of_an_answer() {
        let ask = |code, words| {
            let name = std::sync::Arc::new(crate::hostname::KernelNodeName);
            let runner = std::sync::Arc::new(Ending(code, words));
            let host = Host::assembled(crate::System::Illumos, crate::Root::new("/nonexistent"), runner, name);
            gateway_to(&host, &"10.0.0.0/8".parse().unwrap())
        };
        assert_eq!(ask(3, "route: 10.0.0.0: not in table\n").unwrap(), None);
        for (code, words) in [
            (1, "route: socket: Permission denied\n"),
            (128, "route: writing to routing socket: Network is unreachable\n"),
            (0, ""),
        ] {
            let error = ask(code, words).unwrap_err();
            assert!(error.to_string().contains("ask for the route to 10.0.0.0/8"), "{code}: {error}");
        }
    }

    #[test]
    fn default_routers_of_the_older_way() {
        assert_eq!(parse_default_router("# ours\n192.0.2.1 # first\n\nrouter\n"), ["192.0.2.1", "router"]);
    }
}
