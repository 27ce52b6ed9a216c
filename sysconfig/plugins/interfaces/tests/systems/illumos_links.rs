//! The plugin on a simulated illumos machine: which link is meant, and how large its packets are.

use crate::illumos::{STATIC, look, machine};
use crate::support::config;
use sysconfig_platform::fake::illumos::network::Kind;

/// Trap 20: links are called after their drivers.
#[test]
fn links_by_address_and_by_signal() {
    let mut fixture = machine();
    look(&fixture, |network| network.links.get_mut("e1000g0").unwrap().up = false);
    fixture.converge(
        r#"
        [[network.interface]]
        match = { mac = "02:08:20:AB:01:0F" }
        addresses = ["192.0.2.10/24"]

        [[network.interface]]
        match = { first-up = true }
        addresses = ["198.51.100.10/24"]
        "#,
    );
    assert_eq!(
        look(&fixture, |network| network.addresses()),
        ["e1000g0/sc1 192.0.2.10/24", "vioif1/sc1 198.51.100.10/24"]
    );
}

/// In a zone there are only such links.
#[test]
fn a_virtual_link_by_its_address() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.add_link("vnic1", 0x21);
        let link = network.links.get_mut("vnic1").unwrap();
        (link.class, link.over) = ("vnic", "e1000g0");
    });
    fixture
        .converge("[[network.interface]]\nmatch = { mac = \"02:08:20:ab:01:21\" }\naddresses = [\"192.0.2.10/24\"]\n");
    assert_eq!(look(&fixture, |network| network.addresses()), ["vnic1/sc1 192.0.2.10/24"]);
}

#[test]
fn the_first_link_with_a_signal_stays_the_one() {
    let mut fixture = machine();
    look(&fixture, |network| network.links.get_mut("e1000g0").unwrap().up = false);
    let text = "[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n";
    fixture.converge(text);
    look(&fixture, |network| {
        network.links.get_mut("e1000g0").unwrap().up = true;
        network.links.get_mut("vioif1").unwrap().up = false;
    });
    assert_eq!(fixture.converge(text), [""; 0]);
    assert_eq!(look(&fixture, |network| network.addresses()), ["vioif1/sc1 192.0.2.10/24"]);
}

#[test]
fn a_link_that_is_absent_keeps_nothing_else_from_being_done() {
    let mut fixture = machine();
    let text =
        format!("[[network.interface]]\nmatch = {{ name = \"net7\" }}\naddresses = [\"198.51.100.7/24\"]\n{STATIC}");
    let (message, help) = fixture.fail(&text);
    assert_eq!(message, "there is no link net7");
    assert!(help.contains("e1000g0, vioif1"), "{help}");
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/sc1 192.0.2.10/24"]);
    look(&fixture, |network| network.add_link("net7", 0x77));
    fixture.converge(&text);
    assert_eq!(look(&fixture, |network| network.addresses()).len(), 2);
}

#[test]
fn packet_sizes_of_ip_and_of_the_link() {
    let mut fixture = machine();
    let with = |mtu: u32| STATIC.replace("gateway", &format!("mtu = {mtu}\ngateway"));
    fixture.converge(&with(1400));
    assert_eq!(look(&fixture, |network| network.mtu("e1000g0")), Some(1400));
    fixture.converge(STATIC);
    assert_eq!(look(&fixture, |network| network.mtu("e1000g0")), Some(1500), "it is given back");
    let steps = fixture.converge(&with(9000));
    assert!(steps.contains(&"unplumb e1000g0 to change its MTU".to_owned()), "{steps:?}");
    assert_eq!(look(&fixture, |network| (network.links["e1000g0"].mtu, network.mtu("e1000g0"))), (9000, Some(9000)));
    assert_eq!(look(&fixture, |network| network.kernel.len()), 2, "the routes are back");
    fixture.converge(STATIC);
    assert_eq!(look(&fixture, |network| network.mtu("e1000g0")), Some(1500), "a jumbo packet is given back, too");
}

