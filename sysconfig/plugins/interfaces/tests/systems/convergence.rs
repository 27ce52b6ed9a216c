//! Whatever a machine is like and whatever valid configuration comes, the machine becomes so, and then nothing is left.

use crate::support::Fixture;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Debug;
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_platform::stack::LinuxAddress;
use sysconfig_plugin::testing::Harness;

/// Two links; each has its networks, so that no two interfaces get in each other's way.
const LINKS: [[&str; 2]; 2] = [["net0", "net1"], ["eth0", "eth1"]];

/// One interface of a configuration, without its match: which link it is for decides its addresses.
#[derive(Clone, Debug)]
struct Wish {
    is_there: bool,
    dhcp: bool,
    dhcp6: bool,
    addrconf: bool,
    hosts4: Vec<u8>,
    hosts6: Vec<u8>,
    gateway: bool,
    route: bool,
    mtu: Option<u32>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let hosts = || proptest::collection::btree_set(2..9_u8, 0..3);
    let mtu = prop_oneof![Just(None), Just(Some(1280)), Just(Some(1400)), Just(Some(9000))];
    (flags, hosts(), hosts(), mtu).prop_map(
        |((is_there, dhcp, dhcp6, addrconf, gateway, route), hosts4, hosts6, mtu)| Wish {
            is_there,
            dhcp,
            dhcp6,
            addrconf,
            hosts4: hosts4.into_iter().collect(),
            hosts6: hosts6.into_iter().collect(),
            gateway,
            route,
            mtu,
        },
    )
}

impl Wish {
    fn interface(&self, at: usize, link: &str) -> Value {
        let mut addresses: Vec<String> = Vec::new();
        for (is_wanted, word) in [(self.dhcp, "dhcp"), (self.dhcp6, "dhcp6"), (self.addrconf, "addrconf")] {
            addresses.extend(is_wanted.then(|| word.to_owned()));
        }
        addresses.extend(self.hosts4.iter().map(|host| format!("198.51.{at}.{host}/24")));
        addresses.extend(self.hosts6.iter().map(|host| format!("2001:db8:{at}::{host}/64")));
        let mut interface = json!({ "match": { "name": link }, "addresses": addresses });
        // One default router for each machine; and only where the network of the gateway is known.
        if self.gateway && at == 0 && !self.hosts4.is_empty() {
            interface["gateway"] = json!("198.51.0.1");
        }
        if self.route && !self.hosts4.is_empty() {
            let via = format!("198.51.{at}.1");
            // The second lies in the first, and hides its first address.
            interface["routes"] = json!([
                { "to": format!("10.{at}.0.0/16"), "via": via },
                { "to": format!("10.{at}.0.0/24"), "via": via },
            ]);
        }
        if let Some(mtu) = self.mtu {
            interface["mtu"] = json!(mtu);
        }
        interface
    }
}

fn configuration(wishes: &[Wish; 2], links: [&str; 2]) -> Value {
    let interfaces = wishes.iter().zip(links).enumerate().filter(|(_, (wish, _))| wish.is_there);
    json!({ "network.interface": interfaces.map(|(at, (wish, link))| wish.interface(at, link)).collect::<Vec<_>>() })
}

/// What somebody else has put on a machine before.
#[derive(Clone, Debug)]
struct Before {
    foreign: [Vec<u8>; 2],
    addrconf: [bool; 2],
    dhcp: [bool; 2],
    up: [bool; 2],
    networkd: bool,
}

fn before() -> impl Strategy<Value = Before> {
    let hosts = || proptest::collection::btree_set(100..110_u8, 0..2).prop_map(|hosts| hosts.into_iter().collect());
    let pair = || [any::<bool>(), any::<bool>()];
    ([hosts(), hosts()], pair(), pair(), pair(), any::<bool>())
        .prop_map(|(foreign, addrconf, dhcp, up, networkd)| Before { foreign, addrconf, dhcp, up, networkd })
}

