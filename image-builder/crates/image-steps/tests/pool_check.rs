//! What `check` refuses about pools, where ZFS or the build itself would refuse it later: with its place, and all at once.

mod illumos_root;
mod pool_bench;

use image_steps::{BuildError, load};
use pool_bench::Bench;
use template::Diagnostic;

const BE: &str = r#"{ "t": "create_be" }"#;
const BOOTABLE: &str = r#"{ "t": "make_bootable" }"#;

/// Every error that `check` finds, each with line and column.
fn checked(pool: &str, steps: &[&str]) -> Vec<String> {
    let bench = Bench::empty();
    bench.template("image", pool, steps);
    match load(&bench.request("image"), "g", "image") {
        Ok(_) => Vec::new(),
        Err(BuildError::Template { diagnostics, .. }) => diagnostics.list().iter().map(placed).collect(),
        Err(other) => panic!("{other}"),
    }
}

fn placed(diagnostic: &Diagnostic) -> String {
    let origin = diagnostic.origin().expect("a place");
    format!("{}:{}: {}", origin.line(), origin.column(), diagnostic.message())
}

/// What `check` warns of in a template that can be built.
fn warned(pool: &str, steps: &[&str]) -> Vec<String> {
    let bench = Bench::empty();
    bench.template("image", pool, steps);
    load(&bench.request("image"), "g", "image").expect("nothing wrong").warnings.iter().map(placed).collect()
}

