//! Symbol versions: what an object needs of its libraries, what a library defines.
//!
//! Both tables are linked lists whose entries say how far the next one is. The
//! format is Solaris' own, which Linux took over (Linux Standard Base, 10.7).

use crate::ElfError;
use crate::dynamic::{Dynamic, VersionTable};
use crate::file::ElfFile;

/// More entries than any library has; a larger count is damage.
const MAX_ENTRIES: u64 = 16 * 1024;
/// `vd_flags`: the entry names the library itself, not a version.
const VER_FLG_BASE: u16 = 1;

/// A symbol version that an object needs of a library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionNeed {
    /// The library's name, such as `libc.so.6`.
    pub library: String,
    /// The version, such as `GLIBC_2.34`.
    pub version: String,
}

/// The versions needed, library by library, in the object's own order.
pub(crate) fn needed_versions(file: &ElfFile<'_>, dynamic: &Dynamic<'_>) -> Result<Vec<VersionNeed>, ElfError> {
    let mut needs = Vec::new();
    match dynamic.verneed {
        None => Some(()),
        Some(table) => read_needs(file, dynamic, table, &mut needs),
    }
    .ok_or(ElfError::Damaged { part: "table of needed versions" })?;
    Ok(needs)
}

/// `vn_version`, `vn_cnt`, `vn_file`, `vn_aux`, `vn_next`; then `vna_hash`, `vna_flags`, `vna_other`, `vna_name`, `vna_next`.
fn read_needs(
    file: &ElfFile<'_>,
    dynamic: &Dynamic<'_>,
    table: VersionTable,
    needs: &mut Vec<VersionNeed>,
) -> Option<()> {
    let mut at = file.offset_of(table.address)?;
    // One budget for the whole table: nested counts must not multiply.
    let mut budget = MAX_ENTRIES;
    for _ in 0..table.count {
        let count = file.u16(at.checked_add(2)?)?;
        let library = dynamic.string(u64::from(file.u32(at.checked_add(4)?)?))?;
        let mut aux = at.checked_add(u64::from(file.u32(at.checked_add(8)?)?))?;
        for _ in 0..count {
            budget = budget.checked_sub(1)?;
            let version = dynamic.string(u64::from(file.u32(aux.checked_add(8)?)?))?;
            needs.push(VersionNeed { library: library.clone(), version });
            match file.u32(aux.checked_add(12)?)? {
                0 => break,
                next => aux = aux.checked_add(u64::from(next))?,
            }
        }
        budget = budget.checked_sub(1)?;
        match file.u32(at.checked_add(12)?)? {
            0 => break,
            next => at = at.checked_add(u64::from(next))?,
        }
    }
    Some(())
}

/// The versions that a library defines, such as `GLIBC_2.36` or `ILLUMOS_0.40`, in its own order.
///
/// # Errors
/// When the bytes are not an ELF object or its tables are damaged. An object without versions gives none.
pub fn defined_versions(bytes: &[u8]) -> Result<Vec<String>, ElfError> {
    let file = ElfFile::parse(bytes)?;
    let dynamic = Dynamic::parse(&file)?;
    let mut versions = Vec::new();
    match dynamic.verdef {
        None => Some(()),
        Some(table) => read_definitions(&file, &dynamic, table, &mut versions),
    }
    .ok_or(ElfError::Damaged { part: "table of defined versions" })?;
    Ok(versions)
}

/// `vd_version`, `vd_flags`, `vd_ndx`, `vd_cnt`, `vd_hash`, `vd_aux`, `vd_next`; then `vda_name`, `vda_next`.
fn read_definitions(
    file: &ElfFile<'_>,
    dynamic: &Dynamic<'_>,
    table: VersionTable,
    versions: &mut Vec<String>,
) -> Option<()> {
    let mut at = file.offset_of(table.address)?;
    for entry in 0..table.count {
        if entry >= MAX_ENTRIES {
            return None;
        }
        let flags = file.u16(at.checked_add(2)?)?;
        let aux = at.checked_add(u64::from(file.u32(at.checked_add(12)?)?))?;
        // The first name is the version; further ones are those that it includes.
        let name = dynamic.string(u64::from(file.u32(aux)?))?;
        if flags & VER_FLG_BASE == 0 {
            versions.push(name);
        }
        match file.u32(at.checked_add(16)?)? {
            0 => break,
            next => at = at.checked_add(u64::from(next))?,
        }
    }
    Some(())
}
