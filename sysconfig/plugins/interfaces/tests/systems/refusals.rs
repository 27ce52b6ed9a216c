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
    ("addresses = [\"2001:db8::/64\"]", "addresses[0]", "it is the address of the network 2001:db8::/64"),
    ("addresses = [\"224.0.0.1/24\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"ff02::1/64\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"127.0.0.2/8\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"::1/128\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"0.0.0.0/24\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"0.1.2.3/24\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"::/64\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"255.255.255.255/32\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"::ffff:192.0.2.10/128\"]", "addresses[0]", "not the address of a single machine"),
    ("addresses = [\"2001:db8::5/0\"]", "addresses[0]", "the whole world"),
    ("addresses = [\"192.0.2.10/-1\"]", "addresses[0]", "\"-1\" is not a prefix length"),
    ("addresses = [\"192.0.2.10/255.255.255.0\"]", "addresses[0]", "\"255.255.255.0\" is not a prefix length"),
    ("addresses = [\"192.0.2.10/0\"]", "addresses[0]", "the whole world"),
    ("addresses = [\"dhcpv4\"]", "addresses[0]", "is no address"),
    ("addresses = [\"10.8.0.012/24\"]", "addresses[0]", "is no address"),
    (
        "addresses = [\"10.8.0.12/24\"]\nroutes = [{ to = \"10.010.0.0/16\", via = \"10.8.0.1\" }]",
        "routes[0].to",
        "is no network with its prefix length",
    ),
    ("addresses = [\"dhcp\", \"dhcp\"]", "addresses[1]", "listed twice"),
    (
        "addresses = [\"192.0.2.10/24\", \"192.0.2.10/25\"]",
        "addresses[1]",
        "also set in network.interface[0].addresses[0]",
    ),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"198.51.100.1\"", "gateway", "off-link: it is not in 192.0.2.0/24"),
    ("gateway = \"198.51.100.1\"", "gateway", "off-link: the interface has no address of its family"),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"2001:db8::1\"", "gateway", "has no address of its family"),
    ("addresses = [\"2001:db8::5/64\"]\ngateway = \"2001:db8:1::1\"", "gateway", "it is not in 2001:db8::/64"),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"fe80::1\"", "gateway", "has no address of its family"),
    ("addresses = [\"dhcp\"]\ngateway = \"fe80::1\"", "gateway", "has no address of its family"),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.10\"", "gateway", "this machine's own address"),
    ("addresses = [\"fe80::5/64\"]\ngateway = \"fe80::5\"", "gateway", "this machine's own address"),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.0\"", "gateway", "the address of the network 192.0.2.0/24"),
    ("addresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.255\"", "gateway", "the broadcast address of 192.0.2.0/24"),
    ("addresses = [\"dhcp\"]\ngateway = \"224.0.0.1\"", "gateway", "not the address of a router"),
    ("addresses = [\"dhcp\"]\ngateway = \"127.0.0.1\"", "gateway", "not the address of a router"),
    ("addresses = [\"dhcp\"]\ngateway = \"0.0.0.0\"", "gateway", "not the address of a router"),
    ("addresses = [\"dhcp\"]\ngateway = \"255.255.255.255\"", "gateway", "not the address of a router"),
    ("addresses = [\"addrconf\"]\ngateway = \"ff02::1\"", "gateway", "not the address of a router"),
    ("addresses = [\"addrconf\"]\ngateway = \"::1\"", "gateway", "not the address of a router"),
    ("addresses = [\"addrconf\"]\ngateway = \"fe80::1%net0\"", "gateway", "is not an address"),
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
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"192.0.2.0/24\", via = \"192.0.2.2\" }]",
        "routes[0].to",
        "the network of 192.0.2.10",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"127.0.0.0/8\", via = \"192.0.2.2\" }]",
        "routes[0].to",
        "no network of other machines",
    ),
    (
        "addresses = [\"2001:db8::5/64\"]\nroutes = [{ to = \"ff00::/8\", via = \"2001:db8::2\" }]",
        "routes[0].to",
        "no network of other machines",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"10.0.0.0/8\", via = \"192.0.2.255\" }]",
        "routes[0].via",
        "the broadcast address",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"10.0.0.0\", via = \"192.0.2.2\" }]",
        "routes[0].to",
        "is no network with its prefix length",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"10.0.0.0/8\", via = \"router\" }]",
        "routes[0].via",
        "is no address",
    ),
    (
        "addresses = [\"192.0.2.10/24\"]\nroutes = [{ to = \"10.0.0.0/8\", via = \"192.0.2.2\" }, \
         { to = \"10.0.0.0/8\", via = \"192.0.2.3\" }]",
        "routes[1].to",
        "another route to 10.0.0.0/8, network.interface[0].routes[0]",
    ),
    ("mtu = 0", "mtu", "0 is less than IPv4 needs, 68"),
    ("mtu = 67", "mtu", "67 is less than IPv4 needs, 68"),
    ("mtu = 1279\naddresses = [\"addrconf\"]", "mtu", "1279 is less than IPv6 needs, 1280"),
    ("mtu = 1279\naddresses = [\"dhcp6\"]", "mtu", "1279 is less than IPv6 needs, 1280"),
    ("mtu = 1279\naddresses = [\"2001:db8::5/64\"]", "mtu", "1279 is less than IPv6 needs, 1280"),
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

