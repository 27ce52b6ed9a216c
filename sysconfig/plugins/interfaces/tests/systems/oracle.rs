//! What a machine has to be like for a configuration, said without the plugin's code: faults are found by looking at the
//! simulated kernel, and not at a plan.

use crate::convergence::LINKS;
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::fake::illumos::network::{Kind, Network as IllumosNetwork, Object};
use sysconfig_platform::fake::linux::network::Network as LinuxNetwork;
use sysconfig_platform::stack::LinuxRoute;
use sysconfig_platform::{IpNet, Route};

/// How large packets are where nothing is said of them.
const USUAL_MTU: u32 = 1500;

/// What is configured for one link.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    fixed: BTreeSet<IpNet>,
    dhcp: bool,
    dhcp6: bool,
    addrconf: bool,
    optional: bool,
    routes: BTreeSet<Route>,
    mtu: Option<u32>,
}

impl Wanted {
    pub(crate) fn new(fixed: BTreeSet<IpNet>, [dhcp, dhcp6, addrconf, optional]: [bool; 4], mtu: Option<u32>) -> Self {
        Self { fixed, dhcp, dhcp6, addrconf, optional, routes: BTreeSet::new(), mtu }
    }

    pub(crate) fn with_routes(mut self, router: Option<&str>, others: &[[String; 2]]) -> Self {
        self.routes.extend(router.map(|router| Route::default_over(router.parse().unwrap())));
        self.routes.extend(others.iter().map(|[to, via]| Route { to: to.parse().unwrap(), via: via.parse().unwrap() }));
        self
    }

    /// What autoconfiguration has to take, stateful and stateless; nothing where there must be none.
    fn take(&self) -> Option<(bool, bool)> {
        match (self.addrconf, self.dhcp6) {
            (true, _) => Some((true, true)),
            (false, true) => Some((true, false)),
            (false, false) => self.fixed.iter().any(|net| net.addr().is_ipv6()).then_some((false, false)),
        }
    }
}

fn is_of_sysconfig(object: &Object) -> bool {
    object.name.contains("/sc")
}

/// What is wrong with a machine of illumos.
pub(crate) fn illumos(network: &mut IllumosNetwork, wanted: &BTreeMap<String, Wanted>) -> Vec<String> {
    let mut faults = Vec::new();
    for link in LINKS[0] {
        let here: Vec<&Object> =
            network.objects.iter().filter(|object| object.name.split('/').next() == Some(link)).collect();
        match wanted.get(link) {
            Some(wanted) => {
                objects(link, &here, wanted, network, &mut faults);
                if !network.has_interface(link) {
                    faults.push(format!("{link} is not plumbed"));
                }
            }
            None => {
                let ours = here.iter().filter(|object| is_of_sysconfig(object));
                faults.extend(ours.map(|object| format!("{object:?} is left")));
            }
        }
        let mtu = wanted.get(link).and_then(|wanted| wanted.mtu).unwrap_or(USUAL_MTU);
        if network.mtu(link).is_some_and(|present| present != mtu) {
            faults.push(format!("{link} sends packets of {:?}, and not of {mtu}", network.mtu(link)));
        }
    }
    let routes: BTreeSet<Route> = wanted.values().flat_map(|wanted| wanted.routes.iter().copied()).collect();
    let kept: BTreeSet<Route> = network.kept.iter().copied().collect();
    if kept != routes {
        faults.push(format!("kept are {kept:?}, and not {routes:?}"));
    }
    let told: BTreeSet<Route> =
        network.servers.values().filter_map(|server| server.router.map(Route::default_over)).collect();
    let kernel: BTreeSet<Route> = network.kernel.iter().copied().collect();
    faults.extend(routes.difference(&kernel).map(|route| format!("the kernel lacks {route}")));
    faults.extend(
        kernel.difference(&routes).filter(|route| !told.contains(route)).map(|route| format!("{route} is left")),
    );
    faults
}

