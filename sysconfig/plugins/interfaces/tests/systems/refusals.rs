//! What `validate` refuses, and at which key.

use crate::support::{Fixture, config};
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_plugin::testing::Harness;

/// Each line: what stands in the interface, the key below it, part of the message.
const CASES: &[(&str, &str, &str)] = &[
    ("addresses = [\"192.0.2.10\"]", "addresses[0]", "the prefix length of 192.0.2.10 is missing"),
    ("addresses = [\"192.0.2.10/33\"]", "addresses[0]", "\"33\" is not a prefix length"),
    ("addresses = [\"2001:db8::5/129\"]", "addresses[0]", "\"129\" is not a prefix length"),
    ("addresses = [\"192.0.2.10/24\", \"192.0.2.0/24\"]", "addresses[1]", "it is the address of the network"),
    ("addresses = [\"192.0.2.255/24\"]", "addresses[0]", "it is the broadcast address of 192.0.2.0/24"),
    ("addresses = [\"224.0.0.1/24\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"192.0.2.10/0\"]", "addresses[0]", "the whole world"),
    ("addresses = [\"dhcpv4\"]", "addresses[0]", "is no address"),
    ("addresses = [\"dhcp\", \"dhcp\"]", "addresses[1]", "listed twice"),
    (
        "addresses = [\"192.0.2.10/24\", \"192.0.2.10/25\"]",
        "addresses[1]",
        "also set in network.interface[0].addresses[0]",
    ),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"198.51.100.1\"", "gateway", "off-link: it is not in 192.0.2.0/24"),
    ("gateway = \"198.51.100.1\"", "gateway", "off-link: the interface has no address of its family"),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.10\"", "gateway", "this machine's own address"),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.1/24\"", "gateway", "is not an address"),
    (
        "addresses = [\"dhcp\"]\ngateway = [\"192.0.2.1\", \"192.0.2.2\"]",
        "gateway[1]",
        "a second default router for IPv4",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"10.0.0.1/8\", via = \"192.0.2.2\" }]",
        "routes[0].to",
        "an address and no network",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"0.0.0.0/0\", via = \"192.0.2.2\" }]",
        "routes[0].to",
        "the default route",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"10.0.0.0/8\", via = \"172.16.0.1\" }]",
        "routes[0].via",
        "off-link",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"2001:db8::/32\", via = \"192.0.2.2\" }]",
        "routes[0]",
        "different families",
    ),
    ("mtu = 67", "mtu", "67 is less than IPv4 needs, 68"),
    ("mtu = 1279\naddresses = [\"addrconf\"]", "mtu", "1279 is less than IPv6 needs, 1280"),
    ("mtu = 65536", "mtu", "more than a packet can have"),
    ("lease-deadline = \"10\"", "lease-deadline", "is not a time"),
    ("lease-deadline = \"3m\"", "lease-deadline", "is not a time from 1s to 2m"),
    ("adresses = []", "", "unknown field `adresses`"),
    ("routes = [{ to = \"10.0.0.0/8\" }]", "routes[0]", "missing field `via`"),
];

fn on_both_systems(check: impl Fn(&mut Harness, &str)) {
    check(&mut Fixture::new(illumos::Machine::start()).harness, "net0");
    check(&mut Fixture::new(linux::Machine::start()).harness, "eth0");
}

#[test]
fn every_refusal_names_its_key() {
    on_both_systems(|harness, link| {
        for (text, key, part) in CASES {
            let text = format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\n{text}\n");
            let found = harness.validate(config(&text));
            assert_eq!(found.len(), 1, "{text}{found:?}");
            let key = if key.is_empty() { String::new() } else { format!(".{key}") };
            assert!(found[0].key.starts_with(&format!("network.interface[0]{key}")), "{text}{found:?}");
            assert!(found[0].message.contains(part), "{text}{found:?}");
        }
    });
}

#[test]
fn addresses_and_links_across_interfaces() {
    on_both_systems(|harness, link| {
        let text = format!(
            "[[network.interface]]\nmatch = {{ name = \"{link}\" }}\naddresses = [\"192.0.2.10/24\"]\n\
             [[network.interface]]\nmatch = {{ first-up = true }}\naddresses = [\"192.0.2.10/16\"]\n\
             [[network.interface]]\nmatch = {{ name = \"{link}\" }}\n"
        );
        let found = harness.validate(config(&text));
        let keys: Vec<_> = found.iter().map(|found| found.key.as_str()).collect();
        assert_eq!(keys, ["network.interface[1].addresses[0]", "network.interface[2].match"]);
        assert_eq!(found[0].message, "192.0.2.10 is also set in network.interface[0].addresses[0]");
    });
}

#[test]
fn links_are_matched_in_one_way() {
    for (selector, key, part) in [
        ("{}", "match", "exactly one way"),
        ("{ name = \"a0\", first-up = true }", "match", "exactly one way"),
        ("{ first-up = false }", "match.first-up", "matches nothing"),
        ("{ mac = \"02:08:20:ab:01\" }", "match.mac", "not a link-layer address"),
        ("{ name = \"net/0\" }", "match.name", "is not the name of a link"),
    ] {
        on_both_systems(|harness, _| {
            let found = harness.validate(config(&format!("[[network.interface]]\nmatch = {selector}\n")));
            assert_eq!(found.len(), 1, "{selector}: {found:?}");
            assert_eq!(found[0].key, format!("network.interface[0].{key}"));
            assert!(found[0].message.contains(part), "{found:?}");
        });
    }
}

#[test]
fn names_that_no_link_of_the_system_can_have() {
    let faults = |harness: &mut Harness, name: &str| {
        harness.validate(config(&format!("[[network.interface]]\nmatch = {{ name = \"{name}\" }}\n"))).len()
    };
    let mut illumos = Fixture::new(illumos::Machine::start()).harness;
    let mut linux = Fixture::new(linux::Machine::start()).harness;
    for (name, on_illumos, on_linux) in [
        ("net0", 0, 0),
        ("wlan", 1, 0),
        ("enp0s31f6", 0, 0),
        ("a_very_long_link_name0", 0, 1),
        ("a_much_longer_name_than_that0", 1, 1),
    ] {
        assert_eq!((faults(&mut illumos, name), faults(&mut linux, name)), (on_illumos, on_linux), "{name}");
    }
}

#[test]
fn what_is_right_is_not_refused() {
    on_both_systems(|harness, link| {
        for text in [
            "addresses = [\"dhcp\", \"addrconf\", \"dhcp6\"]\nlease-deadline = \"2m\"",
            "addresses = [\"192.0.2.0/31\"]\ngateway = \"192.0.2.1\"",
            "addresses = [\"2001:db8::5/64\"]\ngateway = \"fe80::1\"\nmtu = 1280",
            "addresses = [\"dhcp\"]\ngateway = \"10.0.2.2\"\noptional = true",
            "",
        ] {
            let text = format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\n{text}\n");
            assert_eq!(harness.validate(config(&text)), [], "{text}");
        }
    });
}
