//! JSON-RPC 2.0 messages as lines of UTF-8.
//!
//! One message is one line: compact JSON without a raw newline, ended by `\n`. Batches are not used.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::Problem;
use crate::{MAX_LINE_BYTES, shape};

/// Error codes: those of JSON-RPC 2.0, and ours from the range that it leaves to implementations.
pub mod code {
    /// The line is not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The line is JSON and not a JSON-RPC 2.0 message.
    pub const INVALID_REQUEST: i64 = -32600;
    /// The method does not exist.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not have the method's shape.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The answering program has a fault of its own.
    pub const INTERNAL_ERROR: i64 = -32603;

    /// The operation was understood and failed on the machine.
    pub const FAILED: i64 = -32000;
    /// The operation is not available from this plugin or on this system.
    pub const UNSUPPORTED: i64 = -32001;
    /// The request needs `configure` first.
    pub const NOT_CONFIGURED: i64 = -32002;
    /// The operation was given up because the daemon cancelled it.
    pub const CANCELLED: i64 = -32003;
    /// The peers have no protocol version in common.
    pub const NO_COMMON_VERSION: i64 = -32004;

    /// The plan is no longer the one that was asked for (admin socket).
    pub const PLAN_CHANGED: i64 = -32011;
    /// No plugin has that name (admin socket).
    pub const NO_SUCH_PLUGIN: i64 = -32012;
    /// The caller may not do that (admin socket).
    pub const NOT_PERMITTED: i64 = -32013;
    /// The daemon is stopping (admin socket).
    pub const STOPPING: i64 = -32014;
    /// A change waits for its confirmation, and nothing else may change until then (admin socket).
    pub const CONFIRMATION_PENDING: i64 = -32015;
    /// No change waits for a confirmation (admin socket).
    pub const NOTHING_TO_CONFIRM: i64 = -32016;
    /// A change that was to be confirmed has steps that cannot be undone (admin socket).
    pub const CANNOT_UNDO: i64 = -32017;
    /// The daemon has as many connections as it takes (admin socket).
    pub const TOO_MANY_CONNECTIONS: i64 = -32018;
}

/// The identifier with which a request and its answer find each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// A number; the daemon counts its requests from 1.
    Number(u64),
    /// A text, which admin clients may use.
    Text(String),
}

impl Id {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64().map(Self::Number),
            Value::String(text) => Some(Self::Text(text)),
            _ => None,
        }
    }
}

// Not derived: serde keeps what is untagged in a form of its own, the readers of which would be in every plugin.
impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Value::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("expected a whole number or a text"))
    }
}

/// A request: it is answered by exactly one [`Response`] with the same id.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Finds the answer.
    pub id: Id,
    /// What is asked, one of the `METHOD` constants of [`crate::Call`].
    pub method: String,
    /// The method's parameters, an object; [`Value::Null`] when there are none.
    pub params: Value,
}

/// A message that is not answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// What is told: `log`, `progress`, `event` or `cancel`.
    pub method: String,
    /// The parameters, an object.
    pub params: Value,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The request's id; none when the request was too broken to have one.
    pub id: Option<Id>,
    /// The answer, or why there is none.
    pub result: Result<Value, ErrorObject>,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorObject {
    /// One of [`code`].
    pub code: i64,
    /// What failed, as a lowercase fragment without its causes.
    pub message: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ErrorData>,
}

/// The `data` member of an [`ErrorObject`]. Members that later versions add are ignored, so that what is known reaches the
/// reader.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorData {
    /// The chain of causes, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The faults of the configuration files that are why, each with its place (admin socket). Plugins have none to tell, so
    /// what else one of them says under this name is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "problems_if_any")]
    pub problems: Vec<Problem>,
}

