//! `config`: configuration files read as the daemon reads them, without the daemon.

mod check;
mod show;

use std::path::PathBuf;

use serde_json::Value;
use sysconfig::config::{Deadlines, Reading, Sources, load};
use sysconfig::discovery::Search;
use sysconfig::offline::{Plugins, Target};

use crate::cli::{ConfigCommand, ConfigFiles};
use crate::command::{Failure, Session};
use crate::exit::Exit;

impl Session<'_> {
    pub(crate) fn config(&mut self, command: ConfigCommand) -> Result<Exit, Failure> {
        match command {
            ConfigCommand::Check { files, sources, plugins, offline } => {
                let target = if offline { Target::Another } else { Target::ThisMachine };
                let report = check::check(&files, &sources.into(), &plugins, target)?;
                // What is written into a file or a build's log is read by others than whoever may read the files.
                self.answer(&report, check::render(&report, self.is_terminal))?;
                Ok(Exit::success_if(report.accepted))
            }
            ConfigCommand::Show { file, sources, origin } => {
                let sources = file.map_or_else(|| sources.into(), alone);
                let shown = show::show(&sources)?;
                self.answer(&shown, show::render(&shown, origin))?;
                Ok(Exit::Success)
            }
            ConfigCommand::Schema { sources, plugins } => {
                let schema = schema(&sources.into(), &plugins)?;
                let text = serde_json::to_string_pretty(&schema).map_err(std::io::Error::from)?;
                self.answer(&schema, format!("{text}\n"))?;
                Ok(Exit::Success)
            }
        }
    }
}

/// A file without those of a directory: one without a name does not exist.
fn alone(file: PathBuf) -> Sources {
    Sources { file, directory: PathBuf::new() }
}

impl From<ConfigFiles> for Sources {
    fn from(files: ConfigFiles) -> Self {
        Self { file: files.config, directory: files.config_dir }
    }
}

/// The schema with the plugins of `directories`, or of the configured path.
fn schema(sources: &Sources, directories: &[PathBuf]) -> Result<Value, Failure> {
    let (search, deadlines) = match directories {
        [] => match load(sources, Reading::LENIENT) {
            Ok(config) => search_of(&config.settings.plugins),
            Err(errors) => return Err(Failure::Config(errors)),
        },
        directories => (trusting(directories), Deadlines::default()),
    };
    let plugins = start(search, &deadlines, directories)?;
    if let Some(unusable) = plugins.found().iter().find(|looked| looked.description.is_err()) {
        let reason = unusable.description.as_ref().err().map(|failure| failure.message.clone()).unwrap_or_default();
        return Err(Failure::said(format!("{}: {reason}", unusable.path.display())));
    }
    Ok(plugins.schema())
}

/// Starts the plugins of a path. A directory that somebody named, and that is not there, is no configuration's fault.
fn start(search: Search, deadlines: &Deadlines, named: &[PathBuf]) -> Result<Plugins, Failure> {
    let plugins = Plugins::start(search, deadlines).map_err(Failure::of)?;
    match plugins.missing().iter().next().filter(|_| !named.is_empty()) {
        None => Ok(plugins),
        Some((directory, reason)) => {
            let directory = directory.display();
            Err(Failure::said(format!(
                "cannot look for plugins in {directory}: {reason}; name another one with --plugins"
            )))
        }
    }
}

/// Directories that somebody names on the command line are trusted: they say that their plugins shall run.
fn trusting(directories: &[PathBuf]) -> Search {
    let path = directories.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    Search { path: path.collect(), allow_untrusted_owner: true }
}

fn search_of(settings: &sysconfig::config::PluginSettings) -> (Search, Deadlines) {
    let search = Search { path: settings.path.clone(), allow_untrusted_owner: settings.allow_untrusted_owner };
    (search, settings.deadlines.clone())
}
