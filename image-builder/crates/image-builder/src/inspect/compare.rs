//! `image-builder diff`: what differs between two images.

use super::InspectError;
use super::image::{Image, Part};
use super::long::{mode_text, shown, time_text};
use super::place::Place;
use super::provenance::Provenance;
use super::walk::{Entered, Found, join, sorted_entries};
use super::{archive, print};
use crate::arguments::Diff;
use crate::failure::Failure;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use zfs_image::reader::{File, FileSystem, Pool, ReadError};

/// What is compared at once.
const CHUNK_BYTES: usize = 256 * 1024;

type Properties = BTreeMap<String, String>;

/// Datasets and snapshots by their names without the pool's: the full name, and what is set on each.
type Listed = BTreeMap<String, (String, Properties)>;

/// One difference.
pub(super) struct Difference {
    /// `-` only in the first, `+` only in the second, `~` in both.
    sign: char,
    /// A dataset, path or partition.
    what: String,
    /// How it differs.
    how: Vec<String>,
    /// The path in the image, where it is one of the files that a manifest names.
    pub(super) path: Option<String>,
    /// The step that did it, and where that is written.
    step: Option<String>,
    /// The step that had made what is not there any more, though no step removed it.
    made_by: Option<String>,
}

impl Difference {
    pub(super) fn new(sign: char, what: impl Into<String>, how: Vec<String>) -> Self {
        Self { sign, what: what.into(), how, path: None, step: None, made_by: None }
    }

    /// Finds the step by what lies beside the first output, and beside the second.
    fn find_step(&mut self, beside: &[Option<Provenance>; 2]) {
        let Some(path) = &self.path else { return };
        let [before, after] = beside.each_ref().map(Option::as_ref);
        if self.sign == '-' {
            self.step = after.and_then(|after| after.removed(path));
            self.made_by = before.filter(|_| self.step.is_none()).and_then(|before| before.made(path));
        } else {
            self.step = after.and_then(|after| after.made(path));
        }
    }

    fn to_json(&self) -> Value {
        json!({ "sign": self.sign, "what": self.what, "how": self.how, "step": self.step, "made_by": self.made_by })
    }

    fn to_line(&self) -> String {
        let how = if self.how.is_empty() { String::new() } else { format!(": {}", self.how.join(", ")) };
        let step = match (&self.step, &self.made_by) {
            (Some(step), _) => format!("  [{step}]"),
            (None, Some(step)) => format!("  [no step makes it now; it was {step}]"),
            (None, None) => String::new(),
        };
        format!("{} {}{how}{step}", self.sign, self.what)
    }
}

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
        (None, None) => common_datasets(&lists, found),
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

/// The same dataset in both images.
struct Comparison<'a, 'p> {
    sides: [&'a FileSystem<'p>; 2],
    dataset: &'a str,
    /// Where it is in the running system, without a slash at the end.
    mountpoint: Option<String>,
}

/// Which side could not be read, and why.
type SideError = (usize, ReadError);

impl Comparison<'_, '_> {
    fn run(&self, found: &mut Vec<Difference>) -> Result<(), SideError> {
        let root = |side: usize| self.sides[side].file(self.sides[side].root()).map_err(|error| (side, error));
        let mut open = vec![(b"/".to_vec(), root(0)?, root(1)?)];
        let mut entered = [Entered::default(), Entered::default()];
        self.compare(b"/", &open[0].1, &open[0].2, found)?;
        while let Some((path, first, second)) = open.pop() {
            entered[0].enter(&first).map_err(|error| (0, error))?;
            entered[1].enter(&second).map_err(|error| (1, error))?;
            let entries = |side: usize, directory: &File| {
                let entries = sorted_entries(self.sides[side], directory).map_err(|error| (side, error))?;
                Ok::<_, SideError>(entries.into_iter().collect::<BTreeMap<_, _>>())
            };
            let (before, after) = (entries(0, &first)?, entries(1, &second)?);
            let names: BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
            let mut below = Vec::new();
            for name in names {
                let at = join(&path, name);
                let file = |side: usize, object: u64| self.sides[side].file(object).map_err(|error| (side, error));
                match (before.get(name), after.get(name)) {
                    (Some(old), Some(new)) => {
                        let (old, new) = (file(0, *old)?, file(1, *new)?);
                        self.compare(&at, &old, &new, found)?;
                        if old.is_directory() && new.is_directory() {
                            below.push((at, old, new));
                        }
                    }
                    (Some(old), None) => self.alone(0, &Found { path: at, file: file(0, *old)? }, found),
                    (None, Some(new)) => self.alone(1, &Found { path: at, file: file(1, *new)? }, found),
                    (None, None) => {}
                }
            }
            open.extend(below.into_iter().rev());
        }
        Ok(())
    }

    fn what(&self, path: &[u8]) -> String {
        format!("{} {}", self.dataset, shown(path))
    }

    /// Manifests have the paths of the running system.
    fn at_path(&self, difference: Difference, path: &[u8]) -> Difference {
        let at = |mountpoint: &String| match format!("{mountpoint}{}", String::from_utf8_lossy(path)) {
            whole if whole.len() > 1 => whole.trim_end_matches('/').to_owned(),
            root => root,
        };
        Difference { path: self.mountpoint.as_ref().map(at), ..difference }
    }

