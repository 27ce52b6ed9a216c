//! Answers as text for people.
//!
//! Plain text without colours, aligned with blanks. What plugins and files have contributed is shown without
//! control characters, so that it cannot move the cursor or hide something.

mod past;
mod plan;
mod status;
mod table;

pub use past::{happening, history, log_line};
pub use plan::{apply, confirm, plan, reload, undo};
pub use status::{plugin_table, plugins, status};

use std::fmt::Write;
use sysconfig_protocol::admin::{Pong, Problem};
use sysconfig_protocol::{Diagnostic, Severity};

/// The answer to `ping`.
#[must_use]
pub fn pong(pong: &Pong) -> String {
    format!("sysconfig {} answers, process {}\n", clean(&pong.version), pong.pid)
}

/// Text without control characters, line ends excepted, and without those that turn its direction (UAX #9).
#[must_use]
pub fn clean(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if (c.is_control() || turns(c)) && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Whether any of the problems is an error.
#[must_use]
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// Adds the problems, one paragraph each, after an empty line.
pub(crate) fn push_problems(text: &mut String, problems: &[Problem]) {
    for problem in problems {
        let level = severity(problem.severity);
        let _ = writeln!(text, "\n{level}: {}: {}", clean(&problem.subject), indented(&problem.message));
        if let Some(place) = &problem.place {
            let _ = writeln!(text, "  at {}:{}:{}", clean(&place.file), place.line, place.column);
        }
        if let Some(help) = &problem.help {
            let _ = writeln!(text, "  help: {}", indented(help));
        }
    }
}

/// Adds what a plugin found, one line each.
fn push_diagnostics(text: &mut String, diagnostics: &[Diagnostic]) {
    for found in diagnostics {
        let level = severity(found.severity);
        let key = match found.key.as_str() {
            "" => String::new(),
            key => format!("{}: ", clean(key)),
        };
        let _ = writeln!(text, "  {level}: {key}{}", indented(&found.message));
        if let Some(help) = &found.help {
            let _ = writeln!(text, "    help: {}", indented(help));
        }
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Text whose further lines are moved to the right, below the first one.
pub(crate) fn indented(text: &str) -> String {
    clean(text).trim_end().replace('\n', "\n    ")
}

/// A number with its noun.
fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// A duration in the largest unit that leaves a small number: `640 ms`, `12 s`, `3 min`, `2 h`, `5 d`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago a moment was; a moment in the future, by another clock, is now.
fn ago(now: u64, then: u64) -> String {
    match now.saturating_sub(then) {
        0..=999 => "just now".to_owned(),
        since => format!("{} ago", duration(since)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_fitting_units() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(duration(milliseconds), text);
        }
        assert_eq!(ago(500, 5000), "just now", "clocks may differ");
    }

    #[test]
    fn terminals_are_not_driven_by_plugins() {
        assert_eq!(clean("a\u{1b}[2Jb\rc\nd"), "a\u{fffd}[2Jb\u{fffd}c\nd");
        assert_eq!(clean("file\u{202e}txt.sh"), "file\u{fffd}txt.sh");
    }
}
