//! The plugin's process ends in the middle of everything that takes more than one command; then another one goes on.

use crate::support::{Fixture, illumos, linux, linux_with_links, linux_with_zfs};
use plugin_testing::killed;
use std::collections::BTreeSet;
use sysconfig_plugin::Risk;
use sysconfig_plugin_swap::{Change, SwapPlugin};

// The operations of the plugin: who adds one adds it here, and then a way that kills it.
plugin_testing::operations!(Change, besides Leave: Volume File Format Resize Use Stop Row Tell Delete ThrowKeyAway TidyUp Rename Forget);

type Way = killed::Way<SwapPlugin>;

/// A way, and the swap that is in use behind it.
type Case = (Way, &'static [&'static str]);

const fn way(machine: fn() -> Fixture, from: &'static str, to: &'static str, used: &'static [&'static str]) -> Case {
    (Way::new(machine, from, to), used)
}

/// With a place for files, and a slice that holds something.
fn illumos_with_ufs() -> Fixture {
    let fixture = illumos();
    fixture.machine.storage(|storage| {
        storage.add_mount("/dev/dsk/c2t0d0s0", "/var", "ufs", &["rw"]);
        storage.add_device("/dev/dsk/c1t0d0s1", 64 << 20, Some("ufs"));
    });
    fixture
}

fn linux_with_systemd() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(sysconfig_platform::fake::storage::Storage::start_systemd);
    fixture
}

fn linux_with_partition() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| storage.add_device("/dev/disk/by-partlabel/swap", 64 << 20, Some("ext4")));
    fixture
}

const NOTHING: &str = "[storage]\nswap = []\n";
const VOLUME: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const LARGER: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"3 GiB\"\n";
const FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\n";
const LARGER_FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"96 MiB\"\npriority = 3\n";
const ENCRYPTED: &str =
    "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\nencrypted = true\nallow-destructive = true\n";
const SMALLER_FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"32 MiB\"\n";
const PREFERRED: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\npriority = 3\n";
const FLEETING: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\npersistent = false\n";
const GONE_FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nabsent = true\nallow-destructive = true\n";
const SLICE: &str = "[[storage.swap]]\ndevice = \"/dev/dsk/c1t0d0s1\"\nallow-destructive = true\n";
const PARTITION: &str = "[[storage.swap]]\ndevice = \"/dev/disk/by-partlabel/swap\"\nallow-destructive = true\n";
const BY_KERNEL: &str = "[[storage.swap]]\ndevice = \"/dev/sdb1\"\n";
const BY_PARTUUID: &str = "[[storage.swap]]\ndevice = \"/dev/disk/by-partuuid/y\"\n";
const GONE: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n";

