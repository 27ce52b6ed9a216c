//! What a plugin prints, as lines of the log.

use std::time::{Duration, Instant};

use sysconfig_protocol::Level;

use crate::log::Log;

/// Longer lines are cut into several.
const MAX_LINE_BYTES: usize = 4096;

/// Lines of one plugin that the log takes per window; a plugin in a loop must not fill the disk.
const LINES_PER_WINDOW: u32 = 500;
const WINDOW: Duration = Duration::from_secs(1);

/// Writes a plugin's lines to the log under its name, no more than the log can take.
#[derive(Debug)]
pub(super) struct PluginLog {
    log: Log,
    subject: String,
    window_start: Instant,
    written: u32,
    dropped: u32,
}

impl PluginLog {
    pub(super) fn new(log: Log, subject: String) -> Self {
        Self { log, subject, window_start: Instant::now(), written: 0, dropped: 0 }
    }

    pub(super) fn write(&mut self, level: Level, line: &str) {
        if self.window_start.elapsed() >= WINDOW {
            self.window_start = Instant::now();
            self.written = 0;
            self.tell_dropped();
        }
        if self.written >= LINES_PER_WINDOW {
            self.dropped += 1;
            return;
        }
        self.written += 1;
        self.log.write(level, &self.subject, line);
    }

    /// Says how many lines were left out since the last time.
    pub(super) fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            self.log.warn(&self.subject, format!("{dropped} lines of its output were left out: too many at once"));
        }
    }
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
        // Control characters of a plugin must not reach the terminal of whoever reads the log.
        let text: String =
            text.chars().map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char }).collect();
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
    fn lines_are_joined_cut_and_cleaned() {
        let mut lines = Vec::new();
        let mut printed = PrintedLines::default();
        let long = [b'x'; MAX_LINE_BYTES + 2];
        for chunk in [&b"one\ntw"[..], b"o\n\n\x1b[31mred\xff\n", &long, b"\n"] {
            printed.push(chunk, |line| lines.push(line.to_owned()));
        }
        printed.push(b"rest", |_| panic!("the line is not complete"));
        printed.flush(|line| lines.push(line.to_owned()));
        let long = "x".repeat(MAX_LINE_BYTES);
        assert_eq!(lines, ["one", "two", "\u{fffd}[31mred\u{fffd}", &long, "xx", "rest"]);
    }

    #[test]
    fn a_flood_is_counted_instead_of_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = Log::to_stderr(None);
        let output = crate::config::LogOutput::File(path.clone());
        log.configure(&crate::config::LoggingSettings { level: Level::Info, output }).unwrap();
        let mut plugin_log = PluginLog::new(log, "plugin x".to_owned());
        for _ in 0..LINES_PER_WINDOW + 7 {
            plugin_log.write(Level::Info, "again");
        }
        plugin_log.tell_dropped();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= LINES_PER_WINDOW as usize + 1);
        assert!(text.contains("plugin x: 7 lines of its output were left out"), "{}", text.lines().last().unwrap());
    }
}
