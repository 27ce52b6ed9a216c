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

/// As [`converge`], with as many applies as it takes until everything is mounted: while a file system in user space is busy,
/// ZFS moves a mount point, and leaves the dataset unmounted without a word. That the plugin tells so is checked on the way.
fn settle(harness: &mut Harness, text: &str) {
    harness.configure(config(text));
    let mut applies = 0;
    loop {
        let left = harness.converge().unwrap_or_else(|error| panic!("{text}\n{error:?}")).diagnostics;
        applies += 1;
        let only_mounts = left.iter().all(|left| left.message.starts_with("still to do: mount "));
        assert!(only_mounts && applies < 20, "{left:?}");
        if left.is_empty() {
            break;
        }
        sh("sleep 0.2");
    }
    converge(harness, text);
}

pub(crate) fn life() {
    let mut harness = build();
    let first = data(
        "properties = { mountpoint = \"/run/mounted/data\", compression = \"gzip-6\", quota = \"20 MiB\", atime = false, \
        casesensitivity = \"mixed\", \"org.example:tag\" = \"x y\" }\n\
        [[storage.dataset]]\nname = \"tank/data/in\"\nproperties = { mountpoint = \"/run/mounted/in\" }",
    );
    let done = converge(&mut harness, &first);
    assert_eq!(
        done,
        ["create the dataset tank/data at /run/mounted/data", "create the dataset tank/data/in at /run/mounted/in"]
    );
    assert_eq!(property("compression", "tank/data"), "gzip local");
    assert_eq!(property("quota", "tank/data"), "20971520 local");
    assert_eq!(property("casesensitivity", "tank/data").split(' ').next(), Some("mixed"));
    assert_eq!(property("atime", "tank/data/in"), "off inherited from tank/data");
    sh("echo hello > /run/mounted/data/file");

    // It drifts, and loses a property of the configuration's, and moves with what is in it.
    sh("zfs set quota=30M tank/data");
    assert_eq!(converge(&mut harness, &first), ["set quota=20971520 on tank/data"]);
    // A file system in user space is busy for a moment, and half of what ZFS does to move it would be done then.
    sh("again zfs unmount tank/data; again zfs mount tank/data");
    let moved = first.replace("compression = \"gzip-6\", ", "").replace("mounted/data", "mounted/moved");
    settle(&mut harness, &moved);
    assert_eq!(property("compression", "tank/data"), "off default");
    assert_eq!(sh("cat /run/mounted/moved/file").trim(), "hello");
    sh("! grep -q /run/mounted/data /proc/self/mountinfo; again zfs unmount tank/data/in");
    assert_eq!(converge(&mut harness, &moved), ["mount tank/data/in at /run/mounted/in"]);

    // What no dataset has from another one cannot be inherited; and users write what they like into properties of their own.
    sh("zfs set note:x='a
b' tank/data");
    let kept = moved.replace("casesensitivity", "canmount = \"noauto\", casesensitivity");
    settle(&mut harness, &kept);
    assert_eq!(property("canmount", "tank/data"), "noauto local");
    settle(&mut harness, &moved);
    assert_eq!(property("canmount", "tank/data"), "on local");

    // A child is not lost with its parent, and what is named is destroyed.
    let absent = data("absent = true\nallow-destructive = true");
    harness.configure(config(&absent));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("tank/data/in lies in it"), "{error:?}");
    // Nor are snapshots lost of which the plan has not told; those of which it has go with it.
    let both = format!("{absent}{}", absent.replace("tank/data", "tank/data/in"));
    sh("zfs snapshot tank/data@one");
    harness.configure(config(&both));
    let steps = harness.plan().unwrap();
    assert_eq!(steps.len(), 2, "{steps:?}");
    sh("sleep 1; zfs snapshot tank/data@two; again zfs destroy tank/data/in");
    let error = harness.apply(&steps[1]).unwrap_err();
    assert!(error.message.contains("the snapshot tank/data@two was made since this was planned"), "{error:?}");
    assert_eq!(sh("cat /run/mounted/moved/file").trim(), "hello");
    // Who holds one of them keeps them all, between plan and step as well, and ZFS says the same of the one.
    sh("again zfs destroy tank/data@two");
    let steps = harness.plan().unwrap();
    sh("zfs hold keep tank/data@one");
    let error = harness.apply(&steps[0]).unwrap_err();
    assert!(error.message.contains("somebody holds its snapshot tank/data@one"), "{error:?}");
    assert_eq!(harness.plan().unwrap()[0].summary, "leave tank/data alone: somebody holds its snapshot tank/data@one");
    sh("! zfs destroy tank/data@one 2>/run/said; grep -q busy /run/said; zfs release keep tank/data@one");
    sh("sleep 1; zfs snapshot tank/data@two");
    // The origin of a clone cannot go, and the clone is nobody's to destroy.
    sh("zfs clone tank/data@one tank/clone");
    harness.configure(config(&both));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("tank/clone was cloned from tank/data@one"), "{error:?}");
    sh("! zfs destroy tank/data@one 2>/run/said; grep -q 'dependent clones' /run/said");
    sh("again zfs destroy tank/clone");
    let done = converge(&mut harness, &both);
    let whole = "destroy the dataset tank/data, everything in it, and its snapshots tank/data@one, tank/data@two";
    assert_eq!(done, [whole]);
    assert_eq!(sh("zfs list -H -o name").trim(), "tank");
}

pub(crate) fn what_comes_along() {
    let mut harness = build();
    let homes = |point: &str| {
        format!(
            "[[storage.dataset]]\nname = \"tank/home\"\nproperties = {{ canmount = \"off\", mountpoint = \"{point}\" }}\n"
        )
    };
    converge(&mut harness, &homes("/run/mounted/home"));
    sh("zfs create tank/home/alice; echo hello > /run/mounted/home/alice/file
        mkdir -p /run/mounted/new/alice; echo mine > /run/mounted/new/alice/file");
    harness.configure(config(&homes("/run/mounted/new")));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("tank/home/alice would come along to /run/mounted/new/alice"), "{error:?}");
    assert_eq!(sh("cat /run/mounted/home/alice/file /run/mounted/new/alice/file").trim(), "hello\nmine");
    sh("rm /run/mounted/new/alice/file");
    assert_eq!(harness.plan().unwrap()[0].risk, sysconfig_plugin::Risk::Disruptive);
    converge(&mut harness, &homes("/run/mounted/new"));
    // A file system in user space is busy for a moment, and may be left unmounted; it belongs where it comes to all the same.
    sh("grep -q ' /run/mounted/new/alice ' /proc/self/mountinfo || again zfs mount tank/home/alice");
    assert_eq!(sh("cat /run/mounted/new/alice/file").trim(), "hello");
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
