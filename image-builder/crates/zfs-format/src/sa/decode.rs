//! Taking a buffer of attributes apart.

use super::{Attribute, MAGIC, Registry, SaError};

/// The attributes of an object that are known here, as they lie in the buffers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    values: Vec<(Attribute, Vec<u8>)>,
}

impl Attributes {
    /// The bytes of an attribute.
    #[must_use]
    pub fn get(&self, attribute: Attribute) -> Option<&[u8]> {
        self.values.iter().find(|(known, _)| *known == attribute).map(|(_, value)| value.as_slice())
    }

    /// The attribute as a 64-bit integer.
    #[must_use]
    pub fn u64(&self, attribute: Attribute) -> Option<u64> {
        self.get(attribute).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
    }

    /// All attributes in the order of the buffers.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &[u8])> {
        self.values.iter().map(|(attribute, value)| (*attribute, value.as_slice()))
    }

    /// Adds those of another buffer.
    pub fn extend(&mut self, other: Self) {
        self.values.extend(other.values);
    }
}

/// Reads a bonus buffer or a spill block of the file system with this registry. Attributes that are not known here
/// are passed over.
///
/// # Errors
/// The header is wrong, or the values pass the end of the buffer.
pub fn decode(buffer: &[u8], registry: &Registry) -> Result<Attributes, SaError> {
    let header = buffer.get(..8).ok_or(SaError::Impossible("the buffer is shorter than its header"))?;
    let magic = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    if magic != MAGIC {
        return Err(SaError::Magic(magic));
    }
    let info = u16::from_le_bytes([header[4], header[5]]);
    let (layout, header_bytes) = (info & 0x3ff, usize::from(info >> 10) * 8);
    let attributes = registry.layouts.get(&layout).ok_or(SaError::UnknownLayout(layout))?;
    if header_bytes < 8 || header_bytes > buffer.len() {
        return Err(SaError::Impossible("the header's length"));
    }
    let mut lengths = buffer[6..header_bytes].chunks_exact(2).map(|length| u16::from_le_bytes([length[0], length[1]]));
    let mut offset = header_bytes;
    let mut values = Vec::with_capacity(attributes.len().min(TYPICAL));
    for number in attributes {
        let (fixed, attribute) = registry.attribute(*number).ok_or(SaError::Impossible("an unregistered attribute"))?;
        let length = match fixed {
            0 => lengths.next().ok_or(SaError::Impossible("a length that the header has no room for"))?,
            fixed => fixed,
        };
        let end = offset + usize::from(length);
        let value = buffer.get(offset..end).ok_or(SaError::Impossible("a value passes the end of the buffer"))?;
        if let Some(attribute) = attribute {
            values.push((attribute, value.to_vec()));
        }
        offset = end.next_multiple_of(8);
    }
    Ok(Attributes { values })
}

/// Layouts are read from disk, so their length decides over no memory.
const TYPICAL: usize = 24;
