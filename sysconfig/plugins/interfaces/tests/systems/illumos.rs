//! The plugin on a simulated illumos machine: every row and every trap of its commands that it touches.

use crate::illumos_leases::server6;
use crate::support::{Fixture, config};
use std::collections::BTreeMap;
use sysconfig_platform::fake::illumos::Machine;
use sysconfig_platform::fake::illumos::network::{Kind, MissingText, Network, Server};
use sysconfig_platform::ipadm;
use sysconfig_platform::nwam::NWAM;
use sysconfig_platform::smf::State;
use sysconfig_plugin::Outcome;

pub(crate) fn machine() -> Fixture<Machine> {
    let fixture = Fixture::new(Machine::start());
    fixture.machine.network(|network| {
        network.add_link("e1000g0", 0xf);
        network.add_link("vioif1", 0x10);
    });
    fixture
}

pub(crate) fn server(looks: u32) -> Server {
    Server {
        address: "10.0.2.15/24".parse().unwrap(),
        router: Some("10.0.2.2".parse().unwrap()),
        options: BTreeMap::from([
            ("DNSserv", vec!["10.0.2.3".to_owned()]),
            ("DNSdmain", vec!["example.org".to_owned()]),
            ("Hostname", vec!["client1".to_owned()]),
        ]),
        looks,
    }
}

pub(crate) fn look<T>(fixture: &Fixture<Machine>, look: impl FnOnce(&mut Network) -> T) -> T {
    fixture.machine.network(look)
}

pub(crate) const STATIC: &str = r#"
[[network.interface]]
match = { name = "e1000g0" }
addresses = ["192.0.2.10/24"]
gateway = "192.0.2.1"
routes = [{ to = "10.0.0.0/8", via = "192.0.2.2" }]
"#;

pub(crate) const DHCP: &str = r#"
[[network.interface]]
match = { name = "e1000g0" }
addresses = ["dhcp"]
"#;

#[test]
fn a_fixed_address_with_routes() {
    let mut fixture = machine();
    let steps = fixture.converge(STATIC);
    assert_eq!(
        steps,
        [
            "make the IP interface e1000g0",
            "put 192.0.2.10/24 on e1000g0",
            "add the route default via 192.0.2.1",
            "add the route 10.0.0.0/8 via 192.0.2.2",
        ]
    );
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/sc1 192.0.2.10/24"]);
    assert_eq!(look(&fixture, |network| network.kept.len()), 2);
    let commands = fixture.machine.commands();
    assert!(
        commands.iter().any(|command| command == "/usr/sbin/route -n -p add -inet default 192.0.2.1"),
        "{commands:#?}"
    );
}

#[test]
fn the_same_address_with_another_prefix() {
    let mut fixture = machine();
    fixture.converge(STATIC);
    fixture.converge(&STATIC.replace("192.0.2.10/24", "192.0.2.10/25"));
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/sc1 192.0.2.10/25"]);
}

#[test]
fn an_address_can_move_to_another_link() {
    let mut fixture = machine();
    fixture.converge(STATIC);
    fixture.converge(&STATIC.replace("e1000g0", "vioif1"));
    assert_eq!(look(&fixture, |network| network.addresses()), ["vioif1/sc1 192.0.2.10/24"]);
}

#[test]
fn dhcp_gets_its_lease_and_says_so() {
    let mut fixture = machine();
    look(&fixture, |network| network.servers.insert("e1000g0".to_owned(), server(3)));
    let steps = fixture.converge(DHCP);
    assert_eq!(steps, ["make the IP interface e1000g0", "put DHCP on e1000g0", "get a lease for e1000g0"]);
    let told = fixture.harness.emitted();
    let lease = told.iter().rev().find(|event| event.topic == "dhcp.leases").unwrap();
    assert_eq!(
        lease.data,
        serde_json::json!([
            { "interface": "e1000g0", "servers": ["10.0.2.3"], "search": ["example.org"], "hostname": "client1" }
        ])
    );
    let commands = fixture.machine.commands();
    assert!(
        commands.iter().any(|command| command.contains("create-addr -T dhcp -w 5 e1000g0/scdhcp")),
        "{commands:#?}"
    );
}

