//! Workspaces that are datasets, by what `zfs` is asked and answers: a script plays it, which keeps datasets and their
//! properties, and refuses in the words of illumos, OpenZFS and zfs-fuse. `tests/zfs-workspace` has a real one.

use process_runner::{Command, Output};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

const ZFS: &str = include_str!("zfs");
const TEMPLATE: &str = r#"{ "iso": { "volume_id": "Disc" }, "steps": [
    { "t": "ensure_file", "file": "/a", "contents": "a", "owner": "root", "group": "root", "mode": "644" } ] }"#;

struct Host(TempDir);

impl Host {
    /// A host with the dataset `rpool/images`, and a template.
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for directory in ["bin", "templates/g", "datasets", "mounted/rpool/images"] {
            fs::create_dir_all(host.path(directory)).unwrap();
        }
        fs::write(host.path("bin/zfs"), ZFS).unwrap();
        fs::set_permissions(host.path("bin/zfs"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(host.path("templates/g/disc.json"), TEMPLATE).unwrap();
        for (file, text) in [("known", "sync\n"), ("refusal", ""), ("calls", ""), ("datasets/rpool+images", "")] {
            fs::write(host.path(file), text).unwrap();
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Has `zfs` say something instead of doing what it is asked.
    fn refuse(&self, what: &str, words: &str) {
        let text: String = words.lines().map(|line| format!("{what}:{line}\n")).collect();
        fs::write(self.path("refusal"), text).unwrap();
    }

    fn run(&self, verb: &str, location: &str) -> Output {
        let mut path = self.path("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        Command::new(env!("CARGO_BIN_EXE_image-builder"))
            .args([verb, "-d", location, "-g", "g", "-n", "disc"])
            .current_dir(self.0.path())
            .env("PATH", path)
            .env("FAKE_ZFS", self.0.path())
            .env("NO_COLOR", "1")
            .env("LOGNAME", "alice")
            .run_any()
            .unwrap()
    }

    /// Exit status and what was said, of a build that does not come about.
    fn refused(&self) -> (Option<i32>, String) {
        let output = self.run("build", "rpool/images");
        assert!(!output.success(), "{}", output.stdout_text());
        let place = self.0.path().display().to_string();
        (output.code, output.stderr_text().replace(&place, "HOST"))
    }

    /// The properties of a dataset; none when it is not there.
    fn properties(&self, dataset: &str) -> Option<String> {
        fs::read_to_string(self.path("datasets").join(dataset.replace('/', "+"))).ok()
    }
}

#[test]
fn scratch_does_not_wait_for_the_disk_and_outputs_do() {
    let host = Host::new();
    assert!(host.run("plan", "rpool/images").success());
    assert_eq!(host.properties("rpool/images/work"), None, "a plan makes nothing");
    let built = host.run("build", "rpool/images");
    assert!(built.success(), "{}", built.stderr_text());
    assert_eq!(host.properties("rpool/images/work").as_deref(), Some("sync=disabled\n"));
    assert_eq!(host.properties("rpool/images/output").as_deref(), Some(""));
    assert!(host.run("build", "./images").success());
    let [dataset, directory] = ["mounted/rpool/images", "images"].map(|root| host.path(root).join("output/g-disc.iso"));
    assert!(fs::read(dataset).unwrap() == fs::read(directory).unwrap());
    // What is there is taken as it is.
    fs::write(host.path("calls"), "").unwrap();
    assert!(host.run("build", "rpool/images").stdout_text().contains("unchanged"));
    assert!(!fs::read_to_string(host.path("calls")).unwrap().contains("create"));
}

/// Every refusal of `sync=disabled` led to a dataset without it.
#[test]
fn only_a_zfs_without_the_property_does_without_it() {
    let host = Host::new();
    fs::write(host.path("known"), "").unwrap();
    assert!(host.run("build", "rpool/images").success());
    assert_eq!(host.properties("rpool/images/work").as_deref(), Some(""));

    let host = Host::new();
    host.refuse("create rpool/images/work", "cannot create 'rpool/images/work': out of space");
    insta::assert_snapshot!("out_of_space", told(&host.refused()));
    assert_eq!(host.properties("rpool/images/work"), None);
}

/// A dataset that could not be looked at was taken for one that is not there.
#[test]
fn only_what_is_not_there_is_made() {
    let host = Host::new();
    assert!(host.run("build", "rpool/images").success());
    host.refuse("get rpool/images/output", "cannot open 'rpool/images/output': I/O error");
    insta::assert_snapshot!("io_error", told(&host.refused()));
    let planned = host.run("plan", "rpool/images");
    assert!(!planned.success() && planned.stderr_text().contains("I/O error"), "{}", planned.stdout_text());
    // One that is there, and not mounted, is not made anew.
    host.refuse("none", "");
    fs::remove_dir_all(host.path("mounted/rpool/images/output")).unwrap();
    let (code, said) = host.refused();
    assert!(code == Some(1) && said.contains("zfs mount rpool/images/output"), "{said}");
    // Somebody else may be faster.
    let host = Host::new();
    host.refuse("create rpool/images/output", "cannot create 'rpool/images/output': dataset already exists");
    fs::create_dir_all(host.path("mounted/rpool/images/output")).unwrap();
    let (_, said) = host.refused();
    assert!(said.contains("look up dataset rpool/images/output"), "{said}");
}

#[test]
fn a_user_who_may_not_is_told_how_to_go_on() {
    for (name, what, words) in [
        ("may_not_create", "create rpool/images/output", "cannot create 'rpool/images/output': permission denied"),
        (
            "may_not_look",
            "get rpool/images",
            "connect: Permission denied\ninternal error: failed to initialize ZFS library",
        ),
        (
            "may_not_mount",
            "create rpool/images/work",
            "filesystem successfully created, but it may only be mounted by root",
        ),
    ] {
        let host = Host::new();
        host.refuse(what, words);
        let refused = host.refused();
        assert_eq!(refused.0, Some(78), "{}", refused.1);
        insta::assert_snapshot!(name, told(&refused));
    }
}

#[test]
fn a_dataset_that_is_not_there_is_told_with_both_ways_to_go_on() {
    let host = Host::new();
    let output = host.run("build", "tank/images");
    let said = output.stderr_text();
    assert_eq!(output.code, Some(1));
    assert!(said.contains("zfs create tank/images, or use a directory: -d ./tank/images"), "{said}");
}

fn told((code, said): &(Option<i32>, String)) -> String {
    let said: Vec<&str> = said.lines().map(str::trim_end).collect();
    format!("exit status {}\n{}", code.unwrap_or(-1), said.join("\n"))
}
