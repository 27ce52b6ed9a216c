//! `docs/formats/zfs.md` has every key of the configurations that the writer writes, and no other.

mod fixture;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use fixture::{Fixture, Memory};
use zfs_format::nvlist::{NvList, NvValue};
use zfs_image::reader::Pool;
use zfs_image::writer::{WriteOptions, minimum_bytes, write_pool};

/// The rows of a table: its cells but the last.
fn rows(table: &str) -> Vec<Vec<String>> {
    let text = include_str!("../../../../docs/formats/zfs.md");
    let (_, text) = text.split_once(&format!("<!-- keys: {table} -->\n")).expect("the document has the table");
    let (text, _) = text.split_once("<!-- /keys -->").expect("the table has an end");
    let cells = |line: &str| line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
    text.lines().skip(2).map(cells).collect()
}

/// The names in a list, and those of the lists in it, as `V:` of a vdev.
fn collect(list: &NvList, kind: &str, found: &mut BTreeSet<String>) {
    for (name, value) in list.pairs() {
        found.insert(format!("{kind}: {name}"));
        match value {
            NvValue::List(vdev) if name == "vdev_tree" => collect(vdev, "V", found),
            NvValue::ListArray(children) if name == "children" => {
                children.iter().for_each(|child| collect(child, "V", found));
            }
            _ => {}
        }
    }
}

#[test]
fn every_key_of_the_configuration_is_told() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.properties.push(("comment".to_owned(), "a pool".to_owned()));
    spec.vdev.devid = Some("id1,sd@n1/b".to_owned());
    spec.vdev.phys_path = Some("/pci@0,0/pci1af4,2@4/blkdev@0,0:b".to_owned());
    let bytes = minimum_bytes(&spec).expect("a size");
    let device = Memory::new(bytes);
    let options = WriteOptions { threads: NonZeroUsize::new(2), ..WriteOptions::default() };
    write_pool(&spec, &fixture.store, &device, bytes, &options).expect("written");
    let image = device.into_bytes();
    let pool = Pool::open(&image[..], image.len() as u64).expect("a pool");

    let mut written = BTreeSet::new();
    collect(pool.label_config(), "L", &mut written);
    collect(&pool.config().expect("a configuration"), "P", &mut written);
    let told: BTreeSet<String> = rows("config")
        .iter()
        .flat_map(|row| row[1].split(", ").map(|kind| format!("{kind}: {}", row[0])).collect::<Vec<_>>())
        .collect();
    assert_eq!(told, written);
}
