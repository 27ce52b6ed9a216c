//! What goes wrong with `zpool` and `zfs`.

use sysconfig_platform::CommandError;

/// A pool or dataset could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum ZfsError {
    /// The command could not be run, or failed.
    #[error("cannot {operation}")]
    Command {
        /// What was to be done, with its object: `create the pool tank`.
        operation: String,
        /// The reason.
        #[source]
        source: CommandError,
    },
    /// The command answered in a form that is not known.
    #[error("cannot understand the answer to the request to {operation}: {line:?}")]
    Answer {
        /// What was to be done.
        operation: String,
        /// The first line that makes no sense.
        line: String,
    },
}

impl ZfsError {
    /// Wraps the failure of a command.
    pub fn command(operation: impl Into<String>) -> impl FnOnce(CommandError) -> Self {
        let operation = operation.into();
        |source| Self::Command { operation, source }
    }

    /// An answer that cannot be understood.
    pub fn answer(operation: impl Into<String>, line: impl Into<String>) -> Self {
        Self::Answer { operation: operation.into(), line: line.into() }
    }

    /// What the command said before it failed; empty for other errors.
    #[must_use]
    pub fn said(&self) -> &str {
        match self {
            Self::Command { source: CommandError::Failed { tail, .. }, .. } => tail,
            _ => "",
        }
    }

    /// What the operator can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        if let Self::Command { source: CommandError::NotFound { .. }, .. } = self {
            return Some("install ZFS: its commands are not where they usually are".to_owned());
        }
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
            (
                "is too small",
                "a pool takes devices of 64 MiB and more, and a replacement is not smaller than the old one",
            ),
            ("currently unavailable", "look at the devices: one cannot be opened, or is in use"),
        ];
        let said = self.said();
        ADVICE.iter().find(|(text, _)| said.contains(text)).map(|(_, help)| (*help).to_owned())
    }
}
