//! Snapshots of a machine that was never started: only its files matter here.

use super::*;
use crate::{Host, VmDirectory};
use std::fs::File;
use std::os::unix::fs::FileExt;

struct Case {
    root: tempfile::TempDir,
    vm: Vm,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.raw"), [1u8; 4096]).unwrap();
        let directory = VmDirectory::new(root.path(), &root.path().join("state"), "dev".parse().unwrap()).unwrap();
        directory.create().unwrap();
        let host = Host {
            qemu: "no-such-emulator".into(),
            firmware_directories: Vec::new(),
            state_directory: None,
            bhyve: crate::host::BhyveParts::default(),
        };
        let vm = Vm::new(directory, host);
        let image = ImageIdentity::of(&root.path().join("a.raw")).unwrap();
        let mut config = Config {
            format: FORMAT,
            image: image.path.clone(),
            machine: "pc".to_owned(),
            memory_mib: 1,
            cpus: 1,
            share: None,
            ssh_port: None,
            overlay_of: None,
            firmware: None,
            reset_nvram: false,
        };
        vm.start_from_image(&mut config, &image).unwrap();
        Self { root, vm }
    }

    /// Leaves a mark where the guest's data would be, and in the variables.
    fn write_mark(&self, mark: u8) {
        let overlay = File::options().write(true).open(self.vm.directory.overlay()).unwrap();
        overlay.write_all_at(&[mark], 4 << 16).unwrap();
        fs::write(self.vm.directory.firmware_variables(), [mark]).unwrap();
    }

    /// The mark that the disk has, looked for through the snapshots below it.
    fn mark(&self) -> u8 {
        let mut path = self.vm.directory.overlay();
        loop {
            let mut mark = [0u8];
            let file = File::open(&path).unwrap();
            if file.read_exact_at(&mut mark, 4 << 16).is_ok() {
                return mark[0];
            }
            match overlay::backing_snapshot(&path).unwrap() {
                Some(below) => path = self.vm.directory.path().join(below),
                None => return 0,
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.vm.snapshot_names().unwrap()
    }
}

fn name(name: &str) -> VmName {
    name.parse().unwrap()
}

#[test]
fn the_state_of_each_snapshot_comes_back() {
    let case = Case::new();
    for mark in [1, 2, 3] {
        case.write_mark(mark);
        case.vm.snapshot(&name(&format!("s{mark}"))).unwrap();
        assert_eq!(case.mark(), mark, "taking a snapshot changes nothing");
    }
    case.write_mark(9);
    for mark in [2, 1, 3, 2] {
        case.vm.restore(&name(&format!("s{mark}"))).unwrap();
        assert_eq!(case.mark(), mark);
        assert_eq!(fs::read(case.vm.directory.firmware_variables()).unwrap(), [mark]);
        case.write_mark(9);
        assert_eq!(case.mark(), 9);
    }
    let parents: Vec<_> = case.vm.snapshots().unwrap().into_iter().map(|s| s.parent).collect();
    assert_eq!(parents, [None, Some("s1".to_owned()), Some("s2".to_owned())]);
    case.vm.reset().unwrap();
    assert_eq!(case.mark(), 0);
    assert_eq!(case.names(), ["s1", "s2", "s3"]);
}

#[test]
fn a_killed_snapshot_is_finished_before_anything_writes_to_it() {
    let case = Case::new();
    case.write_mark(5);
    case.vm.snapshot(&name("first")).unwrap();
    case.write_mark(6);
    // What the disk looks like when we are killed between the second name and the new overlay.
    let directory = &case.vm.directory;
    fs::hard_link(directory.overlay(), directory.path().join("snapshot-second.qcow2")).unwrap();
    let image = ImageIdentity::of(&case.root.path().join("a.raw")).unwrap();
    let record = Record { format: FORMAT, image, firmware: None };
    files::store(&directory.path().join("snapshot-second.json"), &record).unwrap();

    case.vm.finish_interrupted_snapshot().unwrap();
    case.write_mark(7);
    case.vm.restore(&name("second")).unwrap();
    assert_eq!(case.mark(), 6);
}

#[test]
fn only_what_nothing_builds_on_is_deleted() {
    let case = Case::new();
    case.write_mark(1);
    case.vm.snapshot(&name("a")).unwrap();
    case.write_mark(2);
    case.vm.snapshot(&name("b")).unwrap();
    let refused = |who: &str| {
        let error = case.vm.delete_snapshot(&name(who)).unwrap_err().to_string();
        assert!(error.contains("still needed"), "{error}");
        error
    };
    assert!(refused("a").contains("the snapshot `b`"));
    assert!(refused("b").contains("the machine's disk"));
    case.vm.reset().unwrap();
    case.vm.delete_snapshot(&name("b")).unwrap();
    case.vm.delete_snapshot(&name("a")).unwrap();
    assert!(case.names().is_empty());
    let left: Vec<_> = fs::read_dir(case.vm.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("snapshot"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn names_that_exist_or_do_not_and_changed_images_are_refused() {
    let case = Case::new();
    case.vm.snapshot(&name("a")).unwrap();
    let error = case.vm.snapshot(&name("a")).unwrap_err();
    assert!(matches!(error, LaunchError::State(StateError::SnapshotExists { .. })), "{error}");
    let error = case.vm.restore(&name("b")).unwrap_err();
    assert!(matches!(error, LaunchError::State(StateError::NoSnapshot { .. })), "{error}");

    fs::write(case.root.path().join("a.raw"), [2u8; 4096]).unwrap();
    assert!(case.vm.snapshots().unwrap()[0].image_changed.is_some());
    let error = case.vm.restore(&name("a")).unwrap_err();
    assert!(matches!(error, LaunchError::State(StateError::SnapshotStale { .. })), "{error}");
}
