//! IPv6.

use crate::world::{NOTHING, addresses, build, config, converge, eventually, leases, plugin, serve, sh};
use serde_json::json;
use sysconfig_plugin::testing::Harness;

/// A lease, and then the advertised prefix, on a machine that `begin` makes.
pub(crate) fn both_on(begin: fn()) -> Harness {
    begin();
    serve(
        "dnsmasq",
        "--enable-ra --dhcp-range=2001:db8::100,2001:db8::1ff,slaac,64,120 --ra-param=srv0,4,120 \
         --dhcp-option=option6:dns-server,[2001:db8::53] --dhcp-option=option6:domain-search,v6.example.org",
    );
    let mut harness = plugin();
    let with =
        |addresses: &str| format!("[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = {addresses}\n");
    // A step waits for the lease, so it is there afterwards.
    converge(&mut harness, &(with("[\"dhcp6\"]") + "lease-deadline = \"60s\"\n"));
    let leased = |address: &String| address.starts_with("2001:db8::1") && address.ends_with("/128");
    assert!(addresses(6).iter().any(leased), "{:?}", addresses(6));
    assert!(addresses(6).iter().all(leased), "and nothing of the advertised prefix: {:?}", addresses(6));
    eventually("the server's words", || {
        let told = leases(&mut harness);
        let words = (&told[0]["servers"], &told[0]["search"]);
        (words == (&json!(["2001:db8::53"]), &json!(["v6.example.org"]))).then_some(())
    });
    converge(&mut harness, &with("[\"addrconf\"]"));
    let made = eventually("an address in the advertised prefix", || {
        addresses(6).into_iter().find(|address| address.starts_with("2001:db8::") && address.contains("ff:fe"))
    });
    assert!(made.ends_with("/64"), "{made}");
    assert!(!addresses(6).iter().any(leased), "{:?}", addresses(6));
    assert_eq!(harness.plan().unwrap(), []);
    harness
}

pub(crate) fn autoconfiguration_and_dhcp6() {
    let mut harness = both_on(build);
    converge(&mut harness, NOTHING);
    assert!(!addresses(6).iter().any(|address| address.ends_with("/128")), "{:?}", addresses(6));
}

/// A DHCPv6 lease that never ends.
pub(crate) fn endless() {
    endless_on(build);
}

/// The same on a machine that `begin` makes.
pub(crate) fn endless_on(begin: fn()) {
    begin();
    serve(
        "dnsmasq",
        "--enable-ra --dhcp-range=2001:db8::100,2001:db8::1ff,64,infinite --ra-param=srv0,4,120 \
         --dhcp-option=option6:dns-server,[2001:db8::53]",
    );
    let mut harness = plugin();
    converge(
        &mut harness,
        "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp6\"]\nlease-deadline = \"60s\"\n",
    );
    assert!(sh("ip -6 addr show dev eth0 scope global").contains("valid_lft forever"), "{}", sh("ip -6 addr"));
    eventually("the server's words", || (leases(&mut harness)[0]["servers"] == json!(["2001:db8::53"])).then_some(()));
    assert_eq!(harness.plan().unwrap(), []);
    converge(&mut harness, NOTHING);
    assert!(!addresses(6).iter().any(|address| address.ends_with("/128")), "{:?}", addresses(6));
}

pub(crate) fn duplicate() {
    build();
    sh("ip -n srv addr add 2001:db8::5/64 dev srv0 nodad");
    let mut harness = plugin();
    harness.configure(config("[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"2001:db8::5/64\"]\n"));
    let left = harness.converge().unwrap().diagnostics;
    let told: Vec<_> = left.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(told, ["still to do: use 2001:db8::5/64 on eth0, which another machine has"]);
    assert!(sh("ip -6 addr show dev eth0").contains("dadfailed"));
    let error = harness.converge().unwrap_err();
    assert_eq!(error.message, "2001:db8::5/64 on eth0 is in use by another machine");
}
