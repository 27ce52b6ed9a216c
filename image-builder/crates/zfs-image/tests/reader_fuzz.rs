//! Hostile pools: nothing may panic, go on for ever, or take memory by what an image says of itself.
//!

mod fixture;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fixture::Fixture;
use zfs_image::reader::fuzz::{fuzz_attributes, fuzz_nvlist, fuzz_pool, fuzz_tampered, fuzz_zap};
use zfs_image::reader::{Pool, VerifyOptions};

/// Rounds of the slow loops on an ordinary day; see `test_judge::fuzz`.
const ROUNDS: u64 = 40;
/// No image of this size may take longer, on any machine, in any build.
const LONGEST: Duration = Duration::from_secs(60);

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
fn fuzz_tampered_pools() {
    let image = small_image();
    let (mut opened, mut done) = (0_u64, 0_u64);
    test_judge::fuzz(ROUNDS, |random| {
        let length = 6 * (1 + random.below(3));
        let script = random.bytes(length);
        let before = Instant::now();
        opened += u64::from(fuzz_tampered(image, &script));
        let took = before.elapsed();
        assert!(took < LONGEST, "{took:?} for the script {script:?}");
        done += 1;
    });
    // A loop in which no pool could be opened would test nothing below the object directory.
    assert!(done < ROUNDS || opened * 10 > done, "{opened} of {done} pools could be opened");
}

#[test]
fn tampering_with_nothing_leaves_a_clean_pool() {
    let image = small_image();
    assert!(fuzz_tampered(image, &[]));
    let report = Pool::open(image, image.len() as u64).expect("a pool").verify(&VerifyOptions::default());
    assert_eq!(report.problems, []);
}

#[test]
fn fuzz_flipped_and_swapped_sectors() {
    let image = small_image();
    let used = used_sectors(image);
    // The image is large and the changes are small, so that they are taken back instead of copying it.
    let mut image = image.to_vec();
    test_judge::fuzz(ROUNDS / 2, |random| {
        let mut undo = Vec::new();
        for _ in 0..random.below(8) {
            let start = used[random.below(used.len())] * 512;
            undo.push((start, image[start..start + 512].to_vec()));
            image[start + random.below(512)] ^= 1 << random.below(8);
        }
        for _ in 0..random.below(3) {
            let [one, other] = [(); 2].map(|()| used[random.below(used.len())] * 512);
            let (first, second) = (image[one..one + 512].to_vec(), image[other..other + 512].to_vec());
            image[one..one + 512].copy_from_slice(&second);
            image[other..other + 512].copy_from_slice(&first);
            undo.extend([(one, first), (other, second)]);
        }
        fuzz_pool(&image);
        for (start, sector) in undo.into_iter().rev() {
            image[start..start + 512].copy_from_slice(&sector);
        }
    });
}

/// The sectors in which anything is, without the labels: a change in one of those is nearly always a changed label.
fn used_sectors(image: &[u8]) -> Vec<usize> {
    let sectors = image.chunks_exact(512).enumerate();
    let inner = sectors.filter(|(index, sector)| *index >= 8192 && sector.iter().any(|byte| *byte != 0));
    inner.map(|(index, _)| index).collect()
}

#[test]
fn fuzz_loose_structures() {
    test_judge::fuzz(3000, |random| {
        let length = random.below(1500);
        let mut bytes = random.bytes(length);
        fuzz_nvlist(&bytes);
        fuzz_attributes(&bytes);
        fuzz_zap(&bytes);
        // The same behind a right beginning.
        if bytes.len() > 600 {
            bytes[..12].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            fuzz_nvlist(&bytes);
            bytes[0] = random.below(6) as u8;
            bytes[1..9].copy_from_slice(&(0x8000_0000_0000_0000 + random.below(4) as u64).to_le_bytes());
            fuzz_zap(&bytes);
            bytes[..6].copy_from_slice(&[0x5a, 0x50, 0x2f, 0, 2 + random.below(4) as u8, 4]);
            fuzz_attributes(&bytes);
        }
    });
}
