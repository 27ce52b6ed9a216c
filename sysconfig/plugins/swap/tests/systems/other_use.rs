//! What was swap of ours, and was put to another use since.

use crate::support::{Fixture, illumos, linux_with_zfs, summaries};
use sysconfig_plugin::Risk;

const VOLUME: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const DEVICE: &str = "/dev/zvol/dsk/rpool/swap1";
const NOTHING: &str = "[storage]\nswap = []\n";
/// Where a superblock of UFS tells what it is.
const UFS: (u64, &[u8]) = (8192 + 1372, b"\x54\x19\x01\x00");

/// A device has no mark of ours: what is on it now is what counts.
#[test]
fn a_device_that_was_put_to_another_use_is_not_taken_again() {
    let mut fixture = illumos();
    let device = "/dev/dsk/c2t0d0s1";
    fixture.machine.storage(|storage| storage.add_device(device, 4 << 20, None));
    std::fs::write(fixture.host.root.locate(device), vec![0; 4 << 20]).unwrap();
    let text = format!("[[storage.swap]]\ndevice = \"{device}\"\npersistent = false\n");
    fixture.converge_up_to(&format!("{text}allow-destructive = true\n"), Risk::Destructive);
    fixture.machine.storage(|storage| storage.swaps.clear());
    assert_eq!(
        summaries(&fixture.plan(&text)),
        [format!("use {device} as swap")],
        "what we have used before is used again"
    );
    let mut other = vec![0; 4 << 20];
    other[512..520].copy_from_slice(b"EFI PART");
    std::fs::write(fixture.host.root.locate(device), other).unwrap();
    let steps = fixture.plan(&text);
    assert!(
        summaries(&steps)[0]
            .starts_with(&format!("leave {device} alone: it is not ours, and holds a GUID partition table")),
        "{:?}",
        summaries(&steps)
    );
}

/// illumos writes no header, so a volume is known by what was remembered of it.
#[test]
fn a_volume_that_comes_back_is_used_again_unless_somebody_has_written_to_it() {
    for (at, what) in [(UFS, "a UFS file system"), ((40 << 20, &b"?"[..]), "something unknown")] {
        let mut fixture = illumos();
        fixture.converge(VOLUME);
        fixture.converge(NOTHING);
        fixture.converge(VOLUME);
        fixture.converge(NOTHING);
        fixture.machine.storage(|storage| storage.scribble(DEVICE, at.0, at.1));
        let steps = fixture.plan(VOLUME);
        let begin = format!("leave {DEVICE} alone: nothing tells that it is still swap, and holds {what}");
        assert!(steps.len() == 1 && steps[0].summary.starts_with(&begin), "{:?}", summaries(&steps));
        let before = fixture.machine.storage(|storage| storage.ends_of(DEVICE));
        fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(fixture.machine.storage(|storage| storage.ends_of(DEVICE)) == before);
        assert_eq!(fixture.used(), [""; 0]);
        fixture.converge_up_to(&format!("{VOLUME}allow-destructive = true\n"), Risk::Destructive);
        assert_eq!(fixture.used(), [format!("{DEVICE} 2048")]);
    }
}

/// The record is lost with a boot environment, and so is what it knew.
#[test]
fn a_volume_that_is_not_remembered_is_taken_for_swap_by_a_row_only() {
    let mut fixture = illumos();
    fixture.converge(VOLUME);
    fixture.machine.storage(|storage| storage.swaps.clear());
    let forget = |fixture: &Fixture| {
        std::fs::remove_file(fixture.host.root.locate("/var/lib/sysconfig/swap.json")).unwrap();
    };
    forget(&fixture);
    assert_eq!(fixture.converge(VOLUME), [format!("use {DEVICE} as swap")]);
    fixture.machine.storage(|storage| storage.swaps.clear());
    forget(&fixture);
    std::fs::write(fixture.host.root.locate("/etc/vfstab"), "").unwrap();
    let steps = fixture.plan(VOLUME);
    let begin = format!("leave {DEVICE} alone: nothing tells that it is still swap, and holds something unknown");
    assert!(steps.len() == 1 && steps[0].summary.starts_with(&begin), "{:?}", summaries(&steps));
}