fn illumos_machine(before: &Before) -> Fixture<illumos::Machine> {
    use illumos::network::{Kind, Server};
    let fixture = Fixture::new(illumos::Machine::start());
    fixture.machine.network(|network| {
        for (at, link) in LINKS[0].into_iter().enumerate() {
            network.add_link(link, u8::try_from(at).unwrap());
            network.links.get_mut(link).unwrap().up = before.up[at];
            let address = format!("203.0.{at}.50/24").parse().unwrap();
            let server = Server { address, router: None, options: std::collections::BTreeMap::new(), looks: 2 };
            network.servers.insert(link.to_owned(), server);
            for host in &before.foreign[at] {
                let net = format!("192.0.{at}.{host}/24").parse().unwrap();
                network.add_object(&format!("{link}/v{host}"), Kind::Static(net));
            }
            if before.addrconf[at] {
                network.add_object(&format!("{link}/v6"), Kind::Addrconf { stateful: true, stateless: true });
            }
            if before.dhcp[at] {
                network.add_object(&format!("{link}/dhcp"), Kind::Dhcp);
            }
        }
        network.prefixes.push("2001:db8:ffff::9/64".parse().unwrap());
    });
    fixture
}

fn linux_machine(before: &Before) -> Fixture<linux::Machine> {
    let fixture = Fixture::new(linux::Machine::start());
    if before.networkd {
        fixture.machine.run_systemd(&fixture.root);
    }
    fixture.machine.network(|network| {
        network.has_networkd = before.networkd;
        network.has_dhcpcd = true;
        for (at, link) in LINKS[1].into_iter().enumerate() {
            let index = network.add_link(link);
            network.links[at].up = before.up[at];
            let address = format!("203.0.{at}.50/24").parse().unwrap();
            let dump = (String::new(), "ADDRESS=203.0.0.50\n".to_owned());
            network.servers.insert(link.to_owned(), linux::network::Server { address, router: None, dump });
            for host in &before.foreign[at] {
                let address = format!("192.0.{at}.{host}/24").parse().unwrap();
                let (dynamic, tentative, duplicate) = (false, false, false);
                network.addresses.push(LinuxAddress { index, address, dynamic, tentative, duplicate });
            }
        }
    });
    fixture
}

/// Applies a configuration. A plan that is refused has changed nothing and is told in words; that happens when a link
/// carries larger packets only after somebody else's addresses are off it.
fn converge(harness: &mut Harness, configuration: &Value) -> Result<(), TestCaseError> {
    prop_assert_eq!(harness.validate(configuration.clone()), vec![]);
    harness.configure(configuration.clone());
    let steps = match harness.plan() {
        Ok(steps) => steps,
        Err(error) => {
            prop_assert!(error.message.contains("which is not ours"), "{:?}", error);
            return Ok(());
        }
    };
    for step in &steps {
        let result = harness.apply(step);
        prop_assert!(result.is_ok(), "{}: {:?}\nof {:#?}", step.summary, result, summaries(&steps));
    }
    let left = harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    prop_assert!(left.is_empty(), "after {:#?}\nthere is still {:#?}", summaries(&steps), summaries(&left));
    Ok(())
}

fn summaries(steps: &[sysconfig_protocol::Step]) -> Vec<&str> {
    steps.iter().map(|step| step.summary.as_str()).collect()
}

fn cases() -> ProptestConfig {
    let cases = if test_judge::soak() { 1000 } else { 40 };
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn illumos_converges_from_anywhere(before in before(), all in proptest::collection::vec([wish(), wish()], 1..4)) {
        let mut fixture = illumos_machine(&before);
        let foreign = |network: &mut illumos::network::Network| -> Vec<String> {
            network.addresses().into_iter().filter(|address| !address.contains("/sc")).collect()
        };
        let untouched = fixture.machine.network(foreign);
        for wishes in &all {
            converge(&mut fixture.harness, &configuration(wishes, LINKS[0]))?;
        }
        prop_assert_eq!(fixture.machine.network(foreign), untouched, "what others made stays");
    }

    #[test]
    fn linux_converges_from_anywhere(before in before(), all in proptest::collection::vec([wish(), wish()], 1..4)) {
        let mut fixture = linux_machine(&before);
        let foreign = |network: &mut linux::network::Network| -> Vec<String> {
            network.shown().into_iter().filter(|address| address.contains(" 192.0.")).collect()
        };
        let untouched = fixture.machine.network(foreign);
        for wishes in &all {
            converge(&mut fixture.harness, &configuration(wishes, LINKS[1]))?;
        }
        prop_assert_eq!(fixture.machine.network(foreign), untouched, "what others made stays");
    }
}
