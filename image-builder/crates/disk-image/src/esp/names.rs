//! Directory entries: short names, long names, dates.
//!
//! Layout as in Microsoft's FAT specification (2000-12-06), section "FAT
//! Directory Structure" and "FAT Long Directory Entries".

use std::collections::BTreeSet;

use super::geometry::DIRECTORY_ENTRY_BYTES;

const ATTRIBUTE_VOLUME_LABEL: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_ARCHIVE: u8 = 0x20;
const ATTRIBUTE_LONG_NAME: u8 = 0x0F;

/// 1980-01-01: day 1 of month 1 of year 0; the earliest that FAT can hold.
const EPOCH_DATE: u16 = 1 << 5 | 1;
/// UTF-16 units of a long name in one entry.
const UNITS_PER_ENTRY: usize = 13;
/// Marks the first entry on disk, which holds the end of the name.
const LAST_LONG_ENTRY: u8 = 0x40;

pub(super) type Entry = [u8; DIRECTORY_ENTRY_BYTES as usize];
pub(super) type ShortName = [u8; 11];

/// What a directory entry points to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) is_directory: bool,
    /// First cluster; 0 for an empty file and for a `..` that is the root.
    pub(super) cluster: u32,
    /// Bytes of a file; 0 for a directory.
    pub(super) length: u32,
}

/// Gives the names of one directory short names of their own.
#[derive(Debug, Default)]
pub(super) struct ShortNames {
    taken: BTreeSet<ShortName>,
}

impl ShortNames {
    /// The names that are short as they are come first, so that nothing generated takes one of theirs.
    pub(super) fn reserving<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self { taken: names.filter_map(exact_short_name).collect() }
    }

    /// The short name to be used for `name`.
    pub(super) fn assign(&mut self, name: &str) -> ShortName {
        if let Some(exact) = exact_short_name(name) {
            return exact;
        }
        let (base, extension) = match name.rsplit_once('.') {
            Some((base, extension)) if !base.is_empty() => (base, extension),
            _ => (name, ""),
        };
        let base = short_characters(base, 8);
        let extension = short_characters(extension, 3);
        let mut number = 1u64;
        loop {
            let tail = format!("~{number}");
            let mut short = [b' '; 11];
            let kept = base.len().min(8 - tail.len());
            short[..kept].copy_from_slice(&base[..kept]);
            short[kept..kept + tail.len()].copy_from_slice(tail.as_bytes());
            short[8..8 + extension.len()].copy_from_slice(&extension);
            if self.taken.insert(short) {
                return short;
            }
            number += 1;
        }
    }
}

/// The short form of a name that is one already: upper-case, eight and three.
fn exact_short_name(name: &str) -> Option<ShortName> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = |part: &str, most: usize| part.len() <= most && part.bytes().all(is_short_character);
    if base.is_empty() || !fits(base, 8) || !fits(extension, 3) {
        return None;
    }
    if name.contains('.') && extension.is_empty() {
        return None;
    }
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    Some(short)
}

