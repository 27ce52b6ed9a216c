use proptest::prelude::*;

use super::*;
use crate::acl;

const BONUS_MAX: usize = 320;

fn file(mode: u32) -> Znode {
    let aces = acl::trivial(mode, false);
    Znode {
        mode: u64::from(mode | 0o100_000),
        size: 77,
        generation: 4,
        parent: 34,
        flags: acl::flags(mode),
        mtime: Time { secs: -5, nanos: 999_999_999 },
        links: 1,
        ace_count: aces.len() as u64,
        aces: acl::encode(&aces),
        ..Znode::default()
    }
}

fn read(encoded: &Encoded, layouts: &Layouts) -> Znode {
    let registry = Registry::standard(layouts);
    let mut attributes = decode(&encoded.bonus, &registry).expect("decodes");
    if let Some(spill) = &encoded.spill {
        attributes.extend(decode(spill, &registry).expect("decodes"));
    }
    Znode::from_attributes(&attributes).expect("a file")
}

#[test]
fn the_table_is_in_the_order_of_its_numbers() {
    for (index, attribute) in Attribute::all().enumerate() {
        assert_eq!(usize::from(attribute.number()), index);
        assert_eq!(Attribute::from_name(attribute.name().as_bytes()), Some(attribute));
    }
    let entries = registry_entries();
    assert_eq!(entries[5], ZapEntry::integer("ZPL_MODE", 8 << 24 | 5));
    assert_eq!(entries[19], ZapEntry::integer("ZPL_DACL_ACES", 4 << 16 | 19));
}

/// The boot loader of illumos reads a link's text 160 bytes after the header, and files at fixed offsets.
#[test]
fn boot_loaders_find_what_they_look_for_at_fixed_offsets() {
    let mut layouts = Layouts::default();
    let mut link = file(0o777);
    link.symlink = Some(b"./usr/bin".to_vec());
    let encoded = encode(&link.attributes(), BONUS_MAX, &mut layouts).expect("encodes");
    let header = usize::from(encoded.bonus[5] >> 2) * 8;
    assert_eq!((header, encoded.bonus[4]), (16, 2));
    assert_eq!(encoded.bonus[..4], [0x5a, 0x50, 0x2f, 0]);
    assert_eq!(encoded.bonus[6..10], [24, 0, 9, 0]);
    let data = &encoded.bonus[header..];
    assert_eq!(data[..8], link.mode.to_le_bytes());
    assert_eq!(data[8..16], link.size.to_le_bytes());
    assert_eq!(data[40..48], link.parent.to_le_bytes());
    assert_eq!(&data[160..], b"./usr/bin");

    let plain = encode(&file(0o644).attributes(), BONUS_MAX, &mut layouts).expect("encodes");
    assert_eq!((plain.bonus.len(), plain.bonus[4], plain.bonus[5] >> 2), (8 + 160, 3, 1));
}

#[test]
fn long_links_spill_where_zfs_makes_them_spill() {
    let mut layouts = Layouts::default();
    for (len, spills) in [(0, false), (144, false), (145, true), (1023, true), (60_000, true)] {
        let mut link = file(0o777);
        link.symlink = Some(vec![b'x'; len]);
        let encoded = encode(&link.attributes(), BONUS_MAX, &mut layouts).expect("encodes");
        assert_eq!(encoded.spill.is_some(), spills, "{len} bytes");
        assert!(encoded.bonus.len() <= if spills { 192 } else { 320 });
        if let Some(spill) = &encoded.spill {
            assert_eq!((encoded.bonus.len(), spill.len()), (192, (len + 8).next_multiple_of(512)));
        }
        assert_eq!(read(&encoded, &layouts), link);
    }
    assert_eq!(layouts.zap_entries().len(), 3);
    let mut link = file(0o777);
    link.symlink = Some(vec![b'x'; 70_000]);
    assert_eq!(encode(&link.attributes(), BONUS_MAX, &mut layouts), Err(SaError::TooLong(70_000)));
}

#[test]
fn device_numbers_are_those_of_each_kernel() {
    assert_eq!(DeviceNumbers::Illumos.encode(13, 2), Some(0xd_0000_0002));
    assert_eq!(DeviceNumbers::Linux.encode(1, 3), Some(0x10_0003));
    assert_eq!(DeviceNumbers::Linux.encode(4096, 0), None);
    for numbers in [DeviceNumbers::Illumos, DeviceNumbers::Linux] {
        let rdev = numbers.encode(4095, 0xf_fffe).expect("fits");
        assert_eq!(numbers.decode(rdev), (4095, 0xf_fffe));
    }
}

proptest! {
    #[test]
    fn attributes_are_read_back(
        mode in 0_u32..0o10000, secs: i64, nanos in 0_u32..1_000_000_000, id: u32,
        rdev: Option<u64>, xattr in proptest::option::of(1_u64..1 << 48),
        symlink in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..2000)),
    ) {
        let mut layouts = Layouts::default();
        let znode = Znode {
            uid: u64::from(id), ctime: Time { secs, nanos }, rdev, xattr, symlink, ..file(mode)
        };
        let encoded = encode(&znode.attributes(), BONUS_MAX, &mut layouts).expect("encodes");
        prop_assert_eq!(read(&encoded, &layouts), znode);
    }

    #[test]
    fn any_buffer_is_read_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        magic: bool, layout in 0_u8..6, header in 0_u8..8,
    ) {
        let mut layouts = Layouts::default();
        for mode in [0o644, 0o604] {
            let mut link = file(mode);
            encode(&link.attributes(), BONUS_MAX, &mut layouts).expect("encodes");
            link.symlink = Some(vec![0; 500]);
            encode(&link.attributes(), BONUS_MAX, &mut layouts).expect("encodes");
        }
        if magic && bytes.len() > 6 {
            bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
            bytes[4] = layout;
            bytes[5] = header << 2;
        }
        if let Ok(attributes) = decode(&bytes, &Registry::standard(&layouts)) {
            prop_assert!(attributes.iter().all(|(_, value)| value.len() <= bytes.len()));
        }
    }
}
