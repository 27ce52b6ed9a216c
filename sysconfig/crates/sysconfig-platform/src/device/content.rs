//! What a device holds, by its first and its last MiB, and by samples between them.
//!
//! ZFS itself recognises its own labels and, on illumos, the file systems of illumos. So the plugin looks itself, and
//! trusts zeros only: what is not known is still somebody's.

use crate::sum;
use serde::{Deserialize, Serialize};

/// How much is read at either end, in bytes. Every format below has something there, except for copies.
pub(crate) const REGION: u64 = 1 << 20;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is, for people: `an ext2, ext3 or ext4 file system`.
    pub what: String,
    /// Where it was recognised, in bytes from the beginning of the device.
    pub at: u64,
}

/// What was read of a device: its two ends, which overlap in a small one, and samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) tail: &'a [u8],
    /// Where each was read, and what it is.
    pub(crate) samples: &'a [(u64, Vec<u8>)],
    /// Bytes of the device.
    pub(crate) bytes: u64,
}

/// Bytes of a sample.
pub(crate) const SAMPLE: u64 = 4096;
/// How many samples are spread over a device. Whoever has wiped the beginning of a file system has not wiped the rest.
const SPREAD: u64 = 128;
const MIB: u64 = 1 << 20;

/// Where formats keep copies of what stands at the beginning, in bytes: the second to the eighth block group of an ext
/// file system with blocks of 1, 2 and 4 KiB (`sparse_super` in ext4(5)), the mirrors of btrfs at 64 MiB and 256 GiB.
const COPIES: &[u64] = &[
    8193 << 10,
    (3 * 8192 + 1) << 10,
    (5 * 8192 + 1) << 10,
    (7 * 8192 + 1) << 10,
    32 * MIB,
    96 * MIB,
    160 * MIB,
    224 * MIB,
    128 * MIB,
    384 * MIB,
    640 * MIB,
    896 * MIB,
    64 * MIB,
    256 << 30,
];

