//! JSON-RPC 2.0 messages as lines of UTF-8.
//!
//! One message is one line: compact JSON without a raw newline, ended by `\n`. Batches are not used.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::MAX_LINE_BYTES;
use crate::admin::Problem;

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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A number; the daemon counts its requests from 1.
    Number(u64),
    /// A text, which admin clients may use.
    Text(String),
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

fn problems_if_any<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Problem>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
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
    #[error("not a JSON-RPC message: a member is missing, unknown or of the wrong type, before column {column}")]
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

/// The members of every kind of message, before they are told apart.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    jsonrpc: String,
    /// Absent, `null` and a value are three different things: a notification, the answer to a request that could
    /// not be read, and everything else.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    id: Option<Option<Id>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorObject>,
}

/// Reads a member that is there, even when it is `null`.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Message {
    /// Reads one line, with or without its newline.
    ///
    /// # Errors
    ///
    /// When the line is not JSON, has unknown members, or is not a JSON-RPC 2.0 request, notification or response.
    pub fn parse(line: &[u8]) -> Result<Self, MessageError> {
        let members: Members = serde_json::from_slice(line).map_err(|error| match error.is_data() {
            true => MessageError::Members { column: error.column() },
            false => MessageError::Json(error),
        })?;
        if members.jsonrpc != "2.0" {
            return Err(MessageError::Shape("member \"jsonrpc\" is not \"2.0\""));
        }
        let Members { id, method, params, result, error, .. } = members;
        match (method, id, result, error) {
            (Some(_), Some(None), None, None) => Err(MessageError::Shape("a request's id is null")),
            (Some(method), Some(Some(id)), None, None) => {
                Ok(Self::Request(Request { id, method, params: params.unwrap_or_default() }))
            }
            (Some(method), None, None, None) => {
                Ok(Self::Notification(Notification { method, params: params.unwrap_or_default() }))
            }
            (None, Some(id), Some(result), None) if params.is_none() => {
                Ok(Self::Response(Response { id, result: Ok(result) }))
            }
            (None, Some(id), None, Some(error)) if params.is_none() => {
                Ok(Self::Response(Response { id, result: Err(error) }))
            }
            _ => Err(MessageError::Shape("members do not make a request, a notification or a response")),
        }
    }

    /// The line that carries the message, its newline included.
    pub fn to_line(&self) -> Vec<u8> {
        let optional = |params: &Value| {
            if params.is_null() { None } else { Some(params.clone()) }
        };
        let mut members =
            Members { jsonrpc: "2.0".to_owned(), id: None, method: None, params: None, result: None, error: None };
        match self {
            Self::Request(request) => {
                members.id = Some(Some(request.id.clone()));
                members.method = Some(request.method.clone());
                members.params = optional(&request.params);
            }
            Self::Notification(notification) => {
                members.method = Some(notification.method.clone());
                members.params = optional(&notification.params);
            }
            Self::Response(response) => {
                members.id = Some(response.id.clone());
                match &response.result {
                    Ok(value) => members.result = Some(value.clone()),
                    Err(error) => members.error = Some(error.clone()),
                }
            }
        }
        let mut line = serde_json::to_vec(&members).expect("members have text keys only, so they always serialise");
        line.push(b'\n');
        line
    }
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
