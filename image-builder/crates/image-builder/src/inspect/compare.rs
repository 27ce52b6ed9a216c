//! `image-builder diff`: what differs between two images.

mod dataset;
mod links;
mod parts;

use super::InspectError;
use super::difference::Difference;
use super::image::Image;
use super::long::shown;
use super::place::Place;
use super::provenance::Provenance;
use super::{about, archive};
use crate::arguments::Diff;
use crate::failure::Failure;
use crate::output::print;
use dataset::Comparison;
use parts::compare_parts;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use zfs_image::reader::Pool;

/// What is compared at once.
const CHUNK_BYTES: usize = 256 * 1024;

type Properties = BTreeMap<String, String>;

/// Datasets and snapshots by their names without the pool's: the full name, and what is set on each.
type Listed = BTreeMap<String, (String, Properties)>;

/// `image-builder diff`.
pub(crate) fn diff(arguments: &Diff) -> Result<(), Failure> {
    let places = [Place::parse(&arguments.first), Place::parse(&arguments.second)];
    let beside = [Provenance::beside(&places[0].image), Provenance::beside(&places[1].image)];
    let mut found = Vec::new();
    match [archive::read(&places[0].image)?, archive::read(&places[1].image)?] {
        [Some(before), Some(after)] => archive::compare(&before, &after, &mut found),
        [None, None] => compare_images(&places, &beside, &mut found)?,
        [first, _] => {
            let [archive, other] = if first.is_some() { [0, 1] } else { [1, 0] }.map(|at| places[at].image.clone());
            // One that is not there is no image either, but that is not what is wrong.
            File::open(&other).map_err(|source| InspectError::Read { path: other.clone(), source })?;
            return Err(InspectError::Unlike { archive, other }.into());
        }
    }
    found.iter_mut().for_each(|one| one.find_step(&beside));
    print(|output| {
        if arguments.json {
            let list: Vec<Value> = found.iter().map(Difference::to_json).collect();
            return writeln!(output, "{}", json!({ "differences": list })).map_err(Failure::from_output);
        }
        found.iter().try_for_each(|one| writeln!(output, "{}", one.to_line())).map_err(Failure::from_output)
    })?;
    if found.is_empty() { Ok(()) } else { Err(Failure::Different { count: found.len() }) }
}

