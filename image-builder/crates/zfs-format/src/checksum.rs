//! Checksums of blocks.
//!
//! Sources: `zio_checksum.h` (numbers), `zfs_fletcher.c` (the sums), `sha256.c` (words are big-endian),
//! `zio_checksum.c` (`zio_eck_t`: a checksum inside the block that it covers, with its place as verifier).

use sha2::{Digest as _, Sha256};

/// A 256-bit checksum as the four words of a block pointer.
pub type Digest = [u64; 4];

/// Bytes of `zio_eck_t` at the end of a block that checks itself.
pub const EMBEDDED_CHECKSUM_BYTES: usize = 40;

/// `ZEC_MAGIC`.
const EMBEDDED_MAGIC: u64 = 0x210_da7a_b10c_7a11;

macro_rules! checksum_kinds {
    ($($number:literal $name:ident $text:literal;)*) => {
        /// `enum zio_checksum`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ChecksumKind {
            $(
                #[doc = concat!("`", $text, "`.")]
                $name = $number,
            )*
        }

        impl ChecksumKind {
            /// The kind of that number; none for those that no illumos pool has.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that `zdb` and the property `checksum` use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

// In a dnode, `inherit` says that the data set decides.
checksum_kinds! {
    0 Inherit "inherit";
    1 On "on";
    2 Off "off";
    3 Label "label";
    4 GangHeader "gang_header";
    5 Zilog "zilog";
    6 Fletcher2 "fletcher2";
    7 Fletcher4 "fletcher4";
    8 Sha256 "sha256";
    9 Zilog2 "zilog2";
    10 NoParity "noparity";
    11 Sha512 "sha512";
    12 Skein "skein";
    13 Edonr "edonr";
}

// A derive cannot mark the variant inside the macro.
#[allow(clippy::derivable_impls)]
impl Default for ChecksumKind {
    fn default() -> Self {
        Self::Inherit
    }
}

impl ChecksumKind {
    /// The number on disk.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The checksum of a block, where the kind covers just the block's bytes and is known here.
#[must_use]
pub fn digest(kind: ChecksumKind, bytes: &[u8]) -> Option<Digest> {
    match kind {
        ChecksumKind::Off | ChecksumKind::NoParity => Some([0; 4]),
        ChecksumKind::Fletcher2 => Some(fletcher2(bytes)),
        ChecksumKind::On | ChecksumKind::Fletcher4 => Some(fletcher4(bytes)),
        ChecksumKind::Sha256 => Some(sha256(bytes)),
        _ => None,
    }
}

/// Two interleaved running sums over 64-bit words. What is left of the last 16 bytes does not count.
#[must_use]
pub fn fletcher2(bytes: &[u8]) -> Digest {
    let (mut a, mut b) = ([0_u64; 2], [0_u64; 2]);
    for pair in bytes.chunks_exact(16) {
        for lane in 0..2 {
            a[lane] = a[lane].wrapping_add(word(&pair[lane * 8..]));
            b[lane] = b[lane].wrapping_add(a[lane]);
        }
    }
    [a[0], a[1], b[0], b[1]]
}

/// Four nested running sums over 32-bit words. What is left of the last 4 bytes does not count.
#[must_use]
pub fn fletcher4(bytes: &[u8]) -> Digest {
    let (mut a, mut b, mut c, mut d) = (0_u64, 0_u64, 0_u64, 0_u64);
    for four in bytes.chunks_exact(4) {
        let value = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        a = a.wrapping_add(u64::from(value));
        b = b.wrapping_add(a);
        c = c.wrapping_add(b);
        d = d.wrapping_add(c);
    }
    [a, b, c, d]
}

/// SHA-256, its bytes read as big-endian words.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let hash = Sha256::digest(bytes);
    [0, 8, 16, 24].map(|at| word(&hash[at..]).swap_bytes())
}

/// Writes the checksum of a block that checks itself into its last 40 bytes. `offset` is the block's place in
/// bytes from the start of the device, and part of what is summed, so that a block in the wrong place is found.
///
/// # Panics
/// When the block is shorter than its checksum.
pub fn seal_embedded(block: &mut [u8], offset: u64) {
    let at = block.len() - EMBEDDED_CHECKSUM_BYTES;
    put_embedded(&mut block[at..], [offset, 0, 0, 0]);
    let digest = sha256(block);
    put_embedded(&mut block[at..], digest);
}

/// Whether a block that checks itself is whole and in its place; see [`seal_embedded`].
#[must_use]
pub fn check_embedded(block: &[u8], offset: u64) -> bool {
    let Some(at) = block.len().checked_sub(EMBEDDED_CHECKSUM_BYTES) else { return false };
    let mut expected = block.to_vec();
    seal_embedded(&mut expected, offset);
    expected[at..] == block[at..]
}

fn put_embedded(tail: &mut [u8], digest: Digest) {
    for (index, value) in [EMBEDDED_MAGIC].iter().chain(&digest).enumerate() {
        tail[index * 8..index * 8 + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// The first eight bytes as a little-endian word.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_small_blocks_by_hand() {
        let bytes: Vec<u8> = [1_u32, 2, 3, 4].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(fletcher4(&bytes), [10, 20, 35, 56]);
        let words: Vec<u8> = [1_u64, 2, 3, 4].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(fletcher2(&words), [4, 6, 5, 8]);
    }

    /// FIPS 180-2, appendix B.1.
    #[test]
    fn sha256_words_are_big_endian() {
        assert_eq!(sha256(b"abc")[0], 0xba78_16bf_8f01_cfea);
        assert_eq!(sha256(b"abc")[3], 0xb410_ff61_f200_15ad);
    }

    #[test]
    fn a_block_that_checks_itself_knows_its_place() {
        let mut block = vec![7; 1024];
        seal_embedded(&mut block, 4096);
        assert!(check_embedded(&block, 4096));
        assert!(!check_embedded(&block, 8192));
        block[5] ^= 1;
        assert!(!check_embedded(&block, 4096));
        assert!(!check_embedded(&[0; 8], 0));
    }

    #[test]
    fn numbers_and_kinds_agree() {
        for number in 0..=255 {
            if let Some(kind) = ChecksumKind::from_number(number) {
                assert_eq!(kind.number(), number);
            }
        }
        assert_eq!(ChecksumKind::from_number(7), Some(ChecksumKind::Fletcher4));
    }
}
