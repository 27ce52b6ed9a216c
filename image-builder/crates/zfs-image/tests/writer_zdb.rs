//! Pools of the writer before `zdb`, which reads every block of them and adds up what is allocated.

mod fixture;

use std::fs::File;
use std::path::Path;

use fixture::Fixture;
use zfs_format::feature::FeatureSet;
use zfs_image::writer::{DatasetSpec, FileWindow, PoolReport, PoolSpec, WriteOptions, minimum_bytes, write_pool};

/// Writes the pool into a directory of its own, where `zdb` searches.
fn write(fixture: &Fixture, spec: &PoolSpec, directory: &Path) -> PoolReport {
    let bytes = minimum_bytes(spec).expect("a size");
    std::fs::create_dir(directory).expect("a directory");
    let file = File::create_new(directory.join("disk.img")).expect("an image");
    file.set_len(bytes).expect("a sparse file");
    write_pool(spec, &fixture.store, &FileWindow::new(&file, 0), bytes, &WriteOptions::default()).expect("written")
}

/// What zdb says of the pool in `directory`; it has to be content. None if there is no zdb.
fn zdb(directory: &Path, pool: &str, what: &str) -> Option<String> {
    let program = test_judge::zdb()?;
    let directory = directory.to_str().expect("a path of text");
    let arguments = ["-e", "-p", directory, what, pool];
    test_judge::approve(program.to_str().expect("a path of text"), "zfsutils-linux", &arguments)
}

/// The number after `label`, of which the line consists otherwise.
fn number(said: &str, label: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Every block is read and its checksum compared; all space that is allocated belongs to a block, and the other way
/// round; zdb counts as many blocks and bytes as the writer.
fn approve(fixture: &Fixture, spec: &PoolSpec, case: &str) {
    let directory = fixture.scratch.path().join(case);
    let report = write(fixture, spec, &directory);
    let Some(blocks) = zdb(&directory, &spec.name, "-bcc") else { return };
    assert!(blocks.contains("No leaks (block sum matches space maps exactly)"), "{case}: {blocks}");
    // What is embedded in a pointer takes no block; zdb has no line for it when there is none.
    let embedded = number(&blocks, "additional, non-pointer bps of type 0:").unwrap_or(0);
    let counts = (number(&blocks, "bp count:"), number(&blocks, "bp allocated:"));
    assert_eq!(counts, (Some(report.blocks + embedded), Some(report.allocated_bytes)), "{case}: {blocks}");
    let Some(objects) = zdb(&directory, &spec.name, "-dddd") else { return };
    for objection in ["ERROR", "rror:", "mismatch", "leak", "WARNING", "not found", "unable", "nvalid"] {
        let lines: Vec<&str> = objects.lines().filter(|line| line.contains(objection)).collect();
        assert!(lines.is_empty(), "{case}: {lines:?}");
    }
    for dataset in &report.datasets {
        let expected = format!("Dataset {} [ZPL], ID {}, cr_txg 4,", dataset.name, dataset.object);
        let line = objects.lines().find(|line| line.starts_with(&expected));
        let expected = format!(" {} objects,", dataset.objects);
        assert!(line.is_some_and(|line| line.contains(&expected)), "{case}: {line:?} has not{expected}");
    }
}

fn labels(directory: &Path) -> Option<String> {
    let program = test_judge::zdb()?;
    let image = directory.join("disk.img");
    let arguments = ["-l", image.to_str().expect("a path of text")];
    test_judge::approve(program.to_str().expect("a path of text"), "zfsutils-linux", &arguments)
}

#[test]
fn zdb_approves_a_pool_with_every_kind_of_node() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.datasets[2].snapshots.push("again".to_owned());
    approve(&fixture, &spec, "illumos");
    let Some(labels) = labels(&fixture.scratch.path().join("illumos")) else { return };
    assert!(labels.contains("labels = 0 1 2 3"), "{labels}");
    assert!(labels.contains("state: 1\n"), "{labels}");
}

#[test]
fn zdb_approves_every_ashift_and_compression_without_features() {
    let fixture = Fixture::new();
    let compressions = ["off", "lzjb", "gzip-1", "gzip-9", "zle"];
    for (ashift, compression) in (9..=13).zip(compressions) {
        let mut spec = fixture.spec();
        (spec.ashift, spec.features) = (ashift, FeatureSet::none());
        spec.datasets[2].properties[3].1 = compression.to_owned();
        approve(&fixture, &spec, &format!("{ashift}-{compression}"));
    }
}

#[test]
fn zdb_approves_large_records_copies_and_checksums() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    let dataset = |name: &str, properties: &[(&str, &str)]| DatasetSpec {
        name: format!("rpool/{name}"),
        properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        tree: Some(fixture.tree()),
        snapshots: vec!["one".to_owned(), "two".to_owned(), "three".to_owned()],
    };
    spec.datasets = vec![
        dataset("large", &[("recordsize", "1M"), ("compression", "on")]),
        dataset("small", &[("recordsize", "512"), ("checksum", "fletcher2"), ("reservation", "8M")]),
        dataset("twice", &[("copies", "2"), ("checksum", "sha256"), ("refreservation", "4M")]),
        dataset("thrice", &[("copies", "3"), ("checksum", "off"), ("compression", "gzip")]),
    ];
    spec.bootfs = None;
    approve(&fixture, &spec, "kinds");
}
