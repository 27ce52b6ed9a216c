//! The plugin's process ends at every command, at every change of the kernel's network and of a file; then another one goes on.

use crate::support::{Fixture, config};
use crate::{illumos, linux};
use plugin_testing::stopped;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use sysconfig_platform::fake::illumos::Machine as Illumos;
use sysconfig_platform::fake::linux::Machine as Linux;
use sysconfig_plugin_interfaces::InterfacesPlugin;

const NOTHING: &str = "[network]\ninterface = []\n";

/// A configuration for each system: fixed addresses, others of them, leases, and what routers advertise.
fn configurations(link: &str) -> [String; 5] {
    let of = |rest: &str| format!("[[network.interface]]\nmatch = {{ name = \"{link}\" }}\n{rest}\n");
    [
        NOTHING.to_owned(),
        of("addresses = [\"192.0.2.10/24\", \"2001:db8::5/64\"]\ngateway = \"192.0.2.1\"\nmtu = 1400\n\
            routes = [{ to = \"10.0.0.0/8\", via = \"192.0.2.2\" }]"),
        of("addresses = [\"192.0.2.11/24\", \"192.0.2.12/24\"]\ngateway = \"192.0.2.3\""),
        of("addresses = [\"dhcp\"]"),
        of("addresses = [\"addrconf\", \"192.0.2.10/24\"]\nmtu = 1300"),
    ]
}

/// Goes from each configuration to the next one; from each to each other one with the soak tests.
fn check<M, S: Debug + PartialEq>(
    link: &str,
    machine: fn() -> Fixture<M>,
    state: fn(&Fixture<M>) -> S,
) -> BTreeSet<String> {
    let configurations = configurations(link);
    let count = configurations.len();
    let mut kinds = BTreeSet::new();
    for from in 0..count {
        let next = if test_judge::soak() { count - 1 } else { 1 };
        for to in (1..=next).map(|step| (from + step) % count) {
            kinds.extend(check_way(machine, state, (&configurations[from], &configurations[to])));
        }
    }
    kinds
}

fn check_way<M, S: Debug + PartialEq>(
    machine: fn() -> Fixture<M>,
    state: fn(&Fixture<M>) -> S,
    (from, to): (&str, &str),
) -> BTreeSet<String> {
    let start = || {
        let mut fixture = machine();
        fixture.converge(from);
        fixture
    };
    let mut whole = start();
    whole.converge(to);
    let expected = (state(&whole), files(&whole));
    stopped::everywhere(|places| {
        let mut fixture = start();
        let stopped = stopped::apply(InterfacesPlugin::new, &fixture.host, &config(to), places)?;
        let about = format!("from {from}to {to}, stopped at {places}: {stopped}");
        fixture.restart();
        fixture.harness.configure(config(to));
        let converged = fixture.harness.converge().unwrap_or_else(|error| panic!("{error:?}, {about}"));
        assert_eq!(converged.diagnostics, [], "{about}");
        let left: Vec<String> = fixture.harness.plan().unwrap().into_iter().map(|step| step.summary).collect();
        assert_eq!(left, [""; 0], "the second plan is empty, {about}");
        assert_eq!((state(&fixture), files(&fixture)), expected, "{about}");
        Some(stopped)
    })
}

/// What is kept for the next boot, what clients and networkd read, and what the plugin remembers.
fn files<M>(fixture: &Fixture<M>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let directories = ["/etc/systemd/network", "/run/sysconfig", "/var/lib/sysconfig"];
    let mut directories: Vec<_> = directories.iter().map(|path| fixture.root.locate(path)).collect();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(fixture.root.locate("/")).unwrap().display().to_string();
                found.push((path, fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn of_linux(fixture: &Fixture<Linux>) -> String {
    fixture.machine.network(|network| {
        let mut addresses = network.shown();
        addresses.sort();
        let mut routes: Vec<String> = network.routes.iter().map(|route| format!("{route:?}")).collect();
        routes.sort();
        let mtus: Vec<u32> = network.links.iter().map(|link| link.mtu).collect();
        format!("{addresses:#?} {routes:#?} {mtus:?}")
    })
}

/// The numbers of address objects, which mean nothing, are left out.
fn of_illumos(fixture: &Fixture<Illumos>) -> String {
    fixture.machine.network(|network| {
        let without_number = |row: String| {
            let (object, rest) = row.split_once(' ').unwrap();
            format!("{} {rest}", object.trim_end_matches(|c: char| c.is_ascii_digit()))
        };
        let mut addresses: Vec<String> = network.addresses().into_iter().map(without_number).collect();
        addresses.sort();
        let mut kept: Vec<String> = network.kept.iter().map(|route| format!("{route:?}")).collect();
        kept.sort();
        format!("{addresses:#?} {kept:#?} {:?} {}", network.mtu("e1000g0"), network.has_interface("e1000g0"))
    })
}

#[test]
fn after_a_stop_anywhere_with_the_kernel_the_next_apply_converges() {
    let kinds = check("eth0", linux::machine, of_linux);
    // Waiting changes nothing: who stops there leaves what the step before it has left.
    for kind in ["up", "set-mtu", "add-address", "delete-address", "add-route", "delete-route", "start", "release"] {
        assert!(kinds.contains(kind), "never stopped in the middle of {kind}: {kinds:?}");
    }
}

#[test]
fn after_a_stop_anywhere_with_networkd_the_next_apply_converges() {
    let kinds = check("eth0", linux::with_networkd, of_linux);
    for kind in ["file", "set-mtu"] {
        assert!(kinds.contains(kind), "never stopped in the middle of {kind}: {kinds:?}");
    }
}

fn illumos_with_server() -> Fixture<Illumos> {
    let fixture = illumos::machine();
    illumos::look(&fixture, |network| network.servers.insert("e1000g0".to_owned(), illumos::server(0)));
    fixture
}

#[test]
fn after_a_stop_anywhere_on_illumos_the_next_apply_converges() {
    let kinds = check("e1000g0", illumos_with_server, of_illumos);
    for kind in ["create-interface", "set-mtu", "create", "delete", "add-route", "delete-route"] {
        assert!(kinds.contains(kind), "never stopped in the middle of {kind}: {kinds:?}");
    }
}
