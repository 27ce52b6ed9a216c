//! The command line.

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;
use std::time::Duration;
use sysconfig_protocol::Level;
use sysconfig_protocol::admin::DEFAULT_SOCKET;

/// Looks at and directs the system configuration daemon.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "sysconfigctl",
    version,
    after_help = "Exit status: 0 done; 1 failed, at least in part, or something is wrong (doctor, config check); 2 wrong usage; \
                  3 the daemon cannot be reached or does not answer; 4 the daemon runs, and not everything configured is in \
                  force (status)."
)]
pub struct Arguments {
    /// The daemon's admin socket
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print the answer as JSON, with --follow an object a line; errors too, on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Give up after this many seconds without an answer
    ///
    /// Without it: 5 for what the daemon answers at once (ping, status, plugins, events, logs, history); 600 for the others.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
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
        /// Apply only if the plan still has this digest, as `plan` shows it, or begins with these 8 digits or more
        #[arg(long, value_name = "DIGEST", value_parser = digest)]
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
    /// Take back the change that `apply --confirm-within` made, without waiting for its time, or what could not be taken
    /// back before
    Undo,
    /// Read the configuration files again, and apply them when they changed
    Reload,
    /// Show what happened lately: plugins that came and went, steps, reloads
    Events {
        /// Show the last so many only
        #[arg(long, short = 'n', value_name = "COUNT", value_parser = lines, allow_negative_numbers = true)]
        lines: Option<usize>,
        /// Go on with what happens, until interrupted
        #[arg(long, short)]
        follow: bool,
    },
    /// Show the last lines of the daemon's log, wherever it goes
    Logs {
        /// Only lines of this plugin, or about it
        plugin: Option<String>,
        /// Only lines that are at least as important
        #[arg(long, value_parser = level)]
        level: Option<Level>,
        /// Show the last so many only
        #[arg(long, short = 'n', value_name = "COUNT", value_parser = lines, allow_negative_numbers = true)]
        lines: Option<usize>,
        /// Go on with what is logged, until interrupted
        #[arg(long, short)]
        follow: bool,
    },
    /// Show the steps that were carried out, also by earlier daemons
    History {
        /// Show the last so many only
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 100, value_parser = count)]
        lines: usize,
    },
    /// Look for what keeps the machine from being as configured, with and without the daemon
    Doctor {
        /// What the daemon reads
        #[command(flatten)]
        sources: ConfigFiles,
    },
    /// Look at the configuration files, without the daemon
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask whether the daemon is there
    Ping,
    /// Print a script that completes the command line in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write the pages of all commands into this directory instead
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// The configuration files that the daemon reads.
#[derive(Clone, Debug, Args)]
pub struct ConfigFiles {
    /// The main file that the daemon reads
    #[arg(long, value_name = "FILE", default_value = "/etc/sysconfig.toml")]
    pub config: PathBuf,
    /// The directory of further files that the daemon reads
    #[arg(long, value_name = "DIR", default_value = "/etc/sysconfig.d")]
    pub config_dir: PathBuf,
}

/// What to do with configuration files.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check configuration files; no daemon is needed
    ///
    /// Without FILE, the files that the daemon reads are checked together, and the plugins that it would start are asked what
    /// they think of their keys, and whether this machine has what they name, such as links. Nothing is changed for that. For other
    /// files plugins are asked only if --plugins says where they are, because a file of unknown origin must not say which
    /// programs are started.
    Check {
        /// Files to check, each by itself
        #[arg(conflicts_with_all = ["config", "config_dir"])]
        files: Vec<PathBuf>,
        /// What the daemon reads
        #[command(flatten)]
        sources: ConfigFiles,
        /// Ask the plugins of this directory, e.g. target/release; may be given several times
        #[arg(long, value_name = "DIR")]
        plugins: Vec<PathBuf>,
        /// The configuration is another machine's: look at nothing of this one
        #[arg(long)]
        offline: bool,
    },
    /// Show what the files say together, a key a line
    Show {
        /// A file to show by itself
        #[arg(conflicts_with_all = ["config", "config_dir"])]
        file: Option<PathBuf>,
        /// What the daemon reads
        #[command(flatten)]
        sources: ConfigFiles,
        /// Say where each key is set: file, line and column
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of the configuration, for editors, as the plugins describe it
    Schema {
        /// What the daemon reads
        #[command(flatten)]
        sources: ConfigFiles,
        /// Ask the plugins of this directory instead of the configured ones; may be given several times
        #[arg(long, value_name = "DIR")]
        plugins: Vec<PathBuf>,
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
    /// Make the crate of a new plugin in a checkout; it builds, has tests, and keeps a text in a file
    New {
        /// The plugin's name: small letters, digits and hyphens
        name: String,
        /// The checkout, or a directory in it
        #[arg(long, value_name = "DIR", default_value = ".")]
        checkout: PathBuf,
    },
}

fn level(text: &str) -> Result<Level, String> {
    serde_json::from_value(text.into()).map_err(|_| "levels are error, warn, info, debug and trace".to_owned())
}

fn digest(text: &str) -> Result<String, String> {
    let is_one = (8..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| "write what `sysconfigctl plan` shows, or 8 digits of it or more".to_owned())
}

fn lines(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number".to_owned())
}

fn seconds(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (1..=86_400).contains(seconds))
        .ok_or_else(|| "write whole seconds, from 1 to 86400".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a whole number from 1".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    sysconfig::config::parse_duration(text)
        .ok_or_else(|| "write a whole number from 1 and a unit, up to a day: 30s, 5m, 1h".to_owned())
}
