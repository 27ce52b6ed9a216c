//! What `check` misses on the machine that a configuration is to be for.

use crate::support::{Fixture, config};
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_plugin::testing::Harness;

const LINKS: [&str; 3] = ["e1000g0", "vioif0", "vioif1"];

/// A machine of each system with these links.
fn machines() -> (Fixture<illumos::Machine>, Fixture<linux::Machine>) {
    let illumos = Fixture::new(illumos::Machine::start());
    illumos.machine.network(|network| LINKS.into_iter().zip(0xa..).for_each(|(name, mac)| network.add_link(name, mac)));
    let linux = Fixture::new(linux::Machine::start());
    linux.machine.network(|network| {
        for (name, mac) in LINKS.into_iter().zip(0xa_u8..) {
            network.add_link(name);
            let link = network.links.last_mut().unwrap();
            link.mac = format!("02:08:20:ab:01:{mac:02x}").parse().ok();
            (link.min_mtu, link.max_mtu) = (68, 9000);
        }
    });
    (illumos, linux)
}

/// Keys, messages and advice, the same on both systems.
fn found(interfaces: &str) -> Vec<(String, String, String)> {
    let (mut illumos, mut linux) = machines();
    let ask = |harness: &mut Harness| {
        assert_eq!(harness.validate(config(interfaces)), [], "the text alone is right: {interfaces}");
        let found = harness.check(config(interfaces)).unwrap().into_iter();
        found.map(|found| (found.key, found.message, found.help.unwrap_or_default())).collect::<Vec<_>>()
    };
    let found = ask(&mut illumos.harness);
    assert_eq!(ask(&mut linux.harness), found);
    found
}

fn one(interfaces: &str) -> (String, String, String) {
    let mut found = found(interfaces);
    assert_eq!(found.len(), 1, "{interfaces}: {found:?}");
    found.remove(0)
}

#[test]
fn a_link_that_the_machine_does_not_have_is_named_with_the_nearest_first() {
    let known = "[[network.interface]]\nmatch = { name = \"e1000g0\" }\n";
    let (key, message, help) = one(&format!("{known}[[network.interface]]\nmatch = {{ name = \"vioif2\" }}\n"));
    assert_eq!(
        (key.as_str(), message.as_str()),
        ("network.interface[1].match.name", "this machine has no link vioif2")
    );
    assert!(help.starts_with("there is vioif0, vioif1, e1000g0; "), "{help}");
    assert!(help.contains("hotplug = true") && help.contains("--offline"), "{help}");
    assert!(one("[[network.interface]]\nmatch = { name = \"e100g0\" }\n").2.starts_with("there is e1000g0, "));

    let (key, message, help) = one("[[network.interface]]\nmatch = { mac = \"02:00:00:00:00:77\" }\n");
    assert_eq!(key, "network.interface[0].match.mac");
    assert_eq!(message, "this machine has no link with the address 02:00:00:00:00:77");
    assert!(help.contains("vioif0 with 02:08:20:ab:01:0b, vioif1 with"), "{help}");
}

#[test]
fn a_link_that_may_come_later_is_not_missed() {
    for word in ["hotplug", "optional"] {
        assert_eq!(found(&format!("[[network.interface]]\nmatch = {{ name = \"vioif2\" }}\n{word} = true\n")), []);
    }
}

#[test]
fn sizes_of_packets_are_those_of_the_driver() {
    let with = |mtu: u32| format!("[[network.interface]]\nmatch = {{ name = \"vioif1\" }}\nmtu = {mtu}\n");
    assert_eq!(found(&with(9000)), []);
    let (key, message, help) = one(&with(9001));
    assert_eq!(key, "network.interface[0].mtu");
    assert_eq!(
        (message.as_str(), help.as_str()),
        ("the driver of vioif1 does not allow an MTU of 9001", "it allows no more than 9000")
    );
}

/// One link, matched by its name and by its address: in a plan the first has it, and the second is told as absent.
#[test]
fn a_link_that_is_matched_twice() {
    let (mut illumos, mut linux) = machines();
    let text = "[[network.interface]]\nmatch = { name = \"vioif1\" }\n\
                [[network.interface]]\nmatch = { mac = \"02:08:20:ab:01:0c\" }\n";
    for harness in [&mut illumos.harness, &mut linux.harness] {
        let found = harness.check(config(text)).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].key.as_str(), found[0].message.as_str()),
            ("network.interface[1].match", "this is vioif1, and so is network.interface[0].match")
        );
        harness.configure(config(text));
        let error = harness.converge().unwrap_err();
        assert!(error.message.ends_with("besides vioif1, which another interface is about"), "{error:?}");
    }
}

