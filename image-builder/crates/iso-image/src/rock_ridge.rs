//! System use entries: SUSP 1.12 and RRIP 1.12 as far as a POSIX tree needs them.

use crate::fields::{both_u32, short_date};
use image_tree::{Node, NodeKind};

/// Bytes of an entry at most: its length is a byte.
const ENTRY_BYTES: usize = 250;
/// Bytes of a `CE` entry, which says where the entries go on.
pub(crate) const CONTINUATION_BYTES: usize = 28;

/// Which entries the record has, for readers that look there first (`RR` of RRIP 1.09).
const HAS_PX: u8 = 0x01;
const HAS_PN: u8 = 0x02;
const HAS_SL: u8 = 0x04;
const HAS_NM: u8 = 0x08;
const HAS_TF: u8 = 0x80;

/// Times of modification, access and attributes; one time is known.
const TIMES: u8 = 0x02 | 0x04 | 0x08;

const CONTINUES: u8 = 0x01;
const COMPONENT_CURRENT: u8 = 0x02;
const COMPONENT_PARENT: u8 = 0x04;
const COMPONENT_ROOT: u8 = 0x08;

/// One entry, whole.
pub(crate) type Entry = Vec<u8>;

fn entry(signature: &[u8; 2], payload: &[u8]) -> Entry {
    let mut bytes = signature.to_vec();
    bytes.extend([4 + payload.len() as u8, 1]);
    bytes.extend(payload);
    bytes
}

/// The first entry of the root: system use entries are here, and nothing before them.
pub(crate) fn sharing_protocol() -> Entry {
    entry(b"SP", &[0xBE, 0xEF, 0])
}

/// Says which extension the entries belong to; the texts are the specification's own.
pub(crate) fn extension() -> Entry {
    const IDENTIFIER: &[u8] = b"RRIP_1991A";
    const DESCRIPTION: &[u8] = b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
    const SOURCE: &[u8] = b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  \
SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.";
    let mut payload = vec![IDENTIFIER.len() as u8, DESCRIPTION.len() as u8, SOURCE.len() as u8, 1];
    payload.extend([IDENTIFIER, DESCRIPTION, SOURCE].concat());
    entry(b"ER", &payload)
}

/// Where the entries of a record go on: a sector, and a piece of it.
pub(crate) fn continuation(lba: u32, offset: u32, bytes: u32) -> Entry {
    let payload = [both_u32(lba), both_u32(offset), both_u32(bytes)].concat();
    entry(b"CE", &payload)
}

/// The entries of a node. `name` is absent for a directory's records of itself and of its parent.
pub(crate) fn entries(node: &Node, links: u32, name: Option<&[u8]>) -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.push(posix(node, links));
    entries.push(times(node));
    let mut has = HAS_PX | HAS_TF;
    match &node.kind {
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            has |= HAS_PN;
            entries.push(entry(b"PN", &[both_u32(*major), both_u32(*minor)].concat()));
        }
        NodeKind::Symlink(target) => {
            has |= HAS_SL;
            entries.extend(link(target));
        }
        NodeKind::Directory | NodeKind::Regular(_) | NodeKind::Fifo => {}
    }
    if let Some(name) = name {
        has |= HAS_NM;
        entries.extend(alternate_name(name));
    }
    entries.insert(0, entry(b"RR", &[has]));
    entries
}

fn posix(node: &Node, links: u32) -> Entry {
    let kind = match &node.kind {
        NodeKind::Directory => 0o040_000,
        NodeKind::Regular(_) => 0o100_000,
        NodeKind::Symlink(_) => 0o120_000,
        NodeKind::CharDevice { .. } => 0o020_000,
        NodeKind::BlockDevice { .. } => 0o060_000,
        NodeKind::Fifo => 0o010_000,
    };
    let metadata = &node.metadata;
    let values = [kind | u32::from(metadata.mode), links, metadata.uid, metadata.gid];
    entry(b"PX", &values.map(both_u32).concat())
}

fn times(node: &Node) -> Entry {
    let date = short_date(node.metadata.mtime);
    let mut payload = vec![TIMES];
    payload.extend([date, date, date].concat());
    entry(b"TF", &payload)
}

fn alternate_name(name: &[u8]) -> Vec<Entry> {
    let pieces: Vec<&[u8]> = name.chunks(ENTRY_BYTES - 5).collect();
    let last = pieces.len().saturating_sub(1);
    let piece = |(index, piece): (usize, &&[u8])| {
        let flags = if index < last { CONTINUES } else { 0 };
        entry(b"NM", &[&[flags], *piece].concat())
    };
    pieces.iter().enumerate().map(piece).collect()
}

/// The components of a link's target, divided among as many entries as they need.
fn link(target: &[u8]) -> Vec<Entry> {
    let mut areas: Vec<Vec<u8>> = vec![Vec::new()];
    let mut put = |flags: u8, content: &[u8]| {
        let mut content = content;
        loop {
            let room = (ENTRY_BYTES - 5 - areas[areas.len() - 1].len()).saturating_sub(2);
            let taken = content.len().min(room);
            // A component is not begun where none of it fits.
            if room == 0 || (taken == 0 && !content.is_empty()) {
                areas.push(Vec::new());
                continue;
            }
            let more = if taken < content.len() { CONTINUES } else { 0 };
            let area = areas.last_mut().expect("it has one from the beginning");
            area.extend([flags | more, taken as u8]);
            area.extend(&content[..taken]);
            content = &content[taken..];
            if more == 0 {
                return;
            }
        }
    };
    if target.starts_with(b"/") {
        put(COMPONENT_ROOT, b"");
    }
    for component in target.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
        match component {
            b"." => put(COMPONENT_CURRENT, b""),
            b".." => put(COMPONENT_PARENT, b""),
            name => put(0, name),
        }
    }
    let last = areas.len() - 1;
    let encode = |(index, area): (usize, Vec<u8>)| {
        let flags = if index < last { CONTINUES } else { 0 };
        entry(b"SL", &[vec![flags], area].concat())
    };
    areas.into_iter().enumerate().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_components_of_a_link_are_kept_apart() {
        let encoded = link(b"/a/../b");
        assert_eq!(encoded, [b"SL\x0F\x01\x00\x08\x00\x00\x01a\x04\x00\x00\x01b".to_vec()]);
    }

    #[test]
    fn a_long_target_takes_several_entries() {
        let target = format!("{}/{}", "x".repeat(300), "y".repeat(100));
        let encoded = link(target.as_bytes());
        assert_eq!(encoded.len(), 2);
        assert_eq!((encoded[0][4], encoded[1][4]), (CONTINUES, 0));
        // The first component goes on in the second entry.
        assert_eq!(encoded[0][5] & CONTINUES, CONTINUES);
        let letters = |letter| encoded.iter().flatten().filter(|byte| **byte == letter).count();
        assert_eq!((letters(b'x'), letters(b'y')), (300, 100));
    }

    #[test]
    fn a_long_name_takes_two_entries() {
        let encoded = alternate_name(&[b'n'; 255]);
        assert_eq!(encoded.iter().map(Vec::len).collect::<Vec<_>>(), [250, 15]);
        assert_eq!((encoded[0][4], encoded[1][4]), (1, 0));
    }
}
