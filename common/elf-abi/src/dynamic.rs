//! The dynamic section: what the run-time linker is told.

use crate::ElfError;
use crate::file::{ElfFile, PT_DYNAMIC};

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
/// Where the linkers of Solaris and illumos keep their own entries (`sys/link.h`).
const DT_SUNW: std::ops::RangeInclusive<u64> = 0x6000_000d..=0x6000_001f;
const DF_1_PIE: u64 = 0x0800_0000;

/// Longer than any name of a library or version.
const MAX_STRING: usize = 4096;

/// A table that an address and a count describe.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct VersionTable {
    pub(crate) address: u64,
    pub(crate) count: u64,
}

/// The entries of the dynamic section that matter here.
#[derive(Debug, Default)]
pub(crate) struct Dynamic<'a> {
    strings: &'a [u8],
    pub(crate) needed: Vec<String>,
    pub(crate) soname: Option<String>,
    pub(crate) is_pie: bool,
    pub(crate) has_sunw_tags: bool,
    pub(crate) verneed: Option<VersionTable>,
    pub(crate) verdef: Option<VersionTable>,
}

impl<'a> Dynamic<'a> {
    /// Reads the section; an object without one is static and gives an empty answer.
    pub(crate) fn parse(file: &ElfFile<'a>) -> Result<Self, ElfError> {
        let Some(segment) = file.segments_of(PT_DYNAMIC).next() else {
            return Ok(Self::default());
        };
        Self::parse_entries(file, segment.offset, segment.file_bytes)
            .ok_or(ElfError::Damaged { part: "dynamic section" })
    }

    fn parse_entries(file: &ElfFile<'a>, start: u64, bytes: u64) -> Option<Self> {
        let word = file.word_bytes();
        // Cut-off sections are refused as a whole, before their size is believed.
        file.slice(start, bytes)?;
        let mut dynamic = Self::default();
        let (mut needed, mut soname) = (Vec::new(), None);
        let (mut strings_at, mut strings_bytes) = (None, 0);
        let (mut verneed, mut verdef) = (VersionTable::default(), VersionTable::default());
        for entry in 0..bytes / (2 * word) {
            let at = start + entry * 2 * word;
            let (tag, value) = (file.word(at)?, file.word(at + word)?);
            match tag {
                DT_NULL => break,
                DT_NEEDED => needed.push(value),
                DT_SONAME => soname = Some(value),
                DT_STRTAB => strings_at = Some(value),
                DT_STRSZ => strings_bytes = value,
                DT_FLAGS_1 => dynamic.is_pie = value & DF_1_PIE != 0,
                DT_VERNEED => verneed.address = value,
                DT_VERNEEDNUM => verneed.count = value,
                DT_VERDEF => verdef.address = value,
                DT_VERDEFNUM => verdef.count = value,
                tag if DT_SUNW.contains(&tag) => dynamic.has_sunw_tags = true,
                _ => {}
            }
        }
        if let Some(address) = strings_at {
            dynamic.strings = file.slice(file.offset_of(address)?, strings_bytes)?;
        }
        dynamic.needed = needed.into_iter().map(|at| dynamic.string(at)).collect::<Option<_>>()?;
        dynamic.soname = match soname {
            Some(at) => Some(dynamic.string(at)?),
            None => None,
        };
        dynamic.verneed = (verneed.count > 0).then_some(verneed);
        dynamic.verdef = (verdef.count > 0).then_some(verdef);
        Some(dynamic)
    }

    /// The string at this offset of the string table.
    pub(crate) fn string(&self, at: u64) -> Option<String> {
        let rest = self.strings.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().take(MAX_STRING).position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}
