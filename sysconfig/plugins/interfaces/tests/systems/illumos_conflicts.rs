//! The plugin on a simulated illumos machine where something of somebody else's is in the way, or comes in between.

use crate::illumos::{DHCP, STATIC, look, machine, server};
use crate::support::{Fixture, config};
use sysconfig_platform::fake::illumos::Machine;
use sysconfig_platform::fake::illumos::network::Kind;
use sysconfig_platform::ipadm::LONGEST_OBJECT;
use sysconfig_plugin::Outcome;

/// `ipadm` would say that it is in use, and nothing of who uses it.
#[test]
fn an_address_that_a_lease_has_given_is_a_conflict() {
    let fixed = |link: &str| {
        format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\naddresses = [\"10.0.2.15/24\"]\n")
    };
    let mut fixture = machine();
    look(&fixture, |network| network.servers.insert("vioif1".to_owned(), server(0)));
    let leased = DHCP.replace("e1000g0", "vioif1");
    fixture.converge(&leased);
    let (message, help) = fixture.fail(&format!("{leased}{}", fixed("e1000g0")));
    assert_eq!(message, "10.0.2.15/24 is wanted on e1000g0, and vioif1/scdhcp has 10.0.2.15/24");
    assert_eq!(help, "the network gives it there: take another one here");
    assert!(!look(&fixture, |network| network.has_interface("e1000g0")), "nothing was changed");
    // Where the client ends first, it is free.
    fixture.converge(&fixed("e1000g0"));
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/sc1 10.0.2.15/24"]);
}

/// The words of `ipadm` are those of another zone's address, too; what this zone has is named.
#[test]
fn an_address_that_comes_up_in_another_place_before_the_step_is_named() {
    let mut fixture = machine();
    fixture.harness.configure(config(STATIC));
    let steps = fixture.harness.plan().unwrap();
    fixture.harness.apply(&steps[0]).unwrap();
    look(&fixture, |network| network.add_object("vioif1/v4", Kind::Static("192.0.2.10/24".parse().unwrap())));
    let error = fixture.harness.apply(&steps[1]).unwrap_err();
    assert_eq!(error.message, "cannot put 192.0.2.10/24 on e1000g0");
    let data = error.data.unwrap();
    assert_eq!(data.causes, ["192.0.2.10 is that of vioif1/v4, on this machine"]);
    assert_eq!(data.help.as_deref(), Some("an address is on one link: ipadm show-addr vioif1/v4"));
}

/// Somebody makes, between plan and step, what is wanted: under another name it serves as well.
#[test]
fn what_appears_under_another_name_before_the_step_serves() {
    let with =
        |addresses: &str| format!("[[network.interface]]\nmatch = {{ name = \"e1000g0\" }}\naddresses = {addresses}\n");
    for (addresses, kind) in [
        ("[\"192.0.2.10/24\"]", Kind::Static("192.0.2.10/24".parse().unwrap())),
        ("[\"addrconf\"]", Kind::Addrconf { stateful: true, stateless: true }),
        ("[\"dhcp\"]\noptional = true", Kind::Dhcp),
    ] {
        let mut fixture = machine();
        fixture.harness.configure(config(&with(addresses)));
        let steps = fixture.harness.plan().unwrap();
        fixture.harness.apply(&steps[0]).unwrap();
        look(&fixture, |network| network.add_object("e1000g0/other", kind.clone()));
        assert_eq!(fixture.harness.apply(&steps[1]).unwrap(), Outcome::AlreadySo, "{addresses}");
        assert_eq!(fixture.harness.plan().unwrap(), [], "{addresses}");
        assert_eq!(look(&fixture, |network| network.objects.len()), 1, "{addresses}");
    }
}

