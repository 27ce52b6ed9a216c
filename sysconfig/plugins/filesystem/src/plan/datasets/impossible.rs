//! Properties that cannot be as they are wanted.

use super::{Differences, Steps, Wish};
use crate::properties::{self, AT_CREATION_ONLY};
use std::collections::BTreeMap;
use sysconfig_platform::storage::{format_size, parse_size};
use sysconfig_platform::zfs::Properties;

/// Takes out what no `zfs set` could bring about, and says so.
pub(super) fn leave_impossible(
    name: &str,
    set: &mut BTreeMap<String, String>,
    present: &Properties,
    steps: &mut Steps,
) {
    set.retain(|property, value| {
        let now = present.get(property).map(|present| present.value.as_str());
        if AT_CREATION_ONLY.contains(&property.as_str()) {
            let now = now.unwrap_or("-");
            let why = format!("{property} is {now} and not {value}, and is chosen at creation only");
            steps.leave(name, why, "make a new dataset, and move what is in this one");
            return false;
        }
        if now.is_none() && !property.contains(':') {
            steps.leave(name, format!("ZFS here knows no property {property}"), "leave the property out");
            return false;
        }
        true
    });
}

/// Takes out quotas below what is used or reserved, and says so: ZFS would refuse them, and what comes after them would wait.
pub(super) fn leave_too_small(wish: &Wish<'_>, differences: &mut Differences, present: &Properties, steps: &mut Steps) {
    let Wish { entry, config, .. } = *wish;
    let below = format!("{}/", entry.name);
    let is = |property: &str| present.get(property).and_then(|present| parse_size(&present.value));
    // What is reserved counts as used, and may be on its way to become less, here or below.
    let goes = |property: &str| differences.unset.iter().any(|gone| gone == property);
    let changes = |property: &str| differences.set.contains_key(property) || goes(property);
    let may_shrink = changes("refreservation").then(|| is("usedbyrefreservation")).flatten().unwrap_or(0);
    let has_children = config.datasets.iter().any(|other| other.name.starts_with(&below));
    let may_shrink = may_shrink + has_children.then(|| is("usedbychildren")).flatten().unwrap_or(0);
    let will_be = |property: &str| match (property, entry.property(property)) {
        ("used", _) => is("used").map(|used| used.saturating_sub(may_shrink)),
        (_, Some(wanted)) => parse_size(&properties::spelled(property, &wanted)),
        (_, None) if goes(property) => None,
        (_, None) => is(property),
    };
    let mut too_small = Vec::new();
    for (quota, uses) in [("quota", ["used", "reservation"]), ("refquota", ["referenced", "refreservation"])] {
        let Some(limit) = differences.set.get(quota).and_then(|value| parse_size(value)).filter(|limit| *limit > 0)
        else {
            continue;
        };
        let larger = uses.into_iter().find_map(|what| Some((what, will_be(what).filter(|bytes| *bytes > limit)?)));
        if let Some((what, bytes)) = larger {
            let (limit, bytes) = (format_size(limit), format_size(bytes));
            let why = format!("{quota} is to be {limit}, and {what} is {bytes}");
            steps.leave(&entry.name, why, "make room in it, lower what is reserved, or raise the quota");
            too_small.push(quota);
        }
    }
    differences.set.retain(|property, _| !too_small.contains(&property.as_str()));
}
