//! The reader against pools of the writer, whole ones and damaged ones.

mod fixture;

use std::sync::{Arc, OnceLock};

use fixture::{Fixture, Patched, noise, text};
use image_tree::{AclEntry, AclKind, AclWho, Metadata, Tree};
use zfs_format::label::START_BYTES;
use zfs_format::sa::DeviceNumbers;
use zfs_image::reader::{Pool, ProblemKind, ReadError, TreeLimits, VerifyOptions, Visit, Window, tree};

/// The pool that most tests read: writing it takes longer than reading it.
fn shared() -> Arc<Vec<u8>> {
    static IMAGE: OnceLock<Arc<Vec<u8>>> = OnceLock::new();
    let make = || {
        let fixture = Fixture::new();
        Arc::new(fixture.write(&fixture.spec()))
    };
    Arc::clone(IMAGE.get_or_init(make))
}

fn open(image: &[u8]) -> Pool<'_> {
    Pool::open(image, image.len() as u64).unwrap_or_else(|error| panic!("{}", error.chain()))
}

fn problems(pool: &Pool<'_>) -> Vec<String> {
    pool.verify(&VerifyOptions::default()).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pool_of_the_writer_is_clean_and_holds_what_went_in() {
    let fixture = Fixture::new();
    let spec = fixture.spec();
    let image = fixture.write(&spec);
    let pool = open(&image);
    assert_eq!(problems(&pool), Vec::<String>::new());
    assert_eq!(pool.name(), "rpool");

    let out = fixture.scratch.path().join("out");
    let out = image_tree::Store::open(out).expect("a store");
    for dataset in &spec.datasets {
        for name in [dataset.name.clone()]
            .into_iter()
            .chain(dataset.snapshots.iter().map(|at| format!("{}@{at}", dataset.name)))
        {
            let Some(expected) = &dataset.tree else { continue };
            fixture.read_back(&pool, &name, expected, &out);
        }
    }
}

/// No name leads to the root, and it may have all that other directories have.
#[test]
fn a_root_with_attributes_and_a_list_is_clean() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    let mut root = Metadata::new(0, 3, 0o1711);
    root.xattrs.insert(b"user.one".to_vec(), b"1".to_vec());
    root.xattrs.insert(b"user.two".to_vec(), vec![2; 9000]);
    root.acl = Some(vec![AclEntry { who: AclWho::User(7), kind: AclKind::Deny, flags: 3, mask: 2 }; 20].into());
    spec.datasets[2].tree = Some(Tree::new(root));
    let image = fixture.write(&spec);
    let pool = open(&image);
    assert_eq!(problems(&pool), Vec::<String>::new());
    let out = image_tree::Store::open(fixture.scratch.path().join("out")).expect("a store");
    let dataset = pool.dataset("rpool/ROOT/be").expect("a dataset");
    let found = tree(&pool, &dataset, &out, DeviceNumbers::Illumos, &TreeLimits::default()).expect("its tree");
    assert_eq!(Some(&found), spec.datasets[2].tree.as_ref());
}

