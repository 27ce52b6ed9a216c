//! The system that is to run an executable, and whether it can.

use std::fmt;

use crate::file::{Class, ElfFile};
use crate::{ElfError, Executable, Glibc, Machine, ObjectKind, Os, defined_versions, inspect};

/// A system as far as running executables goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its instruction set.
    pub machine: Machine,
    /// Its operating system.
    pub os: Os,
    /// Run-time linkers that it has, by the paths that executables name.
    pub interpreters: Vec<String>,
    /// Its glibc; `None` for a system with another C library.
    pub glibc: Option<Glibc>,
}

/// Where a system's C library may be, as paths from its root, the likeliest first.
#[must_use]
pub fn libc_candidates() -> &'static [&'static str] {
    &[
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/lib/aarch64-linux-gnu/libc.so.6",
        "/lib/aarch64-linux-gnu/libc.so.6",
        "/usr/lib64/libc.so.6",
        "/lib64/libc.so.6",
        "/lib/amd64/libc.so.1",
        "/lib/64/libc.so.1",
    ]
}

impl Guest {
    /// A guest described by the bytes of its C library; see [`libc_candidates`].
    ///
    /// # Errors
    /// When the bytes are no ELF object, or not the C library of Linux or illumos.
    pub fn from_libc(libc: &[u8]) -> Result<Self, ElfError> {
        let file = ElfFile::parse(libc)?;
        let library = inspect(libc)?;
        let versions = defined_versions(libc)?;
        if let Some(glibc) = Glibc::from_defined(versions.iter().cloned()) {
            let machine = file.machine;
            let interpreters = glibc_interpreters(machine, file.class);
            return Ok(Self { machine, os: Os::Linux, interpreters, glibc: Some(glibc) });
        }
        let is_sun = versions.iter().any(|v| v.starts_with("SUNW_") || v.starts_with("ILLUMOS_"));
        if is_sun || library.os == Os::Illumos {
            return Ok(Self::illumos(file.machine));
        }
        Err(ElfError::NotALibc)
    }

    /// An illumos system, which has one C library and needs no version of it checked.
    #[must_use]
    pub fn illumos(machine: Machine) -> Self {
        let paths: &[&str] = match machine {
            Machine::X86_64 => {
                &["/lib/amd64/ld.so.1", "/usr/lib/amd64/ld.so.1", "/lib/64/ld.so.1", "/usr/lib/64/ld.so.1"]
            }
            _ => &["/lib/ld.so.1", "/usr/lib/ld.so.1"],
        };
        let interpreters = paths.iter().map(|path| (*path).to_owned()).collect();
        Self { machine, os: Os::Illumos, interpreters, glibc: None }
    }

    /// The Rust target whose executables run here, such as `x86_64-unknown-illumos`.
    #[must_use]
    pub fn triple(&self) -> String {
        let machine = self.machine.triple_name().unwrap_or("unknown");
        match self.os {
            Os::Illumos => format!("{machine}-unknown-illumos"),
            Os::FreeBsd => format!("{machine}-unknown-freebsd"),
            Os::NetBsd => format!("{machine}-unknown-netbsd"),
            Os::OpenBsd => format!("{machine}-unknown-openbsd"),
            _ if self.glibc.is_some() => format!("{machine}-unknown-linux-gnu"),
            _ => format!("{machine}-unknown-linux-musl"),
        }
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.os, self.machine)?;
        match &self.glibc {
            Some(glibc) => write!(f, " with glibc {}", glibc.newest()),
            None => Ok(()),
        }
    }
}

/// The paths that the ABI of each machine fixes.
fn glibc_interpreters(machine: Machine, class: Class) -> Vec<String> {
    let paths: &[&str] = match (machine, class) {
        (Machine::X86_64, Class::Elf64) => &["/lib64/ld-linux-x86-64.so.2"],
        (Machine::X86, _) => &["/lib/ld-linux.so.2"],
        (Machine::Aarch64, _) => &["/lib/ld-linux-aarch64.so.1"],
        (Machine::Arm, _) => &["/lib/ld-linux-armhf.so.3", "/lib/ld-linux.so.3"],
        (Machine::RiscV, _) => &["/lib/ld-linux-riscv64-lp64d.so.1"],
        _ => &[],
    };
    paths.iter().map(|path| (*path).to_owned()).collect()
}

