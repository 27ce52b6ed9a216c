//! Extended attributes as tar and pax of illumos archive them with `-@`: behind the file two entries of type `E` for each,
//! one that says whose the attribute is and what it is called, and one with its value.
//!
//! Source: `archives.h` of illumos (`struct xattr_hdr`, `struct xattr_buf`), and `tar.c`, which writes and reads them.

use super::error::TarErrorKind;
use super::pax::{decimal, is_attribute_name};
use crate::node::{Metadata, XATTR_BYTES_MAX};
use crate::path::ImagePath;
use crate::tree::{Follow, Tree};

/// The largest first entry that is read; it holds two paths and some numbers.
pub(super) const HEADER_BYTES_MAX: u64 = 64 << 10;

/// A node is copied to get another attribute. So many bytes of attributes are copied for that in one archive.
const COPIED_BYTES_MAX: u64 = 1 << 30;

/// What the first entry says about the second.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AttributeHeader {
    /// It holds the value of this attribute.
    Value {
        /// The path of the file that has it.
        owner: Vec<u8>,
        /// What it is called.
        name: Vec<u8>,
    },
    /// It is the hidden directory of a file's attributes, which has nothing that a tree holds.
    Directory,
    /// It is something that a tree does not hold.
    Other,
}

/// Reads the content of a first entry; none if it is no such thing.
pub(super) fn parse(header: &[u8]) -> Option<AttributeHeader> {
    let number = |start: usize, length: usize| -> Option<usize> {
        let field = header.get(start..start + length)?;
        decimal(field.split(|byte| *byte == 0).next()?, "number").ok()?
    };
    if !header.starts_with(b"1.0\0") {
        return None;
    }
    // Of `xattr_hdr` the lengths of both parts stand at 17 and 27; `xattr_buf` begins at 37. An attribute that is a hard
    // link has a second part.
    let (link_bytes, name_bytes) = (number(27, 10)?, number(37, 7)?);
    let (type_flag, names) = (*header.get(44)?, header.get(45..)?.get(..name_bytes)?);
    let names: Vec<&[u8]> = names.strip_suffix(b"\0")?.split(|byte| *byte == 0).collect();
    let [owner, name, rest @ ..] = &names[..] else { return None };
    if type_flag == b'5' || *name == b"." {
        return Some(AttributeHeader::Directory);
    }
    let is_system = name.starts_with(b"SUNWattr_");
    let is_plain = rest.is_empty() && link_bytes == 0 && matches!(type_flag, b'0' | 0) && is_attribute_name(name);
    Some(match is_plain && !is_system {
        true => AttributeHeader::Value { owner: owner.to_vec(), name: name.to_vec() },
        false => AttributeHeader::Other,
    })
}

/// The attributes that are put to files which are in the tree already.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// What the next entry of type `E` is, if one said so.
    pub(super) next: Option<AttributeHeader>,
    copied_bytes: u64,
}

impl Attributes {
    /// Looks for the file that gets an attribute of `size` bytes; none if it is not in the tree.
    pub(super) fn owner(&mut self, tree: &Tree, owner: &[u8], size: u64) -> Result<Option<ImagePath>, TarErrorKind> {
        let path = ImagePath::from_relative(owner).map_err(TarErrorKind::Path)?;
        let Ok((path, node)) = tree.lookup(&path, Follow::No) else { return Ok(None) };
        let bytes = node.metadata.xattr_bytes();
        let together = bytes.saturating_add(size);
        if together > XATTR_BYTES_MAX {
            return Err(TarErrorKind::XattrsTooLarge(together));
        }
        self.copied_bytes += bytes + node.metadata.xattrs.len() as u64 * size_of::<Metadata>() as u64;
        if self.copied_bytes > COPIED_BYTES_MAX {
            return Err(TarErrorKind::Unsupported("to have so many extended attributes behind their files"));
        }
        Ok(Some(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `prepare_xattr` of `tar.c` fills it.
    fn header(type_flag: u8, names: &[u8], link: &[u8]) -> Vec<u8> {
        let part = |names: &[u8]| [format!("{:06}\0", names.len()).as_bytes(), &[type_flag], names, b"\0"].concat();
        let (names, link) = (part(names), if link.is_empty() { Vec::new() } else { part(link) });
        let lengths = [37 + names.len() + link.len(), names.len(), link.len()].map(|length| format!("{length:09}\0"));
        [b"1.0\0\0\0\0", lengths.concat().as_bytes(), &names, &link].concat()
    }

    #[test]
    fn headers_are_told_apart() {
        let value = AttributeHeader::Value { owner: b"./a/b".to_vec(), name: b"note".to_vec() };
        for (header, expected) in [
            (header(b'0', b"./a/b\0note\0", b""), Some(value)),
            (header(b'5', b"./a/b\0.\0", b""), Some(AttributeHeader::Directory)),
            (header(b'0', b"./a/b\0SUNWattr_rw\0", b""), Some(AttributeHeader::Other)),
            (header(b'0', b"./a/b\0note\0of it\0", b""), Some(AttributeHeader::Other)),
            (header(b'0', b"./a/b\0note\0", b"./a/b\0first\0"), Some(AttributeHeader::Other)),
            (header(b'2', b"./a/b\0note\0", b""), Some(AttributeHeader::Other)),
            (header(b'0', b"./a/b\0", b""), None),
            (header(b'0', b"./a/b\0unfinished", b""), None),
            (b"1.1\0".to_vec(), None),
            (b"1.0\0".to_vec(), None),
            (vec![], None),
        ] {
            assert_eq!(parse(&header), expected, "{}", header.escape_ascii());
        }
        let whole = header(b'0', b"a\0b\0", b"");
        assert!((0..whole.len() - 1).all(|length| parse(&whole[..length]).is_none()), "cut off");
    }
}
