//! One connection of an administrator.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sysconfig_protocol::admin::{
    Apply, Confirm, Events, History, HistoryReport, Logs, LogsReport, Ping, Plan, PluginRestart, Plugins, Pong, Reload,
    Status, UndoChange,
};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, ErrorObject, Id, LineDecoder, MAX_LINE_BYTES, Message, Request, Response, shape};

use super::answering::Answering;
use super::fit::Fit;
use super::{Desk, MAX_COMMANDS, MAX_URGENT_COMMANDS, unread};
use crate::engine::{Command, Event, Reply};
use crate::state::journal;

/// Requests are small; whoever sends more is not `sysconfigctl`.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// A client that does not take its answers off the socket is disconnected.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// A client that says nothing for so long is disconnected; there are few places.
const IDLE_DEADLINE: Duration = Duration::from_secs(30);

/// How soon it is noticed that a client that waits has gone away.
const WAIT_SLICE: Duration = Duration::from_millis(200);

/// Answers requests until the client goes away or breaks the protocol.
pub(super) fn serve(stream: &UnixStream, desk: &Desk, answering: &Answering) {
    // Without deadlines a client that never reads or never writes could hold one of the few places for ever.
    let limited = stream.set_write_timeout(Some(WRITE_DEADLINE)).and(stream.set_read_timeout(Some(IDLE_DEADLINE)));
    if limited.is_err() {
        return;
    }
    let mut decoder = LineDecoder::with_limit(MAX_REQUEST_BYTES);
    let mut chunk = [0; 4096];
    let mut stream = stream;
    loop {
        let line = match decoder.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => match stream.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => {
                    decoder.push(&chunk[..count]);
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            },
            Err(error) => {
                let response = refusal(None, ErrorObject::new(code::INVALID_REQUEST, error.to_string()));
                drop(stream.write_all(&response.to_line()));
                return;
            }
        };
        let _under_way = answering.begin();
        let response = Caller { stream, desk }.respond(&line);
        if stream.write_all(&response).is_err() {
            return;
        }
    }
}

/// Tells somebody who may not connect why not. A fresh socket takes one line without waiting for its reader.
pub(super) fn refuse(stream: &UnixStream, code: i64, reason: &str) {
    let mut stream = stream;
    let response = refusal(None, ErrorObject::new(code, reason));
    drop(stream.write_all(&response.to_line()));
}

/// Who asks, and what is answered from.
struct Caller<'a> {
    stream: &'a UnixStream,
    desk: &'a Desk,
}

