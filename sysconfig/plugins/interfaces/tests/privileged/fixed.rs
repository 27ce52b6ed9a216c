//! Fixed addresses, routes and links.

use crate::world::{NOTHING, RANGE, addresses, build, config, converge, eventually, plugin, reaches, serve, sh};
use std::time::Duration;
use sysconfig_platform::Host;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_interfaces::InterfacesPlugin;

/// Everything that can be fixed about a link.
pub(crate) const FIXED: &str = r#"
    [[network.interface]]
    match = { name = "eth0" }
    addresses = ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::5/64"]
    gateway = ["192.0.2.1", "2001:db8::1"]
    routes = [{ to = "10.9.0.0/16", via = "192.0.2.1" }]
    mtu = 1400
"#;

/// Makes it so on a machine that `begin` makes, and looks.
pub(crate) fn fixed_on(begin: fn()) -> Harness {
    begin();
    sh("ip -n srv addr add 10.9.0.1/16 dev lo");
    let mut harness = plugin();
    converge(&mut harness, FIXED);
    assert_eq!(addresses(4), ["192.0.2.10/24", "192.0.2.11/24"]);
    assert_eq!(addresses(6), ["2001:db8::5/64"]);
    let routes = sh("ip route; ip -6 route");
    for route in ["default via 192.0.2.1 dev eth0", "10.9.0.0/16 via 192.0.2.1", "default via 2001:db8::1 dev eth0"] {
        assert!(routes.contains(route), "{route}:\n{routes}");
    }
    assert!(reaches("10.9.0.1"), "over the route");
    eventually("IPv6", || reaches("2001:db8::1").then_some(()));
    assert!(sh("ip link show eth0").contains("mtu 1400"));
    harness
}

