use proptest::prelude::*;

use super::encode::native_size;
use super::*;

/// Made by hand from RFC 4506 and `nvpair.c`: one 64-bit integer named `version`, value 5000.
const VERSION_5000: [u8; 60] = [
    1, 1, 0, 0, // XDR, little-endian host
    0, 0, 0, 0, 0, 0, 0, 1, // version, unique names
    0, 0, 0, 36, 0, 0, 0, 32, // packed and in-memory size of the pair
    0, 0, 0, 7, b'v', b'e', b'r', b's', b'i', b'o', b'n', 0, // name
    0, 0, 0, 8, 0, 0, 0, 1, // type, elements
    0, 0, 0, 0, 0, 0, 0x13, 0x88, // value
    0, 0, 0, 0, 0, 0, 0, 0, // end
    0xaa, 0xaa, 0xaa, 0xaa, // what follows in the block
];

#[test]
fn a_hand_made_list_is_read_and_written_the_same() {
    let list = decode_xdr(&VERSION_5000).expect("decodes");
    assert_eq!(list.u64("version"), Some(5000));
    assert_eq!(list.encode_xdr(), VERSION_5000[..56]);
}

#[test]
fn sizes_in_memory_are_those_of_a_64_bit_machine() {
    assert_eq!(native_size("version", &NvValue::U64(1)), 32);
    assert_eq!(native_size("name", &NvValue::from("rpool")), 32);
    assert_eq!(native_size("a", &NvValue::Flag), 24);
    assert_eq!(native_size("vdev_tree", &NvValue::List(NvList::new())), 56);
    assert_eq!(native_size("children", &NvValue::ListArray(vec![NvList::new()])), 64);
    assert_eq!(native_size("s", &NvValue::StringArray(vec!["ab".to_owned(), String::new()])), 48);
}

#[test]
fn damage_is_named() {
    let bad = |index: usize, byte: u8| {
        let mut bytes = VERSION_5000;
        bytes[index] = byte;
        decode_xdr(&bytes).expect_err("damaged")
    };
    assert_eq!(bad(0, 0), NvError::Encoding(0));
    assert_eq!(bad(7, 3), NvError::Version(3));
    assert_eq!(bad(15, 37), NvError::Impossible { offset: 12, what: "the size of a pair" });
    assert_eq!(bad(35, 99), NvError::Type { name: "version".to_owned(), number: 99 });
    assert_eq!(bad(39, 2), NvError::Impossible { offset: 40, what: "the number of elements" });
    assert_eq!(bad(24, 0xff), NvError::NotUtf8(24));
    assert_eq!(decode_xdr(&VERSION_5000[..50]), Err(NvError::Truncated { offset: 48, what: "a pair's size" }));
}

#[test]
fn lists_inside_each_other_have_a_limit() {
    let nested = (0..40).fold(NvList::new(), |inner, _| NvList::new().with("in", inner));
    let packed = nested.encode_xdr();
    assert_eq!(decode_xdr(&packed), Err(NvError::Limit { what: "lists inside each other", limit: 20 }));
    assert_eq!(decode_xdr_with(&packed, DecodeLimits { depth: 41, items: 100 }), Ok(nested));
}

#[test]
fn a_huge_array_that_is_not_there_costs_nothing() {
    let mut packed = NvList::new().with("a", vec![1_u64]).encode_xdr();
    packed[32..36].copy_from_slice(&u32::MAX.to_be_bytes());
    packed[36..40].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(decode_xdr(&packed).is_err());
}

fn values() -> impl Strategy<Value = NvValue> {
    let leaf = prop_oneof![
        Just(NvValue::Flag),
        any::<bool>().prop_map(NvValue::Boolean),
        any::<u8>().prop_map(NvValue::Byte),
        any::<i32>().prop_map(NvValue::I32),
        any::<u32>().prop_map(NvValue::U32),
        any::<i64>().prop_map(NvValue::I64),
        any::<u64>().prop_map(NvValue::U64),
        ".{0,9}".prop_map(NvValue::String),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(NvValue::Bytes),
        proptest::collection::vec(any::<i64>(), 0..4).prop_map(NvValue::I64Array),
        proptest::collection::vec(any::<u64>(), 0..4).prop_map(NvValue::U64Array),
        proptest::collection::vec(".{0,5}", 0..4).prop_map(NvValue::StringArray),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let list = proptest::collection::vec(("[a-z_:.]{1,9}", inner), 0..5)
            .prop_map(|pairs| pairs.into_iter().fold(NvList::new(), |list, (name, value)| list.with(&name, value)));
        prop_oneof![
            list.clone().prop_map(NvValue::List),
            proptest::collection::vec(list, 0..3).prop_map(NvValue::ListArray)
        ]
    })
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked(pairs in proptest::collection::vec(("[a-z_:.]{1,9}", values()), 0..6)) {
        let list = pairs.into_iter().fold(NvList::new(), |list, (name, value)| list.with(&name, value));
        let packed = list.encode_xdr();
        prop_assert_eq!(packed.len() % 4, 0);
        prop_assert_eq!(decode_xdr(&packed), Ok(list));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        list in proptest::collection::vec(("[a-z]{1,4}", values()), 0..5),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let list = list.into_iter().fold(NvList::new(), |list, (name, value)| list.with(&name, value));
        let mut packed = list.encode_xdr();
        for (index, byte) in flips {
            let at = index.index(packed.len());
            packed[at] = byte;
        }
        if let Ok(list) = decode_xdr(&packed) {
            prop_assert!(list.to_string().len() <= 64 * packed.len());
        }
    }
}
