//! What a plugin prints, as lines of the log.

use std::time::{Duration, Instant};

use sysconfig_protocol::Level;

use crate::log::Log;
use crate::text::cut;

/// Longer lines are cut into several, and longer messages cut.
const MAX_LINE_BYTES: usize = 4096;

/// What the log takes of one plugin: at most so much at once, and on average as much in a second. A plugin in a loop must not
/// fill the disk, not even in a week, and one that has a lot to say once is to be heard.
const LINES: Budget = Budget { at_once: 1000.0, per_second: 10.0 };
const BYTES: Budget = Budget { at_once: 512.0 * 1024.0, per_second: 4096.0 };

/// How often it is told how many lines were left out.
const COUNT_PAUSE: Duration = Duration::from_secs(10);

struct Budget {
    at_once: f64,
    per_second: f64,
}

impl Budget {
    fn refilled(&self, left: f64, after: Duration) -> f64 {
        (left + self.per_second * after.as_secs_f64()).min(self.at_once)
    }
}

/// Writes a plugin's lines to the log under its name, no more than the log can take.
#[derive(Debug)]
pub(super) struct PluginLog {
    log: Log,
    subject: String,
    /// What is left of the budgets, and when that was so.
    lines: f64,
    bytes: f64,
    since: Instant,
    dropped: u64,
    told: Option<Instant>,
}

impl PluginLog {
    pub(super) fn new(log: Log, subject: String) -> Self {
        let (lines, bytes) = (LINES.at_once, BYTES.at_once);
        Self { log, subject, lines, bytes, since: Instant::now(), dropped: 0, told: None }
    }

    pub(super) fn write(&mut self, level: Level, message: &str) {
        // What nobody reads costs nothing.
        if !self.log.takes(level) {
            return;
        }
        self.tell_dropped_when_due();
        let message = cut(message, MAX_LINE_BYTES);
        let now = Instant::now();
        let after = now.saturating_duration_since(std::mem::replace(&mut self.since, now));
        (self.lines, self.bytes) = (LINES.refilled(self.lines, after), BYTES.refilled(self.bytes, after));
        let (lines, bytes) = size(&message);
        if self.lines < lines || self.bytes < bytes {
            self.dropped += 1;
            return;
        }
        (self.lines, self.bytes) = (self.lines - lines, self.bytes - bytes);
        self.log.write(level, &self.subject, message);
    }

    /// How soon there is something to tell about lines that were left out.
    pub(super) fn next_count(&self) -> Option<Duration> {
        let next = self.told.map_or(Duration::ZERO, |told| COUNT_PAUSE.saturating_sub(told.elapsed()));
        (self.dropped > 0).then_some(next)
    }

    /// Says how many lines were left out since the last time, unless that was just now.
    pub(super) fn tell_dropped_when_due(&mut self) {
        if self.next_count().is_some_and(|wait| wait.is_zero()) {
            self.tell_dropped();
        }
    }

    /// The same at once.
    pub(super) fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            self.told = Some(Instant::now());
            self.log.warn(&self.subject, format!("{dropped} lines of its output were left out: too many at once"));
        }
    }
}

/// Lines and bytes of a message, as budgets count them.
fn size(message: &str) -> (f64, f64) {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (count(message.lines().count().max(1)), count(message.len()))
}

/// Cuts printed bytes into lines.
#[derive(Debug, Default)]
pub(super) struct PrintedLines {
    partial: Vec<u8>,
}

impl PrintedLines {
    pub(super) fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&str)) {
        for byte in bytes {
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
            if *byte == b'\n' || self.partial.len() >= MAX_LINE_BYTES {
                self.flush(&mut emit);
            }
        }
    }

    /// Emits what has no newline yet.
    pub(super) fn flush(&mut self, mut emit: impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.partial);
        if !text.trim().is_empty() {
            emit(text.trim_end());
        }
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_cut() {
        let mut lines = Vec::new();
        let mut printed = PrintedLines::default();
        let long = [b'x'; MAX_LINE_BYTES + 2];
        for chunk in [&b"one\ntw"[..], b"o\n\n\x1b[31mred\xff\n", &long, b"\n"] {
            printed.push(chunk, |line| lines.push(line.to_owned()));
        }
        printed.push(b"rest", |_| panic!("the line is not complete"));
        printed.flush(|line| lines.push(line.to_owned()));
        let long = "x".repeat(MAX_LINE_BYTES);
        assert_eq!(lines, ["one", "two", "\u{1b}[31mred\u{fffd}", &long, "xx", "rest"]);
    }

    fn log_into(path: &std::path::Path) -> PluginLog {
        let log = Log::to_stderr(None);
        let output = crate::config::LogOutput::File(path.to_owned());
        log.configure(&crate::config::LoggingSettings { level: Level::Info, output }).unwrap();
        PluginLog::new(log, "plugin x".to_owned())
    }

    #[test]
    fn a_flood_is_counted_instead_of_written() {
        let directory = tempfile::tempdir().unwrap();
        for (what, line, most) in [("lines", "again".to_owned(), 1000), ("bytes", "x".repeat(9000), 128)] {
            let path = directory.path().join(what);
            let mut plugin_log = log_into(&path);
            for _ in 0..3000 {
                plugin_log.write(Level::Debug, "nobody reads it");
                plugin_log.write(Level::Info, &line);
            }
            // It was told at once, and is not again for a while.
            assert!(plugin_log.next_count().is_some_and(|wait| !wait.is_zero() && wait <= COUNT_PAUSE));
            plugin_log.tell_dropped();
            let text = std::fs::read_to_string(&path).unwrap();
            let is_count = |line: &&str| line.contains("lines of its output were left out");
            let told: u64 = text
                .lines()
                .filter(is_count)
                .map(|line| line.split_once("plugin x: ").unwrap().1.split(' ').next().unwrap().parse::<u64>().unwrap())
                .sum();
            let written = text.lines().filter(|line| !is_count(line)).count();
            assert_eq!(u64::try_from(written).unwrap() + told, 3000, "{what}: every line is written or counted");
            let refilled = plugin_log.since.elapsed().as_secs() * 10;
            assert!(
                written >= most - 10 && written <= most + 600 + usize::try_from(refilled).unwrap(),
                "{what}: {written}"
            );
            assert!(text.lines().all(|line| line.len() < MAX_LINE_BYTES + 100), "{what}: none is longer than that");
        }
    }

    #[test]
    fn a_budget_fills_again_and_not_beyond_its_size() {
        assert!((LINES.refilled(3.0, Duration::from_secs(2)) - 23.0).abs() < f64::EPSILON);
        assert!((LINES.refilled(3.0, Duration::from_secs(86_400)) - 1000.0).abs() < f64::EPSILON);
    }
}
