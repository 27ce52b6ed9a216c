//! What only illumos has, and the traps of its commands.

use crate::support::{illumos, summaries};
use sysconfig_platform::fake::storage::FakeDataset;
use sysconfig_plugin::Risk;

const VOLUME: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const DEVICE: &str = "/dev/zvol/dsk/rpool/swap1";

#[test]
fn a_volume_is_made_used_and_kept_for_the_next_boot() {
    let mut fixture = illumos();
    let before = fixture.read("/etc/vfstab");
    let done = fixture.converge(VOLUME);
    assert_eq!(
        done,
        [
            "create the volume rpool/swap1 with 2 GiB",
            "use /dev/zvol/dsk/rpool/swap1 as swap",
            "use /dev/zvol/dsk/rpool/swap1 as swap at boot",
        ]
    );
    assert_eq!(fixture.used(), [format!("{DEVICE} 2048")]);
    assert_eq!(fixture.read("/etc/vfstab"), format!("{before}{DEVICE}\t-\t-\tswap\t-\tno\t-\n"));
    let volume = fixture.machine.storage(|storage| storage.datasets["rpool/swap1"].clone());
    assert_eq!(volume.local("volblocksize"), Some("4096"), "the page size");
    assert_eq!(volume.local("primarycache"), Some("metadata"));
    assert_eq!(volume.local("refreservation"), None, "the reservation is left full");
    fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot);
    assert_eq!(fixture.used(), [format!("{DEVICE} 2048")], "the row works");
    assert_eq!(fixture.converge(VOLUME), [""; 0]);
}

#[test]
fn without_a_row_the_volume_stays_and_is_used_again() {
    let mut fixture = illumos();
    let text = format!("{VOLUME}persistent = false\n");
    fixture.converge(&text);
    fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot);
    assert_eq!(fixture.used(), [""; 0]);
    assert_eq!(fixture.converge(&text), [format!("use {DEVICE} as swap")]);
}

#[test]
fn sizes_by_rule_follow_the_machine() {
    let mut fixture = illumos();
    let text = VOLUME.replace("2 GiB", "min(2 x memory, 20 % of pool)");
    fixture.converge(&text);
    assert_eq!(fixture.used(), [format!("{DEVICE} 8192")], "twice the memory");
    fixture.machine.storage(|storage| storage.memory = 32 << 30);
    let steps = fixture.plan(&text);
    let fifth = (64_u64 << 30) / 5 / (1 << 20);
    assert_eq!(steps[0].risk, Risk::Disruptive);
    assert!(steps[0].summary.contains(&format!("to {fifth} MiB, and take it out of use meanwhile")), "{steps:?}");
    fixture.converge(&text);
    assert_eq!(fixture.used(), [format!("{DEVICE} {fifth}")]);
}

#[test]
fn growing_and_shrinking_go_by_removal() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    for size in ["4 GiB", "1 GiB"] {
        let begin = fixture.machine.commands().len();
        fixture.converge(&VOLUME.replace("2 GiB", size));
        let commands = fixture.machine.commands()[begin..].to_vec();
        let changing: Vec<_> =
            commands.iter().filter(|line| line.contains("swap -") && !line.ends_with("-l")).collect();
        assert!(changing[0].contains("-d") && changing[1].contains("-a"), "{commands:?}");
    }
    assert_eq!(fixture.used(), [format!("{DEVICE} 1024")]);
}

#[test]
fn too_little_memory_for_a_removal_is_told_and_nothing_is_lost() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    fixture.machine.storage(|storage| storage.memory_is_short = true);
    fixture.harness.configure(crate::support::config(&VOLUME.replace("2 GiB", "1 GiB")));
    let error = fixture.harness.converge().unwrap_err();
    assert_eq!(error.message, format!("cannot stop using {DEVICE} as swap"));
    let data = error.data.unwrap();
    assert!(data.causes[0].contains("Not enough space") && data.help.unwrap().contains("other swap"));
    assert_eq!(fixture.used(), [format!("{DEVICE} 2048")]);
    fixture.machine.storage(|storage| storage.memory_is_short = false);
    fixture.converge(&VOLUME.replace("2 GiB", "1 GiB"));
}

