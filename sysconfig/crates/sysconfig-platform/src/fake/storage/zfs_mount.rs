//! What `zfs` mounts and unmounts by itself.

use super::super::{failed, printed};
use super::mount::prune;
use super::{FakeDataset, Storage};
use crate::mount_table::{Mount, is_below};
use crate::zfs::Kind;
use crate::{Completed, System};
use std::fs;

impl Storage {
    pub(super) fn mount_dataset(&mut self, name: &str) {
        // A file system that cannot be mounted stays as it is.
        let _ = self.try_mount(name);
    }

    /// Mounts a file system where its properties say, when they say so.
    pub(super) fn try_mount(&mut self, name: &str) -> Result<(), String> {
        let value = |property| self.property(name, property).map(|(value, _)| value).unwrap_or_default();
        let (point, canmount) = (value("mountpoint"), value("canmount"));
        let dataset = &self.datasets[name];
        if dataset.kind != Kind::Filesystem || dataset.mounted || canmount != "on" || !point.starts_with('/') {
            return Ok(());
        }
        self.mount_at(name, &point)?;
        self.share_or_not(name);
        Ok(())
    }

    /// Shares what is mounted as its properties say, as whatever mounts does but `zfs mount`, or ends that.
    fn share_or_not(&mut self, name: &str) {
        let is_on = |property| self.property(name, property).is_some_and(|(value, _)| value != "off");
        if self.automatic_place(name).is_some() && (is_on("sharenfs") || is_on("sharesmb")) {
            self.shared.insert(name.to_owned());
        } else {
            self.shared.remove(name);
        }
    }

    pub(super) fn zfs_share(&mut self, name: &str) -> Completed {
        if !self.datasets.contains_key(name) {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        }
        if self.shared.contains(name) {
            return failed(1, format!("cannot share '{name}': filesystem already shared\n"));
        }
        if self.shares_nothing {
            return failed(1, format!("cannot share '{name}: system error': NFS share(8) failed\n"));
        }
        self.share_or_not(name);
        match self.shared.contains(name) {
            true => printed(""),
            false => failed(1, format!("cannot share '{name}': legacy share\n")),
        }
    }

    fn mount_at(&mut self, name: &str, point: &str) -> Result<(), String> {
        if self.mounts_nothing {
            return Ok(());
        }
        let point = &self.resolved(point);
        let directory = self.root.locate(point);
        let covered = crate::mounting::mounted_at(&self.mounts, point).is_some();
        let filled = fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
        // On Linux it covers what is there: `overlay` in zfsprops(7).
        if (covered || filled) && self.system == System::Illumos {
            return Err(format!("cannot mount '{point}': directory is not empty\n"));
        }
        if self.is_locked(name) {
            return Err(format!("cannot mount '{name}': encryption key not loaded\n"));
        }
        fs::create_dir_all(&directory).map_err(|_| format!("cannot mount '{point}': failed to create mountpoint\n"))?;
        self.datasets.get_mut(name).expect("it was just looked at").mounted = true;
        self.push_mount(name, point, "zfs", vec!["rw".to_owned()], None);
        Ok(())
    }

    pub(super) fn zfs_mount(&mut self, name: &str) -> Completed {
        if !self.datasets.contains_key(name) {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        }
        let (point, _) = self.property(name, "mountpoint").unwrap_or_default();
        if self.datasets[name].mounted {
            return failed(1, format!("cannot mount '{name}': filesystem already mounted\n"));
        }
        if !point.starts_with('/') {
            return failed(1, format!("cannot mount '{name}': {point} mountpoint\n"));
        }
        match self.mount_at(name, &point) {
            Ok(()) => printed(""),
            Err(why) => failed(1, why),
        }
    }

    pub(super) fn zfs_unmount(&mut self, name: &str) -> Completed {
        if !self.datasets.contains_key(name) {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        }
        let Some(mount) = self.mounts.iter().rev().find(|mount| mount.device == name) else {
            return failed(1, format!("cannot unmount '{name}': not currently mounted\n"));
        };
        let point = mount.mount_point.clone();
        if self.holds_others(&point, &[]) || self.users.get(&point).is_some_and(|users| !users.is_empty()) {
            return failed(1, format!("cannot unmount '{point}': Device busy\n"));
        }
        self.drop_mount(&point);
        prune(&self.root.locate(&point));
        let _ = fs::remove_dir(self.root.locate(&point));
        printed("")
    }

    /// Mounts every file system of a pool that is to be, those above before those below.
    pub(super) fn mount_pool(&mut self, pool: &str) {
        let below = format!("{pool}/");
        let all: Vec<String> =
            self.datasets.keys().filter(|name| *name == pool || name.starts_with(&below)).cloned().collect();
        all.iter().for_each(|name| self.mount_dataset(name));
    }

