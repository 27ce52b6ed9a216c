//! The plugin on simulated Linux machines where something of somebody else's is in the way, or seems to be.

use crate::linux::{DHCP, machine, shown, with_networkd};
use crate::support::Fixture;
use sysconfig_platform::Route;
use sysconfig_platform::fake::linux::Machine;
use sysconfig_platform::stack::{LinuxAddress, LinuxRoute};

/// The interface `link` with one address.
fn fixed(link: &str, address: &str) -> String {
    format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\naddresses = [\"{address}\"]\n")
}

fn route(to: &str, via: &str) -> Route {
    Route { to: to.parse().unwrap(), via: via.parse().unwrap() }
}

/// What somebody else has put on `eth1`: an address, and perhaps a route.
fn on_eth1(fixture: &Fixture<Machine>, address: &str, dynamic: bool, over: Option<LinuxRoute>) {
    fixture.machine.network(|network| {
        let index = network.links[1].index;
        let known = LinuxAddress::fixed(index, address.parse().unwrap());
        network.addresses.push(LinuxAddress { dynamic, ..known });
        network.routes.extend(over.map(|over| LinuxRoute { index, ..over }));
    });
}

/// The client that ends is that of one link, and a lease of another link stays.
#[test]
fn only_the_lease_that_ends_gives_its_address_up() {
    for mut fixture in [machine(), with_networkd()] {
        fixture.converge(DHCP);
        on_eth1(&fixture, "198.51.100.7/24", true, None);
        let (message, _) = fixture.fail(&fixed("eth0", "198.51.100.7/24"));
        assert_eq!(message, "198.51.100.7/24 is wanted on eth0, and eth1 has 198.51.100.7/24");
        assert_eq!(shown(&fixture), ["eth0 10.0.2.15/24", "eth1 198.51.100.7/24"], "nothing was changed");
    }
}

#[test]
fn a_leased_address_moves_to_another_link_once_its_client_ends() {
    for mut fixture in [machine(), with_networkd()] {
        fixture.converge(DHCP);
        let (message, _) = fixture.fail(&(DHCP.to_owned() + &fixed("eth1", "10.0.2.15/24")));
        assert_eq!(message, "10.0.2.15/24 is wanted on eth1, and eth0 has 10.0.2.15/24");
        fixture.converge(&fixed("eth1", "10.0.2.15/24"));
        assert_eq!(shown(&fixture), ["eth1 10.0.2.15/24"]);
    }
}

/// The kernel takes one route of each priority to a destination, and says of any other that there is one already.
#[test]
fn a_route_of_somebody_elses_to_the_same_place_is_refused_by_name() {
    for (address, gateway, foreign, other, help) in [
        (
            "192.0.2.10/24",
            "192.0.2.1",
            "198.51.100.7/24",
            route("0.0.0.0/0", "198.51.100.1"),
            "ip route del 0.0.0.0/0 ",
        ),
        ("2001:db8::5/64", "2001:db8::1", "2001:db8:1::7/64", route("::/0", "2001:db8:1::1"), "ip -6 route del ::/0 "),
    ] {
        let mut fixture = machine();
        let metric = LinuxRoute::metric_of(&other);
        on_eth1(&fixture, foreign, false, Some(LinuxRoute { route: other, index: 0, metric, advertised: false }));
        let text = format!("{}gateway = \"{gateway}\"\n", fixed("eth0", address));
        let (message, advice) = fixture.fail(&text);
        assert!(message.contains(&format!("is wanted over eth0, and there is {other} over eth1")), "{message}");
        assert!(advice.contains(help) && advice.ends_with("dev eth1"), "{advice}");
        assert_eq!(shown(&fixture), [format!("eth1 {foreign}")], "nothing was changed");
        fixture.machine.network(|network| network.routes.clear());
        fixture.converge(&text);
    }
}

/// One of another priority stands beside it, such as that of a DHCP client.
#[test]
fn a_route_of_another_priority_is_not_in_the_way() {
    let mut fixture = machine();
    let over = LinuxRoute { route: route("0.0.0.0/0", "198.51.100.1"), index: 0, metric: 1003, advertised: false };
    on_eth1(&fixture, "198.51.100.7/24", false, Some(over));
    fixture.converge(&format!("{}gateway = \"192.0.2.1\"\n", fixed("eth0", "192.0.2.10/24")));
    fixture.machine.network(|network| assert_eq!(network.routes.len(), 2, "{:?}", network.routes));
}

/// What a router advertises is there for a while only, also over the router that is configured; ours stands beside it.
#[test]
fn an_advertised_router_is_not_the_configured_one() {
    for router in ["fe80::1", "fe80::2"] {
        let mut fixture = machine();
        fixture.machine.network(|network| {
            let (index, metric) = (network.links[0].index, 1024);
            network.routes.push(LinuxRoute { route: route("::/0", router), index, metric, advertised: true });
            network.links[0].up = true;
        });
        let text = format!("{}gateway = \"fe80::1\"\n", fixed("eth0", "2001:db8::5/64"));
        let steps = fixture.converge(&text);
        assert!(steps.contains(&"add the route IPv6 default via fe80::1".to_owned()), "{steps:?}");
        fixture.machine.network(|network| {
            let metrics: Vec<_> = network.routes.iter().map(|known| known.metric).collect();
            assert_eq!(metrics, [1024, 512], "{:?}", network.routes);
        });
        fixture.converge("[network]\ninterface = []\n");
        fixture.machine.network(|network| assert!(network.routes.iter().all(|known| known.advertised)));
    }
}

#[test]
fn a_link_local_address_can_be_on_every_link() {
    for mut fixture in [machine(), with_networkd()] {
        on_eth1(&fixture, "fe80::1/64", false, None);
        let both = fixed("eth0", "fe80::1/64") + &fixed("eth1", "fe80::1/64");
        fixture.converge(&both);
        let mut found = shown(&fixture);
        found.sort();
        assert_eq!(found, ["eth0 fe80::1/64", "eth1 fe80::1/64"]);
    }
}

/// The addresses are on the bridge, and none on its ports.
#[test]
fn the_port_of_a_bridge_is_not_the_first_link() {
    let mut fixture = machine();
    fixture.machine.network(|network| {
        for link in &mut network.links {
            (link.up, link.running) = (true, true);
        }
        network.links[0].port_of = Some(9);
    });
    fixture.converge("[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n");
    assert_eq!(shown(&fixture), ["eth1 192.0.2.10/24"]);
}

/// A server may give out what is configured; that must not stop the plugin, also for other links. When it ends, ours is set.
#[test]
fn a_leased_address_serves_until_it_ends() {
    let mut fixture = machine();
    on_eth1(&fixture, "198.51.100.7/24", true, None);
    let both = fixed("eth0", "192.0.2.10/24") + &fixed("eth1", "198.51.100.7/24");
    fixture.converge(&both);
    let of_eth1 = |address: &LinuxAddress| address.address.to_string() == "198.51.100.7/24";
    fixture.machine.network(|network| network.addresses.retain(|address| !of_eth1(address)));
    fixture.converge(&both);
    let ours = fixture.machine.network(|network| network.addresses.iter().find(|address| of_eth1(address)).cloned());
    assert!(ours.is_some_and(|ours| !ours.dynamic), "{:?}", shown(&fixture));
}
