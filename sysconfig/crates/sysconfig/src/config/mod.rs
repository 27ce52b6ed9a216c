//! The configuration files: read, merged, and every key with its place.
//!
//! [`load`] reads the main file and the files of the drop-in directory in the order of their names and merges them
//! table by table; a key that is set twice is an error that names both places. `[daemon]`, `[plugins]` and `[logging]` are the
//! daemon's own ([`Settings`]), and an unknown key in them is an error. Everything else describes the machine and
//! belongs to plugins: [`assign`] hands each part to its owner and names the keys that have none.
//!
//! The files may be anything, and on a file system that does not answer: [`Reading`] says how long they are waited for, and whether
//! others may be able to write them. [`ConfigWatch`] notices that the files changed. Errors carry the file's text and a span, and are rendered with [`render`],
//! or for a person at a terminal with [`render_with_source`].

mod assign;
mod error;
mod merge;
mod read;
mod schema;
mod settings;
mod tree;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

pub use assign::{Assignment, Unowned, assign, overlaps};
pub(crate) use assign::{is_within, nearest};
pub use error::{ConfigError, ConfigErrors, problems, render, render_with_source, told_of};
pub use read::{Contents, Pending, Reading, read};
pub use schema::own_schema;
pub(crate) use settings::OWN_TABLES;
pub use settings::{DaemonSettings, Deadlines, LogOutput, LoggingSettings, PluginSettings, Settings, parse_duration};
pub use tree::{Entry, Kind, Node, Origin, Table, dotted, quoted};
pub use watch::{ConfigWatch, Fingerprint};

use sysconfig_protocol::admin::Place;

/// Where the configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The main file; it must exist.
    pub file: PathBuf,
    /// The directory whose `*.toml` files are merged into it; it need not exist.
    pub directory: PathBuf,
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path.
    pub path: PathBuf,
    /// Its text, which every fault in it shares.
    pub text: Arc<str>,
    /// Where its lines begin: many places may be asked for, and it may be long.
    lines: Arc<[usize]>,
}

impl SourceFile {
    /// A file with this text.
    pub fn new(path: PathBuf, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let after_newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_newlines).collect();
        Self { path, text, lines }
    }

    /// The place of a byte offset.
    pub fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|begin| *begin <= offset).max(1);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or_default();
        Place { file: self.path.display().to_string(), line, column: before.chars().count() + 1 }
    }
}

/// A configuration that was read without errors.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The files, in the order in which they were merged.
    pub files: Vec<SourceFile>,
    /// The daemon's own part.
    pub settings: Settings,
    /// The rest: what the machine should look like.
    pub machine: Table,
}

impl Configuration {
    /// What stands in for files with faults: nothing about the machine.
    pub fn of_settings(settings: Settings) -> Self {
        Self { files: Vec::new(), settings, machine: Table::new() }
    }

    /// Where a key such as `network.dns.servers[0]` is set, or the nearest table above it that is.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        Some(self.place(&self.origin_of(key)?))
    }

    /// What sets a key, or the nearest table above it that is set.
    pub fn origin_of(&self, key: &str) -> Option<Origin> {
        tree::find_origin(&self.machine, key)
    }

    /// The place that an origin stands for.
    pub fn place(&self, origin: &Origin) -> Place {
        self.files[origin.file].place(origin.span.start)
    }

    /// Whether both configurations say the same, wherever they say it.
    pub fn same_as(&self, other: &Self) -> bool {
        self.settings == other.settings && self.same_machine_as(other)
    }

    /// Whether both configurations describe the same machine, whatever the daemon itself is to do.
    pub fn same_machine_as(&self, other: &Self) -> bool {
        tree::to_json(&self.machine) == tree::to_json(&other.machine)
    }
}

/// Reads and merges the configuration.
///
/// # Errors
///
/// Every fault that was found, up to the first stage that has any: reading, syntax, merging, the daemon's own keys.
pub fn load(sources: &Sources, reading: Reading) -> Result<Configuration, ConfigErrors> {
    parse(read(sources, reading)?.files?)
}

/// Merges files that were read already, in their order.
///
/// # Errors
///
/// As [`load`], apart from reading.
pub fn parse(files: Vec<SourceFile>) -> Result<Configuration, ConfigErrors> {
    let mut machine = merge_all(&files)?;
    let settings = Settings::take_from(&mut machine, &files)?;
    Ok(Configuration { files, settings, machine })
}

/// Everything that the files say, the daemon's own tables included, which nobody has judged yet.
///
/// # Errors
///
/// As [`load`], apart from the daemon's own keys.
pub fn load_merged(sources: &Sources, reading: Reading) -> Result<(Vec<SourceFile>, Table), ConfigErrors> {
    let files = read(sources, reading)?.files?;
    let merged = merge_all(&files)?;
    Ok((files, merged))
}

fn merge_all(files: &[SourceFile]) -> Result<Table, ConfigErrors> {
    let tables: Vec<Table> = collect(files.iter().enumerate().map(|(index, file)| tree::parse(index, file)))?;
    merge::merge(files, tables)
}

/// Either every value or every error.
fn collect<T>(results: impl Iterator<Item = Result<T, ConfigError>>) -> Result<Vec<T>, ConfigErrors> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors.into()) }
}

#[cfg(test)]
mod tests;
