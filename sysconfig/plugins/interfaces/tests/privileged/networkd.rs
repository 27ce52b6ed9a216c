//! With systemd-networkd in charge: the real one, told over the real D-Bus.

use crate::dhcp::{self, DHCP, STATIC, assert_told, is_leased};
use crate::fixed::{self, FIXED};
use crate::ipv6;
use crate::world::{
    NOTHING, RANGE, addresses, build, config, converge, end, eventually, launch_networkd, leases, plugin, reaches,
    read, serve, sh, start_networkd,
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

pub(crate) fn endless() {
    dhcp::endless_on(build_with_networkd);
}

pub(crate) fn endless6() {
    ipv6::endless_on(build_with_networkd);
}

pub(crate) fn no_server() {
    dhcp::no_server_on(build_with_networkd);
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
    let left = harness.converge().unwrap().diagnostics;
    let told = "tell systemd-networkd to configure eth0, where another machine had 192.0.2.1";
    assert_eq!(left[0].message, format!("still to do: {told}"));
    assert_eq!(addresses(4), ["192.0.2.10/24"], "networkd was not told");
}

/// networkd takes away what somebody has set by hand, and the plan tells it before.
pub(crate) fn foreign_address() {
    build_with_networkd();
    sh("ip link set eth0 up; ip addr add 203.0.113.5/24 dev eth0; ip addr add 192.0.2.10/24 dev eth0
        ip -6 addr add 2001:db8:9::5/64 dev eth0 nodad; ip route add 10.6.0.0/16 via 203.0.113.1 dev eth0");
    let mut harness = plugin();
    harness.configure(config(STATIC));
    let planned = harness.plan().unwrap();
    let gone = planned[0].changes.iter().filter(|change| change.to.is_null());
    let mut gone: Vec<_> = gone.map(|change| change.from.as_str().unwrap_or_default().to_owned()).collect();
    gone.sort();
    assert_eq!(gone, ["10.6.0.0/16 via 203.0.113.1", "2001:db8:9::5/64", "203.0.113.5/24"]);
    converge(&mut harness, STATIC);
    assert_eq!((addresses(4), addresses(6)), (vec!["192.0.2.10/24".to_owned()], Vec::new()));
    assert!(!sh("ip route").contains("10.6.0.0"), "{}", sh("ip route"));
    // What is set behind its back it does not see to, until there is something to do again.
    sh("ip addr add 203.0.113.5/24 dev eth0");
    assert_eq!(harness.plan().unwrap(), []);
    converge(&mut harness, NOTHING);
}

/// At boot, or when its package is upgraded: systemd says that it is being started, and it answers later.
pub(crate) fn late() {
    build_with_networkd();
    let mut harness = plugin();
    converge(&mut harness, STATIC);
    sh("kill $(cat /run/networkd.pid); while kill -0 $(cat /run/networkd.pid) 2>/dev/null; do sleep 0.1; done
        echo activating >/run/networkd.state");
    harness.configure(config(&STATIC.replace("192.0.2.10", "192.0.2.11")));
    let planned: Vec<_> = harness.plan().unwrap().into_iter().map(|step| step.summary).collect();
    assert_eq!(planned, ["tell systemd-networkd to configure eth0"], "it is in charge, although it does not answer");
    let starter = std::thread::spawn(|| {
        eventually("the file", || read(OURS).contains("192.0.2.11").then_some(()));
        sh("rm -f /run/networkd.asked");
        eventually("the question what networkd is at", || Path::new("/run/networkd.asked").exists().then_some(()));
        launch_networkd();
        sh("rm /run/networkd.state");
    });
    // On a busy machine it may take longer to start than a step waits. The daemon tries again, too.
    let is_late = |message: &str| message.ends_with("does not get on with it") || message.ends_with("in time");
    eventually("the end of the plan", || match harness.converge() {
        Ok(_) => Some(()),
        Err(error) if is_late(&error.message) => None,
        Err(error) => panic!("{error:?}"),
    });
    starter.join().unwrap();
    assert_eq!(harness.plan().unwrap(), []);
    // It takes the address of before away in its own time.
    eventually("the one address", || (addresses(4) == ["192.0.2.11/24"]).then_some(()));
    no_client_of_ours();
}

/// networkd puts no address on a link without a signal, and other links have theirs all the same.
pub(crate) fn no_signal() {
    build_with_networkd();
    sh("ip -n srv link set srv0 down; ip link add a0 type veth peer name a1; ip link set a1 up");
    let beside = "[[network.interface]]\nmatch = { name = \"a0\" }\naddresses = [\"198.51.100.7/24\"]\n";
    let text = format!("{STATIC}{beside}");
    let mut harness = plugin();
    harness.configure(config(&text));
    let left: Vec<_> = harness.converge().unwrap().diagnostics.into_iter().map(|found| found.message).collect();
    assert_eq!(left, ["still to do: use eth0, which has no signal"]);
    assert!(sh("ip -4 addr show dev a0").contains("198.51.100.7/24"), "{}", sh("ip addr"));
    let error = harness.converge().unwrap_err();
    assert_eq!(error.message, "eth0 has no signal, and systemd-networkd puts its addresses on it when there is one");
    sh("ip -n srv link set srv0 up");
    eventually("the wish to have the machine looked at again", || {
        harness.describe();
        harness.emitted().iter().any(|event| event.topic == "network.changed").then_some(())
    });
    eventually("the address", || (addresses(4) == ["192.0.2.10/24"]).then_some(()));
    eventually("the route", || sh("ip route").contains("default via 192.0.2.1").then_some(()));
    converge(&mut harness, &text);
}

/// The server goes when it has given a lease, and comes back before that ends: nothing is to be done meanwhile.
pub(crate) fn server_gone_after_a_lease() {
    build_with_networkd();
    serve("dnsmasq", &format!("{RANGE} --dhcp-option=option:T1,5"));
    let mut harness = plugin();
    converge(&mut harness, DHCP);
    let leased = addresses(4);
    end("dnsmasq");
    // Its renewals are asked for in vain.
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert_eq!(addresses(4), leased, "the lease lasts");
    assert_eq!(harness.plan().unwrap(), []);
    serve("dnsmasq", &format!("{} --dhcp-option=option:T1,5", RANGE.replace("192.0.2.53", "192.0.2.54")));
    eventually("a renewal", || (leases(&mut harness)[0]["servers"] == json!(["192.0.2.54"])).then_some(()));
    assert_eq!(addresses(4), leased);
}

pub(crate) fn two_servers() {
    build_with_networkd();
    serve("dnsmasq", RANGE);
    dhcp::serve_beside();
    let mut harness = plugin();
    converge(&mut harness, DHCP);
    assert!(is_leased(&addresses(4)), "one of them, and not both: {:?}", addresses(4));
    assert_told(&mut harness);
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

/// networkd makes packets large enough for IPv6 unless it is told that there is none, and switches it on where its files want it.
pub(crate) fn ipv6_and_small_packets() {
    build_with_networkd();
    let mut harness = plugin();
    let with =
        |address: &str| format!("[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [\"{address}\"]\n");
    converge(&mut harness, &(with("192.0.2.10/24") + "mtu = 1200\n"));
    assert!(sh("ip link show eth0").contains("mtu 1200"), "{}", sh("ip link show eth0"));
    assert!(reaches("192.0.2.1"));
    converge(&mut harness, &with("2001:db8::5/64"));
    assert_eq!(addresses(6), ["2001:db8::5/64"]);
    converge(&mut harness, NOTHING);
    sh("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
    converge(&mut harness, &with("2001:db8::5/64"));
    assert_eq!(addresses(6), ["2001:db8::5/64"]);
}

/// Whoever ends between the file and the word to networkd is followed by one that says it.
pub(crate) fn file_that_it_was_not_told_of() {
    build_with_networkd();
    serve("dnsmasq", RANGE);
    for (text, is_there) in [
        (DHCP, (|found: &[String]| is_leased(found)) as fn(&[String]) -> bool),
        (NOTHING, <[String]>::is_empty),
        (FIXED, |found| found.contains(&"192.0.2.11/24".to_owned())),
    ] {
        let mut harness = plugin();
        converge(&mut harness, STATIC);
        sh("mount --bind /bin/false /usr/bin/networkctl");
        harness.configure(config(text));
        let error = harness.converge().unwrap_err();
        assert_eq!(error.message, "cannot make systemd-networkd read its files");
        sh("umount /usr/bin/networkctl");
        assert_eq!(addresses(4), ["192.0.2.10/24"]);
        converge(&mut harness, text);
        assert!(is_there(&addresses(4)), "{text}: {:?}", addresses(4));
        converge(&mut harness, NOTHING);
    }
}
