//! `events` and `logs`: what the daemon remembers, and what comes next.

use std::time::Duration;

use serde::Serialize;
use sysconfig_protocol::admin::{Events, EventsReport, Happening, LogLine, Logs, LogsReport};
use sysconfig_protocol::{Call, Level};

use crate::command::{Failure, SHORT, Session};
use crate::exit::Exit;
use crate::render;

/// How often a follower asks again.
const PAUSE: Duration = Duration::from_millis(500);

/// Requests whose answer can be asked for again, from where the last one ended.
trait Followed: Call {
    type Entry: Serialize;

    fn entries(answer: &Self::Answer) -> &[Self::Entry];
    fn last(answer: &Self::Answer) -> u64;
    /// The same request for what is newer.
    fn after(&self, last: u64) -> Self;
    fn line(entry: &Self::Entry) -> String;
}

impl Followed for Events {
    type Entry = Happening;

    fn entries(answer: &EventsReport) -> &[Happening] {
        &answer.events
    }

    fn last(answer: &EventsReport) -> u64 {
        answer.last
    }

    fn after(&self, last: u64) -> Self {
        Self { after: last, limit: None }
    }

    fn line(entry: &Happening) -> String {
        render::happening(entry)
    }
}

impl Followed for Logs {
    type Entry = LogLine;

    fn entries(answer: &LogsReport) -> &[LogLine] {
        &answer.lines
    }

    fn last(answer: &LogsReport) -> u64 {
        answer.last
    }

    fn after(&self, last: u64) -> Self {
        Self { after: last, limit: None, ..self.clone() }
    }

    fn line(entry: &LogLine) -> String {
        render::log_line(entry)
    }
}

impl Session<'_> {
    pub(crate) fn events(&mut self, lines: Option<usize>, follow: bool) -> Result<Exit, Failure> {
        self.follow(&Events { after: 0, limit: lines }, follow)
    }

    pub(crate) fn logs(
        &mut self,
        plugin: Option<String>,
        level: Option<Level>,
        lines: Option<usize>,
        follow: bool,
    ) -> Result<Exit, Failure> {
        self.follow(&Logs { after: 0, limit: lines, plugin, level }, follow)
    }

    fn follow<C: Followed>(&mut self, request: &C, follow: bool) -> Result<Exit, Failure> {
        let mut answer = self.ask(request, SHORT)?;
        if !follow {
            let text: String = C::entries(&answer).iter().map(C::line).collect();
            self.answer(&answer, text)?;
            return Ok(Exit::Success);
        }
        loop {
            for entry in C::entries(&answer) {
                self.answer_line(entry, C::line(entry))?;
            }
            if self.is_unread {
                return Ok(Exit::Success);
            }
            std::thread::sleep(PAUSE);
            let last = C::last(&answer);
            answer = self.ask(&request.after(last), SHORT)?;
            // The numbers of a daemon that was restarted begin anew.
            if C::last(&answer) < last {
                answer = self.ask(&request.after(0), SHORT)?;
            }
        }
    }
}
