//! Whatever a machine is like and whatever valid configuration comes, the machine becomes so, and then nothing is left.
//!
//! Whether it has become so is not asked of the planner: `oracle` compares the machine with the configuration.

use crate::oracle::{self, Wanted};
use crate::support::Fixture;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use sysconfig_platform::Route;
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_platform::stack::{LinuxAddress, LinuxRoute};
use sysconfig_plugin::testing::Harness;

/// Two links; each has its networks, so that no two interfaces get in each other's way.
pub(crate) const LINKS: [[&str; 2]; 2] = [["net0", "net1"], ["eth0", "eth1"]];

/// How an interface says which link it is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Match {
    Name,
    Mac,
    FirstUp,
}

/// Over what a default router is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gateway {
    None,
    /// A fixed IPv4 address of a network of its own.
    Fixed,
    /// The network in which leases are, whose server tells the same router.
    Leased,
    /// A fixed IPv6 address.
    Fixed6,
    /// No network: the router's address is good for the link only.
    LinkLocal,
}

/// One interface of a configuration.
#[derive(Clone, Debug)]
struct Wish {
    is_there: bool,
    selector: Match,
    dhcp: bool,
    dhcp6: bool,
    addrconf: bool,
    optional: bool,
    hosts4: Vec<u8>,
    /// In the network of the leases.
    beside_lease: bool,
    hosts6: Vec<u8>,
    gateway: Gateway,
    route: bool,
    mtu: Option<u32>,
}

fn wish() -> impl Strategy<Value = Wish> {
    use Gateway::{Fixed, Fixed6, Leased, LinkLocal, None as NoGateway};
    let flags = proptest::array::uniform7(any::<bool>());
    let hosts = || proptest::collection::btree_set(2..9_u8, 0..3).prop_map(|hosts| hosts.into_iter().collect());
    let mtu = prop_oneof![Just(None), Just(Some(1280)), Just(Some(1400)), Just(Some(9000))];
    let gateway = prop::sample::select(vec![NoGateway, Fixed, Leased, Leased, Fixed6, LinkLocal]);
    let selector = prop::sample::select(vec![Match::Name, Match::Mac, Match::FirstUp]);
    (flags, selector, hosts(), hosts(), gateway, mtu).prop_map(|(flags, selector, hosts4, hosts6, gateway, mtu)| {
        let [is_there, dhcp, dhcp6, addrconf, optional, beside_lease, route] = flags;
        Wish { is_there, selector, dhcp, dhcp6, addrconf, optional, hosts4, beside_lease, hosts6, gateway, route, mtu }
    })
}

impl Wish {
    fn fixed(&self, at: usize) -> Vec<String> {
        let own = self.hosts4.iter().map(|host| format!("198.51.{at}.{host}/24"));
        // Where the link is chosen by its signal, it is not known which network its leases are in.
        let beside = (self.beside_lease && self.selector != Match::FirstUp).then(|| format!("203.0.{at}.20/24"));
        own.chain(beside).chain(self.hosts6.iter().map(|host| format!("2001:db8:{at}::{host}/64"))).collect()
    }

    /// The default router, when it can be reached.
    fn router(&self, at: usize) -> Option<String> {
        let (has4, has6) = (!self.hosts4.is_empty(), !self.hosts6.is_empty());
        let is_named = self.selector != Match::FirstUp;
        // With an optional one the lease, and the route with it, may come after the end of the test.
        let has_lease_net = is_named && (self.beside_lease || self.dhcp && !self.optional);
        Some(match self.gateway {
            Gateway::Fixed if has4 => format!("198.51.{at}.1"),
            Gateway::Leased if has_lease_net => format!("203.0.{at}.1"),
            Gateway::Fixed6 if has6 => format!("2001:db8:{at}::1"),
            Gateway::LinkLocal if has6 || self.addrconf => "fe80::1".to_owned(),
            _ => return None,
        })
    }

