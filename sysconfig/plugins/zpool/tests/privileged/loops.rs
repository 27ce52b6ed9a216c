//! Loop devices that are made of block devices, as of a volume with somebody's partitions in it: the kernel keeps nobody from
//! writing to either while the other is mounted.

use plugin_testing::namespace::{lacks, sh};
use process_runner::Command;
use sysconfig_platform::{Host, device};

/// Loop devices, which the namespace does not take with it.
#[derive(Default)]
struct Loops(Vec<String>);

impl Loops {
    fn attach(&mut self, options: &str) -> String {
        self.0.push(sh(&format!("losetup --find --show {options}")).trim().to_owned());
        self.0.last().unwrap().clone()
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        for device in self.0.iter().rev() {
            // One that is still mounted goes with its mount.
            let _ = Command::new("losetup").args(["-d", device]).run_any();
        }
    }
}

fn used(device: &str) -> Option<String> {
    let looked = device::look(&Host::current().unwrap(), device);
    looked.content().unwrap_or_else(|| panic!("{looked:?}")).used.clone()
}

pub(crate) fn over_a_device() {
    if !Command::new("losetup").arg("--find").run_any().is_ok_and(|output| output.success()) {
        lacks("loop devices");
    }
    // Loop devices of all namespaces are seen, so that no other run may have a file of this name.
    let image = format!("/mnt/image-{}", std::process::id());
    sh(&format!("mount -t tmpfs none /mnt; mkdir /mnt/place; truncate -s 64M {image}"));
    let mut loops = Loops::default();
    let below = loops.attach(&image);
    assert_eq!(used(&below), None);
    let above = loops.attach(&format!("--offset 1048576 {below}"));
    assert_eq!(used(&above), None);
    assert_eq!(used(&below), Some(format!("{above} is made of it")));
    sh(&format!("mkfs.ext4 -q {above}; mount {above} /mnt/place"));
    assert_eq!(used(&below), Some(format!("{above} is made of it")));
    sh(&format!("umount /mnt/place; mkfs.ext4 -q -F {below}; mount {below} /mnt/place"));
    assert_eq!(used(&above), Some(format!("it is made of {below}, which is in use")));
    sh("umount /mnt/place");
    assert_eq!(used(&above), None);
    // Of one file, one has what another one has a part of.
    drop(loops);
    let mut loops = Loops::default();
    let whole = loops.attach(&image);
    let part = loops.attach(&format!("--offset 1048576 --sizelimit 33554432 {image}"));
    let behind = loops.attach(&format!("--offset 34603008 {image}"));
    sh(&format!("mkfs.ext4 -q {part}; mount {part} /mnt/place"));
    assert_eq!(used(&whole), Some(format!("it is in use as {part}, which has a part of the same file")));
    assert_eq!(used(&behind), None);
    sh("umount /mnt/place");
    assert_eq!(used(&whole), None);
}
