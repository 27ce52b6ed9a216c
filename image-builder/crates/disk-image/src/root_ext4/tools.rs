//! The programs, each run in an environment that holds nothing of the user's.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use process_runner::{Command, CommandError, Output, ReadError};

use super::Ext4Error;

/// No step takes minutes on a root of a few gigabytes; a slow disk may take its time.
const DEADLINE: Duration = Duration::from_secs(60 * 60);
/// How much of a program's output is kept for a message.
const TAIL_BYTES: usize = 2000;

/// One of the programs, for one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// What it is to do, to follow "cannot".
    pub(super) step: &'static str,
    /// Its name.
    pub(super) program: &'static str,
    /// The file system's own time, in seconds since 1970, instead of the clock's.
    pub(super) time: u64,
}

impl Tool {
    /// The program with its arguments; the last one names the image.
    pub(super) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, image: &Path) -> Command {
        // Ordinary users of Debian have no `sbin` on their search path.
        let path = std::env::var("PATH").unwrap_or_default();
        let time = self.time.to_string();
        Command::new(self.program)
            .env_clear()
            .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
            // genext2fs hands names through the C library's conversions.
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            // The defaults of the programs, whatever the host is set up to do.
            .env("MKE2FS_CONFIG", "/dev/null")
            .env("E2FSCK_CONFIG", "/dev/null")
            // Three names for the same thing, by program and version.
            .env("E2FSPROGS_FAKE_TIME", &time)
            .env("E2FSCK_TIME", &time)
            .env("SOURCE_DATE_EPOCH", &time)
            .args(arguments)
            .arg(image)
            .deadline(DEADLINE)
    }

    /// Runs a program that must succeed.
    pub(super) fn run(&self, arguments: &[&str], image: &Path) -> Result<Output, Ext4Error> {
        self.command(arguments, image).run().map_err(|error| self.failed(error))
    }

    /// Runs `e2fsck`, whose output may be larger than what is inspected; answers its exit status.
    pub(super) fn check(&self, arguments: &[&str], image: &Path) -> Result<(), Ext4Error> {
        let mut tail = Vec::new();
        let ended = self.command(arguments, image).run_reading(|output| {
            let mut buffer = [0; 8192];
            loop {
                match output.read(&mut buffer)? {
                    0 => return Ok::<_, std::io::Error>(()),
                    read => tail.extend_from_slice(&buffer[..read]),
                }
                if tail.len() > 16 * TAIL_BYTES {
                    tail.drain(..tail.len() - TAIL_BYTES);
                }
            }
        });
        let ended = ended.map_err(|error| match error {
            ReadError::Command(command) | ReadError::Both { command, .. } => command,
            ReadError::Reader(source) => CommandError::Pipe { command: self.program.to_owned(), source },
        });
        match ended {
            Ok(()) => Ok(()),
            Err(CommandError::Failed { code: Some(1), .. }) if arguments.contains(&"-y") => Ok(()),
            Err(CommandError::Failed { code: Some(_), .. }) => Err(self.complaint(&tail)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The error for a program that did not start or failed.
    pub(super) fn failed(&self, error: CommandError) -> Ext4Error {
        let source = Box::new(error);
        let (step, program) = (self.step, self.program);
        if source.is_not_found() {
            let package = if program == "genext2fs" { "genext2fs" } else { "e2fsprogs" };
            return Ext4Error::MissingProgram { step, program, package, source };
        }
        Ext4Error::Program { step, source }
    }

    /// The error for a program that said something it should not have said.
    pub(super) fn complaint(&self, said: &[u8]) -> Ext4Error {
        let start = said.len().saturating_sub(TAIL_BYTES);
        let said = String::from_utf8_lossy(&said[start..]).trim().to_owned();
        Ext4Error::Complaint { step: self.step, said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(program: &'static str) -> Tool {
        Tool { step: "try something", program, time: 0 }
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let error = tool("no-such-mke2fs").run(&[], Path::new("image")).unwrap_err();
        assert_eq!(error.to_string(), "cannot try something: no-such-mke2fs is not installed");
        assert_eq!(error.help().as_deref(), Some("install the Debian package e2fsprogs"));
    }

    #[test]
    fn what_a_failing_check_said_is_kept_and_status_1_is_fine_only_after_repairs() {
        let script = |status: u32| format!("echo found it; exit {status} #");
        let check = |status, mode| tool("sh").check(&["-c", &script(status), mode], Path::new("image"));
        assert!(check(0, "-n").is_ok());
        assert!(check(1, "-y").is_ok());
        for (status, mode) in [(1, "-n"), (4, "-y"), (8, "-n")] {
            let error = check(status, mode).unwrap_err();
            assert!(error.to_string().contains("found it"), "{status} {mode}: {error}");
        }
    }
}