/// The address objects of a wanted link; somebody else's serve as well.
fn objects(link: &str, here: &[&Object], wanted: &Wanted, network: &IllumosNetwork, faults: &mut Vec<String>) {
    let count = |is_it: &dyn Fn(&Object) -> bool| here.iter().filter(|object| is_it(object)).count();
    for net in &wanted.fixed {
        let found = count(&|object| object.kind == Kind::Static(*net) && object.state == "ok");
        if found != 1 {
            faults.push(format!("{found} objects of {link} are {net}"));
        }
    }
    for object in here.iter().filter(|object| is_of_sysconfig(object)) {
        let is_wanted = match &object.kind {
            Kind::Static(net) => wanted.fixed.contains(net),
            Kind::Dhcp => wanted.dhcp,
            Kind::Addrconf { stateful, stateless } => wanted.take() == Some((*stateful, *stateless)),
            Kind::Unmanaged(_) => false,
        };
        if !is_wanted {
            faults.push(format!("{object:?} is left, or in another form"));
        }
    }
    let has_lease = |object: &Object| wanted.optional || object.state == "ok" && object.lease.is_some();
    let leases = count(&|object| {
        object.kind == Kind::Dhcp
            && (wanted.optional || object.lease == network.servers.get(link).map(|server| server.address))
    });
    if wanted.dhcp && leases != 1 {
        faults.push(format!("{link} has {leases} leases"));
    }
    let automatic = count(&|object| {
        matches!(object.kind, Kind::Addrconf { .. }) && object.state == "ok" && (!wanted.dhcp6 || has_lease(object))
    });
    if wanted.take().is_some() && automatic != 1 {
        faults.push(format!("{link} has {automatic} of what autoconfigures IPv6"));
    }
}

/// What is wrong with a machine of Linux.
pub(crate) fn linux(network: &mut LinuxNetwork, wanted: &BTreeMap<String, Wanted>) -> Vec<String> {
    let mut faults = Vec::new();
    for link in &network.links {
        let wanted = wanted.get(&link.name);
        // Fixed ones stay for ever, those of a server do not.
        let present: BTreeSet<(IpNet, bool)> = network
            .addresses
            .iter()
            .filter(|known| known.index == link.index && !known.address.to_string().starts_with("192.0."))
            .map(|known| (known.address, known.dynamic))
            .collect();
        let mut addresses: BTreeSet<(IpNet, bool)> = BTreeSet::new();
        let mut routes = BTreeSet::new();
        if let Some(wanted) = wanted {
            addresses.extend(wanted.fixed.iter().map(|net| (*net, false)));
            for (is_wanted, servers) in [(wanted.dhcp, &network.servers), (wanted.dhcp6, &network.servers6)] {
                addresses.extend(servers.get(&link.name).filter(|_| is_wanted).map(|server| (server.address, true)));
            }
            routes.extend(wanted.routes.iter().copied());
            if !link.up {
                faults.push(format!("{} is off", link.name));
            }
        }
        if present != addresses {
            faults.push(format!("{} has {present:?}, and not {addresses:?}", link.name));
        }
        let is_plain = |metric: u32| [0, 512, 1024].contains(&metric);
        let is_set = |known: &&LinuxRoute| !known.advertised && is_plain(known.metric);
        let over_it = network.routes.iter().filter(|known| known.index == link.index).filter(is_set);
        let kernel: BTreeSet<Route> = over_it.map(|known| known.route).collect();
        if kernel != routes {
            faults.push(format!("over {} lead {kernel:?}, and not {routes:?}", link.name));
        }
        let mtu = wanted.and_then(|wanted| wanted.mtu).unwrap_or(USUAL_MTU);
        if link.mtu != mtu {
            faults.push(format!("{} sends packets of {}, and not of {mtu}", link.name, link.mtu));
        }
    }
    faults
}
