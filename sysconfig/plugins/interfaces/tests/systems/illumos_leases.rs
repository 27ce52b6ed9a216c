//! The plugin on a simulated illumos machine: leases of both protocols, routers beside them, and what of an address is known
//! only after a while.

use crate::illumos::{DHCP, STATIC, look, machine, server};
use crate::illumos_routes::default_routers;
use crate::support::{Fixture, config};
use std::collections::BTreeMap;
use sysconfig_platform::fake::illumos::Machine;
use sysconfig_platform::fake::illumos::network::{Kind, Server};
use sysconfig_plugin::Outcome;

pub(crate) fn server6(looks: u32) -> Server {
    let options = BTreeMap::from([
        ("2", vec!["1,1,745123456,02:08:20:AB:01:0F".to_owned()]),
        ("23", vec!["2001:db8::53".to_owned()]),
        ("24", vec!["v6.example.org.".to_owned()]),
    ]);
    Server { address: "2001:db8:6::50/64".parse().unwrap(), router: None, options, looks }
}

const DHCP6: &str = r#"
[[network.interface]]
match = { name = "e1000g0" }
addresses = ["dhcp6", "addrconf"]
lease-deadline = "1s"
"#;

#[test]
fn a_dhcp6_lease_is_waited_for_and_its_servers_are_told() {
    let mut fixture = machine();
    // An address in an advertised prefix is no lease.
    look(&fixture, |network| network.prefixes.push("2001:db8:1::9/64".parse().unwrap()));
    let (message, help) = fixture.fail(DHCP6);
    assert_eq!(message, "no DHCPv6 server has answered on e1000g0 in 1 s");
    assert!(help.contains("illumos asks only when a router says"), "{help}");
    let left = fixture.harness.plan().unwrap();
    assert_eq!(left.iter().map(|step| &*step.summary).collect::<Vec<_>>(), ["get a DHCPv6 lease for e1000g0"]);
    look(&fixture, |network| network.servers6.insert("e1000g0".to_owned(), server6(0)));
    assert_eq!(fixture.converge(DHCP6), [""; 0], "the client went on, and nothing is left to do");
    let told = fixture.harness.emitted();
    let lease = told.iter().rev().find(|event| event.topic == "dhcp.leases").unwrap();
    let expected = serde_json::json!([
        { "interface": "e1000g0", "servers": ["2001:db8::53"], "search": ["v6.example.org"], "hostname": null }
    ]);
    assert_eq!(lease.data, expected);
    let commands = fixture.machine.commands();
    assert!(commands.iter().any(|command| command == "/sbin/dhcpinfo -i e1000g0 -v 6 23"), "{commands:#?}");
}

/// A router can say that a server gives information only: the client then has the server's words, and no lease.
#[test]
fn information_of_a_dhcp6_server_is_no_lease() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.prefixes.push("2001:db8:1::9/64".parse().unwrap());
        network.servers6.insert("e1000g0".to_owned(), server6(0));
        network.informed6.insert("e1000g0".to_owned());
    });
    let (message, _) = fixture.fail(DHCP6);
    assert_eq!(message, "no DHCPv6 server has answered on e1000g0 in 1 s");
    fixture.harness.observe().unwrap();
    let told = fixture.harness.emitted();
    let lease = told.iter().rev().find(|event| event.topic == "dhcp.leases").unwrap();
    assert_eq!(lease.data[0]["servers"], serde_json::json!(["2001:db8::53"]), "what it says is used all the same");
    look(&fixture, |network| network.informed6.clear());
    assert_eq!(fixture.converge(DHCP6), [""; 0]);
}

#[test]
fn leases_of_both_protocols_are_one_word_of_their_link() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.servers.insert("e1000g0".to_owned(), server(1));
        network.servers6.insert("e1000g0".to_owned(), server6(3));
    });
    let steps = fixture.converge(&DHCP6.replace("\"addrconf\"", "\"dhcp\"").replace("1s", "10s"));
    assert_eq!(
        steps[3..],
        [
            "give the DHCP servers of e1000g0 time to answer",
            "get a DHCPv6 lease for e1000g0",
            "get a lease for e1000g0"
        ]
    );
    let told = fixture.harness.emitted();
    let lease = told.iter().rev().find(|event| event.topic == "dhcp.leases").unwrap();
    assert_eq!(lease.data[0]["servers"], serde_json::json!(["10.0.2.3", "2001:db8::53"]));
}

