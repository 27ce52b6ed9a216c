//! illumos' routes: `route`.
//!
//! `route -p` keeps a route in `/etc/inet/static_routes`. `/etc/defaultrouter`
//! is the older way; it is looked at and never written.

use crate::network::{NetworkError, Route, everything};
use crate::{Completed, Host, Invocation};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ROUTE: &str = "/usr/sbin/route";
/// The file of the older way to set default routers.
pub const DEFAULT_ROUTER: &str = "/etc/defaultrouter";
/// Exit status for a destination without a route (`ESRCH`).
const NO_ROUTE: i32 = 3;
/// So many smaller networks one behind the other are passed over to see a larger one.
const SMALLER_NETWORKS: usize = 64;

fn change(verb: &str, route: &Route) -> Invocation {
    let family = if route.via.is_ipv6() { "-inet6" } else { "-inet" };
    let mut args = vec!["-n".to_owned(), "-p".to_owned(), verb.to_owned(), family.to_owned()];
    if route.is_default() {
        args.push("default".to_owned());
    } else {
        args.extend(["-net".to_owned(), route.to.to_string()]);
    }
    args.push(route.via.to_string());
    Invocation::new(ROUTE, args)
}

/// The command that adds a route and keeps it.
#[must_use]
pub fn add_command(route: &Route) -> Invocation {
    change("add", route)
}

/// The command that deletes a route and forgets it.
#[must_use]
pub fn delete_command(route: &Route) -> Invocation {
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

/// Parses the output of [`show_kept`]: lines `persistent: route add [-inet6] [-net] DEST GATEWAY`. Lines of other
/// forms, such as the sentence that there are none, are nobody's routes.
#[must_use]
pub fn parse_kept(output: &str) -> Vec<Route> {
    output.lines().filter_map(|line| parse_kept_line(line.strip_prefix("persistent:")?)).collect()
}

fn parse_kept_line(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "add").skip(1).peekable();
    let mut v6 = false;
    while let Some(flag) = words.next_if(|word| word.starts_with('-')) {
        match flag {
            "-inet6" => v6 = true,
            "-inet" | "-net" | "-host" => {}
            // What else there may be binds the route to an interface or the like; ours never do.
            _ => return None,
        }
    }
    let destination = words.next()?;
    let via: IpAddr = words.next()?.parse().ok()?;
    // A host route to an address is written without its prefix length.
    let to = match destination {
        "default" if v6 == via.is_ipv6() => everything(via),
        text => text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?,
    };
    // A word behind would be a netmask or an option that changes the meaning.
    (words.next().is_none() && to.addr().is_ipv6() == via.is_ipv6()).then_some(Route { to: to.trunc(), via })
}

/// Parses the block that [`get_command`] prints: the route that the kernel would take, with its real destination.
#[must_use]
pub fn parse_got(output: &str) -> Option<Route> {
    let via: IpAddr = field(output, "gateway")?.parse().ok()?;
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
pub fn kept(host: &Host) -> Result<Vec<Route>, NetworkError> {
    let completed = host.run(&show_kept()).map_err(NetworkError::command("list the kept routes"))?;
    Ok(parse_kept(&completed.stdout))
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
pub fn add(host: &Host, route: &Route) -> Result<(), NetworkError> {
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
pub fn delete(host: &Host, route: &Route) -> Result<(), NetworkError> {
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

    #[test]
    fn kept_routes() {
        let output = "persistent: route add default 192.0.2.1\npersistent: route add -inet6 default fe80::1\n\
                      persistent: route add -net 10.0.0.0/8 192.0.2.2\npersistent: route add -host 198.51.100.7 192.0.2.2\n\
                      persistent: route add -ifp net0 default 192.0.2.9\npersistent: route add default gw.example.org\n";
        assert_eq!(
            parse_kept(output),
            [
                route("0.0.0.0/0", "192.0.2.1"),
                route("::/0", "fe80::1"),
                route("10.0.0.0/8", "192.0.2.2"),
                route("198.51.100.7/32", "192.0.2.2"),
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
    fn default_routers_of_the_older_way() {
        assert_eq!(parse_default_router("# ours\n192.0.2.1 # first\n\nrouter\n"), ["192.0.2.1", "router"]);
    }
}
