//! One link in trouble, and the others beside it.

use crate::linux::{DHCP, machine, shown, with_networkd};
use crate::support::config;
use sysconfig_platform::fake::linux::network::Server;

const BOTH: &str = r#"
[[network.interface]]
match = { name = "eth0" }
addresses = ["192.0.2.10/24"]
gateway = "192.0.2.1"
[[network.interface]]
match = { name = "eth1" }
addresses = ["198.51.100.10/24"]
routes = [{ to = "10.0.0.0/8", via = "198.51.100.1" }]
"#;

#[test]
fn an_address_of_another_machine_on_the_first_link_keeps_nothing_from_the_second() {
    for mut fixture in [machine(), with_networkd()] {
        fixture.machine.network(|network| {
            network.has_arping = true;
            network.neighbours.push("192.0.2.10".parse().unwrap());
            // Whom a link that is off leads to cannot be asked.
            (network.links[0].up, network.links[0].running) = (true, true);
        });
        let (left, said) = fixture.left_over(BOTH);
        assert_eq!(shown(&fixture), ["eth1 198.51.100.10/24"]);
        fixture.machine.network(|network| assert_eq!(network.routes.len(), 1, "{:?}", network.routes));
        assert!(left[0].contains("eth0") && left[0].contains("which another machine had") || left[0].contains("where"));
        assert!(said[0].contains("192.0.2.10 is in use by another machine on eth0"), "{said:?}");
        fixture.machine.network(|network| network.neighbours.clear());
        fixture.apply_configured();
        fixture.machine.network(|network| assert_eq!(network.routes.len(), 2, "{:?}", network.routes));
    }
}

#[test]
fn a_link_without_a_signal_is_left_to_networkd_and_the_others_are_configured() {
    let mut fixture = with_networkd();
    fixture.machine.network(|network| assert!(network.unplugged.insert("eth0".to_owned())));
    let (left, _) = fixture.left_over(BOTH);
    assert_eq!(left, ["still to do: use eth0, which has no signal"]);
    assert_eq!(shown(&fixture), ["eth1 198.51.100.10/24"]);
    let began = fixture.machine.commands().len();
    let (message, help) = fixture.fail(BOTH);
    assert_eq!(message, "eth0 has no signal, and systemd-networkd puts its addresses on it when there is one");
    assert!(help.contains("cable"), "{help}");
    let again: Vec<_> = fixture.machine.commands().split_off(began);
    assert!(!again.iter().any(|command| command.contains("networkctl re")), "networkd knows it already: {again:?}");
    fixture.converge(&BOTH.replace("gateway", "optional = true\ngateway"));
    fixture.machine.network(|network| network.plug_in("eth0", &fixture.root));
    fixture.converge(BOTH);
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24", "eth1 198.51.100.10/24"]);
}

/// The routes over the lease that comes are set.
#[test]
fn a_lease_that_never_comes_keeps_no_route_from_another_one() {
    let text = r#"
[[network.interface]]
match = { name = "eth1" }
addresses = ["dhcp"]
gateway = "10.7.0.9"
lease-deadline = "2s"
[[network.interface]]
match = { name = "absent0" }
addresses = ["203.0.113.7/24"]
[[network.interface]]
match = { name = "eth0" }
addresses = ["dhcp"]
routes = [{ to = "10.9.0.0/16", via = "10.0.2.9" }]
lease-deadline = "2s"
"#;
    let mut fixture = machine();
    let (message, _) = fixture.fail(text);
    assert_eq!(message, "no DHCP server has answered on eth1 in 2 s");
    assert_eq!(shown(&fixture), ["eth0 10.0.2.15/24"]);
    fixture.machine.network(|network| {
        let routes: Vec<_> = network.routes.iter().map(|known| known.route.to_string()).collect();
        assert!(routes.contains(&"10.9.0.0/16 via 10.0.2.9".to_owned()), "{routes:?}");
    });
    let left: Vec<_> = fixture.harness.plan().unwrap().into_iter().map(|step| step.summary).collect();
    assert_eq!(
        left,
        [
            "get a lease for eth1",
            "add the route default via 10.7.0.9",
            "configure the link absent0, which is not there"
        ]
    );
}