#[test]
fn leaving_the_configuration_ends_the_use_and_keeps_the_volume() {
    let mut fixture = illumos();
    let before = fixture.read("/etc/vfstab");
    fixture.converge(VOLUME);
    let done = fixture.converge("[storage]\nswap = []\n");
    assert_eq!(done, [format!("no longer use {DEVICE} at boot"), format!("stop using {DEVICE} as swap")]);
    assert_eq!(fixture.read("/etc/vfstab"), before, "byte for byte");
    assert!(fixture.machine.storage(|storage| storage.datasets.contains_key("rpool/swap1")));
    assert!(fixture.harness.logs().iter().any(|log| log.message.contains("no longer configured; it is kept")));
}

#[test]
fn destroying_needs_two_permissions_and_patience() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    let absent = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\n";
    let found = fixture.harness.validate(crate::support::config(absent));
    assert!(found[0].key.ends_with(".absent") && found[0].message.contains("permission"), "{found:?}");
    let allowed = format!("{absent}allow-destructive = true\n");
    let steps = fixture.plan(&allowed);
    let risks: Vec<_> = steps.iter().map(|step| step.risk).collect();
    assert_eq!(risks, [Risk::Safe, Risk::Disruptive, Risk::Destructive], "{:?}", summaries(&steps));
    fixture.machine.storage(|storage| storage.busy_in_passing = 2);
    fixture.converge_up_to(&allowed, Risk::Destructive);
    assert!(!fixture.machine.storage(|storage| storage.datasets.contains_key("rpool/swap1")));
    let destroyed = fixture.machine.commands().iter().filter(|line| line.contains("destroy")).count();
    assert_eq!(destroyed, 3, "what is busy in passing is tried again");
    assert_eq!(fixture.converge(&allowed), [""; 0]);
}

#[test]
fn an_encrypted_volume_is_made_anew_at_each_boot() {
    let mut fixture = illumos();
    let text = format!("{VOLUME}encrypted = true\n");
    fixture.converge(&text);
    let volume =
        |fixture: &crate::support::Fixture| fixture.machine.storage(|storage| storage.datasets["rpool/swap1"].clone());
    assert_eq!(volume(&fixture).local("encryption"), Some("aes-256-gcm"));
    assert!(!fixture.host.root.exists("/var/run/sysconfig/swap-key").unwrap(), "the key is thrown away");
    assert!(!fixture.read("/etc/vfstab").contains("swap1"), "nothing can be done with it at boot");
    fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot);
    assert!(!volume(&fixture).has_key);
    let done = fixture.converge(&text);
    assert!(done[0].starts_with("make the volume rpool/swap1 anew"), "{done:?}");
    assert_eq!(fixture.used(), [format!("{DEVICE} 2048")]);
}

#[test]
fn an_encrypted_volume_of_somebody_elses_without_its_key_is_left_alone() {
    let mut fixture = illumos();
    fixture.machine.storage(|storage| {
        let mut volume = FakeDataset::volume(2 << 30, [("encryption", "on"), ("volblocksize", "4096")]);
        volume.has_key = false;
        storage.add_dataset("rpool/swap1", volume);
    });
    for extra in ["encrypted = true\n", "", "encrypted = true\nallow-destructive = true\n"] {
        let steps = fixture.plan(&format!("{VOLUME}{extra}"));
        assert!(steps.iter().all(|step| step.action == "leave"), "{extra} {:?}", summaries(&steps));
    }
}

/// In the list it is still there, with one column more.
#[test]
fn an_area_on_its_way_out_is_not_in_use() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    fixture.machine.storage(|storage| storage.leaving.insert(DEVICE.to_owned()));
    assert_eq!(fixture.converge(VOLUME), [format!("use {DEVICE} as swap")]);
    assert!(fixture.machine.storage(|storage| storage.leaving.is_empty()));
    // Until its pages are elsewhere, its volume is in use, and so it stays.
    fixture.machine.storage(|storage| storage.leaving.insert(DEVICE.to_owned()));
    let absent = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n";
    let (message, _) = fixture.fail(absent);
    assert!(message.contains("dataset is busy"), "{message}");
    fixture.machine.storage(|storage| (storage.leaving.clear(), storage.swaps.clear()));
    fixture.converge_up_to(absent, Risk::Destructive);
}

