//! `ls` and `cat`: what is in an image.

use crate::illumos_root;
use crate::scene::{DISK, MIB, POOL_OFFSET, Scene};
use process_runner::Command;
use serde_json::Value;
use std::fs;

#[test]
fn listings_show_what_is_in_an_image() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    let overview = scene.good(&["ls", "disk"]);
    let lines: Vec<&str> = overview.lines().collect();
    for (line, expected) in lines.iter().zip([
        "partition 1 `loader`",
        "partition 2 `zfs`",
        "partition 9 ",
        "pool rpool, guid ",
        "  version: 5000",
        "  label: ashift=",
        "  properties: ",
        "  rpool ",
        "  rpool/ROOT ",
        "* rpool/ROOT/be ",
        "  rpool/home ",
    ]) {
        assert!(line.starts_with(expected), "{line} is not {expected}");
    }
    assert!(lines[0].ends_with("EFI system partition") && lines[1].ends_with("ZFS pool"), "{overview}");
    assert!(lines[9].contains("canmount=noauto mountpoint=/ org.opensolaris.libbe:policy=static"), "{overview}");
    assert!(lines[10].contains("mountpoint=/export/home"), "{overview}");

    let root = scene.good(&["ls", "disk", "/"]);
    assert!(root.lines().any(|line| line.starts_with("lrwxrwxrwx") && line.ends_with(" bin -> ./usr/bin")), "{root}");
    let programs = scene.good(&["ls", "disk", "/bin/"]);
    assert!(programs.contains("-r-sr-xr-x   1     0     2         9000 1970-01-01 00:00:00 su\n"), "{programs}");
    assert_eq!(scene.good(&["ls", "disk", "/bin"]).lines().count(), 1, "a link is listed itself");
    assert_eq!(scene.good(&["ls", "disk:rpool/home", "-R"]).lines().count(), 3);
    let controlled = scene.good(&["ls", "disk", "/var/adm/controlled"]);
    assert!(controlled.starts_with("-rw-------+  1     1     4"), "{controlled}");
    let value: Value =
        serde_json::from_str(&scene.good(&["ls", "--json", "disk", "/var/adm/controlled"])).expect("JSON");
    let list = "user:80:r-----a-R-c--s:-------:allow:80,owner@:rw-p--aARWcCos:-------:allow";
    assert_eq!(value["files"][0]["acl"].as_str(), Some(list));
    let everything = scene.good(&["ls", "-R", "disk", "/usr/share/man"]);
    assert_eq!(everything.lines().count(), 400 + 8 + 1);
    let one = scene.good(&["ls", "disk", "etc/shadow"]);
    assert!(one.trim_end().ends_with(" /etc/shadow") && one.starts_with("-rw-r--r--"), "{one}");

    let value: Value = serde_json::from_str(&scene.good(&["ls", "--json", "disk"])).expect("JSON");
    assert_eq!(
        (value["bytes"].as_u64(), value["partitions"][1]["offset"].as_u64()),
        (Some(500 * MIB), Some(POOL_OFFSET))
    );
    assert_eq!(value["pool"]["datasets"][2]["boots"], Value::Bool(true));
    let value: Value = serde_json::from_str(&scene.good(&["ls", "--json", "disk", "/usr/bin"])).expect("JSON");
    let su = value["files"].as_array().expect("a list").iter().find(|file| file["path"] == "su").expect("su");
    assert_eq!((su["mode"].as_str(), su["gid"].as_u64()), (Some("104555"), Some(2)));
}

#[test]
fn contents_come_out_as_they_went_in() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    let bytes = |path: &str| {
        let command = Command::new(env!("CARGO_BIN_EXE_image-builder")).args(["cat", "disk", path]);
        command.current_dir(scene.directory.path()).run().expect("it is written").stdout
    };
    for size in [1, 513, 131_073, 3_000_000] {
        assert!(bytes(&format!("/usr/share/sizes/noise-{size}")) == illumos_root::noise(size, size as u64), "{size}");
    }
    let sparse = bytes("/var/adm/lastlog");
    assert_eq!(sparse.len(), 5 << 20);
    assert!(sparse[1 << 20..(1 << 20) + 10_000] == illumos_root::noise(10_000, 77));
    assert_eq!(scene.good(&["cat", "disk:rpool/home", "/somebody/notes"]), "mine\n");
    assert_eq!(scene.good(&["cat", "disk:rpool", "boot/menu.lst"]), "title be\nbootfs rpool/ROOT/be\n");
}

#[test]
fn what_is_not_there_is_told_by_name() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    fs::write(scene.path("text"), "no image at all\n").expect("written");
    for (arguments, status, expected) in [
        (vec!["cat", "disk", "/no/such"], 1, "/no/such of rpool/ROOT/be in disk"),
        (vec!["cat", "disk", "/usr"], 1, "/usr of rpool/ROOT/be in disk is a directory"),
        (vec!["cat", "disk", "/var/run/pipe"], 1, "is no regular file"),
        (vec!["ls", "disk:rpool/none"], 1, "rpool/none in disk"),
        (vec!["ls", "missing"], 1, "cannot open missing"),
        (vec!["verify", "missing"], 1, "cannot open missing"),
        (vec!["ls", "text"], 1, "the pool in text"),
        (vec!["verify", "text"], 1, "the pool in text"),
        (vec!["cat", "disk"], 2, "PATH"),
    ] {
        let answer = scene.run(&arguments);
        assert_eq!(answer.status, Some(status), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{expected} is not in:\n{}", answer.stderr);
    }
}

/// `image-builder ls … | head` is no failure.
#[test]
fn a_reader_that_has_enough_ends_the_run_quietly() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    let program = env!("CARGO_BIN_EXE_image-builder");
    let script = format!(
        "'{program}' cat disk /usr/share/sizes/noise-3000000 | head -c 1 >/dev/null; '{program}' ls disk >/dev/null"
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(scene.directory.path()).run().expect("it runs");
    assert_eq!(output.stderr_text(), "");
}