#[test]
fn names_of_objects_fit_on_links_with_the_longest_name() {
    let mut fixture = Fixture::new(Machine::start());
    let name = "a_long_name_of_a_link_0";
    assert_eq!(name.len() + "/scv6dhcp".len(), LONGEST_OBJECT);
    look(&fixture, |network| network.add_link(name, 7));
    let addresses: Vec<_> = (1..=96).map(|host| format!("\"192.0.2.{host}/24\"")).collect();
    fixture.converge(&format!(
        "[[network.interface]]\nmatch = {{ name = \"{name}\" }}\naddresses = [\"dhcp6\", \"dhcp\", {}]\noptional = true\n",
        addresses.join(", ")
    ));
    assert_eq!(look(&fixture, |network| network.objects.len()), 98);
}

/// Neither a switch nor the ports of an aggregation have addresses.
#[test]
fn only_a_link_that_can_have_addresses_is_the_first() {
    let mut fixture = machine();
    look(&fixture, |network| {
        for (name, class, over) in
            [("a0", "etherstub", ""), ("bridge0", "bridge", ""), ("zaggr0", "aggr", "e1000g0,vioif1")]
        {
            network.add_link(name, 0x20);
            let link = network.links.get_mut(name).unwrap();
            (link.class, link.over) = (class, over);
        }
    });
    fixture.converge("[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n");
    assert_eq!(look(&fixture, |network| network.addresses()), ["zaggr0/sc1 192.0.2.10/24"]);
}

/// Our link-local address serves somebody else's fixed one as well, and can take another form only by being made anew.
#[test]
fn another_form_of_autoconfiguration_beside_a_fixed_address_of_somebody_else() {
    let with =
        |addresses: &str| format!("[[network.interface]]\nmatch = {{ name = \"e1000g0\" }}\naddresses = {addresses}\n");
    for (before, after) in [
        ("[\"2001:db8::5/64\"]", "[\"addrconf\"]"),
        ("[\"2001:db8::5/64\"]", "[\"dhcp6\"]\noptional = true"),
        ("[\"addrconf\"]", "[\"2001:db8::5/64\"]"),
    ] {
        let mut fixture = machine();
        fixture.converge(&with(before));
        let objects = |fixture: &Fixture<Machine>| look(fixture, |network| network.addresses());
        look(&fixture, |network| network.add_object("e1000g0/v6", Kind::Static("2001:db8::7/64".parse().unwrap())));
        let untouched = objects(&fixture);
        let (message, help) = fixture.fail(&with(after));
        assert!(message.ends_with("and e1000g0/v6, which is not ours, needs that"), "{message}");
        assert!(help.contains("ipadm delete-addr e1000g0/v6"), "{help}");
        assert_eq!(objects(&fixture), untouched, "nothing was changed");
        look(&fixture, |network| network.objects.retain(|object| object.name != "e1000g0/v6"));
        fixture.converge(&with(after));
        // Nobody else's is taken away with ours.
        look(&fixture, |network| network.add_object("e1000g0/v6", Kind::Static("2001:db8::7/64".parse().unwrap())));
        fixture.converge("[network]\ninterface = []\n");
        assert!(objects(&fixture).contains(&"e1000g0/v6 2001:db8::7/64".to_owned()), "{:?}", objects(&fixture));
    }
}

/// What was made with ifconfig has no name of its own.
#[test]
fn addresses_without_names_are_seen_one_by_one() {
    let mut fixture = machine();
    look(&fixture, |network| {
        for address in ["192.0.2.5/24", "192.0.2.10/24"] {
            network.add_object("e1000g0/?", Kind::Unmanaged(address.parse().unwrap()));
        }
    });
    let text = |address: &str| {
        format!("[[network.interface]]\nmatch = {{ name = \"e1000g0\" }}\naddresses = [\"{address}\"]\n")
    };
    for address in ["192.0.2.5/24", "192.0.2.10/24"] {
        assert_eq!(fixture.converge(&text(address)), [""; 0], "{address}");
    }
    let (message, help) = fixture.fail(&text("192.0.2.10/25"));
    assert_eq!(message, "192.0.2.10/25 is wanted on e1000g0, and e1000g0/? has 192.0.2.10/24");
    assert_eq!(help, "if it is not needed: ifconfig e1000g0 removeif 192.0.2.10");
}