/// Only what is alone in waiting fails at its place.
#[test]
fn a_missing_link_keeps_no_lease_from_the_others() {
    let mut fixture = machine();
    let text = format!("[[network.interface]]\nmatch = {{ name = \"absent0\" }}\n{DHCP}gateway = \"10.0.2.9\"\n");
    let (message, _) = fixture.fail(&text);
    assert_eq!(message, "there is no link absent0");
    fixture.machine.network(|network| {
        assert!(network.routes.iter().any(|known| known.route.via.to_string() == "10.0.2.9"), "{:?}", network.routes);
    });
}

/// networkd removes what somebody has set by hand; what it is told to set itself it takes over.
#[test]
fn the_plan_tells_what_networkd_removes() {
    let mut fixture = with_networkd();
    fixture.machine.network(|network| {
        let index = network.links[0].index;
        for (address, dynamic) in
            [("192.0.2.10/24", false), ("203.0.113.5/24", false), ("10.5.0.9/24", true), ("fe80::9/64", true)]
        {
            let fixed = sysconfig_platform::stack::LinuxAddress::fixed(index, address.parse().unwrap());
            network.addresses.push(sysconfig_platform::stack::LinuxAddress { dynamic, ..fixed });
        }
        let route =
            sysconfig_platform::Route { to: "10.6.0.0/16".parse().unwrap(), via: "203.0.113.1".parse().unwrap() };
        network.routes.push(sysconfig_platform::stack::LinuxRoute {
            route,
            index,
            metric: 0,
            advertised: false,
            source: None,
        });
    });
    fixture.harness.configure(crate::support::config(BOTH));
    let steps = fixture.harness.plan().unwrap();
    let gone: Vec<_> = steps[0].changes.iter().filter(|change| change.to.is_null()).collect();
    let gone: Vec<_> = gone.iter().map(|change| (&*change.field, change.from.as_str().unwrap_or_default())).collect();
    let route = "10.6.0.0/16 via 203.0.113.1";
    assert_eq!(gone, [("address", "203.0.113.5/24"), ("address", "10.5.0.9/24"), ("route", route)]);
    fixture.apply_configured();
    assert_eq!(shown(&fixture), ["eth0 fe80::9/64", "eth0 192.0.2.10/24", "eth1 198.51.100.10/24"]);
}

/// networkd is being restarted, or has not come to its turn at boot: the links are its own, and it hears of them as soon as
/// it can.
#[test]
fn a_networkd_that_starts_or_ends_is_in_charge() {
    for states in [["activating", "activating", "activating"], ["deactivating", "activating", "activating"]] {
        let mut fixture = with_networkd();
        fixture.converge(BOTH);
        fixture.machine.network(|network| network.networkd_changes.extend(states));
        let steps = fixture.converge(&BOTH.replace("192.0.2.10/", "192.0.2.11/"));
        assert_eq!(steps, ["tell systemd-networkd to configure eth0"]);
        assert_eq!(shown(&fixture), ["eth0 192.0.2.11/24", "eth1 198.51.100.10/24"]);
        assert!(!fixture.machine.commands().iter().any(|command| command.contains("dhcpcd")));
    }
}

/// Where systemd runs and does not answer, nobody knows whose the links are.
#[test]
fn a_systemd_that_does_not_answer_is_no_absence_of_networkd() {
    let mut fixture = with_networkd();
    fixture.converge(BOTH);
    fixture.machine.network(|network| network.systemd_is_dumb = true);
    let (message, _) = fixture.fail(BOTH);
    assert_eq!(message, "cannot find out whether systemd-networkd runs");
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24", "eth1 198.51.100.10/24"]);
}