/// Pools are read inside; of other file systems what lies beside the images tells.
fn compare_images(
    places: &[Place; 2],
    beside: &[Option<Provenance>; 2],
    found: &mut Vec<Difference>,
) -> Result<(), Failure> {
    let images = [Image::open_in_spite_of_damage(&places[0])?, Image::open_in_spite_of_damage(&places[1])?];
    let is_pool = |image: &Image| image.parts().iter().any(|part| part.is_pool);
    let are_pools = images.iter().all(is_pool);
    if are_pools {
        compare_pools(&images, places, found)?;
    } else if places.iter().any(|place| place.dataset.is_some()) {
        // Says which image has no pool.
        images[0].pool()?;
        images[1].pool()?;
    }
    if places.iter().all(|place| place.dataset.is_none()) {
        compare_parts(&images, found)?;
    }
    match beside {
        _ if are_pools => {}
        [Some(before), Some(after)] => compare_manifests(before, after, found),
        _ if !found.is_empty() => tell_missing(places, beside),
        _ => {}
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a warning of the command line")]
fn tell_missing(places: &[Place; 2], beside: &[Option<Provenance>; 2]) {
    let missing = places.iter().zip(beside).filter(|(_, beside)| beside.is_none());
    let names: Vec<String> = missing.map(|(place, _)| place.image.display().to_string()).collect();
    eprintln!("note: which files differ is not known: no manifest lies beside {}", names.join(" and "));
}

fn compare_pools(images: &[Image; 2], places: &[Place; 2], found: &mut Vec<Difference>) -> Result<(), Failure> {
    let pools = [images[0].pool()?, images[1].pool()?];
    let lists = [listed(&images[0], &pools[0])?, listed(&images[1], &pools[1])?];
    let pairs = match (&places[0].dataset, &places[1].dataset) {
        (None, None) => {
            compare_descriptions(images, &pools, found)?;
            common_datasets(&lists, found)
        }
        (first, second) => {
            let first = images[0].dataset(&pools[0], first.as_deref())?.name;
            let second = images[1].dataset(&pools[1], second.as_deref())?.name;
            vec![(first, second)]
        }
    };
    for (first, second) in pairs {
        let failed = [images[0].inside(&first), images[1].inside(&second)];
        let first = images[0].file_system(&pools[0], &images[0].dataset(&pools[0], Some(&first))?)?;
        let second_name = second.clone();
        let second = images[1].file_system(&pools[1], &images[1].dataset(&pools[1], Some(&second))?)?;
        let mountpoint = mountpoint(&lists[1], &second_name);
        let comparison = Comparison { sides: [&first, &second], dataset: &second_name, mountpoint };
        comparison.run(found).map_err(|(side, error)| failed[side](error))?;
    }
    Ok(())
}

/// What the pools are apart from what is in them.
fn compare_descriptions(
    images: &[Image; 2],
    pools: &[Pool<'_>; 2],
    found: &mut Vec<Difference>,
) -> Result<(), InspectError> {
    let about = |side: usize| {
        let described = pools[side].describe().map_err(images[side].inside("the properties of the pool"))?;
        let mut about = about::flat(&described);
        about.insert("name".to_owned(), pools[side].name().to_owned());
        Ok::<_, InspectError>(about)
    };
    let (before, mut after) = (about(0)?, about(1)?);
    // A pool that is renamed boots the same dataset still.
    let below = |side: usize, about: &Properties| {
        about.get("bootfs").and_then(|name| name.strip_prefix(pools[side].name())).map(str::to_owned)
    };
    if below(0, &before).is_some_and(|name| below(1, &after) == Some(name)) {
        after.extend(before.get_key_value("bootfs").map(|(name, value)| (name.clone(), value.clone())));
    }
    let how = property_changes(&before, &after);
    if !how.is_empty() {
        found.push(Difference::new('~', format!("pool {}", shown(pools[1].name().as_bytes())), how));
    }
    Ok(())
}

/// The datasets and snapshots of a pool.
fn listed(image: &Image, pool: &Pool<'_>) -> Result<Listed, InspectError> {
    let failed = image.inside("the list of datasets");
    let mut list = BTreeMap::new();
    for directory in pool.directories().map_err(&failed)? {
        if directory.is_internal() {
            continue;
        }
        let properties = pool.properties(&directory).map_err(&failed)?;
        let heads = directory.head.iter().map(|head| (head, properties.clone()));
        for (dataset, properties) in heads.chain(directory.snapshots.iter().map(|one| (one, BTreeMap::new()))) {
            // Without the pool's name, so that renamed pools compare.
            let below = dataset.name[pool.name().len()..].to_owned();
            list.insert(below, (dataset.name.clone(), properties));
        }
    }
    Ok(list)
}

/// Where a dataset is mounted in the running system: zfsprops(7), `mountpoint`. None if it is not by itself.
fn mountpoint(list: &Listed, full_name: &str) -> Option<String> {
    let pool = full_name.split(['/', '@']).next()?;
    let mut name = full_name[pool.len()..].split('@').next()?;
    let mut below = String::new();
    loop {
        let (_, properties) = list.get(name)?;
        if let Some(mountpoint) = properties.get("mountpoint") {
            return mountpoint.starts_with('/').then(|| format!("{}{below}", mountpoint.trim_end_matches('/')));
        }
        let Some((above, last)) = name.rsplit_once('/') else { return Some(format!("/{pool}{below}")) };
        below = format!("/{last}{below}");
        name = above;
    }
}

/// Names of the datasets and snapshots that both pools have; the others, and other properties, are differences.
fn common_datasets(lists: &[Listed; 2], found: &mut Vec<Difference>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let names: BTreeSet<&String> = lists[0].keys().chain(lists[1].keys()).collect();
    for name in names {
        match (lists[0].get(name), lists[1].get(name)) {
            (Some((first, before)), Some((second, after))) => {
                let how = property_changes(before, after);
                if !how.is_empty() {
                    found.push(Difference::new('~', second.clone(), how));
                }
                pairs.push((first.clone(), second.clone()));
            }
            (Some((first, _)), None) => found.push(Difference::new('-', first.clone(), Vec::new())),
            (None, Some((second, _))) => found.push(Difference::new('+', second.clone(), Vec::new())),
            (None, None) => {}
        }
    }
    pairs
}

fn property_changes(before: &Properties, after: &Properties) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |map: &Properties, name: &String| map.get(name).map_or("-".to_owned(), |v| shown(v.as_bytes()));
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed.map(|name| format!("{name} {} → {}", value(before, name), value(after, name))).collect()
}

/// What manifests tell of images that are not read inside.
fn compare_manifests(before: &Provenance, after: &Provenance, found: &mut Vec<Difference>) {
    for (sign, path, how) in before.changes(after) {
        let mut difference = Difference::new(sign, shown(&path), how);
        difference.path = Some(path);
        found.push(difference);
    }
}
