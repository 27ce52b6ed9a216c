//! Damaged and malicious objects: any answer will do, as long as there is one, soon.

mod elf_writer;

use elf_abi::{Guest, defined_versions, inspect};
use elf_writer::{debian_program, glibc, illumos_program};
use proptest::prelude::*;

fn swallow(bytes: &[u8]) {
    if let (Ok(program), Ok(guest)) = (inspect(bytes), Guest::from_libc(bytes)) {
        let _ = program.check(&guest);
    }
    let _ = defined_versions(bytes);
}

/// A whole object to be damaged: a program, a library, another system's and another class.
fn objects() -> Vec<Vec<u8>> {
    let mut narrow = debian_program();
    narrow.wide = false;
    let mut big_endian = glibc(&["GLIBC_2.2.5", "GLIBC_2.36"]);
    big_endian.little_endian = false;
    vec![
        debian_program().build(),
        illumos_program().build(),
        glibc(&["GLIBC_2.2.5", "GLIBC_2.36"]).build(),
        narrow.build(),
        big_endian.build(),
    ]
}

#[test]
fn an_object_cut_off_anywhere_is_refused_or_read() {
    for object in objects() {
        for length in 0..object.len() {
            swallow(&object[..length]);
        }
        // The last parts written are the tables that `inspect` must have.
        assert!(inspect(&object[..object.len() - 17]).is_err());
    }
}

#[test]
fn every_single_byte_may_be_anything() {
    for object in objects() {
        for at in 0..object.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = object.clone();
                damaged[at] = value;
                swallow(&damaged);
            }
        }
    }
}

#[test]
fn a_list_that_returns_to_itself_ends() {
    // Versions whose entries overlap as tightly as they can, with the largest counts.
    let mut object = debian_program();
    object.needs = vec![("libc.so.6", vec!["GLIBC_2.2.5"; 40])];
    let honest = object.build();
    let mut crafted = honest.clone();
    let at = honest.windows(4).position(|w| w == [1, 0, 40, 0]).unwrap();
    crafted[at + 2..at + 4].copy_from_slice(&u16::MAX.to_le_bytes());
    for aux in 0..40 {
        let next = at + 16 + aux * 16 + 12;
        crafted[next..next + 4].copy_from_slice(&1u32.to_le_bytes());
    }
    swallow(&crafted);
    assert!(inspect(&honest).is_ok());
}

proptest! {
    #[test]
    fn random_bytes_behind_an_elf_header(mut bytes in prop::collection::vec(any::<u8>(), 64..2048), wide: bool) {
        bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1, 0]);
        swallow(&bytes);
    }

    #[test]
    fn several_damaged_words(index in 0usize..5, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..12)) {
        let mut object = objects().swap_remove(index);
        for (place, value) in damage {
            let at = place.index(object.len() - 8);
            object[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        swallow(&object);
    }
}

#[test]
fn fuzz_objects() {
    let objects = objects();
    test_judge::fuzz(5000, |random| {
        let mut object = random.pick(&objects).clone();
        random.damage(&mut object);
        swallow(&object);
    });
}
