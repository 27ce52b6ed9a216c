//! The plugin on a simulated illumos machine: routes that the kernel has, loses, and does not tell of.

use crate::illumos::{STATIC, look, machine, server};
use crate::support::{Fixture, config};
use std::fs;
use sysconfig_platform::fake::illumos::Machine;
use sysconfig_platform::fake::illumos::network::Network;

#[test]
fn another_address_takes_the_place_of_the_first_with_its_routes() {
    let mut fixture = machine();
    fixture.converge(STATIC);
    let steps = fixture.converge(&STATIC.replace("192.0.2.10/24", "192.0.2.11/24"));
    assert_eq!(
        steps,
        [
            "delete 192.0.2.10/24 from e1000g0",
            "put 192.0.2.11/24 on e1000g0",
            "add the route default via 192.0.2.1",
            "add the route 10.0.0.0/8 via 192.0.2.2",
        ],
        "the kernel drops routes with the address that led to their gateway"
    );
    assert_eq!(look(&fixture, |network| network.kernel.len()), 2);
}

/// Trap 24: the kernel answers with the longest match.
#[test]
fn the_default_route_is_not_taken_for_a_network_of_its_own() {
    let mut fixture = machine();
    fixture.converge(&STATIC.replace("routes", "#"));
    let steps = fixture.converge(STATIC);
    assert_eq!(steps, ["add the route 10.0.0.0/8 via 192.0.2.2"]);
}

/// The other half of it: a smaller network, of a route or of a link, hides a larger one with the same first address.
#[test]
fn a_route_is_seen_behind_smaller_ones() {
    let mut fixture = machine();
    let routes = r#"routes = [
        { to = "10.0.0.0/8", via = "192.0.2.2" },
        { to = "10.0.0.0/16", via = "192.0.2.3" },
        { to = "10.1.0.0/24", via = "192.0.2.4" },
        { to = "192.0.0.0/16", via = "192.0.2.5" },
        { to = "192.0.2.0/23", via = "192.0.2.6" },
    ]"#;
    fixture.converge(&STATIC.replace(r#"routes = [{ to = "10.0.0.0/8", via = "192.0.2.2" }]"#, routes));
    assert_eq!(look(&fixture, |network| network.kernel.len()), 6, "with the default route");
}

/// With two routes to one network `route get` names one of them, and that is no word about the other.
#[test]
fn a_route_of_somebody_elses_to_the_same_place_is_not_ours() {
    let mut fixture = machine();
    fixture.converge(STATIC);
    let route = |via: &str| sysconfig_platform::Route { to: "10.0.0.0/8".parse().unwrap(), via: via.parse().unwrap() };
    look(&fixture, |network| {
        network.kernel.retain(|known| *known != route("192.0.2.2"));
        network.kernel.insert(0, route("192.0.2.9"));
    });
    assert_eq!(fixture.converge(STATIC), ["add the route 10.0.0.0/8 via 192.0.2.2"]);
    let left = look(&fixture, |network| network.kernel.clone());
    assert!(left.contains(&route("192.0.2.2")) && left.contains(&route("192.0.2.9")), "{left:?}");
}

#[test]
fn routes_of_others_stay_and_the_older_file_is_reported() {
    let mut fixture = machine();
    let foreign = sysconfig_platform::Route { to: "172.16.0.0/12".parse().unwrap(), via: "192.0.2.3".parse().unwrap() };
    look(&fixture, |network| network.kept.push(foreign));
    fs::write(fixture.root.locate("/etc/defaultrouter"), "192.0.2.254\n").unwrap();
    fixture.converge(STATIC);
    fixture.converge("[network]\ninterface = []\n");
    assert_eq!(look(&fixture, |network| network.kept.clone()), [foreign]);
    let logs = fixture.harness.logs();
    assert!(logs.iter().any(|log| log.message.contains("/etc/defaultrouter names the router 192.0.2.254")), "{logs:?}");
}

/// Two default routers, one of a lease: `route get` answers with either, so it does not tell that ours is gone.
fn beside_a_lease(address: &str) -> String {
    let fixed = STATIC.replace("192.0.2.10/24", address);
    format!("{fixed}\n[[network.interface]]\nmatch = {{ name = \"vioif1\" }}\naddresses = [\"dhcp\"]\n")
}

pub(crate) fn default_routers(fixture: &Fixture<Machine>) -> Vec<String> {
    let shown = |network: &mut Network| {
        let defaults = network.kernel.iter().filter(|route| route.is_default());
        defaults.map(|route| route.via.to_string()).collect::<Vec<_>>()
    };
    let mut routers = look(fixture, shown);
    routers.sort();
    routers
}

#[test]
fn a_route_that_went_with_an_address_is_added_although_the_steps_were_cut_short() {
    let mut fixture = machine();
    look(&fixture, |network| network.servers.insert("vioif1".to_owned(), server(1)));
    fixture.converge(&beside_a_lease("192.0.2.10/24"));
    assert_eq!(default_routers(&fixture), ["10.0.2.2", "192.0.2.1"]);
    fixture.harness.configure(config(&beside_a_lease("192.0.2.11/24")));
    let first = fixture.harness.plan().unwrap().remove(0);
    assert_eq!(first.summary, "delete 192.0.2.10/24 from e1000g0");
    fixture.harness.apply(&first).unwrap();
    assert_eq!(default_routers(&fixture), ["10.0.2.2"]);
    // Here the daemon was killed, and another one looks anew.
    fixture.apply_configured();
    assert_eq!(default_routers(&fixture), ["10.0.2.2", "192.0.2.1"]);
}

#[test]
fn an_address_that_is_put_back_gets_its_routes_again() {
    let mut fixture = machine();
    look(&fixture, |network| network.servers.insert("vioif1".to_owned(), server(1)));
    fixture.converge(&beside_a_lease("192.0.2.10/24"));
    fixture.harness.configure(config(&beside_a_lease("192.0.2.11/24")));
    let steps = fixture.harness.plan().unwrap();
    for step in &steps {
        fixture.harness.apply(step).unwrap();
    }
    for step in steps.iter().rev() {
        fixture.harness.undo(step).unwrap();
    }
    let addresses = look(&fixture, |network| network.addresses());
    assert!(addresses.contains(&"e1000g0/sc1 192.0.2.10/24".to_owned()), "{addresses:?}");
    assert_eq!(default_routers(&fixture), ["10.0.2.2", "192.0.2.1"]);
}