/// Trap 1: without an answer `ipadm` ends with status 0, and only the address tells.
#[test]
fn a_lease_that_does_not_come_is_told_and_waited_for_in_the_background() {
    let mut fixture = machine();
    let slow = format!("{DHCP}lease-deadline = \"1s\"\n");
    let (message, help) = fixture.fail(&slow);
    assert_eq!(message, "no DHCP server has answered on e1000g0 in 1 s");
    assert!(help.contains("goes on asking"), "{help}");
    let left = fixture.harness.plan().unwrap();
    assert_eq!(left.iter().map(|step| step.summary.as_str()).collect::<Vec<_>>(), ["get a lease for e1000g0"]);
    look(&fixture, |network| network.servers.insert("e1000g0".to_owned(), server(0)));
    assert_eq!(fixture.harness.plan().unwrap(), [], "the client went on, and nothing is left to do");
}

#[test]
fn an_optional_interface_may_be_without_lease_or_link() {
    let mut fixture = machine();
    fixture.converge(&format!("{DHCP}optional = true\n"));
    fixture.converge(
        r#"
        [[network.interface]]
        match = { name = "net7" }
        addresses = ["dhcp"]
        optional = true
        "#,
    );
}

#[test]
fn static_to_dhcp_and_back() {
    let mut fixture = machine();
    look(&fixture, |network| network.servers.insert("e1000g0".to_owned(), server(0)));
    fixture.converge(STATIC);
    fixture.converge(DHCP);
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/scdhcp dhcp"]);
    assert_eq!(look(&fixture, |network| network.kept.clone()), [], "the kept routes are forgotten");
    fixture.converge(STATIC);
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/sc1 192.0.2.10/24"]);
    let commands = fixture.machine.commands();
    assert!(
        commands.iter().any(|command| command.contains("delete-addr -r e1000g0/scdhcp")),
        "the lease is given back"
    );
}

/// Trap 5: a fixed IPv6 address needs a link-local one.
#[test]
fn a_fixed_ipv6_address_gets_a_link_local_one_first() {
    let mut fixture = machine();
    let text = r#"
        [[network.interface]]
        match = { name = "e1000g0" }
        addresses = ["2001:db8::5/64", "192.0.2.10/24"]
        gateway = ["192.0.2.1", "fe80::1"]
    "#;
    fixture.converge(text);
    assert_eq!(
        look(&fixture, |network| network.addresses()),
        ["e1000g0/scv6ll addrconf", "e1000g0/sc1 2001:db8::5/64", "e1000g0/sc2 192.0.2.10/24"]
    );
    look(&fixture, |network| network.prefixes.push("2001:db8:1::9/64".parse().unwrap()));
    assert_eq!(fixture.harness.plan().unwrap(), [], "several rows for one object");
    fixture.converge("[network]\ninterface = []\n");
    assert_eq!(look(&fixture, |network| network.addresses()), [""; 0]);
}