const WAYS: &[Case] = &[
    way(illumos, NOTHING, VOLUME, &["/dev/zvol/dsk/rpool/swap1 2048"]),
    way(illumos, VOLUME, LARGER, &["/dev/zvol/dsk/rpool/swap1 3072"]),
    way(illumos, LARGER, VOLUME, &["/dev/zvol/dsk/rpool/swap1 2048"]),
    way(illumos, VOLUME, NOTHING, &[]),
    way(illumos, VOLUME, ENCRYPTED, &["/dev/zvol/dsk/rpool/swap1 2048"]),
    way(illumos, VOLUME, GONE, &[]),
    way(linux_with_zfs, NOTHING, VOLUME, &["/dev/zvol/rpool/swap1 2048"]),
    way(linux_with_zfs, VOLUME, LARGER, &["/dev/zvol/rpool/swap1 3072"]),
    way(linux, NOTHING, FILE, &["/var/swap 64"]),
    way(linux, FILE, LARGER_FILE, &["/var/swap 96"]),
    way(linux, FILE, NOTHING, &[]),
    way(linux, FILE, GONE_FILE, &[]),
    way(linux_with_zfs, VOLUME, GONE, &[]),
    way(linux_with_partition, NOTHING, PARTITION, &["/dev/disk/by-partlabel/swap 64"]),
    way(linux_with_links, BY_KERNEL, BY_PARTUUID, &["/dev/sdb1 64"]),
    way(linux, FILE, PREFERRED, &["/var/swap 64"]),
    way(illumos_with_ufs, NOTHING, FILE, &["/var/swap 64"]),
    way(illumos_with_ufs, FILE, SMALLER_FILE, &["/var/swap 32"]),
    way(illumos_with_ufs, FILE, GONE_FILE, &[]),
    way(illumos_with_ufs, NOTHING, SLICE, &["/dev/dsk/c1t0d0s1 64"]),
    way(illumos, NOTHING, ENCRYPTED, &["/dev/zvol/dsk/rpool/swap1 2048"]),
    // The key is gone with the boot, and the volume is made anew.
    (
        Way {
            meanwhile: |fixture| fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot),
            ..Way::new(illumos, ENCRYPTED, ENCRYPTED)
        },
        &["/dev/zvol/dsk/rpool/swap1 2048"],
    ),
    // A run that was interrupted once has left a key behind.
    (Way { meanwhile: leave_key, ..Way::new(illumos, VOLUME, VOLUME) }, &["/dev/zvol/dsk/rpool/swap1 2048"]),
    // Another one has left a file that was not whole.
    (Way { meanwhile: leave_file, ..Way::new(linux, FILE, FILE) }, &["/var/swap 64"]),
    // systemd is not known to have heard of a row.
    (Way { meanwhile: killed::leave_untold, ..Way::new(linux_with_systemd, FILE, PREFERRED) }, &["/var/swap 64"]),
    // A reboot without a row has taken it out of use.
    (Way { meanwhile: stop_using, ..Way::new(linux, FLEETING, NOTHING) }, &[]),
];

fn leave_key(fixture: &Fixture) {
    let place = fixture.host.root.locate("/var/run/sysconfig");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("swap-key"), [7; 32]).unwrap();
}

fn leave_file(fixture: &Fixture) {
    std::fs::write(fixture.host.root.locate("/var/.swap.sysconfig-new"), [7; 32]).unwrap();
}

fn stop_using(fixture: &Fixture) {
    fixture.machine.storage(|storage| storage.swaps.clear());
}

/// No test, but the process that is killed.
#[test]
#[ignore = "the other test starts it"]
fn killed_process() {
    plugin_testing::killed::process(SwapPlugin::new);
}

#[test]
fn after_a_kill_anywhere_the_next_apply_converges() {
    let mut killed = BTreeSet::new();
    for (number, (way, used)) in WAYS.iter().enumerate() {
        let mut whole = way.start();
        whole.converge_up_to(way.to, Risk::Destructive);
        let rows = |fixture: &Fixture| (fixture.read("/etc/vfstab"), fixture.read("/etc/fstab"));
        let expected = rows(&whole);
        let changes = killed::everywhere(|kill| {
            let mut fixture = way.start();
            let killed = fixture.apply_until_killed(way.to, kill)?;
            let about = format!("way {number}, killed at {kill:?}");
            fixture.restart(way.to);
            fixture.converge_again(way.to);
            let used: Vec<String> = used.iter().map(ToString::to_string).collect();
            assert_eq!((fixture.used(), rows(&fixture)), (used, expected.clone()), "{about}");
            let key = fixture.host.root.locate("/var/run/sysconfig/swap-key");
            assert!(!key.exists(), "the key is thrown away, {about}");
            let left = std::fs::read_dir(fixture.host.root.locate("/var")).unwrap();
            let mut left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            assert!(left.all(|name| !name.contains("sysconfig-new")), "{about}");
            Ok(killed)
        });
        killed.extend(changes.iter().filter_map(operation));
    }
    killed::all_were_killed(OPERATIONS, &["Row", "ThrowKeyAway", "TidyUp", "Forget", "Rename"], &killed);
}
