//! Measures how fast an archive becomes a tree and a tree an archive, by hand:
//! `cargo run --release --example tar_speed -- ARCHIVE STORE-DIRECTORY`.
#![expect(clippy::print_stdout, reason = "the result of a program run by hand")]

use std::error::Error;
use std::fs::{self, File};
use std::time::Instant;

use image_tree::{ReadTarOptions, Store, Tree, WriteTarOptions, read_tar, write_tar};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: tar_speed ARCHIVE STORE-DIRECTORY";
    let archive = arguments.next().ok_or(usage)?;
    let directory = arguments.next().ok_or(usage)?;
    let megabytes = fs::metadata(&archive)?.len() as f64 / 1e6;
    let measured = |what: &str, start: Instant| {
        let seconds = start.elapsed().as_secs_f64();
        println!("{what:32} {seconds:7.3} s {:8.0} MB/s of the archive", megabytes / seconds);
    };

    let start = Instant::now();
    let store = Store::open(&directory)?;
    measured("open the store", start);
    let start = Instant::now();
    let unpacked = read_tar(File::open(&archive)?, &store, ReadTarOptions::default())?;
    measured("read the archive", start);
    println!("{:?}\n{:?}", unpacked.tree.statistics(), unpacked.warnings);
    let start = Instant::now();
    let hash = unpacked.tree.save(&store)?;
    measured("save the tree", start);
    let start = Instant::now();
    store.close()?;
    measured("close the store", start);

    let start = Instant::now();
    let store = Store::open(&directory)?;
    measured("open the store again", start);
    let start = Instant::now();
    let again = read_tar(File::open(&archive)?, &store, ReadTarOptions::default())?;
    measured("read the archive again", start);
    let start = Instant::now();
    let loaded = Tree::load(&store, hash)?;
    measured("load the tree", start);
    assert!(loaded == unpacked.tree && loaded == again.tree, "the same archive makes the same tree");
    let start = Instant::now();
    write_tar(&loaded, &store, std::io::sink(), WriteTarOptions::default())?;
    measured("write an archive to nowhere", start);
    println!("{} blobs, {:?}", store.len(), store.disk_use()?);
    Ok(())
}
