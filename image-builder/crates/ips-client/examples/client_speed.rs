//! Measures choosing and installing packages of a made-up distribution from a depot of this machine, by hand:
//! `cargo run --release --example client_speed -- NAMES VERSIONS CHOSEN FILES`, where FILES is for each chosen package.
#![expect(clippy::print_stdout, reason = "the result of a program run by hand")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use image_tree::{Store, StoreOptions, Tree};
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_client::{Client, Network, Silent, Wish};
use ips_testing::{Depot, PublishLines};

/// The newest version is not allowed by the incorporation, and only the allowed one of the chosen has files.
fn publish(root: &Path, names: usize, versions: usize, chosen: usize, files: usize) -> Result<(), Box<dyn Error>> {
    let mut publication = Publication::new(root);
    let allowed = versions.saturating_sub(1).max(1);
    let mut incorporation = String::new();
    for at in 0..names {
        writeln!(incorporation, "depend type=incorporate fmri=lib/p{at}@{allowed}")?;
        for version in 1..=versions {
            let mut lines = String::from("depend type=require fmri=entire\n");
            for step in [1, 7, 31] {
                writeln!(lines, "depend type=require fmri=lib/p{}@{version}", (at + step) % chosen)?;
            }
            if version == allowed && at < chosen {
                for file in 0..files {
                    writeln!(
                        lines,
                        "file path=opt/p{at}/d{}/f{file} mode=0644 owner=root group=root <- {at} {file}",
                        file % 7
                    )?;
                }
            }
            publication.lines(&format!("pkg://p/lib/p{at}@{version},5.11-1:20240101T000000Z"), &lines);
        }
    }
    publication.lines("pkg://p/entire@1,5.11-1:20240101T000000Z", &incorporation);
    publication.lines(
        "pkg://p/base@1,5.11-1:20240101T000000Z",
        "group groupname=root gid=0
        user username=root uid=0 group=root
        file path=etc/passwd mode=0644 owner=root group=root <- root:x:0:0::/:
        file path=etc/shadow mode=0400 owner=root group=root <- root:NP:1::::::
        file path=etc/group mode=0644 owner=root group=root <- root::0:",
    );
    Ok(publication.finish(OperationTime::from_unix_seconds(1))?)
}

/// The most memory that this process had, in MiB, where the system tells it.
fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [names, versions, chosen, files] = numbers[..] else {
        return Err("usage: client_speed NAMES VERSIONS CHOSEN FILES".into());
    };
    let scratch = tempfile::tempdir()?;
    let repository = scratch.path().join("repository");
    let measured = |what: &str, since: Instant| {
        println!("{what:28} {:8.2} s, peak {} MiB", since.elapsed().as_secs_f64(), peak_mebibytes());
    };
    let begin = Instant::now();
    publish(&repository, names, versions, chosen, files)?;
    measured("publish", begin);
    let depot = Depot::serve(&repository);
    let store = Store::open_with(scratch.path().join("store"), StoreOptions { sync: false })?;
    let mut trees = Vec::new();
    for what in ["from the depot", "from the store"] {
        let client = Client::new(&store, Network::default(), Arc::new(Silent));
        let mut config = ImageConfig::new("i386");
        config.publishers.push(PublisherConfig::new("p".parse()?, &[&depot.uri()]));
        let mut image = Image::new(config);
        let begin = Instant::now();
        let lock =
            client.choose(&image, &Wish::install(vec!["base".parse()?, "lib/p0".parse()?, "entire".parse()?]))?;
        measured(&format!("choose {}, {what}", lock.len()), begin);
        let begin = Instant::now();
        trees.push(client.install(&Tree::default(), &mut image, &lock, OperationTime::from_unix_seconds(1))?);
        measured(&format!("install, {what}"), begin);
    }
    println!("{:?}, the same twice: {}", trees[0].statistics(), trees[0].hash() == trees[1].hash());
    Ok(())
}
