//! The wire of sysconfig: what the daemon says to a plugin, what a plugin says to the daemon, and what
//! `sysconfigctl` says to the daemon's admin socket.
//!
//! Types and pure functions only: this crate opens nothing, waits for nothing and knows no operating system,
//! so that the daemon, the plugin SDK, the command line and their tests all agree by construction.
//! The specification for people who write a plugin in another language is `docs/formats/plugin-protocol.md`.
//!
//! * [`envelope`]: the JSON-RPC 2.0 messages, one per line of UTF-8, and [`envelope::LineDecoder`];
//! * [`method`]: the requests and answers between daemon and plugin, and the notifications;
//! * [`describe`]: what a plugin says about itself in `hello`;
//! * [`plan`]: steps, risks, plans and outcomes;
//! * [`diagnostic`]: findings about a configuration;
//! * [`secret`]: a string that never shows itself;
//! * [`shape`]: reading of values whose faults are told without the values;
//! * [`admin`]: the requests and answers of the admin socket.
//!
//! # Unknown members
//!
//! A JSON object with a member that the reader does not know is an error, with two exceptions:
//!
//! * `hello`, in both directions, and everything inside it: it is exchanged before a version is agreed, so an
//!   older peer must be able to read a newer one's words far enough to learn that they do not fit;
//! * answers on the admin socket: an older `sysconfigctl` may read a newer daemon's report. Its *requests* are
//!   strict, because a daemon that ignored an option it does not know would do something else than asked.
//!
//! Every other message is sent under an agreed version, and a change of shape is a new version.

pub mod admin;
pub mod describe;
pub mod diagnostic;
pub mod envelope;
pub mod method;
pub mod plan;
pub mod secret;
pub mod shape;

pub use describe::{Claim, Description, Order, ProtocolRange};
pub use diagnostic::{Diagnostic, Severity};
pub use envelope::{ErrorObject, Id, LineDecoder, Message, Notification, Request, Response};
pub use method::{Call, Event, Level};
pub use plan::{Digest, FieldChange, Outcome, Plan, Risk, Step};
pub use secret::Secret;

/// The newest and, so far, only version of the plugin protocol.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest line that either side accepts, its newline included, in bytes (4 MiB).
///
/// The limit bounds the memory that a faulty or hostile peer can make the reader allocate.
pub const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Longest line of an event, its newline included, in bytes (64 KiB): the daemon remembers events.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// Topics that one process may emit events on.
pub const MAX_EVENT_TOPICS: usize = 32;

/// Environment variable that tells a plugin the number of the descriptor of its connection to the daemon.
pub const PLUGIN_FD_VARIABLE: &str = "SYSCONFIG_PLUGIN_FD";

/// What the file name of every plugin starts with; the rest is the plugin's name.
pub const PLUGIN_FILE_PREFIX: &str = "sysconfig-plugin-";
