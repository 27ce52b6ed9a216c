//! What happens to pools.

use crate::world::{DISKS, build, config, converge, eventually, plugin, sh, tank};
use sysconfig_plugin::Risk;

const MIRROR: &str = r#"vdevs = [{ mirror = ["@/d0", "@/d1"] }]
    root-properties = { mountpoint = "/run/mounted/tank" }"#;

pub(crate) fn create() {
    build(&["d0", "d1", "d2", "d3", "d4"]);
    let text = tank(
        r#"vdevs = [{ mirror = ["@/d0", "@/d1"] }]
        log = ["@/d2"]
        spares = ["@/d3"]
        properties = { autoexpand = "on", failmode = "continue" }
        root-properties = { mountpoint = "/run/mounted/tank", compression = "on", quota = "50M", "org.example:x" = "1" }"#,
    );
    let (done, _) = converge(&mut plugin(), &text);
    assert_eq!(done.len(), 1, "{done:?}");
    sh("echo kept >/run/mounted/tank/file && zpool status tank | grep -A 9 mirror | grep -A 2 logs");
    assert_eq!(sh("zfs get -Hp -o value quota,org.example:x tank"), "52428800\n1\n");
    // OpenZFS reads the labels, too, and says the same of them.
    if let Some(zdb) = test_judge::zdb() {
        assert!(sh(&format!("{} -l {DISKS}/d0", zdb.display())).contains("name: 'tank'"));
    }
    // Properties change, and other roles are filled, while the pool is in use.
    let text = text.replace("continue", "wait").replace("50M", "60M").replace("[\"@/d3\"]", "[\"@/d3\", \"@/d4\"]");
    let (done, _) = converge(&mut plugin(), &text);
    assert_eq!(done.len(), 3, "{done:?}");
    assert_eq!(sh("cat /run/mounted/tank/file"), "kept\n");
    // ZFS looks into no directory when one of them is missing, and that is one pool's trouble.
    let mut harness = plugin();
    harness.configure(config(&format!("{text}[[storage.pool]]\nname = \"later\"\nvdevs = [\"/run/nowhere/a\"]\n")));
    let steps = harness.plan().unwrap();
    assert!(steps.len() == 1 && steps[0].summary.ends_with("there is no device /run/nowhere/a"), "{steps:?}");
}

pub(crate) fn export_behind_our_back() {
    build(&["d0", "d1"]);
    let text = tank(MIRROR);
    converge(&mut plugin(), &text);
    sh("echo kept >/run/mounted/tank/file && again zpool export tank");
    let (done, _) = converge(&mut plugin(), &text);
    assert!(done[0].starts_with("import the pool tank"), "{done:?}");
    assert_eq!(sh("cat /run/mounted/tank/file"), "kept\n");
    // Under another name, by its guid; and where its devices have other names than before.
    let guid = sh("zpool get guid tank | awk 'NR == 2 { print $3 }'");
    sh(&format!("again zpool export tank && mv {DISKS}/d0 {DISKS}/e0 && mv {DISKS}/d1 {DISKS}/e1"));
    let renamed =
        format!("[[storage.pool]]\nname = \"data\"\nguid = \"{}\"\n{}\n", guid.trim(), MIRROR.replace("/d", "/e"));
    let (done, _) = converge(&mut plugin(), &renamed);
    assert!(done[0].contains("which is called tank until now"), "{done:?}");
    assert_eq!(sh("cat /run/mounted/tank/file"), "kept\n");
}

pub(crate) fn missing_device() {
    build(&["d0", "d1"]);
    let text = tank(MIRROR);
    converge(&mut plugin(), &text);
    sh(&format!("echo kept >/run/mounted/tank/file && again zpool export tank && rm {DISKS}/d1"));
    let (done, warnings) = converge(&mut plugin(), &text);
    assert!(done[0].starts_with("import the pool tank"), "{done:?}");
    assert!(warnings.iter().any(|line| line.contains("DEGRADED")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.ends_with("/d1 is missing")), "{warnings:?}");
    // Something foreign in its place is not taken for it, and a blank device is.
    sh(&format!("truncate -s 100M {DISKS}/d1 && mke2fs -q {DISKS}/d1 && cp {DISKS}/d1 {DISKS}/before"));
    let mut harness = plugin();
    harness.configure(config(&text));
    let steps = harness.plan().unwrap();
    assert!(steps.len() == 1 && steps[0].summary.contains("holds an ext2"), "{steps:?}");
    harness.apply(&steps[0]).unwrap_err();
    sh(&format!("cmp {DISKS}/d1 {DISKS}/before && rm {DISKS}/d1 && truncate -s 100M {DISKS}/d1"));
    let (done, _) = converge(&mut plugin(), &text);
    assert!(done.len() == 1 && done[0].starts_with("replace "), "{done:?}");
    eventually("a whole mirror", || sh("zpool status tank").contains("state: ONLINE").then_some(()));
    assert_eq!(sh("cat /run/mounted/tank/file"), "kept\n");
}

pub(crate) fn full_pool() {
    build(&["d0", "d1"]);
    sh(&format!("rm {DISKS}/d0 && truncate -s 64M {DISKS}/d0"));
    let text = tank("vdevs = [\"@/d0\"]\nroot-properties = { mountpoint = \"/run/mounted/tank\" }");
    converge(&mut plugin(), &text);
    sh("dd if=/dev/urandom of=/run/mounted/tank/big bs=1M 2>/run/dd.log || true; grep -q 'No space left' /run/dd.log");
    let (done, _) = converge(&mut plugin(), &text);
    assert!(done.is_empty(), "a full pool is as configured: {done:?}");
    let larger = text
        .replace("\"@/d0\"", "\"@/d0\", \"@/d1\"")
        .replace("root-properties = {", "root-properties = { atime = \"off\",");
    let (done, _) = converge(&mut plugin(), &larger);
    assert_eq!(done.len(), 2, "{done:?}");
    sh("dd if=/dev/zero of=/run/mounted/tank/more bs=1M count=20 2>&1");
}

