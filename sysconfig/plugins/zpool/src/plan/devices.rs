//! Which devices may be given to a pool.

use super::Refusal;
use crate::change::Approved;
use crate::config::{Pool, WantedVdev};
use crate::state::{Member, State};
use sysconfig_platform::device::{Content, Device, Presence};

/// `SPA_MINDEVSIZE`: what a device has at least, in bytes.
const SMALLEST: u64 = 64 << 20;
/// `ZPOOL_FUZZ`: by how much the devices of a vdev may differ without ZFS asking for force, in bytes.
const SIZE_FUZZ: u64 = 16 << 20;

/// The devices of one pool, and which of them were found fit.
pub(super) struct Devices<'a> {
    pool: &'a Pool,
    state: &'a State,
    /// The pool that is to get them, where it exists.
    guid: Option<u64>,
    pub(super) approved: Vec<Approved>,
}

impl<'a> Devices<'a> {
    pub(super) fn new(pool: &'a Pool, state: &'a State, guid: Option<u64>) -> Self {
        Self { pool, state, guid, approved: Vec::new() }
    }

    /// Approves the devices of a new vdev for data, or says what is wrong.
    pub(super) fn group(&mut self, vdev: &WantedVdev) -> Vec<Refusal> {
        let mut refusals = self.loose(&vdev.devices);
        refusals.extend(self.unlike(&vdev.devices));
        refusals
    }

    /// Approves devices one by one, or says what is wrong.
    pub(super) fn loose(&mut self, paths: &[String]) -> Vec<Refusal> {
        paths.iter().filter_map(|path| self.approve(path).err()).collect()
    }

    /// ZFS makes a vdev of different kinds or sizes only by force, which it is never given for that.
    fn unlike(&self, paths: &[String]) -> Option<Refusal> {
        let contents: Vec<_> = paths.iter().filter_map(|path| self.state.device(path)?.content()).collect();
        let (least, most) = (contents.iter().map(|one| one.bytes).min()?, contents.iter().map(|one| one.bytes).max()?);
        if most - least > SIZE_FUZZ {
            let what = format!("the devices of a vdev differ in size ({least} and {most} bytes): {}", paths.join(", "));
            return Some(Refusal::new(what, "give it devices of one size, or partitions of one size on them"));
        }
        let files = contents.iter().filter(|content| content.is_file).count();
        (files != 0 && files != contents.len()).then(|| {
            let what = format!("a vdev is made of files or of disks, not of both: {}", paths.join(", "));
            Refusal::new(what, "use disks only")
        })
    }

    /// Approves one device that is not part of the pool yet.
    pub(super) fn approve(&mut self, path: &str) -> Result<&Content, Refusal> {
        let device = self.state.device(path).ok_or_else(|| missing(path))?;
        let content = match &device.presence {
            Presence::Absent => return Err(missing(path)),
            Presence::Unreadable(why) => {
                let what = format!("{path} cannot be looked at: {why}");
                return Err(Refusal::new(what, "what cannot be read may hold something; see to it that it can be"));
            }
            Presence::Read(content) => content,
        };
        if let Some(owner) = self.state.owner(device) {
            let what = format!("{path} is part of the imported pool {}", owner.status.name);
            return Err(Refusal::new(what, "choose another device"));
        }
        if let Some(name) = self.joins(device) {
            let what = format!("{path} is part of the pool {name}, which uses it otherwise");
            return Err(Refusal::new(what, "choose another device, or write it as it is used"));
        }
        if let Some(used) = &content.used {
            return Err(Refusal::new(format!("{path} is in use: {used}"), "choose another device"));
        }
        let is_other = |other: &&Device| other.path != device.path && other.names.overlaps_disk(&device.names);
        if let Some(other) = self.state.devices.iter().find(is_other) {
            let what =
                format!("{path} is {}, which is configured as well, or has a part in common with it", other.path);
            return Err(Refusal::new(what, "name each device once; several names and paths may lead to one"));
        }
        let left = self.state.record.is_left(path, content);
        if let Some(label) = content.label.as_ref().filter(|label| self.guid == Some(label.pool_guid) && !left) {
            // Perhaps one that was lost and has come back, perhaps one of a pool that is to be imported.
            let what = format!("{path} holds {label}, this very pool, which does not use it so");
            return Err(Refusal::new(what, format!("if it is an old member: zpool labelclear {path}")));
        }
        if content.bytes < SMALLEST {
            let what = format!("{path} is too small: {} bytes", content.bytes);
            return Err(Refusal::new(what, "a pool takes devices of 64 MiB and more"));
        }
        let holds = content.description().filter(|_| !left);
        if let (Some(holds), false) = (&holds, self.may_be_lost(device)) {
            let help = format!(
                "if nothing of it is needed, add {path} to allow-destructive of the pool {}, and apply with \
                 --allow-destructive",
                self.pool.name
            );
            return Err(Refusal::new(format!("{path} holds {holds}"), help));
        }
        let fingerprint = content.fingerprint.clone();
        let pool_guid = content.label.as_ref().map(|label| label.pool_guid).filter(|guid| *guid != 0);
        self.approved.push(Approved { path: path.to_owned(), fingerprint, holds, pool_guid, left });
        Ok(content)
    }

    /// The name of the pool that is to get devices, if it already has this one once it is imported: caches and spares do not
    /// bear its label, so that they look as if they were nobody's.
    fn joins(&self, device: &Device) -> Option<&str> {
        let found = self.state.importable.iter().find(|found| Some(found.pool.guid) == self.guid)?;
        let is_it = |member: &Member| member.names.as_ref().is_some_and(|names| names.overlaps_disk(&device.names));
        found.members.values().any(|member| !member.lost && is_it(member)).then_some(found.pool.name.as_str())
    }

    fn may_be_lost(&self, device: &Device) -> bool {
        self.pool.allow_destructive.contains(&device.path)
    }

    /// A line that also says what is lost.
    pub(super) fn summary(&self, what: String) -> String {
        let lost = self
            .approved
            .iter()
            .filter_map(|device| device.holds.as_ref().map(|holds| format!("{} loses {holds}", device.path)));
        let lost: Vec<_> = lost.collect();
        if lost.is_empty() { what } else { format!("{what}; {}", lost.join("; ")) }
    }
}

fn missing(path: &str) -> Refusal {
    let help = match path.starts_with("/dev/") && !path.starts_with("/dev/zvol/") {
        true => "attach it, or correct the path",
        // Pools are seen to before what lies in them.
        false => "make it, or correct the path; if this configuration makes it, apply once more",
    };
    Refusal::new(format!("there is no device {path}"), help)
}
