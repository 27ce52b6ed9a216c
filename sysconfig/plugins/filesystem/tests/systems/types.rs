//! Mounts that are there already, but different: every type of both systems, in every state that one can be in.

use crate::support::{Fixture, illumos_with_tank, linux_with_zfs, summaries};
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_platform::mount_table;
use sysconfig_platform::{Invocation, System};
use sysconfig_plugin::Risk;

/// A type of file system, and how it differs from the others.
#[derive(Clone, Copy)]
struct Type {
    system: System,
    name: &'static str,
    device: &'static str,
    /// Another one of the type; for file systems in memory another word, which says nothing.
    other: &'static str,
    /// Whether its options can be changed while it is mounted.
    remounts: bool,
    in_memory: bool,
}

const fn of(system: System, name: &'static str, device: &'static str, other: &'static str) -> Type {
    Type { system, name, device, other, remounts: false, in_memory: false }
}

const fn remountable(kind: Type) -> Type {
    Type { remounts: true, ..kind }
}

const fn in_memory(kind: Type) -> Type {
    Type { remounts: true, in_memory: true, ..kind }
}

const TYPES: &[Type] = &[
    in_memory(of(System::Illumos, "tmpfs", "swap", "theirs")),
    remountable(of(System::Illumos, "ufs", "/dev/dsk/c1t0d0s6", "/dev/dsk/c1t0d0s7")),
    of(System::Illumos, "pcfs", "/dev/dsk/c1t0d0p0:1", "/dev/dsk/c1t0d0p0:2"),
    of(System::Illumos, "hsfs", "/dev/dsk/c2t0d0s2", "/dev/dsk/c3t0d0s2"),
    of(System::Illumos, "udfs", "/dev/dsk/c2t0d0s2", "/dev/dsk/c3t0d0s2"),
    of(System::Illumos, "nfs", "10.0.2.2:/one", "10.0.2.2:/two"),
    of(System::Illumos, "lofs", "/export/one", "/export/two"),
    of(System::Illumos, "zfs", "tank/one", "tank/two"),
    in_memory(of(System::Linux, "tmpfs", "tmpfs", "theirs")),
    remountable(of(System::Linux, "ext4", "/dev/disk/by-id/b-part1", "/dev/disk/by-id/b-part2")),
    remountable(of(System::Linux, "xfs", "/dev/disk/by-id/b-part1", "/dev/disk/by-id/b-part2")),
    remountable(of(System::Linux, "vfat", "/dev/disk/by-id/b-part1", "/dev/disk/by-id/b-part2")),
    of(System::Linux, "iso9660", "/dev/disk/by-id/cd0", "/dev/disk/by-id/cd1"),
    of(System::Linux, "squashfs", "/dev/disk/by-id/b-part1", "/dev/disk/by-id/b-part2"),
    of(System::Linux, "nfs", "10.0.2.2:/one", "10.0.2.2:/two"),
    of(System::Linux, "bind", "/export/one", "/export/two"),
    of(System::Linux, "zfs", "tank/one", "tank/two"),
];

/// What is at the mount point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Mounted by somebody, without options.
    Mounted,
    /// Mounted by this plugin, without options.
    Ours,
    /// Another one of the same type, mounted by somebody.
    Another,
    /// The same, mounted by this plugin.
    OurOther,
    /// Something of another type.
    OtherType,
    /// A directory with something in it.
    Filled,
}

/// What a cell of the table ends in: each step with its risk, and the beginning of its line.
type Plan = Vec<(Risk, String)>;

