//! Every kind of problem is found: a clean pool is changed behind its checksums, in one place.

use std::sync::{Mutex, OnceLock};

use image_tree::{ImagePath, Metadata, Node, Store, Timestamp, Tree};
use zfs_format::block::{BLOCK_POINTER_BYTES, BlockPointer};
use zfs_format::dnode::{DNODE_BYTES, Dnode};
use zfs_format::feature::FeatureSet;
use zfs_format::object::ObjectType;

use super::super::Pool;
use super::VerifyOptions;
use crate::writer::{DatasetSpec, DeviceNumbers, Output, PoolSpec, VdevSpec, WriteOptions, write_pool};

const DEVICE_BYTES: usize = 64 << 20;

struct Memory(Mutex<Vec<u8>>);

impl Output for Memory {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> std::io::Result<()> {
        let mut device = self.0.lock().expect("no writer died");
        device[position as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let scratch = tempfile::tempdir().expect("a directory");
        let store = Store::open(scratch.path()).expect("a store");
        let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
        let data: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = Node::regular(store.put_bytes(&data).expect("stored"), Metadata::new(0, 0, 0o644));
        tree.insert(&ImagePath::new("/file").expect("a path"), file).expect("inserted");
        let vdev = VdevSpec { path: "/dev/dsk/c1t0d0s0".to_owned(), phys_path: None, devid: None, whole_disk: true };
        let dataset =
            DatasetSpec { name: "pool".to_owned(), properties: Vec::new(), tree: Some(tree), snapshots: Vec::new() };
        let spec = PoolSpec {
            name: "pool".to_owned(),
            ashift: 12,
            features: FeatureSet::none(),
            seed: [3; 32],
            properties: Vec::new(),
            bootfs: None,
            datasets: vec![dataset],
            vdev,
            time: Timestamp { secs: 1_700_000_000, nanos: 0 },
            devices: DeviceNumbers::Illumos,
        };
        let memory = Memory(Mutex::new(vec![0; DEVICE_BYTES]));
        write_pool(&spec, &store, &memory, DEVICE_BYTES as u64, &WriteOptions::default()).expect("written");
        memory.0.into_inner().expect("no writer died")
    })
}

/// The problems of the pool with its contents changed.
fn problems(change: impl Fn(&BlockPointer, &mut [u8]) + Send + Sync) -> Vec<String> {
    let pool = Pool::open_with(Box::new(image()), DEVICE_BYTES as u64, Some(Box::new(change)));
    let pool = pool.unwrap_or_else(|error| panic!("{}", error.chain()));
    let report = pool.verify(&VerifyOptions::default());
    report.problems.iter().map(ToString::to_string).collect()
}

fn kind(pointer: &BlockPointer) -> (ObjectType, u8) {
    match pointer {
        BlockPointer::Hole(hole) => (hole.kind, hole.level),
        BlockPointer::Embedded(embedded) => (embedded.kind, embedded.level),
        BlockPointer::Data(block) => (block.kind, block.level),
    }
}

/// Changes the dnodes that `change` wants changed, wherever dnodes are.
fn problems_of_dnodes(change: impl Fn(&mut Dnode) + Send + Sync) -> Vec<String> {
    problems(move |pointer, content| {
        if kind(pointer) != (ObjectType::DNODE, 0) {
            return;
        }
        for slot in content.chunks_exact_mut(DNODE_BYTES) {
            if let Ok(Some(mut dnode)) = Dnode::decode(slot) {
                change(&mut dnode);
                slot.copy_from_slice(&dnode.encode().expect("possible"));
            }
        }
    })
}

fn is_file(dnode: &Dnode) -> bool {
    dnode.kind == ObjectType::PLAIN_FILE_CONTENTS
}

#[track_caller]
fn found(problems: &[String], expected: &str) {
    assert!(problems.iter().any(|problem| problem == expected), "{expected:?} is not in {problems:#?}");
}

#[test]
fn without_a_change_nothing_is_wrong() {
    assert_eq!(problems(|_, _| {}), Vec::<String>::new());
}

#[test]
fn space_maps_that_say_too_much_or_too_little_are_found() {
    let more_or_less = |delta: i64| {
        problems(move |pointer, content| {
            if kind(pointer) == (ObjectType::SPACE_MAP, 0) {
                // The word after the first remark is the first run of allocations; its low bits are its length.
                let word = i64::from_le_bytes(content[8..16].try_into().expect("a word"));
                content[8..16].copy_from_slice(&(word + delta).to_le_bytes());
            }
        })
    };
    for (delta, expected) in [(1, "are allocated and not used"), (-1, "are used and not allocated")] {
        let problems = more_or_less(delta);
        assert!(problems.iter().any(|problem| problem.ends_with(expected)), "{problems:#?}");
        assert!(
            problems.iter().any(|problem| problem.contains("the allocated bytes of a space map is")),
            "{problems:#?}"
        );
    }
}

