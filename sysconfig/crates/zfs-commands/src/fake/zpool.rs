//! `zpool`.

use super::pool::{Device, Pool, Slot, Top};
use super::zfs::check_root;
use super::{World, failed, printed};
use crate::zpool::Kind;
use std::collections::BTreeMap;
use sysconfig_platform::{Completed, System};

/// Properties of pools with their defaults.
pub(super) const SETTABLE: &[(&str, &str)] = &[
    ("altroot", "-"),
    ("autoexpand", "off"),
    ("autoreplace", "off"),
    ("bootfs", "-"),
    ("cachefile", "-"),
    ("comment", "-"),
    ("dedupditto", "0"),
    ("delegation", "on"),
    ("failmode", "wait"),
    ("listsnapshots", "off"),
];

/// The minimum size of a device, and how much those of a vdev may differ.
const SMALLEST: u64 = 64 << 20;
const SIZE_FUZZ: u64 = 16 << 20;
const USAGE: &str = "usage: zpool command args ...\nwhere 'command' is one of the following:\n";

/// What is to become a pool's.
#[derive(Default)]
struct Vdevs {
    data: Vec<(Kind, Vec<String>)>,
    logs: Vec<(Kind, Vec<String>)>,
    cache: Vec<String>,
    spares: Vec<String>,
}

type Refused = Completed;

impl World {
    pub(super) fn zpool(&mut self, args: &[&str]) -> Completed {
        match args {
            ["status", rest @ ..] => return self.status(rest),
            ["get", rest @ ..] => return self.get(rest),
            ["list", "-H", "-o", "name"] => {
                return printed(self.pools.keys().map(|name| format!("{name}\n")).collect::<String>());
            }
            ["import", rest @ ..] if rest.chunks(2).all(|pair| matches!(pair, ["-d", _])) => {
                return self.list_importable(&rest.iter().skip(1).step_by(2).copied().collect::<Vec<_>>());
            }
            _ if self.suspended => return failed(1, "cannot do this: pool I/O is currently suspended\n"),
            _ => {}
        }
        let done = match args {
            ["create", rest @ ..] => self.create(rest),
            ["import", rest @ ..] => self.import(rest),
            ["export", name] => self.export(name),
            ["add", rest @ ..] => self.add(rest),
            ["attach", "-f", name, old, new] => self.attach(name, old, new, true),
            ["attach", name, old, new] => self.attach(name, old, new, false),
            ["replace", "-f", name, old, new] => self.replace(name, old, new, true),
            ["replace", name, old, new] => self.replace(name, old, new, false),
            ["detach", name, device] => self.detach(name, device),
            ["remove", name, device] => self.remove(name, device),
            ["online", "-e", name, device] => self.online(name, device, true),
            ["online", name, device] => self.online(name, device, false),
            ["set", assignment, name] => self.set(assignment, name),
            ["destroy", name] => self.destroy(name),
            _ => Err(failed(2, USAGE)),
        };
        done.map_or_else(|refused| refused, |()| printed(""))
    }

