//! Datasets of a real ZFS.

use crate::world::{config, converge};
use plugin_testing::zfs_fuse::{self, DISKS, sh};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_filesystem::FilesystemPlugin;

/// A pool `tank` that mounts nothing by itself.
fn build() -> Harness {
    zfs_fuse::build(&["d0"]);
    sh(&format!(
        "mkdir -p /var/lib/sysconfig && mount -t tmpfs none /var/lib/sysconfig
        zpool create -O mountpoint=none tank {DISKS}/d0"
    ));
    Harness::start(FilesystemPlugin::new(zfs_fuse::host()))
}

fn property(name: &str, dataset: &str) -> String {
    sh(&format!("zfs get -Hp -o value,source {name} {dataset}")).trim().replace('\t', " ")
}

fn data(rest: &str) -> String {
    format!("[[storage.dataset]]\nname = \"tank/data\"\n{rest}\n")
}

pub(crate) fn life() {
    let mut harness = build();
    let first = data(
        "properties = { mountpoint = \"/run/mounted/data\", compression = \"gzip-2\", quota = \"20 MiB\", atime = false, \
        casesensitivity = \"mixed\", \"org.example:tag\" = \"x y\" }\n\
        [[storage.dataset]]\nname = \"tank/data/in\"\nproperties = { mountpoint = \"/run/mounted/in\" }",
    );
    let done = converge(&mut harness, &first);
    assert_eq!(
        done,
        ["create the dataset tank/data at /run/mounted/data", "create the dataset tank/data/in at /run/mounted/in"]
    );
    assert_eq!(property("compression", "tank/data"), "gzip-2 local");
    assert_eq!(property("quota", "tank/data"), "20971520 local");
    assert_eq!(property("casesensitivity", "tank/data").split(' ').next(), Some("mixed"));
    assert_eq!(property("atime", "tank/data/in"), "off inherited from tank/data");
    sh("echo hello > /run/mounted/data/file");

    // It drifts, and loses a property of the configuration's, and moves with what is in it.
    sh("zfs set quota=30M tank/data");
    assert_eq!(converge(&mut harness, &first), ["set quota=20971520 on tank/data"]);
    // A file system in user space is busy for a moment, and half of what ZFS does to move it would be done then.
    sh("again zfs unmount tank/data; again zfs mount tank/data");
    let moved = first.replace("compression = \"gzip-2\", ", "").replace("mounted/data", "mounted/moved");
    converge(&mut harness, &moved);
    assert_eq!(property("compression", "tank/data"), "off default");
    assert_eq!(sh("cat /run/mounted/moved/file").trim(), "hello");
    sh("! grep -q /run/mounted/data /proc/self/mountinfo; again zfs unmount tank/data/in");
    assert_eq!(converge(&mut harness, &moved), ["mount tank/data/in at /run/mounted/in"]);

    // A child is not lost with its parent, and what is named is destroyed.
    let absent = data("absent = true\nallow-destructive = true");
    harness.configure(config(&absent));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("tank/data/in lies in it"), "{error:?}");
    let both = format!("{absent}{}", absent.replace("tank/data", "tank/data/in"));
    let done = converge(&mut harness, &both);
    assert_eq!(done.len(), 2, "{done:?}");
    assert_eq!(sh("zfs list -H -o name").trim(), "tank");
}

pub(crate) fn what_is_not_ours() {
    let mut harness = build();
    sh(
        "zfs create -o mountpoint=/run/mounted/theirs -o compression=gzip tank/theirs; echo hello > /run/mounted/theirs/file",
    );
    let theirs = |rest: &str| data(rest).replace("tank/data", "tank/theirs");
    let wanted = "properties = { compression = \"gzip\", mountpoint = \"/run/mounted/theirs\" }";
    assert_eq!(converge(&mut harness, &theirs(wanted)), [""; 0], "it is as wanted, by whomever");
    let other = theirs("properties = { compression = \"off\" }");
    for refused in [&other, &theirs("absent = true\nallow-destructive = true")] {
        harness.configure(config(refused));
        let error = harness.converge().unwrap_err();
        assert!(error.message.contains("not ours"), "{error:?}");
    }
    assert_eq!(property("compression", "tank/theirs"), "gzip local");
    assert_eq!(sh("cat /run/mounted/theirs/file").trim(), "hello");
    assert_eq!(converge(&mut harness, &format!("{other}adopt = true\n")), ["set compression=off on tank/theirs"]);
    // A place that is taken stays whose it is.
    sh("mkdir -p /run/mounted/full; echo mine > /run/mounted/full/file");
    harness.configure(config(&data("properties = { mountpoint = \"/run/mounted/full\" }")));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("the directory /run/mounted/full is not empty"), "{error:?}");
    assert_eq!(sh("cat /run/mounted/full/file; zfs list -H -o name").trim(), "mine\ntank\ntank/theirs");
}
