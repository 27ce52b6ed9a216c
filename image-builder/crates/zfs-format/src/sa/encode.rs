//! Laying attributes out in a bonus buffer, and what does not fit in a spill block.

use std::collections::HashMap;

use super::{Attribute, FIRST_LAYOUT, MAGIC, SaError};
use crate::zap::{Value, ZapEntry};

/// `sizeof (blkptr_t)`: what the pointer to a spill block takes away from the bonus buffer.
const SPILL_POINTER_BYTES: usize = 128;
/// `SPA_OLD_MAXBLOCKSIZE`: the largest spill block.
const SPILL_BYTES_MAX: usize = 128 * 1024;
/// `sizeof (sa_hdr_phys_t)`: the header with room for one length.
const HEADER_BYTES: usize = 8;

/// The layouts of a file system that is being written, numbered in the order of their first use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layouts {
    layouts: Vec<Vec<u16>>,
    numbers: HashMap<Vec<u16>, u16>,
}

impl Layouts {
    /// The number of the layout with these attributes in this order.
    fn number(&mut self, attributes: Vec<u16>) -> Result<u16, SaError> {
        if let Some(number) = self.numbers.get(&attributes) {
            return Ok(*number);
        }
        let number = FIRST_LAYOUT + self.layouts.len() as u16;
        if number > 1023 {
            return Err(SaError::TooManyLayouts);
        }
        self.layouts.push(attributes.clone());
        self.numbers.insert(attributes, number);
        Ok(number)
    }

    /// The entries of the layouts ZAP: decimal number to the numbers of the attributes.
    #[must_use]
    pub fn zap_entries(&self) -> Vec<ZapEntry> {
        let numbered = (FIRST_LAYOUT..).zip(&self.layouts);
        numbered
            .map(|(number, attributes)| ZapEntry {
                name: number.to_string().into_bytes(),
                value: Value::U16(attributes.clone()),
            })
            .collect()
    }
}

/// The buffers of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The bonus buffer, type [`ObjectType::SA`](crate::object::ObjectType::SA).
    pub bonus: Vec<u8>,
    /// The spill block, a multiple of 512 bytes, if not everything fits into the bonus buffer. The dnode then has
    /// the spill flag and ends with the block's pointer.
    pub spill: Option<Vec<u8>>,
}

/// Lays out `values` in their order for a bonus buffer of at most `bonus_max` bytes (320 in a dnode of 512 bytes).
///
/// # Errors
/// A value of the wrong length, more than a spill block holds, or too many layouts.
pub fn encode(values: &[(Attribute, Vec<u8>)], bonus_max: usize, layouts: &mut Layouts) -> Result<Encoded, SaError> {
    for (attribute, value) in values {
        if attribute.length() != 0 && usize::from(attribute.length()) != value.len() {
            return Err(SaError::Length { name: attribute.name(), bytes: value.len() });
        }
    }
    let bytes = buffer_bytes(values);
    if bytes <= bonus_max {
        return Ok(Encoded { bonus: buffer(values, layouts)?, spill: None });
    }
    let (stay, spilled) = values.split_at(spill_index(values, bonus_max));
    let mut bonus = buffer(stay, layouts)?;
    // The kernel leaves the bonus as long as it may be beside the pointer.
    bonus.resize((bonus_max - SPILL_POINTER_BYTES).min(bytes), 0);
    let mut spill = buffer(spilled, layouts)?;
    spill.resize(spill.len().next_multiple_of(512), 0);
    if spill.len() > SPILL_BYTES_MAX {
        return Err(SaError::TooLong(spill.len()));
    }
    Ok(Encoded { bonus, spill: Some(spill) })
}

/// The first attribute that, with all before it, would reach into the place of the spill pointer.
fn spill_index(values: &[(Attribute, Vec<u8>)], bonus_max: usize) -> usize {
    let fits = |count: &usize| buffer_bytes(&values[..*count]) <= bonus_max - SPILL_POINTER_BYTES;
    (0..=values.len()).take_while(fits).last().unwrap_or(0)
}

fn header_bytes(values: &[(Attribute, Vec<u8>)]) -> usize {
    let variable = values.iter().filter(|(attribute, _)| attribute.length() == 0).count();
    (HEADER_BYTES + 2 * variable.saturating_sub(1)).next_multiple_of(8)
}

/// The length of a buffer: the last value is not padded.
fn buffer_bytes(values: &[(Attribute, Vec<u8>)]) -> usize {
    let data = values.iter().fold(0_usize, |sum, (_, value)| sum.next_multiple_of(8) + value.len());
    header_bytes(values) + data
}

fn buffer(values: &[(Attribute, Vec<u8>)], layouts: &mut Layouts) -> Result<Vec<u8>, SaError> {
    let layout = layouts.number(values.iter().map(|(attribute, _)| attribute.number()).collect())?;
    let header = header_bytes(values);
    let mut out = Vec::with_capacity(buffer_bytes(values));
    out.extend_from_slice(&MAGIC.to_le_bytes());
    // Layout in the low 10 bits, length of the header in words in the high 6.
    out.extend_from_slice(&(layout | (header as u16 / 8) << 10).to_le_bytes());
    for (_, value) in values.iter().filter(|(attribute, _)| attribute.length() == 0) {
        let len = u16::try_from(value.len()).map_err(|_| SaError::TooLong(value.len()))?;
        out.extend_from_slice(&len.to_le_bytes());
    }
    out.resize(header, 0);
    for (_, value) in values {
        out.resize(out.len().next_multiple_of(8), 0);
        out.extend_from_slice(value);
    }
    Ok(out)
}
