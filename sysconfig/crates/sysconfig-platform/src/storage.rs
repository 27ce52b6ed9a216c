//! What the modules about file systems and swap have in common.

use crate::{CommandError, FileError};
use std::io;

/// A file system, dataset or swap area could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A program failed.
    #[error("cannot {operation}")]
    Command {
        /// What was to be done to what.
        operation: String,
        /// The reason.
        #[source]
        source: CommandError,
    },
    /// A program said that it succeeded, and it is not so; or that it failed without saying how.
    #[error("cannot {operation}: {said}")]
    NotSo {
        /// What was to be done to what.
        operation: String,
        /// What was seen instead.
        said: String,
    },
    /// A program's answer is in no known form.
    #[error("cannot {operation}: {answer:?} is no answer")]
    Answer {
        /// What was asked.
        operation: String,
        /// What was answered.
        answer: String,
    },
    /// A file could not be read or changed.
    #[error("cannot {operation}")]
    File {
        /// What was to be done to what.
        operation: String,
        /// The reason.
        #[source]
        source: FileError,
    },
    /// The kernel refused.
    #[error("cannot {operation}")]
    Kernel {
        /// What was to be done to what.
        operation: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

impl StorageError {
    /// Wraps the failure of a command.
    pub fn command(operation: impl Into<String>) -> impl FnOnce(CommandError) -> Self {
        let operation = operation.into();
        |source| Self::Command { operation, source }
    }

    /// An answer that cannot be understood.
    pub(crate) fn answer(operation: impl Into<String>, answer: impl Into<String>) -> Self {
        Self::Answer { operation: operation.into(), answer: answer.into() }
    }

    /// Wraps the failure to read or change a file.
    pub fn file(operation: impl Into<String>) -> impl FnOnce(FileError) -> Self {
        let operation = operation.into();
        |source| Self::File { operation, source }
    }

    pub(crate) fn kernel(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        |source| Self::Kernel { operation, source }
    }

    /// The operation that failed, its cause, and what the operator can do about it.
    #[must_use]
    pub fn into_parts(self) -> (String, Option<Box<dyn std::error::Error + Send + Sync>>, Option<String>) {
        let (message, help) = (self.to_string(), self.help());
        let source: Option<Box<dyn std::error::Error + Send + Sync>> = match self {
            Self::Command { source, .. } => Some(Box::new(source)),
            Self::File { source, .. } => Some(Box::new(source)),
            Self::Kernel { source, .. } => Some(Box::new(source)),
            Self::NotSo { .. } | Self::Answer { .. } => None,
        };
        (message, source, help)
    }

    /// The words of the program that failed; empty when none did.
    #[must_use]
    pub fn said(&self) -> &str {
        match self {
            Self::Command { source: CommandError::Failed { tail, .. }, .. } => tail,
            Self::NotSo { said, .. } => said,
            _ => "",
        }
    }

    /// What the operator can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Command { source: CommandError::NotFound { program, .. }, .. }
                if is_of_zfs(program) =>
            {
                Some("install ZFS: its commands are not where they usually are".to_owned())
            }
            Self::Command { source: CommandError::Deadline { command, .. }, .. } if is_of_zfs(command) => Some(
                "ZFS does not answer; a pool whose devices are gone may hold it up: see zpool status, bring them back, then: \
                 zpool clear; or restart the machine"
                    .to_owned(),
            ),
            Self::Command { source, .. } if source.is_not_found() => {
                Some("install the program, or take what needs it out of the configuration".to_owned())
            }
            Self::File { source, .. } => source.help().map(str::to_owned),
            _ => ADVICE.iter().find(|(text, _)| self.said().contains(text)).map(|(_, help)| (*help).to_owned()),
        }
    }
}

/// Whether a command, with its arguments or without, is one of ZFS.
fn is_of_zfs(command: &str) -> bool {
    let program = command.split(' ').next().unwrap_or_default();
    program.ends_with("/zpool") || program.ends_with("/zfs")
}

/// What the commands of ZFS say, and what the operator can do about it.
const ADVICE: &[(&str, &str)] = &[
    ("permission denied", "changing pools and datasets needs root"),
    ("Permission denied", "changing pools and datasets needs root"),
    ("The ZFS modules", "load the kernel's part of ZFS: modprobe zfs"),
    ("pool I/O is currently suspended", "bring the missing devices back, then: zpool clear POOL"),
    ("last accessed by", "if no other machine uses the pool any more, import it by hand: zpool import -f POOL"),
    (
        "use '-f' to override",
        "ZFS sees what the ends of the device do not show, or wants vdevs that are alike; look at it",
    ),
    ("directory is not empty", "empty the directory, or choose another mountpoint"),
    ("Device busy", "end what uses the mountpoint"),
    ("dataset is busy", "end what uses the dataset"),
    ("out of space", "make room in the pool"),
    ("is too small", "a pool takes devices of 64 MiB and more, and a replacement is not smaller than the old one"),
    ("not as it was when this was planned", "look at what is there now; then plan and apply again"),
    ("currently unavailable", "look at the devices: one cannot be opened, or is in use"),
];

/// Reads a size as `zfs` and `mount` take it, in bytes: a number with `K`, `M`, `G`, `T`, `P` or `E` behind it, each
/// 1024 times the one before, in either case, and `B` or `iB` after that if one likes. A fraction is allowed before a
/// unit.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        unit => u32::try_from("KMGTPE".find(unit).filter(|_| unit.len() == 1)?).ok()? + 1,
    };
    let factor = 1024_u64.checked_pow(power)?;
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, fraction)) if power > 0 && !fraction.is_empty() && fraction.len() <= 9 => {
            let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
            let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / u128::from(scale);
            whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)
        }
        Some(_) => None,
    }
}

/// A size for people: the largest unit that leaves a whole number.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value != 0 && value % 1024 == 0 && unit + 1 < units.len() {
        value /= 1024;
        unit += 1;
    }
    format!("{value} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_as_they_are_written() {
        let gib = 1024 * 1024 * 1024;
        for (text, bytes) in [
            ("512", Some(512)),
            ("512m", Some(gib / 2)),
            ("10G", Some(10 * gib)),
            ("10 GiB", Some(10 * gib)),
            ("1.5g", Some(gib + gib / 2)),
            ("4gb", Some(4 * gib)),
            ("16EiB", None),
            ("1.5", None),
            ("G", None),
            ("10X", None),
            ("10 KM", None),
            ("50%", None),
            ("", None),
            ("-1", None),
            ("1.2.3G", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn formatted_sizes_are_read_again(bytes in any::<u64>(), shift in 0..64_u32) {
            let bytes = bytes << shift;
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }
    }
}
