//! What a process that is about to exit leaves in its workspace. Alone here: it starts no program afterwards.

use image_steps::{Location, Workspace, WorkspaceLock, abandon};
use std::fs;
use std::time::Duration;

/// A build may be putting a set in place just then, on another thread: doing the same beside it lost files of the new set.
#[test]
fn a_complete_set_is_left_to_the_next_run_and_only_the_unfinished_is_removed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let workspace = Workspace::open(&Location::Directory(directory.path().to_owned())).expect("a workspace");
    let locked = WorkspaceLock::acquire(&workspace).expect("it is free");
    let path = |name: &str| workspace.output().join(name);
    let text = |name: &str| fs::read_to_string(path(name)).ok();
    for directory in [".complete-a1B2c3", ".writing-a1B2c3"] {
        fs::create_dir(path(directory)).expect("a directory");
    }
    let new = [".complete-a1B2c3/g-n.qcow2", ".writing-a1B2c3/g-m.raw", "g-m.raw.tmp", "g-n.partonly", "g-n.raw"];
    for name in new {
        fs::write(path(name), "new").expect("a file");
    }
    fs::write(path("g-n.qcow2"), "old").expect("a file");
    abandon(Duration::ZERO);
    assert_eq!(new.map(|name| text(name).is_some()), [true, false, false, true, true]);
    assert_eq!(text("g-n.qcow2").as_deref(), Some("old"));

    drop(locked);
    drop(WorkspaceLock::acquire(&workspace).expect("it is free again"));
    assert_eq!(["g-n.raw", "g-n.partonly", "g-n.qcow2"].map(text), [(); 3].map(|()| Some("new".to_owned())));
    assert!(!path(".complete-a1B2c3").exists());
}
