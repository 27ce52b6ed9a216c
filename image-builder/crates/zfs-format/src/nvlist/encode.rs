//! Packing a list.

use super::{NvList, NvValue, UNIQUE_NAME};

/// `NV_ENCODE_XDR`.
pub(super) const XDR: u8 = 1;
/// `NV_VERSION`.
pub(super) const VERSION: u32 = 0;
/// The byte order of the machine that packed the list; XDR itself is always big-endian. 1 is little.
const LITTLE_ENDIAN: u8 = 1;

impl NvList {
    /// Packs the list with the four-byte header that every packed list begins with, XDR and little-endian host,
    /// and the flag that names are unique.
    #[must_use]
    pub fn encode_xdr(&self) -> Vec<u8> {
        let mut out = vec![XDR, LITTLE_ENDIAN, 0, 0];
        self.push_body(&mut out);
        out
    }

    fn push_body(&self, out: &mut Vec<u8>) {
        push_u32(out, VERSION);
        push_u32(out, UNIQUE_NAME);
        for (name, value) in self.pairs() {
            push_pair(out, name, value);
        }
        // A pair of no size ends the list.
        push_u32(out, 0);
        push_u32(out, 0);
    }
}

fn push_pair(out: &mut Vec<u8>, name: &str, value: &NvValue) {
    let start = out.len();
    push_u32(out, 0);
    push_len(out, native_size(name, value));
    push_string(out, name);
    push_u32(out, value.type_number());
    push_len(out, value.element_count());
    push_value(out, value);
    let encoded = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&encoded.to_be_bytes());
}

fn push_value(out: &mut Vec<u8>, value: &NvValue) {
    match value {
        NvValue::Flag => {}
        NvValue::Boolean(value) => push_u32(out, u32::from(*value)),
        NvValue::Byte(value) => push_u32(out, u32::from(*value)),
        NvValue::I32(value) => out.extend_from_slice(&value.to_be_bytes()),
        NvValue::U32(value) => push_u32(out, *value),
        NvValue::I64(value) => out.extend_from_slice(&value.to_be_bytes()),
        NvValue::U64(value) => out.extend_from_slice(&value.to_be_bytes()),
        NvValue::String(value) => push_string(out, value),
        // The number of bytes is in the pair already; only arrays of integers repeat it.
        NvValue::Bytes(values) => push_padded(out, values),
        NvValue::I64Array(values) => {
            push_len(out, values.len());
            values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
        }
        NvValue::U64Array(values) => {
            push_len(out, values.len());
            values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
        }
        NvValue::StringArray(values) => values.iter().for_each(|value| push_string(out, value)),
        NvValue::List(list) => list.push_body(out),
        NvValue::ListArray(lists) => lists.iter().for_each(|list| list.push_body(out)),
    }
}

/// The size of the pair in the memory of a 64-bit machine, which the packed form has to tell: an `nvpair_t` of
/// 16 bytes with the name and its NUL, then the value, each rounded up to 8.
pub(super) fn native_size(name: &str, value: &NvValue) -> usize {
    /// `NV_ALIGN(sizeof (nvlist_t))`.
    const NVLIST: usize = 24;
    let data = match value {
        NvValue::Flag => 0,
        NvValue::Byte(_) => 1,
        NvValue::Boolean(_) | NvValue::I32(_) | NvValue::U32(_) => 4,
        NvValue::I64(_) | NvValue::U64(_) => 8,
        NvValue::String(value) => value.len() + 1,
        NvValue::Bytes(values) => values.len(),
        NvValue::I64Array(values) => values.len() * 8,
        NvValue::U64Array(values) => values.len() * 8,
        // Pointers come first, then the strings.
        NvValue::StringArray(values) => values.iter().map(|value| 8 + value.len() + 1).sum(),
        NvValue::List(_) => NVLIST,
        NvValue::ListArray(lists) => lists.len() * (8 + NVLIST),
    };
    (16 + name.len() + 1).next_multiple_of(8) + data.next_multiple_of(8)
}

fn push_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Lengths in a list that was built in memory are far below 4 GiB; a longer one could not be read back and
/// would be found by its own check.
fn push_len(out: &mut Vec<u8>, len: usize) {
    push_u32(out, u32::try_from(len).unwrap_or(u32::MAX));
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    push_len(out, text.len());
    push_padded(out, text.as_bytes());
}

fn push_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + bytes.len().next_multiple_of(4) - bytes.len(), 0);
}
