use proptest::prelude::*;

use super::*;

fn read_all(zap: &Zap) -> Result<Vec<ZapEntry>, ZapError> {
    let mut entries = Vec::new();
    let read = |block: u64| {
        let missing = ZapError::Field { block, what: "the number of a block", found: block };
        zap.blocks.get(block as usize).cloned().ok_or(missing)
    };
    for_each(read, |entry| {
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

fn get(zap: &Zap, name: &[u8]) -> Option<Value> {
    lookup::<_, ZapError>(|block| Ok(zap.blocks[block as usize].as_slice()), name).expect("readable")
}

fn numbered(count: u64) -> Vec<ZapEntry> {
    (0..count).map(|number| ZapEntry::integer(format!("file-{number:06}"), number << 60 | number)).collect()
}

#[test]
fn the_hash_is_that_of_the_check_value() {
    // The CRC-64 of "123456789" begun with all ones is 0x995DC9BBDF1939FA after a final inversion (CRC-64/XZ).
    let hasher = Hasher { salt: u64::MAX, bits: 63 };
    assert_eq!(hasher.hash(b"123456789") | 1, !0x995D_C9BB_DF19_39FA | 1);
    assert_eq!(name_hash(u64::MAX, b"123456789"), !0x995D_C9BB_DF19_39FA & 0xffff_fff0_0000_0000);
}

#[test]
fn micro_zaps_grow_by_sectors() {
    for (count, bytes) in [(0, 512), (1, 512), (7, 512), (8, 1024), (15, 1024), (16, 1536), (2047, 131_072)] {
        let zap = encode(&numbered(count), 77, &Options::default()).expect("encodes");
        assert_eq!((zap.blocks.len(), zap.block_bytes), (1, bytes), "{count} entries");
        assert_eq!(read_all(&zap).expect("reads").len() as u64, count);
    }
}

#[test]
fn a_micro_zap_looks_like_this() {
    let zap = encode(&[ZapEntry::integer("ROOT", 0x1234)], 0x5566_7788, &Options::default()).expect("encodes");
    let block = &zap.blocks[0];
    assert_eq!(block[..8], [3, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(block[8..16], [0x89, 0x77, 0x66, 0x55, 0, 0, 0, 0]);
    assert!(block[16..64].iter().all(|byte| *byte == 0));
    assert_eq!(block[64..72], [0x34, 0x12, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&block[78..83], b"ROOT\0");
}

#[test]
fn what_does_not_fit_a_slot_makes_a_fat_zap() {
    let fat = |entries: &[ZapEntry]| encode(entries, 5, &Options::default()).expect("encodes").blocks.len() > 1;
    assert!(!fat(&[ZapEntry::integer("n".repeat(49), 1)]));
    assert!(fat(&[ZapEntry::integer("n".repeat(50), 1)]));
    assert!(fat(&[ZapEntry::text("mountpoint", "/")]));
    assert!(fat(&[ZapEntry { name: b"2".to_vec(), value: Value::U16(vec![5, 6, 4]) }]));
    assert!(fat(&numbered(2048)));
}

#[test]
fn fat_zaps_of_every_size_are_read_back() {
    // 20 entries fit one leaf; 300 000 need a pointer table outside the header.
    for count in [1, 20, 212, 213, 2_048, 300_000] {
        let entries = numbered(count);
        let options = Options { micro_bytes_max: 0, ..Options::default() };
        let zap = encode(&entries, 0xdead_beef, &options).expect("encodes");
        let header = FatHeader::new(&zap.blocks[0]).expect("a header");
        assert_eq!((header.entries, header.free_block), (count, zap.blocks.len() as u64));
        assert_eq!(header.table.blocks > 0, count == 300_000, "{count} entries");
        let mut found = read_all(&zap).expect("reads");
        found.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(found == entries, "{count} entries");
        for index in [0, count / 2, count - 1] {
            let entry = &entries[index as usize];
            assert_eq!(get(&zap, &entry.name).as_ref(), Some(&entry.value));
        }
        assert_eq!(get(&zap, b"file-x"), None);
    }
}

/// Names with the same hash are told apart by their differentiator, in the same chain.
#[test]
fn names_of_one_hash_live_together() {
    // With 28 bits of hash, a few hundred thousand names have some that collide; find a pair by brute force.
    let mut seen = std::collections::HashMap::new();
    let pair = (0..200_000_u32).find_map(|number| {
        // A CRC tells names that differ in few bits apart, so these differ in many.
        let name = format!("{:x}", u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes();
        let other = seen.insert(name_hash(1, &name), name.clone());
        other.map(|other| (other, name))
    });
    let (one, other) = pair.expect("a collision");
    for micro_bytes_max in [0, MICRO_BYTES_MAX] {
        let options = Options { micro_bytes_max, ..Options::default() };
        let entries = [ZapEntry::integer(one.clone(), 1), ZapEntry::integer(other.clone(), 2)];
        let zap = encode(&entries, 1, &options).expect("encodes");
        assert_eq!(get(&zap, &one), Some(Value::U64(vec![1])));
        assert_eq!(get(&zap, &other), Some(Value::U64(vec![2])));
        if micro_bytes_max > 0 {
            let cds: Vec<u32> = Micro::new(&zap.blocks[0]).expect("micro").slots().map(|(_, _, cd)| cd).collect();
            assert_eq!(cds, [0, 1]);
        }
    }
}

#[test]
fn impossible_entries_are_refused() {
    let refuse = |entries: &[ZapEntry]| encode(entries, 1, &Options::default()).expect_err("refused");
    assert!(matches!(refuse(&[ZapEntry::integer("", 1)]), ZapError::Name(_)));
    assert!(matches!(refuse(&[ZapEntry::integer("a\0b", 1)]), ZapError::Name(_)));
    assert!(matches!(refuse(&[ZapEntry::integer("n".repeat(256), 1)]), ZapError::Name(_)));
    assert!(matches!(refuse(&[ZapEntry::integer("a", 1), ZapEntry::integer("a", 2)]), ZapError::Duplicate(_)));
    let long = ZapEntry { name: b"v".to_vec(), value: Value::U64(vec![0; 1025]) };
    assert!(matches!(refuse(&[long]), ZapError::Value { bytes: 8200, .. }));
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => any::<u64>().prop_map(|value| Value::U64(vec![value])),
        1 => proptest::collection::vec(any::<u64>(), 0..40).prop_map(Value::U64),
        1 => proptest::collection::vec(any::<u32>(), 0..40).prop_map(Value::U32),
        1 => proptest::collection::vec(any::<u16>(), 0..40).prop_map(Value::U16),
        1 => proptest::collection::vec(any::<u8>(), 0..400).prop_map(Value::U8),
    ]
}

fn entries() -> impl Strategy<Value = Vec<ZapEntry>> {
    let name = prop_oneof![
        8 => proptest::collection::vec(1..=255_u8, 1..20),
        1 => proptest::collection::vec(1..=255_u8, 40..=255),
    ];
    proptest::collection::btree_map(name, value(), 0..120)
        .prop_map(|map| map.into_iter().map(|(name, value)| ZapEntry { name, value }).collect())
}

proptest! {
    #[test]
    fn what_is_put_in_is_found(entries in entries(), salt: u64, shift in 11_u8..=14) {
        // Small blocks make deep tables of few entries.
        let options = Options { fat_block_shift: shift, ..Options::default() };
        let zap = encode(&entries, salt, &options).expect("encodes");
        let mut found = read_all(&zap).expect("reads");
        found.sort_by(|one, other| one.name.cmp(&other.name));
        prop_assert_eq!(&found, &entries);
        for entry in &entries {
            prop_assert_eq!(get(&zap, &entry.name), Some(entry.value.clone()));
        }
        prop_assert_eq!(encode(&entries, salt, &options).expect("encodes"), zap);
    }

    #[test]
    fn damaged_blocks_are_read_or_refused(
        entries in entries(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), any::<u8>()), 1..9),
        micro: bool,
    ) {
        let options = Options { micro_bytes_max: if micro { MICRO_BYTES_MAX } else { 0 }, ..Options::default() };
        let mut zap = encode(&entries, 3, &options).expect("encodes");
        for (block, byte, value) in flips {
            let block = block.index(zap.blocks.len());
            // Half of the changes hit the first fields, where they do most harm.
            let len = if value & 1 == 0 { 128 } else { zap.block_bytes };
            let at = byte.index(len);
            zap.blocks[block][at] ^= value;
        }
        if let Ok(found) = read_all(&zap) {
            prop_assert!(found.len() < 3000);
        }
        let _: Result<_, ZapError> = lookup(
            |block| zap.blocks.get(block as usize).cloned().ok_or(ZapError::Collisions),
            b"some name",
        );
    }
}