/// The change takes the addresses away first, so it must not begin.
#[test]
fn a_packet_size_that_the_driver_refuses_changes_nothing() {
    let with = |mtu: u32| STATIC.replace("gateway", &format!("mtu = {mtu}\ngateway"));
    let mut fixture = machine();
    fixture.converge(STATIC);
    let before = look(&fixture, |network| (network.objects.len(), network.kernel.clone()));
    let (message, help) = fixture.fail(&with(9001));
    assert_eq!((&*message, &*help), ("the driver of e1000g0 does not allow an MTU of 9001", "it allows 68 to 9000"));
    assert_eq!(look(&fixture, |network| (network.objects.len(), network.kernel.clone())), before);
    // A driver that does not tell is heard when it is too late.
    look(&fixture, |network| network.links.get_mut("e1000g0").unwrap().tells_mtu = false);
    assert_eq!(fixture.fail(&with(9001)).0, "cannot set the MTU of e1000g0");
    fixture.converge(STATIC);
    assert_eq!(look(&fixture, |network| (network.objects.len(), network.kernel.clone())), before);
}

/// Found by `convergence`: the link-local address would have been deleted under a fixed one.
#[test]
fn a_larger_packet_size_under_a_fixed_ipv6_address() {
    let mut fixture = machine();
    let text = "[[network.interface]]\nmatch = { name = \"e1000g0\" }\naddresses = [\"2001:db8::5/64\"]\n";
    fixture.converge(text);
    fixture.converge(&format!("{text}mtu = 9000\n"));
    assert_eq!(look(&fixture, |network| network.mtu("e1000g0")), Some(9000));
}

#[test]
fn a_link_with_objects_of_others_is_not_unplumbed() {
    let mut fixture = machine();
    look(&fixture, |network| network.add_object("e1000g0/v4", Kind::Static("203.0.113.5/24".parse().unwrap())));
    let (message, help) = fixture.fail(&STATIC.replace("gateway", "mtu = 9000\ngateway"));
    assert!(message.contains("e1000g0/v4 is on it"), "{message}");
    assert_eq!(help, "delete it: ipadm delete-addr e1000g0/v4");
}

/// An address that has appeared since the plan would go with the interface, without a word.
#[test]
fn an_interface_that_somebody_uses_meanwhile_is_not_unplumbed() {
    let foreign = |network: &mut sysconfig_platform::fake::illumos::network::Network| {
        network.add_object("e1000g0/v4", Kind::Static("203.0.113.5/24".parse().unwrap()));
    };
    let mut fixture = machine();
    fixture.converge(STATIC);
    fixture.harness.configure(config(&STATIC.replace("gateway", "mtu = 9000\ngateway")));
    let steps = fixture.harness.plan().unwrap();
    look(&fixture, foreign);
    let error = steps.iter().find_map(|step| fixture.harness.apply(step).err()).unwrap();
    assert_eq!(error.message, "cannot unplumb the interface e1000g0: e1000g0/v4 has appeared on it meanwhile");
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/v4 203.0.113.5/24"]);

    let mut fixture = machine();
    fixture.harness.configure(config(STATIC));
    let steps = fixture.harness.converge().unwrap().steps;
    look(&fixture, foreign);
    for (step, _) in steps.iter().rev() {
        fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
    }
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/v4 203.0.113.5/24"]);
}

/// At boot no driver knows of a signal yet; the first by name has none in the end, either.
#[test]
fn the_first_link_with_a_signal_is_looked_for_where_none_is_known() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.hides_signals = true;
        network.links.get_mut("e1000g0").unwrap().up = false;
    });
    let text = "[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n";
    fixture.harness.configure(config(text));
    let looked = fixture.harness.converge().unwrap();
    let found: Vec<_> = looked.diagnostics.iter().map(|found| (found.severity, &*found.message)).collect();
    let told = "vioif1 is the first link with a signal, and is configured next";
    assert_eq!(found, [(sysconfig_plugin::Severity::Warning, told)]);
    assert_eq!(fixture.harness.emitted().iter().filter(|event| event.topic == "network.changed").count(), 1);
    assert!(!look(&fixture, |network| network.has_interface("e1000g0") || network.has_interface("vioif1")));
    let steps = fixture.apply_configured();
    assert_eq!(steps[0], "use vioif1 as the first link with a signal");
    assert_eq!(look(&fixture, |network| network.addresses()), ["vioif1/sc1 192.0.2.10/24"]);
}
