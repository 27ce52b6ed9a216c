//! The plugin on simulated Linux machines, with and without systemd-networkd.

use crate::support::{Fixture, config};
use std::fs;
use sysconfig_platform::fake::linux::Machine;
use sysconfig_platform::fake::linux::network::{Network, Server};
use sysconfig_platform::stack::{LinuxAddress, LinuxRoute};
use sysconfig_plugin::Outcome;

pub(crate) fn machine() -> Fixture<Machine> {
    let fixture = Fixture::new(Machine::start());
    fixture.machine.network(|network| {
        network.has_dhcpcd = true;
        network.add_link("eth0");
        network.add_link("eth1");
        network.servers.insert(
            "eth0".to_owned(),
            Server {
                address: "10.0.2.15/24".parse().unwrap(),
                router: Some("10.0.2.2".parse().unwrap()),
                dump: (
                    "domain_name_servers='10.0.2.3'\ndomain_name=example.org\n".to_owned(),
                    "DNS=10.0.2.3\nDOMAINNAME=example.org\n".to_owned(),
                ),
            },
        );
    });
    for link in ["eth0", "eth1"] {
        let directory = fixture.root.locate(format!("/proc/sys/net/ipv6/conf/{link}"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("accept_ra"), "1\n").unwrap();
    }
    fixture
}

pub(crate) fn with_networkd() -> Fixture<Machine> {
    let fixture = machine();
    fixture.machine.run_systemd(&fixture.root);
    fixture.machine.network(|network| network.has_networkd = true);
    fixture
}

pub(crate) fn shown(fixture: &Fixture<Machine>) -> Vec<String> {
    fixture.machine.network(|network: &mut Network| network.shown())
}

pub(crate) const STATIC: &str = r#"
[[network.interface]]
match = { name = "eth0" }
addresses = ["192.0.2.10/24", "2001:db8::5/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
routes = [{ to = "10.0.0.0/8", via = "192.0.2.2" }]
mtu = 1400
"#;

pub(crate) const DHCP: &str = "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp\"]\n";

/// What is said when another machine has the first fixed address.
const TAKEN: &str = "cannot put 192.0.2.10 on eth0: 192.0.2.10 is in use by another machine on eth0: give this machine, or \
                     the other one, another address";

#[test]
fn fixed_addresses_with_routes_over_netlink() {
    let mut fixture = machine();
    let steps = fixture.converge(STATIC);
    assert_eq!(
        steps,
        [
            "send packets of at most 1400 bytes over eth0",
            "ignore router advertisements on eth0",
            "switch eth0 on",
            "put 192.0.2.10/24 on eth0",
            "put 2001:db8::5/64 on eth0",
            "add the route default via 192.0.2.1",
            "add the route IPv6 default via 2001:db8::1",
            "add the route 10.0.0.0/8 via 192.0.2.2",
        ]
    );
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24", "eth0 2001:db8::5/64"]);
    let steps = fixture.converge("[network]\ninterface = []\n");
    assert_eq!(shown(&fixture), [""; 0]);
    assert!(steps.contains(&"send packets of at most 1500 bytes over eth0".to_owned()), "{steps:?}");
    assert!(steps.contains(&"listen to router advertisements on eth0".to_owned()), "{steps:?}");
    fixture.machine.network(|network| assert_eq!(network.routes, []));
}

#[test]
fn static_to_dhcp_and_back_to_the_leased_address() {
    let mut fixture = machine();
    fixture.converge(STATIC);
    fixture.converge(DHCP);
    assert_eq!(shown(&fixture), ["eth0 10.0.2.15/24"]);
    let told = fixture.harness.emitted();
    let lease = told.iter().rev().find(|event| event.topic == "dhcp.leases").unwrap();
    assert_eq!(lease.data[0]["servers"], serde_json::json!(["10.0.2.3"]));
    // The same address, but for good: the client is ended first, and would take it along.
    fixture.converge("[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"10.0.2.15/24\"]\n");
    fixture.machine.network(|network| assert!(!network.addresses[0].dynamic, "{network:?}"));
}

#[test]
fn without_a_client_the_missing_package_is_named() {
    let mut fixture = machine();
    fixture.machine.network(|network| network.has_dhcpcd = false);
    let (message, help) = fixture.fail(DHCP);
    assert_eq!(message, "cannot run DHCP on eth0");
    assert!(help.contains("dhcpcd-base"), "{help}");
}

#[test]
fn what_others_have_put_there_is_used_and_left_alone() {
    let mut fixture = machine();
    fixture.machine.network(|network| {
        for address in ["192.0.2.10/24", "203.0.113.5/24"] {
            network.addresses.push(LinuxAddress::fixed(2, address.parse().unwrap()));
        }
    });
    fixture.converge(STATIC);
    fixture.converge("[network]\ninterface = []\n");
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24", "eth0 203.0.113.5/24"]);
}

#[test]
fn a_duplicate_address_is_told() {
    let mut fixture = machine();
    fixture.machine.network(|network| network.neighbours.push("2001:db8::5".parse().unwrap()));
    fixture.harness.configure(config(STATIC));
    for step in fixture.harness.plan().unwrap() {
        fixture.harness.apply(&step).unwrap();
    }
    let (message, _) = fixture.fail(STATIC);
    assert_eq!(message, "2001:db8::5/64 on eth0 is in use by another machine");
}

#[test]
fn sizes_that_the_driver_refuses_are_told_before_anything_is_done() {
    for mut fixture in [machine(), with_networkd()] {
        let (message, help) = fixture.fail(&STATIC.replace("1400", "9001"));
        assert_eq!(message, "the driver of eth0 does not allow an MTU of 9001");
        assert_eq!(help, "it allows 68 to 9000");
        assert_eq!(shown(&fixture), [""; 0]);
    }
}

/// Somebody else's address is theirs to move; one of ours moves with its interface.
#[test]
fn an_address_on_another_link_is_a_conflict_unless_it_is_ours() {
    let on_eth1 = "[[network.interface]]\nmatch = { name = \"eth1\" }\naddresses = [\"192.0.2.10/24\"]\n";
    // NetworkManager sets fixed addresses with routes of its own to their networks.
    let cases = [(machine(), false), (machine(), true), (with_networkd(), false), (with_networkd(), true)];
    for (mut fixture, noprefixroute) in cases {
        fixture.machine.network(|network| {
            let fixed = LinuxAddress::fixed(network.links[1].index, "192.0.2.10/24".parse().unwrap());
            network.addresses.push(LinuxAddress { noprefixroute, ..fixed });
        });
        let (message, help) = fixture.fail(STATIC);
        assert_eq!(message, "192.0.2.10/24 is wanted on eth0, and eth1 has 192.0.2.10/24");
        assert!(help.contains("ip address del 192.0.2.10/24 dev eth1"), "{help}");
        assert_eq!(shown(&fixture), ["eth1 192.0.2.10/24"]);
        fixture.machine.network(|network| network.addresses.clear());
        fixture.converge(on_eth1);
        fixture.converge(&on_eth1.replace("eth1", "eth0"));
        assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24"]);
    }
}

#[test]
fn networkd_is_told_in_a_file_and_nothing_is_done_beside_it() {
    let mut fixture = with_networkd();
    let steps = fixture.converge(STATIC);
    assert_eq!(steps, ["tell systemd-networkd to configure eth0"]);
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24", "eth0 2001:db8::5/64"]);
    let file = fixture.root.locate("/etc/systemd/network/05-sysconfig-eth0.network");
    assert!(fs::read_to_string(&file).unwrap().contains("MTUBytes=1400"));
    fixture.converge(DHCP);
    assert_eq!(shown(&fixture), ["eth0 10.0.2.15/24"]);
    let told = fixture.harness.emitted();
    let lease = told.iter().rev().find(|event| event.topic == "dhcp.leases").unwrap();
    assert_eq!(lease.data[0]["search"], serde_json::json!(["example.org"]));
    assert!(!fixture.machine.commands().iter().any(|command| command.contains("dhcpcd")), "one manager");
    fixture.converge("[network]\ninterface = []\n");
    assert!(!file.exists());
    assert_eq!(shown(&fixture), [""; 0]);
}

#[test]
fn what_networkd_has_lost_is_put_back() {
    let mut fixture = with_networkd();
    fixture.converge(STATIC);
    fixture.machine.network(|network| network.addresses.clear());
    assert_eq!(fixture.converge(STATIC), ["make systemd-networkd put 192.0.2.10/24 and 2001:db8::5/64 on eth0 again"]);
    fixture.machine.network(|network| {
        network.routes.retain(|known| known.route.is_default());
        network.links.iter_mut().for_each(|link| link.mtu = 1500);
    });
    assert_eq!(
        fixture.converge(STATIC),
        ["make systemd-networkd put the route 10.0.0.0/8 via 192.0.2.2 and the MTU 1400 on eth0 again"]
    );
}

/// The route's gateway is in a network that only the lease tells.
#[test]
fn a_route_over_a_leased_network_is_expected_once_there_is_a_lease() {
    let text = DHCP
        .replace("\"dhcp\"]", "\"dhcp\"]\noptional = true\nroutes = [{ to = \"10.9.0.0/16\", via = \"10.0.2.9\" }]");
    let mut fixture = with_networkd();
    let server = fixture.machine.network(|network| network.servers.remove("eth0")).unwrap();
    assert_eq!(fixture.converge(&text), ["tell systemd-networkd to configure eth0"]);
    fixture.machine.serve(&fixture.root, "eth0", server);
    assert_eq!(shown(&fixture), ["eth0 10.0.2.15/24"]);
    fixture.machine.network(|network| network.routes.retain(|known| known.route.is_default()));
    assert_eq!(fixture.converge(&text), ["make systemd-networkd put the route 10.9.0.0/16 via 10.0.2.9 on eth0 again"]);
}

#[test]
fn networkd_is_not_told_of_an_address_of_another_machine() {
    let mut fixture = with_networkd();
    fixture.converge(DHCP);
    fixture.machine.network(|network| {
        network.has_arping = true;
        network.neighbours.push("192.0.2.10".parse().unwrap());
    });
    let (left, said) = fixture.left_over(STATIC);
    assert_eq!(left, ["still to do: tell systemd-networkd to configure eth0, where another machine had 192.0.2.10"]);
    assert_eq!(said, [TAKEN]);
    assert_eq!(shown(&fixture), ["eth0 10.0.2.15/24"], "and what was there stays");
    fixture.machine.network(|network| network.neighbours.clear());
    fixture.apply_configured();
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24", "eth0 2001:db8::5/64"]);
}

#[test]
fn a_machine_that_changes_to_networkd_has_one_manager_all_the_same() {
    let mut fixture = machine();
    fixture.converge(DHCP);
    fixture.machine.run_systemd(&fixture.root);
    fixture.machine.network(|network| network.has_networkd = true);
    let steps = fixture.converge(DHCP);
    assert_eq!(steps[0], "end DHCP on eth0");
    fixture.machine.network(|network| network.has_networkd = false);
    let steps = fixture.converge(DHCP);
    assert_eq!(steps[0], "tell systemd-networkd nothing of eth0 any more");
}

#[test]
fn every_step_can_be_undone() {
    for mut fixture in [machine(), with_networkd()] {
        fixture.converge(DHCP);
        let before = shown(&fixture);
        fixture.harness.configure(config(STATIC));
        let steps = fixture.harness.converge().unwrap().steps;
        assert_ne!(shown(&fixture), before);
        for (step, _) in steps.iter().rev() {
            fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        assert_eq!(shown(&fixture), before);
    }
}

/// With the last address of its network the kernel takes a route off, which no step had said: undoing brought the address
/// back, and the machine could not be reached from elsewhere.
#[test]
fn what_is_undone_has_its_routes_again() {
    let server = |fixture: &Fixture<Machine>| {
        fixture.machine.network(|network| network.servers.get_mut("eth0").unwrap().router = None);
    };
    let wanted = |addresses: &str| {
        format!("{}routes = [{{ to = \"10.77.0.0/16\", via = \"10.0.2.9\" }}]\n", with_router(addresses))
    };
    let addresses = ["[\"10.0.2.5/24\"]", "[\"10.0.2.6/24\"]", "[\"dhcp\"]"];
    for (before, after) in [(0, 1), (0, 2), (2, 0)] {
        let mut fixture = machine();
        server(&fixture);
        fixture.converge(&wanted(addresses[before]));
        let look = |fixture: &Fixture<Machine>| {
            let mut routes: Vec<_> = fixture.machine.network(|network| network.routes.clone());
            routes.retain(LinuxRoute::may_be_ours);
            routes.sort_by_key(|known| known.route.to_string());
            (shown(fixture), routes)
        };
        let present = look(&fixture);
        assert_eq!(present.1.len(), 2);
        fixture.harness.configure(config(&wanted(addresses[after])));
        let steps = fixture.harness.converge().unwrap().steps;
        assert_ne!(look(&fixture), present);
        assert_eq!(look(&fixture).1, present.1, "the same routes, over another address");
        for (step, outcome) in steps.iter().rev() {
            // As the daemon does it: what was so already is not undone.
            if *outcome == Outcome::Changed {
                fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
            }
        }
        assert_eq!(look(&fixture), present, "{} to {}", addresses[before], addresses[after]);
    }
}

#[test]
fn an_ipv4_address_of_another_machine_is_not_put_on_the_link_where_arping_can_ask() {
    let mut fixture = machine();
    let text = "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\n";
    fixture.machine.network(|network| {
        network.has_arping = true;
        network.neighbours.push("192.0.2.10".parse().unwrap());
    });
    let (left, said) = fixture.left_over(text);
    assert_eq!(left, ["still to do: put 192.0.2.10/24 on eth0, which another machine had"]);
    assert_eq!(said, [TAKEN]);
    assert_eq!(shown(&fixture), [""; 0]);
    fixture.machine.network(|network| network.neighbours.clear());
    fixture.apply_configured();
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24"]);
    let probes = |fixture: &Fixture<Machine>| {
        let commands = fixture.machine.commands();
        commands.iter().filter(|command| command.contains("arping -D")).count()
    };
    assert_eq!(probes(&fixture), 2);
    fixture.apply_configured();
    assert_eq!(probes(&fixture), 2, "what is there already is not asked for: we would answer ourselves");
}

/// A router of the leases' network that is also configured.
fn with_router(addresses: &str) -> String {
    format!(
        "[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = {addresses}\ngateway = \"10.0.2.2\"\n\
         lease-deadline = \"5s\"\n"
    )
}

/// Found by `convergence`: the kernel drops the route with the leased address, and it would not have been added again.
#[test]
fn the_configured_router_stays_when_a_lease_with_the_same_one_goes() {
    let mut fixture = machine();
    for addresses in [r#"["10.0.2.20/24"]"#, r#"["dhcp"]"#, r#"["10.0.2.20/24"]"#, r#"["dhcp", "10.0.2.20/24"]"#] {
        fixture.converge(&with_router(addresses));
        fixture.machine.network(|network| {
            let ours = network.routes.iter().filter(|known| known.metric == 0).map(|known| known.route.to_string());
            assert_eq!(ours.collect::<Vec<_>>(), ["default via 10.0.2.2"], "{addresses}");
        });
    }
}

/// Found by `convergence`: a link-local router is one on the link before as well.
#[test]
fn a_route_moves_with_its_interface_to_another_link() {
    let mut fixture = machine();
    let text =
        "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"2001:db8::5/64\"]\ngateway = \"fe80::1\"\n";
    fixture.converge(text);
    let steps = fixture.converge(&text.replace("eth0", "eth1"));
    assert_eq!(steps[0], "delete the route IPv6 default via fe80::1");
    fixture.machine.network(|network| {
        assert_eq!(network.routes.iter().map(|known| known.index).collect::<Vec<_>>(), [3], "{:?}", network.routes);
    });
}
