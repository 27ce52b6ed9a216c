//! What a link had before it was configured comes back, whatever has happened meanwhile.

use crate::linux::{machine, with_networkd};
use crate::support::{Fixture, config};
use std::fs;
use sysconfig_platform::fake::linux::Machine;

const NOTHING: &str = "[network]\ninterface = []\n";

fn with_mtu(link: &str, mtu: u32) -> String {
    format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\naddresses = [\"192.0.2.10/24\"]\nmtu = {mtu}\n")
}

fn mtu(fixture: &Fixture<Machine>) -> u32 {
    fixture.machine.network(|network| network.links[0].mtu)
}

/// Carries a change out and takes it back.
fn undone<M>(fixture: &mut Fixture<M>, text: &str) {
    fixture.harness.configure(config(text));
    let steps = fixture.harness.converge().unwrap().steps;
    assert!(!steps.is_empty());
    for (step, _) in steps.iter().rev() {
        fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
    }
}

#[test]
fn the_mtu_survives_changes_that_are_undone() {
    for mut fixture in [machine(), with_networkd()] {
        fixture.converge(&with_mtu("eth0", 1400));
        undone(&mut fixture, &with_mtu("eth0", 1300));
        assert_eq!(mtu(&fixture), 1400);
        undone(&mut fixture, NOTHING);
        assert_eq!(mtu(&fixture), 1400);
        fixture.converge(NOTHING);
        assert_eq!(mtu(&fixture), 1500);
        // Nothing of ours is left, so nothing is given back any more.
        fixture.machine.network(|network| network.links[0].mtu = 9000);
        assert_eq!(fixture.converge(NOTHING), [""; 0]);
    }
}

#[test]
fn the_mtu_that_was_not_set_is_not_given_back() {
    let mut fixture = machine();
    undone(&mut fixture, &with_mtu("eth0", 1400));
    fixture.machine.network(|network| network.links[0].mtu = 9000);
    assert_eq!(fixture.converge(NOTHING), [""; 0]);
    // A link whose driver refuses after all.
    fixture.harness.configure(config(&with_mtu("eth0", 1400)));
    let step = fixture.harness.plan().unwrap().remove(0);
    fixture.machine.network(|network| network.links[0].min_mtu = 1450);
    fixture.harness.apply(&step).unwrap_err();
    fixture.machine.network(|network| network.links[0].mtu = 1500);
    assert_eq!(fixture.converge(NOTHING), [""; 0]);
}

/// What somebody has taken away is ours no more, and whoever puts it there again has put it there.
#[test]
fn what_is_gone_without_our_doing_is_forgotten() {
    let mut fixture = machine();
    let text = with_mtu("eth0", 1400).replace("mtu", "gateway = \"192.0.2.1\"\nmtu");
    fixture.converge(&text);
    let (addresses, routes) = fixture.machine.network(|network| {
        network.links[0].mtu = 1500;
        (std::mem::take(&mut network.addresses), std::mem::take(&mut network.routes))
    });
    assert_eq!(fixture.converge(NOTHING), ["listen to router advertisements on eth0"]);
    fixture.machine.network(|network| {
        network.links[0].mtu = 9000;
        (network.addresses, network.routes) = (addresses, routes);
    });
    assert_eq!(fixture.converge(NOTHING), [""; 0]);
}

#[test]
fn a_kept_route_that_is_gone_without_our_doing_is_forgotten() {
    let mut fixture = crate::illumos::machine();
    fixture.converge(crate::illumos::STATIC);
    let kept = crate::illumos::look(&fixture, |network| {
        network.kernel.clear();
        std::mem::take(&mut network.kept)
    });
    fixture.converge(NOTHING);
    crate::illumos::look(&fixture, |network| network.kept = kept);
    assert_eq!(fixture.converge(NOTHING), [""; 0]);
}

/// An address that another machine had is told as such, and that is over when nobody wants it any more.
#[test]
fn the_address_of_another_machine_is_forgotten() {
    let mut fixture = machine();
    let text = with_mtu("eth0", 1500);
    fixture.machine.network(|network| {
        network.has_arping = true;
        network.neighbours.push("192.0.2.10".parse().unwrap());
    });
    fixture.left_over(&text);
    fixture.converge(NOTHING);
    fixture.harness.configure(config(&text));
    let steps: Vec<_> = fixture.harness.plan().unwrap().into_iter().map(|step| step.summary).collect();
    assert!(steps.contains(&"put 192.0.2.10/24 on eth0".to_owned()), "{steps:?}");
}