/// The server is gone after it gave a lease: networkd keeps that until it ends.
#[test]
fn a_server_that_is_gone_after_its_lease_leaves_nothing_to_do() {
    for mut fixture in [machine(), with_networkd()] {
        fixture.converge(DHCP);
        let server: Option<Server> = fixture.machine.network(|network| network.servers.remove("eth0"));
        assert!(server.is_some());
        assert_eq!(fixture.converge(DHCP), [""; 0]);
    }
}

/// A client takes another configuration by ending, and giving its lease back.
#[test]
fn a_client_that_cannot_be_started_anew_goes_on_as_before() {
    let mut fixture = machine();
    let dump = ("dhcp6_name_servers=2001:db8::53\n".to_owned(), String::new());
    let server = Server { address: "2001:db8::50/128".parse().unwrap(), router: None, dump };
    fixture.machine.network(|network| drop(network.servers6.insert("eth0".to_owned(), server)));
    let text = DHCP.replace("\"dhcp\"", "\"dhcp6\"");
    fixture.converge(&text);
    fixture.machine.network(|network| network.dhcpcd_fails = 1);
    let (message, _) = fixture.fail(&text.replace("\"dhcp6\"", "\"dhcp6\", \"addrconf\""));
    assert_eq!(message, "cannot run DHCPv6 on eth0");
    assert_eq!(shown(&fixture), ["eth0 2001:db8::50/128"]);
    assert_eq!(fixture.converge(&text), [""; 0], "it is that of before");
}

const FIRST_UP: &str = "[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n";

/// At boot the links are off, and none has a signal. That keeps no other interface from its addresses.
#[test]
fn the_first_link_with_a_signal_is_looked_for_where_all_are_off() {
    for mut fixture in [machine(), with_networkd()] {
        fixture.machine.network(|network| {
            network.add_link("eth2");
            network.add_link("eth3");
            assert!(network.unplugged.insert("eth0".to_owned()));
        });
        let named = "[[network.interface]]\nmatch = { name = \"eth3\" }\naddresses = [\"198.51.100.7/24\"]\n";
        let steps = fixture.converge(&format!("{FIRST_UP}{named}"));
        let looking = "look which of eth0, eth1, eth2 has a signal, to configure it then".to_owned();
        assert!(steps.contains(&looking), "{steps:?}");
        let mut found = shown(&fixture);
        found.sort();
        assert_eq!(found, ["eth1 192.0.2.10/24", "eth3 198.51.100.7/24"]);
        let on: Vec<_> = fixture.machine.network(|network| network.links.iter().map(|link| link.up).collect());
        assert_eq!(on, [false, true, false, true], "what is not used is as before");
    }
}

#[test]
fn where_no_link_has_a_signal_the_first_by_name_is_taken_in_the_end() {
    let mut fixture = machine();
    fixture.machine.network(|network| network.unplugged.extend(["eth0".to_owned(), "eth1".to_owned()]));
    fixture.converge(FIRST_UP);
    assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24"]);
    // It stays the one.
    fixture.machine.network(|network| network.plug_in("eth1", &fixture.root));
    assert_eq!(fixture.converge(FIRST_UP), [""; 0]);
}

#[test]
fn looking_for_a_signal_is_undone() {
    let mut fixture = machine();
    fixture.harness.configure(crate::support::config(FIRST_UP));
    let step = fixture.harness.plan().unwrap().remove(0);
    fixture.harness.apply(&step).unwrap();
    fixture.harness.undo(&step).unwrap();
    fixture.machine.network(|network| assert!(network.links.iter().all(|link| !link.up)));
    assert_eq!(fixture.harness.plan().unwrap().remove(0).summary, step.summary, "nothing is chosen");
}