fn problems_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Problem>, D::Error> {
    Ok(shape::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

impl ErrorObject {
    /// An error without further data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Adds the chain of causes, the nearest first.
    #[must_use]
    pub fn causes(mut self, causes: Vec<String>) -> Self {
        self.data.get_or_insert_default().causes = causes;
        self
    }

    /// Adds the faults of the configuration that are why.
    #[must_use]
    pub fn problems(mut self, problems: Vec<Problem>) -> Self {
        self.data.get_or_insert_default().problems = problems;
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.data.get_or_insert_default().help = Some(help.into());
        self
    }

    /// The message with its causes, joined by `: `, for a log line or a terminal.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        for cause in self.data.iter().flat_map(|data| &data.causes) {
            text.push_str(": ");
            text.push_str(cause);
        }
        text
    }

    /// The advice, if there is one.
    pub fn advice(&self) -> Option<&str> {
        self.data.as_ref()?.help.as_deref()
    }
}

/// Any message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Asks for an answer.
    Request(Request),
    /// Tells something.
    Notification(Notification),
    /// Answers.
    Response(Response),
}

/// Why a line is not a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The line is not JSON.
    #[error("not a JSON-RPC message")]
    Json(#[source] serde_json::Error),
    /// The line is JSON, and not an object of a message's members. `serde_json` would quote what it found instead, and that
    /// may be anything.
    #[error("not a JSON-RPC message: no object, or a member that is unknown or there twice, before column {column}")]
    Members {
        /// Where it was noticed, in bytes from 1.
        column: usize,
    },
    /// The members are known, and do not go together.
    #[error("not a JSON-RPC 2.0 message: {0}")]
    Shape(&'static str),
}

impl MessageError {
    /// The JSON-RPC error code that answers such a line.
    pub fn code(&self) -> i64 {
        match self {
            Self::Json(_) => code::PARSE_ERROR,
            Self::Members { .. } | Self::Shape(_) => code::INVALID_REQUEST,
        }
    }
}

/// The members of every kind of message, before they are told apart. Absent, `null` and a value are three different things
/// for `id` and `result`: a notification, the answer to a request that could not be read, and everything else.
#[derive(Default)]
struct Members {
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
}

// Not derived: what a member holds is read from its value, by the readers that there are for values in any case.
impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = access.next_key::<String>()? {
            let member = match name.as_str() {
                "jsonrpc" => &mut members.jsonrpc,
                "id" => &mut members.id,
                "method" => &mut members.method,
                "params" => &mut members.params,
                "result" => &mut members.result,
                "error" => &mut members.error,
                _ => return Err(A::Error::custom("unknown member")),
            };
            if member.replace(access.next_value()?).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(members)
    }
}

/// A member that is as good as absent when it is `null`.
fn unless_null(member: Option<Value>) -> Option<Value> {
    member.filter(|value| !value.is_null())
}

impl Members {
    fn read(line: &[u8]) -> Result<Self, MessageError> {
        let members: Self = serde_json::from_slice(line).map_err(|error| match error.is_data() {
            true => MessageError::Members { column: error.column() },
            false => MessageError::Json(error),
        })?;
        match &members.jsonrpc {
            Some(Value::String(version)) if version == "2.0" => Ok(Self {
                method: unless_null(members.method),
                params: unless_null(members.params),
                error: unless_null(members.error),
                ..members
            }),
            _ => Err(MessageError::Shape("member \"jsonrpc\" is not \"2.0\"")),
        }
    }

    /// The request or the notification; none when there is no method.
    fn call(&mut self) -> Result<Option<Message>, MessageError> {
        let Some(method) = self.method.take() else { return Ok(None) };
        let Value::String(method) = method else { return Err(MessageError::Shape("member \"method\" is no text")) };
        if self.result.is_some() || self.error.is_some() {
            return Err(NO_MESSAGE);
        }
        let params = self.params.take().unwrap_or_default();
        match self.id.take() {
            None => Ok(Some(Message::Notification(Notification { method, params }))),
            Some(Value::Null) => Err(MessageError::Shape("a request's id is null")),
            Some(id) => {
                let id = Id::of(id).ok_or(NO_ID)?;
                Ok(Some(Message::Request(Request { id, method, params })))
            }
        }
    }

