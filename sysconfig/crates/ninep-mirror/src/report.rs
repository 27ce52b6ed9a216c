//! What the mirror tells whoever runs it. The library prints nothing.

use std::error::Error;
use std::time::Duration;

use crate::path::SharePath;

/// Takes what happens, in order.
pub trait Report: Send {
    /// Something happened.
    fn event(&mut self, event: &Event<'_>);
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A session began.
    Connected {
        /// With whom.
        endpoint: &'a str,
        /// The largest message in bytes.
        msize: u32,
    },
    /// A session failed, or could not begin.
    Lost {
        /// Why.
        error: &'a (dyn Error + 'static),
        /// When the next attempt is made; none when there will be no other.
        retry_after: Option<Duration>,
    },
    /// It was found out which files are wanted.
    Selected {
        /// How many.
        files: usize,
        /// Why it is not the tracked files; none when it is.
        all_because: Option<&'a str>,
    },
    /// A file or link was copied.
    Copied {
        /// Its path.
        path: &'a SharePath,
        /// Its size.
        bytes: u64,
        /// Whether it is an executable that nobody tracks.
        executable: bool,
        /// Since it was seen first.
        delay: Duration,
    },
    /// A file or link was removed.
    Removed {
        /// Its path.
        path: &'a SharePath,
    },
    /// Something is not copied; told once.
    Problem {
        /// Where; none when it concerns the whole.
        path: Option<&'a SharePath>,
        /// What is wrong.
        what: &'a str,
    },
    /// What was told as a problem is none any more.
    Solved {
        /// Where; none when it concerned the whole.
        path: Option<&'a SharePath>,
    },
    /// Everything was looked at once, and what had changed was copied.
    Round(Round),
}

/// The outcome of a complete round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Counted from 1 since the program started.
    pub number: u64,
    /// How often the content of the destination changed, over all runs.
    pub generation: u64,
    /// Files and links that are mirrored.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is not copied, for one reason or other.
    pub problems: usize,
    /// Changes since the last complete round.
    pub changes: u64,
    /// How long it took.
    pub took: Duration,
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
