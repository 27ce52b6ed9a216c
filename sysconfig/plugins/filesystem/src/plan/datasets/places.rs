//! Whether file systems can be mounted where they, and those that come along, belong.

use super::super::Steps;
use super::super::mounts::Down;
use super::{Wish, canmount};
use crate::order::Unit;
use crate::state::State;
use sysconfig_platform::mount_table::{self, Mount};
use sysconfig_platform::mounting::mounted_at;
use sysconfig_platform::places::MountPoint;
use sysconfig_platform::zfs::Properties;

/// Whether a file system can be mounted where it belongs.
pub(super) fn place_is_free(wish: &Wish<'_>, state: &State, steps: &mut Steps) -> bool {
    let Wish { entry, config, .. } = *wish;
    let Some(place) = state.place(config, Unit::Dataset(entry)) else { return true };
    let moves = |mount: &Mount| mount.device == entry.name;
    match obstacle(&place, wish.down, &moves, state) {
        Some((why, help)) => {
            steps.leave(&entry.name, why, help);
            false
        }
        None => true,
    }
}

/// Whether what moves along with a dataset can be mounted where it comes to: nobody has asked for its move.
pub(super) fn followers_are_free(wish: &Wish<'_>, present: &Properties, state: &State, steps: &mut Steps) -> bool {
    let Wish { entry, config, .. } = *wish;
    let Some(base) = state.place(config, Unit::Dataset(entry)) else { return true };
    let followers = state.followers(&entry.name);
    let moves = |mount: &Mount| mount.device == entry.name || followers.iter().any(|one| one.name == mount.device);
    // What lies in a file system that moves, moves with it.
    let mut above: Vec<String> = Vec::new();
    above.extend((canmount(entry, present, state) == "on").then(|| base.clone()));
    for one in &followers {
        let to = one.destination(&entry.name, &base);
        let to = state.resolved(&to).to_owned();
        if to == one.place || above.iter().any(|above| mount_table::is_below(&to, above)) {
            continue;
        }
        if let Some((why, help)) = obstacle(&to, wish.down, &moves, state) {
            steps.leave(&entry.name, format!("{} would come along to {to}: {why}", one.name), help);
            return false;
        }
        above.push(to);
    }
    true
}

/// Why nothing can be mounted at a place when what goes is gone, and what can be done about it.
fn obstacle(place: &str, down: &Down, moves: &dyn Fn(&Mount) -> bool, state: &State) -> Option<(String, &'static str)> {
    let other = mounted_at(&state.mounts, place).filter(|mount| !moves(mount) && !down.has(place));
    if let Some(other) = other {
        let why = format!("{} is mounted at {place}", other.device);
        return Some((why, "choose another mountpoint, or unmount what is there"));
    }
    if let Some(why) = state.unseen.get(place) {
        return Some((why.clone(), "see to what it lies in, or choose another mountpoint"));
    }
    match down.leaves(place, state) {
        Some(MountPoint::Filled) => {
            let help = "what is there would be hidden; move it away, or choose another mountpoint";
            Some((format!("the directory {place} is not empty"), help))
        }
        Some(MountPoint::NoDirectory) => Some((format!("{place} is no directory"), "choose another mountpoint")),
        _ => None,
    }
}

/// Whether no dataset below is mounted where this one is to be mounted under it.
pub(super) fn has_no_children_in_the_way(
    wish: &Wish<'_>,
    present: &Properties,
    state: &State,
    steps: &mut Steps,
) -> bool {
    let name = &wish.entry.name;
    let now = present.get("mountpoint").map(|present| state.place_of_point(name, present.value.clone()));
    let places = [now, state.place(wish.config, Unit::Dataset(wish.entry))];
    let is_below = |point: &str| places.iter().flatten().any(|place| mount_table::is_below(point, place));
    let below = format!("{name}/");
    let child = state.mounts.iter().find(|mount| mount.device.starts_with(&below) && is_below(&mount.mount_point));
    if let Some(child) = child {
        let why = format!("{} is mounted, and belongs above it", child.device);
        steps.leave(name, why, format!("unmount it by hand first: zfs unmount {}", child.device));
    }
    child.is_none()
}
