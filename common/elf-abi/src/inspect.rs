//! What an executable is and what it wants of its system.

use std::fmt;

use crate::ElfError;
use crate::dynamic::Dynamic;
use crate::file::{Class, ElfFile, Machine, PT_INTERP};
use crate::notes::os_from_notes;
use crate::versions::{VersionNeed, needed_versions};

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// The operating system that an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Os {
    /// Linux, whatever its C library.
    Linux,
    /// illumos, and Solaris, which cannot be told from it.
    Illumos,
    /// FreeBSD.
    FreeBsd,
    /// NetBSD.
    NetBsd,
    /// OpenBSD.
    OpenBsd,
    /// Nothing in the object names one.
    Unknown,
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "Linux",
            Self::Illumos => "illumos",
            Self::FreeBsd => "FreeBSD",
            Self::NetBsd => "NetBSD",
            Self::OpenBsd => "OpenBSD",
            Self::Unknown => "an unknown system",
        })
    }
}

/// What an ELF object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A program.
    Executable,
    /// A library, which cannot be started.
    SharedLibrary,
    /// An object file, a core dump, or something else that cannot be started.
    Other,
}

/// What [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// Width of addresses.
    pub class: Class,
    /// Instruction set.
    pub machine: Machine,
    /// Operating system.
    pub os: Os,
    /// Program, library, or neither.
    pub kind: ObjectKind,
    /// The run-time linker that the kernel starts.
    pub interpreter: Option<String>,
    /// Libraries that it is linked with, in order.
    pub needed: Vec<String>,
    /// Versions that it needs of them.
    pub versions: Vec<VersionNeed>,
    /// Whether it needs neither run-time linker nor libraries.
    pub is_static: bool,
    /// Whether it is a program that can be loaded at any address.
    pub is_pie: bool,
}

/// Reads what an ELF object is for and what it needs.
///
/// # Errors
/// When the bytes are not an ELF object, or one that is cut off or damaged.
pub fn inspect(bytes: &[u8]) -> Result<Executable, ElfError> {
    let file = ElfFile::parse(bytes)?;
    let dynamic = Dynamic::parse(&file)?;
    let interpreter = read_interpreter(&file)?;
    let versions = needed_versions(&file, &dynamic)?;
    let kind = object_kind(&file, &dynamic, interpreter.is_some());
    let os = find_os(&file, &dynamic, interpreter.as_deref(), &versions);
    Ok(Executable {
        class: file.class,
        machine: file.machine,
        os,
        kind,
        is_static: interpreter.is_none() && dynamic.needed.is_empty(),
        is_pie: kind == ObjectKind::Executable && file.file_type == ET_DYN,
        interpreter,
        needed: dynamic.needed,
        versions,
    })
}

fn read_interpreter(file: &ElfFile<'_>) -> Result<Option<String>, ElfError> {
    const DAMAGED: ElfError = ElfError::Damaged { part: "interpreter's name" };
    let Some(segment) = file.segments_of(PT_INTERP).next() else {
        return Ok(None);
    };
    let bytes = file.segment_bytes(segment).ok_or(DAMAGED)?;
    // Linux' PATH_MAX: the kernel refuses a longer one too.
    let end = bytes.iter().take(4096).position(|byte| *byte == 0).ok_or(DAMAGED)?;
    Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
}

fn object_kind(file: &ElfFile<'_>, dynamic: &Dynamic<'_>, interpreted: bool) -> ObjectKind {
    match file.file_type {
        ET_EXEC => ObjectKind::Executable,
        // A library may have an interpreter, as glibc's own does; what it never is, is a PIE.
        ET_DYN if dynamic.is_pie || (interpreted && dynamic.soname.is_none()) => ObjectKind::Executable,
        ET_DYN => ObjectKind::SharedLibrary,
        _ => ObjectKind::Other,
    }
}

/// Weighs the evidence, the most reliable first.
///
/// `EI_OSABI` alone does not do: Linux programs have 0 or 3 there, illumos ones
/// 6 when their own linker made them and 0 when GNU's did.
fn find_os(file: &ElfFile<'_>, dynamic: &Dynamic<'_>, interpreter: Option<&str>, versions: &[VersionNeed]) -> Os {
    os_from_osabi(file.osabi)
        .or_else(|| interpreter.and_then(|path| os_from_interpreter(path, file.machine)))
        .or_else(|| os_from_notes(file))
        .or_else(|| versions.iter().find_map(|need| os_from_version(&need.version)))
        .or_else(|| dynamic.needed.iter().chain(&dynamic.soname).find_map(|n| os_from_library(n)))
        .or_else(|| dynamic.has_sunw_tags.then_some(Os::Illumos))
        .unwrap_or_else(|| {
            // Of the systems known here only Linux has programs without any mark of
            // their own: static ones, as musl makes them. illumos has no static programs.
            let is_static = interpreter.is_none() && dynamic.needed.is_empty();
            if is_static && file.osabi == 0 && file.file_type != 1 { Os::Linux } else { Os::Unknown }
        })
}

/// Numbers of the ELF specification's registry; 0 says nothing.
fn os_from_osabi(osabi: u8) -> Option<Os> {
    match osabi {
        2 => Some(Os::NetBsd),
        3 => Some(Os::Linux),
        6 => Some(Os::Illumos),
        9 => Some(Os::FreeBsd),
        12 => Some(Os::OpenBsd),
        _ => None,
    }
}

fn os_from_interpreter(path: &str, machine: Machine) -> Option<Os> {
    let name = path.rsplit('/').next().unwrap_or(path);
    // Linux on 32-bit PowerPC and MIPS uses the name `ld.so.1` too.
    let sun_machine = matches!(machine, Machine::X86 | Machine::X86_64 | Machine::SparcV9);
    match name {
        "ld.so.1" if sun_machine => Some(Os::Illumos),
        "ld-elf.so.1" => Some(Os::FreeBsd),
        "ld.elf_so" => Some(Os::NetBsd),
        "ld.so" if path.starts_with("/usr/libexec/") => Some(Os::OpenBsd),
        name if name.starts_with("ld-linux") || name.starts_with("ld-musl-") => Some(Os::Linux),
        _ => None,
    }
}

fn os_from_version(version: &str) -> Option<Os> {
    let prefix = version.split('_').next().unwrap_or_default();
    match prefix {
        "GLIBC" => Some(Os::Linux),
        "SUNW" | "SUNWprivate" | "ILLUMOS" | "ILLUMOSprivate" | "SYSVABI" => Some(Os::Illumos),
        "FBSD" => Some(Os::FreeBsd),
        _ => None,
    }
}

fn os_from_library(name: &str) -> Option<Os> {
    match name {
        "libc.so.6" => Some(Os::Linux),
        "libc.so.1" => Some(Os::Illumos),
        "libc.so.7" => Some(Os::FreeBsd),
        name if name.starts_with("libc.musl-") => Some(Os::Linux),
        _ => None,
    }
}