fn dataset(more: &str) -> String {
    format!(r#"{{ "t": "create_dataset", {more} }}"#)
}

#[test]
fn what_zfs_would_refuse_of_the_pools_own_dataset_is_told_at_its_place() {
    for (options, expected) in [
        (
            r#""recordsize=1M""#,
            "60: the property `recordsize=1M` of the dataset `rpool` needs the feature `large_blocks`, which is not enabled",
        ),
        (
            r#""special_small_blocks=256K""#,
            "60: the property `special_small_blocks=256K` of the dataset `rpool` needs the feature `large_blocks`, which is not enabled",
        ),
        (
            r#""quota=1M", "reservation=2M""#,
            "60: the dataset `rpool`: its reservation, 2 MiB, is more than its quota of 1 MiB",
        ),
        (
            r#""refquota=64K", "refreservation=1M""#,
            "60: the dataset `rpool`: its refreservation, 1 MiB, is more than its refquota of 64 KiB",
        ),
        (r#""recsize=4K", "recordsize=8K""#, "74: `fsoptions` has the property `recordsize` twice"),
    ] {
        let said = checked(&format!(r#""size": "auto", "fsoptions": [{options}]"#), &[]);
        assert_eq!(said, [format!("2:{expected}")], "{options}");
    }
    assert_eq!(checked(r#""size": "auto", "no_features": false, "fsoptions": ["recordsize=1M"]"#, &[]), [""; 0]);
    assert_eq!(
        checked(r#""size": 100, "label": false, "fsoptions": ["reservation=2G"]"#, &[]),
        [
            "2:38: the datasets of the pool `rpool` use and reserve 2 GiB together, and a device of 100 MiB has room for \
             40 MiB"
        ]
    );
}

#[test]
fn what_zfs_would_refuse_of_a_dataset_is_told_at_its_step() {
    let long = "x".repeat(250);
    for (more, expected) in [
        (format!(r#""name": "{long}""#), "38: a name that ZFS refuses: "),
        (
            r#""name": "a", "mountpoint": "/x/../y""#.to_owned(),
            "57: the mountpoint of dataset rpool/a is no path: /x/../y",
        ),
        (r#""name": "a/b""#.to_owned(), "5: create_dataset needs one for the parent dataset before it"),
        (r#""name": "ROOT/other/var""#.to_owned(), "38: dataset rpool/ROOT/other/var needs dataset rpool/ROOT/other, "),
        (r#""name": "ROOT/be""#.to_owned(), "38: create_be makes dataset rpool/ROOT/be already"),
        (r#""name": "ROOT""#.to_owned(), "5: create_be has made the dataset ROOT already"),
        (
            r#""name": "a", "properties": ["quota=1M", "reservation=2M"]"#.to_owned(),
            "58: the dataset `rpool/a`: its reservation, 2 MiB, is more than its quota of 1 MiB",
        ),
        (
            r#""name": "a", "properties": ["recsize=4K", "recordsize=8K"]"#.to_owned(),
            "72: the property `recordsize` of the dataset `rpool/a` is set twice",
        ),
        (
            r#""name": "a", "properties": ["compression=lz4"]"#.to_owned(),
            "58: the property `compression=lz4` of the dataset `rpool/a` needs the feature `lz4_compress`",
        ),
        (r#""name": "a", "snapshots": ["s", "s"]"#.to_owned(), "62: `rpool/a@s` stands twice"),
        (format!(r#""name": "a", "snapshots": ["{long}"]"#), "57: snapshot of the dataset `rpool/a`: the name "),
        (
            r#""name": "a", "mountpoint": "/""#.to_owned(),
            "57: datasets rpool/ROOT/be and rpool/a have the same mountpoint, /",
        ),
    ] {
        let said = checked(r#""size": "auto", "bename": "be""#, &[BE, &dataset(&more)][..]);
        assert!(said.len() == 1 && said[0].starts_with(&format!("5:{expected}")), "{more}: {said:?}");
    }
}

#[test]
fn steps_out_of_order_are_told() {
    assert_eq!(checked(r#""size": "auto""#, &[BE, BE]), ["5:5: create_be was done already"]);
    assert_eq!(checked(r#""size": "auto""#, &[BOOTABLE, BE]), ["4:5: make_bootable needs a create_be before it"]);
    let (first, second) =
        (dataset(r#""name": "a", "mountpoint": "/q""#), dataset(r#""name": "b", "mountpoint": "/q/""#));
    assert_eq!(
        checked(r#""size": "auto""#, &[&first, &second]),
        ["5:57: datasets rpool/a and rpool/b have the same mountpoint, /q"]
    );
    assert_eq!(checked(r#""size": "auto""#, &[&first, &first]), ["5:5: create_dataset was done already for this name"]);
}

#[test]
fn everything_is_told_at_once() {
    let said = checked(
        r#""size": "auto", "fsoptions": ["quota=1M", "reservation=2M"]"#,
        &[BE, BE, &dataset(r#""name": "a/b""#), &dataset(r#""name": "c", "properties": ["recordsize=1M"]"#)],
    );
    let places: Vec<&str> = said.iter().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(places, ["5:5", "6:5", "7:58", "2:60"], "{said:?}");
}

/// A dataset over what the boot needs: the image would be written, and not boot.
#[test]
fn a_bootable_image_is_not_divided_where_it_boots_from() {
    for mountpoint in ["/boot", "/etc", "/kernel", "/platform/i86pc"] {
        let boot = dataset(&format!(r#""name": "split", "mountpoint": "{mountpoint}""#));
        let said = checked(r#""size": "auto""#, &[BE, &boot, BOOTABLE]);
        let expected = format!("5:61: dataset rpool/split is mounted at {mountpoint}, and a boot needs ");
        assert!(said.len() == 1 && said[0].starts_with(&expected), "{said:?}");
        assert_eq!(checked(r#""size": "auto""#, &[BE, &boot]), [""; 0], "an image that does not boot may be anything");
    }
    let said = checked(r#""size": "auto", "fsoptions": ["mountpoint=/etc"]"#, &[BE, BOOTABLE]);
    assert!(said.len() == 1 && said[0].starts_with("2:60: dataset rpool is mounted at /etc, and"), "{said:?}");
}

/// ZFS takes it, and so does the image; but the files are not where the template has put them.
#[test]
fn files_that_only_a_zone_would_see_are_warned_of() {
    let (zone, inside) = (
        dataset(r#""name": "zone", "mountpoint": "/zone", "properties": ["zoned=on"]"#),
        dataset(r#""name": "zone/data""#),
    );
    let elsewhere = [
        dataset(r#""name": "zone/none", "mountpoint": "none""#),
        dataset(r#""name": "zone/off", "properties": ["canmount=off"]"#),
        dataset(r#""name": "zone/global", "properties": ["zoned=off"]"#),
        dataset(r#""name": "zones", "mountpoint": "/zones""#),
    ];
    let said =
        warned(r#""size": "auto""#, &[BE, &zone, &inside, &elsewhere[0], &elsewhere[1], &elsewhere[2], &elsewhere[3]]);
    let expected = |name: &str, path: &str| {
        format!("5:84: with `zoned=on` of rpool/zone only a zone mounts dataset {name}, and nobody else sees {path}")
    };
    assert_eq!(said, [expected("rpool/zone/data", "/zone/data"), expected("rpool/zone", "/zone")]);
    let said = warned(r#""size": "auto", "fsoptions": ["zoned=on", "mountpoint=/p"]"#, &[]);
    assert_eq!(said, ["2:60: with `zoned=on` of rpool only a zone mounts dataset rpool, and nobody else sees /p"]);
}

/// The same through a link, which shows only when the files are there; and quotas, which need their sizes.
#[test]
fn what_depends_on_the_files_is_told_by_the_build_with_its_place() {
    let unpack = r#"{ "t": "unpack_tar", "name": "base.tar" }"#;
    let seed = r#"{ "t": "seed_smf" }"#;
    let bench = Bench::new(|root| {
        root.move_behind_link("/kernel", "/export/kernel");
    });
    let export = dataset(r#""name": "export", "mountpoint": "/export""#);
    bench.template("link", r#""size": "auto", "uefi": true"#, &[BE, unpack, &export, seed, BOOTABLE]);
    let failure = bench.failure("link");
    assert!(failure.starts_with("8:5: the boot environment is not all that boots: "), "{failure}");
    assert!(failure.contains("it has no /kernel/amd64/genunix, /kernel/fs/amd64/zfs"), "{failure}");

    let quota = dataset(r#""name": "home", "mountpoint": "/export/home", "properties": ["quota=1K"]"#);
    bench.template("quota", r#""size": "auto""#, &[BE, unpack, &quota]);
    let failure = bench.failure("quota");
    assert!(failure.starts_with("6:91: the dataset `rpool/home`: what it and those below it use"), "{failure}");
    assert!(!bench.output("g-quota.raw").exists());
    let own = r#""size": "auto", "fsoptions": ["quota=64K"]"#;
    bench.template("own", own, &[BE, unpack]);
    assert!(bench.failure("own").starts_with("2:60: the dataset `rpool`: what it"), "{}", bench.failure("own"));
}

#[test]
fn an_automatic_size_has_room_for_what_is_reserved() {
    let bench = Bench::new(|_| {});
    let unpack = r#"{ "t": "unpack_tar", "name": "base.tar" }"#;
    let size = |name: &str, properties: &str| {
        let reserved = dataset(&format!(r#""name": "home", "properties": [{properties}]"#));
        bench.template(name, r#""size": "auto", "free": 0"#, &[BE, unpack, &reserved]);
        std::fs::metadata(bench.image(name)).expect("there").len() >> 20
    };
    let (without, with) = (size("without", ""), size("with", r#""reservation=2G""#));
    assert!(with >= without + 2048 && with < without + 2300, "{without} {with}");
}
