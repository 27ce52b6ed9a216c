//! With systemd-networkd in charge: the real one, told over the real D-Bus.

use crate::dhcp::{DHCP, STATIC, is_leased};
use crate::world::{
    RANGE, addresses, build, config, converge, end, eventually, leases, plugin, reaches, read, serve, sh,
    start_networkd,
};
use serde_json::json;
use std::path::Path;

const OURS: &str = "/etc/systemd/network/05-sysconfig-eth0.network";
const NOTHING: &str = "[network]\ninterface = []\n";

fn build_with_networkd() {
    build();
    start_networkd();
}

/// What networkd thinks that it does with the link.
fn is_managed() -> bool {
    !sh("networkctl --no-legend list eth0").contains("unmanaged")
}

fn no_client_of_ours() {
    assert_eq!(sh("ps -e -o comm= | grep -c dhcpcd || true"), "0\n", "a link has one manager");
}

pub(crate) fn fixed_addresses_and_routes() {
    build_with_networkd();
    sh("ip -n srv addr add 10.9.0.1/16 dev lo");
    let mut harness = plugin();
    let text = r#"
        [[network.interface]]
        match = { name = "eth0" }
        addresses = ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::5/64"]
        gateway = ["192.0.2.1", "2001:db8::1"]
        routes = [{ to = "10.9.0.0/16", via = "192.0.2.1" }]
        mtu = 1400
    "#;
    converge(&mut harness, text);
    assert!(is_managed());
    assert_eq!(addresses(4), ["192.0.2.10/24", "192.0.2.11/24"]);
    assert_eq!(addresses(6), ["2001:db8::5/64"]);
    let routes = sh("ip route; ip -6 route");
    for route in ["default via 192.0.2.1 dev eth0", "10.9.0.0/16 via 192.0.2.1", "default via 2001:db8::1 dev eth0"] {
        assert!(routes.contains(route), "{route}:\n{routes}");
    }
    assert!(reaches("10.9.0.1"), "over the route");
    assert!(sh("ip link show eth0").contains("mtu 1400"));

    // What goes behind networkd's back is put back by networkd.
    for loss in [
        "ip addr del 192.0.2.11/24 dev eth0",
        "ip route del 10.9.0.0/16",
        "ip route del default",
        "ip -6 route del default",
        "ip link set eth0 mtu 1500",
    ] {
        sh(loss);
        harness.configure(config(text));
        assert_eq!(harness.plan().unwrap().len(), 1, "{loss}");
        converge(&mut harness, text);
    }

    // Another address, and nothing is left of the one before.
    converge(&mut harness, STATIC);
    assert_eq!(addresses(4), ["192.0.2.10/24"]);
    assert!(addresses(6).is_empty(), "{:?}", addresses(6));
    assert!(!sh("ip route").contains("10.9.0.0"), "{}", sh("ip route"));

    converge(&mut harness, NOTHING);
    assert!(!Path::new(OURS).exists());
    assert!(addresses(4).is_empty(), "what networkd did for us goes with our file: {:?}", addresses(4));
    assert_eq!(sh("ip route"), "");
    assert!(sh("ip link show eth0").contains("mtu 1500"));
}

pub(crate) fn static_to_dhcp_and_back() {
    build_with_networkd();
    serve("dnsmasq", RANGE);
    let mut harness = plugin();
    let before = read("/etc/resolv.conf");
    converge(&mut harness, STATIC);
    converge(&mut harness, DHCP);
    assert!(is_leased(&addresses(4)), "{:?}", addresses(4));
    assert!(sh("ip route show default").contains("via 192.0.2.1"), "the router comes with the lease");
    let told = leases(&mut harness);
    let lease = (&told[0]["interface"], &told[0]["servers"], &told[0]["search"]);
    assert_eq!(lease, (&json!("eth0"), &json!(["192.0.2.53"]), &json!(["example.org"])));
    assert_eq!(read("/etc/resolv.conf"), before, "the resolver has another owner");
    no_client_of_ours();
    converge(&mut harness, STATIC);
    assert_eq!(addresses(4), ["192.0.2.10/24"]);
    assert!(reaches("192.0.2.1"));
    assert_eq!(leases(&mut harness), json!([]));
    converge(&mut harness, DHCP);
    converge(&mut harness, NOTHING);
    assert!(addresses(4).is_empty(), "{:?}", addresses(4));
}