pub(crate) fn foreign_pool() {
    build(&["d0", "d1"]);
    for leave in ["export", "destroy"] {
        sh(&format!(
            "rm -f {DISKS}/d0 && truncate -s 100M {DISKS}/d0
            zpool create -m /run/mounted/old old {DISKS}/d0 && again zpool {leave} old && cp {DISKS}/d0 {DISKS}/before"
        ));
        let mut harness = plugin();
        harness.configure(config(&tank(MIRROR)));
        let steps = harness.plan().unwrap();
        let word = if leave == "export" { "exported" } else { "destroyed" };
        assert!(
            steps.len() == 1 && steps[0].summary.contains(&format!("holds a member of the {word} pool old")),
            "{steps:?}"
        );
        harness.apply(&steps[0]).unwrap_err();
        sh(&format!("cmp {DISKS}/d0 {DISKS}/before"));
        // With both permissions it is taken.
        harness.configure(config(&tank(&format!("{MIRROR}\nallow-destructive = [\"@/d0\"]"))));
        let steps = harness.plan().unwrap();
        assert_eq!((steps.len(), steps[0].risk), (1, Risk::Destructive), "{steps:?}");
        harness.apply(&steps[0]).unwrap_or_else(|error| panic!("{error:?}"));
        assert!(harness.plan().unwrap().is_empty());
        sh(&format!("again zpool destroy tank && rm {DISKS}/d1 && truncate -s 100M {DISKS}/d1"));
    }
    // A pool that is imported is nobody else's, whatever is permitted.
    sh(&format!("rm -f {DISKS}/d0 && truncate -s 100M {DISKS}/d0 && zpool create -m /run/mounted/old old {DISKS}/d0"));
    let mut harness = plugin();
    harness.configure(config(&tank(&format!("{MIRROR}\nallow-destructive = [\"@/d0\"]"))));
    let steps = harness.plan().unwrap();
    assert!(steps[0].summary.contains("is part of the imported pool old"), "{steps:?}");
}

pub(crate) fn extend() {
    build(&["d0", "d1", "d2", "d3"]);
    sh(&format!("truncate -s 200M {DISKS}/e0"));
    let mountpoint = "root-properties = { mountpoint = \"/run/mounted/tank\" }";
    let text = |vdevs: &str| tank(&format!("vdevs = [{vdevs}]\n{mountpoint}"));
    converge(&mut plugin(), &text("\"@/d0\""));
    sh("echo kept >/run/mounted/tank/file");
    let (done, _) = converge(&mut plugin(), &text(r#"{ mirror = ["@/d0", "@/d1"] }"#));
    assert!(done.len() == 1 && done[0].starts_with("attach"), "{done:?}");
    let (done, _) = converge(&mut plugin(), &text(r#"{ mirror = ["@/d0", "@/d1"] }, { mirror = ["@/d2", "@/d3"] }"#));
    assert!(done.len() == 1 && done[0].starts_with("add a mirror of"), "{done:?}");
    let replaced = text(r#"{ mirror = ["@/e0", "@/d1"] }, { mirror = ["@/d2", "@/d3"] }"#);
    let (done, _) = converge(&mut plugin(), &replaced);
    assert!(done.len() == 1 && done[0].starts_with("replace"), "{done:?}");
    assert_eq!(sh("cat /run/mounted/tank/file"), "kept\n");
    // Its kind stays, and it is said.
    let mut harness = plugin();
    harness.configure(config(&text(r#"{ raidz1 = ["@/e0", "@/d1"] }, { raidz1 = ["@/d2", "@/d3"] }"#)));
    let steps = harness.plan().unwrap();
    assert!(steps.iter().all(|step| step.action == "refuse") && steps.len() == 2, "{steps:?}");
}

/// What `zpool detach` leaves on a device is a label of the pool and all that was copied.
pub(crate) fn taken_back() {
    build(&["d0", "d1"]);
    let single = tank("vdevs = [\"@/d0\"]\nroot-properties = { mountpoint = \"/run/mounted/tank\" }");
    converge(&mut plugin(), &single);
    sh("dd if=/dev/urandom of=/run/mounted/tank/file bs=1M count=8 2>&1");
    let mut harness = plugin();
    harness.configure(config(&tank(MIRROR)));
    let steps = harness.plan().unwrap();
    assert!(steps.len() == 1 && steps[0].action == "attach", "{steps:?}");
    harness.apply(&steps[0]).unwrap();
    eventually("a whole mirror", || sh("zpool status tank").contains("resilvered").then_some(()));
    harness.undo(&steps[0]).unwrap();
    assert!(!sh("zpool status tank").contains("mirror"));
    // Whoever has written there since has something to lose.
    sh(&format!("cp {DISKS}/d1 {DISKS}/before && echo theirs | dd of={DISKS}/d1 bs=1 seek=600 conv=notrunc 2>&1"));
    let refused = harness.plan().unwrap();
    assert!(refused[0].summary.contains("/d1 holds "), "{refused:?}");
    sh(&format!("cp {DISKS}/before {DISKS}/d1"));
    let (done, _) = converge(&mut plugin(), &tank(MIRROR));
    assert!(done.len() == 1 && done[0].starts_with("attach"), "{done:?}");
}
