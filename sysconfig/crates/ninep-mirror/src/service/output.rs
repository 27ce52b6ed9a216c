//! What happens, as lines on standard output: words for people, or JSON.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::path::SharePath;
use crate::report::{Event, Report, Round, chain};

/// Writes a line for each event that is worth one.
#[derive(Debug)]
pub struct Output<W> {
    out: W,
    json: bool,
    verbose: bool,
    last_problems: usize,
}

impl<W: Write> Output<W> {
    /// In JSON everything is written. In words, tracked files are named only when `verbose`, and rounds that changed
    /// something or nothing for the first time.
    pub fn new(out: W, json: bool, verbose: bool) -> Self {
        Self { out, json, verbose, last_problems: 0 }
    }

    fn line(&mut self, line: &str) {
        // Whoever read the lines may be gone. The mirror is there for the files.
        drop(writeln!(self.out, "{line}").and_then(|()| self.out.flush()));
    }

    fn words(&mut self, event: &Event<'_>) -> Option<String> {
        Some(match event {
            Event::Connected { endpoint, msize } => format!("connected to {endpoint}, messages of {msize} bytes"),
            Event::Lost { error, retry_after: Some(wait) } => {
                format!("{}; trying again in {}", chain(*error), duration(*wait))
            }
            Event::Lost { error, retry_after: None } => chain(*error),
            Event::Selected { files, all_because: None } => format!("{files} tracked files are wanted"),
            Event::Selected { files, all_because: Some(why) } => format!("all {files} files are wanted: {why}"),
            Event::Copied { path, bytes, executable, delay } if *executable || self.verbose => {
                format!("copied {path}, {bytes} bytes, {} after it was seen", duration(*delay))
            }
            Event::Removed { path } if self.verbose => format!("removed {path}"),
            Event::Problem { path: Some(path), what } => format!("problem with {path}: {what}"),
            Event::Problem { path: None, what } => format!("problem: {what}"),
            Event::Solved { path: Some(path) } => format!("no problem any more with {path}"),
            Event::Round(round) => return self.round(round),
            Event::Copied { .. } | Event::Removed { .. } | Event::Solved { path: None } => return None,
        })
    }

    fn round(&mut self, round: &Round) -> Option<String> {
        let news = round.number == 1 || round.changes > 0 || round.problems != self.last_problems;
        self.last_problems = round.problems;
        news.then(|| {
            let Round { number, files, bytes, problems, changes, took, .. } = round;
            let took = duration(*took);
            format!("round {number}: {files} files, {bytes} bytes, {changes} changed, {problems} problems, {took}")
        })
    }
}

impl<W: Write + Send> Report for Output<W> {
    fn event(&mut self, event: &Event<'_>) {
        if self.json {
            let line = json(event);
            self.line(&line);
        } else if let Some(words) = self.words(event) {
            self.line(&format!("ninep-mirror: {words}"));
        }
    }
}

fn duration(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{} ms", time.as_millis()) } else { format!("{} s", time.as_secs()) }
}

/// The event as an object on one line.
fn json(event: &Event<'_>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut object = Object { text: format!("{{\"time_unix_ms\":{now}") };
    match event {
        Event::Connected { endpoint, msize } => {
            object.text("event", "connected").text("endpoint", endpoint).number("msize", *msize);
        }
        Event::Lost { error, retry_after } => {
            object.text("event", "lost").text("error", &chain(*error));
            if let Some(wait) = retry_after {
                object.number("retry_after_ms", wait.as_millis());
            }
        }
        Event::Selected { files, all_because } => {
            object.text("event", "selected").number("files", files);
            if let Some(why) = all_because {
                object.text("all_because", why);
            }
        }
        Event::Copied { path, bytes, executable, delay } => {
            object.text("event", "copied").path(Some(path)).number("bytes", bytes);
            object.number("executable", executable).number("delay_ms", delay.as_millis());
        }
        Event::Removed { path } => {
            object.text("event", "removed").path(Some(path));
        }
        Event::Problem { path, what } => {
            object.text("event", "problem").path(*path).text("what", what);
        }
        Event::Solved { path } => {
            object.text("event", "solved").path(*path);
        }
        Event::Round(round) => {
            object.text("event", "round").number("round", round.number).number("generation", round.generation);
            object.number("files", round.files).number("bytes", round.bytes).number("problems", round.problems);
            object.number("changes", round.changes).number("took_ms", round.took.as_millis());
        }
    }
    object.text + "}"
}

/// An object that is being written. Member names are plain words.
struct Object {
    text: String,
}

impl Object {
    /// A number, or `true` or `false`.
    fn number(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(self.text, ",\"{name}\":{value}");
        self
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        let _ = write!(self.text, ",\"{name}\":\"");
        for character in value.chars() {
            match character {
                '"' | '\\' => self.text.extend(['\\', character]),
                '\0'..='\u{1f}' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(character));
                }
                _ => self.text.push(character),
            }
        }
        self.text.push('"');
        self
    }

    fn path(&mut self, path: Option<&SharePath>) -> &mut Self {
        if let Some(path) = path {
            self.text("path", &String::from_utf8_lossy(path.as_bytes()));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: bool, verbose: bool, events: &[Event<'_>]) -> String {
        let mut output = Output::new(Vec::new(), json, verbose);
        events.iter().for_each(|event| output.event(event));
        String::from_utf8(output.out).unwrap()
    }

    fn round(number: u64, changes: u64) -> Event<'static> {
        let took = Duration::from_millis(20);
        Event::Round(Round { number, generation: 3, files: 2, bytes: 10, problems: 0, changes, took })
    }

    #[test]
    fn words_name_what_people_wait_for() {
        let path = SharePath::parse(b"target/release/x").unwrap();
        let copied =
            |executable| Event::Copied { path: &path, bytes: 9, executable, delay: Duration::from_millis(260) };
        let events =
            [copied(false), copied(true), Event::Removed { path: &path }, round(1, 0), round(2, 0), round(3, 1)];
        assert_eq!(
            written(false, false, &events),
            "ninep-mirror: copied target/release/x, 9 bytes, 260 ms after it was seen\n\
             ninep-mirror: round 1: 2 files, 10 bytes, 0 changed, 0 problems, 20 ms\n\
             ninep-mirror: round 3: 2 files, 10 bytes, 1 changed, 0 problems, 20 ms\n"
        );
        assert_eq!(written(false, true, &events).lines().count(), 5);
    }

    #[test]
    fn json_is_one_object_a_line_whatever_names_contain() {
        let path = SharePath::parse(b"a\"\n\\\xff").unwrap();
        let line = written(true, false, &[Event::Problem { path: Some(&path), what: "x" }, round(1, 2)]);
        let (first, second) = line.split_once('\n').unwrap();
        let (time, rest) = first.split_once(',').unwrap();
        assert!(time.starts_with("{\"time_unix_ms\":"), "{time}");
        assert_eq!(rest, "\"event\":\"problem\",\"path\":\"a\\\"\\u000a\\\\\u{fffd}\",\"what\":\"x\"}");
        assert!(
            second.ends_with("\"files\":2,\"bytes\":10,\"problems\":0,\"changes\":2,\"took_ms\":20}\n"),
            "{second}"
        );
    }
}
