//! A plugin as a process: started, called, stopped.
//!
//! Each process has one thread, `plugin NAME`, which reads its answers, its notifications and whatever it prints.
//! Everything that a process does wrong becomes a [`Fault`]; what it *answers* to a request, errors included, is its
//! word and no fault.

mod fault;
mod interpreter;
mod output;
mod process;
mod reader;

pub use fault::{CallError, Fault, StartError};
pub use process::{Launcher, PluginProcess, Stop};

/// What a plugin process tells without being asked.
#[derive(Debug)]
pub enum Report {
    /// The process cannot be talked to any more.
    Ended {
        /// The plugin's name.
        plugin: String,
        /// Which of its processes.
        instance: u64,
        /// Why not.
        fault: Fault,
    },
    /// The plugin emitted an event.
    Event {
        /// The plugin's name.
        plugin: String,
        /// The event, with its source set.
        event: sysconfig_protocol::Event,
    },
}
