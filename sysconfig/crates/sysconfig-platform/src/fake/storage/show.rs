//! What `zpool` prints.

use super::super::{failed, printed};
use super::Storage;
use super::pool::{Device, Pool, Slot, Top};
use crate::zpool::Kind;
use crate::{Completed, System};
use std::fmt::Write;

/// Rows of the configuration: how deep, name, state, note.
type Rows = Vec<(usize, String, String, String)>;

impl Storage {
    /// Notices devices that are gone, as the system does when it next needs them.
    pub(super) fn notice(&mut self) {
        let mut pools = std::mem::take(&mut self.pools);
        for pool in pools.values_mut() {
            for device in pool.devices_mut().into_iter().filter(|device| !device.is_given()) {
                let is_there = self.label(&device.path).is_some_and(|label| label.guid == device.guid);
                device.lost |= !is_there;
            }
        }
        self.pools = pools;
    }

    /// What an import would find out by itself.
    pub(super) fn look_again(&self, pool: &mut Pool) {
        for device in pool.devices_mut() {
            device.lost = self.label(&device.path).is_none_or(|label| label.guid != device.guid);
        }
    }

    pub(super) fn status(&mut self, args: &[&str]) -> Completed {
        let names: Vec<String> = match args {
            ["-P"] => self.pools.keys().cloned().collect(),
            ["-P", name] if self.pools.contains_key(*name) => vec![(*name).to_owned()],
            ["-P", name] => return failed(1, format!("cannot open '{name}': no such pool\n")),
            _ => return failed(2, "usage:\n\tstatus [-DigLpPstvx] [-T d|u] [pool] ... [interval [count]]\n"),
        };
        if names.is_empty() {
            return printed("no pools available\n");
        }
        self.notice();
        let mut text = String::new();
        for name in names {
            self.end_of_replacement(&name);
            let pool = &self.pools[&name];
            let health = pool.health();
            let health = if self.suspended { "SUSPENDED" } else { health };
            let _ = write!(text, "  pool: {name}\n state: {health}\n");
            if health != "ONLINE" {
                text += "status: One or more devices could not be opened.  Sufficient replicas exist for\n\
                         \tthe pool to continue functioning in a degraded state.\n\
                         action: Attach the missing device and online it using 'zpool online'.\n   \
                         see: http://illumos.org/msg/ZFS-8000-2Q\n";
            }
            let is_resilvering = pool.data.iter().flat_map(|top| &top.slots).any(|slot| slot.old.is_some());
            if health == "ONLINE" && is_resilvering {
                text += "status: One or more devices is currently being resilvered.  The pool will\n\
                         \tcontinue to function, possibly in a degraded state.\n\
                         action: Wait for the resilver to complete.\n";
            } else if health == "ONLINE" && self.damaged.contains(&name) {
                text += "status: One or more devices has experienced an error resulting in data\n\
                         \tcorruption.  Applications may be affected.\n\
                         action: Restore the file in question if possible.  Otherwise restore the\n\
                         \tentire pool from backup.\n   see: http://illumos.org/msg/ZFS-8000-8A\n";
            } else if health == "ONLINE" {
                text += "status: Some supported features are not enabled on the pool. The pool can\n\
                         \tstill be used, but some features are unavailable.\n\
                         action: Enable all features using 'zpool upgrade'.\n";
            }
            text += match is_resilvering {
                true => {
                    "  scan: resilver in progress since Fri Nov 27 12:00:00 2026\n\
                         \t1.20G scanned at 100M/s, 600M issued at 50M/s, 2.40G total\n\
                         \t600M resilvered, 25.00% done, 00:00:36 to go\nconfig:\n\n"
                }
                false => "  scan: none requested\nconfig:\n\n",
            };
            text += &columns(&rows(pool, health), true);
            text += "\nerrors: No known data errors\n\n";
        }
        printed(text)
    }

