//! illumos: what the kernel knows disks by, whatever path leads to them.

use super::identity::disk_and_part;
use super::{label, open_device, region};
use crate::{Host, Invocation, sum};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek as _, SeekFrom};

/// Disks by name, `c1t0d0`, with the identity (devid_get(3DEVID)) that the kernel has of each.
pub(super) type Devids = BTreeMap<String, Identity>;

/// What the kernel knows a disk by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) devid: String,
    /// What was read of one whose identity another disk has, too: clones and cheap bridges give one for several disks.
    pub(super) unit: Option<String>,
}

/// How an identity begins that the kernel has made up and keeps on the disk, so that it is copied with it (`DEVID_FAB`).
const MADE_UP: char = 'f';
/// Bytes at the beginning of a disk that do not change while a pool uses it: partition tables lie there, labels of ZFS behind it.
const STEADY: u64 = 16 << 10;

/// The identities of all disks; none where they are not told, as in a zone. A machine with one disk is not asked.
pub(super) fn find_out(host: &Host) -> Devids {
    let entries = std::fs::read_dir(host.root.locate("/dev/rdsk")).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let disks: BTreeSet<String> = names.map(|name| disk_of(&name).to_owned()).collect();
    if disks.len() < 2 {
        return Devids::new();
    }
    let listed = host.run(&Invocation::new("/usr/sbin/prtconf", ["-v"]));
    let told = listed.map(|listed| parse(&listed.stdout)).unwrap_or_default();
    let is_shared = |devid: &str| told.values().filter(|other| *other == devid).count() > 1;
    let identity = |devid: &str, disk: &str| Identity {
        devid: devid.to_owned(),
        unit: is_shared(devid).then(|| unit(host, disk)).flatten(),
    };
    told.iter().map(|(disk, devid)| (disk.clone(), identity(devid, disk))).collect()
}

/// The size of a disk, the sum of its beginning, and the label of ZFS on the whole of it: through several paths to one disk they are
/// the same. Slices are not read for that, because each path has its own notion of where they are.
fn unit(host: &Host, disk: &str) -> Option<String> {
    let mut file = open_device(&host.root.locate(format!("/dev/rdsk/{disk}p0"))).ok()?;
    let bytes = file.seek(SeekFrom::End(0)).ok().filter(|bytes| *bytes >= STEADY)?;
    let steady = sum::of(&region(&mut file, 0, STEADY).ok()?);
    let guid = label::read(&mut file, bytes).ok()?.map_or(0, |label| label.guid);
    Some(format!("{bytes} {steady} {guid}"))
}

fn disk_of(name: &str) -> &str {
    disk_and_part(name).map_or(name, |(disk, _)| disk)
}

/// Reads `prtconf -v`: each device with its properties, and then its nodes with the links that lead to them.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut devid: Option<&str> = None;
    let mut is_named = false;
    for line in text.lines().map(str::trim) {
        if line.contains(", instance #") || line.ends_with("(driver not attached)") {
            devid = None;
        }
        if let Some(value) = line.strip_prefix("value=").filter(|_| is_named) {
            // What stands before the sign is a hint at the driver, which is no part of the identity (devid_compare(3DEVID)).
            devid = value.trim_matches('\'').split_once('@').map(|(_, id)| id);
            devid = devid.filter(|id| !id.is_empty() && !id.starts_with(MADE_UP));
        }
        is_named = line.starts_with("name='devid' ");
        if let (Some(name), Some(devid)) = (line.strip_prefix("dev_link=/dev/dsk/"), devid) {
            found.insert(disk_of(name).to_owned(), devid.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_with_their_properties_and_links() {
        let text = "System Configuration:  Oracle Corporation  i86pc\nMemory size: 4096 Megabytes\n\
            System Peripherals (Software Nodes):\n\ni86pc\n    pci, instance #0\n        \
            pci1000,30, instance #0\n            sd, instance #1\n                Driver properties:\n                    \
            name='inquiry-serial-no' type=string items=1 dev=none\n                        value='S1'\n                \
            Hardware properties:\n                    name='devid' type=string items=1\n                        \
            value='id1,sd@n5000c500a1b2c3d4'\n                    name='inquiry-vendor-id' type=string items=1\n                        \
            value='ACME'\n                Device Minor Nodes:\n                    dev=(86,64)\n                        \
            dev_path=/pci@0,0/pci1000,30@4/sd@1,0:a\n                            spectype=blk type=minor\n                            \
            dev_link=/dev/dsk/c1t1d0s0\n                        dev_path=/pci@0,0/pci1000,30@4/sd@1,0:a,raw\n                            \
            spectype=chr type=minor\n                            dev_link=/dev/rdsk/c1t1d0s0\n            \
            sd, instance #2\n                Device Minor Nodes:\n                    dev=(86,128)\n                        \
            dev_path=/pci@0,0/pci1000,30@4/sd@2,0:q\n                            spectype=blk type=minor\n                            \
            dev_link=/dev/dsk/c1t2d0p0\n";
        let expected = BTreeMap::from([("c1t1d0".to_owned(), "n5000c500a1b2c3d4".to_owned())]);
        assert_eq!(parse(text), expected);
        assert_eq!(parse("prtconf: devinfo facility not available\n"), BTreeMap::new());
    }
}