/// `dhcpinfo` that says that there is no lease, and one that cannot say, are different things.
#[test]
fn a_client_that_does_not_answer_is_no_lease_that_says_nothing() {
    let (_root, host, machine) = Machine::start();
    machine.network(|network| {
        network.add_link("e1000g0", 0xf);
        network.servers.insert("e1000g0".to_owned(), server(0));
        network.add_object("e1000g0/dhcp", Kind::Dhcp);
    });
    let ask = |code| {
        machine.network(|network| network.dhcpinfo_fails = code);
        sysconfig_platform::lease::leases(&host)
    };
    assert_eq!(ask(None).unwrap().len(), 1);
    for words in ["interface is not under DHCP control", "interface not in appropriate state for command"] {
        assert_eq!(ask(Some((2, words))).unwrap(), [], "{words}");
    }
    for (code, words) in [
        (4, "wait timed out, operation still pending..."),
        (2, "internal error (might work later)"),
        (2, "interface currently has a pending command (try later)"),
        (2, "ipc connection closed"),
    ] {
        let error = ask(Some((code, words))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot ask for the DHCP option DNSserv of e1000g0: the DHCP client does not answer now",
            "{words}"
        );
        assert!(error.help().unwrap().contains("dhcpagent"));
    }
    for code in [3, 6] {
        assert!(ask(Some((code, "unknown error"))).is_err(), "{code}");
    }
}