#[test]
fn wrong_link_counts_sizes_and_accounts_are_found() {
    // The links are the thirteenth word of the attributes, behind a header of one word.
    let links = problems_of_dnodes(|dnode| {
        if is_file(dnode) {
            dnode.bonus[8 + 120] = 9;
        }
    });
    assert_eq!(
        links,
        ["pool, object 8, /file: the links of a file is 9, and should be 1"].map(|text| {
            let object = links.first().and_then(|found| found.split(',').nth(1)).unwrap_or_default();
            text.replace(" object 8", object)
        })
    );
    let used = problems_of_dnodes(|dnode| {
        if is_file(dnode) {
            dnode.used += 512;
        }
    });
    assert!(used.len() == 1 && used[0].contains("/file: the space used by the object is"), "{used:#?}");
    let size = problems_of_dnodes(|dnode| {
        if dnode.kind == ObjectType::DIRECTORY_CONTENTS {
            // The size is the second word.
            dnode.bonus[16] += 1;
        }
    });
    assert!(size.iter().any(|problem| problem.ends_with("the size of a directory is 4, and should be 3")), "{size:#?}");
    let referenced = problems_of_dnodes(|dnode| {
        // Of datasets, not of snapshots: those have something after them.
        if dnode.bonus_kind == ObjectType::DSL_DATASET && dnode.bonus[24] == 0 {
            dnode.bonus[74] ^= 1;
        }
    });
    assert!(referenced.iter().any(|problem| problem.starts_with("pool: `referenced` is")), "{referenced:#?}");
}

#[test]
fn wrong_pointers_are_found() {
    let double = problems(|pointer, content| {
        if kind(pointer) == (ObjectType::PLAIN_FILE_CONTENTS, 1) {
            content.copy_within(0..BLOCK_POINTER_BYTES, BLOCK_POINTER_BYTES);
        }
    });
    assert!(double.iter().any(|problem| problem.contains("/file, offset 0x20000: 0x20000 bytes at")), "{double:#?}");
    assert!(double.iter().any(|problem| problem.ends_with("are allocated and not used")), "{double:#?}");
    let fill = problems(|pointer, content| {
        if kind(pointer) == (ObjectType::PLAIN_FILE_CONTENTS, 1) {
            content[88] = 5;
        }
    });
    found(&fill.iter().map(|problem| tail(problem)).collect::<Vec<_>>(), "the fill count is 5, and should be 1");
    let birth = problems(|pointer, content| {
        if kind(pointer) == (ObjectType::PLAIN_FILE_CONTENTS, 1) {
            content[80..88].copy_from_slice(&u64::MAX.to_le_bytes());
        }
    });
    assert!(birth.iter().any(|problem| problem.contains(&format!("a block born in {}", u64::MAX))), "{birth:#?}");
}

/// What a problem says, without where.
fn tail(problem: &str) -> String {
    problem.split_once(": ").map_or_else(String::new, |(_, tail)| tail.to_owned())
}

#[test]
fn wrong_directories_are_found() {
    let on_entry = |change: fn(&mut [u8])| {
        problems(move |pointer, content| {
            if kind(pointer) == (ObjectType::DIRECTORY_CONTENTS, 0) {
                change(&mut content[64..128]);
            }
        })
    };
    let tails = |problems: Vec<String>| problems.iter().map(|problem| tail(problem)).collect::<Vec<_>>();
    found(&tails(on_entry(|slot| slot[7] = 0x40)), "the type in the directory is 4, and should be 8");
    let removed = tails(on_entry(|slot| slot.fill(0)));
    found(&removed, "a file without a name");
    found(&removed, "the size of a directory is 3, and should be 2");
    let nowhere = tails(on_entry(|slot| slot[0] = 0xee));
    found(&nowhere, "the entry \"file\" leads nowhere: object 238 does not exist");
    found(&tails(on_entry(|slot| slot[14..18].copy_from_slice(b"a/b\0"))), "the impossible name \"a/b\"");
}

#[test]
fn the_verification_ends_where_it_was_told_to() {
    let change = |pointer: &BlockPointer, content: &mut [u8]| {
        if kind(pointer).0 == ObjectType::PLAIN_FILE_CONTENTS && kind(pointer).1 == 1 {
            content.chunks_exact_mut(BLOCK_POINTER_BYTES).for_each(|pointer| pointer[80] = 0xff);
        }
    };
    let pool = Pool::open_with(Box::new(image()), DEVICE_BYTES as u64, Some(Box::new(change))).expect("a pool");
    let report = pool.verify(&VerifyOptions { problems_max: 2, files: true });
    assert_eq!((report.problems.len(), report.truncated), (2, true));
}
