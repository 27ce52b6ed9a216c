//! The plugin on simulated Linux machines where something of somebody else's is in the way, or seems to be.

use crate::linux::{DHCP, machine, shown, with_networkd};
use crate::support::Fixture;
use sysconfig_platform::Route;
use sysconfig_platform::fake::linux::Machine;
use sysconfig_platform::stack::{LinuxAddress, LinuxRoute, OtherRoute};

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
        on_eth1(
            &fixture,
            foreign,
            false,
            Some(LinuxRoute { route: other, index: 0, metric, advertised: false, source: None }),
        );
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
    let over = LinuxRoute {
        route: route("0.0.0.0/0", "198.51.100.1"),
        index: 0,
        metric: 1003,
        advertised: false,
        source: None,
    };
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
            network.routes.push(LinuxRoute {
                route: route("::/0", router),
                index,
                metric,
                advertised: true,
                source: None,
            });
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

/// The kernel takes the other addresses of a network off with its first one, unless it is told not to.
fn without_promotion(fixture: &Fixture<Machine>) -> impl Fn() -> String + use<> {
    let path = fixture.root.locate("/proc/sys/net/ipv4/conf/eth0/promote_secondaries");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "0\n").unwrap();
    move || std::fs::read_to_string(&path).unwrap()
}

#[test]
fn the_first_address_of_a_network_goes_alone() {
    let mut fixture = machine();
    let value = without_promotion(&fixture);
    let both = fixed("eth0", "192.0.2.10/24\", \"192.0.2.11/24") + "gateway = \"192.0.2.1\"\n";
    fixture.converge(&both);
    fixture.machine.network(|network| {
        let index = network.links[0].index;
        network.addresses.push(LinuxAddress::fixed(index, "192.0.2.99/24".parse().unwrap()));
    });
    fixture.converge(&both.replace("\"192.0.2.10/24\", ", ""));
    assert_eq!(shown(&fixture), ["eth0 192.0.2.11/24", "eth0 192.0.2.99/24"]);
    fixture.machine.network(|network| assert_eq!(network.routes.len(), 1, "{:?}", network.routes));
    fixture.converge("[network]\ninterface = []\n");
    assert_eq!(shown(&fixture), ["eth0 192.0.2.99/24"]);
    assert_eq!(value(), "0\n", "the kernel is as it was");
}

#[test]
fn a_lease_goes_alone() {
    let mut fixture = machine();
    drop(without_promotion(&fixture));
    fixture.converge(DHCP);
    fixture.converge(&DHCP.replace("\"dhcp\"", "\"dhcp\", \"10.0.2.20/24\""));
    fixture.converge(&fixed("eth0", "10.0.2.20/24"));
    assert_eq!(shown(&fixture), ["eth0 10.0.2.20/24"]);
}

/// With packets of less than 1280 bytes the kernel has no IPv6 on a link, and takes what is there.
#[test]
fn small_packets_do_not_take_the_ipv6_of_others() {
    let mut fixture = machine();
    let index = fixture.machine.network(|network| {
        let index = network.links[0].index;
        network.addresses.push(LinuxAddress::fixed(index, "2001:db8::7/64".parse().unwrap()));
        index
    });
    let text = fixed("eth0", "192.0.2.10/24") + "mtu = 1200\n";
    let (message, help) = fixture.fail(&text);
    assert_eq!(
        message,
        "eth0 cannot have an MTU of 1200: 2001:db8::7/64 is on it, which is not ours, and would be lost"
    );
    assert_eq!(help, "write 1280 or more; if it is not needed: ip address del 2001:db8::7/64 dev eth0");
    assert_eq!(shown(&fixture), ["eth0 2001:db8::7/64"], "nothing was changed");
    fixture.machine.network(|network| network.addresses.retain(|known| known.index != index));
    fixture.converge(&fixed("eth0", "2001:db8::5/64"));
    // Ours goes as it is told to.
    fixture.converge(&text);
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24"]);
    // With IPv6 again they are as large as before.
    fixture.converge(&fixed("eth0", "2001:db8::5/64"));
    assert_eq!(shown(&fixture), ["eth0 2001:db8::5/64"]);
}

