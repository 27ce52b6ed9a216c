//! `config check`: configuration files read as the daemon reads them, without the daemon.

use serde::Serialize;
use std::path::{Path, PathBuf};
use sysconfig::config::{self, Sources};

/// What came of checking files.
#[derive(Debug, Serialize)]
pub(crate) struct CheckReport {
    /// Whether every file can be used, as far as that can be said without the plugins.
    pub(crate) accepted: bool,
    /// Each thing that was checked.
    pub(crate) checked: Vec<Checked>,
}

/// Files that were checked together.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// The files, in the order in which they are merged.
    pub(crate) files: Vec<PathBuf>,
    /// What is wrong, as a report with file, line and column.
    pub(crate) error: Option<String>,
}

/// Checks each of `files` by itself; without any, what the daemon reads.
pub(crate) fn check(files: &[PathBuf], main: &Path, directory: &Path) -> CheckReport {
    let checked: Vec<Checked> = if files.is_empty() {
        vec![check_sources(main, directory)]
    } else {
        // A directory without a name does not exist, so the file is alone.
        files.iter().map(|file| check_sources(file, Path::new(""))).collect()
    };
    CheckReport { accepted: checked.iter().all(|checked| checked.error.is_none()), checked }
}

fn check_sources(file: &Path, directory: &Path) -> Checked {
    let sources = Sources { file: file.to_owned(), directory: directory.to_owned() };
    match config::load(&sources) {
        Ok(loaded) => {
            let files = loaded.files.into_iter().map(|file| file.path).collect();
            Checked { files, error: None }
        }
        Err(errors) => Checked { files: vec![file.to_owned()], error: Some(config::render(&errors)) },
    }
}

/// The report as text.
pub(crate) fn render(report: &CheckReport) -> String {
    let texts = report.checked.iter().map(|checked| match &checked.error {
        Some(error) => format!("{}\n", error.trim_end()),
        None => {
            let files = checked.files.iter().map(|file| file.display().to_string());
            format!("{}: fine, as far as can be said without the plugins\n", files.collect::<Vec<_>>().join(", "))
        }
    });
    super::render::clean(&texts.collect::<String>())
}
