//! What somebody does between the plan and the step, or after a step has failed: it is not touched.

use crate::support::{Fixture, illumos, linux, linux_with_zfs, summaries};
use sysconfig_platform::boot_table;
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_plugin::Risk;
use sysconfig_protocol::Step;

const VOLUME: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"1 MiB\"\n";

fn foreign() -> FakeDataset {
    FakeDataset::volume(2 << 30, [("volblocksize", "4096")])
}

/// Every step fails, and says why.
fn all_refused(fixture: &mut Fixture, steps: &[Step], why: &str) {
    for step in steps {
        let error = fixture.harness.apply(step).expect_err(&step.summary);
        // A row is written for what is in use only.
        assert!(error.message.contains(why) || error.message.contains("is not in use"), "{}: {error:?}", step.summary);
        assert!(error.data.unwrap().help.is_some());
    }
}

#[test]
fn a_volume_that_somebody_makes_meanwhile_is_not_written_over() {
    for mut fixture in [illumos(), linux_with_zfs()] {
        let steps = fixture.plan(VOLUME);
        fixture.machine.storage(|storage| storage.add_dataset("rpool/swap1", foreign()));
        let before = fixture.machine.commands().len();
        all_refused(&mut fixture, &steps, "somebody has created rpool/swap1 meanwhile");
        let written = [" create ", "mkswap", "swapon", "swap -a", " set ", " destroy "];
        let commands = fixture.machine.commands().split_off(before);
        assert!(commands.iter().all(|line| !written.iter().any(|word| line.contains(word))), "{commands:?}");
        for step in steps.iter().filter(|step| step.action == "create") {
            fixture.harness.undo(step).unwrap_err();
        }
        assert!(fixture.machine.storage(|storage| storage.datasets.contains_key("rpool/swap1")));
        assert_eq!(fixture.used(), [""; 0]);
    }
}

#[test]
fn a_volume_that_takes_the_place_of_ours_is_neither_destroyed_nor_resized() {
    let absent = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n";
    let encrypted = format!("{VOLUME}encrypted = true\nallow-destructive = true\n");
    for (text, action) in [(absent, "destroy"), (&VOLUME.replace('2', "1"), "resize"), (&encrypted, "recreate")] {
        let mut fixture = illumos();
        fixture.converge(VOLUME);
        fixture.machine.storage(|storage| storage.swaps.clear());
        let steps = fixture.plan(text);
        let step = steps.iter().find(|step| step.action == action).unwrap_or_else(|| panic!("{steps:?}"));
        let theirs = foreign();
        fixture.machine.storage(|storage| storage.add_dataset("rpool/swap1", theirs.clone()));
        let error = fixture.harness.apply(step).unwrap_err();
        let refused = ["is not the volume that was there", "somebody has created rpool/swap1 meanwhile"];
        assert!(refused.iter().any(|why| error.message.contains(why)), "{error:?}");
        assert_eq!(fixture.machine.storage(|storage| storage.datasets["rpool/swap1"].clone()), theirs);
    }
}

#[test]
fn what_comes_onto_a_device_after_its_content_was_given_away_is_kept() {
    for (mut fixture, device) in [(illumos(), "/dev/dsk/c1t0d0s1"), (linux(), "/dev/disk/by-partlabel/swap")] {
        fixture.machine.storage(|storage| storage.add_device(device, 64 << 20, Some("ext4")));
        let steps = fixture.plan(&format!("[[storage.swap]]\ndevice = \"{device}\"\nallow-destructive = true\n"));
        assert!(steps[0].summary.contains("which loses an ext2, ext3 or ext4 file system"), "{}", steps[0].summary);
        let place = fixture.host.root.locate(device);
        let file = std::fs::OpenOptions::new().write(true).open(&place).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"-rom1fs-", 0).unwrap();
        let before = std::fs::read(&place).unwrap();
        for step in &steps {
            fixture.harness.apply(step).expect_err(&step.summary);
        }
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.message.contains("has changed since the plan; it holds an ext2"), "{error:?}");
        assert!(std::fs::read(&place).unwrap() == before, "not one byte changes");
    }
}

