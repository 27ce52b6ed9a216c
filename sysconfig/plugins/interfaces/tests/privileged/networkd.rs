//! With systemd-networkd in charge: the real one, told over the real D-Bus.

use crate::dhcp::{self, DHCP, STATIC, assert_told, is_leased};
use crate::fixed::{self, FIXED};
use crate::ipv6;
use crate::world::{
    NOTHING, RANGE, addresses, build, config, converge, eventually, leases, plugin, reaches, read, serve, sh,
    start_networkd,
};
use serde_json::json;
use std::path::Path;

const OURS: &str = "/etc/systemd/network/05-sysconfig-eth0.network";

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
    let mut harness = fixed::fixed_on(build_with_networkd);
    assert!(is_managed());

    // What goes behind networkd's back is put back by networkd.
    for loss in [
        "ip addr del 192.0.2.11/24 dev eth0",
        "ip route del 10.9.0.0/16",
        "ip route del default",
        "ip -6 route del default",
        "ip link set eth0 mtu 1500",
    ] {
        sh(loss);
        harness.configure(config(FIXED));
        assert_eq!(harness.plan().unwrap().len(), 1, "{loss}");
        converge(&mut harness, FIXED);
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
    assert_told(&mut harness);
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
    dhcp::renewal_on(build_with_networkd);
}

pub(crate) fn server_gone() {
    dhcp::server_gone_on(build_with_networkd, dhcp::serve_beside);
}

pub(crate) fn autoconfiguration_and_dhcp6() {
    let mut harness = ipv6::both_on(build_with_networkd);
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