    fn create(&mut self, args: &[&str]) -> Result<(), Refused> {
        let (mut force, mut dry_run) = (false, false);
        let (mut properties, mut root) = (BTreeMap::new(), BTreeMap::new());
        let mut args = args.iter().copied().peekable();
        while let Some(option) = args.peek().copied().filter(|word| word.starts_with('-')) {
            args.next();
            match option {
                "-f" => force = true,
                "-n" => dry_run = true,
                "-m" => drop(root.insert("mountpoint".to_owned(), args.next().ok_or_else(usage)?.to_owned())),
                "-o" | "-O" => {
                    let (name, value) = args.next().and_then(|word| word.split_once('=')).ok_or_else(usage)?;
                    let target = if option == "-o" { &mut properties } else { &mut root };
                    target.insert(name.to_owned(), value.to_owned());
                }
                _ => return Err(usage()),
            }
        }
        let name = args.next().ok_or_else(usage)?.to_owned();
        let vdevs = words(&args.collect::<Vec<_>>())?;
        if vdevs.data.is_empty() {
            return Err(failed(1, "invalid vdev specification: at least one toplevel vdev must be specified\n"));
        }
        zfs_format::name::check_pool(&name).map_err(|fault| failed(1, format!("cannot create '{name}': {fault}\n")))?;
        self.fit(&vdevs, &[], force)?;
        if self.pools.contains_key(&name) {
            return Err(failed(1, format!("cannot create '{name}': pool already exists\n")));
        }
        for (property, value) in &properties {
            self.check_property(property, value, true)
                .map_err(|why| failed(1, format!("cannot create '{name}': {why}\n")))?;
        }
        for (property, value) in &mut root {
            *value =
                check_root(property, value).map_err(|why| failed(1, format!("cannot create '{name}': {why}\n")))?;
        }
        if dry_run {
            return Ok(());
        }
        let guid = self.guid();
        let (data, logs, cache, spares) = self.take(vdevs);
        let pool = Pool { name: name.clone(), guid, properties, root, data, logs, cache, spares, foreign: false };
        self.write_labels(&pool, 0);
        self.pools.insert(name, pool);
        Ok(())
    }

    fn add(&mut self, args: &[&str]) -> Result<(), Refused> {
        let (force, dry_run, args) = match args {
            ["-f", rest @ ..] => (true, false, rest),
            ["-n", rest @ ..] => (false, true, rest),
            rest => (false, false, rest),
        };
        let (name, rest) = args.split_first().ok_or_else(usage)?;
        let vdevs = words(rest)?;
        let present = self.pool(name)?.data.iter().map(|top| (top.kind, top.slots.len())).collect::<Vec<_>>();
        self.fit(&vdevs, &present, force)?;
        if dry_run {
            return Ok(());
        }
        let (data, logs, cache, spares) = self.take(vdevs);
        let pool = self.pools.get_mut(*name).expect("the pool was just there");
        pool.data.extend(data);
        pool.logs.extend(logs);
        pool.cache.extend(cache);
        pool.spares.extend(spares);
        let pool = pool.clone();
        self.write_labels(&pool, 0);
        Ok(())
    }

    /// What `zpool` checks before it makes vdevs. `present` are the shapes of those that the pool has.
    fn fit(&self, vdevs: &Vdevs, present: &[(Kind, usize)], force: bool) -> Result<(), Refused> {
        let groups = vdevs.data.iter().chain(&vdevs.logs).map(|(_, devices)| devices);
        let all: Vec<&String> = groups.flatten().chain(&vdevs.cache).chain(&vdevs.spares).collect();
        for (at, path) in all.iter().enumerate() {
            if all[..at].contains(path) {
                return Err(invalid(&format!("{path} is specified more than once"), force));
            }
            let bytes = self
                .size(path)
                .ok_or_else(|| failed(1, format!("cannot open '{path}': No such device or address\n")))?;
            self.free(path, force)?;
            if bytes < SMALLEST {
                return Err(failed(1, "cannot create pool: one or more devices is less than the minimum size (64M)\n"));
            }
        }
        for path in &vdevs.cache {
            if !path.starts_with("/dev/") {
                return Err(failed(1, format!("cannot use '{path}': cache device must be a disk or disk slice\n")));
            }
        }
        if !force {
            self.uniform(vdevs, present)?;
        }
        Ok(())
    }

