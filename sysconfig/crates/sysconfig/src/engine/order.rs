//! In which order plugins are applied.

use std::collections::{BTreeMap, BTreeSet};

use sysconfig_protocol::Order;

use super::{Engine, SELF};

/// The plugins in order, and those that cannot be put in order because they wait for each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sorted {
    /// All plugins. Those of a circle come last, by name.
    names: Vec<String>,
    /// The plugins of a circle, or behind one.
    circle: Vec<String>,
}

impl Engine {
    /// The plugins that have something to do, in the order in which they do it.
    pub(super) fn configured_in_order(&self) -> Vec<String> {
        let orders = self.assignment.parts.keys().map(|name| {
            let description = self.plugins.get(name).and_then(|managed| managed.description.as_ref());
            (name.clone(), description.map(|description| description.order.clone()).unwrap_or_default())
        });
        let sorted = sort(&orders.collect());
        if !sorted.circle.is_empty() {
            let names = sorted.circle.join(", ");
            self.log.warn(SELF, format!("plugins {names} want to come before each other; they come by name"));
        }
        sorted.names
    }
}

/// Sorts so that every plugin comes after those it wants to come after, otherwise by name. Names that no plugin has
/// are ignored.
fn sort(plugins: &BTreeMap<String, Order>) -> Sorted {
    let mut waits_for: BTreeMap<&str, BTreeSet<&str>> =
        plugins.keys().map(|name| (name.as_str(), BTreeSet::new())).collect();
    for (name, order) in plugins {
        for earlier in order.after.iter().filter(|earlier| plugins.contains_key(*earlier)) {
            waits_for.entry(name).or_default().insert(earlier);
        }
        for later in order.before.iter().filter(|later| plugins.contains_key(*later)) {
            waits_for.entry(later).or_default().insert(name);
        }
    }
    let mut names = Vec::new();
    while let Some(next) = waits_for.iter().find(|(_, earlier)| earlier.is_empty()).map(|(name, _)| *name) {
        waits_for.remove(next);
        for earlier in waits_for.values_mut() {
            earlier.remove(next);
        }
        names.push(next.to_owned());
    }
    let circle: Vec<String> = waits_for.into_keys().map(str::to_owned).collect();
    names.extend(circle.iter().cloned());
    Sorted { names, circle }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(plugins: &[(&str, &[&str], &[&str])], names: &[&str], circle: &[&str]) {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let plugins = plugins
            .iter()
            .map(|(name, after, before)| ((*name).to_owned(), Order { after: own(after), before: own(before) }));
        assert_eq!(sort(&plugins.collect()), Sorted { names: own(names), circle: own(circle) });
    }

    #[test]
    fn sorts_by_wish_then_by_name() {
        check(&[("b", &[], &[]), ("a", &[], &[])], &["a", "b"], &[]);
        check(&[("a", &["b"], &[]), ("b", &["c"], &[]), ("c", &[], &[])], &["c", "b", "a"], &[]);
        check(&[("a", &[], &[]), ("z", &[], &["a"])], &["z", "a"], &[]);
        check(&[("a", &["nobody"], &["nobody"])], &["a"], &[]);
        check(&[("a", &["b"], &[]), ("b", &[], &["a"])], &["b", "a"], &[]);
    }

    #[test]
    fn names_circles_and_keeps_their_members() {
        check(&[("a", &["b"], &[]), ("b", &["a"], &[]), ("c", &[], &[])], &["c", "a", "b"], &["a", "b"]);
        check(&[("a", &["a"], &[])], &["a"], &["a"]);
    }
}