    /// Unmounts every file system of a pool; or answers the mount point that somebody uses.
    pub(super) fn unmount_pool(&mut self, pool: &str) -> Result<(), String> {
        let below = format!("{pool}/");
        let is_its = |mount: &&Mount| mount.device == pool || mount.device.starts_with(&below);
        let all: Vec<(String, String)> =
            self.mounts.iter().filter(is_its).map(|mount| (mount.device.clone(), mount.mount_point.clone())).collect();
        for (_, point) in &all {
            if self.holds_others(point, &all) || self.users.get(point).is_some_and(|users| !users.is_empty()) {
                return Err(point.clone());
            }
        }
        for (_, point) in all.iter().rev() {
            self.drop_mount(point);
            prune(&self.root.locate(point));
            let _ = fs::remove_dir(self.root.locate(point));
        }
        Ok(())
    }

    /// Where a file system is mounted by its properties.
    fn automatic_place(&self, name: &str) -> Option<String> {
        let (point, _) = self.property(name, "mountpoint").filter(|(point, _)| point.starts_with('/'))?;
        let point = self.resolved(&point);
        self.mounts.iter().any(|mount| mount.device == name && mount.mount_point == point).then_some(point)
    }

    /// The datasets whose mount point depends on that of `name`, those above before those below.
    fn following(&self, name: &str) -> Vec<String> {
        let inherits = |other: &str| {
            let (_, source) = self.property(other, "mountpoint")?;
            // From a dataset in between, it does not move with this one.
            let from = source.strip_prefix("inherited from ").map(str::to_owned);
            let is_from_above = from.is_none_or(|from| name == from || name.starts_with(&format!("{from}/")));
            Some(!["local", "received"].contains(&source.as_str()) && is_from_above)
        };
        let below = |other: &&String| {
            *other == name || (other.starts_with(&format!("{name}/")) && inherits(other) == Some(true))
        };
        self.datasets.keys().filter(below).cloned().collect()
    }

    /// Those of them that are mounted, with where they are.
    fn moving(&self, name: &str) -> Vec<(String, String)> {
        let following = self.following(name).into_iter();
        following.filter_map(|other| self.automatic_place(&other).map(|place| (other, place))).collect()
    }

    /// Whether something is mounted below a place that does not move with it.
    pub(super) fn holds_others(&self, point: &str, moving: &[(String, String)]) -> bool {
        let moves =
            |mount: &Mount| moving.iter().any(|(name, point)| mount.device == *name && mount.mount_point == *point);
        self.mounts.iter().any(|mount| is_below(&mount.mount_point, point) && !moves(mount))
    }

    /// Changes properties, and takes mounts along.
    pub(super) fn change(&mut self, name: &str, property: &str, change: impl FnOnce(&mut FakeDataset)) -> Completed {
        // Of canmount only `off` does something at once: it unmounts. Both take along, and mount again, what inherits its
        // place, and a mount point mounts what had none, with all that follows (`cl_waslegacy` in libzfs).
        let had_none =
            property == "mountpoint" && self.property(name, "mountpoint").is_some_and(|(at, _)| !at.starts_with('/'));
        let before = match property {
            "mountpoint" | "canmount" => self.moving(name),
            _ => Vec::new(),
        };
        let mut changed = self.datasets[name].clone();
        change(&mut changed);
        if property == "canmount" && changed.local("canmount") != Some("off") {
            self.datasets.insert(name.to_owned(), changed);
            return printed("");
        }
        for (_, point) in &before {
            if self.holds_others(point, &before) || self.users.get(point).is_some_and(|users| !users.is_empty()) {
                return failed(1, format!("cannot unmount '{point}': Device busy\n"));
            }
        }
        for (_, point) in before.iter().rev() {
            self.drop_mount(point);
            // What was made in it went with it, and an empty mount point goes with the mount.
            prune(&self.root.locate(point));
            let _ = fs::remove_dir(self.root.locate(point));
        }
        let dataset = self.datasets.get_mut(name).expect("the caller has looked");
        (dataset.properties, dataset.overruled) = (changed.properties, changed.overruled);
        let mut said = String::new();
        for (other, _) in &before {
            said += &self.try_mount(other).err().unwrap_or_default();
        }
        let had_none = if had_none { self.following(name) } else { Vec::new() };
        for other in &had_none {
            said += &self.try_mount(other).err().unwrap_or_default();
        }
        if ["sharenfs", "sharesmb"].contains(&property) {
            let is_its = |other: &&String| *other == name || other.starts_with(&format!("{name}/"));
            let all: Vec<String> = self.datasets.keys().filter(is_its).cloned().collect();
            all.iter().for_each(|other| self.share_or_not(other));
        }
        match said.is_empty() {
            true => printed(""),
            false => failed(1, format!("{said}property may be set but unable to remount filesystem\n")),
        }
    }
}
