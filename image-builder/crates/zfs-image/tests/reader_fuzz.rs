//! Hostile pools: nothing may panic, go on for ever, or take memory by what an image says of itself.
//!
//! The seeded loop runs with every test; `FUZZ_SECONDS=600` makes it longer, with other seeds.

mod fixture;

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fixture::Fixture;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use zfs_image::reader::fuzz::{fuzz_attributes, fuzz_nvlist, fuzz_pool, fuzz_tampered, fuzz_zap};
use zfs_image::reader::{Pool, VerifyOptions};

/// Iterations of the seeded loop without `FUZZ_SECONDS`.
const ITERATIONS: u64 = 40;
/// No image of this size may take longer, on any machine, in any build.
const LONGEST: Duration = Duration::from_secs(60);

/// Knuth's multiplicative generator: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.rotate_left(31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// One pool for all tests: writing it takes longer than reading it.
fn small_image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let fixture = Fixture::new();
        let mut spec = fixture.spec();
        spec.datasets[2].tree = Some(fixture.small_tree());
        fixture.write(&spec)
    })
}

#[test]
fn tampered_pools_are_read_or_refused() {
    let image = small_image();
    let seconds: Option<u64> = std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().expect("a number"));
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut random, mut opened, mut done) = (Random(seconds.unwrap_or(1)), 0_u64, 0_u64);
    while end.map_or(done < ITERATIONS, |end| Instant::now() < end) {
        let len = 6 * (1 + random.next() % 3) as usize;
        let script = random.bytes(len);
        let before = Instant::now();
        opened += u64::from(fuzz_tampered(image, &script));
        let took = before.elapsed();
        assert!(took < LONGEST, "{took:?} for the script {script:?}");
        done += 1;
    }
    // A loop in which no pool could be opened would test nothing below the object directory.
    assert!(opened * 10 > done, "{opened} of {done} pools could be opened");
}

#[test]
fn tampering_with_nothing_leaves_a_clean_pool() {
    let image = small_image();
    assert!(fuzz_tampered(image, &[]));
    let report = Pool::open(image, image.len() as u64).expect("a pool").verify(&VerifyOptions::default());
    assert_eq!(report.problems, []);
}

#[test]
fn flipped_and_swapped_blocks_are_read_or_refused() {
    let image = small_image();
    let flips = (any::<prop::sample::Index>(), 0_u8..8);
    let swaps = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let used = used_sectors(image);
    // The image is large and the changes are small, so that they are taken back instead of copying it.
    let image = RefCell::new(image.to_vec());
    let cases = (prop::collection::vec(flips, 0..8), prop::collection::vec(swaps, 0..3));
    let mut runner = TestRunner::new(Config { cases: 20, failure_persistence: None, ..Config::default() });
    let run = runner.run(&cases, |(flips, swaps)| {
        let mut image = image.borrow_mut();
        let mut undo = Vec::new();
        for (place, bit) in flips {
            let start = used[place.index(used.len())] * 512;
            undo.push((start, image[start..start + 512].to_vec()));
            image[start + usize::from(bit) * 61] ^= 1 << bit;
        }
        for (one, other) in swaps {
            let (one, other) = (used[one.index(used.len())] * 512, used[other.index(used.len())] * 512);
            let (first, second) = (image[one..one + 512].to_vec(), image[other..other + 512].to_vec());
            image[one..one + 512].copy_from_slice(&second);
            image[other..other + 512].copy_from_slice(&first);
            undo.extend([(one, first), (other, second)]);
        }
        fuzz_pool(&image);
        for (start, sector) in undo.into_iter().rev() {
            image[start..start + 512].copy_from_slice(&sector);
        }
        Ok(())
    });
    run.expect("no panic");
}

/// The sectors in which anything is, without the labels: a change in one of those is nearly always a changed label.
fn used_sectors(image: &[u8]) -> Vec<usize> {
    let sectors = image.chunks_exact(512).enumerate();
    let inner = sectors.filter(|(index, sector)| *index >= 8192 && sector.iter().any(|byte| *byte != 0));
    inner.map(|(index, _)| index).collect()
}

#[test]
fn loose_structures_are_read_or_refused() {
    let mut random = Random(7);
    for round in 0..3000_usize {
        let mut bytes = random.bytes(round % 1500);
        fuzz_nvlist(&bytes);
        fuzz_attributes(&bytes);
        fuzz_zap(&bytes);
        // The same behind a right beginning.
        if bytes.len() > 600 {
            bytes[..12].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            fuzz_nvlist(&bytes);
            bytes[0] = (round % 6) as u8;
            bytes[1..9].copy_from_slice(&(0x8000_0000_0000_0000 + round as u64 % 4).to_le_bytes());
            fuzz_zap(&bytes);
            bytes[..6].copy_from_slice(&[0x5a, 0x50, 0x2f, 0, 2 + (round % 4) as u8, 4]);
            fuzz_attributes(&bytes);
        }
    }
}
