//! Routes: those that go, and those that come unless another one is in the way.

use super::{Planner, Step};
use crate::linux::change::{Change, is_over};
use crate::select::Selected;
use std::net::IpAddr;
use sysconfig_platform::stack::{LinuxLink, LinuxRoute, OtherRoute, is_on_link};
use sysconfig_platform::{IpNet, Route};
use sysconfig_plugin::{PluginError, Risk};

impl Planner<'_> {
    /// The routes of ours that go, before the step `first`, which takes away the first address: with the last one the kernel takes
    /// routes off, and says nothing. Those that stay wanted are taken away and added again around it, so that whoever
    /// undoes the steps has the address back before its routes.
    pub(super) fn stale_routes(&mut self, first: usize) {
        let mut deletions = Vec::new();
        // One with another priority is somebody else's, such as a DHCP client's.
        for known in self.state.routes.iter().filter(|known| known.may_be_ours()) {
            let route = known.route;
            let Some(link) = self.state.links.iter().find(|link| link.index == known.index) else { continue };
            let is_ours = self.state.record.routes.iter().any(|ours| ours.route == route && is_over(ours, &link.name));
            let is_wanted = self.of_kernel(&link.name).is_some_and(|wanted| wanted.routes.contains(&route));
            let goes = if is_wanted { self.is_cut(known) } else { is_ours };
            if !goes {
                continue;
            }
            let change = Change::DeleteRoute { link: link.name.clone(), route };
            let step = Step::new(
                "delete",
                format!("route {}", route.to),
                format!("delete the route {route}"),
                Risk::Disruptive,
                change,
            );
            deletions.push(step.field("gateway", route.via.to_string(), None::<String>));
        }
        self.steps.splice(first..first, deletions);
    }

    /// Whether there is a route; one that is advertised ends by itself, unless networkd keeps it.
    pub(super) fn has_route(&self, link: &LinuxLink, route: &Route) -> bool {
        self.serving(link, route).next().is_some()
    }

    /// The routes that serve for one.
    fn serving(&self, link: &LinuxLink, route: &Route) -> impl Iterator<Item = &LinuxRoute> {
        let serves = |known: &&LinuxRoute| known.is_plain() && (!known.advertised || self.state.has_networkd);
        let is_it = move |known: &&LinuxRoute| known.route == *route && known.index == link.index;
        self.state.routes.iter().filter(is_it).filter(serves)
    }

    /// The kernel takes one route of each priority to a destination. One that somebody else has set is theirs to delete.
    fn refuse_route_in_the_way(&self, link: &LinuxLink, route: &Route) -> Result<(), PluginError> {
        let is_deleted = |known: &LinuxRoute| {
            self.steps.iter().any(|step| match &step.change {
                Change::DeleteRoute { link, route } => *route == known.route && self.index(link) == Some(known.index),
                _ => false,
            })
        };
        let mut others = self.state.routes.iter().filter(|known| known.route.to == route.to && known.may_be_ours());
        let other = others.find(|known| {
            (known.route != *route || known.index != link.index) && !is_deleted(known) && !self.is_cut(known)
        });
        let Some(known) = other else { return self.refuse_other_route(link, route) };
        let over = self.state.links.iter().find(|link| link.index == known.index).map_or("?", |link| &link.name);
        let message =
            format!("the route {route} is wanted over {}, and there is {} over {over}", link.name, known.route);
        let (family, to) = (if route.via.is_ipv6() { "-6 " } else { "" }, known.route.to);
        let via = known.route.via;
        Err(PluginError::new(message)
            .help(format!("if it is not needed: ip {family}route del {to} via {via} dev {over}")))
    }

    /// The same of one that leads over no gateway, or over several, or nowhere.
    fn refuse_other_route(&self, link: &LinuxLink, route: &Route) -> Result<(), PluginError> {
        let is_it = |known: &&OtherRoute| known.to == route.to && known.metric == LinuxRoute::metric_of(route);
        let Some(known) = self.state.other_routes.iter().find(is_it) else { return Ok(()) };
        let over = known.index.and_then(|index| self.state.links.iter().find(|link| link.index == index));
        let over = over.map(|over| format!(" dev {}", over.name)).unwrap_or_default();
        let kind = if known.kind.is_empty() { String::new() } else { format!("{} ", known.kind) };
        let shown = format!("{kind}{}{over}", known.to);
        let message = format!("the route {route} is wanted over {}, and there is {shown}", link.name);
        let family = if route.via.is_ipv6() { "-6 " } else { "" };
        Err(PluginError::new(message).help(format!("if it is not needed: ip {family}route del {shown}")))
    }

    pub(super) fn routes(&mut self, selected: &Selected, link: &LinuxLink) -> Result<(), PluginError> {
        for route in &selected.wanted.routes {
            if link.up && self.serving(link, route).any(|known| !self.is_cut(known)) {
                continue;
            }
            let staying = self.staying(link.index);
            let is_reachable = is_on_link(route.via, &selected.wanted.statics) || is_on_link(route.via, &staying);
            if !is_reachable && selected.wanted.optional {
                // Its lease need not come. When it does, the plugin hears of it.
                continue;
            }
            self.refuse_route_in_the_way(link, route)?;
            let change = Change::AddRoute { link: link.name.clone(), route: *route };
            let step = Step::new(
                "add",
                format!("route {}", route.to),
                format!("add the route {route}"),
                Risk::Disruptive,
                change,
            );
            let step = step.field("gateway", None::<String>, route.via.to_string());
            if is_reachable { self.steps.push(step) } else { self.after_leases.push(step) }
        }
        Ok(())
    }

    /// Whether the kernel takes a route off: it does so with the address that the route names as its source (`fib_sync_down_addr`),
    /// and with the last IPv4 address of the link (`fib_disable_ip`), whatever network that is of, and keeps a route whose gateway no
    /// address leads to any more. Those of IPv6 it keeps without any.
    fn is_cut(&self, known: &LinuxRoute) -> bool {
        let is_v4 = |net: &IpNet| net.addr().is_ipv4();
        let is_source = |net: &IpNet| is_v4(net) && known.source == Some(net.addr());
        if self.removed.iter().any(|(_, net)| is_source(net)) {
            return true;
        }
        known.route.via.is_ipv4()
            && self.removed.iter().any(|(index, net)| *index == known.index && is_v4(net))
            && !self.keeps_ipv4(known.index)
    }

    /// Whether a link has an IPv4 address all the time.
    fn keeps_ipv4(&self, index: u32) -> bool {
        self.staying(index).iter().any(|net| net.addr().is_ipv4())
            || self.replaced.iter().any(|(replaced, _)| *replaced == index)
    }

    /// Somebody else's routes that the kernel takes off with fixed addresses of ours, told at those: the ones that name an address as
    /// their source, and with the last one of a link all over that. Those of a DHCP client, which have a priority, are its own.
    pub(super) fn name_routes_that_go(&mut self) {
        let gateways = self.state.routes.iter().filter(|known| known.route.via.is_ipv4() && !self.is_known(known));
        let gateways = gateways
            .map(|known| (known.source, Some(known.index).filter(|_| known.metric == 0), known.route.to_string()));
        let others = self.state.other_routes.iter().filter(|known| known.to.addr().is_ipv4());
        let others = others.map(|known| {
            let over = known.index.and_then(|index| self.state.links.iter().find(|link| link.index == index));
            let over = over.map(|over| format!(" dev {}", over.name)).unwrap_or_default();
            (known.source, known.index, format!("{}{over}", known.to))
        });
        let all: Vec<_> = gateways.chain(others).collect();
        let mut told = Vec::new();
        let mut named = |index: u32, address: IpNet| {
            let goes = |(at, (source, over, _)): &(usize, &(Option<IpAddr>, Option<u32>, String))| {
                let is_last = *over == Some(index) && !self.keeps_ipv4(index);
                !told.contains(at) && address.addr().is_ipv4() && (*source == Some(address.addr()) || is_last)
            };
            let found: Vec<_> = all.iter().enumerate().filter(goes).map(|(at, route)| (at, route.2.clone())).collect();
            told.extend(found.iter().map(|(at, _)| *at));
            found.into_iter().map(|(_, route)| route).collect::<Vec<_>>()
        };
        let removal = |step: &Step| match &step.change {
            Change::DeleteAddress { link, address, .. } => self.index(link).map(|index| (index, *address)),
            _ => None,
        };
        let steps = self.steps.iter().chain(self.replaced.iter().map(|(_, step)| step));
        let named: Vec<Vec<String>> =
            steps.map(|step| removal(step).map(|(index, address)| named(index, address)).unwrap_or_default()).collect();
        let steps = self.steps.iter_mut().chain(self.replaced.iter_mut().map(|(_, step)| step));
        for (step, routes) in steps.zip(named) {
            for route in routes {
                *step = step.clone().field("route", route, None::<String>);
            }
        }
    }

    /// Whether a route is ours, or wanted.
    fn is_known(&self, known: &LinuxRoute) -> bool {
        let Some(link) = self.state.links.iter().find(|link| link.index == known.index) else { return false };
        let is_wanted = self.of_kernel(&link.name).is_some_and(|wanted| wanted.routes.contains(&known.route));
        is_wanted || self.state.record.routes.iter().any(|ours| ours.route == known.route && is_over(ours, &link.name))
    }

    /// The addresses that are on a link before the steps, and after them.
    fn staying(&self, index: u32) -> Vec<IpNet> {
        let here = self.state.addresses.iter().filter(|known| known.index == index).map(|known| known.address);
        here.filter(|address| !self.removed.contains(&(index, *address))).collect()
    }
}
