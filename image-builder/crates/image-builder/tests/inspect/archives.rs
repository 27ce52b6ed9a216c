//! Tar archives, which builds make, too.

use crate::scene::Scene;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

/// Builds `out.tar`, or another archive.
fn pack(scene: &Scene, name: &str) {
    let steps = [
        r#"{ "t": "ensure_dir", "dir": "/etc", "owner": "root", "group": "root", "mode": "755" }"#.to_owned(),
        r#"{ "t": "ensure_dir", "dir": "/etc/d", "owner": "root", "group": "sys", "mode": "1755" }"#.to_owned(),
        r#"{ "t": "ensure_file", "file": "/etc/a", "contents": "text\n", "owner": "adm", "group": "sys", "mode": "4755" }"#
            .to_owned(),
        r#"{ "t": "ensure_symlink", "link": "/etc/d/l", "target": "../a", "owner": "root", "group": "root" }"#.to_owned(),
        format!(r#"{{ "t": "pack_tar", "name": "{name}" }}"#),
    ];
    let text = format!(r#"{{ "dataset": {{ "name": "d" }}, "steps": [ {} ] }}"#, steps.join(", "));
    fs::write(scene.path("templates/g/t.json"), text).expect("a template");
    scene.good(&["build", "-d", "./images", "-T", "templates", "-g", "g", "-n", "t"]);
}

/// All of them said that there is no pool.
#[test]
fn archives_are_looked_into() {
    let scene = Scene::new();
    for name in ["out.tar", "out.tar.gz"] {
        pack(&scene, name);
        let archive = format!("images/output/{name}");
        let time = "2025-01-01 00:00:00";
        let root = format!("drwxr-xr-x   1     0     0            0 {time} etc\n");
        assert_eq!(scene.good(&["ls", &archive]), root);
        let below = [
            format!("drwxr-xr-x   1     0     0            0 {time} /etc\n"),
            format!("-rwsr-xr-x   1     4     3            5 {time} /etc/a\n"),
            format!("drwxr-xr-t   1     0     3            0 {time} /etc/d\n"),
            format!("lrwxrwxrwx   1     0     0            4 {time} /etc/d/l -> ../a\n"),
        ]
        .concat();
        assert_eq!(scene.good(&["ls", "-R", &archive, "etc"]), below);
        assert_eq!(scene.good(&["ls", &archive, "/etc/d/l"]).lines().count(), 1);
        assert!(scene.good(&["ls", "--json", &archive, "/etc/a"]).contains(r#""path":"/etc/a","size":5,"uid":4"#));
        assert_eq!(scene.good(&["cat", &archive, "/etc/d/l"]), "text\n");
        let said = scene.good(&["verify", &archive]);
        assert_eq!(
            said,
            format!(
                "good: archive: 5 entries with 5 bytes of content were read\n\
                 good: checksum: SHA-256 is that of {archive}.sha256\n"
            )
        );
    }
}

#[test]
fn what_is_not_in_an_archive_is_told() {
    let scene = Scene::new();
    pack(&scene, "out.tar");
    let archive = "images/output/out.tar";
    for (words, told) in [
        (&["cat", archive, "/etc"][..], "/etc in images/output/out.tar is a directory"),
        (&["cat", archive, "/none"], "/none in archive images/output/out.tar"),
        (&["ls", archive, "/../x"], "contains `..`"),
        (
            &["ls", "images/output/out.tar:rpool", "/"],
            "images/output/out.tar is an archive, which has no dataset rpool",
        ),
    ] {
        let answer = scene.run(words);
        assert_eq!(answer.status, Some(1), "{words:?}");
        assert!(answer.stderr.contains(told), "{words:?}: {}", answer.stderr);
    }
}

/// Everything that gzip had packed was a damaged archive.
#[test]
fn a_packed_disk_is_no_damaged_archive() {
    let scene = Scene::new();
    for disk in [vec![0; 1 << 20], b"no header ".repeat(1000)] {
        fs::write(scene.path("disk.raw"), disk).expect("written");
        let packed = process_runner::Command::new("gzip").arg("-f").arg(scene.path("disk.raw"));
        packed.run().expect("gzip runs");
        let answer = scene.run(&["verify", "disk.raw.gz"]);
        assert_eq!(answer.status, Some(1), "{}", answer.stdout);
        assert!(answer.stderr.contains("gzip file without a tar archive"), "{}", answer.stderr);
    }
}

/// It was told that there is none.
#[test]
fn a_checksum_that_cannot_be_read_is_not_missing() {
    let scene = Scene::new();
    pack(&scene, "out.tar");
    let sum = scene.path("images/output/out.tar.sha256");
    fs::write(&sum, b"\xff\xfe").expect("written");
    let answer = scene.run(&["verify", "images/output/out.tar"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stdout.contains("and not that of images/output/out.tar.sha256"), "{}", answer.stdout);
    fs::remove_file(&sum).expect("removed");
    fs::create_dir(&sum).expect("a directory");
    let answer = scene.run(&["verify", "images/output/out.tar"]);
    assert_eq!(answer.status, Some(1));
    assert!(answer.stderr.contains("cannot read images/output/out.tar.sha256"), "{}", answer.stderr);
}

#[test]
fn damage_of_an_archive_is_found() {
    let scene = Scene::new();
    pack(&scene, "out.tar");
    let path = scene.path("images/output/out.tar");
    let whole = fs::read(&path).expect("the archive");
    let at = whole.windows(5).position(|bytes| bytes == b"text\n").expect("the file");
    let mut changed = whole.clone();
    changed[at] = b'n';
    fs::write(&path, &changed).expect("written");
    let answer = scene.run(&["verify", "images/output/out.tar"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stdout.contains("bad: checksum: SHA-256 is "), "{}", answer.stdout);
    fs::remove_file(scene.path("images/output/out.tar.sha256")).expect("removed");
    let said = scene.good(&["verify", "images/output/out.tar"]);
    assert!(said.contains("not read: whether contents were changed: there is no checksum"), "{said}");
    fs::write(&path, &whole[..at]).expect("written");
    let answer = scene.run(&["verify", "images/output/out.tar"]);
    assert_eq!(answer.status, Some(4));
    assert!(
        answer.stdout.contains("bad: archive: cannot read archive entry ") && answer.stdout.contains("cut off"),
        "{}",
        answer.stdout
    );
}

/// What was unpacked of it stayed behind.
#[test]
#[expect(clippy::disallowed_methods, reason = "the runner waits for the end of a program, and this one is interrupted")]
fn whoever_interrupts_a_look_leaves_nothing() {
    let scene = Scene::new();
    let (temporary, input) = (scene.path("temporary"), scene.path("input"));
    fs::create_dir_all(&temporary).expect("a directory");
    fs::create_dir_all(&input).expect("a directory");
    fs::write(input.join("large"), vec![b'x'; 8 << 20]).expect("a file");
    let archive = scene.path("large.tar");
    let tar = Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&input).arg("large").status();
    assert!(tar.expect("tar").success());
    let mut program = Command::new(env!("CARGO_BIN_EXE_image-builder"));
    program.args(["cat".as_ref(), archive.as_os_str(), "large".as_ref()]).env("TMPDIR", &temporary);
    let mut running = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("image-builder");
    // More than a pipe takes is left, so that it is at work as long as nobody reads on.
    running.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("a byte");
    assert_eq!(fs::read_dir(&temporary).expect("a directory").count(), 1);
    let kill = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", running.id())).status();
    assert!(kill.expect("sh").success());
    assert_eq!(running.wait().expect("its end").code(), Some(128 + 15));
    assert_eq!(fs::read_dir(&temporary).expect("a directory").count(), 0);
}
