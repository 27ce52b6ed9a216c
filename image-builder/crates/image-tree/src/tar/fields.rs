//! What an entry is said to be: by its header, where the extended headers before it do not say otherwise.

use super::error::TarErrorKind;
use super::header::{self, Block, USTAR_MAGIC};
use super::pax::Overrides;
use crate::node::{MODE_MASK, Metadata, Timestamp};

/// The name that the header itself has.
pub(super) fn header_name(block: &Block) -> Vec<u8> {
    let name = header::text(block, header::NAME);
    let prefix = header::text(block, header::PREFIX);
    if header::field(block, header::MAGIC) == USTAR_MAGIC && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

/// What a link points to.
pub(super) fn link_name(block: &Block, overrides: &Overrides) -> Vec<u8> {
    overrides.link_path.clone().unwrap_or_else(|| header::text(block, header::LINK_NAME).to_vec())
}

/// Owner, mode, time and attributes of an entry.
pub(super) fn metadata(block: &Block, overrides: Overrides) -> Result<Metadata, TarErrorKind> {
    let id = |given: Option<u32>, span, field| given.map_or_else(|| small(block, span, field), Ok);
    let mode = unsigned(block, header::MODE, "mode")? & u64::from(MODE_MASK);
    let mtime = header::number(header::field(block, header::MTIME)).map(|secs| Timestamp { secs, nanos: 0 });
    Ok(Metadata {
        uid: id(overrides.uid, header::UID, "uid")?,
        gid: id(overrides.gid, header::GID, "gid")?,
        mode: u16::try_from(mode).expect("masked to 12 bits"),
        mtime: overrides.mtime.or(mtime).ok_or(TarErrorKind::Field("time"))?,
        xattrs: overrides.xattrs,
        acl: overrides.acl,
    })
}

/// The major and the minor number of a device.
pub(super) fn device(block: &Block, overrides: &Overrides) -> Result<(u32, u32), TarErrorKind> {
    let number = |given: Option<u32>, span| given.map_or_else(|| small(block, span, "device number"), Ok);
    Ok((number(overrides.dev_major, header::DEV_MAJOR)?, number(overrides.dev_minor, header::DEV_MINOR)?))
}

/// A number of the header that is not negative; `field` is what it is called in an error.
pub(super) fn unsigned(block: &Block, span: header::FieldSpan, field: &'static str) -> Result<u64, TarErrorKind> {
    let number = header::number(header::field(block, span));
    number.and_then(|number| u64::try_from(number).ok()).ok_or(TarErrorKind::Field(field))
}

/// The same within 32 bits.
pub(super) fn small(block: &Block, span: header::FieldSpan, field: &'static str) -> Result<u32, TarErrorKind> {
    u32::try_from(unsigned(block, span, field)?).map_err(|_| TarErrorKind::Field(field))
}

/// Text as the headers of GNU tar hold it.
pub(super) fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}
