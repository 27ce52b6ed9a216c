//! The one seam through which this repository's programs start other programs.
//!
//! A [`Command`] records its argument vector, always has a deadline, never
//! inherits standard input by accident, and puts the tail of what the program
//! said into the error. It is started in a process group of its own, so that
//! a deadline ends the whole family and not only its head.
//!
//! Five ways to run one:
//! * [`Command::run`]: wait, capture both streams, any failure is an error;
//! * [`Command::run_any`]: the same, but an exit status other than 0 is an answer;
//! * [`Command::run_reading`]: read the output as it comes;
//! * [`Command::run_interactive`]: the user's terminal belongs to the program;
//! * [`Command::spawn_detached`]: a program that outlives us, such as a virtual machine.
//!
//! [`end_all`] ends everything that runs, and a [`guard`] sees to that when this process is killed.
//!
//! The crate knows nothing of shells: arguments are never joined and parsed
//! again. [`Command::to_string`] quotes them for people.

mod capture;
mod command;
mod error;
mod groups;
mod guard;
mod pipes;
mod quote;
mod run;

pub use command::{Command, Input, Output, Stream};
pub use error::{CommandError, ReadError};
pub use groups::{Guarded, end_all, guard};
pub use quote::shell_quote;
pub use run::Detached;