/// What somebody has kept of it keeps it, and it remains in use.
#[test]
fn a_volume_with_snapshots_is_not_made_anew_or_destroyed() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    fixture.machine.type_in("zfs snapshot rpool/swap1@kept");
    let (message, help) = fixture.fail(&format!("{VOLUME}encrypted = true\nallow-destructive = true\n"));
    assert_eq!(message, format!("{DEVICE} was left alone: it has the snapshots rpool/swap1@kept"));
    assert!(help.contains("zfs destroy rpool/swap1@kept"), "{help}");
    assert_eq!(fixture.used(), [format!("{DEVICE} 2048")]);
    let absent = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n";
    let rows = fixture.read("/etc/vfstab");
    let planned: Vec<String> = fixture.plan(absent).into_iter().map(|step| step.summary).collect();
    assert_eq!(planned, [format!("leave {DEVICE} alone: it has the snapshots rpool/swap1@kept")]);
    assert_eq!((fixture.used(), fixture.read("/etc/vfstab")), (vec![format!("{DEVICE} 2048")], rows));
    // One that is made between plan and apply is met by the step, when it is out of use.
    fixture.machine.type_in("zfs destroy rpool/swap1@kept");
    let steps = fixture.plan(absent);
    fixture.machine.type_in("zfs snapshot rpool/swap1@kept");
    let (last, first) = steps.split_last().expect("there is something to do");
    for step in first {
        fixture.harness.apply(step).expect("it goes out of use");
    }
    let message = fixture.harness.apply(last).unwrap_err().message;
    assert_eq!(message, "cannot destroy rpool/swap1: it has the snapshots rpool/swap1@kept");
    fixture.machine.type_in("zfs destroy rpool/swap1@kept");
    fixture.converge_up_to(absent, Risk::Destructive);
}

/// time-slider takes snapshots of a whole pool, but for what says that it wants none.
#[test]
fn a_snapshot_of_a_throw_away_volume_holds_up_nothing_else() {
    let mut fixture = illumos();
    let text = format!("{VOLUME}encrypted = true\n");
    fixture.converge(&text);
    let wants = fixture
        .machine
        .storage(|storage| storage.datasets["rpool/swap1"].local("com.sun:auto-snapshot").map(str::to_owned));
    assert_eq!(wants.as_deref(), Some("false"));
    fixture.machine.type_in("zfs snapshot rpool/swap1@frequent");
    fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot);
    let other = "[[storage.swap]]\nvolume = \"rpool/swap2\"\nsize = \"1 GiB\"\n";
    let steps = fixture.plan(&format!("{text}{other}"));
    let actions: Vec<_> = steps.iter().map(|step| step.action.as_str()).collect();
    assert_eq!(actions, ["create", "add", "write", "leave"]);
    assert!(steps[3].summary.ends_with("it has the snapshots rpool/swap1@frequent"), "{}", steps[3].summary);
}

/// While memory is short, the old area cannot go before the new one is there.
#[test]
fn what_comes_comes_before_what_goes() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    fixture.machine.storage(|storage| storage.memory_is_short = true);
    let other = "[[storage.swap]]\nvolume = \"rpool/swap2\"\nsize = \"8 GiB\"\n";
    let (message, _) = fixture.fail(other);
    assert!(message.contains("stop using"), "{message}");
    assert_eq!(fixture.used(), [format!("{DEVICE} 2048"), "/dev/zvol/dsk/rpool/swap2 8192".to_owned()]);
}

#[test]
fn an_area_that_somebody_has_taken_out_of_use_is_forgotten_at_once() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    fixture.machine.storage(|storage| storage.swaps.clear());
    let done = fixture.converge("[storage]\nswap = []\n");
    assert_eq!(done, [format!("no longer use {DEVICE} at boot"), format!("forget {DEVICE}, which is no longer used")]);
}