fn is_short_character(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// Upper-case, without spaces and points, `_` for everything else that a short name cannot hold.
fn short_characters(text: &str, most: usize) -> Vec<u8> {
    text.chars()
        .filter(|c| !matches!(c, ' ' | '.'))
        .map(|c| u8::try_from(c.to_ascii_uppercase()).ok().filter(|b| is_short_character(*b)).unwrap_or(b'_'))
        .take(most)
        .collect()
}

/// Entries that a name takes: the short one, and for most names those of the long form.
pub(super) fn entries_for(name: &str) -> u64 {
    match exact_short_name(name) {
        Some(_) => 1,
        None => 1 + name.encode_utf16().count().div_ceil(UNITS_PER_ENTRY) as u64,
    }
}

/// The entries of a name, in the order in which they are on disk.
pub(super) fn encode_name(name: &str, short: &ShortName, target: Target) -> Vec<Entry> {
    let mut entries = Vec::new();
    if exact_short_name(name).is_none() {
        let units: Vec<u16> = name.encode_utf16().collect();
        let pieces: Vec<&[u16]> = units.chunks(UNITS_PER_ENTRY).collect();
        let checksum = checksum(short);
        for (index, piece) in pieces.iter().enumerate().rev() {
            let last = if index + 1 == pieces.len() { LAST_LONG_ENTRY } else { 0 };
            // At most 20 entries: names have been checked to have at most 255 units.
            entries.push(encode_long_entry(piece, (index + 1) as u8 | last, checksum));
        }
    }
    entries.push(encode_short_entry(short, target));
    entries
}

/// The entries `.` and `..` that begin every directory but the root.
pub(super) fn encode_dots(own: u32, parent: u32) -> [Entry; 2] {
    let entry = |name: &[u8], cluster| {
        let mut short = [b' '; 11];
        short[..name.len()].copy_from_slice(name);
        encode_short_entry(&short, Target { is_directory: true, cluster, length: 0 })
    };
    [entry(b".", own), entry(b"..", parent)]
}

/// The entry of the root directory that names the volume.
pub(super) fn encode_volume_label(label: &ShortName) -> Entry {
    let mut entry = encode_short_entry(label, Target { is_directory: false, cluster: 0, length: 0 });
    entry[11] = ATTRIBUTE_VOLUME_LABEL;
    entry
}

fn encode_short_entry(short: &ShortName, target: Target) -> Entry {
    let mut entry = [0; DIRECTORY_ENTRY_BYTES as usize];
    entry[..11].copy_from_slice(short);
    entry[11] = if target.is_directory { ATTRIBUTE_DIRECTORY } else { ATTRIBUTE_ARCHIVE };
    // Creation, last access and last write; the times of day are midnight, which is zero.
    for at in [16, 18, 24] {
        entry[at..at + 2].copy_from_slice(&EPOCH_DATE.to_le_bytes());
    }
    let cluster = target.cluster.to_le_bytes();
    entry[26..28].copy_from_slice(&cluster[..2]);
    entry[20..22].copy_from_slice(&cluster[2..]);
    entry[28..32].copy_from_slice(&target.length.to_le_bytes());
    entry
}

fn encode_long_entry(piece: &[u16], order: u8, checksum: u8) -> Entry {
    let mut entry = [0; DIRECTORY_ENTRY_BYTES as usize];
    entry[0] = order;
    entry[11] = ATTRIBUTE_LONG_NAME;
    entry[13] = checksum;
    let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
    // A name that does not fill its last entry is ended by 0 and padded with all ones.
    let padding = std::iter::once(0).chain(std::iter::repeat(u16::MAX));
    for (at, unit) in places.zip(piece.iter().copied().chain(padding)) {
        entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
    }
    entry
}

/// Ties a long name to its short one.
fn checksum(short: &ShortName) -> u8 {
    short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_generated_without_clashes() {
        let names = ["LOADER~1.CON", "loader.conf", "loader.config", "vmlinuz-6.1", "a b.c.d", "ÄÖ.efi", ".hidden"];
        let mut short = ShortNames::reserving(names.into_iter());
        let assigned: Vec<String> =
            names.iter().map(|name| String::from_utf8(short.assign(name).to_vec()).unwrap()).collect();
        assert_eq!(
            assigned,
            ["LOADER~1CON", "LOADER~2CON", "LOADER~3CON", "VMLINU~11  ", "ABC~1   D  ", "__~1    EFI", "HIDDEN~1   "]
        );
    }

    #[test]
    fn only_upper_case_names_of_eight_and_three_do_without_a_long_form() {
        for (name, entries) in [
            ("BOOTX64.EFI", 1),
            ("EFI", 1),
            ("bootx64.efi", 2),
            ("TOOLONGNAME", 2),
            ("A.B.C", 2),
            ("thirteen.unit", 2),
            ("fourteen.units", 3),
        ] {
            assert_eq!(entries_for(name), entries, "{name}");
        }
    }
}
