use super::*;

/// A buffer in which every word is its own index, so that a field in the wrong place shows.
fn counted<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (index, place) in bytes.chunks_exact_mut(8).enumerate() {
        place.copy_from_slice(&(index as u64).to_le_bytes());
    }
    bytes
}

#[test]
fn directories_are_laid_out_as_in_the_header_of_zfs() {
    let dir = DslDirPhys::decode(&counted::<DIR_BYTES>()).expect("long enough");
    assert_eq!((dir.creation_time, dir.child_map, dir.used_bytes, dir.props, dir.flags), (0, 4, 5, 10, 12));
    assert_eq!((dir.used_breakdown.head, dir.used_breakdown.reference_reservation, dir.clones), (13, 17, 18));
    assert_eq!(dir.encode()[..19 * 8], counted::<DIR_BYTES>()[..19 * 8]);
    assert!(dir.encode()[19 * 8..].iter().all(|byte| *byte == 0));
    assert_eq!(DslDirPhys::decode(&[0; DIR_BYTES - 1]), None);
}

#[test]
fn datasets_are_laid_out_as_in_the_header_of_zfs() {
    let dataset = DslDatasetPhys::decode(&counted::<DATASET_BYTES>()).expect("long enough");
    assert_eq!((dataset.snapshot_names, dataset.deadlist, dataset.guid, dataset.flags), (4, 8, 14, 15));
    assert_eq!(dataset.block_pointer[..8], 16_u64.to_le_bytes());
    assert_eq!((dataset.next_clones, dataset.props, dataset.user_references), (32, 33, 34));
    assert_eq!(dataset.encode()[..35 * 8], counted::<DATASET_BYTES>()[..35 * 8]);
    assert_eq!(DslDatasetPhys::decode(&[0; DATASET_BYTES - 1]), None);
}

#[test]
fn smaller_headers_are_read_back() {
    let bpobj = BpobjPhys { block_pointers: 3, bytes: 4096, subobject_count: 1, ..BpobjPhys::default() };
    assert_eq!(BpobjPhys::decode(&bpobj.encode()), Some(bpobj));
    assert_eq!(BpobjPhys::decode(&bpobj.encode()[..16]).map(|old| (old.bytes, old.subobject_count)), Some((4096, 0)));
    let deadlist = DeadlistPhys { used_bytes: 1, compressed_bytes: 2, uncompressed_bytes: 3 };
    assert_eq!(DeadlistPhys::decode(&deadlist.encode()), Some(deadlist));
    let history = HistoryPhys { pool_create_bytes: 1, physical_max: 2, begin: 3, end: 4, records_lost: 5 };
    assert_eq!(HistoryPhys::decode(&history.encode()), Some(history));
}