pub(crate) fn renewal() {
    build_with_networkd();
    serve("dnsmasq", &format!("{RANGE} --dhcp-option=option:T1,5"));
    let mut harness = plugin();
    converge(&mut harness, DHCP);
    let leased = addresses(4);
    end("dnsmasq");
    serve("dnsmasq", &format!("{} --dhcp-option=option:T1,5", RANGE.replace("192.0.2.53", "192.0.2.54")));
    eventually("the new name server", || (leases(&mut harness)[0]["servers"] == json!(["192.0.2.54"])).then_some(()));
    assert_eq!(addresses(4), leased, "the address stays");
    assert_eq!(harness.plan().unwrap(), []);
}

pub(crate) fn server_gone() {
    build_with_networkd();
    let mut harness = plugin();
    harness.configure(config(&DHCP.replace("60s", "1s")));
    let error = harness.converge().unwrap_err();
    assert_eq!(error.message, "no DHCP server has answered on eth0 in 1 s");
    assert_eq!(harness.plan().unwrap().len(), 1, "only waiting is left");
    serve("dnsmasq", RANGE);
    serve("other", &RANGE.replace("192.0.2.50,192.0.2.99", "192.0.2.60,192.0.2.69"));
    eventually("the lease", || is_leased(&addresses(4)).then_some(()));
    assert_eq!(harness.plan().unwrap(), []);
    assert_eq!(addresses(4).len(), 1, "of one of the two servers");
}

pub(crate) fn autoconfiguration_and_dhcp6() {
    build_with_networkd();
    serve("dnsmasq", "--enable-ra --dhcp-range=2001:db8::100,2001:db8::1ff,slaac,64,120 --ra-param=srv0,4,120");
    let mut harness = plugin();
    let with =
        |addresses: &str| format!("[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = {addresses}\n");
    converge(&mut harness, &with("[\"addrconf\"]"));
    eventually("an address in the advertised prefix", || {
        addresses(6).into_iter().find(|address| address.starts_with("2001:db8::") && address.contains("ff:fe"))
    });
    converge(&mut harness, &with("[\"dhcp6\"]"));
    eventually("an address of the server", || {
        addresses(6).into_iter().find(|address| address.starts_with("2001:db8::1") && address.ends_with("/128"))
    });
    assert_eq!(harness.plan().unwrap(), []);
    converge(&mut harness, NOTHING);
    assert!(addresses(6).is_empty(), "{:?}", addresses(6));
}

/// The machine of the development image: a file of its distribution configures every link.
pub(crate) fn takes_over_from_a_file_and_gives_back() {
    build_with_networkd();
    serve("dnsmasq", RANGE);
    sh(
        "printf '[Match]\\nName=eth*\\n[Network]\\nDHCP=ipv4\\n' >/etc/systemd/network/80-dhcp.network; networkctl reload",
    );
    eventually("the lease of the distribution's file", || is_leased(&addresses(4)).then_some(()));
    let mut harness = plugin();
    converge(&mut harness, STATIC);
    assert_eq!(addresses(4), ["192.0.2.10/24"], "and nothing of the lease");
    converge(&mut harness, NOTHING);
    eventually("the lease again", || is_leased(&addresses(4)).then_some(()));
    assert!(is_managed());
}

pub(crate) fn duplicate() {
    build_with_networkd();
    let mut harness = plugin();
    converge(&mut harness, STATIC);
    harness.configure(config(&STATIC.replace("192.0.2.10", "192.0.2.1").replace("gateway", "# gateway")));
    let error = harness.converge().unwrap_err();
    assert_eq!(error.message, "cannot put 192.0.2.1 on eth0");
    assert_eq!(addresses(4), ["192.0.2.10/24"], "networkd was not told");
}

/// What `--confirm-within` does when nobody confirms: each step is taken back, and the machine is as before.
pub(crate) fn undone() {
    build_with_networkd();
    let mut harness = plugin();
    converge(&mut harness, STATIC);
    let moved = STATIC.replace("192.0.2.10", "203.0.113.10").replace("192.0.2.1\"", "203.0.113.1\"");
    harness.configure(config(&moved));
    let there = harness.converge().unwrap();
    assert_eq!(addresses(4), ["203.0.113.10/24"]);
    for (step, _) in there.steps.iter().rev() {
        harness.undo(step).unwrap();
    }
    eventually("the old address", || (addresses(4) == ["192.0.2.10/24"]).then_some(()));
    eventually("its connection", || reaches("192.0.2.1").then_some(()));
    harness.configure(config(STATIC));
    assert_eq!(harness.plan().unwrap(), []);
}
