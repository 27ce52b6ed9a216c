//! `sysconfigctl`, the command line of the system configuration daemon.
//!
//! One command is one request on the daemon's admin socket: [`client`] asks, [`render`] turns the answer into
//! text, [`exit`] into an exit status. Answers go to standard output, talk and errors to standard error; with
//! `--json` the answer is the daemon's own, and an error is one JSON object.
//!
//! `config`, `plugin new`, `completions` and `man` need no daemon: what is said of files and plugins is said by the
//! daemon's own code. `doctor` looks at everything, with and without the daemon.
//!
//! The program decides nothing and touches nothing else: what is in force, what may be done and who may
//! ask for it is the daemon's business.

pub mod cli;
pub mod client;
pub mod exit;
pub mod render;

mod command;
mod config;
mod doctor;
mod follow;
mod manual;
mod new_plugin;

pub use command::{Streams, run};