/// Each line: the second interface, the key of it and the only message; the first has 192.0.2.10/24, fe80::1/64 and routes.
const ACROSS: &[(&str, &str, &str)] = &[
    (
        "addresses = [\"fe80::1/64\", \"192.0.2.10/25\"]",
        "addresses[1]",
        "192.0.2.10 is also set in network.interface[0].addresses[0]",
    ),
    (
        "addresses = [\"198.51.100.5/24\"]\ngateway = \"198.51.100.1\"",
        "gateway",
        "a second default router for IPv4; network.interface[0].gateway is the first",
    ),
    (
        "addresses = [\"dhcp\"]\nroutes = [{ to = \"172.16.0.0/12\", via = \"192.0.2.10\" }]",
        "routes[0].via",
        "192.0.2.10 is this machine's own address",
    ),
    (
        "addresses = [\"dhcp\"]\nroutes = [{ to = \"10.0.0.0/8\", via = \"198.51.100.1\" }]",
        "routes[0].to",
        "there is another route to 10.0.0.0/8, network.interface[0].routes[0]",
    ),
    (
        "addresses = [\"dhcp\"]\nroutes = [{ to = \"192.0.2.0/24\", via = \"198.51.100.1\" }]",
        "routes[0].to",
        "192.0.2.0/24 is the network of 192.0.2.10, and is reached without a gateway",
    ),
];

#[test]
fn what_two_interfaces_cannot_both_have() {
    on_both_systems(|harness, link| {
        for (text, key, message) in ACROSS {
            let text = format!(
                "[[network.interface]]\nmatch = {{ name = \"{link}\" }}\naddresses = [\"192.0.2.10/24\", \"fe80::1/64\"]\n\
                 gateway = \"192.0.2.1\"\nroutes = [{{ to = \"10.0.0.0/8\", via = \"192.0.2.2\" }}]\n\
                 [[network.interface]]\nmatch = {{ first-up = true }}\n{text}\n"
            );
            let found = harness.validate(config(&text));
            assert_eq!(found.len(), 1, "{text}{found:?}");
            assert_eq!(
                (&*found[0].key, &*found[0].message),
                (&*format!("network.interface[1].{key}"), *message),
                "{text}"
            );
            assert!(found[0].is_error());
        }
    });
}

/// It can be meant, so it is told and done.
#[test]
fn two_links_in_one_network_are_a_warning() {
    on_both_systems(|harness, link| {
        let found = harness.validate(config(&format!(
            "[[network.interface]]\nmatch = {{ name = \"{link}\" }}\naddresses = [\"192.0.2.10/24\"]\n\
             [[network.interface]]\nmatch = {{ first-up = true }}\naddresses = [\"192.0.2.11/24\"]\n"
        )));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, "network.interface[1].addresses");
        assert!(
            !found[0].is_error()
                && found[0].message.starts_with("192.0.2.0/24 is also a network of network.interface[0]")
        );
    });
}

#[test]
fn one_link_however_it_is_written() {
    for (first, second) in [
        ("first-up = true", "first-up = true"),
        ("mac = \"02:08:20:AB:01:0F\"", "mac = \"2-8-20-ab-1-f\""),
        ("name = \"net0\"", "name = \"net0\""),
    ] {
        on_both_systems(|harness, _| {
            let text =
                [first, second].map(|selector| format!("[[network.interface]]\nmatch = {{ {selector} }}\n")).concat();
            let found = harness.validate(config(&text));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(
                (&*found[0].key, &*found[0].message),
                ("network.interface[1].match", "the same link as in network.interface[0].match")
            );
        });
    }
}

#[test]
fn more_addresses_than_a_link_is_given() {
    let list = |most: u8| (1..=most).map(|host| format!("\"10.0.0.{host}/24\"")).collect::<Vec<_>>().join(", ");
    on_both_systems(|harness, link| {
        let with = |most| {
            config(&format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\naddresses = [{}]\n", list(most)))
        };
        assert_eq!(harness.validate(with(99)), []);
        let found = harness.validate(with(100));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&*found[0].key, &*found[0].message), ("network.interface[0].addresses", "more than 99 addresses"));
    });
}

#[test]
fn links_are_matched_in_one_way() {
    for (selector, key, part) in [
        ("{}", "match", "exactly one way"),
        ("{ name = \"a0\", first-up = true }", "match", "exactly one way"),
        ("{ first-up = false }", "match.first-up", "matches nothing"),
        ("{ mac = \"02:08:20:ab:01\" }", "match.mac", "not a link-layer address"),
        ("{ mac = \"01:00:5e:00:00:01\" }", "match.mac", "of no single link"),
        ("{ mac = \"0:0:0:0:0:0\" }", "match.mac", "of no single link"),
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
        ("lo", 1, 1),
        ("lo0", 1, 0),
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
            "addresses = [\"192.0.2.1/32\", \"2001:db8::/127\", \"2001:db8:1::1/128\"]",
            "addresses = [\"2001:db8::5/64\"]\ngateway = \"fe80::1\"\nmtu = 1280",
            "addresses = [\"addrconf\"]\ngateway = \"fe80::1\"",
            "mtu = 68",
            "mtu = 65535",
            "addresses = [\"dhcp\"]\ngateway = \"10.0.2.2\"\noptional = true",
            "",
        ] {
            let text = format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\n{text}\n");
            assert_eq!(harness.validate(config(&text)), [], "{text}");
        }
    });
}