/// The kernel forgets at a reboot, and so does the record; networkd does not.
#[test]
fn the_mtu_that_networkd_has_set_at_boot_is_given_back() {
    for text in [NOTHING.to_owned(), with_mtu("eth0", 1400).replace("mtu = 1400\n", "")] {
        let mut fixture = with_networkd();
        fixture.converge(&with_mtu("eth0", 1400));
        fs::remove_file(fixture.root.locate("/run/sysconfig/interfaces.json")).unwrap();
        assert_eq!(fixture.converge(&with_mtu("eth0", 1400)), [""; 0]);
        fixture.converge(&text);
        assert_eq!(mtu(&fixture), 1500);
    }
}

/// 2 means to listen although the machine forwards packets.
#[test]
fn router_advertisements_are_listened_to_as_before() {
    let mut fixture = machine();
    let path = fixture.root.locate("/proc/sys/net/ipv6/conf/eth0/accept_ra");
    let value = || fs::read_to_string(&path).unwrap().trim().to_owned();
    fs::write(&path, "2\n").unwrap();
    let without = "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\n";
    let with = without.replace("[\"192", "[\"addrconf\", \"192");
    undone(&mut fixture, without);
    assert_eq!(value(), "2");
    fixture.converge(without);
    assert_eq!(value(), "0");
    undone(&mut fixture, &with);
    assert_eq!(value(), "0");
    fixture.converge(&with);
    assert_eq!(value(), "2");
    fixture.converge(without);
    fixture.converge(NOTHING);
    assert_eq!(value(), "2");
}

#[test]
fn the_mtu_of_illumos_survives_changes_that_are_undone() {
    let mut fixture = crate::illumos::machine();
    let mtu = |fixture: &Fixture<_>| crate::illumos::look(fixture, |network| network.mtu("e1000g0"));
    fixture.converge(&with_mtu("e1000g0", 1400));
    undone(&mut fixture, &with_mtu("e1000g0", 1300));
    assert_eq!(mtu(&fixture), Some(1400));
    undone(&mut fixture, NOTHING);
    assert_eq!(mtu(&fixture), Some(1400));
    fixture.converge(NOTHING);
    assert_eq!(mtu(&fixture), Some(1500));
}

/// A machine that forwards packets listens only when it is told so in another way.
#[test]
fn router_advertisements_are_listened_to_where_packets_are_forwarded() {
    let mut fixture = machine();
    let directory = fixture.root.locate("/proc/sys/net/ipv6/conf/eth0");
    fs::write(directory.join("forwarding"), "1\n").unwrap();
    let value = || fs::read_to_string(directory.join("accept_ra")).unwrap().trim().to_owned();
    let text = "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"addrconf\"]\n";
    let steps = fixture.converge(text);
    assert!(steps.contains(&"listen to router advertisements on eth0".to_owned()), "{steps:?}");
    assert_eq!(value(), "2");
    fixture.converge(NOTHING);
    assert_eq!(value(), "1", "and as before then");
}

/// dhcpcd up to 7, and ifupdown, leave a link on which the kernel listens to advertisements and makes no addresses of them.
#[test]
fn the_kernel_makes_addresses_where_it_was_told_not_to() {
    let names = ["autoconf", "accept_ra_pinfo"];
    let path = |fixture: &Fixture<Machine>, name| fixture.root.locate(format!("/proc/sys/net/ipv6/conf/eth0/{name}"));
    let values = |fixture: &Fixture<Machine>| {
        names.map(|name| fs::read_to_string(path(fixture, name)).unwrap().trim().to_owned())
    };
    let off = |fixture: &Fixture<Machine>| {
        for name in names {
            fs::write(path(fixture, name), "0\n").unwrap();
        }
    };
    let with =
        |addresses: &str| format!("[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [{addresses}]\n");
    let mut fixture = machine();
    off(&fixture);
    fixture.converge(&with("\"192.0.2.10/24\""));
    assert_eq!(values(&fixture), ["0", "0"], "nobody asked for autoconfiguration");
    undone(&mut fixture, &with("\"addrconf\""));
    assert_eq!(values(&fixture), ["0", "0"]);
    let steps = fixture.converge(&with("\"addrconf\""));
    assert!(steps.contains(&"make addresses of router advertisements on eth0 (autoconf)".to_owned()), "{steps:?}");
    assert_eq!(values(&fixture), ["1", "1"]);
    off(&fixture);
    fixture.converge(&with("\"addrconf\""));
    assert_eq!(values(&fixture), ["1", "1"], "what changes them is drift");
    undone(&mut fixture, NOTHING);
    assert_eq!(values(&fixture), ["1", "1"]);
    fixture.converge(NOTHING);
    assert_eq!(values(&fixture), ["0", "0"], "and as before then");
    let mut fixture = crate::linux::with_networkd();
    off(&fixture);
    fixture.converge(&with("\"addrconf\""));
    assert_eq!(values(&fixture), ["0", "0"], "systemd-networkd makes them itself");
}
