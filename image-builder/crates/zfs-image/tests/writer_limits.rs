//! Quotas and reservations: what ZFS would not let anybody set is not written either.

mod fixture;

use fixture::{Fixture, Memory, noise, path_of};
use image_tree::{Metadata, Tree};
use zfs_image::reader::{Pool, VerifyOptions};
use zfs_image::writer::{
    DatasetSpec, PoolSpec, SpecError, WriteError, WriteOptions, available_bytes, minimum_bytes, write_pool,
};

const MIB: u64 = 1 << 20;

/// A dataset's name and properties.
type Described<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// A pool of these datasets; the one named `rpool/full` has 400 KiB that do not compress.
fn pool_of(fixture: &Fixture, datasets: &[Described<'_>]) -> PoolSpec {
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    tree.insert(&path_of("/noise"), fixture.file(&noise(400 << 10), 0o644)).expect("inserted");
    let dataset = |(name, properties): &Described<'_>| DatasetSpec {
        name: (*name).to_owned(),
        properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        tree: (*name == "rpool/full").then(|| tree.clone()),
        snapshots: Vec::new(),
    };
    PoolSpec { bootfs: None, datasets: datasets.iter().map(dataset).collect(), ..fixture.spec() }
}

fn written(fixture: &Fixture, spec: &PoolSpec, bytes: u64) -> Result<Vec<u8>, String> {
    let device = Memory::new(bytes);
    match write_pool(spec, &fixture.store, &device, bytes, &WriteOptions::default()) {
        Ok(_) => Ok(device.into_bytes()),
        Err(WriteError::Spec(error)) => Err(error.to_string()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused_without_any_content() {
    let fixture = Fixture::new();
    let cases: [(&[Described<'_>], &str); 6] = [
        (&[("rpool/a", &[("quota", "1M"), ("reservation", "2M")])], "rpool/a: its reservation, 2 MiB, quota of 1 MiB"),
        (
            &[("rpool/a", &[("refquota", "64K"), ("refreserv", "1M")])],
            "rpool/a: its refreservation, 1 MiB, refquota of 64 KiB",
        ),
        (
            &[("rpool/a", &[("quota", "1M"), ("refreservation", "1025K")])],
            "rpool/a: what it and those below it use and reserve, 1025 KiB, quota of 1 MiB",
        ),
        (
            &[
                ("rpool/a", &[("quota", "3M")]),
                ("rpool/a/b", &[("reservation", "1M"), ("refreservation", "2M")]),
                ("rpool/a/c", &[("reservation", "2M")]),
            ],
            "rpool/a: what it and those below it use and reserve, 4 MiB, quota of 3 MiB",
        ),
        (&[("rpool", &[("quota", "1M")]), ("rpool/a", &[("reservation", "2M")])], "rpool: what it"),
        // All of them at once, each with its dataset.
        (
            &[
                ("rpool/a", &[("quota", "1"), ("reservation", "2")]),
                ("rpool/b", &[("refquota", "1"), ("refreserv", "2")]),
            ],
            "rpool/b: its refreservation, 2 bytes, refquota of 1 bytes",
        ),
    ];
    for (datasets, expected) in cases {
        let problems = pool_of(&fixture, datasets).problems();
        let said: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {problem}", problem.dataset().expect("a dataset")))
            .map(|text| text.replace("the dataset `", "").replace("`", "").replace("is more than its ", ""))
            .collect();
        let wanted = expected.split_once(": ").map(|(dataset, rest)| format!("{dataset}: {dataset}: {rest}"));
        let wanted = wanted.expect("a dataset and a reason");
        assert!(said.iter().any(|text| text.starts_with(&wanted)), "{wanted} is not in {said:?}");
    }
}

#[test]
fn limits_that_fit_are_written_and_accounted_for() {
    let fixture = Fixture::new();
    let spec = pool_of(
        &fixture,
        &[
            ("rpool/a", &[("quota", "4M"), ("reservation", "3M")]),
            ("rpool/a/b", &[("reservation", "1M"), ("refquota", "2M"), ("refreservation", "2M")]),
            ("rpool/full", &[("quota", "1M"), ("refquota", "1M"), ("reservation", "100K")]),
        ],
    );
    assert_eq!(spec.problems(), []);
    assert_eq!(spec.reserved_bytes().expect("a sum"), 3 * MIB + (100 << 10));
    let image = written(&fixture, &spec, 64 * MIB).expect("written");
    let pool = Pool::open(&image[..], image.len() as u64).expect("a pool");
    assert_eq!(pool.verify(&VerifyOptions::default()).problems, []);
}

#[test]
fn a_quota_is_compared_with_what_is_there() {
    let fixture = Fixture::new();
    for (property, expected) in [
        ("quota", "the dataset `rpool/full`: what it and those below it use and reserve, "),
        ("refquota", "the dataset `rpool/full`: its content, "),
    ] {
        let spec = pool_of(&fixture, &[("rpool/full", &[(property, "64K")])]);
        assert_eq!(spec.problems(), [], "nobody knows yet");
        let said = written(&fixture, &spec, 64 * MIB).expect_err("refused");
        assert!(
            said.starts_with(expected) && said.ends_with(&format!("is more than its {property} of 64 KiB")),
            "{said}"
        );
    }
    // A quota of a dataset above holds for all below.
    let spec = pool_of(&fixture, &[("rpool", &[("quota", "256K")]), ("rpool/full", &[])]);
    let said = written(&fixture, &spec, 64 * MIB).expect_err("refused");
    assert!(said.starts_with("the dataset `rpool`: what it and"), "{said}");
}

#[test]
fn reservations_need_room_and_count_for_the_size() {
    let fixture = Fixture::new();
    let reserving = |reserved: &str| pool_of(&fixture, &[("rpool", &[]), ("rpool/a", &[("reservation", reserved)])]);
    assert_eq!(available_bytes(64 * MIB, 9), 24 * MIB, "half of three metaslabs");
    assert_eq!(available_bytes(16 << 40, 9) >> 30, 15_856, "a 32nd part less, of whole metaslabs");
    assert!(written(&fixture, &reserving("16M"), 64 * MIB).is_ok());
    let said = written(&fixture, &reserving("2G"), 64 * MIB).expect_err("refused");
    assert_eq!(
        said,
        "the datasets of the pool `rpool` use and reserve 2 GiB together, and a device of 64 MiB has room for 24 MiB"
    );
    // What is there already leaves too little.
    let spec = reserving("24M");
    let error = write_pool(&spec, &fixture.store, &Memory::new(64 * MIB), 64 * MIB, &WriteOptions::default());
    let Err(WriteError::TooSmall { needed, .. }) = error else { panic!("{error:?}") };
    assert!(written(&fixture, &spec, needed).is_ok(), "{needed}");

    let empty = minimum_bytes(&reserving("none")).expect("a size");
    let spec = reserving("200M");
    let bytes = minimum_bytes(&spec).expect("a size");
    // The empty one is as small as pools get, of which ZFS keeps a half.
    assert!((200 * MIB..300 * MIB).contains(&(bytes - empty)), "{empty} {bytes}");
    assert!(written(&fixture, &spec, bytes).is_ok());
    let huge = minimum_bytes(&reserving("7E")).expect("a size");
    assert!(huge >= 7 << 60, "{huge}");
    let error =
        write_pool(&reserving("7E"), &fixture.store, &Memory::new(64 * MIB), 64 * MIB, &WriteOptions::default());
    assert!(matches!(error, Err(WriteError::Spec(SpecError::Reserved { .. }))), "{error:?}");
}