/// Where samples of a device are read, in whole sectors between its ends.
pub(crate) fn sample_places(bytes: u64) -> Vec<u64> {
    let end = (bytes.saturating_sub(REGION) / SAMPLE * SAMPLE).saturating_sub(SAMPLE);
    let spread = (1..SPREAD).map(|at| bytes / SPREAD * at);
    let all = COPIES.iter().copied().chain(spread).map(|at| at / SAMPLE * SAMPLE);
    let mut places: Vec<u64> = all.filter(|at| (REGION..end).contains(at)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

struct Signature {
    what: &'static str,
    magic: &'static [u8],
    place: Place,
}

enum Place {
    /// From the beginning.
    Head(usize),
    /// From the end, backwards.
    Tail(usize),
    /// From the end cut to whole multiples of the first, backwards.
    Aligned(u64, u64),
}

const fn head(what: &'static str, at: usize, magic: &'static [u8]) -> Signature {
    Signature { what, magic, place: Place::Head(at) }
}

/// Sources: `libblkid`'s documentation and the formats' own; offsets in bytes.
const SIGNATURES: &[Signature] = &[
    head("a GUID partition table", 512, b"EFI PART"),
    head("a GUID partition table", 4096, b"EFI PART"),
    Signature { what: "the copy of a GUID partition table", magic: b"EFI PART", place: Place::Tail(512) },
    Signature { what: "the copy of a GUID partition table", magic: b"EFI PART", place: Place::Tail(4096) },
    head("a Solaris disk label", 508, &[0xda, 0xbe]),
    head("a Solaris disk label", 508, &[0xbe, 0xda]),
    head("an Apple partition map", 512, b"PM\0\0"),
    head("a BSD disk label", 512, &[0x57, 0x45, 0x56, 0x82]),
    head("a LUKS volume", 0, b"LUKS\xba\xbe"),
    head("a LUKS volume", 0, b"SKUL\xba\xbe"),
    head("an LVM physical volume", 0, b"LABELONE"),
    head("an LVM physical volume", 512, b"LABELONE"),
    head("an LVM physical volume", 1024, b"LABELONE"),
    head("an LVM physical volume", 1536, b"LABELONE"),
    head("a member of a Linux RAID", 0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    head("a member of a Linux RAID", 4096, &[0xfc, 0x4e, 0x2b, 0xa9]),
    Signature { what: "a member of a Linux RAID", magic: &[0xfc, 0x4e, 0x2b, 0xa9], place: Place::Aligned(4096, 8192) },
    Signature {
        what: "a member of a Linux RAID",
        magic: &[0xfc, 0x4e, 0x2b, 0xa9],
        place: Place::Aligned(65536, 65536),
    },
    head(
        "a bcache device",
        4096 + 24,
        &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81],
    ),
    head("an ext2, ext3 or ext4 file system", 1024 + 56, &[0x53, 0xef]),
    head("an XFS file system", 0, b"XFSB"),
    head("a btrfs file system", 65536 + 64, b"_BHRfS_M"),
    head("an F2FS file system", 1024, &[0x10, 0x20, 0xf5, 0xf2]),
    head("a NILFS2 file system", 1024 + 6, &[0x34, 0x34]),
    head("a JFS file system", 32768, b"JFS1"),
    head("a ReiserFS file system", 65536 + 52, b"ReIsEr"),
    head("an EROFS file system", 1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
    head("a squashfs file system", 0, b"hsqs"),
    head("a cramfs file system", 0, &[0x45, 0x3d, 0xcd, 0x28]),
    head("a romfs file system", 0, b"-rom1fs-"),
    head("a BFS file system", 0, &[0xce, 0xfa, 0xad, 0x1b]),
    head("a FAT file system", 54, b"FAT1"),
    head("a FAT file system", 82, b"FAT32"),
    head("an exFAT file system", 3, b"EXFAT   "),
    head("an NTFS file system", 3, b"NTFS    "),
    head("an HFS+ file system", 1024, b"H+"),
    head("an HFS file system", 1024, b"BD"),
    head("an APFS container", 32, b"NXSB"),
    head("a UFS file system", 8192 + 1372, &[0x54, 0x19, 0x01, 0x00]),
    head("a UFS file system", 65536 + 1372, &[0x19, 0x01, 0x54, 0x19]),
    head("an ISO 9660 file system", 32768 + 1, b"CD001"),
    head("a UDF file system", 32768 + 1, b"BEA01"),
    head("swap space", 4096 - 10, b"SWAPSPACE2"),
    head("swap space", 8192 - 10, b"SWAPSPACE2"),
    head("swap space", 65536 - 10, b"SWAPSPACE2"),
    head("a disk image in qcow2 form", 0, b"QFI\xfb"),
    head("a disk image in VDI form", 64, &[0x7f, 0x10, 0xda, 0xbe]),
    head("a disk image in VMDK form", 0, b"KDMV"),
    head("a ceph device", 0, b"bluestore block device"),
    head("a DRBD device", 0, b"DRBD"),
    head("a tar archive", 257, b"ustar"),
    head("a gzip archive", 0, &[0x1f, 0x8b, 0x08]),
    head("an xz archive", 0, &[0xfd, b'7', b'z', b'X', b'Z', 0]),
    head("a zstd archive", 0, &[0x28, 0xb5, 0x2f, 0xfd]),
    head("a zip archive", 0, b"PK\x03\x04"),
    head("a program", 0, b"\x7fELF"),
];

/// What was found, the best known first; nothing when everything that was read is zeros.
pub(crate) fn findings(ends: Ends<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for signature in SIGNATURES {
        if let Some(at) = place(ends, signature) {
            if !found.iter().any(|finding| finding.what == signature.what) {
                found.push(Finding { what: signature.what.to_owned(), at });
            }
        }
    }
    found.extend(minix(ends.head));
    // Boot sectors of file systems end like a partition table, so this one counts where nothing else is known.
    if found.is_empty() && ends.head.get(510..512) == Some(&[0x55, 0xaa]) {
        found.push(Finding { what: "a partition table or boot sector".to_owned(), at: 510 });
    }
    if found.is_empty() {
        found.extend(ends.samples.iter().find_map(copy));
    }
    if found.is_empty() {
        found.extend(unknown(ends));
    }
    found
}

/// A Minix file system, by more than its two bytes of magic: the random UUID of swap space has them now and then.
///
/// Its superblock is at 1 KiB (`linux/minix_fs.h`): versions 1 and 2 have the magic at 16, with names of 14 or 30
/// characters, and after it the state, of which two bits are in use; version 3 has it at 24, and the size of a block at 28.
fn minix(head: &[u8]) -> Option<Finding> {
    const SUPERBLOCK: usize = 1024;
    let field = |at: usize| head.get(SUPERBLOCK + at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
    let at = match (field(16)?, field(18)?, field(24)?, field(28)?) {
        (0x137f | 0x138f | 0x2468 | 0x2478, 0..=3, ..) => 16,
        (_, _, 0x4d5a, size) if size >= 1024 && size.is_power_of_two() => 24,
        _ => return None,
    };
    Some(Finding { what: "a Minix file system".to_owned(), at: (SUPERBLOCK + at) as u64 })
}

/// The copy of a superblock that a sample may be.
fn copy((at, sample): &(u64, Vec<u8>)) -> Option<Finding> {
    // The first KiB of a block of 2 or 4 KiB is the superblock, except in the first group; a sample may begin 1 KiB earlier.
    let is_ext = |from: usize| sample.get(from + 56..from + 58) == Some(&[0x53, 0xef]);
    let (what, from) = match () {
        () if is_ext(0) => ("the rest of an ext2, ext3 or ext4 file system", 56),
        () if is_ext(1024) => ("the rest of an ext2, ext3 or ext4 file system", 1024 + 56),
        () if sample.get(64..72) == Some(b"_BHRfS_M") => ("the rest of a btrfs file system", 64),
        () => return None,
    };
    COPIES.iter().any(|copy| copy / SAMPLE * SAMPLE == *at).then(|| Finding { what: what.to_owned(), at: at + from })
}

/// Where a signature stands, in bytes from the beginning.
fn place(ends: Ends<'_>, signature: &Signature) -> Option<u64> {
    let tail_at = ends.bytes.saturating_sub(ends.tail.len() as u64);
    let at = match signature.place {
        Place::Head(at) => at as u64,
        Place::Tail(back) => ends.bytes.checked_sub(back as u64)?,
        Place::Aligned(unit, back) => (ends.bytes / unit * unit).checked_sub(back)?,
    };
    let (bytes, from) = match signature.place {
        Place::Head(_) => (ends.head, 0),
        Place::Tail(_) | Place::Aligned(..) => (ends.tail, tail_at),
    };
    let from = usize::try_from(at.checked_sub(from)?).ok()?;
    (bytes.get(from..)?.starts_with(signature.magic)).then_some(at)
}

/// What is told of bytes of no known format.
pub(super) const VAGUE: [&str; 2] = ["text", "something unknown"];

fn unknown(ends: Ends<'_>) -> Option<Finding> {
    let tail_at = ends.bytes.saturating_sub(ends.tail.len() as u64);
    let first = |bytes: &[u8], from: u64| first_nonzero(bytes).map(|at| from + at as u64);
    let between = || ends.samples.iter().find_map(|(at, sample)| first(sample, *at));
    let at = first(ends.head, 0).or_else(between).or_else(|| first(ends.tail, tail_at))?;
    let begins_with_text =
        ends.head.len() >= 16 && ends.head[..16].iter().all(|byte| matches!(byte, 9..=13 | 32..=126 | 128..));
    let [text, unknown] = VAGUE;
    let what = if at == 0 && begins_with_text { text } else { unknown };
    Some(Finding { what: what.to_owned(), at })
}

/// Most of what is read is zeros, so they are passed over by pages.
fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    const PAGE: usize = 4096;
    const ZEROS: [u8; PAGE] = [0; PAGE];
    let page = bytes.chunks(PAGE).position(|page| page != &ZEROS[..page.len()])? * PAGE;
    bytes[page..].iter().position(|byte| *byte != 0).map(|at| page + at)
}

/// What stands for the table around a label, and needs no telling beside it.
const TABLES: [&str; 4] = [
    "a GUID partition table",
    "the copy of a GUID partition table",
    "a Solaris disk label",
    "a partition table or boot sector",
];

/// Findings for people; beside a label only what it does not stand for.
pub(super) fn words(findings: &[Finding], beside_label: bool) -> Vec<String> {
    let is_of_label = |what: &str| VAGUE.contains(&what) || TABLES.contains(&what);
    let told = findings.iter().filter(|finding| !beside_label || !is_of_label(&finding.what));
    told.map(|finding| format!("{} (at byte {})", finding.what, finding.at)).collect()
}

/// What tells whether either has changed.
pub(super) fn join(one: &str, other: &str) -> String {
    sum::of(format!("{one} {other}").as_bytes())
}

/// What tells whether any of it has changed.
pub(crate) fn fingerprint(ends: Ends<'_>) -> String {
    let ends_and_samples = ends.samples.iter().map(|(_, sample)| sample.as_slice()).chain([ends.head, ends.tail]);
    ends_and_samples.fold(ends.bytes.to_string(), |all, part| join(&all, &sum::of(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: &[u8]) -> Vec<Finding> {
        let region = bytes.len().min(1 << 20);
        let length = bytes.len() as u64;
        let sample = |at: u64| (at, bytes[at as usize..][..SAMPLE as usize].to_vec());
        let samples: Vec<_> = sample_places(length).into_iter().map(sample).collect();
        let tail = &bytes[bytes.len() - region..];
        findings(Ends { head: &bytes[..region], tail, samples: &samples, bytes: length })
    }

    #[test]
    fn every_signature_is_found_where_it_belongs() {
        for signature in SIGNATURES {
            let mut bytes = vec![0; (4 << 20) + 512 * 5];
            let len = bytes.len();
            let at = match signature.place {
                Place::Head(at) => at,
                Place::Tail(back) => len - back,
                Place::Aligned(unit, back) => len / unit as usize * unit as usize - back as usize,
            };
            bytes[at..at + signature.magic.len()].copy_from_slice(signature.magic);
            let found = look(&bytes);
            assert_eq!((found[0].what.as_str(), found[0].at), (signature.what, at as u64));
        }
    }

    #[test]
    fn minix_is_more_than_two_bytes() {
        let mut bytes = vec![0; 4 << 20];
        for (at, magic) in [
            (16, &[0x7f, 0x13, 1, 0][..]),
            (16, &[0x8f, 0x13, 2, 0]),
            (16, &[0x68, 0x24, 1, 0]),
            (16, &[0x78, 0x24, 3, 0]),
            (24, &[0x5a, 0x4d, 0, 0, 0, 4]),
        ] {
            let place = 1024 + at..1024 + at + magic.len();
            bytes[place.clone()].copy_from_slice(magic);
            let at = 1024 + at as u64;
            assert_eq!(look(&bytes), [Finding { what: "a Minix file system".into(), at }]);
            bytes[place].fill(0);
        }
        bytes[4096 - 10..4096].copy_from_slice(b"SWAPSPACE2");
        for uuid in [*b"\0\0\0\0\x7f\x13\x40\0\x80\0\0\0\0\0\0\0", *b"\0\0\0\0\0\0\x40\0\x80\0\0\0\x5a\x4d\0\0"] {
            bytes[1036..1052].copy_from_slice(&uuid);
            assert_eq!(look(&bytes), [Finding { what: "swap space".into(), at: 4086 }]);
        }
    }

    #[test]
    fn zeros_are_nothing_and_a_single_bit_is_something() {
        let mut bytes = vec![0; 4 << 20];
        assert_eq!(look(&bytes), []);
        for at in [0, 1, 511, (1 << 20) - 1, 3 << 20, (4 << 20) - 1] {
            bytes[at] = 1;
            assert_eq!(look(&bytes), [Finding { what: "something unknown".into(), at: at as u64 }]);
            bytes[at] = 0;
        }
        assert_eq!(look(b"A shopping list:\nmilk\n")[0].what, "text");
        assert_eq!(look(&[]), []);
        let mut sector = vec![0; 4096];
        sector[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(look(&sector)[0].what, "a partition table or boot sector");
    }

    #[test]
    fn what_is_left_between_wiped_ends_is_found() {
        let mut bytes = vec![0; 80 << 20];
        for (at, magic, what) in [
            ((8193 << 10) + 56, &[0x53, 0xef][..], "the rest of an ext2, ext3 or ext4 file system"),
            ((32 << 20) + 56, &[0x53, 0xef], "the rest of an ext2, ext3 or ext4 file system"),
            ((64 << 20) + 64, b"_BHRfS_M", "the rest of a btrfs file system"),
            ((40 << 20) + 7, b"x", "something unknown"),
        ] {
            bytes[at..at + magic.len()].copy_from_slice(magic);
            assert_eq!(look(&bytes), [Finding { what: what.into(), at: at as u64 }]);
            bytes[at..at + magic.len()].fill(0);
        }
        assert_eq!(look(&bytes), []);
        for bytes in [0, 1, 4096, 1 << 20, (2 << 20) + 1, 1 << 30, 1 << 50] {
            let places = sample_places(bytes);
            assert!(places.len() < 200 && places.iter().all(|at| at % 4096 == 0 && at + SAMPLE <= bytes), "{bytes}");
        }
    }

    #[test]
    fn fuzz_contents() {
        test_judge::fuzz(300, |random| {
            let length = random.below(70_000);
            let mut bytes = vec![0; length];
            random.damage(&mut bytes);
            let found = look(&bytes);
            assert_eq!(found.is_empty(), bytes.iter().all(|byte| *byte == 0));
            assert!(found.iter().all(|finding| finding.at < bytes.len() as u64));
        });
    }
}