#[test]
fn what_comes_into_a_volume_of_ours_after_the_plan_is_kept() {
    for (mut fixture, device) in [(illumos(), "/dev/zvol/dsk/rpool/swap1"), (linux_with_zfs(), "/dev/zvol/rpool/swap1")]
    {
        fixture.converge(VOLUME);
        fixture.converge("[storage]\nswap = []\n");
        let steps = fixture.plan(VOLUME);
        fixture.machine.storage(|storage| storage.scribble(device, 32769, b"CD001"));
        let before = fixture.machine.storage(|storage| storage.ends_of(device));
        all_refused(&mut fixture, &steps, "has changed since the plan; it holds");
        assert!(fixture.machine.storage(|storage| storage.ends_of(device)) == before);
        assert_eq!(fixture.used(), [""; 0]);
    }
}

#[test]
fn a_row_that_somebody_writes_after_the_plan_stays() {
    for (mut fixture, theirs) in [
        (illumos(), "/dev/zvol/dsk/rpool/swap1 - - swap - no theirs\n"),
        (linux_with_zfs(), "/dev/zvol/rpool/swap1 none swap pri=7 0 0\n"),
    ] {
        let table = boot_table::path(fixture.host.system());
        let steps = fixture.plan(VOLUME);
        let (row, others) = steps.split_last().unwrap();
        for step in others {
            fixture.harness.apply(step).unwrap();
        }
        fixture.machine.storage(|storage| storage.add_row(theirs));
        let before = fixture.read(table);
        let error = fixture.harness.apply(row).unwrap_err();
        assert!(error.message.contains("it is not as it was when this was planned"), "{error:?}");
        assert!(error.data.unwrap().help.is_some());
        assert_eq!(fixture.read(table), before);
        // Nor does it go with the area: it is not ours.
        fixture.converge("[storage]\nswap = []\n");
        assert_eq!(fixture.read(table), before);
    }
}

/// A machine on which `/var` can hold swap.
fn machines() -> [Fixture; 2] {
    let fixture = illumos();
    fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c2t0d0s0", "/var", "ufs", &["rw"]));
    [fixture, linux()]
}

const THEIRS: &[u8] = &[b'x'; 1 << 20];

#[test]
fn a_file_that_somebody_makes_meanwhile_is_not_written_over() {
    for mut fixture in machines() {
        let steps = fixture.plan(FILE);
        let place = fixture.host.root.locate("/var/swap");
        std::fs::write(&place, THEIRS).unwrap();
        all_refused(&mut fixture, &steps, "somebody has created /var/swap meanwhile");
        for step in steps.iter().filter(|step| step.action == "create") {
            fixture.harness.undo(step).unwrap_err();
        }
        assert_eq!(std::fs::read(place).unwrap(), THEIRS);
    }
}

#[test]
fn what_takes_the_place_of_a_file_of_ours_is_not_ours() {
    let resized = FILE.replace('1', "2");
    let absent = "[[storage.swap]]\nfile = \"/var/swap\"\nabsent = true\nallow-destructive = true\n";
    for mut fixture in machines() {
        fixture.converge(FILE);
        fixture.machine.storage(|storage| storage.swaps.clear());
        fixture.machine.storage(Storage::refresh);
        let planned: Vec<Step> = [resized.as_str(), absent].iter().flat_map(|text| fixture.plan(text)).collect();
        let place = fixture.host.root.locate("/var/swap");
        std::fs::write(&place, THEIRS).unwrap();
        for step in planned.iter().filter(|step| ["resize", "destroy", "add"].contains(&step.action.as_str())) {
            fixture.harness.apply(step).expect_err(&step.summary);
        }
        assert_eq!(std::fs::read(&place).unwrap(), THEIRS);
        // And a plan that sees it leaves it alone, whatever the row and the record say.
        for text in [FILE, &resized, absent] {
            for step in fixture.plan(text).iter().filter(|step| !step.resource.starts_with("/etc/")) {
                assert_eq!(step.action, "leave", "{}", step.summary);
            }
        }
        assert_eq!(std::fs::read(&place).unwrap(), THEIRS);
    }
}