    fn routes(&self, at: usize) -> Vec<[String; 2]> {
        let mut routes = Vec::new();
        if self.route && !self.hosts4.is_empty() {
            // The second lies in the first, and hides its first address.
            routes.extend([16, 24].map(|length| [format!("10.{at}.0.0/{length}"), format!("198.51.{at}.1")]));
        }
        if self.route && !self.hosts6.is_empty() {
            routes.push([format!("fd00:{at}::/32"), format!("2001:db8:{at}::1")]);
            routes.push([format!("fd01:{at}::/32"), "fe80::2".to_owned()]);
        }
        routes
    }

    fn interface(&self, at: usize, system: usize, may_route: bool) -> Value {
        let words = [(self.dhcp, "dhcp"), (self.dhcp6, "dhcp6"), (self.addrconf, "addrconf")];
        let words = words.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, word)| word.to_owned());
        let addresses: Vec<String> = words.chain(self.fixed(at)).collect();
        let selector = match self.selector {
            Match::Name => json!({ "name": LINKS[system][at] }),
            Match::Mac => json!({ "mac": mac(system, at) }),
            Match::FirstUp => json!({ "first-up": true }),
        };
        let routes: Vec<_> = self.routes(at).into_iter().map(|[to, via]| json!({ "to": to, "via": via })).collect();
        let mut interface = json!({
            "match": selector, "addresses": addresses, "routes": routes, "optional": self.optional, "lease-deadline": "5s",
        });
        if let Some(router) = self.router(at).filter(|_| may_route) {
            interface["gateway"] = json!(router);
        }
        if let Some(mtu) = self.mtu {
            interface["mtu"] = json!(mtu);
        }
        interface
    }
}

fn mac(system: usize, at: usize) -> String {
    match system {
        0 => format!("02:08:20:ab:01:0{at}"),
        _ => format!("52:54:00:12:34:0{}", at + 2),
    }
}

/// Interfaces of a machine, one for each link at most, and perhaps one for a link that is not there.
#[derive(Clone, Debug)]
struct Wishes {
    wishes: [Wish; 2],
    absent: bool,
}

fn wishes() -> impl Strategy<Value = Wishes> {
    ([wish(), wish()], any::<bool>()).prop_map(|(mut wishes, absent)| {
        if wishes[0].is_there && wishes[0].selector == Match::FirstUp && wishes[1].selector == Match::FirstUp {
            wishes[1].selector = Match::Name;
        }
        Wishes { wishes, absent }
    })
}

impl Wishes {
    fn present(&self) -> impl Iterator<Item = (usize, &Wish)> {
        self.wishes.iter().enumerate().filter(|(_, wish)| wish.is_there)
    }

    fn configuration(&self, system: usize) -> Value {
        // There is one default router for each family.
        let first = self.present().next().map(|(at, _)| at);
        let mut interfaces: Vec<_> =
            self.present().map(|(at, wish)| wish.interface(at, system, Some(at) == first)).collect();
        if self.absent {
            interfaces.push(json!({ "match": { "name": "e7" }, "addresses": ["dhcp"], "optional": true }));
        }
        json!({ "network.interface": interfaces })
    }

    /// The configuration by links, as the oracle is told. `chosen` is the link that was the first with a signal before.
    fn by_links(&self, system: usize, signals: [bool; 2], chosen: &mut Option<usize>) -> BTreeMap<String, Wanted> {
        let first = self.present().next().map(|(at, _)| at);
        let taken: Vec<usize> =
            self.present().filter(|(_, wish)| wish.selector != Match::FirstUp).map(|(at, _)| at).collect();
        let free: Vec<usize> = (0..2).filter(|link| !taken.contains(link)).collect();
        let mut wanted = BTreeMap::new();
        for (at, wish) in self.present() {
            let mut link = at;
            if wish.selector == Match::FirstUp {
                let kept = chosen.filter(|link| free.contains(link));
                link = kept.or_else(|| free.iter().copied().find(|link| signals[*link])).unwrap_or(free[0]);
                *chosen = Some(link);
            }
            let fixed = wish.fixed(at).iter().map(|address| address.parse().unwrap()).collect();
            let router = wish.router(at).filter(|_| Some(at) == first);
            wanted.insert(
                LINKS[system][link].to_owned(),
                Wanted::new(fixed, [wish.dhcp, wish.dhcp6, wish.addrconf, wish.optional], wish.mtu)
                    .with_routes(router.as_deref(), &wish.routes(at)),
            );
        }
        wanted
    }
}