pub(crate) fn fixed_addresses_and_routes() {
    let mut harness = fixed_on(build);
    assert_eq!(sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra"), "0\n", "nobody asked for autoconfiguration");

    // Somebody else's address stays, and what is gone is put back.
    sh("ip addr add 203.0.113.5/24 dev eth0; ip addr del 192.0.2.11/24 dev eth0; ip route del 10.9.0.0/16");
    converge(&mut harness, FIXED);
    converge(&mut harness, NOTHING);
    assert_eq!(addresses(4), ["203.0.113.5/24"]);
    assert!(sh("ip link show eth0").contains("mtu 1500"));
    assert_eq!(sh("ip route"), "203.0.113.0/24 dev eth0 proto kernel scope link src 203.0.113.5 \n");
}

/// The first by name that has a signal, and it stays the one.
pub(crate) fn first_up() {
    build();
    sh("ip link add a0 type veth peer name a1; ip link add z0 type veth peer name z1; ip link set z1 up");
    sh("ip link set eth0 up; ip link set z0 up; ip link set a0 up");
    eventually("the signals", || {
        let lines = sh("ip -o link show up");
        let has =
            |name: &str| lines.lines().any(|line| line.contains(&format!(" {name}@")) && line.contains("LOWER_UP"));
        (has("eth0") && has("z0") && !has("a0")).then_some(())
    });
    let mut harness = plugin();
    let text = "[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n";
    converge(&mut harness, text);
    assert_eq!(addresses(4), ["192.0.2.10/24"], "a0 has no signal, and z0 comes later");
    // Neither another link with a signal nor the loss of its own moves the machine's address.
    sh("ip link set a1 up; ip -n srv link set srv0 down");
    converge(&mut harness, text);
    assert_eq!(addresses(4), ["192.0.2.10/24"]);
    let beside =
        format!("{text}[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [\"198.51.100.7/24\"]\n");
    converge(&mut harness, &beside);
    assert_eq!(addresses(4), ["198.51.100.7/24"], "what is named is not the first of the others");
    assert!(sh("ip -4 addr show dev a0").contains("192.0.2.10/24"));
}

pub(crate) fn late_link() {
    build();
    let mut harness = plugin();
    harness.configure(config(
        "[[network.interface]]\nmatch = { mac = \"02:00:00:00:00:77\" }\naddresses = [\"198.51.100.7/24\"]\n",
    ));
    let error = harness.converge().unwrap_err();
    assert_eq!(error.message, "there is no link with the address 02:00:00:00:00:77");
    sh("ip link add late0 address 02:00:00:00:00:77 type veth peer name late1");
    eventually("the wish to have the machine looked at again", || {
        // Events come with the next answer.
        harness.describe();
        harness.emitted().iter().any(|event| event.topic == "network.changed").then_some(())
    });
    harness.converge().unwrap();
    assert!(sh("ip -4 addr show dev late0").contains("198.51.100.7/24"));
    assert_eq!(harness.plan().unwrap(), []);
}

/// A driver that starts anew makes its link anew, as bare as at first, before anybody has seen that it was gone.
pub(crate) fn link_made_anew() {
    build();
    let make = "ip link add again0 type veth peer name again1; ip link set again1 up; ip link set again0 up";
    sh(make);
    let mut harness =
        Harness::start(InterfacesPlugin::new(Host::current().unwrap()).watching_every(Duration::from_millis(1500)));
    converge(&mut harness, "[[network.interface]]\nmatch = { name = \"again0\" }\naddresses = [\"198.51.100.7/24\"]\n");
    let changes = |harness: &mut Harness| {
        harness.describe();
        harness.emitted().iter().filter(|event| event.topic == "network.changed").count()
    };
    // The thread has looked by now.
    std::thread::sleep(Duration::from_secs(4));
    let before = changes(&mut harness);
    sh(&format!("ip link del again0; {make}"));
    eventually("the wish to have the machine looked at again", || (changes(&mut harness) > before).then_some(()));
    harness.converge().unwrap();
    assert!(sh("ip -4 addr show dev again0").contains("198.51.100.7/24"));
    assert_eq!(harness.plan().unwrap(), []);
}

/// Where the kernel has no IPv6 on a link, it says that one may not.
pub(crate) fn without_ipv6() {
    build();
    sh("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
    let mut harness = plugin();
    let wanted = config(
        "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"2001:db8::5/64\", \"192.0.2.10/24\"]\n",
    );
    harness.configure(wanted.clone());
    let found = harness.check(wanted).unwrap();
    assert_eq!(found[0].key, "network.interface[0].addresses");
    assert_eq!(found[0].message, "IPv6 is switched off there: net.ipv6.conf.eth0.disable_ipv6 is 1");
    let error = harness.converge().unwrap_err();
    assert!(error.message.ends_with("net.ipv6.conf.eth0.disable_ipv6 is 1"), "{}", error.message);
    assert!(addresses(4).is_empty(), "nothing was changed: {:?}", addresses(4));
    sh("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0");
    harness.converge().unwrap();
    assert_eq!(harness.plan().unwrap(), []);
}

/// The kernel does not look whether somebody has an IPv4 address; arping does.
pub(crate) fn duplicate() {
    build();
    let mut harness = plugin();
    let with =
        |address: &str| format!("[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [\"{address}\"]\n");
    harness.configure(config(&with("192.0.2.1/24")));
    let left = harness.converge().unwrap().diagnostics;
    assert_eq!(left[0].message, "still to do: put 192.0.2.1/24 on eth0, which another machine had");
    let said = harness.logs().into_iter().find(|log| log.message.starts_with("cannot put 192.0.2.1 on eth0"));
    assert!(said.is_some_and(|log| log.message.contains("is in use by another machine on eth0")));
    assert!(addresses(4).is_empty(), "{:?}", addresses(4));
    converge(&mut harness, &with("192.0.2.10/24"));
    assert!(reaches("192.0.2.1"));
}

/// The kernel takes the other addresses of a network off with its first one, and the routes with the last one.
pub(crate) fn the_first_address_goes_alone() {
    build();
    sh("sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0");
    let mut harness = plugin();
    let with = |addresses: &str| {
        format!(
            "[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [{addresses}]\ngateway = \"192.0.2.1\"\n"
        )
    };
    converge(&mut harness, &with("\"192.0.2.10/24\", \"192.0.2.11/24\""));
    sh("ip addr add 192.0.2.99/24 dev eth0");
    converge(&mut harness, &with("\"192.0.2.11/24\""));
    assert_eq!(addresses(4), ["192.0.2.11/24", "192.0.2.99/24"]);
    assert!(reaches("192.0.2.1"));
    converge(&mut harness, NOTHING);
    assert_eq!(addresses(4), ["192.0.2.99/24"], "that of somebody else stays");
    assert_eq!(sh("sysctl -n net.ipv4.conf.eth0.promote_secondaries"), "0\n");
    // A lease that ends takes nothing along, either.
    serve("dnsmasq", RANGE);
    sh("ip addr flush dev eth0");
    converge(&mut harness, &with("\"dhcp\""));
    converge(&mut harness, &with("\"dhcp\", \"192.0.2.10/24\""));
    converge(&mut harness, &with("\"192.0.2.10/24\""));
    assert_eq!(addresses(4), ["192.0.2.10/24"]);
    assert!(reaches("192.0.2.1"));
}

/// With packets of less than 1280 bytes the kernel has no IPv6 on a link, and gives nothing back.
pub(crate) fn small_packets() {
    build();
    let mut harness = plugin();
    let small = "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\nmtu = 1200\n";
    sh("ip link set eth0 up; ip addr add 2001:db8::7/64 dev eth0 nodad");
    harness.configure(config(small));
    let error = harness.plan().unwrap_err();
    assert!(error.message.starts_with("eth0 cannot have an MTU of 1200: 2001:db8::7/64 is on it"), "{}", error.message);
    sh("ip addr del 2001:db8::7/64 dev eth0");
    converge(&mut harness, small);
    let wanted = "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"2001:db8::5/64\"]\n";
    converge(&mut harness, wanted);
    assert_eq!(addresses(6), ["2001:db8::5/64"]);
    // Somebody else's size is theirs.
    converge(&mut harness, NOTHING);
    sh("ip link set eth0 mtu 1000");
    harness.configure(config(wanted));
    let error = harness.plan().unwrap_err();
    assert!(error.message.ends_with("eth0 has an MTU of 1000, and there is no IPv6 with less than 1280"), "{error:?}");
    converge(&mut harness, &format!("{wanted}mtu = 1400\n"));
    assert_eq!(addresses(6), ["2001:db8::5/64"]);
}
