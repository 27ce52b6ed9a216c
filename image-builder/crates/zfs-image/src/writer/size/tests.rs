use test_judge::Random;
use zfs_format::label::{END_BYTES, START_BYTES};

use super::*;

fn need(random: &mut Random) -> Need {
    Need {
        ashift: 9 + random.below(5) as u8,
        bytes: random.next_u64() >> (20 + random.below(40)),
        largest: 512 << random.below(12),
        first_late: 10 + random.below(10_000) as u64,
        reserved: random.next_u64() >> (30 + random.below(34)),
    }
}

/// A device that has the room is followed by larger ones only that have it too, also where metaslabs change their size.
#[test]
fn what_fits_a_device_fits_every_larger_one() {
    test_judge::fuzz(300, |random| {
        let need = need(random);
        let smallest = need.device_bytes();
        assert!(need.fits(smallest) && !need.fits(smallest - 1), "{need:?}");
        for _ in 0..200 {
            let more = smallest + (random.next_u64() >> (14 + random.below(45)));
            assert!(need.fits(more), "{need:?} fits {smallest} but not {more}");
            assert!(!need.fits(random.next_u64() % smallest), "{need:?}");
        }
        for shift in 24..44 {
            for metaslabs in [8_u64, 16, 17, 200, 201] {
                let edge = (metaslabs << shift) + START_BYTES + END_BYTES;
                for bytes in [edge - LABEL_BYTES, edge, edge + LABEL_BYTES] {
                    assert_eq!(need.fits(bytes), bytes >= smallest, "{need:?}, {bytes}");
                }
            }
        }
    });
}

/// Blocks of any size in any order find their places where a need says so.
#[test]
fn every_block_finds_a_place_where_the_need_says_so() {
    test_judge::fuzz(60, |random| {
        let ashift = 9 + random.below(5) as u8;
        let mut measured = Allocator::unlimited(ashift);
        let mut blocks = Vec::new();
        let largest = 14 + random.below(7);
        while measured.allocated() < (20 << 20) + random.below(100 << 20) as u64 {
            let limit = 1 << (9 + random.below(largest - 8));
            let bytes = 1 + random.below(limit);
            let block = (measured.geometry().asize(bytes as u32), 1 + random.below(3));
            measured.allocate(block.0, block.1);
            blocks.push(block);
        }
        let need = Need::measured(&measured, 50, 0);
        let mut allocator = Allocator::new(Geometry::new(usable_bytes(need.device_bytes()), ashift));
        for (asize, copies) in blocks {
            assert!(allocator.allocate(asize, copies).is_some(), "{need:?}");
        }
        assert!(Late::reserve(&mut allocator, 50, 4, true).is_ok(), "{need:?}");
        let unused = allocator.geometry().capacity() - allocator.allocated();
        let kept = allocator.geometry().capacity() - available(allocator.geometry().capacity());
        assert!(unused >= kept, "{need:?}: {unused} bytes stay free, {kept} are kept");
        assert!(unused < kept + (64 << 20) + 40 * u64::from(need.largest), "{need:?}: {unused} bytes stay free");
    });
}

/// Against the plainest way to count: which blocks of each level have a pointer of the level below.
#[test]
fn indirect_blocks_are_those_with_data_below_them() {
    test_judge::fuzz(100, |random| {
        let bounds = Bounds { ashift: 9 + random.below(5) as u8 };
        let mut runs = Vec::new();
        let mut end = 0;
        for _ in 0..1 + random.below(20) {
            let hole = 1_u64 << random.below(23);
            let first = end + 1 + random.next_u64() % hole;
            let limit = *random.pick(&[1, 3, 5000]);
            end = first + 1 + random.below(limit) as u64;
            runs.push((first, end));
        }
        let pointers = *random.pick(&[1, 3]);
        let mut below: Vec<u64> = runs.iter().flat_map(|(first, end)| *first..*end).collect();
        let mut expected = 0;
        for _ in 1..height(end, pointers, INDIRECT_SHIFT) {
            let mut blocks = std::collections::BTreeMap::new();
            for block in below {
                *blocks.entry(block / 1024).or_insert(0) += 1;
            }
            expected += blocks.values().map(|pointers| bounds.indirect(*pointers)).sum::<u64>();
            below = blocks.into_keys().collect();
        }
        assert_eq!(bounds.indirects(runs.clone(), pointers), expected, "{runs:?}");
    });
}
