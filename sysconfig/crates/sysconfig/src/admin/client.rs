//! One connection of an administrator.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, sync_channel};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sysconfig_protocol::admin::{
    Apply, Confirm, Events, History, HistoryReport, Logs, Ping, Plan, PluginRestart, Plugins, Pong, Reload, Status,
    UndoChange,
};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, ErrorObject, Id, LineDecoder, Message, Request, Response};

use super::Desk;
use crate::engine::{Command, Event, Reply};
use crate::state::journal;

/// Requests are small; whoever sends more is not `sysconfigctl`.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// A client that does not take its answers off the socket is disconnected.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// A client that says nothing for so long is disconnected; there are few places.
const IDLE_DEADLINE: Duration = Duration::from_secs(30);

/// Answers requests until the client goes away or breaks the protocol.
pub(super) fn serve(stream: &UnixStream, desk: &Desk) {
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
        let response = respond(&line, desk);
        if stream.write_all(&response.to_line()).is_err() {
            return;
        }
    }
}

/// Tells somebody who may not connect why not. A fresh socket takes one line without waiting for its reader.
pub(super) fn refuse(stream: &UnixStream, reason: &str) {
    let mut stream = stream;
    let response = refusal(None, ErrorObject::new(code::NOT_PERMITTED, reason));
    drop(stream.write_all(&response.to_line()));
}

fn respond(line: &[u8], desk: &Desk) -> Message {
    match Message::parse(line) {
        Ok(Message::Request(request)) => {
            let id = Some(request.id.clone());
            Message::Response(Response { id, result: dispatch(request, desk) })
        }
        Ok(_) => refusal(None, ErrorObject::new(code::INVALID_REQUEST, "not a request")),
        Err(error) => {
            let causes = std::error::Error::source(&error).map(ToString::to_string).into_iter().collect();
            refusal(None, ErrorObject::new(error.code(), error.to_string()).causes(causes))
        }
    }
}

fn refusal(id: Option<Id>, error: ErrorObject) -> Message {
    Message::Response(Response { id, result: Err(error) })
}

fn dispatch(request: Request, desk: &Desk) -> Result<Value, ErrorObject> {
    let Desk { board, engine, log, .. } = desk;
    let Request { method, params, .. } = request;
    match method.as_str() {
        Ping::METHOD => {
            read::<Ping>(params)?;
            answer(&Pong { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() })
        }
        Status::METHOD => {
            read::<Status>(params)?;
            answer(&board.status())
        }
        Plugins::METHOD => {
            read::<Plugins>(params)?;
            answer(&board.plugins())
        }
        Events::METHOD => answer(&board.events(&read(params)?)),
        Logs::METHOD => answer(&log.recent(&read(params)?)),
        History::METHOD => answer(&history(&read(params)?, desk)?),
        Plan::METHOD => {
            read::<Plan>(params)?;
            ask(engine, Command::Plan)
        }
        Apply::METHOD => {
            let request = read::<Apply>(params)?;
            ask(engine, |reply| Command::Apply(request, reply))
        }
        Confirm::METHOD => {
            read::<Confirm>(params)?;
            ask(engine, Command::Confirm)
        }
        UndoChange::METHOD => {
            read::<UndoChange>(params)?;
            ask(engine, Command::UndoChange)
        }
        Reload::METHOD => {
            read::<Reload>(params)?;
            ask(engine, Command::Reload)
        }
        PluginRestart::METHOD => {
            let request = read::<PluginRestart>(params)?;
            ask(engine, |reply| Command::PluginRestart(request.name, reply))
        }
        other => Err(ErrorObject::new(code::METHOD_NOT_FOUND, format!("no method is named {other:?}"))),
    }
}

/// Steps of the journal that an answer has at most.
const MAX_HISTORY: usize = 1000;

fn history(request: &History, desk: &Desk) -> Result<HistoryReport, ErrorObject> {
    let limit = request.limit.unwrap_or(100).min(MAX_HISTORY);
    let steps = journal::history(&desk.state_directory, limit).map_err(|error| {
        let causes = std::error::Error::source(&error).map(ToString::to_string).into_iter().collect();
        ErrorObject::new(code::FAILED, error.to_string()).causes(causes)
    })?;
    Ok(HistoryReport { steps })
}

/// Hands a command to the engine and waits for its answer.
fn ask<T: Serialize>(engine: &Sender<Event>, command: impl FnOnce(Reply<T>) -> Command) -> Result<Value, ErrorObject> {
    let stopping = || ErrorObject::new(code::STOPPING, "the daemon is stopping");
    let (reply, answers) = sync_channel(1);
    engine.send(Event::Command(command(reply))).map_err(|_| stopping())?;
    answer(&answers.recv().map_err(|_| stopping())??)
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, ErrorObject> {
    let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
    serde_json::from_value(params).map_err(|error| {
        ErrorObject::new(code::INVALID_PARAMS, "parameters have an unexpected shape").causes(vec![error.to_string()])
    })
}

fn answer<T: Serialize>(value: &T) -> Result<Value, ErrorObject> {
    serde_json::to_value(value)
        .map_err(|error| ErrorObject::new(code::INTERNAL_ERROR, format!("cannot write the answer: {error}")))
}
