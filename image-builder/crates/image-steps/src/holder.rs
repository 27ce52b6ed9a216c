//! Who has a workspace locked: what the lock file says of it, for people.

use process_runner::shell_quote;
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The process that has a workspace locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// When it began, in Coordinated Universal Time, as in RFC 3339.
    pub since: String,
    /// Its command line, quoted for a shell.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}, since {}: {}", self.pid, self.since, self.command)
    }
}

impl Holder {
    pub(crate) fn this_process() -> Self {
        let words: Vec<String> = std::env::args_os().map(|word| shell_quote(&word)).collect();
        #[expect(clippy::disallowed_methods, reason = "for people, in a file that is no part of an image")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { pid: std::process::id(), since: utc(now.as_secs()), command: words.join(" ").replace('\n', " ") }
    }

    pub(crate) fn write(&self, file: &mut File) -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "pid {}\nsince {}\ncommand {}\n", self.pid, self.since, self.command)
    }

    /// What the file says; nothing when it says nothing, or not all of it.
    pub(crate) fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let (since, command) = (field("since")?.to_owned(), field("command")?.to_owned());
        text.ends_with('\n').then_some(Self { pid: field("pid")?.parse().ok()?, since, command })
    }

    pub(crate) fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
    }
}

/// Seconds since 1970 as RFC 3339 writes them. A year of the Gregorian calendar is counted from March here, so
/// that the leap day is its last day; 400 of them have 146 097 days.
pub(crate) fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What a workspace's lock file is called in messages.
pub(crate) fn busy(path: &Path, holder: Option<&Holder>) -> String {
    let workspace = path.parent().unwrap_or(path).display();
    match holder {
        Some(holder) => format!("workspace {workspace} is being worked in by {holder}"),
        None => format!("workspace {workspace} is being worked in by another process"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn a_file_that_was_not_written_completely_names_nobody() {
        for text in ["", "pid 12", "pid 12\nsince x\ncommand y", "pid x\nsince x\ncommand y\n"] {
            assert_eq!(Holder::parse(text), None, "{text}");
        }
    }
}
