//! illumos' routes: `route`.
//!
//! `route -p` keeps a route in `/etc/inet/static_routes`. `/etc/defaultrouter`
//! is the older way; it is looked at and never written.

mod answers;

pub use answers::{parse_default_router, parse_got, parse_kept, parse_listed};

use crate::network::{NetworkError, Route};
use crate::stack::is_link_local;
use crate::{Completed, Host, Invocation};
use answers::destination;
use ipnet::IpNet;
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
        Self { route, interface: is_link_local(route.via).then(|| interface.to_owned()) }
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

/// The command that adds a route until the next boot.
#[must_use]
pub fn add_live_command(route: &BoundRoute) -> Invocation {
    let mut command = add_command(route);
    command.args.retain(|argument| argument != "-p");
    command
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

/// The command that lists the routes of a family; those of IPv4 in the form that has their masks.
#[must_use]
pub fn list_command(v6: bool) -> Invocation {
    Invocation::new(NETSTAT, if v6 { ["-rn", "-f", "inet6"] } else { ["-rnv", "-f", "inet"] })
}

/// The kept routes.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn kept(host: &Host) -> Result<Vec<BoundRoute>, NetworkError> {
    let completed = host.run(&show_kept()).map_err(NetworkError::command("list the kept routes"))?;
    Ok(parse_kept(&completed.stdout))
}

/// Every route over a gateway of a family that the kernel has; of several to one destination [`gateway_to`] tells one.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn listed(host: &Host, v6: bool) -> Result<BTreeSet<BoundRoute>, NetworkError> {
    let completed = host.run(&list_command(v6)).map_err(NetworkError::command("list the routes"))?;
    Ok(parse_listed(&completed.stdout, v6))
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
    let result = host.run(&command).map(drop).map_err(NetworkError::command(operation()));
    if result.is_err() {
        // The kernel had it before. What went wrong is told; that this goes wrong, too, would be no news.
        drop(host.run_any(&add_live_command(route)));
    }
    result
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

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str, via: &str) -> Route {
        Route { to: to.parse().unwrap(), via: via.parse().unwrap() }
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

    /// A machine on which every program ends so.
    #[derive(Debug)]
    struct Ending(i32, &'static str);

    impl crate::Runner for Ending {
        fn run(&self, _: &Invocation) -> Result<Completed, crate::CommandError> {
            Ok(Completed { code: self.0, stdout: String::new(), stderr: self.1.to_owned() })
        }
    }

    /// A machine whose kernel has the route already, and whose file takes none.
    #[derive(Debug, Default)]
    struct WithFullDisk(std::sync::Mutex<Vec<String>>);

    impl crate::Runner for WithFullDisk {
        fn run(&self, command: &Invocation) -> Result<Completed, crate::CommandError> {
            let mut commands = self.0.lock().unwrap();
            commands.push(command.to_string());
            let (code, stderr) = match commands.len() {
                1 => (1, "add net default: gateway 192.0.2.1: entry exists\n"),
                4 => (1, "route: could not write /etc/inet/static_routes: No space left on device\n"),
                _ => (0, ""),
            };
            Ok(Completed { code, stdout: String::new(), stderr: stderr.to_owned() })
        }
    }

    #[test]
    fn a_route_that_cannot_be_kept_is_not_lost() {
        let runner = std::sync::Arc::new(WithFullDisk::default());
        let name = std::sync::Arc::new(crate::hostname::KernelNodeName);
        let host = Host::assembled(crate::System::Illumos, crate::Root::new("/nonexistent"), runner.clone(), name);
        let error = add(&host, &BoundRoute::over("net0", route("0.0.0.0/0", "192.0.2.1"))).unwrap_err();
        assert_eq!(error.to_string(), "cannot add the route default via 192.0.2.1");
        let route = "/usr/sbin/route -n";
        let commands = runner.0.lock().unwrap().clone();
        assert_eq!(
            commands,
            [
                format!("{route} -p add -inet default 192.0.2.1"),
                "/usr/sbin/route -p show".to_owned(),
                format!("{route} -p delete -inet default 192.0.2.1"),
                format!("{route} -p add -inet default 192.0.2.1"),
                format!("{route} add -inet default 192.0.2.1"),
            ]
        );
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
}