#[test]
fn a_volume_of_ours_that_others_use_is_left_alone_whatever_is_permitted() {
    type Use = (fn(&Fixture), &'static str);
    let uses: [Use; 3] = [
        (
            |fixture| fixture.machine.storage(|storage| storage.add_mount(DEVICE, "/x", "ufs", &[])),
            "it is in use: /dev/zvol/dsk/rpool/swap1 is mounted on /x",
        ),
        (
            |fixture| drop(fixture.machine.type_in(&format!("zpool create other {DEVICE}"))),
            "it is in use: it is part of the imported pool other",
        ),
        (
            |fixture| {
                let row = format!("{DEVICE} /dev/zvol/rdsk/rpool/swap1 /x ufs 2 no -\n");
                fixture.machine.storage(|storage| storage.add_row(&row));
            },
            "/etc/vfstab mounts it at /x",
        ),
    ];
    let absent = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n";
    for (others_use, why) in uses {
        let mut fixture = illumos();
        fixture.converge(VOLUME);
        fixture.converge(NOTHING);
        let [used, destroyed] =
            [&format!("{VOLUME}allow-destructive = true\n"), absent].map(|text| (text.to_owned(), fixture.plan(text)));
        others_use(&fixture);
        for (text, planned) in [used, destroyed] {
            let steps = fixture.plan(&text);
            assert_eq!(summaries(&steps), [format!("leave {DEVICE} alone: {why}")]);
            // What was planned before is not done either.
            for step in &planned {
                fixture.harness.apply(step).expect_err(&step.summary);
            }
        }
        assert_eq!(fixture.used(), [""; 0]);
        assert!(fixture.machine.storage(|storage| storage.datasets.contains_key("rpool/swap1")));
    }
}

/// Whoever has given it a key of his own can read it after a boot.
#[test]
fn an_encrypted_volume_with_another_key_is_not_made_anew() {
    let mut fixture = illumos();
    let text = format!("{VOLUME}encrypted = true\n");
    fixture.converge(&text);
    fixture.machine.storage(|storage| {
        let properties = &mut storage.datasets.get_mut("rpool/swap1").unwrap().properties;
        properties.insert("keyformat".to_owned(), "passphrase".to_owned());
        properties.insert("keylocation".to_owned(), "prompt".to_owned());
        storage.reboot();
    });
    let steps = fixture.plan(&text);
    assert_eq!(
        summaries(&steps),
        [format!("leave {DEVICE} alone: the volume rpool/swap1 is encrypted")],
        "the key is somebody's"
    );
}

/// ZFS leaves the first 8 KiB of its label to others, and with it the header of what was swap before.
#[test]
fn a_header_under_the_label_of_a_pool_makes_no_swap() {
    for (mut fixture, text, path) in [
        (
            linux_with_zfs(),
            "[[storage.swap]]\ndevice = \"/dev/disk/by-partlabel/swap\"\n",
            "/dev/disk/by-partlabel/swap",
        ),
        (linux_with_zfs(), "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"1 GiB\"\n", "/dev/zvol/rpool/swap1"),
        (linux_with_zfs(), "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\n", "/var/swap"),
    ] {
        match path.starts_with("/dev/disk/") {
            true => fixture.machine.storage(|storage| storage.add_device(path, 64 << 20, Some("swap"))),
            false => {
                fixture.converge(text);
                fixture.converge("[storage]\nswap = []\n");
            }
        }
        fixture.machine.type_in(&format!("zpool create other {path}"));
        fixture.machine.type_in("zpool export other");
        let host = fixture.host.clone();
        assert!(sysconfig_platform::swap::made_for(&host, path).unwrap().is_some(), "the header is still there");
        let before = fixture.machine.storage(|storage| storage.ends_of(path));
        let steps = fixture.plan(text);
        let summaries = summaries(&steps);
        assert!(
            summaries.len() == 1
                && summaries[0].starts_with(&format!("leave {path} alone: "))
                && summaries[0].contains("holds a member of the exported pool other"),
            "{summaries:?}"
        );
        fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(fixture.machine.storage(|storage| storage.ends_of(path)) == before, "not one byte changes");
        // While it is imported, there is no permission for it.
        let guid = fixture.machine.storage(|storage| storage.exported[0].guid);
        let directory = path.rsplit_once('/').unwrap().0;
        fixture.machine.type_in(&format!("zpool import -d {directory} {guid}"));
        let steps = fixture.plan(&format!("{text}allow-destructive = true\n"));
        assert_eq!(
            steps.iter().map(|step| step.summary.as_str()).collect::<Vec<_>>(),
            [format!("leave {path} alone: it is in use: it is part of the imported pool other")]
        );
    }
}
