//! The host's file system is full while an image is written.

#[path = "../../image-steps/tests/illumos_root/mod.rs"]
mod illumos_root;

use illumos_root::{IllumosRoot, noise};
use process_runner::Command;
use std::fs;
use std::time::Duration;

const TEMPLATE: &str = r#"{
    "pool": { "name": "rpool", "bename": "be", "size": "auto", "uefi": true },
    "steps": [
        { "t": "create_be" },
        { "t": "unpack_tar", "name": "base.tar" },
        { "t": "seed_smf" },
        { "t": "make_bootable" }
    ]
}"#;

/// Builds into a file system of 12 MiB, which has the old image; says what is there afterwards.
const SCRIPT: &str = r#"
set -e
mkdir output.small
mount -t tmpfs -o size=12m none output.small
cp images/output/base.tar base.tar && ln -s ../../base.tar output.small/base.tar
echo "the old image" >output.small/g-image.raw
mount --move output.small images/output 2>/dev/null || mount --bind output.small images/output
status=0
"$1" build -d ./images -T templates -E ext -g g -n image || status=$?
echo "status $status"
cat images/output/g-image.raw
ls -A images/output
"#;

#[test]
fn the_old_image_survives_a_full_file_system() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for sub in ["templates/g", "ext", "images/output"] {
        fs::create_dir_all(directory.path().join(sub)).expect("a directory");
    }
    let mut root = IllumosRoot::new(directory.path());
    root.file("/usr/share/large", &noise(20 << 20, 5));
    root.write(&directory.path().join("images/output/base.tar"));
    fs::write(directory.path().join("templates/g/image.json"), TEMPLATE).expect("a template");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_image-builder")])
        .current_dir(directory.path())
        .env("LC_ALL", "C")
        .deadline(Duration::from_secs(300))
        .run_any()
        .expect("unshare runs");
    let (stdout, stderr) = (output.stdout_text(), output.stderr_text().replace("\n  │ ", " "));
    if !output.success() {
        return test_judge::skip(&format!("no file system can be mounted in a namespace here: {stderr}"));
    }
    let expected = "status 1\nthe old image\nbase.tar\ng-image.raw\n";
    assert!(stdout.ends_with(expected), "{stdout}{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert!(stderr.contains("make room: the file system that holds"), "{stderr}");
}