    /// Something that one side does not have; what is below it goes without saying.
    fn alone(&self, side: usize, one: &Found, found: &mut Vec<Difference>) {
        let sign = if side == 0 { '-' } else { '+' };
        let how =
            if one.file.is_directory() { vec!["a directory with all that is in it".to_owned()] } else { Vec::new() };
        found.push(self.at_path(Difference::new(sign, self.what(&one.path), how), &one.path));
    }

    fn compare(&self, path: &[u8], old: &File, new: &File, found: &mut Vec<Difference>) -> Result<(), SideError> {
        let mut how = Vec::new();
        let (before, after) = (&old.znode, &new.znode);
        if before.mode != after.mode {
            how.push(format!("mode {} → {}", mode_text(before.mode), mode_text(after.mode)));
        }
        let acl = |side: usize, file: &File| file.acl().map_err(|error| (side, error));
        if acl(0, old)? != acl(1, new)? {
            how.push("access control list".to_owned());
        }
        if (before.uid, before.gid) != (after.uid, after.gid) {
            how.push(format!("owner {}:{} → {}:{}", before.uid, before.gid, after.uid, after.gid));
        }
        if before.rdev != after.rdev {
            how.push("device number".to_owned());
        }
        // The link count of a directory is that of its entries, which are told themselves.
        if !old.is_directory() && before.links != after.links {
            how.push(format!("{} → {} names", before.links, after.links));
        }
        if (before.mtime.secs, before.mtime.nanos) != (after.mtime.secs, after.mtime.nanos) {
            how.push(format!("time {} → {}", time_text(before.mtime.secs), time_text(after.mtime.secs)));
        }
        if old.kind() == new.kind() && !self.same_content(old, new)? {
            how.push("content".to_owned());
        }
        let xattrs = |side: usize, file: &File| self.sides[side].xattrs(file).map_err(|error| (side, error));
        if xattrs(0, old)? != xattrs(1, new)? {
            how.push("extended attributes".to_owned());
        }
        if !how.is_empty() {
            found.push(self.at_path(Difference::new('~', self.what(path), how), path));
        }
        Ok(())
    }

    fn same_content(&self, old: &File, new: &File) -> Result<bool, SideError> {
        if old.is_symlink() {
            let target = |side: usize, file: &File| self.sides[side].read_link(file).map_err(|error| (side, error));
            return Ok(target(0, old)? == target(1, new)?);
        }
        if !old.is_regular() {
            return Ok(true);
        }
        if old.znode.size != new.znode.size {
            return Ok(false);
        }
        let mut buffers = [vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]];
        let mut offset = 0;
        while offset < old.znode.size {
            let mut counts = [0; 2];
            for (side, file) in [old, new].into_iter().enumerate() {
                let read = self.sides[side].read_at(file, &mut buffers[side], offset);
                counts[side] = read.map_err(|error| (side, error))?;
            }
            if buffers[0][..counts[0]] != buffers[1][..counts[1]] {
                return Ok(false);
            }
            offset += counts[0].max(1) as u64;
        }
        Ok(true)
    }
}

/// What manifests tell of images that are not read inside.
fn compare_manifests(before: &Provenance, after: &Provenance, found: &mut Vec<Difference>) {
    for (sign, path, how) in before.changes(after) {
        let mut difference = Difference::new(sign, path.clone(), how);
        difference.path = Some(path);
        found.push(difference);
    }
}

/// Partitions that are not read inside are compared byte by byte.
fn compare_parts(images: &[Image; 2], found: &mut Vec<Difference>) -> Result<(), InspectError> {
    let parts = images.each_ref().map(Image::parts);
    if images[0].file.length() != images[1].file.length() {
        let how = vec![format!("{} → {} bytes", images[0].file.length(), images[1].file.length())];
        found.push(Difference::new('~', "size of the image".to_owned(), how));
    }
    for old in &parts[0] {
        match parts[1].iter().find(|new| new.title == old.title) {
            None => found.push(Difference::new('-', old.title.clone(), Vec::new())),
            Some(new) => {
                let mut how = Vec::new();
                let is_read = old.is_pool && new.is_pool;
                if (old.offset, old.bytes) != (new.offset, new.bytes) {
                    how.push("place or size".to_owned());
                } else if !is_read && !same_bytes(images, old)? {
                    how.push(format!("bytes of the {}, which is not read inside", old.purpose));
                }
                if !how.is_empty() {
                    found.push(Difference::new('~', old.title.clone(), how));
                }
            }
        }
    }
    let added = parts[1].iter().filter(|new| parts[0].iter().all(|old| old.title != new.title));
    found.extend(added.map(|new| Difference::new('+', new.title.clone(), Vec::new())));
    Ok(())
}

fn same_bytes(images: &[Image; 2], part: &Part) -> Result<bool, InspectError> {
    let mut buffers = [vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]];
    let mut offset = part.offset;
    let end = part.offset.saturating_add(part.bytes);
    while offset < end {
        let count = (end - offset).min(CHUNK_BYTES as u64) as usize;
        for (image, buffer) in images.iter().zip(&mut buffers) {
            let failed = |source| InspectError::Read { path: image.path.clone(), source };
            image.file.read_exact_at(&mut buffer[..count], offset).map_err(failed)?;
        }
        if buffers[0][..count] != buffers[1][..count] {
            return Ok(false);
        }
        offset += count as u64;
    }
    Ok(true)
}