/// A file without the mark may be one that an early version has made, and may be anything; only the operator can tell.
#[test]
fn a_file_without_a_mark_stays_until_somebody_takes_it_over() {
    let (resized, absent) =
        (FILE.replace('1', "2"), "[[storage.swap]]\nfile = \"/var/swap\"\nabsent = true\nallow-destructive = true\n");
    for mut fixture in machines() {
        fixture.converge(FILE);
        let place = fixture.host.root.locate("/var/swap");
        let file = std::fs::OpenOptions::new().write(true).open(&place).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0; 64], 0).unwrap();
        let before = std::fs::read(&place).unwrap();
        assert_eq!(fixture.converge(FILE), [""; 0], "what is in use remains so");
        for text in [resized.as_str(), absent] {
            let steps = fixture.plan(text);
            let left: Vec<_> = steps.iter().filter(|step| step.action == "leave").collect();
            assert!(steps.len() == 1 && left[0].summary.contains("does not bear the mark"), "{steps:?}");
            let help = fixture.harness.apply(left[0]).unwrap_err().data.unwrap().help.unwrap();
            assert!(help.contains("adopt = true"), "{help}");
        }
        assert!(std::fs::read(&place).unwrap() == before, "not one byte changes");
        // Once it is taken over, what is made in its place bears the mark.
        fixture.converge(&format!("{resized}adopt = true\n"));
        assert_eq!(fixture.used(), ["/var/swap 2"]);
        fixture.converge_up_to(absent, Risk::Destructive);
        assert!(!place.exists());
    }
}

#[test]
fn after_a_creation_that_failed_nothing_at_its_path_is_ours() {
    for mut fixture in machines() {
        fixture.machine.storage(|storage| storage.disk_is_full = true);
        let steps = fixture.plan(FILE);
        fixture.harness.apply(&steps[0]).unwrap_err();
        fixture.machine.storage(|storage| storage.disk_is_full = false);
        assert!(!fixture.read("/var/lib/sysconfig/swap.json").contains("/var/swap"), "it is not remembered as made");
        std::fs::write(fixture.host.root.locate("/var/swap"), THEIRS).unwrap();
        let planned = fixture.plan(&FILE.replace('1', "2"));
        assert_eq!(summaries(&planned), ["leave /var/swap alone: it is not ours, and holds text (at byte 0)"]);
        let left = std::fs::read_dir(fixture.host.root.locate("/var")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("sysconfig-new")), "{left:?}");
    }
}

#[test]
fn a_size_that_cannot_be_had_leaves_the_area_in_use() {
    for (mut fixture, device) in [(illumos(), "/dev/zvol/dsk/rpool/swap1"), (linux_with_zfs(), "/dev/zvol/rpool/swap1")]
    {
        fixture.converge(VOLUME);
        let (error, help) = fixture.fail(&VOLUME.replace("2 GiB", "100 GiB"));
        assert!(error.contains("out of space") && help.contains("make room"), "{error} {help}");
        assert_eq!(fixture.used(), [format!("{device} 2048")], "it is used again, as it was");
    }
    for mut fixture in machines() {
        fixture.converge(FILE);
        fixture.machine.storage(|storage| storage.disk_is_full = true);
        let before = fixture.machine.commands().len();
        fixture.fail(&FILE.replace('1', "2"));
        assert_eq!(fixture.used(), ["/var/swap 1"]);
        let commands = fixture.machine.commands().split_off(before);
        assert!(commands.iter().all(|line| !line.contains("swapoff") && !line.contains("-d ")), "{commands:?}");
    }
}

#[test]
fn a_damaged_record_is_told_and_kept() {
    let mut fixture = linux();
    fixture.converge(FILE);
    let place = fixture.host.root.locate("/var/lib/sysconfig/swap.json");
    std::fs::write(&place, "{ \"areas\": [").unwrap();
    fixture.harness.configure(crate::support::config(FILE));
    fixture.harness.observe().unwrap();
    let logged = fixture.harness.logs();
    assert!(logged.iter().any(|log| log.message.contains("swap.json is damaged")), "{logged:?}");
    fixture.converge(&format!("{FILE}priority = 4\nadopt = true\n"));
    assert_eq!(fixture.read("/var/lib/sysconfig/swap.json.damaged"), "{ \"areas\": [");
}
