//! The system configuration daemon.
//!
//! It reads what the machine should look like, starts the plugins that know how to do that, and applies one
//! through the other. The binary is a `main` of a few lines around [`run`].
//!
//! # Threads
//!
//! | name | takes | gives |
//! | --- | --- | --- |
//! | main: the [`engine`] | everything that happens, from one queue | requests to plugins, the [`board`] |
//! | `signals` | SIGTERM, SIGINT, SIGHUP | events for the engine; the stop flag |
//! | `configuration`, short-lived | the configuration files | their text, for the engine, which does not wait for ever |
//! | `watch` | the plugin directories, polled | new and changed files, with their private copies |
//! | `plugin NAME`, one each | the plugin's socket and what it prints | answers, events, log lines |
//! | `admin` | connections on the admin socket | `client` threads |
//! | `client`, one each | requests of `sysconfigctl` | answers: from the board at once, from the engine in turn |
//! | `farewell`, short-lived | a process that was exchanged | its end: asked, then SIGTERM, then SIGKILL |
//!
//! There is no asynchronous runtime: nearly all of the daemon's life is spent waiting, and a handful of threads
//! that wait cost less memory than a runtime. Only the engine touches plugins and state; the board is the one thing
//! that is shared under a lock.
//!
//! # What the daemon does not do
//!
//! It knows nothing of host names, networks or pools: that is in plugins. It does not repair on its own what
//! somebody changed after it was applied; it reports it. It runs nothing through a shell.

pub mod admin;
pub mod board;
pub mod clock;
pub mod config;
pub mod discovery;
pub mod engine;
pub mod log;
pub mod offline;
pub mod options;
pub mod plugin;
mod program;
mod ring;
pub mod service;
mod side_by_side;
pub mod state;
mod text;
mod trust;

pub use program::run;
