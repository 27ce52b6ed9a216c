//! Notes by which compilers mark the system that an executable is for.

use crate::Os;
use crate::file::{ElfFile, PT_NOTE};

/// `NT_GNU_ABI_TAG`, and also the number of FreeBSD's and NetBSD's own tags.
const ABI_TAG: u32 = 1;

/// The system named by the first note that names one.
///
/// Damaged notes are passed over: they are hints, and other evidence remains.
pub(crate) fn os_from_notes(file: &ElfFile<'_>) -> Option<Os> {
    file.segments_of(PT_NOTE).find_map(|segment| first_system(file, segment.offset, segment.file_bytes))
}

fn first_system(file: &ElfFile<'_>, start: u64, bytes: u64) -> Option<Os> {
    let end = start.checked_add(bytes)?;
    let mut at = start;
    while at < end {
        let name_bytes = u64::from(file.u32(at)?);
        let content_bytes = u64::from(file.u32(at.checked_add(4)?)?);
        let kind = file.u32(at.checked_add(8)?)?;
        let name_at = at.checked_add(12)?;
        let content_at = name_at.checked_add(name_bytes.next_multiple_of(4))?;
        let name = file.slice(name_at, name_bytes)?;
        if kind == ABI_TAG {
            let found = match name {
                b"GNU\0" => gnu_system(file.u32(content_at)?),
                b"FreeBSD\0" => Some(Os::FreeBsd),
                b"NetBSD\0" => Some(Os::NetBsd),
                b"OpenBSD\0" => Some(Os::OpenBsd),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        at = content_at.checked_add(content_bytes.next_multiple_of(4))?;
    }
    None
}

/// The first word of a GNU ABI tag.
fn gnu_system(number: u32) -> Option<Os> {
    match number {
        0 => Some(Os::Linux),
        2 => Some(Os::Illumos),
        3 => Some(Os::FreeBsd),
        _ => None,
    }
}