    fn uniform(&self, vdevs: &Vdevs, present: &[(Kind, usize)]) -> Result<(), Refused> {
        let mut shapes: Vec<(Kind, usize)> = present.to_vec();
        for (kind, devices) in &vdevs.data {
            shapes.push((*kind, devices.len()));
            let sizes: Vec<u64> = devices.iter().filter_map(|path| self.size(path)).collect();
            let (least, most) = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
            if most - least > SIZE_FUZZ {
                return Err(invalid(&format!("{} contains devices of different sizes", kind.word()), false));
            }
            let files = devices.iter().filter(|path| !path.starts_with("/dev/")).count();
            if files != 0 && files != devices.len() {
                return Err(invalid("mismatched replication level: both file and disk vdevs are present", false));
            }
        }
        match shapes.iter().any(|shape| *shape != shapes[0]) {
            true => Err(invalid("mismatched replication level: different vdevs are present", false)),
            false => Ok(()),
        }
    }

    /// Whether a device may be taken: `-f` does not help against a pool that is in use, or a mount.
    fn free(&self, path: &str, force: bool) -> Result<(), Refused> {
        let label_path = self.label_path(path).unwrap_or_default();
        for pool in self.pools.values() {
            if pool.devices().iter().any(|device| !device.lost && (device.path == label_path || device.path == path)) {
                return Err(invalid(
                    &format!("{label_path} is part of active ZFS pool {}. Please see zpool(8).", pool.name),
                    true,
                ));
            }
        }
        let table = std::fs::read_to_string(self.root.locate("/etc/mnttab")).unwrap_or_default();
        if table.lines().any(|line| line.split('\t').next().is_some_and(|special| special.starts_with(path))) {
            return Err(invalid(&format!("{path} is currently mounted on /somewhere. Please see umount(8)."), true));
        }
        if force {
            return Ok(());
        }
        if let Some(label) = self.label(path).filter(|label| label.pool_guid != 0) {
            let foreign = self.exported.iter().any(|pool| pool.guid == label.pool_guid && pool.foreign);
            return match label.state {
                0 if foreign => {
                    Err(invalid(&format!("{label_path} is part of potentially active pool '{}'", label.pool), false))
                }
                // Nobody minds a pool that was destroyed.
                2 => Ok(()),
                _ => Err(invalid(&format!("{label_path} is part of exported pool '{}'", label.pool), false)),
            };
        }
        match self.file_system(path) {
            Some(kind) if self.system == System::Illumos => {
                Err(invalid(&format!("{path} contains a {kind} filesystem."), false))
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, vdevs: Vdevs) -> (Vec<Top>, Vec<Top>, Vec<Device>, Vec<Device>) {
        let tops = |world: &mut Self, groups: Vec<(Kind, Vec<String>)>| {
            let top = |(kind, devices): (Kind, Vec<String>)| {
                let slots = devices.iter().map(|path| Slot { device: world.member(path), old: None }).collect();
                Top { kind, slots }
            };
            groups.into_iter().map(top).collect::<Vec<_>>()
        };
        let data = tops(self, vdevs.data);
        let logs = tops(self, vdevs.logs);
        let cache = vdevs.cache.iter().map(|path| self.member(path)).collect();
        let spares = vdevs.spares.iter().map(|path| self.member(path)).collect();
        (data, logs, cache, spares)
    }

    fn member(&mut self, path: &str) -> Device {
        let (path, bytes) = self.prepare(path).expect("it was checked that the device is there");
        Device { path, guid: self.guid(), bytes, lost: false }
    }

    /// Gives the next pool this guid.
    pub fn next_guid_is(&mut self, guid: u64) {
        self.next_guid = guid.wrapping_sub(7);
    }

    fn guid(&mut self) -> u64 {
        self.next_guid = self.next_guid.wrapping_add(7);
        self.next_guid
    }

    fn import(&mut self, args: &[&str]) -> Result<(), Refused> {
        let mut directories = Vec::new();
        let mut rest = args;
        while let ["-d", directory, more @ ..] = rest {
            directories.push(*directory);
            rest = more;
        }
        let (which, name) = match rest {
            [which] => (*which, None),
            [which, name] => (*which, Some(*name)),
            _ => return Err(usage()),
        };
        let matches = |pool: &Pool| pool.guid.to_string() == which || pool.name == which;
        let found: Vec<usize> = (0..self.exported.len()).filter(|at| matches(&self.exported[*at])).collect();
        let at = match found.as_slice() {
            [] => return Err(failed(1, format!("cannot import '{which}': no such pool available\n"))),
            [at] => *at,
            _ => return Err(failed(1, format!("cannot import '{which}': more than one matching pool\n"))),
        };
        let mut pool = self.exported[at].clone();
        if pool.foreign {
            let why = "pool may be in use from other system, it was last accessed by old (hostid: 0x1) on Thu Nov 26\nuse '-f' to import anyway";
            return Err(failed(1, format!("cannot import '{which}': {why}\n")));
        }
        self.look_again(&mut pool);
        if super::show::health(&pool) == "UNAVAIL" {
            return Err(failed(1, format!("cannot import '{which}': one or more devices is currently unavailable\n")));
        }
        let name = name.unwrap_or(&pool.name).to_owned();
        if self.pools.contains_key(&name) {
            return Err(failed(1, format!("cannot import '{name}': a pool with that name already exists\n")));
        }
        pool.name.clone_from(&name);
        self.exported.remove(at);
        self.write_labels(&pool, 0);
        self.pools.insert(name, pool);
        Ok(())
    }

    fn export(&mut self, name: &str) -> Result<(), Refused> {
        self.pool(name)?;
        let pool = self.pools.remove(name).expect("the pool was just there");
        self.write_labels(&pool, 1);
        self.exported.push(pool);
        Ok(())
    }

    fn destroy(&mut self, name: &str) -> Result<(), Refused> {
        self.pool(name)?;
        let pool = self.pools.remove(name).expect("the pool was just there");
        self.write_labels(&pool, 2);
        Ok(())
    }

    fn attach(&mut self, name: &str, old: &str, new: &str, force: bool) -> Result<(), Refused> {
        self.pool(name)?;
        self.one(new, force)?;
        let bytes = self.size(new).unwrap_or(0);
        let old_path = self.label_path(old).unwrap_or_default();
        let device = self.member_unless_small(name, &old_path, bytes, new)?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let (top, at) =
            pool.slot_mut(|device| device.path == old || device.path == old_path).expect("it was looked up");
        match top.kind {
            Kind::Device | Kind::Mirror => {}
            _ => {
                return Err(failed(
                    1,
                    format!("cannot attach {new} to {old}: can only attach to mirrors and top-level disks\n"),
                ));
            }
        }
        top.kind = Kind::Mirror;
        top.slots.insert(at + 1, Slot { device, old: None });
        let pool = pool.clone();
        self.write_labels(&pool, 0);
        Ok(())
    }

    fn replace(&mut self, name: &str, old: &str, new: &str, force: bool) -> Result<(), Refused> {
        self.pool(name)?;
        self.one(new, force)?;
        let bytes = self.size(new).unwrap_or(0);
        let old_path = self.label_path(old).unwrap_or_default();
        let device = self.member_unless_small(name, &old_path, bytes, new)?;
        let looks = self.resilver_looks;
        let matches = |device: &Device| device.path == old || device.path == old_path || device.guid.to_string() == old;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let Some((top, at)) = pool.slot_mut(matches) else {
            return Err(failed(1, format!("cannot replace {old} with {new}: no such device in pool\n")));
        };
        let slot = &mut top.slots[at];
        let old = std::mem::replace(&mut slot.device, device);
        match (old.lost, looks) {
            (false, 1..) => slot.old = Some((old, looks)),
            (false, 0) => self.clear_labels(&old),
            // What is gone cannot be copied from.
            (true, _) => {}
        }
        let pool = self.pools[name].clone();
        self.write_labels(&pool, 0);
        Ok(())
    }

    fn one(&self, path: &str, force: bool) -> Result<(), Refused> {
        if self.size(path).is_none() {
            return Err(failed(1, format!("cannot open '{path}': No such device or address\n")));
        }
        self.free(path, force)
    }

    fn member_unless_small(&mut self, name: &str, old: &str, bytes: u64, new: &str) -> Result<Device, Refused> {
        let pool = &self.pools[name];
        let found = pool.devices().into_iter().find(|device| device.path == old || device.guid.to_string() == old);
        let Some(found) = found else {
            return Err(failed(1, format!("cannot attach {new} to {old}: no such device in pool\n")));
        };
        // The partition table takes a little of a whole disk.
        if bytes < found.bytes {
            return Err(failed(1, format!("cannot replace {old} with {new}: device is too small\n")));
        }
        Ok(self.member(new))
    }

    fn detach(&mut self, name: &str, device: &str) -> Result<(), Refused> {
        self.pool(name)?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let Some((top, at)) = pool.slot_mut(|member| member.path == device) else {
            return Err(failed(1, format!("cannot detach {device}: no such device in pool\n")));
        };
        if top.kind != Kind::Mirror {
            return Err(failed(1, format!("cannot detach {device}: only applicable to mirror and replacing vdevs\n")));
        }
        let slot = top.slots.remove(at);
        if top.slots.len() == 1 {
            top.kind = Kind::Device;
        }
        self.clear_labels(&slot.device);
        Ok(())
    }

    fn remove(&mut self, name: &str, device: &str) -> Result<(), Refused> {
        self.pool(name)?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let mut gone: Vec<Device> = Vec::new();
        for list in [&mut pool.cache, &mut pool.spares] {
            gone.extend(list.iter().filter(|member| member.path == device).cloned());
            list.retain(|member| member.path != device);
        }
        let first = pool.data.len();
        let is_it = |at: usize, top: &Top| match top.kind {
            Kind::Device => top.slots[0].device.path == device,
            kind => format!("{}-{}", kind.word(), first + at) == device,
        };
        if let Some(at) = (0..pool.logs.len()).find(|at| is_it(*at, &pool.logs[*at])) {
            gone.extend(pool.logs.remove(at).slots.into_iter().map(|slot| slot.device));
        }
        if gone.is_empty() {
            return Err(failed(
                1,
                format!(
                    "cannot remove {device}: only inactive hot spares, cache, top-level, or log devices can be removed\n"
                ),
            ));
        }
        gone.iter().for_each(|device| self.clear_labels(device));
        Ok(())
    }

    fn online(&mut self, name: &str, device: &str, expand: bool) -> Result<(), Refused> {
        self.pool(name)?;
        let mut pool = self.pools[name].clone();
        let path = self.label_path(device).unwrap_or_default();
        let is_it = |member: &Device| member.path == device || member.path == path || member.guid.to_string() == device;
        let mut found = false;
        for member in pool.devices_mut().into_iter().filter(|member| is_it(member)) {
            found = true;
            member.lost = self.label(&member.path).is_none_or(|label| label.guid != member.guid);
            if expand {
                member.bytes = self.room(member);
            }
        }
        if !found {
            return Err(failed(1, format!("cannot online {device}: no such device in pool\n")));
        }
        self.write_labels(&pool, 0);
        self.pools.insert(name.to_owned(), pool);
        Ok(())
    }

    fn set(&mut self, assignment: &str, name: &str) -> Result<(), Refused> {
        let (property, value) = assignment.split_once('=').ok_or_else(usage)?;
        self.pool(name)?;
        self.check_property(property, value, false)
            .map_err(|why| failed(1, format!("cannot set property for '{name}': {why}\n")))?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        if value.is_empty() {
            pool.properties.remove(property);
        } else {
            pool.properties.insert(property.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn check_property(&self, property: &str, value: &str, is_new: bool) -> Result<(), String> {
        if property.starts_with("feature@") {
            let allowed = value == "enabled" || (is_new && value == "disabled");
            return allowed.then_some(()).ok_or_else(|| format!("property '{property}' can only be set to 'enabled'"));
        }
        if property == "ashift" && self.system == System::Linux {
            return Ok(());
        }
        if !SETTABLE.iter().any(|(known, _)| *known == property) || property == "altroot" {
            return Err(format!("invalid property '{property}'"));
        }
        let words: &[&str] = match property {
            "autoexpand" | "autoreplace" | "delegation" | "listsnapshots" => &["on", "off"],
            "failmode" => &["wait", "continue", "panic"],
            _ => return Ok(()),
        };
        words
            .contains(&value)
            .then_some(())
            .ok_or_else(|| format!("'{property}' must be one of '{}'", words.join(" | ")))
    }

    fn pool(&self, name: &str) -> Result<&Pool, Refused> {
        self.pools.get(name).ok_or_else(|| failed(1, format!("cannot open '{name}': no such pool\n")))
    }
}

fn usage() -> Refused {
    failed(2, USAGE)
}

/// `zpool`'s answer to a device that it does not want; what force could do about it, it says.
fn invalid(why: &str, is_final: bool) -> Refused {
    let hint = if is_final {
        "the following errors must be manually repaired:"
    } else {
        "use '-f' to override the following errors:"
    };
    failed(1, format!("invalid vdev specification\n{hint}\n{why}\n"))
}

/// Reads `mirror A B log C cache D spare E`.
fn words(words: &[&str]) -> Result<Vdevs, Refused> {
    let mut vdevs = Vdevs::default();
    let mut section = "";
    let mut seen = Vec::new();
    let mut group: Option<(Kind, Vec<String>)> = None;
    let close = |vdevs: &mut Vdevs, section: &str, group: &mut Option<(Kind, Vec<String>)>| {
        let Some((kind, devices)) = group.take() else { return Ok(()) };
        let least = match kind {
            Kind::Mirror => 2,
            Kind::Raidz(parity) => usize::from(parity) + 1,
            _ => 1,
        };
        if devices.len() < least {
            let why = format!("invalid vdev specification: {} requires at least {least} devices\n", kind.word());
            return Err(failed(1, why));
        }
        match (section, kind) {
            ("", _) => vdevs.data.push((kind, devices)),
            ("log", Kind::Device | Kind::Mirror) => vdevs.logs.push((kind, devices)),
            _ => {
                return Err(failed(
                    1,
                    format!("invalid vdev specification: {section} does not take a {}\n", kind.word()),
                ));
            }
        }
        Ok(())
    };
    for word in words {
        match Kind::of(word) {
            _ if word.starts_with('/') => match (&mut group, section) {
                (Some((_, devices)), _) => devices.push((*word).to_owned()),
                (None, "cache") => vdevs.cache.push((*word).to_owned()),
                (None, "spare") => vdevs.spares.push((*word).to_owned()),
                (None, "log") => vdevs.logs.push((Kind::Device, vec![(*word).to_owned()])),
                (None, _) => vdevs.data.push((Kind::Device, vec![(*word).to_owned()])),
            },
            kind @ (Kind::Mirror | Kind::Raidz(_)) => {
                close(&mut vdevs, section, &mut group)?;
                group = Some((kind, Vec::new()));
            }
            _ if matches!(*word, "log" | "cache" | "spare") => {
                close(&mut vdevs, section, &mut group)?;
                if seen.contains(word) {
                    return Err(failed(
                        1,
                        format!("invalid vdev specification: '{word}' can be specified only once\n"),
                    ));
                }
                seen.push(word);
                section = word;
            }
            _ => {
                return Err(failed(
                    1,
                    format!(
                        "cannot open '{word}': no such device in /dev/dsk\nmust be a full path or shorthand device name\n"
                    ),
                ));
            }
        }
    }
    close(&mut vdevs, section, &mut group)?;
    Ok(vdevs)
}