/// A DHCP client that ends, or loses its lease, takes the router with it, although somebody has configured the same one.
#[test]
fn the_configured_router_stays_when_a_lease_with_the_same_one_goes() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.servers.insert("e1000g0".to_owned(), server(2));
        let other =
            Server { router: "172.16.0.1".parse().ok(), address: "172.16.0.15/24".parse().unwrap(), ..server(0) };
        network.servers.insert("vioif1".to_owned(), other);
    });
    let with = |addresses: &str| {
        format!(
            "[[network.interface]]\nmatch = {{ name = \"e1000g0\" }}\naddresses = {addresses}\ngateway = \"10.0.2.2\"\n\
             [[network.interface]]\nmatch = {{ name = \"vioif1\" }}\naddresses = [\"dhcp\"]\n"
        )
    };
    for addresses in [r#"["10.0.2.20/24"]"#, r#"["dhcp"]"#, r#"["10.0.2.20/24"]"#, r#"["dhcp", "10.0.2.20/24"]"#] {
        fixture.converge(&with(addresses));
        assert_eq!(default_routers(&fixture), ["10.0.2.2", "172.16.0.1"], "{addresses}");
    }
    // The other link's router answers `route get`, which does not tell that ours is gone.
    look(&fixture, |network| network.end_lease("e1000g0/scdhcp"));
    assert_eq!(default_routers(&fixture), ["172.16.0.1"]);
    look(&fixture, |network| network.servers.remove("e1000g0"));
    fixture.converge(&with(r#"["10.0.2.20/24"]"#));
    assert_eq!(default_routers(&fixture), ["10.0.2.2", "172.16.0.1"]);
}

/// A route over a leased network waits for the lease.
#[test]
fn a_router_in_the_network_of_a_lease_is_set_when_the_lease_is_there() {
    let mut fixture = machine();
    look(&fixture, |network| network.servers.insert("e1000g0".to_owned(), server(4)));
    let text = format!("{DHCP}gateway = \"10.0.2.9\"\n");
    let steps = fixture.converge(&text);
    assert_eq!(steps[2..], ["get a lease for e1000g0", "add the route default via 10.0.2.9"]);
    let mut fixture = machine();
    fixture.converge(&format!("{text}optional = true\n"));
    look(&fixture, |network| network.servers.insert("e1000g0".to_owned(), server(0)));
    assert_eq!(fixture.converge(&format!("{text}optional = true\n")), ["add the route default via 10.0.2.9"]);
}

/// On every link there is such a router.
#[test]
fn a_link_local_router_is_bound_to_its_interface() {
    let mut fixture = machine();
    let text =
        "[[network.interface]]\nmatch = { name = \"e1000g0\" }\naddresses = [\"addrconf\"]\ngateway = \"fe80::1\"\n";
    fixture.converge(text);
    let steps = fixture.converge(&text.replace("e1000g0", "vioif1"));
    assert_eq!(steps[0], "delete the route IPv6 default via fe80::1 over e1000g0");
    let commands = fixture.machine.commands();
    let last = commands.iter().rfind(|command| command.contains(" add ")).unwrap();
    assert_eq!(last, "/usr/sbin/route -n -p add -inet6 default fe80::1 -ifp vioif1");
    assert_eq!(look(&fixture, |network| (network.kept.len(), network.kernel.len())), (1, 1));
    fixture.converge("[network]\ninterface = []\n");
    assert_eq!(look(&fixture, |network| (network.kept.len(), network.kernel.len())), (0, 0));
}

/// Trap 6 between the plan and the step: what somebody has made in the meantime is success only if it is what is wanted.
#[test]
fn what_appears_under_our_name_before_the_step_is_compared() {
    for (address, is_same) in [("192.0.2.10/24", true), ("192.0.2.77/24", false), ("192.0.2.10/25", false)] {
        let mut fixture = machine();
        fixture.harness.configure(config(STATIC));
        let steps = fixture.harness.plan().unwrap();
        assert_eq!(fixture.harness.apply(&steps[0]).unwrap(), Outcome::Changed);
        look(&fixture, |network| network.add_object("e1000g0/sc1", Kind::Static(address.parse().unwrap())));
        assert_eq!(
            fixture.harness.apply(&steps[0]).unwrap(),
            Outcome::Changed,
            "an interface that is there is as good"
        );
        let result = fixture.harness.apply(&steps[1]);
        match is_same {
            true => assert_eq!(result.unwrap(), Outcome::AlreadySo),
            false => {
                let error = result.unwrap_err();
                assert!(error.message.ends_with("e1000g0/sc1 is there and something else (static)"), "{error:?}");
                // And looked at anew it is put right.
                fixture.converge(STATIC);
                assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/sc1 192.0.2.10/24"]);
            }
        }
    }
}

/// Of an address that is being checked nothing is known yet; once it is known to be in use, that is told, unasked.
#[test]
fn an_address_is_tentative_until_it_is_checked() {
    let interval = std::time::Duration::from_millis(20);
    let mut fixture = Fixture::with(Machine::start(), |plugin| plugin.watching_every(interval));
    look(&fixture, |network| network.add_link("e1000g0", 0xf));
    fixture.converge(STATIC);
    look(&fixture, |network| network.objects[0].state = "tentative");
    assert_eq!(fixture.harness.plan().unwrap(), [], "there is nothing to do");
    let changes = |fixture: &mut Fixture<Machine>| {
        // Events come with the next answer.
        fixture.harness.describe();
        fixture.harness.emitted().iter().filter(|event| event.topic == "network.changed").count()
    };
    std::thread::sleep(10 * interval);
    let before = changes(&mut fixture);
    look(&fixture, |network| network.objects[0].state = "duplicate");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while changes(&mut fixture) == before {
        assert!(std::time::Instant::now() < until, "nobody has the machine looked at again");
        std::thread::sleep(interval);
    }
    assert_eq!(fixture.fail(STATIC).0, "192.0.2.10/24 on e1000g0 is in use by another machine");
    look(&fixture, |network| network.objects[0].state = "ok");
    assert_eq!(fixture.converge(STATIC), [""; 0]);
}

/// In a zone, what the global zone has set is there and not to be changed.
#[test]
fn an_address_of_the_global_zone_serves_and_stays() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.add_object("e1000g0/v4", Kind::Static("192.0.2.10/24".parse().unwrap()));
        network.objects[0].from_global_zone = true;
    });
    let text = "[[network.interface]]\nmatch = { name = \"e1000g0\" }\naddresses = [\"192.0.2.10/24\"]\n";
    assert_eq!(fixture.converge(text), [""; 0], "it is as wanted, whoever set it");
    let (message, help) = fixture.fail(&text.replace("/24", "/25"));
    assert_eq!(message, "192.0.2.10/25 is wanted on e1000g0, and e1000g0/v4 has 192.0.2.10/24");
    assert!(help.contains("global zone"), "{help}");
    fixture.converge("[network]\ninterface = []\n");
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/v4 192.0.2.10/24"]);
}
