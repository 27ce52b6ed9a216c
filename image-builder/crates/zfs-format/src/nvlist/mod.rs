//! Name-value lists, as labels and the pool configuration hold them: packed in XDR.
//!
//! Sources: `nvpair.c` (`nvs_xdr_*`, `nvpair_t`, `i_get_value_size`), `nvpair.h` (`data_type_t`), RFC 4506.

mod decode;
mod encode;
mod print;

pub use decode::{DecodeLimits, decode_xdr, decode_xdr_with};

/// The value of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NvValue {
    /// `DATA_TYPE_BOOLEAN`: the name alone says it.
    Flag,
    /// `DATA_TYPE_BOOLEAN_VALUE`.
    Boolean(bool),
    /// `DATA_TYPE_BYTE`.
    Byte(u8),
    /// `DATA_TYPE_INT32`.
    I32(i32),
    /// `DATA_TYPE_UINT32`.
    U32(u32),
    /// `DATA_TYPE_INT64`.
    I64(i64),
    /// `DATA_TYPE_UINT64`.
    U64(u64),
    /// `DATA_TYPE_STRING`.
    String(String),
    /// `DATA_TYPE_BYTE_ARRAY`.
    Bytes(Vec<u8>),
    /// `DATA_TYPE_INT64_ARRAY`.
    I64Array(Vec<i64>),
    /// `DATA_TYPE_UINT64_ARRAY`.
    U64Array(Vec<u64>),
    /// `DATA_TYPE_STRING_ARRAY`.
    StringArray(Vec<String>),
    /// `DATA_TYPE_NVLIST`.
    List(NvList),
    /// `DATA_TYPE_NVLIST_ARRAY`.
    ListArray(Vec<NvList>),
}

impl NvValue {
    /// The number of the type on disk (`data_type_t`).
    #[must_use]
    pub fn type_number(&self) -> u32 {
        match self {
            Self::Flag => 1,
            Self::Byte(_) => 2,
            Self::I32(_) => 5,
            Self::U32(_) => 6,
            Self::I64(_) => 7,
            Self::U64(_) => 8,
            Self::String(_) => 9,
            Self::Bytes(_) => 10,
            Self::I64Array(_) => 15,
            Self::U64Array(_) => 16,
            Self::StringArray(_) => 17,
            Self::List(_) => 19,
            Self::ListArray(_) => 20,
            Self::Boolean(_) => 21,
        }
    }

    /// How many elements the pair says it has: 0 for a flag, 1 for a scalar.
    #[must_use]
    pub fn element_count(&self) -> usize {
        match self {
            Self::Flag => 0,
            Self::Bytes(values) => values.len(),
            Self::I64Array(values) => values.len(),
            Self::U64Array(values) => values.len(),
            Self::StringArray(values) => values.len(),
            Self::ListArray(values) => values.len(),
            _ => 1,
        }
    }
}

macro_rules! from_value {
    ($($type:ty => $variant:ident;)*) => {
        $(impl From<$type> for NvValue {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from_value! {
    u64 => U64;
    &str => String;
    String => String;
    bool => Boolean;
    Vec<u64> => U64Array;
    NvList => List;
    Vec<NvList> => ListArray;
}

/// `NV_UNIQUE_NAME`: every name stands once. The boot loader accepts labels with exactly this flag only.
pub const UNIQUE_NAME: u32 = 1;

/// Why a packed list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NvError {
    /// The encoding byte is not that of XDR.
    #[error("packed nvlist: encoding {0}, only XDR (1) is supported")]
    Encoding(u8),
    /// The list has a version other than 0.
    #[error("packed nvlist: version {0}, only 0 is known")]
    Version(u32),
    /// The bytes end inside the list.
    #[error("packed nvlist: ends at byte {offset} inside {what}")]
    Truncated {
        /// Where more bytes were wanted.
        offset: usize,
        /// What was being read.
        what: &'static str,
    },
    /// A pair has a type that does not occur in pools.
    #[error("packed nvlist: pair `{name}` has the unsupported type {number}")]
    Type {
        /// The name of the pair.
        name: String,
        /// The number of its type.
        number: u32,
    },
    /// A name or a string is not UTF-8.
    #[error("packed nvlist: the string at byte {0} is not UTF-8")]
    NotUtf8(usize),
    /// A number that contradicts the others, such as the size of a pair.
    #[error("packed nvlist: {what} at byte {offset} is impossible")]
    Impossible {
        /// Where it stands.
        offset: usize,
        /// What it is.
        what: &'static str,
    },
    /// The same name twice in a list whose names are unique.
    #[error("packed nvlist: the name `{0}` stands twice")]
    Duplicate(String),
    /// More lists inside each other, or more pairs, than a reader takes.
    #[error("packed nvlist: more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
}

/// An ordered list of pairs with unique names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NvList {
    pairs: Vec<(String, NvValue)>,
}

impl NvList {
    /// A list without pairs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name`, at the end, or where it stood before.
    pub fn insert(&mut self, name: &str, value: impl Into<NvValue>) {
        let value = value.into();
        match self.pairs.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.pairs.push((name.to_owned(), value)),
        }
    }

    /// Sets `name` as a flag: a pair without a value.
    pub fn insert_flag(&mut self, name: &str) {
        self.insert(name, NvValue::Flag);
    }

    /// The same list with `name` set; for building lists in one expression.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<NvValue>) -> Self {
        self.insert(name, value);
        self
    }

    /// The pairs in order.
    #[must_use]
    pub fn pairs(&self) -> &[(String, NvValue)] {
        &self.pairs
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&NvValue> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value of `name` if it is a 64-bit unsigned integer.
    #[must_use]
    pub fn u64(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(NvValue::U64(value)) => Some(*value),
            _ => None,
        }
    }

    /// The value of `name` if it is a string.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(NvValue::String(value)) => Some(value),
            _ => None,
        }
    }

    /// The value of `name` if it is a list.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<&NvList> {
        match self.get(name) {
            Some(NvValue::List(value)) => Some(value),
            _ => None,
        }
    }

    /// The value of `name` if it is an array of lists.
    #[must_use]
    pub fn lists(&self, name: &str) -> Option<&[NvList]> {
        match self.get(name) {
            Some(NvValue::ListArray(value)) => Some(value),
            _ => None,
        }
    }

    fn push_decoded(&mut self, name: String, value: NvValue) {
        self.pairs.push((name, value));
    }
}

#[cfg(test)]
mod tests;
