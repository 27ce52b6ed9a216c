//! What waits for what at boot. svc.startd puts the members of a cycle into maintenance, which stops a boot.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundles;
use crate::manifest::{attribute_of, elements, parse};

const SHARE: &str = "svc:/system/dev-9p-mount";
const DAEMON: &str = "svc:/system/installer/sysconfig";
const READY: &str = "svc:/system/dev-ready";

/// Service by service, what it waits for.
#[derive(Clone, Debug, Default)]
struct Graph(BTreeMap<String, BTreeSet<String>>);

/// The FMRI of the service, without that of an instance.
fn service_of(fmri: &str) -> &str {
    fmri.rfind(':').filter(|at| *at > "svc:".len()).map_or(fmri, |at| &fmri[..at])
}

impl Graph {
    fn known() -> Self {
        let mut graph = Self::default();
        for line in include_str!("known-services").lines().filter(|line| !line.starts_with('#')) {
            let (service, needs) = line.split_once(": ").unwrap_or((line, ""));
            let needs = needs.split_whitespace().map(|word| word.trim_matches(['[', ']']).to_owned());
            assert!(graph.0.insert(service.to_owned(), needs.collect()).is_none(), "{service} is there twice");
        }
        graph
    }

    fn add_bundle(&mut self, text: &str) {
        let document = parse(text).expect("a manifest");
        for service in elements(document.root_element()) {
            let name = format!("svc:/{}", attribute_of(service, "name").expect("a name"));
            self.0.entry(name.clone()).or_default();
            for child in service.descendants() {
                let fmris = elements(child).filter_map(|child| attribute_of(child, "value"));
                let fmris = fmris.map(|fmri| service_of(fmri).to_owned());
                match child.tag_name().name() {
                    "dependency" if attribute_of(child, "grouping") != Some("exclude_all") => {
                        self.0.entry(name.clone()).or_default().extend(fmris);
                    }
                    "dependent" => fmris.for_each(|fmri| {
                        self.0.entry(fmri).or_default().insert(name.clone());
                    }),
                    _ => (),
                }
            }
        }
    }

    fn of_the_image() -> Self {
        let mut graph = Self::known();
        bundles().iter().for_each(|(_, text)| graph.add_bundle(text));
        graph
    }

    /// Everything that has to be up before `service` is started; itself only in a cycle.
    fn before(&self, service: &str) -> BTreeSet<String> {
        let mut before = BTreeSet::new();
        let mut open: Vec<&String> = self.0.get(service).into_iter().flatten().collect();
        while let Some(next) = open.pop() {
            if before.insert(next.clone()) {
                open.extend(self.0.get(next).into_iter().flatten());
            }
        }
        before
    }

    /// The services that wait for themselves.
    fn cycles(&self) -> Vec<&str> {
        self.0.keys().filter(|service| self.before(service).contains(*service)).map(String::as_str).collect()
    }
}

/// Every service that a manifest may name: illumos' and ours.
pub(crate) fn known_services() -> BTreeSet<String> {
    Graph::of_the_image().0.into_keys().collect()
}

#[test]
fn no_service_waits_for_itself() {
    assert_eq!(Graph::of_the_image().cycles(), [""; 0]);
}

/// The trap: a daemon that comes before the machine's name, and a share that waits for all local file systems, which
/// wait for the name.
#[test]
fn a_cycle_would_be_found() {
    let mut graph = Graph::of_the_image();
    graph.add_bundle(
        "<service_bundle><service name='system/installer/sysconfig'>
            <dependent><service_fmri value='svc:/system/identity:node'/></dependent></service>
        <service name='system/dev-9p-mount'>
            <dependency><service_fmri value='svc:/system/filesystem/local:default'/></dependency></service>
        </service_bundle>",
    );
    let cycles = graph.cycles();
    for member in [SHARE, DAEMON, "svc:/system/identity", "svc:/milestone/single-user", "svc:/system/filesystem/local"]
    {
        assert!(cycles.contains(&member), "{member}: {cycles:?}");
    }
    assert!(!cycles.contains(&"svc:/system/filesystem/minimal"));
}

#[test]
fn the_order_is_the_promised_one() {
    let graph = Graph::of_the_image();
    assert!(graph.before(DAEMON).contains(SHARE), "plugins are in the share");
    let ready = graph.before(READY);
    for service in [SHARE, DAEMON, "svc:/network/ssh", "svc:/milestone/multi-user-server"] {
        assert!(ready.contains(service), "{service} before the guest says that it is ready");
    }
    // Early: neither waits for a milestone of the boot but that of the devices.
    for service in [SHARE, DAEMON] {
        let before = graph.before(service);
        let late = ["svc:/milestone/single-user", "svc:/milestone/network", "svc:/system/identity"];
        assert!(late.iter().all(|late| !before.contains(*late)), "{service}: {before:?}");
        assert!(before.contains("svc:/system/filesystem/minimal"));
    }
    // What was configured for good is brought up by the system, at the same interfaces that the daemon configures.
    let physical = "svc:/network/physical";
    assert!(graph.before(DAEMON).contains(physical) && !graph.before(SHARE).contains(physical));
    assert!(graph.before(SHARE).contains("svc:/milestone/devices"), "/dev/9p is made by then");
}

/// A daemon under development hangs and fails. Neither the login nor the network may wait for it.
#[test]
fn nothing_of_the_system_waits_for_ours() {
    let graph = Graph::of_the_image();
    for service in Graph::known().0.keys() {
        let before = graph.before(service);
        assert!([SHARE, DAEMON, READY].iter().all(|ours| !before.contains(*ours)), "{service}");
    }
}
