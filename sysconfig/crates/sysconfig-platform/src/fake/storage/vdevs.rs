//! The vdevs that `zpool create` and `zpool add` are given.

use super::super::failed;
use super::Storage;
use super::pool::{Device, Slot, Top};
use crate::zpool::Kind;
use crate::{Completed, System};

/// The minimum size of a device, and how much those of a vdev may differ.
const SMALLEST: u64 = 64 << 20;
const SIZE_FUZZ: u64 = 16 << 20;

pub(super) type Refused = Completed;

/// What is to become a pool's.
#[derive(Default)]
pub(super) struct Vdevs {
    pub(super) data: Vec<(Kind, Vec<String>)>,
    logs: Vec<(Kind, Vec<String>)>,
    cache: Vec<String>,
    spares: Vec<String>,
}

impl Storage {
    /// What `zpool` checks before it makes vdevs. `present` are the shapes of those that the pool has.
    pub(super) fn fit(&self, vdevs: &Vdevs, present: &[(Kind, usize)], force: bool) -> Result<(), Refused> {
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
        // A pool whose vdevs are unlike each other takes any (`check_replication` in zpool_vdev.c).
        let is_alike = present.iter().all(|shape| *shape == present[0]);
        let mut shapes: Vec<(Kind, usize)> = if is_alike { present.to_vec() } else { Vec::new() };
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
    pub(super) fn free(&self, path: &str, force: bool) -> Result<(), Refused> {
        let label_path = self.label_path(path).unwrap_or_default();
        for pool in self.pools.values() {
            if pool.devices().iter().any(|device| !device.lost && (device.path == label_path || device.path == path)) {
                return Err(invalid(
                    &format!("{label_path} is part of active ZFS pool {}. Please see zpool(8).", pool.name),
                    true,
                ));
            }
        }
        if let Some(mount) = self.mounts.iter().find(|mount| mount.device.starts_with(path)) {
            let why = format!("{path} is currently mounted on {}. Please see umount(8).", mount.mount_point);
            return Err(invalid(&why, true));
        }
        if force {
            return Ok(());
        }
        if let Some(label) = self.label(path).filter(|label| label.pool_guid != 0) {
            let foreign = self.exported.iter().any(|pool| pool.guid == label.pool_guid && pool.foreign);
            // Nobody minds a pool that was destroyed.
            let used = match label.state {
                2 => return Ok(()),
                // Of disks illumos does not tell which it is (libdiskmgt); of files it does.
                _ if self.system == System::Illumos && label_path.starts_with("/dev/") => {
                    format!("exported or potentially active ZFS pool {}. Please see zpool(8).", label.pool)
                }
                0 if foreign => format!("potentially active pool '{}'", label.pool),
                _ => format!("exported pool '{}'", label.pool),
            };
            return Err(invalid(&format!("{label_path} is part of {used}"), false));
        }
        match self.file_system(path) {
            Some(kind) if self.system == System::Illumos => {
                Err(invalid(&format!("{path} contains a {kind} filesystem."), false))
            }
            _ => Ok(()),
        }
    }

    /// Puts tables on those that are whole disks.
    pub(super) fn prepare_all(&mut self, vdevs: &Vdevs) {
        let groups = vdevs.data.iter().chain(&vdevs.logs).flat_map(|(_, devices)| devices);
        for path in groups.chain(&vdevs.cache).chain(&vdevs.spares) {
            self.prepare(path);
        }
    }

    pub(super) fn take(&mut self, vdevs: Vdevs) -> (Vec<Top>, Vec<Top>, Vec<Device>, Vec<Device>) {
        let tops = |world: &mut Self, groups: Vec<(Kind, Vec<String>)>| {
            let top = |(kind, devices): (Kind, Vec<String>)| {
                let slots =
                    devices.iter().map(|path| Slot { device: world.member(path), old: None, stand_in: None }).collect();
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

    pub(super) fn member(&mut self, path: &str) -> Device {
        let (path, bytes) = self.prepare(path).expect("it was checked that the device is there");
        Device { path, guid: self.guid(), bytes, lost: false }
    }
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
pub(super) fn words(words: &[&str]) -> Result<Vdevs, Refused> {
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