/// What somebody else has put on a machine before.
#[derive(Clone, Debug)]
struct Before {
    foreign: [Vec<u8>; 2],
    addrconf: [bool; 2],
    dhcp: [bool; 2],
    up: [bool; 2],
    disabled: [bool; 2],
    networkd: bool,
    /// The link over which Linux has heard of a router.
    advertised: Option<usize>,
}

fn before() -> impl Strategy<Value = Before> {
    let hosts = || proptest::collection::btree_set(100..110_u8, 0..2).prop_map(|hosts| hosts.into_iter().collect());
    let pair = || [any::<bool>(), any::<bool>()];
    let advertised = proptest::option::of(0..2_usize);
    ([hosts(), hosts()], pair(), pair(), pair(), pair(), any::<bool>(), advertised).prop_map(
        |(foreign, addrconf, dhcp, up, disabled, networkd, advertised)| Before {
            foreign,
            addrconf,
            dhcp,
            up,
            disabled,
            networkd,
            advertised,
        },
    )
}

fn illumos_machine(before: &Before) -> Fixture<illumos::Machine> {
    use illumos::network::{Kind, Server};
    let fixture = Fixture::new(illumos::Machine::start());
    fixture.machine.network(|network| {
        for (at, link) in LINKS[0].into_iter().enumerate() {
            network.add_link(link, u8::try_from(at).unwrap());
            network.links.get_mut(link).unwrap().up = before.up[at];
            let router = format!("203.0.{at}.1").parse().ok();
            let address = format!("203.0.{at}.50/24").parse().unwrap();
            network.servers.insert(link.to_owned(), Server { address, router, options: BTreeMap::new(), looks: 2 });
            let address = format!("2001:db8:6:{at}::50/64").parse().unwrap();
            let options = [("2", vec!["1,1,745123456,02:08:20:AB:01:0F".to_owned()])].into();
            network.servers6.insert(link.to_owned(), Server { address, router: None, options, looks: 2 });
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
            if before.disabled[at] {
                network.disable(link);
            }
        }
        network.prefixes.push("2001:db8:ffff::9/64".parse().unwrap());
    });
    fixture
}

fn linux_machine(before: &Before) -> Fixture<linux::Machine> {
    use linux::network::Server;
    let fixture = Fixture::new(linux::Machine::start());
    if before.networkd {
        fixture.machine.run_systemd(&fixture.root);
    }
    fixture.machine.network(|network| {
        network.has_networkd = before.networkd;
        network.has_dhcpcd = true;
        if let Some(at) = before.advertised {
            let route = Route::default_over("fe80::9".parse().unwrap());
            let index = u32::try_from(at + 2).unwrap();
            network.routes.push(LinuxRoute { route, index, metric: 1024, advertised: true, source: None });
        }
        for (at, link) in LINKS[1].into_iter().enumerate() {
            let index = network.add_link(link);
            (network.links[at].up, network.links[at].running) = (before.up[at], before.up[at]);
            // As the kernel has it where nobody has changed it.
            let values = fixture.root.locate(format!("/proc/sys/net/ipv4/conf/{link}"));
            std::fs::create_dir_all(&values).unwrap();
            std::fs::write(values.join("promote_secondaries"), "0\n").unwrap();
            let dump = |address: &str| (String::new(), format!("ADDRESS={address}\n"));
            let router = format!("203.0.{at}.1").parse().ok();
            let address = format!("203.0.{at}.50/24").parse().unwrap();
            network.servers.insert(link.to_owned(), Server { address, router, dump: dump("203.0.0.50") });
            let address = format!("2001:db8:6:{at}::50/128").parse().unwrap();
            network.servers6.insert(link.to_owned(), Server { address, router: None, dump: dump("") });
            for host in &before.foreign[at] {
                let address = format!("192.0.{at}.{host}/24").parse().unwrap();
                network.addresses.push(LinuxAddress::fixed(index, address));
            }
        }
    });
    fixture
}