/// A cell: what is there, what the entry says beside device and type, and what comes of it.
type Cell = (Before, &'static str, fn(&Type) -> Plan);

const NOSUID: &str = "options = [\"nosuid\"]\n";
const ADOPTED: &str = "options = [\"nosuid\"]\nadopt = true\n";

const CELLS: &[Cell] = &[
    (Before::Nothing, "", |kind| vec![mount(kind, Risk::Safe)]),
    (Before::Mounted, "", |_| vec![]),
    (Before::Mounted, NOSUID, |_| vec![left("it is mounted with the options ")]),
    (Before::Mounted, ADOPTED, |kind| match kind.remounts {
        true => vec![changed()],
        false => vec![left("it is mounted with the options ")],
    }),
    (Before::Ours, "", |_| vec![]),
    (Before::Ours, NOSUID, |kind| match kind.remounts {
        true => vec![changed()],
        false => vec![unmount(kind.device), mount(kind, Risk::Disruptive)],
    }),
    // Of file systems in memory one is as good as another.
    (Before::Another, "", |kind| if kind.in_memory { vec![] } else { vec![left(&theirs(kind))] }),
    (Before::OurOther, "", |kind| match kind.in_memory {
        true => vec![],
        false => vec![unmount(kind.other), mount(kind, Risk::Disruptive)],
    }),
    (Before::OtherType, "", |_| vec![left("odd of type fd is mounted there, and is not ours")]),
    (Before::OtherType, "adopt = true\n", |_| vec![left("odd of type fd is mounted there, and is not ours")]),
    (Before::OtherType, "overlay = true\n", |kind| vec![mount(kind, Risk::Disruptive)]),
    (Before::Filled, "", |_| vec![left("the directory is not empty")]),
    (Before::Filled, "overlay = true\n", |kind| vec![mount(kind, Risk::Disruptive)]),
];

fn mount(kind: &Type, risk: Risk) -> (Risk, String) {
    (risk, format!("mount {} at /mnt", kind.device))
}

fn unmount(device: &str) -> (Risk, String) {
    (Risk::Disruptive, format!("unmount /mnt, where {device} is"))
}

fn changed() -> (Risk, String) {
    (Risk::Disruptive, "change the options of /mnt".to_owned())
}

fn left(why: &str) -> (Risk, String) {
    (Risk::Safe, format!("leave /mnt alone: {why}"))
}

/// Linux tells of a bind mount what is shown there, and of what it is mounted.
fn theirs(kind: &Type) -> String {
    match kind.name {
        "bind" => "/dev/vda1 of type ext4 is mounted there, and is not ours".to_owned(),
        name => format!("{} of type {name} is mounted there, and is not ours", kind.other),
    }
}

fn entry(kind: &Type, device: &str, rest: &str) -> String {
    format!(
        "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"/mnt\"\ntype = \"{}\"\npersistent = false\n{rest}",
        kind.name
    )
}

fn machine(kind: &Type) -> Fixture {
    let fixture = if kind.system == System::Illumos { illumos_with_tank() } else { linux_with_zfs() };
    for device in [kind.device, kind.other] {
        match kind.name {
            "bind" | "lofs" => std::fs::create_dir_all(fixture.host.root.locate(device)).unwrap(),
            "nfs" => drop(fixture.machine.storage(|storage| storage.shares.insert(device.to_owned()))),
            "zfs" => {
                let dataset = FakeDataset::filesystem([("mountpoint", "legacy")]);
                fixture.machine.storage(|storage| storage.add_dataset(device, dataset));
            }
            "tmpfs" => {}
            name => fixture.machine.storage(|storage| storage.add_device(device, 1 << 30, Some(name))),
        }
    }
    fixture
}

/// Mounts something as somebody would.
fn mount_by_hand(storage: &mut Storage, kind: &Type, device: &str) {
    let place = mount_table::place_of(&storage.mounts, device);
    storage.add_mount(device, "/mnt", kind.name, &["rw"]);
    if kind.name == "bind" {
        let mount = storage.mounts.last_mut().unwrap();
        mount.device = "/dev/vda1".to_owned();
        mount.fstype = "ext4".to_owned();
        mount.place = place;
    }
    if let Some(dataset) = storage.datasets.get_mut(device) {
        dataset.mounted = true;
    }
}

fn prepare(fixture: &mut Fixture, kind: &Type, before: Before) {
    match before {
        Before::Nothing => {}
        Before::Mounted => fixture.machine.storage(|storage| mount_by_hand(storage, kind, kind.device)),
        Before::Another => fixture.machine.storage(|storage| mount_by_hand(storage, kind, kind.other)),
        Before::OtherType => fixture.machine.storage(|storage| storage.add_mount("odd", "/mnt", "fd", &[])),
        Before::Ours => drop(fixture.converge(&entry(kind, kind.device, ""))),
        Before::OurOther => drop(fixture.converge(&entry(kind, kind.other, ""))),
        Before::Filled => {
            std::fs::create_dir_all(fixture.host.root.locate("/mnt")).unwrap();
            std::fs::write(fixture.host.root.locate("/mnt/thesis"), "x").unwrap();
        }
    }
}

fn check(kind: &Type, (before, rest, plan): &Cell) {
    let mut fixture = machine(kind);
    prepare(&mut fixture, kind, *before);
    let text = entry(kind, kind.device, rest);
    let about = format!("{} on {}, {before:?}, {rest:?}", kind.name, kind.system);
    let mounted = fixture.mounted();
    let planned: Vec<_> = fixture.plan(&text).into_iter().map(|step| (step.risk, step.summary)).collect();
    let expected = plan(kind);
    assert_eq!(planned.len(), expected.len(), "{about}: {planned:#?}");
    for ((risk, summary), (wanted, begin)) in planned.iter().zip(&expected) {
        assert!(risk == wanted && summary.starts_with(begin), "{about}: {planned:#?} {expected:#?}");
    }
    if expected.iter().any(|(_, line)| line.starts_with("leave")) {
        let (_, help) = fixture.fail(&text);
        assert!(!help.is_empty(), "{about}: no way out is named");
        assert_eq!(fixture.mounted(), mounted, "{about}: what is left alone stays");
    } else {
        fixture.converge_up_to(&text, Risk::Disruptive);
    }
    let commands = fixture.machine.commands();
    assert!(!commands.iter().any(|line| line.contains("umount -")), "{about}: never by force: {commands:?}");
}

#[test]
fn every_type_in_every_state_has_its_plan() {
    for kind in TYPES {
        for cell in CELLS {
            check(kind, cell);
        }
    }
}

/// Linux shows it with the type and the word of the file system in memory that it is a part of, and nothing is lost with it.
#[test]
fn a_bind_mount_of_what_is_in_memory_is_ours_and_goes() {
    let tmpfs = "[[storage.mount]]\ndevice = \"memory\"\nmountpoint = \"/scratch\"\ntype = \"tmpfs\"\n";
    let shown = "[[storage.mount]]\ndevice = \"/scratch/in\"\nmountpoint = \"/again\"\ntype = \"bind\"\n";
    let mut fixture = crate::support::linux();
    fixture.converge(tmpfs);
    std::fs::create_dir_all(fixture.host.root.locate("/scratch/in")).unwrap();
    std::fs::write(fixture.host.root.locate("/scratch/in/file"), "x").unwrap();
    fixture.converge(&format!("{tmpfs}{shown}"));
    let has_directory = |fixture: &Fixture| fixture.host.root.exists("/again").unwrap();
    assert!(fixture.mounted()[1].contains(" on /again tmpfs ") && has_directory(&fixture));
    // Other options take mounting it anew.
    fixture.converge(&format!("{tmpfs}{shown}options = [\"ro\"]\n"));
    assert!(fixture.mounted()[1].contains("(ro"), "{:?}", fixture.mounted());
    let gone = fixture.converge(tmpfs);
    assert!(gone.contains(&"unmount /again, where /scratch/in is".to_owned()), "{gone:?}");
    assert_eq!((fixture.mounted().len(), has_directory(&fixture)), (1, false));
}

/// Without the mount that it was made of, what is in memory lives on in it; and a number of a device may come again.
#[test]
fn the_last_that_shows_what_is_in_memory_is_not_unmounted() {
    let shown =
        "[[storage.mount]]\ndevice = \"/scratch\"\nmountpoint = \"/again\"\ntype = \"bind\"\npersistent = false\n";
    let fixture_with_bind = || {
        let mut fixture = crate::support::linux();
        fixture.machine.storage(|storage| storage.add_mount("theirs", "/scratch", "tmpfs", &[]));
        fixture.converge(shown);
        fixture
    };
    for configuration in [shown, "[storage]\nmount = []\n"] {
        let mut fixture = fixture_with_bind();
        std::fs::write(fixture.host.root.locate("/again/file"), "x").unwrap();
        // Planned while it is shown elsewhere, and done when it is not any more.
        let early = fixture.plan("[storage]\nmount = []\n");
        fixture.machine.storage(|storage| storage.mounts.retain(|mount| mount.mount_point != "/scratch"));
        let failed = early.iter().find_map(|step| fixture.harness.apply(step).err()).expect("it would be lost");
        assert!(failed.message.contains("is in memory only, and would be lost"), "{failed:?}");
        let (message, _) = fixture.fail(configuration);
        assert!(message.contains("/again was left alone") && message.contains("would be lost"), "{message}");
        assert_eq!(fixture.mounted().len(), 1, "{configuration}");
    }
    let mut fixture = fixture_with_bind();
    fixture.machine.storage(|storage| {
        let number = storage.mounts.iter().find(|mount| mount.mount_point == "/again").unwrap().place.clone();
        storage.mounts.retain(|mount| !["/scratch", "/again"].contains(&mount.mount_point.as_str()));
        storage.add_mount("operators", "/again", "tmpfs", &[]);
        storage.mounts.last_mut().unwrap().place = number;
    });
    fixture.converge("[storage]\nmount = []\n");
    assert!(fixture.mounted()[0].starts_with("operators on /again"), "{:?}", fixture.mounted());
}

/// What is shown again goes before or behind what shows it, and is known all the same.
#[test]
fn a_bind_mount_of_a_bind_mount_is_ours_and_goes() {
    let entry = |from: &str, to: &str| {
        format!("[[storage.mount]]\ndevice = \"{from}\"\nmountpoint = \"{to}\"\ntype = \"bind\"\n")
    };
    for (from, to) in [("/two", "/three"), ("/b", "/a")] {
        let mut fixture = crate::support::linux();
        std::fs::create_dir_all(fixture.host.root.locate("/src")).unwrap();
        let first = entry("/src", from);
        fixture.converge(&first);
        std::fs::create_dir_all(fixture.host.root.locate(format!("{from}/deep"))).unwrap();
        fixture.converge(&format!("{first}{}", entry(&format!("{from}/deep"), to)));
        assert_eq!(fixture.mounted().len(), 2);
        let gone = fixture.converge("[storage]\nmount = []\n");
        assert_eq!(fixture.mounted(), [""; 0]);
        let unmounted: Vec<_> = gone.iter().filter(|step| step.starts_with("unmount")).collect();
        let expected = [format!("unmount {to}, where {from}/deep is"), format!("unmount {from}, where /src is")];
        assert_eq!(
            unmounted,
            expected.iter().collect::<Vec<_>>(),
            "what is made of something in a mount goes before it"
        );
    }
}

/// A bind mount is shown with the device and the type of what the directory lies in.
#[test]
fn a_directory_of_the_wanted_file_system_is_not_the_file_system() {
    for (device, fstype) in [("/dev/sdb1", "ext4"), ("scratch", "tmpfs")] {
        let mut fixture = linux_with_zfs();
        fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", 1 << 30, Some("ext4")));
        for directory in ["/elsewhere", "/data"] {
            std::fs::create_dir_all(fixture.host.root.locate(directory)).unwrap();
        }
        let run = |fixture: &Fixture, line: &str| {
            let mut words = line.split(' ');
            let program = format!("/usr/bin/{}", words.next().unwrap());
            fixture.host.run(&Invocation::new(program, words)).unwrap();
        };
        run(&fixture, &format!("mount -t {fstype} {device} /elsewhere"));
        std::fs::create_dir_all(fixture.host.root.locate("/elsewhere/in")).unwrap();
        run(&fixture, "mount -o bind /elsewhere/in /data");
        let wanted = |options: &str| {
            format!(
                "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"/data\"\ntype = \"{fstype}\"\npersistent = false\n{options}"
            )
        };
        let steps = fixture.plan(&wanted(""));
        let why = format!("{device} of type {fstype} is mounted there, and is not ours");
        assert_eq!(summaries(&steps), [format!("leave /data alone: {why}")]);
        // Between a plan and its step.
        run(&fixture, "umount /data");
        let steps = fixture.plan(&wanted(""));
        run(&fixture, "mount -o bind /elsewhere/in /data");
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.message.contains("is mounted there now"), "{}", error.message);
        // Of which mount(8) itself is to show a directory, only the options are in question.
        let steps = fixture.plan(&wanted("options = [\"x-mount.subdir=in\"]"));
        assert!(!summaries(&steps).concat().contains("is mounted there"), "{:?}", summaries(&steps));
    }
}
