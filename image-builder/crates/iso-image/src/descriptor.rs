//! Volume descriptors (ECMA-119, 8).

use crate::SECTOR_BYTES;
use crate::fields::{NO_DATE, both_u16, both_u32, long_date, text};
use image_tree::Timestamp;

/// The first sector that is not left to the system: here the descriptors begin.
pub(crate) const FIRST_LBA: u32 = 16;

type Sector = [u8; SECTOR_BYTES as usize];

/// What the primary volume descriptor tells.
#[derive(Debug)]
pub(crate) struct Primary<'a> {
    pub(crate) label: &'a str,
    /// Sectors of the volume.
    pub(crate) sectors: u32,
    /// Bytes of a path table.
    pub(crate) path_table_bytes: u32,
    /// Where the little-endian table is.
    pub(crate) little_table_lba: u32,
    /// Where the big-endian table is.
    pub(crate) big_table_lba: u32,
    /// The root's directory record, 34 bytes.
    pub(crate) root: &'a [u8],
    pub(crate) time: Timestamp,
}

fn descriptor(kind: u8) -> Sector {
    let mut sector = [0; SECTOR_BYTES as usize];
    sector[0] = kind;
    sector[1..6].copy_from_slice(b"CD001");
    sector[6] = 1;
    sector
}

impl Primary<'_> {
    pub(crate) fn encode(&self) -> Sector {
        let mut sector = descriptor(1);
        let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
        put(8, &text::<32>(b"ILLUMOS"));
        put(40, &text::<32>(self.label.as_bytes()));
        put(80, &both_u32(self.sectors));
        // One volume, the first of its set, in blocks of a sector.
        put(120, &both_u16(1));
        put(124, &both_u16(1));
        put(128, &both_u16(SECTOR_BYTES as u16));
        put(132, &both_u32(self.path_table_bytes));
        put(140, &self.little_table_lba.to_le_bytes());
        put(148, &self.big_table_lba.to_be_bytes());
        put(156, self.root);
        // Volume set, publisher, preparer.
        put(190, &text::<384>(b""));
        put(574, &text::<128>(b"IMAGE-BUILDER"));
        // Names of files with copyright, abstract and bibliography.
        put(702, &text::<111>(b""));
        put(813, &long_date(self.time));
        put(830, &long_date(self.time));
        put(847, &NO_DATE);
        put(864, &NO_DATE);
        put(881, &[1]);
        sector
    }
}

/// The boot record: where the catalog of El Torito is.
pub(crate) fn boot_record(catalog_lba: u32) -> Sector {
    let mut sector = descriptor(0);
    sector[7..30].copy_from_slice(b"EL TORITO SPECIFICATION");
    sector[0x47..0x4B].copy_from_slice(&catalog_lba.to_le_bytes());
    sector
}

/// The end of the descriptors.
pub(crate) fn terminator() -> Sector {
    descriptor(255)
}
