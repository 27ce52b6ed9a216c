//! `diff`: two images, path by path.

use crate::scene::{DISK, Scene};

#[test]
fn differences_are_told_path_by_path() {
    let scene = Scene::new();
    scene.build("before", DISK, &[]);
    let owner = r#""owner": "root", "group": "sys""#;
    scene.build(
        "after",
        DISK,
        &[
            &format!(r#"{{ "t": "ensure_file", "file": "/etc/added", "contents": "x", {owner}, "mode": "644" }}"#),
            &format!(r#"{{ "t": "ensure_file", "file": "/etc/passwd", "contents": "y", {owner}, "mode": "600" }}"#),
            r#"{ "t": "ensure_perms", "path": "/var/adm/controlled", "owner": "daemon", "group": "adm", "mode": "600" }"#,
            r#"{ "t": "remove_files", "dir": "/usr/share/man/man3" }"#,
            r#"{ "t": "create_dataset", "name": "more", "mountpoint": "none" }"#,
        ],
    );
    assert_eq!(scene.good(&["diff", "before", "before"]), "");
    let answer = scene.run(&["diff", "before", "after"]);
    assert_eq!(answer.status, Some(4), "{}", answer.stderr);
    let lines: Vec<&str> = answer.stdout.lines().collect();
    for expected in [
        "+ rpool/more",
        "+ rpool/ROOT/be /etc/added",
        "~ rpool/ROOT/be /etc/passwd: mode -rw-r--r-- → -rw-------, time ",
        "~ rpool/ROOT/be /var/adm/controlled: access control list",
        "- rpool/ROOT/be /usr/share/man/man3: a directory with all that is in it",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected} is not in:\n{}", answer.stdout);
    }
    assert!(!answer.stdout.contains("partition"), "{}", answer.stdout);
    assert!(answer.stderr.contains("the images differ in "), "{}", answer.stderr);
    assert_eq!(scene.good(&["diff", "before:rpool/home", "after:rpool/home"]), "");
}