    fn answer(self) -> Result<Message, MessageError> {
        let id = match self.id {
            Some(Value::Null) => None,
            Some(id) => Some(Id::of(id).ok_or(NO_ID)?),
            None => return Err(NO_MESSAGE),
        };
        let result = match (self.params, self.result, self.error) {
            (None, Some(result), None) => Ok(result),
            (None, None, Some(error)) => Err(shape::from_value(error)
                .map_err(|_| MessageError::Shape("member \"error\" is not of the form of an error"))?),
            _ => return Err(NO_MESSAGE),
        };
        Ok(Message::Response(Response { id, result }))
    }
}

const NO_MESSAGE: MessageError = MessageError::Shape("members do not make a request, a notification or a response");
const NO_ID: MessageError = MessageError::Shape("member \"id\" is neither a whole number nor a text");

impl Message {
    /// Reads one line, with or without its newline.
    ///
    /// # Errors
    ///
    /// When the line is not JSON, has unknown members, or is not a JSON-RPC 2.0 request, notification or response.
    pub fn parse(line: &[u8]) -> Result<Self, MessageError> {
        let mut members = Members::read(line)?;
        match members.call()? {
            Some(message) => Ok(message),
            None => members.answer(),
        }
    }

    /// As [`Message::parse`], for who asks nothing: none is a response, which is not looked into. It takes a good part of a plugin's
    /// size to read one.
    ///
    /// # Errors
    ///
    /// When the line is not JSON, has unknown members, or is not a JSON-RPC 2.0 message.
    pub fn parse_call(line: &[u8]) -> Result<Option<Self>, MessageError> {
        let mut members = Members::read(line)?;
        match members.call()? {
            None if members.result.is_none() && members.error.is_none() => Err(NO_MESSAGE),
            call => Ok(call),
        }
    }

    /// The line that carries the message, its newline included.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Line(br#"{"jsonrpc":"2.0""#.to_vec());
        match self {
            Self::Request(Request { id, method, params }) => {
                line.id(Some(id));
                line.call(method, params);
            }
            Self::Notification(Notification { method, params }) => line.call(method, params),
            Self::Response(Response { id, result }) => {
                line.id(id.as_ref());
                match result {
                    Ok(result) => line.member("result", result),
                    Err(error) => line.member("error", &to_value(error)),
                }
            }
        }
        line.0.extend(b"}\n");
        line.0
    }
}

/// A line that is being written.
struct Line(Vec<u8>);

impl Line {
    fn member(&mut self, name: &str, value: &Value) {
        self.0.extend(format!(",\"{name}\":").into_bytes());
        serde_json::to_writer(&mut self.0, value).expect("values always serialise, and memory takes every byte");
    }

    fn id(&mut self, id: Option<&Id>) {
        self.member("id", &to_value(&id));
    }

    fn call(&mut self, method: &str, params: &Value) {
        self.member("method", &Value::from(method));
        if !params.is_null() {
            self.member("params", params);
        }
    }
}

fn to_value<T: Serialize>(part: &T) -> Value {
    serde_json::to_value(part).expect("the parts of a message have text keys only, so they always serialise")
}

/// Cuts a stream of bytes into lines, without doing any reading itself.
///
/// Memory is bounded by the limit plus the size of one pushed chunk.
#[derive(Debug)]
pub struct LineDecoder {
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that are known to hold no newline.
    searched: usize,
    limit: usize,
}

/// A line is longer than the limit; the stream cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line is longer than {limit} bytes")]
pub struct LineTooLong {
    /// The limit in bytes, newline included.
    pub limit: usize,
}

impl Default for LineDecoder {
    fn default() -> Self {
        Self::with_limit(MAX_LINE_BYTES)
    }
}

impl LineDecoder {
    /// A decoder with the protocol's limit, [`MAX_LINE_BYTES`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder with another limit, in bytes, newline included.
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: Vec::new(), searched: 0, limit }
    }

    /// Adds bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line without its newline; none when more bytes are needed.
    ///
    /// # Errors
    ///
    /// When the line, complete or not, is longer than the limit.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
        let length = end.map_or(self.buffer.len(), |end| end + 1);
        if length > self.limit {
            return Err(LineTooLong { limit: self.limit });
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        self.searched = 0;
        Ok(Some(line))
    }

    /// Whether bytes of an unfinished line are waiting.
    pub fn has_partial_line(&self) -> bool {
        !self.buffer.is_empty()
    }
}