impl Executable {
    /// Whether the executable can be started on `guest`.
    ///
    /// The libraries that it names besides the C library are not looked for:
    /// [`Executable::needed`] lists them.
    ///
    /// # Errors
    /// The first reason why it cannot.
    pub fn check(&self, guest: &Guest) -> Result<(), Mismatch> {
        if self.kind != ObjectKind::Executable {
            return Err(Mismatch::NotAProgram { kind: self.kind });
        }
        if self.os != guest.os {
            let (found, triple) = (self.os, guest.triple());
            return Err(Mismatch::Os { found, guest: guest.os, triple });
        }
        if self.machine != guest.machine {
            let (found, triple) = (self.machine, guest.triple());
            return Err(Mismatch::Machine { found, guest: guest.machine, triple });
        }
        self.check_interpreter(guest)?;
        self.check_glibc(guest)
    }

    fn check_interpreter(&self, guest: &Guest) -> Result<(), Mismatch> {
        match &self.interpreter {
            Some(path) if !guest.interpreters.contains(path) => {
                Err(Mismatch::Interpreter { path: path.clone(), triple: guest.triple() })
            }
            _ => Ok(()),
        }
    }

    fn check_glibc(&self, guest: &Guest) -> Result<(), Mismatch> {
        let Some(glibc) = &guest.glibc else {
            return Ok(());
        };
        let missing = self
            .versions
            .iter()
            .filter(|need| need.version.starts_with("GLIBC_") && !glibc.offers(&need.version))
            // Naming the newest one tells how new the guest would have to be.
            .max_by_key(|need| crate::GlibcVersion::from_symbol_version(&need.version));
        match missing {
            None => Ok(()),
            Some(need) => Err(Mismatch::Glibc {
                version: need.version.clone(),
                library: need.library.clone(),
                guest: glibc.newest(),
                machine: guest.machine,
            }),
        }
    }
}

/// Why an executable cannot run on a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It is not a program at all.
    #[error("it is {}, not a program", describe(*kind))]
    NotAProgram {
        /// What it is.
        kind: ObjectKind,
    },
    /// It was built for another operating system.
    #[error("it is built for {found}, the guest runs {guest}")]
    Os {
        /// The system that it is for.
        found: Os,
        /// The guest's.
        guest: Os,
        /// The target that would do.
        triple: String,
    },
    /// It was built for another instruction set.
    #[error("it is built for {found}, the guest's machine is {guest}")]
    Machine {
        /// The machine that it is for.
        found: Machine,
        /// The guest's.
        guest: Machine,
        /// The target that would do.
        triple: String,
    },
    /// The guest has not got its run-time linker.
    #[error("it needs the run-time linker {path}, which the guest has not got")]
    Interpreter {
        /// The run-time linker.
        path: String,
        /// The target that would do.
        triple: String,
    },
    /// The guest's glibc is older than the one that it was linked with.
    #[error("it needs {version} of {library}, the guest has glibc {guest}")]
    Glibc {
        /// The newest version that the guest does not offer.
        version: String,
        /// The library that should define it.
        library: String,
        /// The guest's glibc.
        guest: crate::GlibcVersion,
        /// The guest's machine.
        machine: Machine,
    },
}

impl Mismatch {
    /// The build that would fix it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotAProgram { .. } => {
                "name the executable that `cargo build --release` leaves in `target/release`".into()
            }
            Self::Os { triple, .. } | Self::Machine { triple, .. } | Self::Interpreter { triple, .. } => {
                format!("build it with `cargo build --release --target {triple}`")
            }
            Self::Glibc { guest, machine, .. } => {
                let suite = guest.debian_suite().map_or_else(String::new, |suite| format!(" (Debian {suite} has one)"));
                let machine = machine.triple_name().unwrap_or("x86_64");
                format!(
                    "build it on a system with glibc {guest} or older{suite}, or without glibc: \
                     `cargo build --release --target {machine}-unknown-linux-musl`"
                )
            }
        }
    }
}

fn describe(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Executable => "a program",
        ObjectKind::SharedLibrary => "a shared library",
        ObjectKind::Other => "an object file or a core dump",
    }
}