/// The step would fail, and those behind it with it: so it is told before, with the way on.
#[test]
fn a_link_without_ipv6_is_told_before_anything_is_done() {
    let off = |fixture: &Fixture<Machine>| {
        let path = fixture.root.locate("/proc/sys/net/ipv6/conf/eth0/disable_ipv6");
        std::fs::write(path, "1\n").unwrap();
    };
    let small = |fixture: &Fixture<Machine>| fixture.machine.network(|network| network.links[0].mtu = 1000);
    type Interference<'a> = &'a dyn Fn(&Fixture<Machine>);
    let cases: [(Interference<'_>, bool, &str); 2] = [
        (&off, true, "IPv6 is switched off there: net.ipv6.conf.eth0.disable_ipv6 is 1"),
        (&small, false, "eth0 has an MTU of 1000, and there is no IPv6 with less than 1280"),
    ];
    for (interfere, networkd_mends, reason) in cases {
        for wish in ["2001:db8::5/64", "addrconf", "dhcp6"] {
            let text = fixed("eth0", &format!("192.0.2.10/24\", \"{wish}"));
            let mut fixture = machine();
            interfere(&fixture);
            let (message, help) = fixture.fail(&text);
            assert_eq!(message, format!("cannot configure IPv6 on eth0: {reason}"), "{wish}");
            assert!(help.ends_with("or configure no IPv6 for the link"), "{help}");
            assert_eq!(shown(&fixture), [""; 0], "nothing was changed");
            let found = fixture.harness.check(crate::support::config(&text)).unwrap();
            assert_eq!((&*found[0].key, &*found[0].message), ("network.interface[0].addresses", reason));
            // networkd switches it on.
            let mut fixture = with_networkd();
            interfere(&fixture);
            let found = fixture.harness.check(crate::support::config(&text)).unwrap();
            assert_eq!(found.is_empty(), networkd_mends, "{found:?}");
        }
    }
    let mut fixture = machine();
    small(&fixture);
    fixture.converge(&(fixed("eth0", "2001:db8::5/64") + "mtu = 1400\n"));
    assert_eq!(shown(&fixture), ["eth0 2001:db8::5/64"]);
}

/// They lead over no gateway, and are in the way all the same.
#[test]
fn a_route_without_a_gateway_to_the_same_place_is_refused_by_name() {
    for (kind, over_eth1, shown_as) in
        [("", true, "0.0.0.0/0 dev eth1"), ("", false, "0.0.0.0/0"), ("blackhole", false, "blackhole 0.0.0.0/0")]
    {
        let mut fixture = machine();
        fixture.machine.network(|network| {
            let index = over_eth1.then_some(network.links[1].index);
            let to = "0.0.0.0/0".parse().unwrap();
            network.other_routes.push(OtherRoute { to, index, metric: 0, kind: kind.to_owned(), source: None });
        });
        let text = format!("{}gateway = \"192.0.2.1\"\n", fixed("eth0", "192.0.2.10/24"));
        let (message, help) = fixture.fail(&text);
        assert_eq!(message, format!("the route default via 192.0.2.1 is wanted over eth0, and there is {shown_as}"));
        assert_eq!(help, format!("if it is not needed: ip route del {shown_as}"));
        assert_eq!(shown(&fixture), [""; 0], "nothing was changed");
        fixture.machine.network(|network| network.other_routes[0].metric = 100);
        fixture.converge(&text);
    }
}

/// The kernel takes routes off with the address that they name as their source, and with the last address of a link, whoever has set
/// them.
#[test]
fn routes_of_others_stay_or_are_named_and_given_back() {
    let text = |host: u8| fixed("eth0", &format!("192.0.2.{host}/24"));
    for (wanted, named) in [
        (text(11), vec!["10.6.0.0/16 via 192.0.2.1"]),
        ("[network]\ninterface = []\n".to_owned(), vec!["10.5.0.0/16 via 192.0.2.1", "10.6.0.0/16 via 192.0.2.1"]),
    ] {
        let mut fixture = machine();
        fixture.converge(&text(10));
        let before = fixture.machine.network(|network| {
            for (to, source) in [("10.5.0.0/16", None), ("10.6.0.0/16", "192.0.2.10".parse().ok())] {
                let route = route(to, "192.0.2.1");
                network.routes.push(LinuxRoute { route, index: 2, metric: 0, advertised: false, source });
            }
            network.routes.clone()
        });
        fixture.harness.configure(crate::support::config(&wanted));
        let steps = fixture.harness.converge().unwrap().steps;
        let changes = steps.iter().flat_map(|(step, _)| &step.changes).filter(|change| change.field == "route");
        assert_eq!(changes.filter_map(|change| change.from.as_str()).collect::<Vec<_>>(), named, "{wanted}");
        let stay: Vec<_> = before.iter().filter(|known| !named.contains(&&*known.route.to_string())).cloned().collect();
        assert_eq!(fixture.machine.network(|network| network.routes.clone()), stay, "{wanted}");
        fixture.restart();
        for (step, _) in steps.iter().rev() {
            fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        let mut routes = fixture.machine.network(|network| network.routes.clone());
        routes.sort_by_key(|known| known.route.to_string());
        assert_eq!(routes, before, "{wanted}");
    }
}

/// The kernel takes a route off with the address that it names as its source, although another address has come to the link before.
#[test]
fn a_wanted_route_that_names_the_old_address_is_there_again() {
    let mut fixture = machine();
    let text = |address: &str| format!("{}gateway = \"192.0.2.1\"\n", fixed("eth0", address));
    fixture.converge(&text("192.0.2.10/24"));
    fixture.machine.network(|network| network.routes[0].source = "192.0.2.10".parse().ok());
    fixture.converge(&text("192.0.2.11/24"));
    fixture.machine.network(|network| {
        assert_eq!(network.routes.iter().map(|known| known.source).collect::<Vec<_>>(), [None], "{:?}", network.routes);
    });
}

/// Whoever's new address another machine has keeps the old one, over which the machine can be reached.
#[test]
fn an_address_stays_until_another_one_is_there() {
    let mut fixture = machine();
    fixture.converge(&fixed("eth0", "192.0.2.10/24"));
    fixture.machine.network(|network| {
        network.has_arping = true;
        network.neighbours.push("192.0.2.11".parse().unwrap());
    });
    let (left, logs) = fixture.left_over(&fixed("eth0", "192.0.2.11/24"));
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24"]);
    assert_eq!(left.len(), 2, "{left:?}");
    let stays = "192.0.2.10/24 stays on eth0: none of the addresses that replace it is there";
    assert!(logs.iter().any(|log| log == stays), "{logs:?}");
    fixture.machine.network(|network| network.neighbours.clear());
    fixture.converge(&fixed("eth0", "192.0.2.11/24"));
    assert_eq!(shown(&fixture), ["eth0 192.0.2.11/24"]);
}
