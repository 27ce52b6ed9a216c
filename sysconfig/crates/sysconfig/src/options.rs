//! The command line.

use std::path::{Path, PathBuf};

use clap::Parser;
use sysconfig_protocol::admin::Paths;

/// The system configuration daemon.
///
/// Reads /etc/sysconfig.toml and /etc/sysconfig.d/*.toml, starts the plugins, brings the machine in line with the
/// configuration, and stays to do so again when a plugin or the configuration changes. Started by hand it runs in
/// the foreground and logs to standard error. sysconfigctl talks to it.
///
/// Exit status: 0 stopped on request; 1 cannot start; 2 wrong option; 96 the configuration is faulty.
#[derive(Debug, Clone, Parser)]
#[command(name = "sysconfig", version, verbatim_doc_comment)]
pub struct Arguments {
    /// The main configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/sysconfig.toml")]
    pub config: PathBuf,
    /// The directory of further configuration files, *.toml in the order of their names
    #[arg(long, value_name = "DIR", default_value = "/etc/sysconfig.d")]
    pub config_dir: PathBuf,
    /// Where the daemon keeps what it remembers
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sysconfig")]
    pub state_dir: PathBuf,
    /// Where the daemon puts its admin socket
    #[arg(long, value_name = "DIR", default_value = "/var/run/sysconfig")]
    pub run_dir: PathBuf,
    /// Look for plugins here instead of in [plugins] path; may be given several times
    #[arg(long, value_name = "DIR")]
    pub plugin_path: Vec<PathBuf>,
    /// Start although the daemon of this machine's service runs: for configurations that are about something else, as in
    /// tests
    #[arg(long)]
    pub beside_service: bool,
    /// Run as an SMF contract service: return when the daemon is ready
    #[arg(long)]
    pub smf: bool,
    /// Print version and protocol as one line of JSON, and do nothing else
    #[arg(long)]
    pub self_check: bool,
}

impl Arguments {
    /// Makes the paths independent of the working directory, which the daemon leaves to its service manager.
    #[must_use]
    pub fn absolute(mut self) -> Self {
        let make = |path: &mut PathBuf| {
            if let Ok(absolute) = std::path::absolute(Path::new(path)) {
                *path = absolute;
            }
        };
        for path in [&mut self.config, &mut self.config_dir, &mut self.state_dir, &mut self.run_dir] {
            make(path);
        }
        self.plugin_path.iter_mut().for_each(make);
        self
    }

    /// What the daemon uses, for whoever asks it.
    #[must_use]
    pub fn paths(&self) -> Paths {
        let shown = |path: &Path| path.display().to_string();
        Paths {
            config: shown(&self.config),
            config_dir: shown(&self.config_dir),
            state_dir: shown(&self.state_dir),
            run_dir: shown(&self.run_dir),
        }
    }
}
