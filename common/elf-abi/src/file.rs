//! The outer parts of an ELF object: header, program headers, address mapping.
//!
//! Layout: System V ABI, chapters 4 and 5. Sections are never looked at: a
//! running system does not need them, and they may be stripped.

use std::fmt;

use crate::ElfError;

/// No program has nearly as many; a larger number is damage.
const MAX_PROGRAM_HEADERS: u64 = 4096;

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_INTERP: u32 = 3;
pub(crate) const PT_NOTE: u32 = 4;

/// Whether addresses have 32 or 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 32 bits.
    Elf32,
    /// 64 bits.
    Elf64,
}

/// The instruction set (`e_machine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Machine {
    /// 32-bit x86.
    X86,
    /// x86-64, called amd64 by Debian and illumos.
    X86_64,
    /// 32-bit Arm.
    Arm,
    /// 64-bit Arm.
    Aarch64,
    /// RISC-V.
    RiscV,
    /// 64-bit SPARC.
    SparcV9,
    /// Another, by its number.
    Other(u16),
}

impl Machine {
    fn from_number(number: u16) -> Self {
        match number {
            3 => Self::X86,
            40 => Self::Arm,
            43 => Self::SparcV9,
            62 => Self::X86_64,
            183 => Self::Aarch64,
            243 => Self::RiscV,
            other => Self::Other(other),
        }
    }

    /// The name that Rust's target triples use; `None` for a machine without one here.
    #[must_use]
    pub fn triple_name(self) -> Option<&'static str> {
        match self {
            Self::X86 => Some("i686"),
            Self::X86_64 => Some("x86_64"),
            Self::Arm => Some("armv7"),
            Self::Aarch64 => Some("aarch64"),
            Self::RiscV => Some("riscv64gc"),
            Self::SparcV9 => Some("sparcv9"),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "machine {number}"),
            Self::X86 => f.write_str("x86"),
            Self::Arm => f.write_str("arm"),
            Self::RiscV => f.write_str("riscv"),
            Self::X86_64 | Self::Aarch64 | Self::SparcV9 => f.write_str(self.triple_name().unwrap_or_default()),
        }
    }
}

/// One program header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_bytes: u64,
}

/// An ELF object whose header and program headers have been read.
#[derive(Debug)]
pub(crate) struct ElfFile<'a> {
    bytes: &'a [u8],
    pub(crate) class: Class,
    little_endian: bool,
    pub(crate) osabi: u8,
    pub(crate) file_type: u16,
    pub(crate) machine: Machine,
    pub(crate) segments: Vec<Segment>,
}

impl<'a> ElfFile<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf { found: bytes.iter().take(4).copied().collect() });
        }
        let ident = bytes.get(..16).ok_or(ElfError::Damaged { part: "header" })?;
        let class = match ident[4] {
            1 => Class::Elf32,
            2 => Class::Elf64,
            value => {
                return Err(ElfError::Header { field: "class", value });
            }
        };
        let little_endian = match ident[5] {
            1 => true,
            2 => false,
            value => {
                return Err(ElfError::Header { field: "byte order", value });
            }
        };
        let mut file = Self {
            bytes,
            class,
            little_endian,
            osabi: ident[7],
            file_type: 0,
            machine: Machine::Other(0),
            segments: Vec::new(),
        };
        file.read_header().ok_or(ElfError::Damaged { part: "header" })?;
        file.segments = file.read_segments().ok_or(ElfError::Damaged { part: "program header table" })?;
        Ok(file)
    }

    fn read_header(&mut self) -> Option<()> {
        self.file_type = self.u16(16)?;
        self.machine = Machine::from_number(self.u16(18)?);
        Some(())
    }

    fn read_segments(&self) -> Option<Vec<Segment>> {
        let (table, entry_at, least) = match self.class {
            Class::Elf32 => (u64::from(self.u32(28)?), 42, 32),
            Class::Elf64 => (self.u64(32)?, 54, 56),
        };
        let entry_bytes = u64::from(self.u16(entry_at)?);
        let count = u64::from(self.u16(entry_at + 2)?);
        if count == 0 {
            return Some(Vec::new());
        }
        if count > MAX_PROGRAM_HEADERS || entry_bytes < least {
            return None;
        }
        (0..count).map(|index| self.read_segment(table.checked_add(index * entry_bytes)?)).collect()
    }

    fn read_segment(&self, at: u64) -> Option<Segment> {
        Some(match self.class {
            Class::Elf32 => Segment {
                kind: self.u32(at)?,
                offset: self.word(at.checked_add(4)?)?,
                address: self.word(at.checked_add(8)?)?,
                file_bytes: self.word(at.checked_add(16)?)?,
            },
            Class::Elf64 => Segment {
                kind: self.u32(at)?,
                offset: self.word(at.checked_add(8)?)?,
                address: self.word(at.checked_add(16)?)?,
                file_bytes: self.word(at.checked_add(32)?)?,
            },
        })
    }

    /// The segments of one kind.
    pub(crate) fn segments_of(&self, kind: u32) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.kind == kind)
    }

    /// The bytes of a segment as they are in the file.
    pub(crate) fn segment_bytes(&self, segment: &Segment) -> Option<&'a [u8]> {
        self.slice(segment.offset, segment.file_bytes)
    }

    /// Where in the file the byte at a virtual address is.
    pub(crate) fn offset_of(&self, address: u64) -> Option<u64> {
        self.segments_of(PT_LOAD).find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (within < segment.file_bytes).then(|| segment.offset.checked_add(within)).flatten()
        })
    }

    /// Bytes of a word of the class: an address or a size.
    pub(crate) fn word_bytes(&self) -> u64 {
        match self.class {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        }
    }

    pub(crate) fn word(&self, at: u64) -> Option<u64> {
        match self.class {
            Class::Elf32 => self.u32(at).map(u64::from),
            Class::Elf64 => self.u64(at),
        }
    }

    pub(crate) fn u16(&self, at: u64) -> Option<u16> {
        let bytes = self.array(at)?;
        Some(if self.little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    pub(crate) fn u32(&self, at: u64) -> Option<u32> {
        let bytes = self.array(at)?;
        Some(if self.little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    pub(crate) fn u64(&self, at: u64) -> Option<u64> {
        let bytes = self.array(at)?;
        Some(if self.little_endian { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }

    pub(crate) fn slice(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        let end = usize::try_from(at.checked_add(length)?).ok()?;
        self.bytes.get(start..end)
    }

    fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        self.slice(at, N as u64)?.try_into().ok()
    }
}
