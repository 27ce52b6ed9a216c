//! What a plugin process can do wrong.

use std::path::PathBuf;
use std::time::Duration;

use sysconfig_protocol::ErrorObject;

/// A process broke the protocol or ended. It is stopped and started again after a while.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It closed its connection, or ended.
    #[error("ended unexpectedly")]
    Ended,
    /// The connection failed.
    #[error("connection failed: {0}")]
    Connection(String),
    /// The daemon cannot read from it any more, by a fault of its own.
    #[error("a fault of sysconfig itself while reading from it, which the service's log has")]
    Unread,
    /// It sent something that is not a message.
    ///
    /// What it was is not shown: it may have been meant for somebody else, and hold a secret.
    #[error("sent something that is not the protocol: {reason}, in {length} bytes of {kind}")]
    Garbage {
        /// Why it is none.
        reason: String,
        /// The line's length in bytes.
        length: usize,
        /// What the line consists of: `JSON`, `text` or `binary data`.
        kind: &'static str,
    },
    /// It sent a line beyond the limit.
    #[error("sent a line longer than {limit} bytes")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// It answered something that was not asked.
    #[error("answered request {found} instead of {expected}")]
    WrongId {
        /// The id of the answer.
        found: String,
        /// The id of the request.
        expected: String,
    },
    /// It sends answers faster than requests.
    #[error("sent answers that nobody asked for")]
    Unasked,
    /// It emits events faster than the daemon can be expected to act on them.
    #[error("emitted more than {limit} events within a second")]
    EventFlood {
        /// The limit.
        limit: u32,
    },
    /// It emitted an event that is larger than events may be.
    #[error("emitted an event on {topic:?} of more than {limit} bytes")]
    EventTooLarge {
        /// What it was about, cut.
        topic: String,
        /// The limit.
        limit: usize,
    },
    /// It emits events about more and more topics; the daemon remembers each.
    #[error("emitted events on more than {limit} topics")]
    TooManyTopics {
        /// The limit.
        limit: usize,
    },
    /// Its answer does not have the method's shape.
    #[error("gave {method} an answer of the wrong shape: {reason}")]
    BadAnswer {
        /// The method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It did not answer in time.
    #[error("did not answer {method} within {}", seconds(.after))]
    Late {
        /// The method.
        method: &'static str,
        /// The deadline.
        after: Duration,
    },
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// A request came to nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The plugin answered that it did not work; it is well otherwise.
    #[error("{}", .0.chain())]
    Refused(ErrorObject),
    /// The plugin is not well.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A plugin cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}", path.display())]
pub struct StartError {
    /// What was to be started.
    pub path: PathBuf,
    /// What the operating system says.
    #[source]
    pub source: std::io::Error,
}

impl StartError {
    /// Whether the machine lacks processes, memory or descriptors, which says nothing of the plugin.
    pub fn is_of_machine(&self) -> bool {
        use rustix::io::Errno;
        let lacking = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
        self.source.raw_os_error().is_some_and(|code| lacking.iter().any(|errno| errno.raw_os_error() == code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_the_machine_is_not_the_plugins_fault() {
        for (errno, expected) in [
            (rustix::io::Errno::MFILE, true),
            (rustix::io::Errno::AGAIN, true),
            (rustix::io::Errno::NOENT, false),
            (rustix::io::Errno::ACCESS, false),
        ] {
            assert_eq!(StartError { path: "x".into(), source: errno.into() }.is_of_machine(), expected, "{errno}");
        }
    }
}