#[test]
fn datasets_and_properties_are_found() {
    let image = shared();
    let pool = open(&image);
    let names: Vec<String> = pool.datasets().expect("datasets").into_iter().map(|dataset| dataset.name).collect();
    assert_eq!(names, ["rpool", "rpool/ROOT", "rpool/ROOT/be", "rpool/export"]);
    let snapshots: Vec<String> = pool.snapshots().expect("snapshots").into_iter().map(|one| one.name).collect();
    assert_eq!(snapshots, ["rpool/ROOT/be@install"]);
    let directories = pool.directories().expect("directories");
    let be = directories.iter().find(|directory| directory.name == "rpool/ROOT/be").expect("it is there");
    let properties = pool.properties(be).expect("properties");
    let expected =
        [("canmount", "noauto"), ("compression", "lz4"), ("mountpoint", "/"), ("org.opensolaris.libbe:uuid", "b5cd")];
    for (name, value) in expected {
        assert_eq!(properties.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(pool.boot_dataset().expect("read").map(|dataset| dataset.name), Some("rpool/ROOT/be".to_owned()));
    assert_eq!(pool.pool_properties().expect("read").get("autoexpand").map(String::as_str), Some("on"));
}

#[test]
fn files_are_found_by_path_and_read_in_parts() {
    let image = shared();
    let pool = open(&image);
    let files = pool.file_system(&pool.dataset("rpool/ROOT/be").expect("it is there")).expect("a file system");

    let file = files.lookup(b"/etc/link", true).expect("it is there");
    let mut buffer = [0; 16];
    assert_eq!(files.read_at(&file, &mut buffer, 0).expect("read"), 5);
    assert_eq!(&buffer[..5], b"deep\n");
    assert_eq!(files.read_at(&file, &mut buffer, 5).expect("read"), 0);
    assert!(files.lookup(b"/etc/link", false).expect("it is there").is_symlink());
    assert!(files.lookup(b"/etc/long", true).expect("it is there").is_regular());
    assert!(matches!(files.lookup(b"/etc/none", true), Err(ReadError::NotFound(_))));
    assert!(matches!(files.lookup(b"/etc/nothing/below", true), Err(ReadError::NotFound(_))));

    let records = files.lookup(b"etc/records", true).expect("it is there");
    let expected = noise(131_072 * 9 + 77);
    let mut part = vec![0; 200_000];
    assert_eq!(files.read_at(&records, &mut part, 131_000).expect("read"), 200_000);
    assert!(part == expected[131_000..331_000]);
    let sparse = files.lookup(b"/etc/sparse", true).expect("it is there");
    let mut part = [7; 20];
    files.read_at(&sparse, &mut part, (5 << 20) - 4).expect("read");
    assert_eq!(&part, b"\0\0\0\0theend\0\0\0\0\0\0\0\0\0\0");
    let mut part = [7; 8];
    files.read_at(&sparse, &mut part, 150 << 20).expect("read");
    assert_eq!(part, [0; 8]);
    assert_eq!(files.read_dir(&files.lookup(b"/many", true).expect("it is there")).expect("read").len(), 3000);
}

#[test]
fn a_pool_inside_a_disk_is_read_through_a_window() {
    let image = shared();
    let mut disk = vec![0xee; 256 * 512];
    disk.extend_from_slice(&image);
    disk.extend_from_slice(&[0xee; 4096]);
    let window = Window::new(&disk, 256 * 512, image.len() as u64);
    let pool = Pool::open(window, image.len() as u64).expect("a pool");
    assert_eq!(problems(&pool), Vec::<String>::new());
}

#[test]
fn what_is_no_pool_is_refused_in_words() {
    let refuse = |image: &[u8]| Pool::open(image, image.len() as u64).expect_err("no pool").chain();
    for image in [&[][..], &[0; 100], &vec![0; 1 << 20], &text(2 << 20)] {
        assert!(refuse(image).starts_with("there is no ZFS pool here"), "{} bytes", image.len());
    }
    let image = shared();
    let short = refuse(&image[..image.len() / 2]);
    let (bytes, half) = (image.len(), image.len() / 2);
    let expected = format!("the image is cut short: its pool is for a device of {bytes} bytes, and {half} are there");
    assert_eq!(short, expected);
    // What is lost at the end are labels only: everything else can be read, and the loss is told.
    let short = &image[..bytes - 1000];
    let pool = Pool::open(short, short.len() as u64).expect("a pool");
    let told = problems(&pool).join("\n");
    assert!(told.contains("the image is cut short") && told.contains("label 2: "), "{told}");
}

/// Where the first block of a file is on the device, and how many bytes are stored there.
fn first_block(pool: &Pool<'_>, dataset: &str, path: &str) -> Vec<(u64, u32)> {
    let files = pool.file_system(&pool.dataset(dataset).expect("it is there")).expect("a file system");
    let file = files.lookup(path.as_bytes(), true).expect("it is there");
    let mut found = Vec::new();
    let visit = |level, _, pointer: &zfs_format::block::BlockPointer| {
        if let (0, zfs_format::block::BlockPointer::Data(block), true) = (level, pointer, found.is_empty()) {
            let copies = block.dvas.iter().filter(|dva| !dva.is_empty());
            found.extend(copies.map(|dva| (START_BYTES + dva.offset, block.physical_bytes)));
        }
        Ok(Visit::Descend)
    };
    files.objset().for_each_pointer(&file.dnode, visit).expect("walked");
    found
}

#[test]
fn one_flipped_bit_is_found_where_it_is() {
    let image = shared();
    let (at, len) = first_block(&open(&image), "rpool/ROOT/be", "/etc/records")[0];
    let at = at + u64::from(len) / 2;
    let byte = image[at as usize] ^ 0x10;
    let patched = Patched { base: Arc::clone(&image), patches: vec![(at, vec![byte])] };
    let pool = Pool::open(&patched, image.len() as u64).expect("a pool");
    let report = pool.verify(&VerifyOptions::default());
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    let problem = &report.problems[0];
    // The snapshot came first, and the block is its.
    assert_eq!(problem.dataset.as_deref(), Some("rpool/ROOT/be@install"));
    assert_eq!((problem.path.as_deref(), problem.offset), (Some("/etc/records"), Some(0)));
    assert!(matches!(&problem.kind, ProblemKind::Copy { copy: 0, reason } if reason == "has a wrong checksum"));
    let files = pool.file_system(&pool.dataset("rpool/ROOT/be").expect("it is there")).expect("a file system");
    let file = files.lookup(b"/etc/records", true).expect("it is there");
    assert!(matches!(files.read_at(&file, &mut [0; 10], 0), Err(ReadError::Block { .. })));
}

#[test]
fn a_second_copy_is_read_when_the_first_is_bad() {
    let image = shared();
    let copies = first_block(&open(&image), "rpool/export", "/note");
    if copies.is_empty() {
        // Five bytes may be embedded in the pointer; then there is nothing to damage.
        panic!("the fixture has to have a block here");
    }
    assert_eq!(copies.len(), 2);
    let patched = Patched { base: Arc::clone(&image), patches: vec![(copies[0].0, vec![0xff])] };
    let pool = Pool::open(&patched, image.len() as u64).expect("a pool");
    let files = pool.file_system(&pool.dataset("rpool/export").expect("it is there")).expect("a file system");
    let mut buffer = [0; 5];
    files.read_at(&files.lookup(b"/note", true).expect("it is there"), &mut buffer, 0).expect("read");
    assert_eq!(&buffer, b"plain");
    assert_eq!(problems(&pool).len(), 1);
}

#[test]
fn every_label_is_needed_and_any_one_suffices() {
    let image = shared();
    let offsets = zfs_format::label::label_offsets(image.len() as u64);
    for kept in 0..4 {
        let lost = offsets.iter().enumerate().filter(|(index, _)| *index != kept);
        let patches = lost.map(|(_, offset)| (offset + (16 << 10), vec![0xff; 64])).collect();
        let patched = Patched { base: Arc::clone(&image), patches };
        let pool = Pool::open(&patched, image.len() as u64).expect("a pool");
        let found = problems(&pool);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|problem| problem.contains("the checksum of the configuration is wrong")));
    }
}
