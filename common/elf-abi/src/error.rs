//! Why bytes are not an ELF object that can be judged.

/// The bytes are not an ELF object, or a damaged one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The first bytes are not those of an ELF object.
    #[error("not an ELF object{}", looks_like(found))]
    NotElf {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// The header names a class or byte order that does not exist.
    #[error("the ELF header has the impossible {field} {value}")]
    Header {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: u8,
    },
    /// A part lies outside the file: cut off, or damaged.
    #[error("the {part} of the ELF object is cut off or damaged")]
    Damaged {
        /// Which part.
        part: &'static str,
    },
    /// The object defines no symbol versions, so it is not a C library.
    #[error("the ELF object defines no versions of a C library")]
    NotALibc,
}

/// Says what people often have instead of an executable.
fn looks_like(found: &[u8]) -> &'static str {
    match found {
        [] => ": it is empty",
        [b'#', b'!', ..] => ": it is a script",
        [b'M', b'Z', ..] => ": it is a Windows or EFI program",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe] => ": it is a macOS program",
        _ => "",
    }
}
