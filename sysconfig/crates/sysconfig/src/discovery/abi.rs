//! Whether a file can be started on this system.

use elf_abi::{Guest, libc_candidates};

/// The system that the daemon runs on, as far as starting programs goes.
#[derive(Debug, Clone)]
pub struct System {
    /// None when this system's C library could not be found; then executables are started unchecked and the
    /// operating system decides.
    guest: Option<Guest>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be started.
    Runs,
    /// It is an executable of another system.
    OtherSystem { message: String, help: String },
    /// It is neither an executable nor a script.
    NotAProgram { message: String },
}

impl System {
    /// Looks at the running system.
    pub fn detect() -> Self {
        if cfg!(any(target_os = "illumos", target_os = "solaris")) {
            return Self { guest: Some(Guest::illumos(elf_abi::Machine::X86_64)) };
        }
        let libc = libc_candidates().iter().find_map(|path| std::fs::read(path).ok());
        Self { guest: libc.and_then(|bytes| Guest::from_libc(&bytes).ok()) }
    }

    /// The Rust targets whose executables run here: builds for them are looked for beside a plugin directory.
    pub(super) fn triples(&self) -> Vec<String> {
        let Some(guest) = &self.guest else { return Vec::new() };
        let own = guest.triple();
        let musl = own.strip_suffix("-gnu").map(|stem| format!("{stem}-musl"));
        std::iter::once(own).chain(musl).collect()
    }

    pub(super) fn judge(&self, bytes: &[u8]) -> Verdict {
        if bytes.starts_with(b"#!") {
            return Verdict::Runs;
        }
        if !bytes.starts_with(b"\x7fELF") {
            let message = "neither an ELF executable nor a script (#!)".to_owned();
            return Verdict::NotAProgram { message };
        }
        let executable = match elf_abi::inspect(bytes) {
            Ok(executable) => executable,
            Err(error) => return Verdict::NotAProgram { message: format!("damaged ELF executable: {error}") },
        };
        match self.guest.as_ref().map(|guest| executable.check(guest)) {
            None | Some(Ok(())) => Verdict::Runs,
            Some(Err(mismatch)) => {
                Verdict::OtherSystem { message: mismatch.to_string(), help: mismatch.help().to_string() }
            }
        }
    }
}