    /// Replaced devices go after some looks.
    fn end_of_replacement(&mut self, name: &str) {
        let mut gone = Vec::new();
        if let Some(pool) = self.pools.get_mut(name) {
            for slot in pool.data.iter_mut().flat_map(|top| &mut top.slots) {
                match &mut slot.old {
                    Some((old, 0)) => {
                        gone.push(old.clone());
                        slot.old = None;
                    }
                    Some((_, looks)) => *looks -= 1,
                    None => {}
                }
            }
        }
        gone.iter().for_each(|device| self.clear_labels(device));
    }

    /// The pools that are not imported and of which some device is there, as an import would find them.
    #[must_use]
    pub fn importable(&self) -> Vec<Pool> {
        let mut found = self.exported.clone();
        found.iter_mut().for_each(|pool| self.look_again(pool));
        found.retain(|pool| pool.devices().iter().any(|device| !device.lost));
        found
    }

    pub(super) fn list_importable(&self, directories: &[&str]) -> Completed {
        if let Some(missing) = directories.iter().find(|directory| !self.root.locate(directory).is_dir()) {
            return failed(1, format!("cannot open '{missing}': No such file or directory\n"));
        }
        let mut text = String::new();
        for pool in self.importable() {
            let in_reach = |device: &&Device| {
                let directory = device.path.rsplit_once('/').map_or("/", |(directory, _)| directory);
                let usual = match self.system {
                    System::Illumos => directory == "/dev/dsk",
                    System::Linux => directory.starts_with("/dev"),
                };
                !device.lost && if directories.is_empty() { usual } else { directories.contains(&directory) }
            };
            if !pool.devices().iter().any(in_reach) {
                continue;
            }
            let health = pool.health();
            let _ = write!(text, "   pool: {}\n     id: {}\n  state: {health}\n", pool.name, pool.guid);
            if pool.foreign {
                text += " status: The pool was last accessed by another system.\n action: The pool can be imported using its \
                         name or numeric identifier and\n\tthe '-f' flag.\n";
            } else if health == "ONLINE" {
                text += " action: The pool can be imported using its name or numeric identifier.\n";
            } else {
                text += " status: One or more devices are missing from the system.\n action: The pool can be imported \
                         despite missing or damaged devices.  The\n\tfault tolerance of the pool may be compromised if imported.\n";
            }
            text += " config:\n\n";
            text += &columns(&rows(&pool, health), false);
            text += "\n";
        }
        match text.is_empty() {
            true => failed(self.nothing_to_import, "no pools available to import\n"),
            false => printed(text),
        }
    }

    pub(super) fn zpool_get(&self, args: &[&str]) -> Completed {
        let ["-Hp", "-o", "name,property,value,source", "all", names @ ..] = args else {
            return failed(2, "usage:\n\tget [-Hp] [-o \"all\" | field[,...]] <\"all\" | property[,...]> <pool> ...\n");
        };
        let mut text = String::new();
        for name in names {
            let Some(pool) = self.pools.get(*name) else {
                return failed(1, format!("cannot open '{name}': no such pool\n"));
            };
            for (property, value, source) in self.pool_properties(pool) {
                let _ = writeln!(text, "{name}\t{property}\t{value}\t{source}");
            }
        }
        printed(text)
    }

    /// The properties of a pool, those that were set among them.
    fn pool_properties(&self, pool: &Pool) -> Vec<(String, String, &'static str)> {
        let room: u64 = pool.data.iter().flat_map(|top| &top.slots).map(|slot| self.room(&slot.device)).sum();
        let taken: u64 = pool.data.iter().flat_map(|top| &top.slots).map(|slot| slot.device.bytes).sum();
        let gained = room.saturating_sub(taken);
        let mut all: Vec<(String, String, &'static str)> = vec![
            ("size".into(), pool.size().to_string(), "-"),
            ("health".into(), pool.health().to_owned(), "-"),
            ("guid".into(), pool.guid.to_string(), "default"),
            ("expandsize".into(), if gained == 0 { "-".into() } else { gained.to_string() }, "-"),
        ];
        for (name, default) in super::zpool::SETTABLE {
            match pool.properties.get(*name) {
                Some(value) => all.push(((*name).to_owned(), value.clone(), "local")),
                None => all.push(((*name).to_owned(), (*default).to_owned(), "default")),
            }
        }
        let features = pool.properties.iter().filter(|(name, _)| name.starts_with("feature@"));
        all.extend(features.map(|(name, value)| (name.clone(), value.clone(), "local")));
        if !pool.properties.contains_key("feature@lz4_compress") {
            all.push(("feature@lz4_compress".into(), "active".into(), "local"));
        }
        all
    }
}

