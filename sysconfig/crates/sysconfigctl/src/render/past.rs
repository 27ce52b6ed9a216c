//! `events`, `logs` and `history` as text: a line each, and what belongs to it below.

use super::{clean, duration, indented};
use crate::render::plan::{line, result_word};
use std::fmt::Write;
use sysconfig::clock::rfc3339;
use sysconfig_protocol::admin::{Happening, HistoryReport, LogLine};

/// Something that happened.
#[must_use]
pub fn happening(entry: &Happening) -> String {
    let subject = entry.plugin.as_ref().map_or("sysconfig".to_owned(), |plugin| format!("plugin {}", clean(plugin)));
    format!("{} {subject}: {}\n", rfc3339(entry.at_unix_ms), indented(&entry.message))
}

/// A line of the log, as the daemon writes it.
#[must_use]
pub fn log_line(entry: &LogLine) -> String {
    let (at, level) = (rfc3339(entry.at_unix_ms), entry.level.as_str());
    format!("{at} {level:5} {}: {}\n", clean(&entry.subject), indented(&entry.message))
}

/// The answer to `history`.
#[must_use]
pub fn history(report: &HistoryReport) -> String {
    if report.steps.is_empty() {
        return "No step was carried out yet.\n".to_owned();
    }
    let mut text = String::new();
    for past in &report.steps {
        let (word, took) = match past.result {
            None => ("open", String::new()),
            Some(result) => (result_word(result), format!(" ({})", duration(past.duration_ms.unwrap_or_default()))),
        };
        let undo = if past.undo { "undo " } else { "" };
        let (at, plugin) = (rfc3339(past.at_unix_ms), clean(&past.plugin));
        let _ = writeln!(text, "{at} {word:<10}  {plugin}: {undo}{}{took}", line(&past.step));
        if let Some(error) = &past.error {
            let _ = writeln!(text, "    {}", indented(error));
        }
    }
    text
}
