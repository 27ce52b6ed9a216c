//! `sysconfigctl`, the command line of the system configuration daemon.
//!
//! One command is one request on the daemon's admin socket: [`client`] asks, [`render`] turns the answer into
//! text, [`exit`] into an exit status. Answers go to standard output, talk and errors to standard error; with
//! `--json` the answer is the daemon's own, and an error is one JSON object.
//!
//! `config check` alone needs no daemon: it reads files with the daemon's own code.
//!
//! The program decides nothing and touches nothing else: what is in force, what may be done and who may
//! ask for it is the daemon's business.

pub mod cli;
pub mod client;
pub mod exit;
pub mod render;

mod check;
mod command;

pub use command::run;
