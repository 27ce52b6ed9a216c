//! `zpool`.

use super::super::{failed, printed};
use super::pool::Pool;
use super::vdevs::{Refused, words};
use super::{FakeDataset, Storage};
use crate::zfs::Kind as DatasetKind;
use crate::{Completed, System};
use std::collections::BTreeMap;

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

const USAGE: &str = "usage: zpool command args ...\nwhere 'command' is one of the following:\n";

impl Storage {
    pub(super) fn zpool(&mut self, args: &[&str]) -> Completed {
        match args {
            ["status", rest @ ..] => return self.status(rest),
            ["get", rest @ ..] => return self.zpool_get(rest),
            ["list", "-Hp", "-o", "name,size", name] => {
                return match self.pools.get(*name) {
                    Some(pool) => printed(format!("{name}\t{}\n", pool.size())),
                    None => failed(1, format!("cannot open '{name}': no such pool\n")),
                };
            }
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
            ["create", rest @ ..] => self.create_pool(rest),
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
            ["set", assignment, name] => self.set_pool(assignment, name),
            ["destroy", name] => self.destroy_pool(name),
            _ => Err(failed(2, USAGE)),
        };
        done.map_or_else(|refused| refused, |()| printed(""))
    }

    fn create_pool(&mut self, args: &[&str]) -> Result<(), Refused> {
        let (mut force, mut dry_run) = (false, false);
        let (mut properties, mut root) = (BTreeMap::new(), FakeDataset::filesystem([]));
        let mut args = args.iter().copied().peekable();
        while let Some(option) = args.peek().copied().filter(|word| word.starts_with('-')) {
            args.next();
            match option {
                "-f" => force = true,
                "-n" => dry_run = true,
                "-m" => {
                    drop(root.properties.insert("mountpoint".to_owned(), args.next().ok_or_else(usage)?.to_owned()));
                }
                "-o" | "-O" => {
                    let (name, value) = args.next().and_then(|word| word.split_once('=')).ok_or_else(usage)?;
                    let target = if option == "-o" { &mut properties } else { &mut root.properties };
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
        self.fit(&vdevs, &[], force)?;
        if !dry_run {
            // Disks get their tables before anything that a library or the kernel would have to say (`make_root_vdev`).
            self.prepare_all(&vdevs);
        }
        zfs_format::name::check_pool(&name).map_err(|fault| failed(1, format!("cannot create '{name}': {fault}\n")))?;
        if self.pools.contains_key(&name) {
            return Err(failed(1, format!("cannot create '{name}': pool already exists\n")));
        }
        for (property, value) in &properties {
            self.check_property(property, value, true)
                .map_err(|why| failed(1, format!("cannot create '{name}': {why}\n")))?;
        }
        for (property, value) in &mut root.properties {
            *value = self
                .stored(DatasetKind::Filesystem, property, value)
                .map_err(|why| failed(1, format!("cannot create '{name}': {why}\n")))?;
        }
        if dry_run {
            return Ok(());
        }
        let guid = self.guid();
        let (data, logs, cache, spares) = self.take(vdevs);
        let pool = Pool { properties, logs, cache, spares, ..Pool::new(&name, guid, data) };
        self.write_labels(&pool, 0);
        self.pools.insert(name.clone(), pool);
        self.datasets.insert(name.clone(), root);
        self.mount_dataset(&name);
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

    /// Gives the next pool this guid.
    pub fn next_guid_is(&mut self, guid: u64) {
        self.next_guid = guid.wrapping_sub(7);
    }

    pub(super) fn guid(&mut self) -> u64 {
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
        let mounts_nothing = matches!(rest, ["-N", ..]);
        let rest = if mounts_nothing { &rest[1..] } else { rest };
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
        if pool.health() == "UNAVAIL" {
            return Err(failed(1, format!("cannot import '{which}': one or more devices is currently unavailable\n")));
        }
        let name = name.unwrap_or(&pool.name).to_owned();
        if self.pools.contains_key(&name) {
            return Err(failed(1, format!("cannot import '{name}': a pool with that name already exists\n")));
        }
        pool.name.clone_from(&name);
        self.exported.remove(at);
        self.write_labels(&pool, 0);
        for (rest, dataset) in std::mem::take(&mut pool.datasets) {
            self.datasets.insert(format!("{name}{rest}"), dataset);
        }
        self.pools.insert(name.clone(), pool);
        if !mounts_nothing {
            self.mount_pool(&name);
        }
        Ok(())
    }

    fn export(&mut self, name: &str) -> Result<(), Refused> {
        let pool = self.let_go(name)?;
        self.write_labels(&pool, 1);
        self.exported.push(pool);
        Ok(())
    }

    fn destroy_pool(&mut self, name: &str) -> Result<(), Refused> {
        let pool = self.let_go(name)?;
        self.write_labels(&pool, 2);
        Ok(())
    }

    /// Takes an imported pool out with its datasets, which nobody may use.
    fn let_go(&mut self, name: &str) -> Result<Pool, Refused> {
        self.pool(name)?;
        self.unmount_pool(name).map_err(|point| failed(1, format!("cannot unmount '{point}': Device busy\n")))?;
        let mut pool = self.pools.remove(name).expect("the pool was just there");
        let below = format!("{name}/");
        let all: Vec<String> =
            self.datasets.keys().filter(|other| *other == name || other.starts_with(&below)).cloned().collect();
        for dataset in all {
            let found = self.datasets.remove(&dataset).expect("it was just listed");
            pool.datasets.insert(dataset[name.len()..].to_owned(), found);
        }
        Ok(pool)
    }

    fn set_pool(&mut self, assignment: &str, name: &str) -> Result<(), Refused> {
        let (property, value) = assignment.split_once('=').ok_or_else(usage)?;
        self.pool(name)?;
        self.check_property(property, value, false)
            .map_err(|why| failed(1, format!("cannot set property for '{name}': {why}\n")))?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        // What is usual reads as nothing.
        if value.is_empty() || assignment == "cachefile=/etc/zfs/zpool.cache" {
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
        if !SETTABLE.iter().any(|(known, _)| *known == property) || (property == "altroot" && !is_new) {
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

    pub(super) fn pool(&self, name: &str) -> Result<&Pool, Refused> {
        self.pools.get(name).ok_or_else(|| failed(1, format!("cannot open '{name}': no such pool\n")))
    }
}

fn usage() -> Refused {
    failed(2, USAGE)
}
