//! The routes, and which of them the kernel has or loses.

use super::{Planner, Step};
use crate::illumos::Change;
use crate::select::Selected;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use sysconfig_platform::ipadm::Address;
use sysconfig_platform::route::BoundRoute;
use sysconfig_platform::{Route, stack};
use sysconfig_plugin::Risk;

impl<'a> Planner<'a> {
    pub(super) fn routes(&mut self) {
        let wanted = self.wanted_routes();
        let ours = self.state.kept.iter().filter(|kept| self.state.record.routes.contains(kept));
        for route in ours.filter(|kept| !wanted.contains_key(kept)) {
            let Route { to, via } = route.route;
            let change = Change::DeleteRoute { route: route.clone() };
            let summary = format!("delete the route {route}");
            let step = Step::new("delete", format!("route {to}"), summary, Risk::Disruptive, change);
            self.removals.insert(0, step.field("gateway", via.to_string(), None::<String>));
        }
        let missing: Vec<_> = wanted.into_iter().filter(|(route, _)| self.is_missing(route)).collect();
        for (route, selected) in missing {
            let is_reachable = self.will_reach(selected, route.route.via);
            if !is_reachable && selected.wanted.optional {
                // Its lease need not come. When it does, the plugin hears of it.
                continue;
            }
            let Route { to, via } = route.route;
            let summary = format!("add the route {route}");
            let was_kept = self.state.kept.contains(&route);
            let change = Change::AddRoute { route, was_kept };
            let step = Step::new("add", format!("route {to}"), summary, Risk::Disruptive, change);
            let step = step.field("gateway", None::<String>, via.to_string());
            if is_reachable { self.additions.push(step) } else { self.after_leases.push(step) }
        }
    }

    fn wanted_routes(&self) -> BTreeMap<BoundRoute, &'a Selected> {
        let selected = self.selection.present.iter();
        selected
            .flat_map(|selected| {
                let routes = selected.wanted.routes.iter();
                routes.map(move |route| (BoundRoute::over(&selected.link, *route), selected))
            })
            .collect()
    }

    /// Whether a gateway is in the network of an address that is fixed, or there and stays; otherwise a lease has to tell one.
    fn will_reach(&self, selected: &Selected, via: IpAddr) -> bool {
        let stays = self.objects(&selected.link).into_iter().map(|row| &row.object).collect::<BTreeSet<_>>();
        let present = self.state.addresses.iter().filter(|row| row.state == "ok" && stays.contains(&row.object));
        let networks = present.filter_map(|row| row.address).chain(selected.wanted.statics.iter().copied());
        stack::is_on_link(via, &networks.collect::<Vec<_>>())
    }

    /// Where an address in the gateway's network goes, the kernel drops the route, and a DHCP client that ends takes the router
    /// with it that its server told, whoever else has set that one.
    fn is_missing(&self, route: &BoundRoute) -> bool {
        let Route { to, via } = route.route;
        let mut gone = self.state.addresses.iter().filter(|row| self.gone.contains(&row.object));
        let takes_it = |row: &Address| {
            row.address.is_some_and(|net| net.contains(&via))
                || row.kind == "dhcp" && to.prefix_len() == 0 && via.is_ipv4()
        };
        let is_cut = gone.any(takes_it) || self.state.record.cut.contains(route);
        !self.state.kept.contains(route) || !self.is_live(route) || is_cut
    }

    /// Whether the kernel has a route. Of several to one destination it names one when it is asked; the list has all.
    fn is_live(&self, bound: &BoundRoute) -> bool {
        let Route { to, via } = bound.route;
        let listed = || self.state.listed.iter().filter(|known| known.route.via.is_ipv6() == via.is_ipv6());
        match listed().next() {
            Some(_) => listed().any(|known| is_route(known, bound)),
            None => self.state.live.get(&to.to_string()).copied().flatten() == Some(via),
        }
    }
}

/// Whether a route that the kernel has is the wanted one. Every link can have the same link-local router.
fn is_route(known: &BoundRoute, wanted: &BoundRoute) -> bool {
    let is_elsewhere = wanted.interface.is_some() && known.interface.is_some() && known.interface != wanted.interface;
    known.route == wanted.route && !is_elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_router_is_that_of_its_link() {
        let route = Route::default_over("fe80::1".parse().unwrap());
        let over = |interface: &str| BoundRoute::over(interface, route);
        assert!(is_route(&over("net0"), &over("net0")) && !is_route(&over("net1"), &over("net0")));
        assert!(is_route(&BoundRoute { route, interface: None }, &over("net0")), "not every row tells it");
    }
}
