//! The program: where the share is, at which pace it is looked at, what is printed, how it ends.

mod backoff;
mod connect;
mod endpoint;
mod options;
mod output;
mod program;
mod readiness;

pub use backoff::Backoff;
pub use connect::{ConnectError, Connector};
pub use endpoint::Endpoint;
pub use options::{Options, parse_duration};
pub use output::Output;
pub use program::{Outcome, Pace, Runner, run, usage_status};
