//! The text of a small pool: what a change of the layout changes, shows in the diff of this snapshot.

mod fixture;

use fixture::Fixture;
use zfs_image::dump::{DumpOptions, dump};
use zfs_image::reader::Pool;

fn text(image: &[u8], options: &DumpOptions) -> String {
    let pool = Pool::open(image, image.len() as u64).expect("a pool");
    let mut out = Vec::new();
    dump(&pool, options, &mut out).expect("a vector takes everything");
    String::from_utf8(out).expect("text")
}

fn image() -> Vec<u8> {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.datasets[2].tree = Some(fixture.tiny_tree());
    fixture.write(&spec)
}

#[test]
fn the_layout_of_a_small_pool() {
    insta::assert_snapshot!(text(&image(), &DumpOptions { pointers: false, ..DumpOptions::default() }));
}

#[test]
fn a_dump_is_the_same_for_the_same_pool_and_knows_every_block() {
    let (first, second) = (image(), image());
    let all = text(&first, &DumpOptions::default());
    assert_eq!(all, text(&second, &DumpOptions::default()));
    assert!(!all.lines().any(|line| line.starts_with('!')), "{all}");
    // As many pointers are told as the verification met, without those of the uberblock's and the datasets' roots.
    let report = Pool::open(first.as_slice(), first.len() as u64).expect("a pool").verify(&Default::default());
    let told = all.lines().filter(|line| line.contains("    block ") || line.contains("    spill ")).count();
    assert!(told > 50 && told as u64 <= 2 * (report.blocks.blocks + report.blocks.embedded), "{told} pointers");
}