fn rows(pool: &Pool, health: &str) -> Rows {
    let mut rows: Rows = vec![(0, pool.name.clone(), health.to_owned(), String::new())];
    let mut number = 0;
    for top in &pool.data {
        top_rows(&mut rows, top, &mut number);
    }
    if !pool.logs.is_empty() {
        rows.push((0, "logs".to_owned(), String::new(), String::new()));
        pool.logs.iter().for_each(|top| top_rows(&mut rows, top, &mut number));
    }
    for (title, devices, state) in [("cache", &pool.cache, "ONLINE"), ("spares", &pool.spares, "AVAIL")] {
        if !devices.is_empty() {
            rows.push((0, title.to_owned(), String::new(), String::new()));
            let stands_in = |device: &Device| {
                pool.data.iter().flat_map(|top| &top.slots).any(|slot| slot.stand_in.as_ref() == Some(device))
            };
            let row = |device: &Device| match stands_in(device) {
                true => (1, device.path.clone(), "INUSE".to_owned(), "currently in use".to_owned()),
                false => (1, device.path.clone(), state.to_owned(), String::new()),
            };
            rows.extend(devices.iter().map(row));
        }
    }
    rows
}

fn top_rows(rows: &mut Rows, top: &Top, number: &mut usize) {
    let depth = match top.kind {
        Kind::Device => 1,
        kind => {
            rows.push((1, format!("{}-{number}", kind.word()), "ONLINE".to_owned(), String::new()));
            2
        }
    };
    *number += 1;
    for (at, slot) in top.slots.iter().enumerate() {
        slot_rows(rows, slot, depth, at);
    }
}

fn slot_rows(rows: &mut Rows, slot: &Slot, depth: usize, at: usize) {
    match (&slot.old, &slot.stand_in) {
        (None, None) => rows.push(device_row(&slot.device, depth)),
        (None, Some(spare)) => {
            rows.push((depth, format!("spare-{at}"), "DEGRADED".to_owned(), String::new()));
            rows.push(device_row(&slot.device, depth + 1));
            rows.push(device_row(spare, depth + 1));
        }
        (Some((old, _)), _) => {
            rows.push((depth, format!("replacing-{at}"), "ONLINE".to_owned(), String::new()));
            rows.push(device_row(old, depth + 1));
            rows.push(device_row(&slot.device, depth + 1));
        }
    }
}

fn device_row(device: &Device, depth: usize) -> (usize, String, String, String) {
    match device.lost {
        false => (depth, device.path.clone(), "ONLINE".to_owned(), String::new()),
        true => (depth, device.guid.to_string(), "UNAVAIL".to_owned(), format!("was {}", device.path)),
    }
}

fn columns(rows: &Rows, with_counters: bool) -> String {
    let width = rows.iter().map(|(depth, name, ..)| 2 * depth + name.len()).max().unwrap_or(0).max(10);
    let mut text = String::new();
    if with_counters {
        let _ = writeln!(text, "\t{:width$}  {:8} READ WRITE CKSUM", "NAME", "STATE");
    }
    for (depth, name, state, note) in rows {
        let name = format!("{:indent$}{name}", "", indent = 2 * depth);
        let counters =
            if with_counters && !["", "AVAIL", "INUSE"].contains(&state.as_str()) { "     0     0     0" } else { "" };
        let note = if note.is_empty() { String::new() } else { format!("  {note}") };
        let line = match state.is_empty() {
            true => format!("\t{name}"),
            false => format!("\t{name:width$}  {state:8}{counters}{note}"),
        };
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
