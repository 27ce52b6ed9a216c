//! The command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use sysconfig_protocol::admin::DEFAULT_SOCKET;

/// Looks at and directs the system configuration daemon.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "sysconfigctl",
    version,
    after_help = "Exit status: 0 done; 1 failed, at least in part; 2 wrong usage; 3 the daemon cannot be reached or does not answer; \
                  4 the daemon runs, and not everything configured is in force (status)."
)]
pub struct Arguments {
    /// The daemon's admin socket
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print the daemon's answer as JSON; errors too, on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Give up after this many seconds without an answer
    ///
    /// Without it: 5 for ping, status and plugins, which the daemon answers at once; 600 for the others.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: Option<u64>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show whether everything configured is in force
    Status {
        /// Show everything that is known about each plugin, and what the words mean
        #[arg(long)]
        explain: bool,
    },
    /// List the plugins with their builds and files
    Plugins,
    /// Act on one plugin
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Show what would change to bring the machine in line with the configuration
    Plan,
    /// Bring the machine in line with the configuration
    Apply {
        /// Plan only
        #[arg(long)]
        dry_run: bool,
        /// Carry out steps that can lose data, too
        #[arg(long)]
        allow_destructive: bool,
        /// Apply only if the plan still has this digest, as `plan` shows it
        #[arg(long, value_name = "DIGEST")]
        plan: Option<String>,
        /// Undo the change unless `sysconfigctl confirm` comes within this time, e.g. 60s or 5m
        ///
        /// For changes that could cut off the very connection over which they are made. The time counts from the end
        /// of the change. Nothing is done when a step cannot be undone.
        #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "dry_run")]
        confirm_within: Option<Duration>,
    },
    /// Keep the change that `apply --confirm-within` made
    Confirm,
    /// Take back the change that `apply --confirm-within` made, without waiting for its time
    Undo,
    /// Read the configuration files again, and apply them when they changed
    Reload,
    /// Look at the configuration files, without the daemon
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask whether the daemon is there
    Ping,
}

/// What to do with configuration files.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the syntax of configuration files, and the keys of the daemon itself; no daemon is needed
    ///
    /// The keys of plugins are not checked: only the plugins know them. `plan` says what they think.
    Check {
        /// Files to check, each by itself; without any, those that the daemon reads, together
        files: Vec<PathBuf>,
        /// The main file that the daemon reads
        #[arg(long, value_name = "FILE", default_value = "/etc/sysconfig.toml", conflicts_with = "files")]
        config: PathBuf,
        /// The directory of further files that the daemon reads
        #[arg(long, value_name = "DIR", default_value = "/etc/sysconfig.d", conflicts_with = "files")]
        config_dir: PathBuf,
    },
}

/// What to do with a plugin.
#[derive(Clone, Debug, Subcommand)]
pub enum PluginCommand {
    /// Stop it and start it again, also out of quarantine
    Restart {
        /// The plugin's name, as `sysconfigctl plugins` shows it
        name: String,
    },
}

fn time(text: &str) -> Result<Duration, String> {
    sysconfig::config::parse_duration(text)
        .ok_or_else(|| "write a whole number and a unit, up to a day: 30s, 5m, 1h".to_owned())
}
