//! Makes a pool image of an archive, by hand and for judges that boot or import it:
//! `cargo run --release --example pool -- --tar ROOT.tar --store DIRECTORY --out POOL.img --size 4G`.
//!
//! Without `--tar` the datasets are empty. The archive becomes the tree of `--into` (default: the pool's root dataset).
#![expect(clippy::print_stdout, reason = "the result of a program run by hand")]

use std::error::Error;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::time::Instant;

use image_tree::{ReadTarOptions, Store, StoreOptions, Timestamp, Tree, read_tar};
use zfs_format::feature::FeatureSet;
use zfs_image::writer::{
    DatasetSpec, DeviceNumbers, FileWindow, PoolReport, PoolSpec, VdevSpec, WriteOptions, minimum_bytes, write_pool,
};

const USAGE: &str = "usage: pool --store DIRECTORY --out FILE [--size BYTES[K|M|G] | --size auto] [--tar ARCHIVE]
    [--into DATASET] [--pool NAME] [--ashift N] [--features none|illumos|NAME,...] [--set DATASET:PROPERTY=VALUE]...
    [--pool-set PROPERTY=VALUE]... [--dataset NAME]... [--snapshot DATASET@NAME]... [--bootfs DATASET]
    [--threads N] [--seed TEXT] [--devices illumos|linux] [--path DEVICE] [--repeat N] [--no-sync]";

struct Arguments {
    spec: PoolSpec,
    store: String,
    out: String,
    size: Option<u64>,
    tar: Option<String>,
    into: Option<String>,
    threads: Option<NonZeroUsize>,
    repeat: usize,
    sync: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = parse()?;
    let start = Instant::now();
    let store = Store::open_with(&arguments.store, StoreOptions { sync: arguments.sync })?;
    told("open the store", start);
    if let Some(archive) = &arguments.tar {
        let start = Instant::now();
        let tree = read_tar(File::open(archive)?, &store, ReadTarOptions::default())?.tree;
        told("archive into the store", start);
        println!("{:?}", tree.statistics());
        let into = arguments.into.clone().unwrap_or_else(|| arguments.spec.name.clone());
        dataset(&mut arguments.spec, &into).tree = Some(tree);
    }
    let start = Instant::now();
    let needed = minimum_bytes(&arguments.spec)?;
    told("minimum size", start);
    println!("{needed} bytes are enough");
    let size = arguments.size.unwrap_or(needed);
    for _ in 1..arguments.repeat {
        write(&arguments, &store, size)?;
    }
    println!("{:#?}", write(&arguments, &store, size)?);
    Ok(())
}

fn write(arguments: &Arguments, store: &Store, size: u64) -> Result<PoolReport, Box<dyn Error>> {
    if fs::exists(&arguments.out)? {
        fs::remove_file(&arguments.out)?;
    }
    let file = File::create_new(&arguments.out)?;
    file.set_len(size)?;
    let start = Instant::now();
    let options = WriteOptions { threads: arguments.threads, ..WriteOptions::default() };
    let report = write_pool(&arguments.spec, store, &FileWindow::new(&file, 0), size, &options)?;
    told("write the pool", start);
    Ok(report)
}

fn told(what: &str, start: Instant) {
    println!("{what:24} {:8.3} s", start.elapsed().as_secs_f64());
}

/// The dataset of that name, added with its parents if it is not there.
fn dataset<'s>(spec: &'s mut PoolSpec, name: &str) -> &'s mut DatasetSpec {
    if let Some(index) = spec.datasets.iter().position(|dataset| dataset.name == name) {
        return &mut spec.datasets[index];
    }
    if let Some((parent, _)) = name.rsplit_once('/') {
        dataset(spec, parent);
    }
    let name = name.to_owned();
    spec.datasets.push(DatasetSpec { name, properties: Vec::new(), tree: None::<Tree>, snapshots: Vec::new() });
    let last = spec.datasets.len() - 1;
    &mut spec.datasets[last]
}

fn parse() -> Result<Arguments, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut all: Vec<(String, String)> = Vec::new();
    while let Some(flag) = words.next() {
        let value = if flag == "--no-sync" { String::new() } else { words.next().ok_or(USAGE)? };
        all.push((flag, value));
    }
    let one = |flag: &str| all.iter().find(|(name, _)| name == flag).map(|(_, value)| value.clone());
    let many = |flag: &'static str| all.iter().filter(move |(name, _)| name == flag).map(|(_, value)| value.as_str());
    let name = one("--pool").unwrap_or_else(|| "testpool".to_owned());
    let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or(USAGE);
    let devices = one("--devices").unwrap_or_else(|| "illumos".to_owned());
    let mut spec = PoolSpec {
        ashift: one("--ashift").map_or(Ok(12), |text| text.parse())?,
        features: FeatureSet::parse(&one("--features").unwrap_or_else(|| "illumos".to_owned()))?,
        seed: *blake3::hash(one("--seed").unwrap_or_default().as_bytes()).as_bytes(),
        properties: many("--pool-set").map(pair).collect::<Result<_, _>>()?,
        bootfs: one("--bootfs"),
        datasets: Vec::new(),
        vdev: VdevSpec {
            path: one("--path").unwrap_or_else(|| "/dev/dsk/c1t0d0s1".to_owned()),
            phys_path: None,
            devid: None,
            whole_disk: true,
        },
        time: Timestamp { secs: 1_700_000_000, nanos: 0 },
        devices: if devices == "linux" { DeviceNumbers::Linux } else { DeviceNumbers::Illumos },
        name,
    };
    let datasets = many("--dataset").map(str::to_owned).collect::<Vec<_>>();
    datasets.iter().for_each(|name| _ = dataset(&mut spec, name));
    for text in many("--set") {
        let (name, property) = text.split_once(':').ok_or(USAGE)?;
        let property = pair(property)?;
        dataset(&mut spec, name).properties.push(property);
    }
    for text in many("--snapshot") {
        let (name, snapshot) = text.split_once('@').ok_or(USAGE)?;
        dataset(&mut spec, name).snapshots.push(snapshot.to_owned());
    }
    Ok(Arguments {
        spec,
        store: one("--store").ok_or(USAGE)?,
        out: one("--out").ok_or(USAGE)?,
        size: one("--size").filter(|text| text != "auto").map(|text| bytes(&text)).transpose()?,
        tar: one("--tar"),
        into: one("--into"),
        threads: one("--threads").map(|text| text.parse()).transpose()?,
        repeat: one("--repeat").map_or(Ok(1), |text| text.parse())?,
        sync: one("--no-sync").is_none(),
    })
}

fn bytes(text: &str) -> Result<u64, Box<dyn Error>> {
    let shift = match text.chars().next_back() {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        _ => 0,
    };
    Ok(text.trim_end_matches(['K', 'M', 'G']).parse::<u64>()? << shift)
}