/// mkfile writes every block, and the daemon kills a plugin that does not answer in time.
#[test]
fn a_file_that_takes_too_long_is_given_up_in_time() {
    let mut fixture = illumos();
    std::fs::create_dir_all(fixture.host.root.locate("/var")).unwrap();
    fixture.machine.storage(|storage| {
        storage.add_mount("/dev/dsk/c2t0d0s0", "/var", "ufs", &["rw"]);
        storage.writing_takes = std::time::Duration::from_secs(59);
    });
    let (message, help) = fixture.fail("[[storage.swap]]\nfile = \"/var/swapfile\"\nsize = \"64 GiB\"\n");
    assert!(message.contains("create the file /var/swapfile"), "{message}");
    assert!(help.contains("longer than a step may"), "{help}");
    assert!(!fixture.host.root.exists("/var/.swapfile.sysconfig-new").unwrap());
}

/// `swap -a` refuses it; nothing is written of what was never in use.
#[test]
fn the_dump_device_does_not_become_swap() {
    let mut fixture = illumos();
    let before = fixture.read("/etc/vfstab");
    fixture.machine.storage(|storage| storage.dump_device = Some(DEVICE.to_owned()));
    let (message, _) = fixture.fail(VOLUME);
    assert!(message.contains("dump device"), "{message}");
    assert_eq!((fixture.used(), fixture.read("/etc/vfstab")), (vec![], before));
}

/// A size is what `swap -l` says, in blocks of 512 bytes behind the first ones; path and columns are told apart by blanks.
#[test]
fn an_area_of_somebody_elses_beside_ours_stays() {
    let mut fixture = illumos();
    fixture.machine.storage(|storage| {
        let theirs = sysconfig_platform::fake::storage::UsedSwap {
            path: "/dev/zvol/dsk/rpool/swap".to_owned(),
            bytes: 4 << 30,
            priority: 0,
        };
        storage.add_dataset("rpool/swap", FakeDataset::volume(4 << 30, []));
        storage.swaps.push(theirs);
    });
    fixture.converge(VOLUME);
    fixture.converge("[storage]\nswap = []\n");
    assert_eq!(fixture.used(), ["/dev/zvol/dsk/rpool/swap 4096"]);
}

#[test]
fn a_file_on_zfs_is_refused_and_one_on_ufs_is_not() {
    let mut fixture = illumos();
    std::fs::create_dir_all(fixture.host.root.locate("/var")).unwrap();
    let text = "[[storage.swap]]\nfile = \"/var/swapfile\"\nsize = \"64 MiB\"\n";
    let steps = fixture.plan(text);
    assert_eq!(summaries(&steps), ["leave /var/swapfile alone: it lies on zfs"]);
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.data.unwrap().help.unwrap().contains("volume ="), "the way out is named");
    fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c2t0d0s0", "/var", "ufs", &["rw"]));
    fixture.converge(text);
    assert_eq!(fixture.used(), ["/var/swapfile 64"]);
    fixture.converge(&text.replace("64 MiB", "32 MiB"));
    assert_eq!(fixture.used(), ["/var/swapfile 32"]);
}

#[test]
fn steps_are_undone_from_the_last_to_the_first() {
    let mut fixture = illumos();
    let before = fixture.read("/etc/vfstab");
    fixture.harness.configure(crate::support::config(VOLUME));
    let made = fixture.harness.converge().unwrap().steps;
    fixture.harness.configure(crate::support::config(&VOLUME.replace("2 GiB", "1 GiB")));
    let resized = fixture.harness.converge().unwrap().steps;
    for (step, _) in resized.iter().rev() {
        fixture.harness.undo(step).unwrap();
    }
    assert_eq!(fixture.used(), [format!("{DEVICE} 2048")]);
    for (step, _) in made.iter().rev() {
        fixture.harness.undo(step).unwrap();
    }
    assert_eq!(fixture.used(), [""; 0]);
    assert_eq!(fixture.read("/etc/vfstab"), before);
    assert!(!fixture.machine.storage(|storage| storage.datasets.contains_key("rpool/swap1")));
}