impl Caller<'_> {
    /// The answer to a line, as a line.
    fn respond(&self, line: &[u8]) -> Vec<u8> {
        let (id, result) = match Message::parse(line) {
            Ok(Message::Request(request)) => (Some(request.id.clone()), self.dispatch(request)),
            Ok(_) => (None, Err(ErrorObject::new(code::INVALID_REQUEST, "not a request"))),
            Err(error) => {
                let causes = std::error::Error::source(&error).map(ToString::to_string).into_iter().collect();
                (None, Err(ErrorObject::new(error.code(), error.to_string()).causes(causes)))
            }
        };
        let answer = Message::Response(Response { id: id.clone(), result }).to_line();
        match answer.len() {
            ..=MAX_LINE_BYTES => answer,
            length => {
                let message = format!("the answer has {length} bytes, and a line at most {MAX_LINE_BYTES}");
                refusal(id, ErrorObject::new(code::FAILED, message)).to_line()
            }
        }
    }

    fn dispatch(&self, request: Request) -> Result<Value, ErrorObject> {
        let Desk { board, .. } = self.desk;
        let Request { method, params, .. } = request;
        match method.as_str() {
            Ping::METHOD => {
                read::<Ping>(params)?;
                answer(Pong { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() })
            }
            Status::METHOD => {
                read::<Status>(params)?;
                answer(unread::status(self.desk))
            }
            Plugins::METHOD => {
                read::<Plugins>(params)?;
                answer(board.plugins())
            }
            Events::METHOD => answer(board.events(&read(params)?)),
            Logs::METHOD => answer(logs(&read(params)?, self.desk)?),
            History::METHOD => answer(history(&read(params)?, self.desk)?),
            _ => self.dispatch_command(&method, params),
        }
    }

    /// What the engine does.
    fn dispatch_command(&self, method: &str, params: Value) -> Result<Value, ErrorObject> {
        match method {
            Plan::METHOD => {
                read::<Plan>(params)?;
                self.ask(MAX_COMMANDS, Command::Plan)
            }
            Apply::METHOD => {
                let request = read::<Apply>(params)?;
                self.ask(MAX_COMMANDS, |reply| Command::Apply(request, reply))
            }
            Confirm::METHOD => {
                read::<Confirm>(params)?;
                self.ask(MAX_URGENT_COMMANDS, Command::Confirm)
            }
            UndoChange::METHOD => {
                read::<UndoChange>(params)?;
                self.ask(MAX_URGENT_COMMANDS, Command::UndoChange)
            }
            Reload::METHOD => {
                read::<Reload>(params)?;
                self.ask(MAX_COMMANDS, Command::Reload)
            }
            PluginRestart::METHOD => {
                let request = read::<PluginRestart>(params)?;
                self.ask(MAX_COMMANDS, |reply| Command::PluginRestart(request.name, reply))
            }
            other => Err(ErrorObject::new(code::METHOD_NOT_FOUND, format!("no method is named {other:?}"))),
        }
    }

    /// Hands a command to the engine, unless so many wait there, and waits for its answer as long as the client does. What
    /// changes something is done even when the client has gone away: its connection may have gone with the network.
    fn ask<T: Fit>(&self, most: usize, command: impl FnOnce(Reply<T>) -> Command) -> Result<Value, ErrorObject> {
        let stopping = || ErrorObject::new(code::STOPPING, "the daemon is stopping");
        let turn = self.desk.turns.take(most).ok_or_else(|| {
            ErrorObject::new(code::FAILED, format!("{most} requests wait already"))
                .help("see what for: sysconfigctl status")
        })?;
        let (reply, waiting) = Reply::new(turn);
        self.desk.engine.send(Event::Command(command(reply))).map_err(|_| stopping())?;
        loop {
            match waiting.receiver.recv_timeout(WAIT_SLICE) {
                Ok(result) => return answer(result?),
                Err(RecvTimeoutError::Disconnected) => return Err(stopping()),
                Err(RecvTimeoutError::Timeout) if self.is_gone() => {
                    return Err(ErrorObject::new(code::FAILED, "the client is gone"));
                }
                Err(RecvTimeoutError::Timeout) => (),
            }
        }
    }

    /// Whether the client has closed its end, and not only finished its requests.
    fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.stream, PollFlags::empty())];
        let polled = rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        polled.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }
}

fn refusal(id: Option<Id>, error: ErrorObject) -> Message {
    Message::Response(Response { id, result: Err(error) })
}

/// What was said of a plugin that is gone can be asked for as long as it is remembered.
fn logs(request: &Logs, desk: &Desk) -> Result<LogsReport, ErrorObject> {
    let report = desk.log.recent(request);
    let any_line = || !desk.log.recent(&Logs { plugin: request.plugin.clone(), ..Logs::default() }).lines.is_empty();
    match &request.plugin {
        Some(name) if desk.board.plugins().plugins.iter().all(|plugin| plugin.name != *name) && !any_line() => {
            Err(desk.board.no_such_plugin(name))
        }
        _ => Ok(report),
    }
}

/// Steps of the journal that an answer has at most.
const MAX_HISTORY: usize = 1000;

fn history(request: &History, desk: &Desk) -> Result<HistoryReport, ErrorObject> {
    let limit = request.limit.unwrap_or(100).min(MAX_HISTORY);
    let steps = journal::history(&desk.state_directory, limit).map_err(|error| {
        let causes = std::error::Error::source(&error).map(ToString::to_string).into_iter().collect();
        ErrorObject::new(code::FAILED, error.to_string()).causes(causes).help(error.help())
    })?;
    Ok(HistoryReport { steps })
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, ErrorObject> {
    let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
    shape::from_value(params).map_err(|error| {
        ErrorObject::new(code::INVALID_PARAMS, "parameters have an unexpected shape").causes(vec![error.to_string()])
    })
}

fn answer<T: Fit>(mut value: T) -> Result<Value, ErrorObject> {
    value.fit();
    serde_json::to_value(value)
        .map_err(|error| ErrorObject::new(code::INTERNAL_ERROR, format!("cannot write the answer: {error}")))
}