/// Applies a configuration; answers whether that was done. A plan that is refused has changed nothing and is told in
/// words; that happens when a link carries larger packets only after somebody else's addresses are off it.
fn converge(harness: &mut Harness, configuration: &Value) -> Result<bool, TestCaseError> {
    prop_assert_eq!(harness.validate(configuration.clone()), vec![]);
    harness.configure(configuration.clone());
    let steps = match harness.plan() {
        Ok(steps) => steps,
        Err(error) => {
            prop_assert!(error.message.contains("which is not ours"), "{:?}", error);
            return Ok(false);
        }
    };
    for step in &steps {
        let result = harness.apply(step);
        prop_assert!(result.is_ok(), "{}: {:?}\nof {:#?}", step.summary, result, summaries(&steps));
    }
    if steps.iter().any(|step| step.action == "look") {
        // The daemon is told to plan anew then.
        return converge(harness, configuration);
    }
    let left = harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    prop_assert!(left.is_empty(), "after {:#?}\nthere is still {:#?}", summaries(&steps), summaries(&left));
    Ok(true)
}

fn summaries(steps: &[sysconfig_protocol::Step]) -> Vec<&str> {
    steps.iter().map(|step| step.summary.as_str()).collect()
}

fn cases() -> ProptestConfig {
    let cases = if test_judge::soak() { 1000 } else { 40 };
    // Each failure may take the time of a lease that does not come.
    ProptestConfig { cases, max_shrink_time: 60_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn illumos_converges_from_anywhere(before in before(), all in proptest::collection::vec(wishes(), 1..4)) {
        let mut fixture = illumos_machine(&before);
        let foreign = |network: &mut illumos::network::Network| -> Vec<String> {
            network.addresses().into_iter().filter(|address| !address.contains("/sc")).collect()
        };
        let untouched = fixture.machine.network(foreign);
        let mut chosen = None;
        for wishes in &all {
            let wanted = wishes.by_links(0, before.up, &mut chosen.clone());
            if converge(&mut fixture.harness, &wishes.configuration(0))? {
                wishes.by_links(0, before.up, &mut chosen);
                let found = fixture.machine.network(|network| oracle::illumos(network, &wanted));
                prop_assert_eq!(found, Vec::<String>::new(), "{:#?}", wishes.configuration(0));
            }
        }
        prop_assert_eq!(fixture.machine.network(foreign), untouched, "what others made stays");
    }

    #[test]
    fn linux_converges_from_anywhere(before in before(), all in proptest::collection::vec(wishes(), 1..4)) {
        let mut fixture = linux_machine(&before);
        let foreign = |network: &mut linux::network::Network| -> Vec<String> {
            network.shown().into_iter().filter(|address| address.contains(" 192.0.")).collect()
        };
        let mut untouched = fixture.machine.network(foreign);
        let mut chosen = None;
        for wishes in &all {
            let signals = fixture.machine.network(|network| [network.links[0].running, network.links[1].running]);
            let wanted = wishes.by_links(1, signals, &mut chosen);
            prop_assert!(converge(&mut fixture.harness, &wishes.configuration(1))?);
            if before.networkd {
                // Of a link that it configures networkd keeps only what its file names.
                untouched.retain(|address| !wanted.keys().any(|link| address.starts_with(link.as_str())));
            }
            let found = fixture.machine.network(|network| oracle::linux(network, &wanted));
            prop_assert_eq!(found, Vec::<String>::new(), "{:#?}", wishes.configuration(1));
        }
        prop_assert_eq!(fixture.machine.network(foreign), untouched, "what others made stays");
    }
}
