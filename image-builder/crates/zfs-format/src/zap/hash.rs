//! The hash of names: CRC-64 (ECMA-182, reflected), begun with the salt of the ZAP.

/// `ZFS_CRC64_POLY`.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// How the names of one ZAP are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hasher {
    /// The salt, never 0.
    pub salt: u64,
    /// How many of the highest bits count: 28, or 48 with `ZAP_FLAG_HASH64`.
    pub bits: u32,
}

impl Hasher {
    /// The hash of all ZAPs with names: 28 bits.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        Self { salt, bits: 28 }
    }

    /// The hash of a name, without its NUL.
    #[must_use]
    pub fn hash(self, name: &[u8]) -> u64 {
        let crc = name.iter().fold(self.salt, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)]);
        crc & !((1 << (64 - self.bits)) - 1)
    }
}

/// The hash of a name as ZAPs without flags have it.
#[must_use]
pub fn name_hash(salt: u64, name: &[u8]) -> u64 {
    Hasher::new(salt).hash(name)
}