/// Trap 23: `%SCOPE` inside addresses.
#[test]
fn autoconfiguration_in_its_forms() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.prefixes.push("2001:db8:1::9/64".parse().unwrap());
        network.servers6.insert("e1000g0".to_owned(), server6(1));
    });
    for (addresses, object) in
        [(r#"["addrconf"]"#, "scv6"), (r#"["dhcp6"]"#, "scv6dhcp"), (r#"["dhcp6", "addrconf"]"#, "scv6both")]
    {
        let text = format!("[[network.interface]]\nmatch = {{ name = \"e1000g0\" }}\naddresses = {addresses}\n");
        fixture.converge(&text);
        assert_eq!(look(&fixture, |network| network.addresses()), [format!("e1000g0/{object} addrconf")]);
    }
}

/// Found by `convergence`: the link-local address would have been deleted under a fixed one.
#[test]
fn another_form_of_autoconfiguration_makes_fixed_addresses_anew() {
    let mut fixture = machine();
    let with =
        |addresses: &str| format!("[[network.interface]]\nmatch = {{ name = \"e1000g0\" }}\naddresses = {addresses}\n");
    fixture.converge(&with(r#"["addrconf", "2001:db8::5/64"]"#));
    let steps = fixture.converge(&with(r#"["2001:db8::5/64"]"#));
    assert_eq!(
        steps,
        [
            "delete 2001:db8::5/64 from e1000g0",
            "delete IPv6 autoconfiguration from e1000g0",
            "put an IPv6 link-local address on e1000g0",
            "put 2001:db8::5/64 on e1000g0",
        ]
    );
}

#[test]
fn what_others_have_made_is_used_and_left_alone() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.add_object("e1000g0/v4", Kind::Static("192.0.2.10/24".parse().unwrap()));
        network.add_object("e1000g0/old", Kind::Static("203.0.113.5/24".parse().unwrap()));
        network.add_object("vioif1/?", Kind::Unmanaged("198.51.100.5/24".parse().unwrap()));
        network.add_object("vioif1/v6", Kind::Addrconf { stateful: true, stateless: true });
    });
    let text = r#"
        [[network.interface]]
        match = { name = "e1000g0" }
        addresses = ["192.0.2.10/24"]

        [[network.interface]]
        match = { name = "vioif1" }
        addresses = ["addrconf"]
    "#;
    assert_eq!(fixture.converge(text), [""; 0], "everything is there");
    fixture.converge("[network]\ninterface = []\n");
    assert_eq!(look(&fixture, |network| network.addresses()).len(), 4, "none of it was ours");
}

#[test]
fn an_address_of_somebody_elses_in_another_place_is_a_conflict() {
    let mut fixture = machine();
    look(&fixture, |network| network.add_object("vioif1/v4", Kind::Static("192.0.2.10/24".parse().unwrap())));
    let (message, help) = fixture.fail(STATIC);
    assert_eq!(message, "192.0.2.10/24 is wanted on e1000g0, and vioif1/v4 has 192.0.2.10/24");
    assert_eq!(help, "if it is not needed: ipadm delete-addr vioif1/v4");
    assert!(!look(&fixture, |network| network.has_interface("e1000g0")), "nothing was changed");
}

/// Trap 6: what exists is success only if it is what is wanted.
#[test]
fn an_object_of_ours_that_was_changed_behind_our_back_is_made_anew() {
    let mut fixture = machine();
    fixture.converge(STATIC);
    look(&fixture, |network| {
        network.objects.clear();
        network.add_object("e1000g0/sc1", Kind::Static("192.0.2.77/24".parse().unwrap()));
    });
    let steps = fixture.converge(STATIC);
    assert_eq!(steps[..2], ["delete 192.0.2.77/24 from e1000g0", "put 192.0.2.10/24 on e1000g0"]);
}

#[test]
fn objects_that_are_out_of_operation() {
    let mut fixture = machine();
    fixture.converge(STATIC);
    for (state, summary) in [
        ("disabled", "put 192.0.2.10/24 on e1000g0 into operation"),
        ("down", "put 192.0.2.10/24 on e1000g0 into operation"),
    ] {
        look(&fixture, |network| network.objects[0].state = state);
        let steps = fixture.converge(STATIC);
        assert_eq!(steps[0], summary, "{steps:?}");
    }
    look(&fixture, |network| network.disable("e1000g0"));
    assert_eq!(fixture.converge(STATIC)[0], "enable the interface e1000g0");
    look(&fixture, |network| network.objects[0].persistent = false);
    assert_eq!(fixture.converge(STATIC)[0], "delete 192.0.2.10/24 from e1000g0", "it would not survive a reboot");
}

#[test]
fn a_duplicate_address_is_refused_and_told() {
    let mut fixture = machine();
    look(&fixture, |network| network.neighbours.push("192.0.2.10".parse().unwrap()));
    let beside = "[[network.interface]]\nmatch = { name = \"vioif1\" }\naddresses = [\"198.51.100.7/24\"]\n";
    let (left, said) = fixture.left_over(&format!("{STATIC}{beside}"));
    assert_eq!(left[0], "still to do: put 192.0.2.10/24 on e1000g0, which another machine had");
    assert!(said[0].contains("192.0.2.10 is in use by another machine on e1000g0: give this machine"), "{said:?}");
    let objects =
        look(&fixture, |network| network.objects.iter().map(|object| object.name.clone()).collect::<Vec<_>>());
    assert_eq!(objects, ["vioif1/sc1"], "the other link has what is its own");
    look(&fixture, |network| network.neighbours.clear());
    fixture.converge(STATIC);
    look(&fixture, |network| network.objects[0].state = "duplicate");
    let (message, _) = fixture.fail(STATIC);
    assert_eq!(message, "192.0.2.10/24 on e1000g0 is in use by another machine");
}

/// Trap 9.
#[test]
fn the_automatic_network_is_refused_with_the_way_out() {
    let mut fixture = machine();
    fixture.machine.set_state(NWAM, State::Online);
    let (message, help) = fixture.fail(STATIC);
    assert!(message.contains("NWAM"), "{message}");
    assert!(help.contains("svcadm disable -s svc:/network/physical:nwam"), "{help}");
}

#[test]
fn a_zone_without_links_is_told_so() {
    let mut fixture = Fixture::new(Machine::start());
    let (message, help) = fixture.fail(STATIC);
    assert_eq!(message, "this machine has no datalinks");
    assert!(help.contains("zone"), "{help}");
}

#[test]
fn daemons_that_do_not_answer_yet_are_asked_again() {
    let mut fixture = machine();
    fixture.harness.configure(config(STATIC));
    let steps = fixture.harness.plan().unwrap();
    look(&fixture, |network| network.silent = 5);
    assert_eq!(fixture.harness.apply(&steps[0]).unwrap(), Outcome::Changed);
}

/// Trap 22: three ways to say that there is no such object, one of them without a word.
#[test]
fn an_object_that_is_gone_need_not_be_deleted() {
    for text in [MissingText::ObjectNotFound, MissingText::AddressObjectNotFound, MissingText::Empty] {
        let mut fixture = machine();
        fixture.converge(STATIC);
        fixture.harness.configure(config("[network]\ninterface = []\n"));
        let steps = fixture.harness.plan().unwrap();
        look(&fixture, |network| {
            network.objects.clear();
            network.missing_text = text;
        });
        let deletion = steps.iter().find(|step| step.summary.starts_with("delete 192")).unwrap();
        assert_eq!(fixture.harness.apply(deletion).unwrap(), Outcome::AlreadySo);
    }
}

/// The same when it goes between the look and the command, so that the program itself is heard.
#[test]
fn what_programs_say_of_an_object_that_is_gone_is_no_failure() {
    for text in [MissingText::ObjectNotFound, MissingText::AddressObjectNotFound, MissingText::Empty] {
        let (_root, host, machine) = Machine::start();
        machine.network(|network| network.missing_text = text);
        assert!(ipadm::run(&host, &ipadm::delete_address("e1000g0/sc1", false), "delete").is_err(), "{text:?}");
        ipadm::remove_address(&host, "e1000g0/sc1", false).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

#[test]
fn every_step_is_right_to_repeat_and_can_be_undone() {
    let mut fixture = machine();
    look(&fixture, |network| network.servers.insert("e1000g0".to_owned(), server(0)));
    fixture.converge(DHCP);
    fixture.harness.configure(config(&STATIC.replace("gateway", "mtu = 1400\ngateway")));
    let steps = fixture.harness.converge().unwrap().steps;
    for (step, _) in &steps {
        fixture.harness.apply(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
    }
    for (step, _) in steps.iter().rev() {
        fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}, again: {error:?}", step.summary));
    }
    assert_eq!(look(&fixture, |network| network.addresses()), ["e1000g0/scdhcp dhcp"]);
    assert_eq!(look(&fixture, |network| network.mtu("e1000g0")), Some(1500));
    assert_eq!(look(&fixture, |network| network.kept.clone()), []);
}

#[test]
fn what_somebody_has_made_until_the_next_boot_is_changed_until_then() {
    let mut fixture = machine();
    look(&fixture, |network| {
        network.add_object("e1000g0/v4", Kind::Static("192.0.2.10/24".parse().unwrap()));
        network.objects[0].persistent = false;
        network.objects[0].state = "down";
        network.plumb("vioif1", false);
    });
    let first = "[[network.interface]]\nmatch = { name = \"e1000g0\" }\naddresses = [\"192.0.2.10/24\"]\n";
    assert_eq!(fixture.converge(first), ["put 192.0.2.10/24 on e1000g0 into operation"]);
    let second = "[[network.interface]]\nmatch = { name = \"vioif1\" }\naddresses = []\nmtu = 1400\n";
    fixture.converge(&format!("{first}{second}"));
    assert_eq!(look(&fixture, |network| network.mtu("vioif1")), Some(1400));
    let commands = fixture.machine.commands();
    assert!(commands.iter().any(|command| command == "/usr/sbin/ipadm up-addr -t e1000g0/v4"), "{commands:#?}");
    let (message, help) = fixture.fail(&format!("{first}{}", second.replace("[]", "[\"198.51.100.1/24\"]")));
    assert_eq!(message, "cannot put 198.51.100.1/24 on vioif1");
    assert!(help.contains("made with -t"), "{help}");
}
