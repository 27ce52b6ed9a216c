//! Directory records (ECMA-119, 9.1) and path tables (9.4).

use crate::fields::{both_u16, both_u32, short_date};
use image_tree::Timestamp;

/// The longest record: its length is a byte, and even.
pub(crate) const RECORD_BYTES: usize = 254;
/// Bytes of a record before the name.
const FIXED_BYTES: usize = 33;

const FLAG_DIRECTORY: u8 = 0x02;
const FLAG_MORE_EXTENTS: u8 = 0x80;

/// The name of a directory's record of itself.
pub(crate) const SELF: &[u8] = &[0];
/// The name of a directory's record of its parent.
pub(crate) const PARENT: &[u8] = &[1];

/// A run of sectors that holds a file or a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) lba: u32,
    pub(crate) bytes: u32,
}

/// A directory record without its system use entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) extent: Extent,
    pub(crate) time: Timestamp,
    pub(crate) is_directory: bool,
    /// Another record of the same file follows.
    pub(crate) has_more: bool,
}

impl Record<'_> {
    /// How many bytes of system use entries a record with this name holds.
    pub(crate) fn room(name: &[u8]) -> usize {
        RECORD_BYTES - Self::system_use_at(name)
    }

    fn system_use_at(name: &[u8]) -> usize {
        (FIXED_BYTES + name.len()).next_multiple_of(2)
    }

    /// The record with its system use entries, of even length.
    pub(crate) fn encode(&self, system_use: &[u8]) -> Vec<u8> {
        let length = (Self::system_use_at(self.name) + system_use.len()).next_multiple_of(2);
        let mut record = vec![0; length];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        // The caller has kept to `room`.
        put(0, &[length as u8]);
        put(2, &both_u32(self.extent.lba));
        put(10, &both_u32(self.extent.bytes));
        put(18, &short_date(self.time));
        let directory = if self.is_directory { FLAG_DIRECTORY } else { 0 };
        let more = if self.has_more { FLAG_MORE_EXTENTS } else { 0 };
        put(25, &[directory | more]);
        put(28, &both_u16(1));
        put(32, &[self.name.len() as u8]);
        put(FIXED_BYTES, self.name);
        put(Self::system_use_at(self.name), system_use);
        record
    }
}

/// One row of a path table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathRow<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) lba: u32,
    /// Number of the parent, from 1.
    pub(crate) parent: u16,
}

impl PathRow<'_> {
    /// Bytes of a row with a name of this length.
    pub(crate) fn length(name: &[u8]) -> usize {
        8 + name.len().next_multiple_of(2)
    }

    /// The row for the little-endian table, or the big-endian one.
    pub(crate) fn encode(&self, is_big_endian: bool) -> Vec<u8> {
        let mut row = vec![self.name.len() as u8, 0];
        if is_big_endian {
            row.extend(self.lba.to_be_bytes());
            row.extend(self.parent.to_be_bytes());
        } else {
            row.extend(self.lba.to_le_bytes());
            row.extend(self.parent.to_le_bytes());
        }
        row.extend(self.name);
        row.resize(Self::length(self.name), 0);
        row
    }
}
