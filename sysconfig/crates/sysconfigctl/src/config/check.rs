//! `config check`: what the daemon and its plugins would say of configuration files.

use std::path::PathBuf;

use serde::Serialize;
use sysconfig::config::{self, ConfigErrors, Configuration, Reading, Sources};
use sysconfig::offline::Target;
use sysconfig_protocol::admin::Problem;

use super::{alone, search_of, start, trusting};
use crate::command::Failure;
use crate::render::{has_errors, push_problems};

/// What came of checking files.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    /// Whether every file can be used, as far as that was asked.
    pub(super) accepted: bool,
    /// Each thing that was checked.
    pub(super) checked: Vec<Checked>,
}

/// Files that were checked together.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// The files, in the order in which they are merged.
    files: Vec<PathBuf>,
    /// What is wrong with them before any plugin is asked, each fault with file, line and column.
    error: Option<String>,
    /// The same, for a person's report.
    #[serde(skip)]
    faults: Option<ConfigErrors>,
    /// The plugins that were asked; none at all when they were not to be.
    plugins: Option<Vec<String>>,
    /// What they said, and the keys that none of them owns; where they were not asked because of an error, its faults.
    problems: Vec<Problem>,
}

/// Checks each of `files` by itself; without any, what the daemon reads, with the plugins that it would start. Other
/// files say which programs are plugins as well, so they are not believed: for those, plugins are asked only in the
/// directories of the command line.
pub(super) fn check(
    files: &[PathBuf],
    sources: &Sources,
    directories: &[PathBuf],
    target: Target,
) -> Result<CheckReport, Failure> {
    let checked = if files.is_empty() {
        vec![check_sources(sources, directories, true, target)?]
    } else {
        files
            .iter()
            .map(|file| check_sources(&alone(file.clone()), directories, false, target))
            .collect::<Result<_, _>>()?
    };
    let is_fine = |checked: &Checked| checked.error.is_none() && !has_errors(&checked.problems);
    Ok(CheckReport { accepted: checked.iter().all(is_fine), checked })
}

fn check_sources(sources: &Sources, directories: &[PathBuf], is_own: bool, target: Target) -> Result<Checked, Failure> {
    // Files that somebody names are nobody's configuration yet, and may belong to whoever writes them.
    let reading = if is_own { Reading::STRICT } else { Reading::LENIENT };
    match config::load(sources, reading) {
        Ok(loaded) => {
            let (plugins, problems) = ask_plugins(&loaded, directories, is_own, target)?;
            let files = loaded.files.into_iter().map(|file| file.path).collect();
            Ok(Checked { files, error: None, faults: None, plugins, problems })
        }
        Err(errors) => Ok(Checked {
            files: vec![sources.file.clone()],
            error: Some(config::render(&errors)),
            problems: config::problems(&errors),
            faults: Some(errors),
            plugins: None,
        }),
    }
}

fn ask_plugins(
    loaded: &Configuration,
    directories: &[PathBuf],
    is_own: bool,
    target: Target,
) -> Result<(Option<Vec<String>>, Vec<Problem>), Failure> {
    let (search, deadlines) = match directories {
        [] if is_own => search_of(&loaded.settings.plugins),
        [] => return Ok((None, Vec::new())),
        directories => (trusting(directories), loaded.settings.plugins.deadlines.clone()),
    };
    let mut plugins = start(search, &deadlines, directories)?;
    let usable = plugins.found().iter().filter(|looked| looked.description.is_ok());
    let names: Vec<_> = usable.map(|looked| looked.name.clone()).collect();
    // On a host without the guest's plugins, every key would lack its owner; that would be no news.
    if names.is_empty() && directories.is_empty() {
        return Ok((None, Vec::new()));
    }
    // Nobody reads more, and a file in another form than TOML's tables has one in each line.
    let problems = config::told_of(plugins.judge(loaded, target));
    Ok((Some(names), problems))
}

/// The report as text; `with_source` shows the lines that faults are in, and whatever secrets they hold.
pub(super) fn render(report: &CheckReport, with_source: bool) -> String {
    let mut text = String::new();
    for checked in &report.checked {
        if let Some(faults) = &checked.faults {
            let error = if with_source { config::render_with_source(faults) } else { config::render(faults) };
            text += &format!("{error}\n");
            continue;
        }
        let files: Vec<_> = checked.files.iter().map(|file| file.display().to_string()).collect();
        let asked = match &checked.plugins {
            None => "as far as can be said without the plugins".to_owned(),
            Some(names) => format!("say the plugins {}", names.join(", ")),
        };
        let verdict = if has_errors(&checked.problems) { "faulty" } else { "fine" };
        text += &format!("{}: {verdict}, {asked}\n", files.join(", "));
        push_problems(&mut text, &checked.problems);
    }
    crate::render::clean(&text)
}
