//! The plugin on a simulated illumos machine.

use crate::support::Fixture;
use serde_json::{Value, json};
use sysconfig_platform::fake::illumos::Machine;
use sysconfig_platform::nwam::NWAM;
use sysconfig_platform::resolver::{DNS_CLIENT, NAME_CACHE};
use sysconfig_platform::smf::State;

fn dns() -> Value {
    json!({ "servers": ["10.0.2.3"], "search": ["example.org"] })
}

#[test]
fn a_fresh_machine_gets_file_switch_client_and_a_new_cache() {
    let mut fixture = Fixture::new(Machine::start());
    let steps = fixture.converge(&dns());
    assert_eq!(
        steps,
        [
            "write /etc/resolv.conf",
            "write /etc/nsswitch.conf",
            "enable svc:/network/dns/client:default",
            "restart svc:/system/name-service-cache:default",
        ]
    );
    assert!(fixture.read("/etc/resolv.conf").ends_with("\nsearch example.org\nnameserver 10.0.2.3\n"));
    assert_eq!(
        fixture.read("/etc/nsswitch.conf"),
        "passwd:     files\ngroup:      files\nhosts:\tfiles dns\nipnodes:\tfiles dns\nnetworks:   files\n"
    );
    assert!(fixture.read("/etc/nsswitch.conf.sysconfig-orig").contains("hosts:      files\n"));
    assert_eq!(fixture.machine.state(DNS_CLIENT), Some(State::Online));
    assert_eq!(fixture.machine.restarts(), [NAME_CACHE]);
    for command in fixture.machine.commands() {
        assert!(!command.contains("svccfg"), "there is nothing to set in the repository: {command}");
        assert!(command.contains(" svc:/"), "full names only: {command}");
    }
}

#[test]
fn new_servers_are_one_file_and_a_new_cache() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.converge(&dns());
    let steps = fixture.converge(&json!({ "servers": ["192.0.2.53"] }));
    assert_eq!(steps, ["write /etc/resolv.conf", "restart svc:/system/name-service-cache:default"]);
}

#[test]
fn a_machine_without_the_cache_is_not_given_one() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.machine.set_state(NAME_CACHE, State::Disabled);
    let steps = fixture.converge(&dns());
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert_eq!(fixture.machine.state(NAME_CACHE), Some(State::Disabled));
}

#[test]
fn a_missing_switch_is_made_from_the_delivered_template() {
    let mut fixture = Fixture::new(Machine::start());
    std::fs::remove_file(fixture.root.locate("/etc/nsswitch.conf")).unwrap();
    fixture.converge(&dns());
    assert_eq!(fixture.read("/etc/nsswitch.conf"), fixture.read("/etc/nsswitch.dns"));
}

#[test]
fn a_client_in_maintenance_is_cleared() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.machine.set_state(DNS_CLIENT, State::Maintenance);
    fixture.converge(&dns());
    assert_eq!(fixture.machine.state(DNS_CLIENT), Some(State::Online));
}

#[test]
fn a_system_without_the_client_is_explained() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.machine.remove_service(DNS_CLIENT);
    fixture.harness.configure(json!({ "network.dns": dns() }));
    let error = fixture.harness.converge().unwrap_err();
    assert_eq!(error.message, "cannot enable the DNS client");
    let causes = error.data.unwrap().causes;
    assert_eq!(causes, ["there is no service svc:/network/dns/client:default"]);
}

#[test]
fn the_automatic_network_is_refused_with_the_way_out() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.machine.set_state(NWAM, State::Online);
    let (message, help) = fixture.refusal(&dns());
    assert!(message.contains("NWAM"), "{message}");
    assert!(help.contains("svcadm disable -s svc:/network/physical:nwam"), "{help}");
    assert!(!fixture.root.locate("/etc/resolv.conf").exists());
}

#[test]
fn a_file_of_the_network_services_dhcp_is_refused() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.write("/etc/resolv.conf", "nameserver 192.0.2.1 # Added by DHCP\n");
    let (message, _) = fixture.refusal(&dns());
    assert!(message.contains("Added by DHCP"), "{message}");
}

#[test]
fn everything_can_be_undone() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.harness.configure(json!({ "network.dns": dns() }));
    let steps = fixture.harness.converge().unwrap().steps;
    for (step, _) in steps.iter().rev() {
        fixture.harness.undo(step).unwrap();
    }
    assert!(!fixture.root.locate("/etc/resolv.conf").exists());
    assert!(fixture.read("/etc/nsswitch.conf").contains("hosts:\tfiles\n"));
    assert_eq!(fixture.machine.state(DNS_CLIENT), Some(State::Disabled));
    let restarts = fixture.machine.restarts().len();
    assert_eq!(restarts, 3, "once when applied, once after each file was restored");
}

/// Trap 8: nobody else writes the name servers of a lease down.
#[test]
fn name_servers_of_a_lease_have_their_place() {
    use sysconfig_platform::fake::illumos::network::{Kind, Server};
    let mut fixture = Fixture::new(Machine::start());
    let dns = json!({ "servers": ["10.9.9.9", "dhcp"], "search": ["dhcp"] });
    let only = json!({ "servers": ["dhcp"] });
    assert_eq!(fixture.converge(&only), Vec::<String>::new(), "there is no lease yet");
    fixture.machine.network(|network| {
        network.add_link("net0", 1);
        let options = [
            ("DNSserv", vec!["10.0.2.3".to_owned(), "not an address".to_owned()]),
            ("DNSdmain", vec!["example.org".to_owned()]),
        ];
        let (address, options) = ("10.0.2.15/24".parse().unwrap(), options.into());
        network.servers.insert("net0".to_owned(), Server { address, router: None, options, looks: 0 });
        network.add_object("net0/dhcp", Kind::Dhcp);
    });
    fixture.converge(&dns);
    let content = fixture.read("/etc/resolv.conf");
    assert!(content.ends_with("\nsearch example.org\nnameserver 10.9.9.9\nnameserver 10.0.2.3\n"), "{content}");
}

/// Whoever ends between the files and the restart of the cache is followed by one that restarts it.
#[test]
fn a_cache_that_was_not_restarted_is_restarted() {
    let mut fixture = Fixture::new(Machine::start());
    fixture.converge(&dns());
    fixture.harness.configure(json!({ "network.dns": { "servers": ["192.0.2.53"] } }));
    let steps = fixture.harness.plan().unwrap();
    fixture.harness.apply(&steps[0]).unwrap();
    let left = fixture.converge(&json!({ "servers": ["192.0.2.53"] }));
    assert_eq!(left, ["restart svc:/system/name-service-cache:default"]);
}
