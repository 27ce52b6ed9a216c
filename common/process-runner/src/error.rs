//! What can go wrong when a program is run.

use std::io;
use std::time::Duration;

/// A program could not be started, did not end in time, or failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program is not installed, or not on the search path.
    #[error("cannot start {program}: no such program")]
    NotFound {
        /// The program as it was named.
        program: String,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The system refused to start the program for another reason.
    #[error("cannot start `{command}`")]
    Start {
        /// The quoted command line.
        command: String,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// Everything is being ended, so nothing is started any more.
    #[error("`{command}` was not started: this program is ending")]
    Ending {
        /// The quoted command line.
        command: String,
    },
    /// Reading the program's output, writing its input, or waiting for it failed.
    #[error("cannot talk to `{command}`")]
    Pipe {
        /// The quoted command line.
        command: String,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The program ran longer than it was given; its process group was killed.
    #[error("`{command}` did not end within {} s{}", deadline.as_secs_f32(), tail_note(tail))]
    Deadline {
        /// The quoted command line.
        command: String,
        /// How long the program was given.
        deadline: Duration,
        /// The last lines that it wrote.
        tail: String,
    },
    /// The program ended with an exit status other than 0, or by a signal.
    #[error("`{command}` {}{}", ending(*code, *signal), tail_note(tail))]
    Failed {
        /// The quoted command line.
        command: String,
        /// The exit status; `None` when a signal ended the program.
        code: Option<i32>,
        /// The signal that ended the program.
        signal: Option<i32>,
        /// The last lines that it wrote.
        tail: String,
    },
    /// The program wrote more than the capture may hold; its process group was killed.
    #[error("`{command}` wrote more than {limit} bytes")]
    TooMuchOutput {
        /// The quoted command line.
        command: String,
        /// The limit in bytes for each stream.
        limit: usize,
    },
}

/// A program's output could not be had: the program failed, or whoever read it, or both.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The program; what it wrote was read without complaint.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The reader; the program is not to blame.
    #[error(transparent)]
    Reader(E),
    /// The program failed by itself, and its reader could not use what there was of the output.
    #[error("{command}")]
    Both {
        /// What went wrong.
        command: CommandError,
        /// What the reader made of it.
        #[source]
        reader: E,
    },
}

impl CommandError {
    /// Whether the program is simply not there, so that a package can be suggested.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

fn ending(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("failed with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

fn tail_note(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!("; it said:\n{tail}") }
}