#[test]
fn no_link_is_left_to_be_the_first() {
    let named = LINKS.map(|name| format!("[[network.interface]]\nmatch = {{ name = \"{name}\" }}\n")).concat();
    let (key, message, _) = one(&format!("{named}[[network.interface]]\nmatch = {{ first-up = true }}\n"));
    assert_eq!(key, "network.interface[3].match.first-up");
    assert_eq!(message, "every link of this machine is matched by another interface");
}

#[test]
fn a_machine_without_links() {
    let mut illumos = Fixture::new(illumos::Machine::start());
    let found = illumos.harness.check(config("[[network.interface]]\nmatch = { first-up = true }\n")).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].key, "network.interface[0].match.first-up");
    assert!(found[0].help.as_ref().unwrap().starts_with("there is none that could be meant; "), "{found:?}");
}

/// Bridges, bonds and VLANs share link-layer addresses with the links that they are made of.
#[test]
fn links_that_share_an_address() {
    let mac = "02:08:20:ab:01:0a";
    let by_mac = format!("[[network.interface]]\nmatch = {{ mac = \"{mac}\" }}\naddresses = [\"192.0.2.10/24\"]\n");
    let by_name = by_mac.replace(&format!("mac = \"{mac}\""), "name = \"e1000g0\"");
    // What vioif0 and vioif1 are to e1000g0, and what is meant by its address and by its name.
    type Meant = Result<&'static str, &'static str>;
    let cases: [(&[Relation], Meant, Meant); 5] = [
        (
            &[Relation::Bridge],
            Ok("vioif0"),
            Err("the link e1000g0 is a port of vioif0, which has the addresses in its place"),
        ),
        (&[Relation::Vlan], Ok("e1000g0"), Ok("e1000g0")),
        (&[Relation::Vlan, Relation::Vlan], Ok("e1000g0"), Ok("e1000g0")),
        (&[Relation::Twin], Err("is each of e1000g0, vioif0"), Ok("e1000g0")),
        (
            &[Relation::Bridge, Relation::Vlan],
            Err("is each of vioif0, vioif1"),
            Err("the link e1000g0 is a port of vioif0, which has the addresses in its place"),
        ),
    ];
    for (relations, of_mac, of_name) in cases {
        for (text, expected) in [(&by_mac, of_mac), (&by_name, of_name)] {
            let (_, mut linux) = machines();
            linux.machine.network(|network| {
                let first = network.links[0].index;
                for (at, relation) in relations.iter().enumerate() {
                    network.links[at + 1].mac = network.links[0].mac;
                    match relation {
                        Relation::Bridge => network.links[0].port_of = Some(network.links[at + 1].index),
                        Relation::Vlan => network.links[at + 1].over = Some(first),
                        Relation::Twin => {}
                    }
                }
            });
            let found = linux.harness.check(config(text)).unwrap();
            match expected {
                Ok(link) => {
                    assert_eq!(found, [], "{relations:?}");
                    linux.converge(text);
                    let shown = linux.machine.network(|network| network.shown());
                    assert_eq!(shown, [format!("{link} 192.0.2.10/24")], "{relations:?}");
                }
                Err(message) => {
                    assert!(found[0].message.ends_with(message), "{relations:?}: {found:?}");
                    assert_eq!(found[0].key, "network.interface[0].match");
                    // At work the other interfaces are configured all the same.
                    let beside =
                        "[[network.interface]]\nmatch = { name = \"other0\" }\naddresses = [\"198.51.100.7/24\"]\n";
                    linux.machine.network(|network| network.add_link("other0"));
                    let (failure, help) = linux.fail(&format!("{text}{beside}"));
                    assert!(failure.ends_with(message) && help.contains("by its name"), "{failure}: {help}");
                    let shown = linux.machine.network(|network| network.shown());
                    assert_eq!(shown, ["other0 198.51.100.7/24"], "{relations:?}");
                }
            }
        }
    }
}

#[derive(Debug)]
enum Relation {
    Bridge,
    Vlan,
    Twin,
}

#[test]
fn the_port_of_an_aggregation_has_no_addresses() {
    let (mut illumos, _) = machines();
    illumos.machine.network(|network| {
        let link = network.links.get_mut("vioif1").unwrap();
        (link.class, link.over) = ("aggr", "e1000g0,vioif0");
    });
    for selector in ["name = \"e1000g0\"", "mac = \"02:08:20:ab:01:0a\""] {
        let text = format!("[[network.interface]]\nmatch = {{ {selector} }}\naddresses = [\"192.0.2.10/24\"]\n");
        let (message, _) = illumos.fail(&text);
        assert!(message.ends_with(" a port of vioif1, which has the addresses in its place"), "{message}");
    }
}