/// networkd's file outlives a reboot, and the record does not.
/// Where no link has a signal, the first by name is a guess, which another one with a signal ends.
#[test]
fn a_guess_ends_with_a_signal_elsewhere() {
    for reboots in [false, true] {
        let mut fixture = with_networkd();
        let unplugged = ["eth0", "eth1"].map(str::to_owned);
        fixture.machine.network(|network| network.unplugged.extend(unplugged));
        fixture.harness.configure(config(FIRST_UP));
        for _ in 0..2 {
            let steps = fixture.harness.plan().unwrap();
            steps.iter().for_each(|step| drop(fixture.harness.apply(step)));
        }
        let file =
            std::fs::read_to_string(fixture.root.locate("/etc/systemd/network/05-sysconfig-eth0.network")).unwrap();
        assert!(!file.contains("the first link with a signal"), "{file}");
        if reboots {
            std::fs::remove_file(fixture.root.locate("/run/sysconfig/interfaces.json")).unwrap();
        }
        fixture.machine.network(|network| {
            network.plug_in("eth1", &fixture.root);
            (network.links[1].up, network.links[1].running) = (true, true);
        });
        fixture.converge(FIRST_UP);
        assert_eq!(shown(&fixture), ["eth1 192.0.2.10/24"]);
    }
}

#[test]
fn the_choice_of_a_link_survives_a_reboot_with_networkd() {
    let mut fixture = with_networkd();
    fixture.machine.network(|network| assert!(network.unplugged.insert("eth0".to_owned())));
    fixture.converge(FIRST_UP);
    assert_eq!(shown(&fixture), ["eth1 192.0.2.10/24"]);
    std::fs::remove_file(fixture.root.locate("/run/sysconfig/interfaces.json")).unwrap();
    fixture.machine.network(|network| {
        network.plug_in("eth0", &fixture.root);
        (network.links[0].up, network.links[0].running) = (true, true);
    });
    fixture.converge(FIRST_UP);
    assert_eq!(shown(&fixture), ["eth1 192.0.2.10/24"]);
}

/// Whoever ends between the file and the word to networkd is followed by one that sees a file as it should be, of which networkd
/// knows nothing.
#[test]
fn a_file_that_networkd_was_not_told_of_is_told() {
    let fixed = |address: &str| DHCP.replace("dhcp", address);
    let cases = [
        (DHCP.to_owned(), vec!["eth0 10.0.2.15/24"]),
        (fixed("192.0.2.11/24"), vec!["eth0 192.0.2.11/24"]),
        (fixed("addrconf"), vec![]),
        ("[network]\ninterface = []\n".to_owned(), vec![]),
    ];
    for (text, expected) in cases {
        let mut fixture = with_networkd();
        fixture.converge(&fixed("192.0.2.10/24"));
        fixture.machine.network(|network| network.networkctl_fails = 1);
        let (message, _) = fixture.fail(&text);
        assert_eq!(message, "cannot make systemd-networkd read its files");
        assert_eq!(shown(&fixture), ["eth0 192.0.2.10/24"]);
        fixture.apply_configured();
        assert_eq!(shown(&fixture), expected, "{text}");
    }
}

/// networkd takes the name in its file for a pattern.
#[test]
fn a_link_whose_name_is_a_pattern_is_not_told_to_networkd() {
    let mut fixture = with_networkd();
    fixture.machine.network(|network| network.links[0].name = "e*".to_owned());
    let (message, help) = fixture.fail(&DHCP.replace("eth0", "e*"));
    assert_eq!(message, "systemd-networkd would take the name e* for a pattern of several links' names");
    assert_eq!(help, "give the link another name: ip link set e* name NAME");
}

/// After a boot another link may have the name.
#[test]
fn networkd_is_told_of_a_link_by_its_address_when_it_is_known_by_that() {
    let mut fixture = with_networkd();
    fixture.converge(&DHCP.replace("name = \"eth0\"", "mac = \"52:54:00:12:34:02\""));
    let path = fixture.root.locate("/etc/systemd/network/05-sysconfig-eth0.network");
    let file = std::fs::read_to_string(path).unwrap();
    assert!(file.contains("[Match]\nName=eth0\nMACAddress=52:54:00:12:34:02\n"), "{file}");
}
