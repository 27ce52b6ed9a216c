//! Unpacking a list from bytes that nobody vouches for.

use super::encode::{VERSION, XDR};
use super::{NvError, NvList, NvValue, UNIQUE_NAME};

/// What a reader takes at most.
#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// Lists inside each other.
    pub depth: usize,
    /// Pairs and array elements, in all lists together.
    pub items: usize,
}

impl Default for DecodeLimits {
    /// Far above what pools have: a configuration nests about five lists.
    fn default() -> Self {
        Self { depth: 20, items: 1 << 20 }
    }
}

/// Unpacks a list that begins with its four-byte header; what follows the list is ignored.
///
/// # Errors
/// The header, or a size, type or string in the list, is wrong.
pub fn decode_xdr(bytes: &[u8]) -> Result<NvList, NvError> {
    decode_xdr_with(bytes, DecodeLimits::default())
}

/// As [`decode_xdr`], with other limits.
///
/// # Errors
/// The header, or a size, type or string in the list, is wrong, or a limit is passed.
pub fn decode_xdr_with(bytes: &[u8], limits: DecodeLimits) -> Result<NvList, NvError> {
    let mut input = Input { bytes, offset: 0, items_left: limits.items, limits };
    let header = input.take(4, "the header")?;
    if header[0] != XDR {
        return Err(NvError::Encoding(header[0]));
    }
    input.list(limits.depth)
}

struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
    items_left: usize,
    limits: DecodeLimits,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], NvError> {
        let end = self.offset.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(NvError::Truncated { offset: self.offset, what })?;
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, NvError> {
        let bytes = self.take(4, what)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, NvError> {
        Ok(u64::from(self.u32(what)?) << 32 | u64::from(self.u32(what)?))
    }

    fn len(&mut self, what: &'static str) -> Result<usize, NvError> {
        // A usize has at least 32 bits wherever this runs.
        Ok(self.u32(what)? as usize)
    }

    fn count_items(&mut self, count: usize) -> Result<(), NvError> {
        let left = self.items_left.checked_sub(count);
        self.items_left = left.ok_or(NvError::Limit { what: "pairs and elements", limit: self.limits.items })?;
        Ok(())
    }

    fn string(&mut self) -> Result<String, NvError> {
        let len = self.len("a string's length")?;
        let start = self.offset;
        let text = self.take(len, "a string")?;
        self.skip_padding(len)?;
        let text = std::str::from_utf8(text).map_err(|_| NvError::NotUtf8(start))?;
        Ok(text.to_owned())
    }

    fn skip_padding(&mut self, len: usize) -> Result<(), NvError> {
        self.take((4 - len % 4) % 4, "padding").map(|_| ())
    }

    fn list(&mut self, depth_left: usize) -> Result<NvList, NvError> {
        if depth_left == 0 {
            return Err(NvError::Limit { what: "lists inside each other", limit: self.limits.depth });
        }
        let version = self.u32("the version")?;
        if version != VERSION {
            return Err(NvError::Version(version));
        }
        let flags = self.u32("the flags")?;
        let mut list = NvList::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = self.pair(depth_left)? {
            if flags & UNIQUE_NAME != 0 && !names.insert(name.clone()) {
                return Err(NvError::Duplicate(name));
            }
            list.push_decoded(name, value);
        }
        Ok(list)
    }

    /// The next pair; none at the end of the list.
    fn pair(&mut self, depth_left: usize) -> Result<Option<(String, NvValue)>, NvError> {
        let start = self.offset;
        let encoded = self.len("a pair's size")?;
        let native = self.u32("a pair's size in memory")?;
        if encoded == 0 && native == 0 {
            return Ok(None);
        }
        self.count_items(1)?;
        let name = self.string()?;
        let number = self.u32("a pair's type")?;
        let count = self.len("a pair's number of elements")?;
        let value = self.value(&name, number, count, depth_left)?;
        if self.offset - start != encoded {
            return Err(NvError::Impossible { offset: start, what: "the size of a pair" });
        }
        Ok(Some((name, value)))
    }

    fn value(&mut self, name: &str, number: u32, count: usize, depth_left: usize) -> Result<NvValue, NvError> {
        let at = self.offset;
        let scalar = !matches!(number, 1 | 10 | 15 | 16 | 17 | 20);
        if (scalar && count != 1) || (number == 1 && count != 0) {
            return Err(NvError::Impossible { offset: at, what: "the number of elements" });
        }
        Ok(match number {
            1 => NvValue::Flag,
            2 => NvValue::Byte(self.u32("a byte")?.to_be_bytes()[3]),
            5 => NvValue::I32(self.u32("an integer")? as i32),
            6 => NvValue::U32(self.u32("an integer")?),
            7 => NvValue::I64(self.u64("an integer")? as i64),
            8 => NvValue::U64(self.u64("an integer")?),
            9 => NvValue::String(self.string()?),
            10 => {
                let bytes = self.take(count, "bytes")?.to_vec();
                self.skip_padding(count)?;
                NvValue::Bytes(bytes)
            }
            15 => NvValue::I64Array(self.words(count)?.into_iter().map(|word| word as i64).collect()),
            16 => NvValue::U64Array(self.words(count)?),
            17 => {
                self.count_items(count)?;
                NvValue::StringArray((0..count).map(|_| self.string()).collect::<Result<_, _>>()?)
            }
            19 => NvValue::List(self.list(depth_left - 1)?),
            20 => {
                self.count_items(count)?;
                NvValue::ListArray((0..count).map(|_| self.list(depth_left - 1)).collect::<Result<_, _>>()?)
            }
            21 => match self.u32("a boolean")? {
                0 => NvValue::Boolean(false),
                1 => NvValue::Boolean(true),
                _ => return Err(NvError::Impossible { offset: at, what: "a boolean" }),
            },
            _ => return Err(NvError::Type { name: name.to_owned(), number }),
        })
    }

    fn words(&mut self, count: usize) -> Result<Vec<u64>, NvError> {
        let at = self.offset;
        if self.len("an array's length")? != count {
            return Err(NvError::Impossible { offset: at, what: "the length of an array" });
        }
        let bytes = self.take(count.saturating_mul(8), "an array")?;
        Ok(bytes.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().unwrap_or_default())).collect())
    }
}
